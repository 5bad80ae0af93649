package api

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/admin"
	"gregor/pkg/config"
	"gregor/pkg/controller"
	"gregor/pkg/kerr"
	"gregor/pkg/logging"
	"gregor/pkg/metadata"
	"gregor/pkg/model"
	"gregor/pkg/wire"
)

// leavingCluster is a controller that is not active but for shutdowns.
type leavingCluster struct {
	id    model.BrokerID
	epoch model.BrokerEpoch
	left  []model.TopicPartition
	err   error

	changes []controller.ISRChange
	results []controller.ISRResult

	targets map[model.TopicPartition][]model.BrokerID
	refused map[model.TopicPartition]error
	asked   []model.TopicPartition
	running map[model.TopicPartition]controller.Assignment
}

func (l *leavingCluster) ControlledShutdown(_ context.Context, id model.BrokerID, epoch model.BrokerEpoch) ([]model.TopicPartition, error) {
	l.id, l.epoch = id, epoch
	return l.left, l.err
}

func (l *leavingCluster) AlterISR(_ context.Context, id model.BrokerID, epoch model.BrokerEpoch, changes []controller.ISRChange) ([]controller.ISRResult, error) {
	l.id, l.epoch, l.changes = id, epoch, changes
	return l.results, l.err
}

func (l *leavingCluster) AlterReassignments(_ context.Context, targets map[model.TopicPartition][]model.BrokerID) (map[model.TopicPartition]error, error) {
	l.targets = targets
	return l.refused, l.err
}

func (l *leavingCluster) Reassignments(_ context.Context, of []model.TopicPartition) (map[model.TopicPartition]controller.Assignment, error) {
	l.asked = of
	return l.running, l.err
}

func (l *leavingCluster) IsActive() bool { return false }

func (l *leavingCluster) IsQueuedForDeletion(context.Context, string) (bool, error) {
	return false, kerr.NotController
}

func (l *leavingCluster) ElectLeaders(context.Context, []model.TopicPartition, bool) (map[model.TopicPartition]model.BrokerID, map[model.TopicPartition]error, error) {
	return nil, nil, kerr.NotController
}

func (l *leavingCluster) TopicName(context.Context, model.TopicID) (string, bool, error) {
	return "", false, kerr.NotController
}

// topicsRouter has the Topics family of a broker that is not the controller.
func topicsRouter(t *testing.T) (*Router, *leavingCluster) {
	t.Helper()
	cluster := &leavingCluster{}
	c, _, err := config.ParseBroker(config.NewProperties(map[string]string{"zookeeper.connect": "localhost:2181"}), nil)
	require.NoError(t, err)
	loggers := logging.Discard()
	topics := &Topics{Controller: cluster, Admin: admin.NewTopics(admin.TopicsOptions{Controller: cluster, Loggers: loggers,
		Metadata: metadata.New(0, "cluster", loggers), Config: func() *config.Broker { return c }})}
	r := NewRouter()
	topics.Register(r)
	return r, cluster
}

// askTopics sends req in a version through the router and decodes the answer.
func askTopics[Resp kmsg.Response](t *testing.T, r *Router, req kmsg.Request, version int16) Resp {
	t.Helper()
	req.SetVersion(version)
	answer := r.Answer(t.Context(), &wire.Request{Header: wire.Header{Key: req.Key(), Version: version}, Body: req.AppendTo(nil)})
	require.False(t, answer.Close)
	require.Len(t, answer.Chunks, 1)
	resp := req.ResponseKind()
	require.NoError(t, resp.ReadFrom(answer.Chunks[0].Bytes))
	return resp.(Resp)
}

func TestControlledShutdownVersions(t *testing.T) {
	r, cluster := topicsRouter(t)
	cluster.left = []model.TopicPartition{{Topic: "a", Partition: 3}}
	for version := int16(0); version <= 3; version++ {
		req := kmsg.NewPtrControlledShutdownRequest()
		req.BrokerID, req.BrokerEpoch = 7, 77
		resp := askTopics[*kmsg.ControlledShutdownResponse](t, r, req, version)
		require.Equal(t, int16(0), resp.ErrorCode)
		require.Len(t, resp.PartitionsRemaining, 1)
		require.Equal(t, "a", resp.PartitionsRemaining[0].Topic)
		require.Equal(t, int32(3), resp.PartitionsRemaining[0].Partition)
		require.Equal(t, model.BrokerID(7), cluster.id)
		want := model.BrokerEpoch(77)
		if version < 2 {
			want = model.NoBrokerEpoch
		}
		require.Equal(t, want, cluster.epoch, "version %d", version)
	}
	cluster.left, cluster.err = nil, kerr.StaleBrokerEpoch
	resp := askTopics[*kmsg.ControlledShutdownResponse](t, r, kmsg.NewPtrControlledShutdownRequest(), 3)
	require.Equal(t, kerr.StaleBrokerEpoch.Code, resp.ErrorCode)
}

func TestAlterISR(t *testing.T) {
	r, cluster := topicsRouter(t)
	tp := func(topic string, partition int32) model.TopicPartition {
		return model.TopicPartition{Topic: topic, Partition: partition}
	}
	cluster.results = []controller.ISRResult{
		{TopicPartition: tp("a", 0), State: controller.LeaderISR{Leader: 7, LeaderEpoch: 4, ISR: []model.BrokerID{7, 8}, ZkVersion: 12}},
		{TopicPartition: tp("a", 1), Err: kerr.FencedLeaderEpoch},
		{TopicPartition: tp("b", 0), Err: kerr.InvalidUpdateVersion},
	}
	part := func(p, epoch, version int32, isr ...int32) kmsg.AlterPartitionRequestTopicPartition {
		return kmsg.AlterPartitionRequestTopicPartition{Partition: p, LeaderEpoch: epoch, NewISR: isr, PartitionEpoch: version}
	}
	req := kmsg.NewPtrAlterPartitionRequest()
	req.BrokerID, req.BrokerEpoch = 7, 77
	req.Topics = []kmsg.AlterPartitionRequestTopic{
		{Topic: "a", Partitions: []kmsg.AlterPartitionRequestTopicPartition{part(0, 4, 11, 7, 8), part(1, 3, 5, 7)}},
		{Topic: "b", Partitions: []kmsg.AlterPartitionRequestTopicPartition{part(0, 1, 2)}},
	}
	resp := askTopics[*kmsg.AlterPartitionResponse](t, r, req, 0)
	require.Equal(t, model.BrokerID(7), cluster.id)
	require.Equal(t, model.BrokerEpoch(77), cluster.epoch)
	require.Equal(t, []controller.ISRChange{
		{TopicPartition: tp("a", 0), LeaderEpoch: 4, ISR: []model.BrokerID{7, 8}, Version: 11},
		{TopicPartition: tp("a", 1), LeaderEpoch: 3, ISR: []model.BrokerID{7}, Version: 5},
		{TopicPartition: tp("b", 0), LeaderEpoch: 1, ISR: []model.BrokerID{}, Version: 2},
	}, cluster.changes)
	require.Equal(t, int16(0), resp.ErrorCode)
	require.Len(t, resp.Topics, 2)
	done := resp.Topics[0].Partitions[0]
	require.Equal(t, []int32{7, 8}, done.ISR)
	require.Equal(t, []int32{0, 7, 4, 12}, []int32{int32(done.ErrorCode), done.LeaderID, done.LeaderEpoch, done.PartitionEpoch})
	require.Equal(t, kerr.FencedLeaderEpoch.Code, resp.Topics[0].Partitions[1].ErrorCode)
	require.Equal(t, "b", resp.Topics[1].Topic)
	require.Equal(t, kerr.InvalidUpdateVersion.Code, resp.Topics[1].Partitions[0].ErrorCode)

	cluster.results, cluster.err = nil, kerr.StaleBrokerEpoch
	resp = askTopics[*kmsg.AlterPartitionResponse](t, r, req, 0)
	require.Equal(t, kerr.StaleBrokerEpoch.Code, resp.ErrorCode)
	require.Empty(t, resp.Topics)
}

func TestTopicAPIsOfAnotherBrokerThanTheController(t *testing.T) {
	r, _ := topicsRouter(t)
	for version := int16(0); version <= 7; version++ {
		req := kmsg.NewPtrCreateTopicsRequest()
		req.Topics = []kmsg.CreateTopicsRequestTopic{{Topic: "a", NumPartitions: 1, ReplicationFactor: 1}, {Topic: "b"}}
		resp := askTopics[*kmsg.CreateTopicsResponse](t, r, req, version)
		require.Len(t, resp.Topics, 2)
		require.Equal(t, "b", resp.Topics[1].Topic)
		require.Equal(t, kerr.NotController.Code, resp.Topics[1].ErrorCode)
	}
	for version := int16(0); version <= 6; version++ {
		req := kmsg.NewPtrDeleteTopicsRequest()
		req.TopicNames, req.Topics = []string{"a"}, []kmsg.DeleteTopicsRequestTopic{{Topic: kmsg.StringPtr("a")}}
		resp := askTopics[*kmsg.DeleteTopicsResponse](t, r, req, version)
		require.Len(t, resp.Topics, 1)
		require.Equal(t, "a", *resp.Topics[0].Topic)
		require.Equal(t, kerr.NotController.Code, resp.Topics[0].ErrorCode)
	}
	for version := int16(0); version <= 3; version++ {
		req := kmsg.NewPtrCreatePartitionsRequest()
		req.Topics = []kmsg.CreatePartitionsRequestTopic{{Topic: "a", Count: 2}}
		resp := askTopics[*kmsg.CreatePartitionsResponse](t, r, req, version)
		require.Equal(t, kerr.NotController.Code, resp.Topics[0].ErrorCode)
		require.Nil(t, resp.Topics[0].ErrorMessage)
	}
	for version := int16(0); version <= 2; version++ {
		req := kmsg.NewPtrElectLeadersRequest()
		req.Topics = []kmsg.ElectLeadersRequestTopic{{Topic: "a", Partitions: []int32{0, 1, 0}}}
		resp := askTopics[*kmsg.ElectLeadersResponse](t, r, req, version)
		require.Equal(t, int16(0), resp.ErrorCode)
		require.Len(t, resp.Topics[0].Partitions, 2)
		require.Equal(t, kerr.NotController.Code, resp.Topics[0].Partitions[1].ErrorCode)
		require.Nil(t, resp.Topics[0].Partitions[1].ErrorMessage)
	}
}

func TestTopicAPIsRefuseWhatTheyCannotRead(t *testing.T) {
	r, _ := topicsRouter(t)
	for _, key := range []int16{7, 19, 20, 37, 43, 56} {
		answer := r.Answer(t.Context(), &wire.Request{Header: wire.Header{Key: key}, Body: []byte{0x7f, 0xff}})
		require.True(t, answer.Close, "key %d", key)
	}
}
