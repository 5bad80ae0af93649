package replica

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/kerr"
	"gregor/pkg/model"
)

// cutTo drops what the leader does not have, given where it parts. mu is
// held.
func (f *fetcher) cutTo(tp model.TopicPartition, s *fetchState, answer EpochEnd) {
	log := s.partition.Log()
	if log == nil {
		f.dropLocked(tp)
		return
	}
	c := cutFor(log, answer, s.offset)
	did, err := s.partition.truncate(s.epoch, c.offset)
	f.didCut = f.didCut || did
	if err != nil {
		f.failed(tp, s, err)
		return
	}
	f.manager.wake(tp)
	f.resume(s)
	// Where each fetch tells the last epoch, the next one goes on comparing.
	if !c.done && !f.manager.options.Versions.TruncateOnFetch {
		s.phase = phaseTruncating
	}
}

// settleTruncating compares logs before the first fetch: by asking the leader
// where the last epoch ends, or, when none is known, by going back to the
// high watermark.
func (f *fetcher) settleTruncating() {
	questions := f.truncating(time.Now())
	f.keepCuts()
	if len(questions) == 0 {
		return
	}
	req := kmsg.NewPtrOffsetForLeaderEpochRequest()
	req.Version = f.manager.options.Versions.OffsetForLeaderEpoch
	req.ReplicaID = int32(f.manager.options.BrokerID)
	epochs := make(map[model.TopicPartition]model.LeaderEpoch, len(questions))
	for i := range questions {
		q := &questions[i]
		epochs[q.TopicPartition] = q.epoch
		if n := len(req.Topics); n == 0 || req.Topics[n-1].Topic != q.Topic {
			topic := kmsg.NewOffsetForLeaderEpochRequestTopic()
			topic.Topic = q.Topic
			req.Topics = append(req.Topics, topic)
		}
		p := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
		p.Partition, p.CurrentLeaderEpoch, p.LeaderEpoch = q.Partition, int32(q.epoch), int32(q.last)
		t := &req.Topics[len(req.Topics)-1]
		t.Partitions = append(t.Partitions, p)
	}
	answer, err := f.ask(req)
	if err != nil {
		return
	}
	resp := answer.(*kmsg.OffsetForLeaderEpochResponse)
	for i := range resp.Topics {
		t := &resp.Topics[i]
		for j := range t.Partitions {
			p := &t.Partitions[j]
			tp := model.TopicPartition{Topic: t.Topic, Partition: p.Partition}
			if epoch, named := epochs[tp]; named {
				f.takeEpochEnd(tp, epoch, kerr.ForCode(p.ErrorCode), EpochEnd{model.LeaderEpoch(p.LeaderEpoch), p.EndOffset})
			}
		}
	}
	f.keepCuts()
}

// truncating does what can be done alone and returns the questions to the
// leader.
func (f *fetcher) truncating(now time.Time) []askedPartition {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []askedPartition
	for _, s := range f.orderedLocked() {
		if s.phase != phaseTruncating || s.notBefore.After(now) {
			continue
		}
		tp, log := s.partition.TopicPartition, s.partition.Log()
		if log == nil {
			continue
		}
		latest := log.LatestEpoch()
		if latest != model.NoLeaderEpoch && f.manager.options.Versions.EpochLookup {
			list = append(list, askedPartition{TopicPartition: tp, asked: asked{epoch: s.epoch, last: latest}})
			continue
		}
		f.log.Infof("%sTruncating partition %s to local high watermark %d", f.prefix, tp, s.offset)
		did, err := s.partition.truncate(s.epoch, min(s.offset, log.LogEndOffset()))
		f.didCut = f.didCut || did
		if err != nil {
			f.failed(tp, s, err)
			continue
		}
		f.resume(s)
	}
	return list
}

func (f *fetcher) takeEpochEnd(tp model.TopicPartition, epoch model.LeaderEpoch, err *kerr.Error, end EpochEnd) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.states[tp]
	switch {
	case s == nil || s.epoch != epoch || s.phase != phaseTruncating:
	case err == kerr.OffsetOutOfRange:
		f.delay(s)
	case err != nil:
		f.refused(tp, s, err)
	default:
		f.cutTo(tp, s, end)
	}
}

// settleAstray finds out for each partition whose offset the leader does not
// have where to go on: at the leader's end when the leader has less, at its
// start when all that is here is gone there.
func (f *fetcher) settleAstray() {
	now := time.Now()
	f.mu.Lock()
	var list []askedPartition
	for _, s := range f.orderedLocked() {
		if s.phase == phaseAstray && !s.notBefore.After(now) {
			list = append(list, askedPartition{TopicPartition: s.partition.TopicPartition, asked: asked{epoch: s.epoch}})
		}
	}
	f.mu.Unlock()
	for _, q := range list {
		if f.ctx.Err() != nil {
			return
		}
		f.settleOne(q.TopicPartition, q.epoch)
	}
	f.keepCuts()
}

func (f *fetcher) settleOne(tp model.TopicPartition, epoch model.LeaderEpoch) {
	end, err := f.leaderOffset(tp, epoch, LatestTimestamp)
	start := unknownOffset
	if err == nil {
		start, err = f.leaderOffset(tp, epoch, EarliestTimestamp)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.states[tp]
	if s == nil || s.epoch != epoch || s.phase != phaseAstray {
		return
	}
	if err != nil {
		if refused := kerr.Of(err); refused != kerr.UnknownServerError && refused != kerr.OffsetOutOfRange {
			f.refused(tp, s, refused)
		} else {
			f.delay(s)
		}
		return
	}
	if err := f.restartWithin(tp, s, start, end); err != nil {
		f.failed(tp, s, err)
		return
	}
	f.manager.wake(tp)
	f.resume(s)
}

// restartWithin brings the log into the range that the leader has.
func (f *fetcher) restartWithin(tp model.TopicPartition, s *fetchState, start, end int64) error {
	log := s.partition.Log()
	if log == nil {
		return errNotFollowing
	}
	own := log.LogEndOffset()
	switch {
	case end < own:
		f.log.Warnf("%sReset fetch offset for partition %s from %d to current leader's latest offset %d", f.prefix, tp, own, end)
		did, err := s.partition.truncate(s.epoch, end)
		f.didCut = f.didCut || did
		return err
	case start > own:
		f.log.Warnf("%sReset fetch offset for partition %s from %d to current leader's start offset %d", f.prefix, tp, own, start)
		f.didCut = true
		return s.partition.restart(s.epoch, start)
	}
	return nil
}

// leaderOffset asks the leader for an end of its log.
func (f *fetcher) leaderOffset(tp model.TopicPartition, epoch model.LeaderEpoch, timestamp int64) (int64, error) {
	req := kmsg.NewPtrListOffsetsRequest()
	req.Version, req.ReplicaID = f.manager.options.Versions.ListOffsets, int32(f.manager.options.BrokerID)
	topic := kmsg.NewListOffsetsRequestTopic()
	topic.Topic = tp.Topic
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.Partition, p.CurrentLeaderEpoch, p.Timestamp, p.MaxNumOffsets = tp.Partition, int32(epoch), timestamp, 1
	topic.Partitions = append(topic.Partitions, p)
	req.Topics = append(req.Topics, topic)
	answer, err := f.ask(req)
	if err != nil {
		return unknownOffset, err
	}
	resp := answer.(*kmsg.ListOffsetsResponse)
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return unknownOffset, fmt.Errorf("ListOffsets for %s: the answer is not about it", tp)
	}
	got := &resp.Topics[0].Partitions[0]
	if err := kerr.ForCode(got.ErrorCode); err != nil {
		return unknownOffset, err
	}
	if req.Version > 0 {
		return got.Offset, nil
	}
	if len(got.OldStyleOffsets) == 0 {
		return unknownOffset, fmt.Errorf("ListOffsets for %s: no offset in the answer", tp)
	}
	return got.OldStyleOffsets[0], nil
}
