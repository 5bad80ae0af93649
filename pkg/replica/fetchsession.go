package replica

import (
	"math"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/kerr"
	"gregor/pkg/model"
)

// Epochs of a fetch session (KIP-227) that have a meaning of their own.
const (
	sessionless  int32 = -1
	sessionBegin int32 = 0
)

// asked is what a fetch asks of one partition.
type asked struct {
	offset, logStart int64
	epoch, last      model.LeaderEpoch
}

type askedPartition struct {
	model.TopicPartition
	asked
	known bool // the session, if it goes on, knows just that
}

// fetchSession is the fetching side of a session: the leader remembers what
// it was asked, and only what is new goes over the wire. Used by one
// goroutine.
type fetchSession struct {
	id, epoch int32
	asked     map[model.TopicPartition]asked // what the leader remembers
}

func newFetchSession(version int16) *fetchSession {
	s := &fetchSession{asked: map[model.TopicPartition]asked{}}
	if version < 7 {
		s.epoch = sessionless
	}
	return s
}

// full reports whether the next request must name every partition.
func (s *fetchSession) full() bool { return s.epoch <= sessionBegin }

// fill completes a request for all of wanted, in their order, and remembers
// them.
func (s *fetchSession) fill(req *kmsg.FetchRequest, wanted []askedPartition, partitionMaxBytes int) {
	req.SessionID, req.SessionEpoch = s.id, s.epoch
	full := s.full()
	if full {
		clear(s.asked)
	}
	for i := range wanted {
		w := &wanted[i]
		if w.known && !full {
			continue
		}
		if before, known := s.asked[w.TopicPartition]; known && before == w.asked {
			continue
		}
		s.asked[w.TopicPartition] = w.asked
		appendAsked(req, w, partitionMaxBytes)
	}
	if len(s.asked) > len(wanted) { // all of wanted are in it
		s.forgetOthers(req, wanted)
	}
}

// forgetOthers drops the partitions that are not wanted any more.
func (s *fetchSession) forgetOthers(req *kmsg.FetchRequest, wanted []askedPartition) {
	named := make(map[model.TopicPartition]bool, len(wanted))
	for i := range wanted {
		named[wanted[i].TopicPartition] = true
	}
	for tp := range s.asked {
		if !named[tp] {
			delete(s.asked, tp)
			forgetAsked(req, tp)
		}
	}
}

func appendAsked(req *kmsg.FetchRequest, w *askedPartition, partitionMaxBytes int) {
	if n := len(req.Topics); n == 0 || req.Topics[n-1].Topic != w.Topic {
		topic := kmsg.NewFetchRequestTopic()
		topic.Topic = w.Topic
		req.Topics = append(req.Topics, topic)
	}
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.LogStartOffset = w.Partition, w.offset, w.logStart
	p.CurrentLeaderEpoch, p.LastFetchedEpoch = int32(w.epoch), int32(w.last)
	p.PartitionMaxBytes = int32(partitionMaxBytes)
	t := &req.Topics[len(req.Topics)-1]
	t.Partitions = append(t.Partitions, p)
}

func forgetAsked(req *kmsg.FetchRequest, tp model.TopicPartition) {
	for i := range req.ForgottenTopics {
		if f := &req.ForgottenTopics[i]; f.Topic == tp.Topic {
			f.Partitions = append(f.Partitions, tp.Partition)
			return
		}
	}
	f := kmsg.NewFetchRequestForgottenTopic()
	f.Topic, f.Partitions = tp.Topic, []int32{tp.Partition}
	req.ForgottenTopics = append(req.ForgottenTopics, f)
}

// answered takes the leader's word on the session.
func (s *fetchSession) answered(resp *kmsg.FetchResponse) *kerr.Error {
	switch err := kerr.ForCode(resp.ErrorCode); {
	case err == kerr.FetchSessionIDNotFound:
		s.id, s.epoch = 0, sessionBegin
		return err
	case err != nil:
		s.broken()
		return err
	case s.epoch == sessionless:
	case s.epoch == sessionBegin:
		s.id = resp.SessionID
		if s.id != 0 {
			s.epoch = 1
		}
	case s.epoch == math.MaxInt32:
		s.epoch = 1
	default:
		s.epoch++
	}
	return nil
}

// broken says that no answer came: the next request begins a new session and
// ends this one.
func (s *fetchSession) broken() {
	if s.epoch != sessionless {
		s.epoch = sessionBegin
	}
}
