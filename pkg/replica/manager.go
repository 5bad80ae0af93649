package replica

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"gregor/pkg/client"
	"gregor/pkg/commitlog"
	"gregor/pkg/kerr"
	"gregor/pkg/lifecycle"
	"gregor/pkg/logging"
	"gregor/pkg/logmanager"
	"gregor/pkg/metadata"
	"gregor/pkg/model"
	"gregor/pkg/purgatory"
)

// TopicSettings are the topic settings that matter above the log.
type TopicSettings struct {
	MinInSyncReplicas int    // min.insync.replicas
	CompressionType   string // compression.type
	RefuseOldReaders  bool   // message.downconversion.enable is false
}

// Logs are the logs of this broker; logmanager keeps them. Its own locks are
// below those of this package.
type Logs interface {
	// Get finds the log of a partition, nil when there is none.
	Get(tp model.TopicPartition) *commitlog.Log
	// GetOrCreate makes it when it is missing. Without isNew it refuses to
	// while a log directory is offline, where the log may well be.
	GetOrCreate(tp model.TopicPartition, isNew bool, id model.TopicID) (*commitlog.Log, error)
	// AsyncDelete takes a log out of service; its files go later.
	AsyncDelete(tp model.TopicPartition) error
	// HighWatermark is that of the checkpoint at start, if it has one.
	HighWatermark(tp model.TopicPartition) (offset int64, found bool)
	// CheckpointHighWatermarks replaces the checkpoints of log directories.
	CheckpointHighWatermarks(byDir map[string]map[model.TopicPartition]int64)
	// DescribeDirs lists the log directories with their logs.
	DescribeDirs() []logmanager.DirDescription
	// CheckpointRecoveryPoints writes up to where every log is on disk.
	CheckpointRecoveryPoints()
	FutureLogs
}

// Options configure a Manager; the comments name Kafka's keys.
type Options struct {
	BrokerID           model.BrokerID
	Logs               Logs
	Metadata           *metadata.Cache
	BrokerEpoch        func() model.BrokerEpoch             // of the current registration
	Settings           func(topic string) TopicSettings     // read when a partition appears
	TopicIDs           bool                                 // inter.broker.protocol.version >= 2.8
	CheckpointInterval time.Duration                        // replica.high.watermark.checkpoint.interval.ms
	LagTimeMax         time.Duration                        // replica.lag.time.max.ms
	OnLeadership       func(LeadershipChange)               // may be nil; see LeadershipChange
	OnDeleted          func(deleted []model.TopicPartition) // partitions that left the metadata; may be nil
	Loggers            *logging.Loggers

	Listener string // inter.broker.listener.name, settled
	// ControllerListener is where the controller is reached,
	// control.plane.listener.name; Listener when empty.
	ControllerListener string
	Dial               client.Dialer   // how to connect to brokers; plain TCP when nil
	Fetching           FetchingOptions // as a follower
	Versions           PeerVersions    // see PeerVersionsFor
	Quotas             Quotas          // of replication; without limit when nil
	// NearestReplica sends consumers to a replica in their own rack, as far as
	// they say where they are (KIP-392).
	NearestReplica bool
	Movers         int             // num.replica.alter.log.dirs.threads
	States         PartitionStates // where leaders write ISRs without Versions.AlterISR
}

// Manager holds the partitions of a broker. Safe for concurrent use.
type Manager struct {
	options      Options
	log          *logrus.Entry // kafka.server.ReplicaManager
	fetchersLog  *logrus.Entry // kafka.server.ReplicaFetcherManager
	stateChange  *logrus.Entry // state.change.logger
	partitionLog *logrus.Entry // kafka.cluster.Partition

	produces *purgatory.Purgatory[model.TopicPartition]
	fetches  *purgatory.Purgatory[model.TopicPartition]
	keys     sync.Pool // of *[]model.TopicPartition, for fetches that wait
	deletes  *purgatory.Purgatory[model.TopicPartition]

	group      *lifecycle.Group
	following  *fetchers
	leaving    atomic.Bool // see Leave
	moving     *movers
	isr        *isrQueue
	isrWriter  isrWriter
	dial       func(ctx context.Context, to model.BrokerID, listener, clientID string) (peer, error)
	failedDirs chan string
	checkpoint checkpointer

	changes         sync.Mutex // orders state changes and guards the fields below
	controllerEpoch model.ControllerEpoch
	checkpointing   bool
	strays          bool // whether they are being looked for

	mu         sync.RWMutex
	partitions map[model.TopicPartition]*Partition
}

// New returns a manager without partitions; the controller will bring them.
func New(options Options) *Manager {
	options.Quotas.complete()
	if options.ControllerListener == "" {
		options.ControllerListener = options.Listener
	}
	m := &Manager{
		options:      options,
		log:          options.Loggers.Logger("kafka.server.ReplicaManager"),
		fetchersLog:  options.Loggers.Logger("kafka.server.ReplicaFetcherManager"),
		stateChange:  options.Loggers.Logger("state.change.logger"),
		partitionLog: options.Loggers.Logger("kafka.cluster.Partition"),
		produces:     purgatory.New[model.TopicPartition](),
		fetches:      purgatory.New[model.TopicPartition](),
		deletes:      purgatory.New[model.TopicPartition](),
		group:        lifecycle.NewGroup(context.Background()),
		failedDirs:   make(chan string, 64),
		partitions:   map[model.TopicPartition]*Partition{},
		isr:          newISRQueue(),
	}
	m.dial = m.connect
	m.moving = newMovers(m)
	m.following = &fetchers{manager: m, byKey: map[fetcherKey]*fetcher{}}
	if options.Versions.AlterISR {
		m.isrWriter = &controllerISR{manager: m}
	} else {
		m.isrWriter = newStoreISR(m, options.States)
	}
	return m
}

// Start begins to listen for failed log directories and to keep the ISRs.
func (m *Manager) Start() {
	m.group.Go("log-dir-failures", m.handleFailedDirs)
	m.group.Go("isr-shrink", m.shrinkISRs)
	m.group.Go("isr-changes", m.writeISRs)
	if w, ok := m.isrWriter.(*storeISR); ok {
		m.group.Go("isr-notifications", w.notify)
	}
}

// Leave says that the broker is about to stop. What it is told to follow from
// now on it does not fetch: its leaders would take it into ISRs again which
// the controller has just taken it out of.
func (m *Manager) Leave() { m.leaving.Store(true) }

// Close ends the manager's goroutines and writes the high watermarks a last
// time. Requests that wait are ended by their contexts.
func (m *Manager) Close() error {
	m.log.Infof("%sShutting down", m.prefix())
	m.fetchersLog.Infof("[ReplicaFetcherManager on broker %d] shutting down", m.options.BrokerID)
	err := m.group.Close()
	m.fetchersLog.Infof("[ReplicaFetcherManager on broker %d] shutdown completed", m.options.BrokerID)
	m.checkpointHighWatermarks()
	m.log.Infof("%sShut down completely", m.prefix())
	return err
}

// Partition finds a partition that this broker hosts. The error is what a
// client is told otherwise: KAFKA_STORAGE_ERROR when its directory failed,
// NOT_LEADER_OR_FOLLOWER when it exists elsewhere, and else
// UNKNOWN_TOPIC_OR_PARTITION.
func (m *Manager) Partition(tp model.TopicPartition) (*Partition, error) {
	m.mu.RLock()
	p := m.partitions[tp]
	m.mu.RUnlock()
	switch {
	case p != nil && p.offline.Load():
		return nil, kerr.KafkaStorageError.With("Partition %s is in an offline log directory", tp)
	case p != nil:
		return p, nil
	case m.options.Metadata.Snapshot().Contains(tp):
		return nil, kerr.NotLeaderOrFollower.With("Error while fetching partition state for %s", tp)
	default:
		return nil, kerr.UnknownTopicOrPartition.With("Error while fetching partition state for %s", tp)
	}
}

// LeaderLog is the log of a partition that this broker leads, and the epoch
// in which it leads.
func (m *Manager) LeaderLog(tp model.TopicPartition) (*commitlog.Log, model.LeaderEpoch, error) {
	p, err := m.Partition(tp)
	if err != nil {
		return nil, model.NoLeaderEpoch, err
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	log, err := p.readableLocked(model.NoLeaderEpoch, true)
	return log, p.leaderEpoch, err
}

// Partitions lists the hosted partitions in order.
func (m *Manager) Partitions() []*Partition {
	m.mu.RLock()
	list := make([]*Partition, 0, len(m.partitions))
	for _, p := range m.partitions {
		list = append(list, p)
	}
	m.mu.RUnlock()
	slices.SortFunc(list, func(a, b *Partition) int { return a.TopicPartition.Compare(b.TopicPartition) })
	return list
}

// DescribeDirs lists the log directories of this broker with their logs, also
// those that serve no partition.
func (m *Manager) DescribeDirs() []logmanager.DirDescription { return m.options.Logs.DescribeDirs() }

// UpdateTopicSettings changes the settings of a topic's partitions here.
func (m *Manager) UpdateTopicSettings(topic string, settings TopicSettings) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for tp, p := range m.partitions {
		if tp.Topic == topic {
			p.settings.Store(&settings)
		}
	}
}

// Waiting is the number of produce and fetch requests that are parked.
func (m *Manager) Waiting() (produces, fetches int) {
	return m.produces.Waiting(), m.fetches.Waiting()
}

// wake makes the requests that wait for the partition look again.
func (m *Manager) wake(tp model.TopicPartition) {
	m.produces.Wake(tp)
	m.fetches.Wake(tp)
	m.deletes.Wake(tp)
}

// host returns the partition, entering it when it is new. changes is held. The
// settings, which may have to be read from afar, are asked for when the map is
// free again: everybody who produces or fetches needs that. Until they are
// there the partition has no log. A change of them meanwhile is newer.
func (m *Manager) host(tp model.TopicPartition) *Partition {
	m.mu.RLock()
	p := m.partitions[tp]
	m.mu.RUnlock()
	if p != nil {
		return p
	}
	p = m.newPartition(tp)
	none := p.settings.Load()
	m.mu.Lock()
	m.partitions[tp] = p
	m.mu.Unlock()
	settings := m.options.Settings(tp.Topic)
	p.settings.CompareAndSwap(none, &settings)
	return p
}

// unhostUnused forgets a partition that was entered for a request that was
// then refused.
func (m *Manager) unhostUnused(tp model.TopicPartition) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p := m.partitions[tp]; p != nil && !p.offline.Load() && p.Log() == nil {
		p.gone.Store(true)
		delete(m.partitions, tp)
	}
}

func (m *Manager) prefix() string {
	return fmt.Sprintf("[ReplicaManager broker=%d] ", m.options.BrokerID)
}
