package group

import (
	"context"
	"time"
	"unicode/utf16"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/coordinator"
	"gregor/pkg/kerr"
	"gregor/pkg/model"
	"gregor/pkg/record"
)

// OffsetCommit commits the offsets of versions 1 and up. It answers when they
// are in the log, or after the commit timeout; ctx does not shorten that.
func (c *Coordinator) OffsetCommit(ctx context.Context, req *kmsg.OffsetCommitRequest) *kmsg.OffsetCommitResponse {
	var w commit
	err := c.with(req.Group, true, func(s *shard) { w.err = c.beginCommit(s, req, &w) })
	if err != nil {
		w.err = kerr.Of(err)
	}
	if w.appended.Await != nil {
		err := c.await(context.WithoutCancel(ctx), w.appended)
		w.err = commitError(err)
		// Another coordinator will read it from the log if ours has moved.
		_ = c.runtime.With(c.PartitionFor(req.Group), func(*shard) { w.finish(err == nil) })
	}
	return w.response(req)
}

// commit is an OffsetCommit on its way.
type commit struct {
	group    *Group
	offsets  map[model.TopicPartition]Committed // those that are appended
	tooLong  map[model.TopicPartition]bool      // those whose metadata is too long
	appended coordinator.Appended
	err      *kerr.Error // of all that are appended
}

// beginCommit checks and appends one batch. The shard is locked.
func (c *Coordinator) beginCommit(s *shard, req *kmsg.OffsetCommitRequest, w *commit) *kerr.Error {
	g := s.groups[req.Group]
	if g == nil {
		if req.Generation >= 0 {
			return kerr.IllegalGeneration
		}
		g = c.groupOf(s, req.Group)
	}
	now := time.Now()
	err, out := g.CheckCommit(now, req.MemberID, req.InstanceID, req.Generation)
	c.writeLines(out.Lines)
	if err != nil {
		return err
	}
	w.group = g
	batch := c.collect(now, req, w)
	if batch.Count() == 0 {
		return nil
	}
	appended, failure := c.append(s.partition, batch, c.config.CommitAcks)
	if failure != nil {
		return commitError(failure)
	}
	index := int64(0)
	for _, t := range req.Topics { // in the order of the batch
		for _, p := range t.Partitions {
			tp := model.TopicPartition{Topic: t.Topic, Partition: p.Partition}
			if w.tooLong[tp] {
				continue
			}
			committed := w.offsets[tp]
			committed.logOffset = appended.Offset + index
			w.offsets[tp] = committed
			index++
		}
	}
	for tp := range w.offsets {
		g.offsets.inFlight[tp]++
	}
	if w.appended = appended; appended.Await == nil {
		w.finish(true)
	}
	return nil
}

// collect makes the batch of what may be committed. The header has sequence 0
// and no producer, as Kafka writes it.
func (c *Coordinator) collect(now time.Time, req *kmsg.OffsetCommitRequest, w *commit) *record.Builder {
	w.offsets, w.tooLong = map[model.TopicPartition]Committed{}, map[model.TopicPartition]bool{}
	b := record.NewBuilder(c.config.Codec)
	b.BaseSequence = 0
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			tp := model.TopicPartition{Topic: t.Topic, Partition: p.Partition}
			committed := committedFrom(now, req, p)
			if !c.TakesMetadata(committed.Metadata) {
				w.tooLong[tp] = true
				continue
			}
			w.offsets[tp] = committed
			b.Append(now.UnixMilli(), offsetKey(req.Group, tp), offsetValue(committed, c.opts.OffsetValueVersion))
		}
	}
	return b
}

func committedFrom(now time.Time, req *kmsg.OffsetCommitRequest, p kmsg.OffsetCommitRequestTopicPartition) Committed {
	committed := Committed{
		Offset: p.Offset, LeaderEpoch: model.NoLeaderEpoch,
		CommitTimestamp: now.UnixMilli(), ExpireTimestamp: noTimestamp,
	}
	if p.Metadata != nil {
		committed.Metadata = *p.Metadata
	}
	switch {
	case req.Version == 1 && p.Timestamp != noTimestamp:
		committed.CommitTimestamp = p.Timestamp
	case req.Version >= 2 && req.Version <= 4 && req.RetentionTimeMillis != -1:
		committed.ExpireTimestamp = now.UnixMilli() + req.RetentionTimeMillis
	case req.Version >= 6:
		committed.LeaderEpoch = model.LeaderEpoch(p.LeaderEpoch)
	}
	return committed
}

// javaLength is the length of a string as Java counts it.
func javaLength(s string) int {
	n := 0
	for _, r := range s {
		n += max(utf16.RuneLen(r), 1)
	}
	return n
}

// finish lets the group know whether the batch is safe. The shard is locked.
func (w *commit) finish(stored bool) {
	for tp, committed := range w.offsets {
		w.group.offsets.acknowledged(tp, committed, stored)
	}
}

func (w *commit) response(req *kmsg.OffsetCommitRequest) *kmsg.OffsetCommitResponse {
	resp := kmsg.NewPtrOffsetCommitResponse()
	for _, t := range req.Topics {
		topic := kmsg.NewOffsetCommitResponseTopic()
		topic.Topic = t.Topic
		for _, p := range t.Partitions {
			row := kmsg.NewOffsetCommitResponseTopicPartition()
			row.Partition = p.Partition
			switch {
			case w.tooLong[model.TopicPartition{Topic: t.Topic, Partition: p.Partition}]:
				row.ErrorCode = kerr.OffsetMetadataTooLarge.Code
			case w.err != nil:
				row.ErrorCode = w.err.Code
			}
			topic.Partitions = append(topic.Partitions, row)
		}
		resp.Topics = append(resp.Topics, topic)
	}
	return resp
}

// OffsetFetch reads committed offsets; no topics at all (version 2 and up)
// means every partition that has one.
func (c *Coordinator) OffsetFetch(req *kmsg.OffsetFetchRequest) *kmsg.OffsetFetchResponse {
	resp := kmsg.NewPtrOffsetFetchResponse()
	err := c.with(req.Group, true, func(s *shard) {
		g := s.groups[req.Group]
		if g != nil && g.state == Dead {
			g = nil
		}
		topics := req.Topics
		if topics == nil && g != nil {
			topics = allTopics(g)
		}
		for _, t := range topics {
			topic := kmsg.NewOffsetFetchResponseTopic()
			topic.Topic = t.Topic
			for _, p := range t.Partitions {
				topic.Partitions = append(topic.Partitions, fetchOffset(g, t.Topic, p, req.RequireStable))
			}
			resp.Topics = append(resp.Topics, topic)
		}
	})
	if err != nil {
		return FailedOffsetFetch(req, err)
	}
	return resp
}

func fetchOffset(g *Group, topic string, partition int32, requireStable bool) kmsg.OffsetFetchResponseTopicPartition {
	row := noOffset(partition)
	if g == nil {
		return row
	}
	tp := model.TopicPartition{Topic: topic, Partition: partition}
	if requireStable && g.offsets.isUndecided(tp) {
		row.ErrorCode = kerr.UnstableOffsetCommit.Code
		return row
	}
	if committed, found := g.offsets.committed[tp]; found {
		row.Offset, row.LeaderEpoch, row.Metadata = committed.Offset, int32(committed.LeaderEpoch), &committed.Metadata
	}
	return row
}

// noOffset is the answer for a partition without a committed offset.
func noOffset(partition int32) kmsg.OffsetFetchResponseTopicPartition {
	row := kmsg.NewOffsetFetchResponseTopicPartition()
	none := ""
	row.Partition, row.Offset, row.LeaderEpoch, row.Metadata = partition, -1, -1, &none
	return row
}

// allTopics lists what the group has committed, as a request would.
func allTopics(g *Group) []kmsg.OffsetFetchRequestTopic {
	var topics []kmsg.OffsetFetchRequestTopic
	for _, tp := range g.offsets.partitions() {
		if n := len(topics); n == 0 || topics[n-1].Topic != tp.Topic {
			topic := kmsg.NewOffsetFetchRequestTopic()
			topic.Topic = tp.Topic
			topics = append(topics, topic)
		}
		last := &topics[len(topics)-1]
		last.Partitions = append(last.Partitions, tp.Partition)
	}
	return topics
}

// FailedOffsetFetch is the answer to a request that failed as a whole. Before
// version 2 the error stands at each partition.
func FailedOffsetFetch(req *kmsg.OffsetFetchRequest, err error) *kmsg.OffsetFetchResponse {
	resp := kmsg.NewPtrOffsetFetchResponse()
	resp.ErrorCode = kerr.Code(err)
	if req.Version >= 2 {
		return resp
	}
	for _, t := range req.Topics {
		topic := kmsg.NewOffsetFetchResponseTopic()
		topic.Topic = t.Topic
		for _, p := range t.Partitions {
			row := noOffset(p)
			row.ErrorCode = kerr.Code(err)
			topic.Partitions = append(topic.Partitions, row)
		}
		resp.Topics = append(resp.Topics, topic)
	}
	return resp
}

// TakesMetadata reports whether the text of a committed offset is short
// enough.
func (c *Coordinator) TakesMetadata(text string) bool {
	return javaLength(text) <= c.config.MetadataMaxBytes
}
