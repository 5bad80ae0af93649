package cli

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"gregor/pkg/logging"
	"gregor/pkg/model"
	"gregor/pkg/zkstore"
)

var updateTools = flag.Bool("update-tools", false, "rewrite testdata/*_zookeeper.txt and the help tables")

// compareGolden holds text against a file of testdata.
func compareGolden(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *updateTools {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), text)
}

// registeredBroker opens a session and registers broker 0 in it.
func registeredBroker(t *testing.T, zooKeeper string) *zkstore.Store {
	t.Helper()
	store, err := zkstore.Open(context.Background(), zkstore.Options{Connect: zooKeeper, CreateChroot: true, Loggers: logging.Discard()})
	require.NoError(t, err)
	t.Cleanup(store.Close)
	require.NoError(t, store.CreateTopLevelPaths(context.Background()))
	_, err = store.RegisterBroker(context.Background(), zkstore.BrokerInfo{Broker: model.Broker{ID: 0,
		Endpoints: []model.Endpoint{{Listener: "PLAINTEXT", Host: "localhost", Port: 9092}}}})
	require.NoError(t, err)
	return store
}

var credentials = regexp.MustCompile(`salt=[^,]+,stored_key=[^,]+,server_key=[^,]+,`)

// conversation runs command lines in ZooKeeper, one after the other.
func conversation(zooKeeper string, lines []string) string {
	var out strings.Builder
	for _, line := range lines {
		text := withoutHelp(transcript(strings.ReplaceAll(line, "ZK", zooKeeper)))
		out.WriteString("$ " + line + "\n" + credentials.ReplaceAllString(strings.ReplaceAll(text, zooKeeper, "ZK"), "<credential>,"))
	}
	return out.String()
}

func TestTopicsThroughZooKeeper(t *testing.T) {
	zooKeeper := shellServer(t) + "/kafka/one"
	store := registeredBroker(t, zooKeeper)
	tool := "kafka-topics --zookeeper ZK "
	got := conversation(zooKeeper, []string{
		tool + "--list",
		tool + "--create --topic test --partitions 1 --replication-factor 1",
		tool + "--create --topic test --partitions 1 --replication-factor 1",
		tool + "--create --topic test --partitions 1 --replication-factor 1 --if-not-exists",
		tool + "--create --topic three --partitions 1 --replication-factor 3",
		tool + "--create --topic none --partitions 0 --replication-factor 1",
		tool + "--create --topic none --partitions 1 --replication-factor 0",
		tool + "--create --topic 'a b' --partitions 1 --replication-factor 1",
		tool + "--create --topic a.b --partitions 1 --replication-factor 1",
		tool + "--create --topic a_b --partitions 1 --replication-factor 1",
		tool + "--create --topic hand --replica-assignment 0:1,1:0 --config max.message.bytes=64000 --config flush.messages=1",
		tool + "--create --topic __consumer_offsets --partitions 1 --replication-factor 1",
		tool + "--list", tool + "--list --exclude-internal", tool + "--list --topic 'a.*|hand'",
		tool + "--describe --topic hand", tool + "--describe --topic nothere", tool + "--describe --topic nothere --if-exists",
		tool + "--describe --topics-with-overrides", tool + "--describe --unavailable-partitions --topic test",
		tool + "--alter --topic hand --config max.message.bytes=128000 --delete-config flush.messages",
		tool + "--alter --topic hand --config no.such=1", tool + "--alter --topic hand --delete-config no.such", tool + "--alter --topic hand",
		tool + "--alter --topic test --partitions 3", tool + "--alter --topic test --partitions 3",
		tool + "--alter --topic test --partitions 5 --replica-assignment 0,0,0,0,0",
		tool + "--alter --topic __consumer_offsets --partitions 3",
		tool + "--describe --topic test|hand",
		tool + "--delete --topic __consumer_offsets", tool + "--delete --topic nothere", tool + "--delete --topic nothere --if-exists",
		tool + "--delete --topic hand", tool + "--delete --topic hand", tool + "--list", tool + "--describe --topic hand",
	})
	compareGolden(t, "topics_zookeeper.txt", got)

	changes, err := store.ConfigChanges(context.Background(), -1)
	require.NoError(t, err)
	require.Len(t, changes, 1, "one notification for the one change of a configuration")
	require.Equal(t, "hand", changes[0].EntityName)
	config, err := store.EntityConfig(context.Background(), zkstore.EntityTopics, "hand")
	require.NoError(t, err)
	require.Equal(t, map[string]string{"max.message.bytes": "128000"}, config)
}

// The states that a controller would write.
func TestTopicsDescribeStatesFromZooKeeper(t *testing.T) {
	zooKeeper := shellServer(t)
	store := registeredBroker(t, zooKeeper)
	ctx := context.Background()
	id, err := model.ParseTopicID("AQIDBAUGBwgJCgsMDQ4PEA")
	require.NoError(t, err)
	require.NoError(t, store.CreateTopic(ctx, "t", zkstore.TopicAssignment{ID: id, Partitions: map[int32]zkstore.ReplicaAssignment{
		0: {Replicas: []model.BrokerID{0, 1}}, 1: {Replicas: []model.BrokerID{1}}}}, nil))
	epoch, fence, err := store.RegisterController(ctx, 0)
	require.NoError(t, err)
	failed, err := store.CreatePartitionStates(ctx, map[model.TopicPartition]zkstore.PartitionState{
		{Topic: "t", Partition: 0}: {Leader: 0, ISR: []model.BrokerID{0}, ControllerEpoch: epoch},
		{Topic: "t", Partition: 1}: {Leader: 1, ISR: []model.BrokerID{1}, ControllerEpoch: epoch},
	}, fence)
	require.NoError(t, err)
	require.Empty(t, failed)
	compareGolden(t, "topic_states_zookeeper.txt", conversation(zooKeeper, []string{
		"kafka-topics --zookeeper ZK --describe",
		"kafka-topics --zookeeper ZK --describe --under-replicated-partitions",
		"kafka-topics --zookeeper ZK --describe --unavailable-partitions",
	}))
}

func TestConfigsThroughZooKeeper(t *testing.T) {
	zooKeeper := shellServer(t)
	store := registeredBroker(t, zooKeeper)
	tool := "kafka-configs --zookeeper ZK "
	got := conversation(zooKeeper, []string{
		"kafka-topics --zookeeper ZK --create --topic test --partitions 1 --replication-factor 1",
		tool + "--describe --topic test",
		tool + "--alter --topic test --add-config retention.ms=3600000,segment.bytes=1048576,cleanup.policy=[compact,delete]",
		tool + "--describe --entity-type topics", tool + "--alter --entity-type topics --entity-name test --delete-config segment.bytes",
		tool + "--alter --topic test --delete-config segment.bytes", tool + "--alter --topic test --add-config retention.ms",
		tool + "--alter --topic test --add-config no.such=1", tool + "--alter --topic test --add-config retention.ms=abc",
		tool + "--alter --topic nothere --add-config retention.ms=1", tool + "--describe --topic test",
		tool + "--alter --client 'c/2 x' --add-config producer_byte_rate=1024,consumer_byte_rate=2048", tool + "--alter --client c --add-config producer_byte_rate=1.5",
		tool + "--alter --client c --add-config foo=1", tool + "--alter --client-defaults --add-config request_percentage=50", tool + "--describe --entity-type clients",
		tool + "--alter --user u --add-config SCRAM-SHA-256=[iterations=8192,password=secret],SCRAM-SHA-512=[password=x],producer_byte_rate=5",
		tool + "--alter --user u --add-config SCRAM-SHA-256=[iterations=100,password=x]", tool + "--alter --user u --add-config SCRAM-SHA-256=[iterations=8192]",
		tool + "--alter --user u --delete-config SCRAM-SHA-512", tool + "--describe --user u",
		tool + "--alter --user v --client c --add-config producer_byte_rate=1", tool + "--alter --user v --client-defaults --add-config producer_byte_rate=2",
		tool + "--alter --user-defaults --client c --add-config producer_byte_rate=3", tool + "--describe --entity-type users",
		tool + "--describe --entity-type users --entity-type clients", tool + "--describe --entity-type users --entity-type clients --entity-name v",
		tool + "--describe --client c --user v", tool + "--alter --entity-type users --entity-type clients --entity-name v --add-config producer_byte_rate=3",
		tool + "--alter --ip 127.0.0.1 --add-config connection_creation_rate=5", tool + "--alter --ip-defaults --add-config connection_creation_rate=-1",
		tool + "--describe --entity-type ips", tool + "--describe --ip-defaults",
		tool + "--alter --broker 0 --add-config log.cleaner.threads=2", tool + "--alter --broker-defaults --add-config log.cleaner.threads=2",
		tool + "--alter --broker 0 --add-config leader.replication.throttled.rate=5", tool + "--alter --broker 77 --add-config log.cleaner.threads=2,plugin.key=x",
		tool + "--alter --broker 77 --add-config log.cleaner.threads=abc", tool + "--alter --broker 77 --add-config zookeeper.connect=x",
		tool + "--alter --broker 77 --add-config ssl.key.password=x", tool + "--alter --broker 77 --add-config listener.name.x.ssl.key.password=x",
		tool + "--alter --broker 77 --add-config listener.name.x.ssl.key.password=x,password.encoder.secret=y",
		tool + "--describe --entity-type brokers", tool + "--describe --broker-defaults",
	})
	compareGolden(t, "configs_zookeeper.txt", got)

	config, err := store.EntityConfig(context.Background(), "clients", "c%2F2%20x")
	require.NoError(t, err)
	require.Equal(t, map[string]string{"producer_byte_rate": "1024", "consumer_byte_rate": "2048"}, config)
	changes, err := store.ConfigChanges(context.Background(), -1)
	require.NoError(t, err)
	require.Equal(t, "topics/test", changes[0].EntityType+"/"+changes[0].EntityName)
}

func TestHelpTables(t *testing.T) {
	for _, tool := range []string{"kafka-topics", "kafka-configs"} {
		_, stderr, status := invoke("", tool, "--help")
		require.Equal(t, 1, status)
		compareGolden(t, tool+"_help.txt", stderr)
	}
}
