package api

import (
	"context"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/group"
	"gregor/pkg/model"
	"gregor/pkg/wire"
)

// Groups is the family of consumer groups and their committed offsets.
type Groups struct {
	Coordinator *group.Coordinator
	Cluster     GroupCluster
	Topics      TopicCreator
	Consumers   ConsumerOffsets
	// OffsetsTopic is how __consumer_offsets is created on first use.
	OffsetsTopic InternalTopic
	// StaticMembers is true from inter.broker.protocol.version 2.3 on: before
	// it brokers cannot store group.instance.id.
	StaticMembers bool
	Log           *logrus.Entry // kafka.server.KafkaApis

	tooFew tooFewBrokers
}

// GroupCluster is what the family asks of the metadata cache.
type GroupCluster interface {
	// HasPartition reports whether the partition exists.
	HasPartition(tp model.TopicPartition) bool
	// HasTopic reports whether the topic exists.
	HasTopic(topic string) bool
	// Leader finds the leader of a partition and its endpoint on a listener.
	Leader(tp model.TopicPartition, listener string) (broker model.BrokerID, endpoint model.Endpoint, ok bool)
	// AliveBrokers is the number of brokers that are up.
	AliveBrokers() int
}

// TopicCreator creates internal topics. It returns when the topic's znode is
// written, or the topic is there already.
type TopicCreator interface {
	CreateInternalTopic(ctx context.Context, topic InternalTopic) error
}

// InternalTopic is how an internal topic is created.
type InternalTopic struct {
	Name              string
	Partitions        int32
	ReplicationFactor int16
	Configs           map[string]string
}

// ConsumerOffsets keeps the offsets of version 0 requests in ZooKeeper, under
// /consumers; zkstore.Store does.
type ConsumerOffsets interface {
	ConsumerOffset(ctx context.Context, group string, tp model.TopicPartition) (offset int64, found bool, err error)
	SetConsumerOffset(ctx context.Context, group string, tp model.TopicPartition, offset int64) error
}

// Register enters the family's handlers.
func (h *Groups) Register(r *Router) {
	r.Handle(8, Typed(kmsg.NewPtrOffsetCommitRequest, h.offsetCommit))
	r.Handle(9, Typed(kmsg.NewPtrOffsetFetchRequest, h.offsetFetch))
	r.Handle(10, Typed(kmsg.NewPtrFindCoordinatorRequest, h.findCoordinator))
	r.Handle(11, Typed(kmsg.NewPtrJoinGroupRequest, h.joinGroup))
	r.Handle(12, Typed(kmsg.NewPtrHeartbeatRequest, h.heartbeat))
	r.Handle(13, Typed(kmsg.NewPtrLeaveGroupRequest, h.leaveGroup))
	r.Handle(14, Typed(kmsg.NewPtrSyncGroupRequest, h.syncGroup))
	r.Handle(15, Typed(kmsg.NewPtrDescribeGroupsRequest, h.describeGroups))
	r.Handle(16, Typed(kmsg.NewPtrListGroupsRequest, h.listGroups))
	r.Handle(42, Typed(kmsg.NewPtrDeleteGroupsRequest, h.deleteGroups))
	r.Handle(47, Typed(kmsg.NewPtrOffsetDeleteRequest, h.offsetDelete))
}

// groupOperations are the ACL operations of a group (Read, Delete, Describe)
// as bits, what everybody may do where nothing is forbidden; notAsked stands
// for a request that does not want to know.
const (
	groupOperations int32 = 1<<3 | 1<<6 | 1<<8
	notAsked        int32 = -1 << 31
)

// clientOf is who a group shows for the sender of a request.
func clientOf(r *wire.Request) group.Client {
	return group.Client{ID: r.ClientIDOrEmpty(), Host: "/" + r.Peer.Host}
}

// tooFewBrokers says that the offsets topic cannot be created yet, not more
// often than every ten seconds: clients ask ten times a second.
type tooFewBrokers struct {
	mu   sync.Mutex // guards last
	last time.Time
}

func (t *tooFewBrokers) isDue(now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now.Sub(t.last) < 10*time.Second {
		return false
	}
	t.last = now
	return true
}
