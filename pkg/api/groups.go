package api

import (
	"context"

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
	Topics      InternalTopicCreator
	Consumers   ConsumerOffsets
	// StaticMembers is true from inter.broker.protocol.version 2.3 on: before
	// it brokers cannot store group.instance.id.
	StaticMembers bool
	Log           *logrus.Entry // kafka.server.KafkaApis
}

// GroupCluster is what the family asks of the metadata cache.
type GroupCluster interface {
	// HasPartition reports whether the partition exists.
	HasPartition(tp model.TopicPartition) bool
	// HasTopic reports whether the topic exists.
	HasTopic(topic string) bool
	// Leader finds the leader of a partition and its endpoint on a listener.
	Leader(tp model.TopicPartition, listener string) (broker model.BrokerID, endpoint model.Endpoint, ok bool)
}

// InternalTopicCreator creates a topic of Kafka's own as the configuration
// wants it, and does not wait for its leaders; *admin.Topics does. It is no
// error when the topic is there. INVALID_REPLICATION_FACTOR, when too few
// brokers are up, it has told in the log.
type InternalTopicCreator interface {
	CreateInternal(ctx context.Context, topic string) error
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

// clientOf is who a group shows for the sender of a request.
func clientOf(r *wire.Request) group.Client {
	return group.Client{ID: r.ClientIDOrEmpty(), Host: "/" + r.Peer.Host}
}
