package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gregor/pkg/commitlog"
	"gregor/pkg/compress"
	"gregor/pkg/config"
	"gregor/pkg/coordinator"
	"gregor/pkg/group"
	"gregor/pkg/metadata"
	"gregor/pkg/model"
	"gregor/pkg/record"
	"gregor/pkg/replica"
	"gregor/pkg/txn"
)

// startCoordinators starts what answers for groups and producer ids.
func (b *Broker) startCoordinators(ctx context.Context) error {
	c := b.current()
	b.announceReaper(heartbeatReaper)
	b.announceReaper(rebalanceReaper)
	b.groups = group.New(b.groupConfig(c))
	b.groups.Start(b.offsetsPartitions(ctx, c))
	b.onStop(func(context.Context) {
		if err := b.groups.Shutdown(); err != nil {
			b.log.WithError(err).Warnf("%sthe group coordinator ended with an error", b.prefix())
		}
	})
	b.producerIDs = txn.NewProducerIDs(b.id, b.store, b.loggers)
	if err := b.producerIDs.Claim(ctx); err != nil {
		return err
	}
	log := b.loggers.Logger("kafka.coordinator.transaction.TransactionCoordinator")
	log.Infof("[TransactionCoordinator id=%d] Starting up.", b.id)
	log.Infof("[TransactionCoordinator id=%d] Startup complete.", b.id)
	b.onStop(func(context.Context) {
		log.Infof("[TransactionCoordinator id=%d] Shutting down.", b.id)
		b.producerIDs.Shutdown()
		log.Infof("[TransactionCoordinator id=%d] Shutdown complete.", b.id)
	})
	return nil
}

func (b *Broker) groupConfig(c *config.Broker) group.Config {
	g := group.DefaultConfig()
	g.BrokerID, g.Loggers = b.id, b.loggers
	g.Log = &topicLog{topic: group.Topic, replicas: b.replicas, timeout: milliseconds(c.Int("offsets.commit.timeout.ms")), chunk: c.Int("offsets.load.buffer.size")}
	g.MinSessionTimeout = milliseconds(c.Int("group.min.session.timeout.ms"))
	g.MaxSessionTimeout = milliseconds(c.Int("group.max.session.timeout.ms"))
	g.InitialRebalanceDelay = milliseconds(c.Int("group.initial.rebalance.delay.ms"))
	g.MaxSize = c.Int("group.max.size")
	g.MetadataMaxBytes = c.Int("offset.metadata.max.bytes")
	g.CommitTimeout = milliseconds(c.Int("offsets.commit.timeout.ms"))
	g.CommitAcks = c.Short("offsets.commit.required.acks")
	g.OffsetsRetention = time.Duration(c.Int("offsets.retention.minutes")) * time.Minute
	g.RetentionInterval = time.Duration(c.Long("offsets.retention.check.interval.ms")) * time.Millisecond
	g.Codec = compress.Codec(c.Int("offsets.topic.compression.codec"))
	v := c.InterBrokerProtocol()
	switch {
	case v < config.IBP_0_10_1_IV0:
		g.GroupValueVersion = 0
	case v < config.IBP_2_1_IV0:
		g.GroupValueVersion = 1
	case v < config.IBP_2_3_IV0:
		g.GroupValueVersion = 2
	}
	switch {
	case v < config.IBP_2_1_IV0:
		g.OffsetValueVersion = 1
	case v < config.IBP_2_1_IV1:
		g.OffsetValueVersion = 2
	}
	return g
}

// offsetsPartitions is how many partitions the offsets topic has, or is to
// get when somebody needs it.
func (b *Broker) offsetsPartitions(ctx context.Context, c *config.Broker) int32 {
	if a, found, err := b.store.TopicAssignment(ctx, group.Topic); err == nil && found {
		return int32(len(a.Partitions))
	}
	return int32(c.Int("offsets.topic.num.partitions"))
}

// onLeadership tells the coordinators which of their partitions came and
// went. The controller's requests arrive only after the doors were opened, and
// that is after the coordinators were started.
func (b *Broker) onLeadership(change replica.LeadershipChange) {
	for _, l := range change.Leaders {
		if l.Topic == group.Topic {
			b.groups.OnElection(l.Partition, l.Epoch)
		}
	}
	for _, gone := range [][]replica.LeaderChange{change.Followers, change.Deleted} {
		for _, l := range gone {
			if l.Topic == group.Topic {
				b.groups.OnResignation(l.Partition, l.Epoch)
			}
		}
	}
}

// onDeleted drops the offsets and the settings of topics that are gone.
func (b *Broker) onDeleted(deleted []model.TopicPartition) {
	for _, tp := range deleted {
		b.topicConfigs.forget(tp.Topic)
		b.unthrottleTopic(tp.Topic)
	}
	b.groups.OnPartitionsDeleted(deleted)
}

// topicLog is a coordinator's way to the partitions of its topic.
type topicLog struct {
	topic    string
	replicas *replica.Manager
	timeout  time.Duration
	chunk    int // bytes read at a time
}

var _ coordinator.Log = (*topicLog)(nil)

// Append writes in the order of the calls and waits in Await.
func (l *topicLog) Append(partition int32, batch []byte, acks int16) (coordinator.Appended, error) {
	req := &replica.AppendRequest{Acks: acks, Timeout: l.timeout, Origin: commitlog.OriginCoordinator, Internal: true,
		Appends: []replica.Append{{TopicPartition: model.TopicPartition{Topic: l.topic, Partition: partition}, Records: batch}}}
	l.replicas.Write(req)
	a := &req.Appends[0]
	if a.Err != nil {
		return coordinator.Appended{}, a.Err
	}
	a.Records = nil // lent until now
	appended := coordinator.Appended{Offset: a.Info.FirstOffset}
	if acks == -1 {
		appended.Await = func(ctx context.Context) error {
			l.replicas.Await(ctx, req)
			return a.Err
		}
	}
	return appended, nil
}

// Read hands the log to visit, chunk by chunk.
func (l *topicLog) Read(ctx context.Context, partition int32, visit func(batches []byte) error) error {
	log, _, err := l.replicas.LeaderLog(model.TopicPartition{Topic: l.topic, Partition: partition})
	if err != nil {
		return err
	}
	end := log.LogEndOffset()
	for offset := log.LogStartOffset(); offset < end; {
		if err := ctx.Err(); err != nil {
			return err
		}
		chunk, next, err := l.readChunk(log, offset)
		if err != nil {
			return err
		}
		if next <= offset {
			return nil // nothing more is there to read
		}
		if err := visit(chunk); err != nil {
			return err
		}
		offset = next
	}
	return nil
}

// readChunk reads complete batches from an offset on and tells the offset
// behind them.
func (l *topicLog) readChunk(log *commitlog.Log, offset int64) (batches []byte, next int64, err error) {
	info, err := log.Read(offset, l.chunk, commitlog.LogEnd, true)
	if err != nil {
		return nil, offset, err
	}
	region := info.Records
	if region.Length == 0 {
		return nil, offset, nil
	}
	defer region.Release()
	buffer := make([]byte, region.Length)
	if n, err := region.File.ReadAt(buffer, region.Position); n < len(buffer) {
		return nil, offset, fmt.Errorf("%s-%d: read of %d bytes at %d: %w", l.topic, log.Partition().Partition, len(buffer), region.Position, err)
	}
	size, next, err := wholeBatches(buffer, offset)
	if err != nil {
		return nil, offset, fmt.Errorf("%s-%d at offset %d: %w", l.topic, log.Partition().Partition, next, err)
	}
	return buffer[:size], next, nil
}

// wholeBatches tells how many bytes of b are whole batches, and the offset
// behind them; the last one may be cut by a limit. What cannot be a batch is
// an error once it stands first.
func wholeBatches(b []byte, offset int64) (size int, next int64, err error) {
	rest := b
	for next = offset; ; {
		batch, more, err := record.SplitAny(rest)
		size = len(b) - len(rest)
		if errors.Is(err, record.ErrShort) || err != nil && size > 0 {
			return size, next, nil
		}
		if err != nil {
			return 0, next, err
		}
		next, rest = batch.LastOffset()+1, more
	}
}

// clusterView is what the group APIs ask of the metadata.
type clusterView struct{ cache *metadata.Cache }

func (v clusterView) HasPartition(tp model.TopicPartition) bool {
	return v.cache.Snapshot().Contains(tp)
}

func (v clusterView) HasTopic(topic string) bool {
	_, ok := v.cache.Snapshot().Topic(topic)
	return ok
}

func (v clusterView) Leader(tp model.TopicPartition, listener string) (model.BrokerID, model.Endpoint, bool) {
	s := v.cache.Snapshot()
	p, ok := s.Partition(tp)
	if !ok {
		return model.NoBroker, model.Endpoint{}, false
	}
	leader, ok := s.Broker(p.Leader)
	if !ok {
		return model.NoBroker, model.Endpoint{}, false
	}
	endpoint, ok := leader.Endpoint(listener)
	return leader.ID, endpoint, ok
}
