package api

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/admin"
	"gregor/pkg/config"
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
}

func (l *leavingCluster) ControlledShutdown(_ context.Context, id model.BrokerID, epoch model.BrokerEpoch) ([]model.TopicPartition, error) {
	l.id, l.epoch = id, epoch
	return l.left, l.err
}

func (l *leavingCluster) IsActive() bool { return false }

func (l *leavingCluster) IsQueuedForDeletion(context.Context, string) (bool, error) {
	return false, kerr.NotController
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
}

func TestTopicAPIsRefuseWhatTheyCannotRead(t *testing.T) {
	r, _ := topicsRouter(t)
	for _, key := range []int16{7, 19, 20, 37} {
		answer := r.Answer(t.Context(), &wire.Request{Header: wire.Header{Key: key}, Body: []byte{0x7f, 0xff}})
		require.True(t, answer.Close, "key %d", key)
	}
}
