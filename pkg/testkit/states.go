package testkit

import (
	"bufio"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"gregor/pkg/model"
	"gregor/pkg/zkstore"
)

// States checks what becomes of partition states in ZooKeeper: versions and
// epochs only rise, an epoch has one leader, the leader is in the ISR and the
// ISR within the replicas. Safe for concurrent use.
type States struct {
	h *History

	mu         sync.Mutex
	last       map[model.TopicPartition]zkstore.PartitionState
	leaders    map[epochOf]model.BrokerID
	controller model.ControllerEpoch
	changes    int
}

type epochOf struct {
	tp    model.TopicPartition
	epoch model.LeaderEpoch
}

// NewStates returns a check that tells its problems to h.
func NewStates(h *History) *States {
	return &States{h: h, last: map[model.TopicPartition]zkstore.PartitionState{}, leaders: map[epochOf]model.BrokerID{}}
}

// See enters a state as it was read. assigned are the replicas of that
// moment, nil when they are not known.
func (s *States) See(tp model.TopicPartition, now zkstore.PartitionState, assigned []model.BrokerID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, known := s.last[tp]
	if known && now.ZkVersion == before.ZkVersion {
		return
	}
	s.last[tp] = now
	s.changes++
	problem := func(what string) { s.h.Problem("the state of %s %s: %+v, before %+v", tp, what, now, before) }
	if known && now.ZkVersion < before.ZkVersion {
		problem("has an older version than before")
	}
	if known && now.LeaderEpoch < before.LeaderEpoch {
		problem("has an older leader epoch than before")
	}
	if known && now.ControllerEpoch < before.ControllerEpoch {
		problem("is of an older controller than before")
	}
	if len(now.ISR) == 0 {
		problem("has an empty ISR")
	}
	if now.Leader >= 0 && !slices.Contains(now.ISR, now.Leader) {
		problem("has a leader outside the ISR")
	}
	for i, id := range now.ISR {
		if assigned != nil && !slices.Contains(assigned, id) {
			problem(fmt.Sprintf("has %d in the ISR, which is none of the replicas %v", id, assigned))
		}
		if slices.Contains(now.ISR[:i], id) {
			problem(fmt.Sprintf("has %d in the ISR twice", id))
		}
	}
	if now.Leader >= 0 {
		s.ledLocked(tp, now.LeaderEpoch, now.Leader, "ZooKeeper")
	}
}

// SeeController enters the controller epoch as it was read.
func (s *States) SeeController(epoch model.ControllerEpoch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if epoch < s.controller {
		s.h.Problem("the controller epoch went back from %d to %d", s.controller, epoch)
	}
	s.controller = epoch
}

// Led enters that a broker led a partition in an epoch, according to a source.
func (s *States) Led(tp model.TopicPartition, epoch model.LeaderEpoch, leader model.BrokerID, source string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ledLocked(tp, epoch, leader, source)
}

func (s *States) ledLocked(tp model.TopicPartition, epoch model.LeaderEpoch, leader model.BrokerID, source string) {
	key := epochOf{tp, epoch}
	if other, known := s.leaders[key]; known && other != leader {
		s.h.Problem("%s had two leaders in epoch %d: %d, and %d according to %s", tp, epoch, other, leader, source)
	}
	s.leaders[key] = leader
}

// Changes is how many changes of states were seen.
func (s *States) Changes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changes
}

// leaderLine is what a broker says when it begins to lead.
var leaderLine = regexp.MustCompile(`\[Broker id=(\d+)\] Leader (\S+)-(\d+) starts at leader epoch (\d+) from offset`)

// Leaderships enters the leaderships of some topics that a broker's log
// tells of.
func (s *States) Leaderships(log string, topics ...string) {
	lines := bufio.NewScanner(strings.NewReader(log))
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		m := leaderLine.FindStringSubmatch(lines.Text())
		if m == nil || !slices.Contains(topics, m[2]) {
			continue
		}
		id, _ := strconv.Atoi(m[1]) // the expression has matched digits
		partition, _ := strconv.Atoi(m[3])
		epoch, _ := strconv.Atoi(m[4])
		s.Led(model.TopicPartition{Topic: m[2], Partition: int32(partition)}, model.LeaderEpoch(epoch), model.BrokerID(id), fmt.Sprintf("the log of %d", id))
	}
}
