package zkstore_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gregor/pkg/model"
	"gregor/pkg/zkstore"
)

func ids(n ...model.BrokerID) []model.BrokerID { return n }

func TestLifeOfATopic(t *testing.T) {
	zk := zookeeper(t)
	s := open(t, zk.Addr()+"/kafka", func(o *zkstore.Options) { o.CreateChroot = true })
	raw := openRaw(t, zk.Addr()+"/kafka")
	assignment := zkstore.TopicAssignment{ID: model.NewTopicID(), Partitions: map[int32]zkstore.ReplicaAssignment{
		0: {Replicas: ids(1, 2)}, 1: {Replicas: ids(2, 1)},
	}}
	// The parents are made on the way when a tool is faster than every broker.
	require.NoError(t, s.CreateTopic(ctx, "t", assignment, map[string]string{"retention.ms": "1"}))
	require.ErrorIs(t, s.CreateTopic(ctx, "t", assignment, nil), zkstore.ErrNodeExists)
	exists, err := s.TopicExists(ctx, "t")
	require.NoError(t, err)
	require.True(t, exists)
	exists, err = s.TopicExists(ctx, "u")
	require.NoError(t, err)
	require.False(t, exists)
	topics, err := s.Topics(ctx)
	require.NoError(t, err)
	require.Equal(t, []string{"t"}, topics)
	got, found, err := s.TopicAssignment(ctx, "t")
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, assignment, got)
	_, found, err = s.TopicAssignment(ctx, "u")
	require.NoError(t, err)
	require.False(t, found)

	_, fence, err := s.RegisterController(ctx, 1)
	require.NoError(t, err)
	assignment.Partitions[0] = zkstore.ReplicaAssignment{Replicas: ids(3, 1, 2), Adding: ids(3)}
	require.NoError(t, s.SetTopicAssignment(ctx, "t", assignment, fence))
	got, _, err = s.TopicAssignment(ctx, "t")
	require.NoError(t, err)
	assignment.ZkVersion = 1
	require.Equal(t, assignment, got)
	require.ErrorIs(t, s.SetTopicAssignment(ctx, "u", assignment, fence), zkstore.ErrNoNode)

	states := map[model.TopicPartition]zkstore.PartitionState{}
	for p := range int32(2) {
		states[model.TopicPartition{Topic: "t", Partition: p}] = zkstore.PartitionState{Leader: 1, ISR: ids(1, 2), ControllerEpoch: 1}
	}
	failed, err := s.CreatePartitionStates(ctx, states, fence)
	require.NoError(t, err)
	require.Empty(t, failed)
	failed, err = s.CreatePartitionStates(ctx, states, fence)
	require.NoError(t, err)
	require.Len(t, failed, 2)
	for _, err := range failed {
		require.ErrorIs(t, err, zkstore.ErrNodeExists)
	}
	tps := slices.Collect(maps.Keys(states))
	read, err := s.PartitionStates(ctx, append(tps, model.TopicPartition{Topic: "t", Partition: 9}))
	require.NoError(t, err)
	require.Equal(t, states, read)
	data, _, err := raw.Get(ctx, "/brokers/topics/t/partitions/0", false)
	require.NoError(t, err)
	require.Nil(t, data, "null, as Kafka has it")

	// One state is current, the other is not.
	first, second := model.TopicPartition{Topic: "t", Partition: 0}, model.TopicPartition{Topic: "t", Partition: 1}
	current, stale := states[first], states[second]
	current.LeaderEpoch, stale.ZkVersion = 1, 7
	updated, failed, err := s.UpdatePartitionStates(ctx, map[model.TopicPartition]zkstore.PartitionState{first: current, second: stale}, fence)
	require.NoError(t, err)
	current.ZkVersion = 1
	require.Equal(t, map[model.TopicPartition]zkstore.PartitionState{first: current}, updated)
	require.ErrorIs(t, failed[second], zkstore.ErrBadVersion)

	_, err = raw.Set(ctx, "/brokers/topics/t/partitions/1/state", []byte("{"), -1)
	require.NoError(t, err)
	read, err = s.PartitionStates(ctx, tps)
	require.ErrorIs(t, err, zkstore.ErrBadData)
	require.ErrorContains(t, err, "/brokers/topics/t/partitions/1/state: ")
	require.Len(t, read, 1)
	_, err = raw.Create(ctx, "/brokers/topics/broken", []byte(`{"partitions":7}`), 0, world())
	require.NoError(t, err)
	all, err := s.TopicAssignments(ctx, []string{"t", "broken", "absent"})
	require.ErrorContains(t, err, "/brokers/topics/broken: ")
	require.Len(t, all, 1)

	require.NoError(t, s.MarkTopicForDeletion(ctx, "t"))
	require.ErrorIs(t, s.MarkTopicForDeletion(ctx, "t"), zkstore.ErrNodeExists)
	marked, err := s.IsMarkedForDeletion(ctx, "t")
	require.NoError(t, err)
	require.True(t, marked)
	require.NoError(t, s.DeleteTopicTree(ctx, "t", fence))
	require.NoError(t, s.DeleteTopicConfig(ctx, "t", fence))
	require.NoError(t, s.RemoveTopicDeletions(ctx, []string{"t", "absent"}, fence))
	require.NoError(t, s.DeleteTopicTree(ctx, "t", fence))
	require.Equal(t, []string{"/", "/admin", "/admin/delete_topics", "/brokers", "/brokers/topics", "/brokers/topics/broken",
		"/config", "/config/topics", "/controller", "/controller_epoch"}, tree(t, raw, "/"))
}

func TestEntityConfigs(t *testing.T) {
	zk := zookeeper(t)
	s := open(t, zk.Addr())
	raw := openRaw(t, zk.Addr())
	config, err := s.EntityConfig(ctx, zkstore.EntityTopics, "absent")
	require.NoError(t, err)
	require.Equal(t, map[string]string{}, config)
	child := zkstore.SanitizeName("us er") + "/clients/" + zkstore.DefaultEntity
	require.NoError(t, s.SetEntityConfig(ctx, zkstore.EntityUsers, child, map[string]string{"request_percentage": "50"}))
	require.NoError(t, s.SetEntityConfig(ctx, zkstore.EntityUsers, child, map[string]string{"request_percentage": "60"}))
	require.Equal(t, []string{"/config", "/config/users", "/config/users/us%20er", "/config/users/us%20er/clients", "/config/users/us%20er/clients/<default>"}, tree(t, raw, "/config"))
	names, err := s.EntityNames(ctx, "users/us%20er/clients")
	require.NoError(t, err)
	require.Equal(t, []string{"<default>"}, names)
	names, err = s.EntityNames(ctx, zkstore.EntityIPs)
	require.NoError(t, err)
	require.Empty(t, names)
	config, err = s.EntityConfig(ctx, zkstore.EntityUsers, child)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"request_percentage": "60"}, config)

	require.NoError(t, s.SetEntityConfig(ctx, zkstore.EntityTopics, "a", map[string]string{"k": "v"}))
	require.NoError(t, s.SetEntityConfig(ctx, zkstore.EntityTopics, "b", nil))
	_, err = raw.Create(ctx, "/config/topics/c", []byte(`{"version":1,"config":[]}`), 0, world())
	require.NoError(t, err)
	configs, err := s.EntityConfigs(ctx, zkstore.EntityTopics, []string{"a", "b", "c", "d"})
	require.ErrorContains(t, err, "/config/topics/c: ")
	require.Equal(t, map[string]map[string]string{"a": {"k": "v"}, "b": {}, "d": {}}, configs)
}

func TestConfigChangesAndTheirPurge(t *testing.T) {
	zk := zookeeper(t)
	s := open(t, zk.Addr())
	require.NoError(t, s.CreateTopLevelPaths(ctx))
	raw := openRaw(t, zk.Addr())
	for _, name := range []string{"a", "b"} {
		require.NoError(t, s.NotifyConfigChange(ctx, zkstore.EntityTopics, name))
	}
	for path, data := range map[string]string{
		"config_change_0000000002": `{"version":1,"entity_type":"clients","entity_name":"c"}`,
		"config_change_0000000003": `junk`, "other": "", "config_change_x": "",
	} {
		_, err := raw.Create(ctx, "/config/changes/"+path, []byte(data), 0, world())
		require.NoError(t, err)
	}
	changes, err := s.ConfigChanges(ctx, 0)
	require.NoError(t, err)
	require.Len(t, changes, 3)
	require.Equal(t, []any{int64(1), "topics", "b"}, []any{changes[0].Number, changes[0].EntityType, changes[0].EntityName})
	require.Equal(t, []any{int64(2), "clients", "c"}, []any{changes[1].Number, changes[1].EntityType, changes[1].EntityName})
	require.ErrorIs(t, changes[2].Err, zkstore.ErrBadData)
	require.ErrorContains(t, changes[2].Err, "/config/changes/config_change_0000000003: ")

	require.NoError(t, s.PurgeConfigChanges(ctx, time.Now(), zkstore.NotificationMaxAge))
	changes, err = s.ConfigChanges(ctx, -1)
	require.NoError(t, err)
	require.Len(t, changes, 4, "too young")
	require.NoError(t, s.PurgeConfigChanges(ctx, time.Now().Add(16*time.Minute), zkstore.NotificationMaxAge))
	changes, err = s.ConfigChanges(ctx, -1)
	require.NoError(t, err)
	require.Empty(t, changes)
	require.NoError(t, s.NotifyConfigChange(ctx, zkstore.EntityTopics, "z"))
	changes, err = s.ConfigChanges(ctx, 3)
	require.NoError(t, err)
	require.Len(t, changes, 1, "numbers go on after a purge")
}

func TestOtherNotifications(t *testing.T) {
	zk := zookeeper(t)
	s := open(t, zk.Addr())
	require.NoError(t, s.CreateTopLevelPaths(ctx))
	_, fence, err := s.RegisterController(ctx, 1)
	require.NoError(t, err)
	tps := []model.TopicPartition{{Topic: "t", Partition: 3}}
	require.NoError(t, s.NotifyIsrChange(ctx, tps))
	require.NoError(t, s.NotifyIsrChange(ctx, nil))
	changes, err := s.IsrChanges(ctx)
	require.NoError(t, err)
	require.Len(t, changes, 2)
	require.Equal(t, tps, changes[0].Partitions)
	require.Equal(t, "isr_change_0000000000", changes[0].Name)
	require.WithinDuration(t, time.Now(), changes[0].Created, time.Minute)
	require.NoError(t, s.DeleteIsrChanges(ctx, []string{changes[0].Name, "gone"}, fence))
	require.NoError(t, s.DeleteAllIsrChanges(ctx, fence))
	changes, err = s.IsrChanges(ctx)
	require.NoError(t, err)
	require.Empty(t, changes)

	require.NoError(t, s.NotifyLogDirEvent(ctx, 4))
	events, err := s.LogDirEvents(ctx)
	require.NoError(t, err)
	require.Len(t, events, 1)
	require.Equal(t, model.BrokerID(4), events[0].Broker)
	require.NoError(t, s.DeleteLogDirEvents(ctx, []string{events[0].Name}, fence))
	require.NoError(t, s.NotifyLogDirEvent(ctx, 5))
	require.NoError(t, s.DeleteAllLogDirEvents(ctx, fence))
	events, err = s.LogDirEvents(ctx)
	require.NoError(t, err)
	require.Empty(t, events)
	require.NoError(t, s.DeleteAllIsrChanges(ctx, fence+1), "nothing to delete, nothing to check")
}

func TestTriggers(t *testing.T) {
	zk := zookeeper(t)
	s := open(t, zk.Addr())
	_, fence, err := s.RegisterController(ctx, 1)
	require.NoError(t, err)
	tp := model.TopicPartition{Topic: "t", Partition: 0}
	_, found, err := s.ReassignPartitions(ctx)
	require.NoError(t, err)
	require.False(t, found)
	targets := map[model.TopicPartition][]model.BrokerID{tp: ids(1, 2), {Topic: "t", Partition: 1}: ids(2)}
	require.NoError(t, s.CreateReassignPartitions(ctx, targets))
	require.ErrorIs(t, s.CreateReassignPartitions(ctx, targets), zkstore.ErrNodeExists)
	got, found, err := s.ReassignPartitions(ctx)
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, targets, got)
	delete(targets, tp)
	require.NoError(t, s.SetReassignPartitions(ctx, targets, fence))
	require.NoError(t, s.DeleteReassignPartitions(ctx, fence))
	require.NoError(t, s.DeleteReassignPartitions(ctx, fence))
	require.NoError(t, s.SetReassignPartitions(ctx, targets, fence))
	got, _, err = s.ReassignPartitions(ctx)
	require.NoError(t, err)
	require.Equal(t, targets, got)

	_, found, err = s.PreferredElection(ctx)
	require.NoError(t, err)
	require.False(t, found)
	require.NoError(t, s.CreatePreferredElection(ctx, []model.TopicPartition{tp}))
	require.ErrorIs(t, s.CreatePreferredElection(ctx, nil), zkstore.ErrNodeExists)
	tps, found, err := s.PreferredElection(ctx)
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, []model.TopicPartition{tp}, tps)
	require.NoError(t, s.DeletePreferredElection(ctx, fence))
	require.NoError(t, s.DeletePreferredElection(ctx, fence))
}

func TestFeaturesAndProducerIDs(t *testing.T) {
	zk := zookeeper(t)
	s := open(t, zk.Addr())
	require.NoError(t, s.CreateTopLevelPaths(ctx))
	_, found, err := s.Feature(ctx)
	require.NoError(t, err)
	require.False(t, found)
	node := zkstore.FeatureNode{Status: zkstore.FeaturesEnabled, Features: map[string]zkstore.FeatureRange{}}
	require.Equal(t, `{"features":{},"version":1,"status":1}`, zkstore.FeatureNodeText(node))
	require.NoError(t, s.CreateFeature(ctx, node))
	require.ErrorIs(t, s.CreateFeature(ctx, node), zkstore.ErrNodeExists)
	node.Status = zkstore.FeaturesDisabled
	version, err := s.UpdateFeature(ctx, node)
	require.NoError(t, err)
	node.ZkVersion = version
	got, found, err := s.Feature(ctx)
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, node, got)

	_, found, v, err := s.ProducerIDBlock(ctx)
	require.NoError(t, err)
	require.False(t, found)
	block := zkstore.ProducerIDBlock{Broker: 3, Start: 0, End: 999}
	v, err = s.SetProducerIDBlock(ctx, block, v)
	require.NoError(t, err)
	_, err = s.SetProducerIDBlock(ctx, block, v-1)
	require.ErrorIs(t, err, zkstore.ErrBadVersion)
	read, found, again, err := s.ProducerIDBlock(ctx)
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, block, read)
	require.Equal(t, v, again)
}

func TestConsumerOffsets(t *testing.T) {
	zk := zookeeper(t)
	s := open(t, zk.Addr())
	tp := model.TopicPartition{Topic: "t", Partition: 2}
	_, found, err := s.ConsumerOffset(ctx, "g", tp)
	require.NoError(t, err)
	require.False(t, found)
	for _, offset := range []int64{7, 42} {
		require.NoError(t, s.SetConsumerOffset(ctx, "g", tp, offset))
		got, found, err := s.ConsumerOffset(ctx, "g", tp)
		require.NoError(t, err)
		require.True(t, found)
		require.Equal(t, offset, got)
	}
	require.Contains(t, tree(t, openRaw(t, zk.Addr()), "/consumers"), "/consumers/g/offsets/t/2")
}
