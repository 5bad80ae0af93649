// Package metadata is what this broker believes about the cluster: the live
// brokers and their endpoints, the partitions and their leaders, the
// controller.
//
// The controller tells it by UpdateMetadata; Cache.Update applies a request.
// Readers take a Snapshot, which never changes, and need no lock. Await waits
// for the cache to show something, which is how CreateTopics, DeleteTopics
// and elections know that what they did has come about.
//
// Callers: replica applies the requests (and checks the controller's epoch),
// api answers from snapshots, admin waits. The package owns no goroutine. It
// has one lock, which orders the updates and is held for no call out.
package metadata

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"gregor/pkg/logging"
	"gregor/pkg/model"
)

// Partition is the state of one partition as the controller announced it. Its
// slices are not to be changed.
type Partition struct {
	Index           int32
	Leader          model.BrokerID
	LeaderEpoch     model.LeaderEpoch
	ControllerEpoch model.ControllerEpoch
	PartitionEpoch  model.PartitionEpoch
	ISR             []model.BrokerID
	Replicas        []model.BrokerID
	OfflineReplicas []model.BrokerID
}

// Topic is one topic; Partitions are in ascending order and without gaps
// unless the controller left some.
type Topic struct {
	Name       string
	ID         model.TopicID // zero below inter.broker.protocol.version 2.8
	Partitions []Partition
}

// Partition finds a partition of the topic.
func (t *Topic) Partition(index int32) (*Partition, bool) {
	if i := int(index); i >= 0 && i < len(t.Partitions) && t.Partitions[i].Index == index {
		return &t.Partitions[i], true
	}
	at, ok := slices.BinarySearchFunc(t.Partitions, index, func(p Partition, i int32) int { return int(p.Index) - int(i) })
	if !ok {
		return nil, false
	}
	return &t.Partitions[at], true
}

// Snapshot is the whole belief at one moment. It is immutable.
type Snapshot struct {
	clusterID    string
	controllerID model.BrokerID
	told         bool // an UpdateMetadata has come
	brokers      map[model.BrokerID]model.Broker
	topics       map[string]*Topic
	names        map[model.TopicID]string
	deleted      map[string]time.Time // topics seen going, for a while
	superseded   chan struct{}        // closed when the next snapshot is in place
}

// ClusterID is the id of the cluster; it is known from the start.
func (s *Snapshot) ClusterID() string { return s.clusterID }

// ControllerID is the broker that leads the cluster, or model.NoBroker.
func (s *Snapshot) ControllerID() model.BrokerID { return s.controllerID }

// Told reports whether a controller has spoken yet. Before that, nothing is
// known, which is not the same as nothing being there.
func (s *Snapshot) Told() bool { return s.told }

// Broker finds a live broker.
func (s *Snapshot) Broker(id model.BrokerID) (model.Broker, bool) {
	b, ok := s.brokers[id]
	return b, ok
}

// Brokers lists the live brokers by ascending id.
func (s *Snapshot) Brokers() []model.Broker {
	list := make([]model.Broker, 0, len(s.brokers))
	for _, id := range slices.Sorted(maps.Keys(s.brokers)) {
		list = append(list, s.brokers[id])
	}
	return list
}

// Topic finds a topic by its name.
func (s *Snapshot) Topic(name string) (*Topic, bool) {
	t, ok := s.topics[name]
	return t, ok
}

// TopicNamed is Topic for a name that is still in a request's bytes; it does
// not allocate.
func (s *Snapshot) TopicNamed(name []byte) (*Topic, bool) {
	t, ok := s.topics[string(name)]
	return t, ok
}

// TopicName finds the name of a topic id.
func (s *Snapshot) TopicName(id model.TopicID) (string, bool) {
	name, ok := s.names[id]
	return name, ok
}

// TopicID is the id of a topic, zero when it has none or is not there.
func (s *Snapshot) TopicID(name string) model.TopicID {
	if t, ok := s.topics[name]; ok {
		return t.ID
	}
	return model.TopicID{}
}

// Topics lists the names of all topics in order.
func (s *Snapshot) Topics() []string { return slices.Sorted(maps.Keys(s.topics)) }

// TopicCount is the number of topics.
func (s *Snapshot) TopicCount() int { return len(s.topics) }

// Partition finds a partition.
func (s *Snapshot) Partition(tp model.TopicPartition) (*Partition, bool) {
	t, ok := s.topics[tp.Topic]
	if !ok {
		return nil, false
	}
	return t.Partition(tp.Partition)
}

// Contains reports whether the partition exists.
//
// Hot path: asked for every partition of every Produce and Fetch.
func (s *Snapshot) Contains(tp model.TopicPartition) bool {
	_, ok := s.Partition(tp)
	return ok
}

// DeletedAt is when the topic was seen being deleted, if that is less than
// DeletionMemory ago and it has not come back in between.
func (s *Snapshot) DeletedAt(topic string) (time.Time, bool) {
	at, ok := s.deleted[topic]
	return at, ok && time.Since(at) < DeletionMemory
}

// DeletionMemory is how long a deleted topic is remembered.
const DeletionMemory = 10 * time.Minute

// Cache holds the newest snapshot. Safe for concurrent use.
type Cache struct {
	brokerID    model.BrokerID
	stateChange *logrus.Entry
	log         *logrus.Entry

	mu      sync.Mutex // orders the updates
	current atomic.Pointer[Snapshot]
}

// New returns the cache of a broker that has not been told anything yet.
func New(brokerID model.BrokerID, clusterID string, loggers *logging.Loggers) *Cache {
	c := &Cache{
		brokerID:    brokerID,
		stateChange: loggers.Logger("state.change.logger"),
		log:         loggers.Logger("kafka.server.metadata.ZkMetadataCache"),
	}
	c.current.Store(&Snapshot{
		clusterID:    clusterID,
		controllerID: model.NoBroker,
		superseded:   make(chan struct{}),
	})
	return c
}

// Snapshot is the newest belief.
func (c *Cache) Snapshot() *Snapshot { return c.current.Load() }

// Await returns true as soon as cond holds for the newest snapshot, and false
// when ctx is done first. cond is called on the calling goroutine, once and
// then again after each update.
func (c *Cache) Await(ctx context.Context, cond func(*Snapshot) bool) bool {
	for {
		s := c.current.Load()
		if cond(s) {
			return true
		}
		select {
		case <-s.superseded:
		case <-ctx.Done():
			return false
		}
	}
}
