package zkstore_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"gregor/pkg/model"
	"gregor/pkg/zkstore"
)

// TestGroupsOfWrites: of many states written at once one has another version
// and one is gone; the others are written all the same, and none under a
// fence that is broken.
func TestGroupsOfWrites(t *testing.T) {
	zk := zookeeper(t)
	s, raw := open(t, zk.Addr()), openRaw(t, zk.Addr())
	require.NoError(t, s.CreateTopLevelPaths(ctx))
	const n = 250
	a := zkstore.TopicAssignment{Partitions: map[int32]zkstore.ReplicaAssignment{}}
	states := map[model.TopicPartition]zkstore.PartitionState{}
	for p := range int32(n) {
		a.Partitions[p] = zkstore.ReplicaAssignment{Replicas: ids(1)}
		states[model.TopicPartition{Topic: "t", Partition: p}] = zkstore.PartitionState{Leader: 1, ISR: ids(1), ControllerEpoch: 1}
	}
	require.NoError(t, s.CreateTopic(ctx, "t", a, nil))
	_, fence, err := s.RegisterController(ctx, 1)
	require.NoError(t, err)
	failed, err := s.CreatePartitionStates(ctx, states, fence)
	require.NoError(t, err)
	require.Empty(t, failed)

	_, err = raw.Set(ctx, "/brokers/topics/t/partitions/7/state", []byte(`{"controller_epoch":1,"leader":9,"version":1,"leader_epoch":0,"isr":[9]}`), -1)
	require.NoError(t, err)
	require.NoError(t, raw.Delete(ctx, "/brokers/topics/t/partitions/123/state", -1))
	for tp, state := range states {
		state.LeaderEpoch = 1
		states[tp] = state
	}
	updated, failed, err := s.UpdatePartitionStates(ctx, states, fence)
	require.NoError(t, err)
	require.Len(t, updated, n-2)
	require.Len(t, failed, 2)
	require.ErrorIs(t, failed[model.TopicPartition{Topic: "t", Partition: 7}], zkstore.ErrBadVersion)
	require.ErrorIs(t, failed[model.TopicPartition{Topic: "t", Partition: 123}], zkstore.ErrNoNode)
	for _, state := range updated {
		require.Equal(t, model.PartitionEpoch(1), state.ZkVersion)
	}

	_, _, err = s.UpdatePartitionStates(ctx, updated, fence+1)
	require.ErrorIs(t, err, zkstore.ErrControllerMoved)
	require.ErrorIs(t, s.DeleteTopicTree(ctx, "t", fence+1), zkstore.ErrControllerMoved)
	found, err := s.PartitionStates(ctx, []model.TopicPartition{{Topic: "t", Partition: 200}})
	require.NoError(t, err)
	require.Equal(t, model.PartitionEpoch(1), found[model.TopicPartition{Topic: "t", Partition: 200}].ZkVersion)
	require.NoError(t, s.DeleteTopicTree(ctx, "t", fence))
	exists, err := s.TopicExists(ctx, "t")
	require.NoError(t, err)
	require.False(t, exists)
}
