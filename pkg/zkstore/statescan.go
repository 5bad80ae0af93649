package zkstore

import (
	"strconv"

	"gregor/pkg/model"
)

// scanPartitionState reads a state as Kafka and Gregor write it: one flat
// object of known keys, numbers and a list. A controller that takes over reads
// thousands of them at once. ok is false for everything else, which is left
// to encoding/json; what it accepts encoding/json reads in the same way.
func scanPartitionState(data []byte) (p PartitionState, ok bool) {
	s := scanner{data: data}
	if !s.take('{') {
		return p, false
	}
	var seen [4]bool
	for {
		key, ok := s.key()
		if !ok {
			return p, false
		}
		var n int64
		if key == "isr" {
			if p.ISR, ok = s.list(); !ok {
				return p, false
			}
			seen[3] = true
		} else if n, ok = s.number(); !ok {
			return p, false
		}
		switch key {
		case "leader":
			p.Leader, seen[0] = model.BrokerID(n), true
		case "leader_epoch":
			p.LeaderEpoch, seen[1] = model.LeaderEpoch(n), true
		case "controller_epoch":
			p.ControllerEpoch, seen[2] = model.ControllerEpoch(n), true
		case "isr", "version":
		default:
			return p, false
		}
		if s.take(',') {
			continue
		}
		return p, s.take('}') && s.at == len(data) && seen == [4]bool{true, true, true, true}
	}
}

// scanner walks over JSON without white space.
type scanner struct {
	data []byte
	at   int
}

func (s *scanner) take(c byte) bool {
	if s.at < len(s.data) && s.data[s.at] == c {
		s.at++
		return true
	}
	return false
}

// key reads "name": for a name of small letters and underscores.
func (s *scanner) key() (string, bool) {
	if !s.take('"') {
		return "", false
	}
	from := s.at
	for s.at < len(s.data) && (s.data[s.at] >= 'a' && s.data[s.at] <= 'z' || s.data[s.at] == '_') {
		s.at++
	}
	name := string(s.data[from:s.at])
	return name, s.take('"') && s.take(':')
}

// number reads an integer of 32 bits as JSON has it, without a fraction and
// without leading zeros.
func (s *scanner) number() (int64, bool) {
	from := s.at
	s.take('-')
	digits := s.at
	for s.at < len(s.data) && s.data[s.at] >= '0' && s.data[s.at] <= '9' {
		s.at++
	}
	if s.at == digits || s.data[digits] == '0' && s.at > digits+1 {
		return 0, false
	}
	n, err := strconv.ParseInt(string(s.data[from:s.at]), 10, 32)
	return n, err == nil
}

func (s *scanner) list() ([]model.BrokerID, bool) {
	if !s.take('[') {
		return nil, false
	}
	ids := make([]model.BrokerID, 0, 3)
	if s.take(']') {
		return ids, true
	}
	for {
		n, ok := s.number()
		if !ok {
			return nil, false
		}
		ids = append(ids, model.BrokerID(n))
		if !s.take(',') {
			return ids, s.take(']')
		}
	}
}
