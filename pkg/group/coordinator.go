package group

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/sirupsen/logrus"

	"gregor/pkg/compress"
	"gregor/pkg/coordinator"
	"gregor/pkg/kerr"
	"gregor/pkg/logging"
	"gregor/pkg/model"
	"gregor/pkg/record"
)

// Topic is where groups and their offsets are kept.
const Topic = model.GroupMetadataTopic

// Config is what a Coordinator is built from.
type Config struct {
	BrokerID model.BrokerID
	Log      coordinator.Log
	Loggers  *logging.Loggers

	MinSessionTimeout     time.Duration // group.min.session.timeout.ms
	MaxSessionTimeout     time.Duration // group.max.session.timeout.ms
	InitialRebalanceDelay time.Duration // group.initial.rebalance.delay.ms
	MaxSize               int           // group.max.size
	MetadataMaxBytes      int           // offset.metadata.max.bytes
	CommitTimeout         time.Duration // offsets.commit.timeout.ms
	CommitAcks            int16         // offsets.commit.required.acks
	OffsetsRetention      time.Duration // offsets.retention.minutes
	RetentionInterval     time.Duration // offsets.retention.check.interval.ms
	Codec                 compress.Codec

	// The formats that are written; see Options.
	GroupValueVersion  int16
	OffsetValueVersion int16
}

// DefaultConfig has Kafka's defaults.
func DefaultConfig() Config {
	return Config{
		Loggers:           logging.Discard(),
		MinSessionTimeout: 6 * time.Second, MaxSessionTimeout: 30 * time.Minute,
		InitialRebalanceDelay: 3 * time.Second, MaxSize: 1<<31 - 1, MetadataMaxBytes: 4096,
		CommitTimeout: 5 * time.Second, CommitAcks: -1,
		OffsetsRetention: 7 * 24 * time.Hour, RetentionInterval: 10 * time.Minute,
		GroupValueVersion: 3, OffsetValueVersion: 3,
	}
}

// Coordinator answers for the groups whose partition of __consumer_offsets
// this broker leads. Safe for concurrent use.
type Coordinator struct {
	config  Config
	opts    Options
	runtime *coordinator.Runtime[*shard]

	log     *logrus.Entry // kafka.coordinator.group.GroupCoordinator
	groups  *logrus.Entry // kafka.coordinator.group.GroupMetadata
	storage *logrus.Entry // kafka.coordinator.group.GroupMetadataManager

	partitions int32 // of Topic; set by Start and constant from then on
}

// shard is the groups of one partition of the topic; the runtime's lock
// guards it.
type shard struct {
	partition  int32
	groups     map[string]*Group
	lastTicket Ticket
	joins      map[Ticket]chan<- JoinResult
	syncs      map[Ticket]chan<- SyncResult
	// skipped counts, while loading, records of unknown versions.
	skipped map[int16]int
}

// New returns a coordinator that answers COORDINATOR_NOT_AVAILABLE until it
// is started.
func New(config Config) *Coordinator {
	c := &Coordinator{
		config: config,
		opts: Options{
			InitialRebalanceDelay: config.InitialRebalanceDelay, MaxSize: config.MaxSize,
			OffsetsRetention:  config.OffsetsRetention,
			GroupValueVersion: config.GroupValueVersion, OffsetValueVersion: config.OffsetValueVersion,
			NewMemberID: newMemberID,
		},
		log:     config.Loggers.Logger("kafka.coordinator.group.GroupCoordinator"),
		groups:  config.Loggers.Logger("kafka.coordinator.group.GroupMetadata"),
		storage: config.Loggers.Logger("kafka.coordinator.group.GroupMetadataManager"),
	}
	c.runtime = coordinator.New(coordinator.Options[*shard]{
		Log: config.Log, New: newShard, Replay: c.replay, Loaded: c.loaded, Unloaded: c.unloaded, Fire: c.fire,
	})
	return c
}

func newShard(partition int32) *shard {
	return &shard{
		partition: partition, groups: map[string]*Group{},
		joins: map[Ticket]chan<- JoinResult{}, syncs: map[Ticket]chan<- SyncResult{}, skipped: map[int16]int{},
	}
}

// newMemberID is a client id or instance id, a dash and a random UUID.
func newMemberID(prefix string) string {
	var u [16]byte
	rand.Read(u[:]) // never fails, see crypto/rand
	u[6], u[8] = u[6]&0x0f|0x40, u[8]&0x3f|0x80
	return fmt.Sprintf("%s-%x-%x-%x-%x-%x", prefix, u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}

// Start begins to answer. partitions is how many partitions the topic has, or
// will be created with.
func (c *Coordinator) Start(partitions int32) {
	c.log.Infof("%s Starting up.", c.prefix())
	c.partitions = partitions
	c.runtime.Start()
	c.runtime.Go("delete-expired-group-metadata", c.expireOffsets)
	c.log.Infof("%s Startup complete.", c.prefix())
}

// Shutdown answers everybody who waits and ends the goroutines.
func (c *Coordinator) Shutdown() error {
	c.log.Infof("%s Shutting down.", c.prefix())
	err := c.runtime.Close()
	c.log.Infof("%s Shutdown complete.", c.prefix())
	return err
}

func (c *Coordinator) prefix() string {
	return fmt.Sprintf("[GroupCoordinator %s]:", c.config.BrokerID)
}

func (c *Coordinator) storagePrefix() string {
	return fmt.Sprintf("[GroupMetadataManager brokerId=%s]", c.config.BrokerID)
}

// PartitionFor is the partition of the topic where the group lives.
func (c *Coordinator) PartitionFor(group string) int32 {
	return model.JavaAbs(model.JavaStringHash(group)) % c.partitions
}

func partitionName(partition int32) string {
	return model.TopicPartition{Topic: Topic, Partition: partition}.String()
}

// OnElection is for the partitions of the topic that this broker has become
// leader of.
func (c *Coordinator) OnElection(partition int32, epoch model.LeaderEpoch) {
	c.log.Infof("%s Elected as the group coordinator for partition %d in epoch %d", c.prefix(), partition, epoch)
	c.storage.Infof("%s Scheduling loading of offsets and group metadata from %s for epoch %d", c.storagePrefix(), partitionName(partition), epoch)
	switch c.runtime.Elect(partition, epoch) {
	case coordinator.Already:
		c.storage.Infof("%s Already loading offsets and group metadata from %s", c.storagePrefix(), partitionName(partition))
	case coordinator.Stale:
		seen, _ := c.runtime.Epoch(partition)
		c.storage.Infof("%s Not loading offsets and group metadata for %s in epoch %d since current epoch is %d", c.storagePrefix(), partitionName(partition), epoch, seen)
	}
}

// OnResignation is for the partitions that this broker leads no longer; the
// epoch is NoLeaderEpoch when the replica is stopped without one.
func (c *Coordinator) OnResignation(partition int32, epoch model.LeaderEpoch) {
	shown := epochOption(epoch)
	c.log.Infof("%s Resigned as the group coordinator for partition %d in epoch %s", c.prefix(), partition, shown)
	c.storage.Infof("%s Scheduling unloading of offsets and group metadata from %s", c.storagePrefix(), partitionName(partition))
	if !c.runtime.Resign(partition, epoch) {
		seen, _ := c.runtime.Epoch(partition)
		c.storage.Infof("%s Not removing offsets and group metadata for %s in epoch %s since current epoch is %d", c.storagePrefix(), partitionName(partition), shown, seen)
	}
}

// replay applies what a log holds, in its order, to a shard that is loading.
func (c *Coordinator) replay(s *shard, batches []byte) error {
	for len(batches) > 0 {
		batch, rest, err := record.SplitAny(batches)
		if err != nil {
			return fmt.Errorf("load %s: %w", partitionName(s.partition), err)
		}
		if err := c.replayBatch(s, batch); err != nil {
			return fmt.Errorf("load %s, batch at %d: %w", partitionName(s.partition), batch.BaseOffset(), err)
		}
		batches = rest
	}
	return nil
}

// recordMax bounds one record of the topic: a group record carries what all
// members subscribe to and are assigned.
const recordMax = 256 << 20

func (c *Coordinator) replayBatch(s *shard, batch record.Any) error {
	if batch.Control() {
		marker, found, err := record.Batch(batch).EndTxnMarker()
		if err == nil && found {
			for _, g := range s.groups {
				g.offsets.decide(batch.ProducerID(), marker.Type == record.ControlCommit)
			}
		}
		return err
	}
	return batch.Visit(recordMax, func(r *record.Record) error {
		if err := c.replayRecord(s, batch, r); err != nil {
			return fmt.Errorf("offset %d: %w", r.Offset, err)
		}
		return nil
	})
}

// replayRecord leaves out keys of newer versions: a later broker may have
// written them.
func (c *Coordinator) replayRecord(s *shard, batch record.Any, r *record.Record) error {
	key, err := decodeKey(r.Key)
	if err != nil {
		return err
	}
	switch key.kind {
	case keyGroup:
		g := c.groupOf(s, key.group)
		if r.Value == nil {
			g.forget()
			return nil
		}
		return g.restore(slices.Clone(r.Value)) // members keep slices of it
	case keyOffset:
		offsets := &c.groupOf(s, key.group).offsets
		if r.Value == nil {
			delete(offsets.committed, key.tp)
			return nil
		}
		committed, err := decodeOffset(r.Value, r.Offset)
		if err != nil {
			return err
		}
		if batch.Transactional() {
			offsets.stage(batch.ProducerID(), key.tp, committed)
		} else {
			offsets.put(key.tp, committed)
		}
	default:
		s.skipped[key.version]++
	}
	return nil
}

// groupOf finds the group or makes an empty one.
func (c *Coordinator) groupOf(s *shard, id string) *Group {
	g := s.groups[id]
	if g == nil {
		g = NewGroup(id, partitionName(s.partition), &c.opts, time.Now())
		s.groups[id] = g
	}
	return g
}

func (c *Coordinator) loaded(s *shard, load coordinator.Load) {
	for version, n := range s.skipped {
		c.storage.Warnf("%s Unknown message key with version %d while loading offsets and group metadata from %s. Ignoring %d of them. It could be a left over from an aborted upgrade.", c.storagePrefix(), version, partitionName(s.partition), n)
	}
	if load.Err != nil {
		c.storage.Errorf("%s Error loading offsets from %s: %v", c.storagePrefix(), partitionName(s.partition), load.Err)
	}
	now := time.Now()
	for _, id := range slices.Sorted(maps.Keys(s.groups)) {
		g := s.groups[id]
		if g.generation == 0 && g.protocolType == nil && g.offsets.isEmpty() {
			delete(s.groups, id) // tombstones only
			continue
		}
		c.log.Infof("%s Loading group metadata for %s with generation %d", c.prefix(), id, g.generation)
		c.apply(s, g, g.Loaded(now))
	}
	c.storage.Infof("%s Finished loading offsets and group metadata from %s in %d milliseconds for epoch %d, of which %d milliseconds was spent in the scheduler.",
		c.storagePrefix(), partitionName(s.partition), load.Total.Milliseconds(), load.Epoch, load.Queued.Milliseconds())
}

func (c *Coordinator) unloaded(s *shard, u coordinator.Unload) {
	now := time.Now()
	for _, id := range slices.Sorted(maps.Keys(s.groups)) {
		g := s.groups[id]
		if !u.Closing {
			c.log.Infof("%s Unloading group metadata for %s with generation %d", c.prefix(), id, g.generation)
		}
		c.apply(s, g, g.Unload(now))
	}
	if !u.Closing {
		c.storage.Infof("%s Finished unloading %s for coordinator epoch %s. Removed %d cached offsets and %d cached groups.",
			c.storagePrefix(), partitionName(s.partition), epochOption(u.Epoch), countOffsets(s), len(s.groups))
	}
}

func epochOption(epoch model.LeaderEpoch) string {
	if epoch == model.NoLeaderEpoch {
		return "None"
	}
	return fmt.Sprintf("Some(%d)", epoch)
}

func countOffsets(s *shard) int {
	n := 0
	for _, g := range s.groups {
		n += len(g.offsets.committed)
	}
	return n
}

// fire handles what is due in a group, one thing after the other.
func (c *Coordinator) fire(s *shard, id string) {
	g := s.groups[id]
	for g != nil {
		now := time.Now()
		if next := g.NextDeadline(); next.IsZero() || next.After(now) {
			break
		}
		c.apply(s, g, g.Tick(now))
	}
	if g != nil {
		c.runtime.SetTimer(s.partition, id, g.NextDeadline())
	}
}

// apply does what an event of the group has decided. The shard is locked.
func (c *Coordinator) apply(s *shard, g *Group, out Effects) {
	c.writeLines(out.Lines)
	for _, a := range out.Joins {
		if reply := s.joins[a.Ticket]; reply != nil {
			delete(s.joins, a.Ticket)
			reply <- a.JoinResult
		}
	}
	for _, a := range out.Syncs {
		if reply := s.syncs[a.Ticket]; reply != nil {
			delete(s.syncs, a.Ticket)
			reply <- a.SyncResult
		}
	}
	if out.Store != nil {
		c.store(s, g, out.Store)
	}
	c.runtime.SetTimer(s.partition, g.id, g.NextDeadline())
}

func (c *Coordinator) writeLines(lines []Line) {
	for _, l := range lines {
		if l.Bare {
			c.groups.Log(l.Level, l.Text)
		} else {
			c.log.Logf(l.Level, "%s %s", c.prefix(), l.Text)
		}
	}
}

// store appends a group record; its outcome is the group's next event, at
// once when there is nothing to wait for.
func (c *Coordinator) store(s *shard, g *Group, st *Store) {
	now := time.Now()
	b := record.NewBuilder(c.config.Codec)
	b.Append(now.UnixMilli(), st.Key, st.Value)
	appended, err := c.append(s.partition, b, c.config.CommitAcks)
	if err != nil || appended.Await == nil {
		c.apply(s, g, g.Stored(now, st, groupError(err)))
		return
	}
	partition := s.partition
	if !c.runtime.Go("group-append", func(ctx context.Context) error {
		err := c.await(ctx, appended)
		// Unless the partition has moved, and everybody was answered then.
		_ = c.runtime.With(partition, func(s *shard) {
			if s.groups[g.id] == g {
				c.apply(s, g, g.Stored(time.Now(), st, groupError(err)))
			}
		})
		return nil
	}) {
		c.apply(s, g, g.Stored(now, st, kerr.NotCoordinator))
	}
}

func (c *Coordinator) append(partition int32, b *record.Builder, acks int16) (coordinator.Appended, error) {
	batch, err := b.Build()
	if err != nil {
		return coordinator.Appended{}, err
	}
	return c.config.Log.Append(partition, batch, acks)
}

func (c *Coordinator) await(ctx context.Context, a coordinator.Appended) error {
	ctx, cancel := context.WithTimeout(ctx, c.config.CommitTimeout)
	defer cancel()
	return a.Await(ctx)
}

// groupError is what members are told when their group's record could not be
// appended.
func groupError(err error) *kerr.Error {
	if errors.Is(err, kerr.RequestTimedOut) {
		return kerr.RebalanceInProgress
	}
	return appendError(err, kerr.UnknownServerError)
}

// commitError is what a commit is answered when it could not be appended.
func commitError(err error) *kerr.Error { return appendError(err, kerr.InvalidCommitOffsetSize) }

func appendError(err error, tooLarge *kerr.Error) *kerr.Error {
	e := kerr.Of(err)
	switch e {
	case kerr.UnknownTopicOrPartition, kerr.NotEnoughReplicas, kerr.NotEnoughReplicasAfterAppend:
		return kerr.CoordinatorNotAvailable
	case kerr.NotLeaderOrFollower, kerr.KafkaStorageError:
		return kerr.NotCoordinator
	case kerr.MessageTooLarge, kerr.RecordListTooLarge, kerr.InvalidFetchSize:
		return tooLarge
	}
	return e
}
