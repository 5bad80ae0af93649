package zkstore_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"gregor/pkg/model"
	"gregor/pkg/zkstore"
)

func TestTopicAssignmentsAreUpdated(t *testing.T) {
	s := open(t, zookeeper(t).Addr())
	require.NoError(t, s.CreateTopLevelPaths(ctx))
	id := model.NewTopicID()
	require.NoError(t, s.CreateTopic(ctx, "a", zkstore.TopicAssignment{ID: id, Partitions: map[int32]zkstore.ReplicaAssignment{
		0: {Replicas: ids(1)}, 1: {Replicas: ids(2)}}}, nil))
	_, fence, err := s.RegisterController(ctx, 1)
	require.NoError(t, err)
	moving := zkstore.TopicAssignment{ID: id, Partitions: map[int32]zkstore.ReplicaAssignment{
		0: {Replicas: ids(2, 1), Adding: ids(2), Removing: ids(1)}}}
	failed, err := s.UpdateTopicAssignments(ctx, map[string]zkstore.TopicAssignment{"a": moving, "gone": moving}, fence)
	require.NoError(t, err)
	require.Len(t, failed, 1)
	require.ErrorIs(t, failed["gone"], zkstore.ErrNoNode)
	a, _, err := s.TopicAssignment(ctx, "a")
	require.NoError(t, err)
	require.Equal(t, id, a.ID)
	require.Equal(t, moving.Partitions[0], a.Partitions[0])
	require.Equal(t, ids(2), a.Partitions[1].Replicas, "a partition that the caller does not know stays")

	_, err = s.UpdateTopicAssignments(ctx, map[string]zkstore.TopicAssignment{"a": moving}, fence+1)
	require.ErrorIs(t, err, zkstore.ErrControllerMoved)
}

func TestReassignRequestTellsNodesApart(t *testing.T) {
	zk := zookeeper(t)
	s, raw := open(t, zk.Addr()), openRaw(t, zk.Addr())
	require.NoError(t, s.CreateTopLevelPaths(ctx))
	_, found, err := s.ReassignRequest(ctx)
	require.NoError(t, err)
	require.False(t, found)
	targets := map[model.TopicPartition][]model.BrokerID{{Topic: "a"}: {1, 2}}
	require.NoError(t, s.CreateReassignPartitions(ctx, targets))
	first, found, err := s.ReassignRequest(ctx)
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, targets, first.Targets)
	require.NoError(t, s.SetReassignPartitions(ctx, map[model.TopicPartition][]model.BrokerID{{Topic: "a"}: {2}}, zkstore.NoFence))
	same, _, err := s.ReassignRequest(ctx)
	require.NoError(t, err)
	require.Equal(t, first.ID, same.ID)
	require.NoError(t, s.DeleteReassignPartitions(ctx, zkstore.NoFence))
	_, err = raw.Create(ctx, zkstore.ReassignPath, []byte("{"), 0, world())
	require.NoError(t, err)
	next, found, err := s.ReassignRequest(ctx)
	require.ErrorIs(t, err, zkstore.ErrBadData)
	require.True(t, found)
	require.NotEqual(t, first.ID, next.ID)
}
