package admin_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/admin"
	"gregor/pkg/kerr"
	"gregor/pkg/logging"
	"gregor/pkg/metadata"
	"gregor/pkg/model"
)

// elections is a controller that answers with what the test says, and notes
// what it was asked.
type elections struct {
	elected map[model.TopicPartition]model.BrokerID
	failed  map[model.TopicPartition]error
	err     error

	asked   []model.TopicPartition
	unclean bool
}

func (e *elections) IsActive() bool { return e.err == nil }

func (e *elections) IsQueuedForDeletion(context.Context, string) (bool, error) { return false, nil }

func (e *elections) TopicName(context.Context, model.TopicID) (string, bool, error) {
	return "", false, nil
}

func (e *elections) ElectLeaders(_ context.Context, partitions []model.TopicPartition, unclean bool) (map[model.TopicPartition]model.BrokerID, map[model.TopicPartition]error, error) {
	e.asked, e.unclean = partitions, unclean
	return e.elected, e.failed, e.err
}

// announce gives the cache three partitions of topic a with their leaders.
func announce(cache *metadata.Cache, leaders ...int32) {
	req := kmsg.NewPtrUpdateMetadataRequest()
	req.SetVersion(5)
	topic := kmsg.NewUpdateMetadataRequestTopicState()
	topic.Topic = "a"
	for i, leader := range leaders {
		p := kmsg.NewUpdateMetadataRequestTopicPartition()
		p.Partition, p.Leader, p.Replicas, p.ISR = int32(i), leader, []int32{1, 2}, []int32{leader}
		topic.PartitionStates = append(topic.PartitionStates, p)
	}
	req.TopicStates = append(req.TopicStates, topic)
	cache.Update(req, 1)
}

// told is the answer as "partition: error text", the top-level error first.
func told(resp *kmsg.ElectLeadersResponse) map[int32]string {
	out := map[int32]string{}
	for _, topic := range resp.Topics {
		for _, p := range topic.Partitions {
			name := ""
			if e := kerr.ForCode(p.ErrorCode); e != nil {
				name = e.Name
			}
			if p.ErrorMessage != nil {
				name += " " + *p.ErrorMessage
			}
			out[p.Partition] = name
		}
	}
	return out
}

func TestElectLeaders(t *testing.T) {
	cache := metadata.New(1, "cluster", logging.Discard())
	cluster := &elections{}
	topics := admin.NewTopics(admin.TopicsOptions{Controller: cluster, Metadata: cache, Loggers: logging.Discard()})
	announce(cache, 2, 2, 1)
	tp := func(n int32) model.TopicPartition { return model.TopicPartition{Topic: "a", Partition: n} }
	request := func(kind int8, partitions ...int32) *kmsg.ElectLeadersRequest {
		req := kmsg.NewPtrElectLeadersRequest()
		req.Version, req.ElectionType, req.TimeoutMillis = 2, kind, 10000
		if len(partitions) > 0 {
			req.Topics = []kmsg.ElectLeadersRequestTopic{{Topic: "a", Partitions: partitions}}
		}
		return req
	}
	cluster.failed = map[model.TopicPartition]error{
		tp(1): kerr.PreferredLeaderNotAvailable.With("nobody"),
		tp(2): kerr.ElectionNotNeeded,
		tp(9): kerr.UnknownTopicOrPartition.With("The partition does not exist."),
	}
	cluster.elected = map[model.TopicPartition]model.BrokerID{tp(0): 1}

	// It answers when the cache shows the leader, not before.
	answered := make(chan *kmsg.ElectLeadersResponse, 1)
	go func() { answered <- topics.ElectLeaders(context.Background(), request(0, 2, 1, 0, 9, 0)) }()
	select {
	case <-answered:
		t.Fatal("answered while the old leader is in the cache")
	case <-time.After(20 * time.Millisecond):
	}
	announce(cache, 1, 2, 1)
	resp := <-answered
	require.Equal(t, []model.TopicPartition{tp(0), tp(1), tp(2), tp(9)}, cluster.asked)
	require.False(t, cluster.unclean)
	require.Equal(t, map[int32]string{0: "", 1: "PREFERRED_LEADER_NOT_AVAILABLE nobody",
		2: "ELECTION_NOT_NEEDED Leader election not needed for topic partition.",
		9: "UNKNOWN_TOPIC_OR_PARTITION The partition does not exist."}, told(resp))

	// All partitions: those that need nothing are left out.
	delete(cluster.failed, tp(9))
	resp = topics.ElectLeaders(t.Context(), request(1))
	require.Equal(t, []model.TopicPartition{tp(0), tp(1), tp(2)}, cluster.asked)
	require.True(t, cluster.unclean)
	require.Equal(t, map[int32]string{0: "", 1: "PREFERRED_LEADER_NOT_AVAILABLE nobody"}, told(resp))

	// A leader that the cache does not show in time.
	cluster.elected, cluster.failed = map[model.TopicPartition]model.BrokerID{tp(0): 2, tp(2): 1}, nil
	req := request(0, 0, 2)
	req.TimeoutMillis = 0
	require.Equal(t, map[int32]string{0: "REQUEST_TIMED_OUT", 2: ""}, told(topics.ElectLeaders(t.Context(), req)))

	// Elections that Kafka does not have, and another controller.
	resp = topics.ElectLeaders(t.Context(), request(2, 0))
	require.Equal(t, kerr.UnknownServerError.Code, resp.ErrorCode)
	require.Equal(t, map[int32]string{0: "UNKNOWN_SERVER_ERROR"}, told(resp))
	cluster.elected, cluster.failed, cluster.err = nil, nil, kerr.NotController
	require.Equal(t, map[int32]string{0: "NOT_CONTROLLER", 1: "NOT_CONTROLLER"}, told(topics.ElectLeaders(t.Context(), request(0, 0, 1))))
}
