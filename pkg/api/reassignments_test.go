package api

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/controller"
	"gregor/pkg/kerr"
	"gregor/pkg/model"
)

func TestAlterPartitionReassignments(t *testing.T) {
	r, cluster := topicsRouter(t)
	a0, a1, b0 := model.TopicPartition{Topic: "a"}, model.TopicPartition{Topic: "a", Partition: 1}, model.TopicPartition{Topic: "b"}
	req := kmsg.NewPtrAlterPartitionAssignmentsRequest()
	req.Topics = []kmsg.AlterPartitionAssignmentsRequestTopic{
		{Topic: "b", Partitions: []kmsg.AlterPartitionAssignmentsRequestTopicPartition{{Partition: 0, Replicas: []int32{}}}},
		{Topic: "a", Partitions: []kmsg.AlterPartitionAssignmentsRequestTopicPartition{{Partition: 1, Replicas: []int32{2, 3}}, {Partition: 0, Replicas: nil}}},
	}
	cluster.refused = map[model.TopicPartition]error{a0: kerr.NoReassignmentInProgress, b0: kerr.InvalidReplicaAssignment.With("empty")}
	resp := askTopics[*kmsg.AlterPartitionAssignmentsResponse](t, r, req, 0)
	require.Equal(t, map[model.TopicPartition][]model.BrokerID{a0: nil, a1: {2, 3}, b0: {}}, cluster.targets)
	require.Zero(t, resp.ErrorCode)
	require.Nil(t, resp.ErrorMessage)
	require.Len(t, resp.Topics, 2)
	require.Equal(t, "a", resp.Topics[0].Topic)
	require.Equal(t, kerr.NoReassignmentInProgress.Code, resp.Topics[0].Partitions[0].ErrorCode)
	require.Equal(t, "No partition reassignment is in progress.", *resp.Topics[0].Partitions[0].ErrorMessage)
	require.Zero(t, resp.Topics[0].Partitions[1].ErrorCode)
	require.Nil(t, resp.Topics[0].Partitions[1].ErrorMessage)
	require.Equal(t, "empty", *resp.Topics[1].Partitions[0].ErrorMessage)

	cluster.err = kerr.NotController
	resp = askTopics[*kmsg.AlterPartitionAssignmentsResponse](t, r, req, 0)
	require.Equal(t, kerr.NotController.Code, resp.ErrorCode)
	require.Equal(t, kerr.NotController.Text, *resp.ErrorMessage)
	require.Empty(t, resp.Topics)
}

func TestListPartitionReassignments(t *testing.T) {
	r, cluster := topicsRouter(t)
	cluster.running = map[model.TopicPartition]controller.Assignment{
		{Topic: "b"}:               {Replicas: []model.BrokerID{1, 2}, Adding: []model.BrokerID{1}},
		{Topic: "a", Partition: 1}: {Replicas: []model.BrokerID{3, 2}, Removing: []model.BrokerID{2}},
		{Topic: "a"}:               {Replicas: []model.BrokerID{3, 2}, Removing: []model.BrokerID{2}},
	}
	req := kmsg.NewPtrListPartitionReassignmentsRequest()
	resp := askTopics[*kmsg.ListPartitionReassignmentsResponse](t, r, req, 0)
	require.Nil(t, cluster.asked)
	require.Nil(t, resp.ErrorMessage)
	require.Len(t, resp.Topics, 2)
	require.Len(t, resp.Topics[0].Partitions, 2)
	b0 := resp.Topics[1].Partitions[0]
	require.Equal(t, []int32{1, 2}, b0.Replicas)
	require.Equal(t, []int32{1}, b0.AddingReplicas)
	require.Empty(t, b0.RemovingReplicas)

	req.Topics = []kmsg.ListPartitionReassignmentsRequestTopic{{Topic: "a", Partitions: []int32{1, 7}}}
	askTopics[*kmsg.ListPartitionReassignmentsResponse](t, r, req, 0)
	require.Equal(t, []model.TopicPartition{{Topic: "a", Partition: 1}, {Topic: "a", Partition: 7}}, cluster.asked)
	req.Topics = []kmsg.ListPartitionReassignmentsRequestTopic{}
	askTopics[*kmsg.ListPartitionReassignmentsResponse](t, r, req, 0)
	require.NotNil(t, cluster.asked)
	require.Empty(t, cluster.asked)

	cluster.err = kerr.NotController
	cluster.running = nil
	resp = askTopics[*kmsg.ListPartitionReassignmentsResponse](t, r, req, 0)
	require.Equal(t, kerr.NotController.Code, resp.ErrorCode)
}
