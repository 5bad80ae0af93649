package admin_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gregor/pkg/admin"
	"gregor/pkg/kerr"
	"gregor/pkg/logging"
	"gregor/pkg/model"
	"gregor/pkg/zkstore"
	"gregor/pkg/zookeeper/server"
)

// startTool is what a --zookeeper tool has: a session and nothing else. racks
// are those of brokers 1, 2, ...; "" is a broker without one.
func startTool(t *testing.T, racks ...string) (*admin.ZK, *zkstore.Store, *bytes.Buffer) {
	t.Helper()
	zks, err := server.Start(context.Background(), server.Config{DataDir: t.TempDir(), ClientPortAddress: "127.0.0.1", TickTime: 100 * time.Millisecond, NoForceSync: true})
	require.NoError(t, err)
	t.Cleanup(func() { zks.Close() })
	store, err := zkstore.Open(context.Background(), zkstore.Options{Connect: zks.Addr()})
	require.NoError(t, err)
	t.Cleanup(store.Close)
	require.NoError(t, store.CreateTopLevelPaths(t.Context()))
	for i, rack := range racks {
		b := model.Broker{ID: model.BrokerID(i + 1), Endpoints: []model.Endpoint{{Listener: "PLAINTEXT", Host: "h", Port: int32(9092 + i)}}}
		if rack != "" {
			b.Rack = &rack
		}
		_, err := store.RegisterBroker(t.Context(), zkstore.BrokerInfo{JMXPort: -1, Broker: b})
		require.NoError(t, err)
	}
	log := &bytes.Buffer{}
	return admin.NewZK(store, logging.New(log)), store, log
}

func TestToolCreatesTopics(t *testing.T) {
	zk, store, log := startTool(t, "", "", "")
	require.NoError(t, zk.CreateTopic(t.Context(), "a", 6, 2, map[string]string{"flush.messages": "1", "max.message.bytes": "64000"}, admin.RackEnforced))
	topic, found, err := store.TopicAssignment(t.Context(), "a")
	require.NoError(t, err)
	require.True(t, found)
	require.True(t, topic.ID.IsZero(), "the controller gives the id, as with Kafka's tool")
	require.Len(t, topic.Partitions, 6)
	leads := map[model.BrokerID]int{}
	for _, r := range topic.Partitions {
		leads[r.Replicas[0]]++
	}
	require.Equal(t, map[model.BrokerID]int{1: 2, 2: 2, 3: 2}, leads)
	settings, err := store.EntityConfig(t.Context(), zkstore.EntityTopics, "a")
	require.NoError(t, err)
	require.Equal(t, map[string]string{"flush.messages": "1", "max.message.bytes": "64000"}, settings)
	changes, err := store.ConfigChanges(t.Context(), -1)
	require.NoError(t, err)
	require.Empty(t, changes, "a creation is no change of a configuration")
	require.Contains(t, log.String(), "Creating topic a with configuration {flush.messages=1, max.message.bytes=64000} and initial partition assignment HashMap(0 -> ArrayBuffer(")

	err = zk.CreateTopic(t.Context(), "a", 1, 1, nil, admin.RackEnforced)
	require.EqualError(t, err, "Topic 'a' already exists.")
	require.Equal(t, kerr.TopicAlreadyExists.Code, kerr.Code(err))
	require.EqualError(t, zk.CreateTopic(t.Context(), "b", 1, 4, nil, admin.RackEnforced), "Replication factor: 4 larger than available brokers: 3.")
	require.EqualError(t, zk.CreateTopic(t.Context(), "b", 1, 1, map[string]string{"no.such": "1"}, admin.RackEnforced), "Unknown topic config name: no.such")
	require.EqualError(t, zk.CreateTopicWithAssignment(t.Context(), "b", nil, nil), "All partitions should have the same number of replicas")
	require.NoError(t, zk.CreateTopicWithAssignment(t.Context(), "b", nil, map[int32][]model.BrokerID{0: {9}}), "brokers need not be there")
	exists, err := store.TopicExists(t.Context(), "c")
	require.NoError(t, err)
	require.False(t, exists)
}

func TestRackModes(t *testing.T) {
	zk, _, _ := startTool(t, "a", "b", "")
	_, err := zk.Candidates(t.Context(), admin.RackEnforced)
	require.EqualError(t, err, "Not all brokers have rack information. Add --disable-rack-aware in command line to make replica assignment without rack information.")
	var refused *admin.OperationError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, "kafka.admin.AdminOperationException", refused.JavaClass())
	for _, mode := range []admin.RackMode{admin.RackSafe, admin.RackDisabled} {
		list, err := zk.Candidates(t.Context(), mode)
		require.NoError(t, err)
		require.Equal(t, []admin.Candidate{{ID: 1}, {ID: 2}, {ID: 3}}, list)
	}
	all, _, _ := startTool(t, "a", "b")
	list, err := all.Candidates(t.Context(), admin.RackEnforced)
	require.NoError(t, err)
	require.Equal(t, "b", *list[1].Rack)
	list, err = all.Candidates(t.Context(), admin.RackDisabled)
	require.NoError(t, err)
	require.Nil(t, list[1].Rack)
}

func TestToolAddsPartitionsAndDeletes(t *testing.T) {
	zk, store, log := startTool(t, "", "", "")
	require.NoError(t, zk.CreateTopicWithAssignment(t.Context(), "a", nil, map[int32][]model.BrokerID{0: {2, 3}}))
	existing, _, err := store.TopicAssignment(t.Context(), "a")
	require.NoError(t, err)
	brokers, err := zk.Candidates(t.Context(), admin.RackEnforced)
	require.NoError(t, err)
	require.NoError(t, zk.AddPartitions(t.Context(), "a", existing, brokers, 3, nil, true))
	require.NoError(t, zk.AddPartitions(t.Context(), "a", existing, brokers, 3, nil, false))
	grown, _, err := store.TopicAssignment(t.Context(), "a")
	require.NoError(t, err)
	require.Equal(t, map[int32]zkstore.ReplicaAssignment{
		0: {Replicas: []model.BrokerID{2, 3}}, 1: {Replicas: []model.BrokerID{3, 2}}, 2: {Replicas: []model.BrokerID{1, 3}},
	}, grown.Partitions, "start and shift are those of the first replica of partition 0")
	require.Contains(t, log.String(), "Creating 2 partitions for 'a' with the following replica assignment: HashMap(1 -> ReplicaAssignment(replicas=3,2, addingReplicas=, removingReplicas=), 2 -> ")

	err = zk.AddPartitions(t.Context(), "a", grown, brokers, 3, nil, false)
	require.EqualError(t, err, "The number of partitions for a topic can only be increased. Topic a currently has 3 partitions, 3 would not be an increase.")
	err = zk.AddPartitions(t.Context(), "a", grown, brokers, 4, map[int32][]model.BrokerID{3: {9, 1}}, false)
	require.EqualError(t, err, "Some brokers specified for partition id 3 are not available. Specified brokers: 9, 1, available brokers: 1, 2, 3.")
	require.Equal(t, kerr.BrokerNotAvailable.Code, kerr.Code(err))
	err = zk.AddPartitions(t.Context(), "a", zkstore.TopicAssignment{Partitions: map[int32]zkstore.ReplicaAssignment{1: {Replicas: []model.BrokerID{1}}}}, brokers, 4, nil, false)
	require.EqualError(t, err, "Unexpected existing replica assignment for topic 'a', partition id 0 is missing. Assignment: HashMap(1 -> ReplicaAssignment(replicas=1, addingReplicas=, removingReplicas=))")

	require.NoError(t, zk.DeleteTopic(t.Context(), "a"))
	marked, err := store.IsMarkedForDeletion(t.Context(), "a")
	require.NoError(t, err)
	require.True(t, marked)
	err = zk.DeleteTopic(t.Context(), "a")
	require.ErrorIs(t, err, admin.ErrAlreadyMarked)
	require.EqualError(t, err, "topic a is already marked for deletion")
	err = zk.DeleteTopic(t.Context(), "nothere")
	require.NotErrorIs(t, err, admin.ErrAlreadyMarked)
	require.EqualError(t, err, "Topic `nothere` to delete does not exist")
	require.Equal(t, kerr.UnknownTopicOrPartition.Code, kerr.Code(err))
}

func TestEntityChanges(t *testing.T) {
	zk, store, _ := startTool(t)
	require.NoError(t, zk.CreateTopicWithAssignment(t.Context(), "a", nil, map[int32][]model.BrokerID{0: {1}}))
	require.NoError(t, zk.ChangeTopicConfig(t.Context(), "a", map[string]string{"retention.ms": "1"}))
	require.NoError(t, zk.ChangeBrokerConfig(t.Context(), 7, map[string]string{"log.cleaner.threads": "2"}))
	require.NoError(t, zk.ChangeDefaultBrokerConfig(t.Context(), map[string]string{"log.cleaner.threads": "3"}))
	require.NoError(t, zk.ChangeClientConfig(t.Context(), "c%2F1", map[string]string{"producer_byte_rate": "1024"}))
	require.NoError(t, zk.ChangeUserConfig(t.Context(), "u/clients/c", map[string]string{"request_percentage": "12.5"}))
	require.NoError(t, zk.ChangeUserConfig(t.Context(), "u", map[string]string{"SCRAM-SHA-256": "salt=a"}))
	require.NoError(t, zk.ChangeIPConfig(t.Context(), "127.0.0.1", map[string]string{"connection_creation_rate": "10"}))
	require.NoError(t, zk.ChangeIPConfig(t.Context(), admin.DefaultEntity, nil))
	changes, err := store.ConfigChanges(t.Context(), -1)
	require.NoError(t, err)
	var entities []string
	for _, c := range changes {
		entities = append(entities, c.EntityType+"/"+c.EntityName)
	}
	require.Equal(t, []string{"topics/a", "brokers/7", "brokers/<default>", "clients/c%2F1", "users/u/clients/c", "users/u", "ips/127.0.0.1", "ips/<default>"}, entities)

	settings, err := zk.FetchEntityConfig(t.Context(), zkstore.EntityTopics, "a")
	require.NoError(t, err)
	require.Equal(t, map[string]string{"retention.ms": "1"}, settings)
	all, err := zk.FetchEntityConfigs(t.Context(), zkstore.EntityBrokers)
	require.NoError(t, err)
	require.Equal(t, map[string]map[string]string{"7": {"log.cleaner.threads": "2"}, "<default>": {"log.cleaner.threads": "3"}}, all)

	for _, tc := range []struct {
		err  error
		text string
	}{
		{zk.ChangeTopicConfig(t.Context(), "nothere", nil), "Topic 'nothere' does not exist."},
		{zk.ChangeTopicConfig(t.Context(), "a b", nil), `Topic name "a b" is illegal, it contains a character other than ASCII alphanumerics, '.', '_' and '-'`},
		{zk.ChangeTopicConfig(t.Context(), "a", map[string]string{"x": "1"}), "Unknown topic config name: x"},
		{zk.ChangeClientConfig(t.Context(), "c", map[string]string{"y": "1", "x": "1"}), "requirement failed: Unknown Dynamic Configuration: Set(x, y)."},
		{zk.ChangeClientConfig(t.Context(), "c", map[string]string{"producer_byte_rate": "fast"}), "Invalid value fast for configuration producer_byte_rate: Not a number of type LONG"},
		{zk.ChangeClientConfig(t.Context(), "c", map[string]string{"request_percentage": "x"}), "Invalid value x for configuration request_percentage: Not a number of type DOUBLE"},
		{zk.ChangeUserConfig(t.Context(), admin.DefaultEntity, map[string]string{"SCRAM-SHA-256": "x"}), "requirement failed: Unknown Dynamic Configuration: Set(SCRAM-SHA-256)."},
		{zk.ChangeIPConfig(t.Context(), "not an address", nil), "not an address is not a valid IP or resolvable host."},
		{zk.ChangeIPConfig(t.Context(), "127.0.0.1", map[string]string{"connection_creation_rate": "-1"}), "Invalid value -1 for configuration connection_creation_rate: Value must be at least 0"},
	} {
		require.EqualError(t, tc.err, tc.text)
	}
	after, err := store.ConfigChanges(t.Context(), -1)
	require.NoError(t, err)
	require.Len(t, after, len(changes), "what is refused is not announced")
}
