package broker_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"gregor/pkg/broker"
	"gregor/pkg/config"
	"gregor/pkg/logging"
	"gregor/pkg/model"
	"gregor/pkg/testkit"
	"gregor/pkg/zkstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func clientOf(t *testing.T, address string, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(address), kgo.AllowAutoTopicCreation(), kgo.MetadataMinAge(20 * time.Millisecond)}, options...)...)
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return client
}

func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func produce(t *testing.T, address, topic string, values ...string) {
	t.Helper()
	client := clientOf(t, address)
	defer client.Close()
	for _, value := range values {
		require.NoError(t, client.ProduceSync(deadline(t), &kgo.Record{Topic: topic, Value: []byte(value)}).FirstErr())
	}
}

func consume(t *testing.T, address, topic string, count int) []string {
	t.Helper()
	client := clientOf(t, address, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	defer client.Close()
	var values []string
	for len(values) < count {
		fetches := client.PollFetches(deadline(t))
		require.NoError(t, fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) { values = append(values, string(r.Value)) })
	}
	return values
}

func store(t *testing.T, zooKeeper string) *zkstore.Store {
	t.Helper()
	s, err := zkstore.Open(deadline(t), zkstore.Options{Connect: zooKeeper, SessionTimeout: 6 * time.Second, Loggers: logging.Discard()})
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s
}

func TestRecordsOutliveARestart(t *testing.T) {
	zooKeeper, dir := testkit.ZooKeeper(t), t.TempDir()
	b := testkit.StartBroker(t, zooKeeper, map[string]string{"log.dirs": dir})
	produce(t, b.Address, "t", "a", "b")
	b.Stop()
	require.FileExists(t, filepath.Join(dir, ".kafka_cleanshutdown"))
	b = testkit.StartBroker(t, zooKeeper, map[string]string{"log.dirs": dir})
	require.NoFileExists(t, filepath.Join(dir, ".kafka_cleanshutdown"))
	require.Contains(t, b.Log.String(), "Skipping recovery for all logs in "+dir+" since clean shutdown file was found")
	produce(t, b.Address, "t", "c")
	require.Equal(t, []string{"a", "b", "c"}, consume(t, b.Address, "t", 3))
}

func TestGroupsOutliveARestart(t *testing.T) {
	zooKeeper, dir := testkit.ZooKeeper(t), t.TempDir()
	b := testkit.StartBroker(t, zooKeeper, map[string]string{"log.dirs": dir})
	produce(t, b.Address, "t", "a", "b", "c")
	member := clientOf(t, b.Address, kgo.ConsumerGroup("g"), kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit())
	var read []*kgo.Record
	for len(read) < 3 {
		fetches := member.PollFetches(deadline(t))
		require.NoError(t, fetches.Err())
		read = append(read, fetches.Records()...)
	}
	require.NoError(t, member.CommitRecords(deadline(t), read[1]))
	member.Close()
	b.Stop()
	b = testkit.StartBroker(t, zooKeeper, map[string]string{"log.dirs": dir})
	admin := kadm.NewClient(clientOf(t, b.Address))
	testkit.Eventually(t, "the offset is there again", func() bool {
		offsets, err := admin.FetchOffsets(deadline(t), "g")
		if err != nil {
			return false
		}
		o, ok := offsets.Lookup("t", 0)
		return ok && o.At == 2
	})
}

func TestAFormerSessionIsTakenOver(t *testing.T) {
	zooKeeper, dir := testkit.ZooKeeper(t), t.TempDir()
	// What kill -9 leaves: a session that lives on, its node, and the file
	// that names it.
	former := store(t, zooKeeper)
	require.NoError(t, former.CreateTopLevelPaths(deadline(t)))
	_, err := former.RegisterBroker(deadline(t), zkstore.BrokerInfo{Broker: model.Broker{ID: 0, Endpoints: []model.Endpoint{{Listener: "PLAINTEXT", Host: "127.0.0.1", Port: 1}}}, JMXPort: -1})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, ".gregor.session"), fmt.Appendf(nil, "0x%x\n", uint64(former.SessionID())), 0o644))
	began := time.Now()
	b := testkit.StartBroker(t, zooKeeper, map[string]string{"log.dirs": dir})
	require.Less(t, time.Since(began), 5*time.Second, "the session's 6 s are not waited for")
	info, found, err := former.Broker(deadline(t), 0)
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, b.Addresses()[0].Port, info.Endpoints[0].Port)
}

// refused starts a broker that must not start and returns what it logs.
func refused(t *testing.T, properties map[string]string) (text string, err error) {
	t.Helper()
	log := testkit.NewLog(t)
	parsed, _, err := config.ParseBroker(config.NewProperties(properties), nil)
	require.NoError(t, err)
	b := broker.New(parsed, logging.New(log))
	err = b.Start(deadline(t))
	require.Error(t, err)
	return log.String(), err
}

func TestAForeignRegistrationIsRefused(t *testing.T) {
	zooKeeper := testkit.ZooKeeper(t)
	testkit.StartBroker(t, zooKeeper, nil)
	text, _ := refused(t, map[string]string{"broker.id": "0", "listeners": "PLAINTEXT://127.0.0.1:0", "zookeeper.connect": zooKeeper, "log.dirs": t.TempDir()})
	require.Contains(t, text, "Error while creating ephemeral at /brokers/ids/0, node already exists and owner '")
	require.Contains(t, text, "org.apache.zookeeper.KeeperException$NodeExistsException: KeeperErrorCode = NodeExists")
}

func TestASecondBrokerOnADirectoryIsRefused(t *testing.T) {
	zooKeeper := testkit.ZooKeeper(t)
	first := testkit.StartBroker(t, zooKeeper, nil)
	kept, err := os.ReadFile(filepath.Join(first.Dir, ".gregor.session"))
	require.NoError(t, err)
	text, _ := refused(t, map[string]string{"broker.id": "0", "listeners": "PLAINTEXT://127.0.0.1:0", "zookeeper.connect": zooKeeper, "log.dirs": first.Dir})
	require.Contains(t, text, "[KafkaServer id=0] Fatal error during KafkaServer startup. Prepare to shutdown")
	require.Contains(t, text, "org.apache.kafka.common.KafkaException: Failed to acquire lock on file .lock in "+first.Dir+". A Kafka instance in another process or thread is using this directory.")
	still, err := os.ReadFile(filepath.Join(first.Dir, ".gregor.session"))
	require.NoError(t, err)
	require.Equal(t, kept, still, "the first broker's session stays known")
	produce(t, first.Address, "t", "the first one goes on")
}

func TestADirectoryThatCannotBeLockedIsRefused(t *testing.T) {
	zooKeeper, dir := testkit.ZooKeeper(t), t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, ".lock"), 0o755))
	text, _ := refused(t, map[string]string{"broker.id": "0", "listeners": "PLAINTEXT://127.0.0.1:0", "zookeeper.connect": zooKeeper, "log.dirs": dir})
	require.Contains(t, text, "ERROR [KafkaServer id=0] Fatal error during KafkaServer startup. Prepare to shutdown (kafka.server.KafkaServer)\norg.apache.kafka.common.KafkaException: Shutdown broker because all log dirs in "+dir+" have failed")
	require.NotContains(t, text, "Creating /brokers/ids/0")
}

func TestAnotherBrokersDirectoryIsRefused(t *testing.T) {
	zooKeeper := testkit.ZooKeeper(t)
	first := testkit.StartBroker(t, zooKeeper, nil)
	first.Stop()
	text, err := refused(t, map[string]string{"broker.id": "1", "listeners": "PLAINTEXT://127.0.0.1:0", "zookeeper.connect": zooKeeper, "log.dirs": first.Dir})
	require.ErrorContains(t, err, "Configured broker.id 1 doesn't match stored broker.id Some(0) in meta.properties.")
	require.Contains(t, text, "kafka.common.InconsistentBrokerIdException: Configured broker.id 1")
	require.NotContains(t, text, "[KafkaServer id=1] Fatal error", "the id was not settled")
	text, _ = refused(t, map[string]string{"broker.id": "0", "listeners": "PLAINTEXT://127.0.0.1:0", "zookeeper.connect": testkit.ZooKeeper(t), "log.dirs": first.Dir})
	require.Contains(t, text, "kafka.common.InconsistentClusterIdException: The Cluster ID ")
	require.Contains(t, text, filepath.Join(first.Dir, "meta.properties")+", written ")
}

func TestNoZooKeeper(t *testing.T) {
	text, _ := refused(t, map[string]string{"broker.id": "0", "listeners": "PLAINTEXT://127.0.0.1:0", "log.dirs": t.TempDir(),
		"zookeeper.connect": fmt.Sprintf("127.0.0.1:%d", testkit.FreePort(t)), "zookeeper.connection.timeout.ms": "300"})
	require.Contains(t, text, "ERROR Fatal error during KafkaServer startup. Prepare to shutdown (kafka.server.KafkaServer)\n"+
		"kafka.zookeeper.ZooKeeperClientTimeoutException: Timed out waiting for connection while in state: CONNECTING")
}

func TestAPortInUseIsNamed(t *testing.T) {
	zooKeeper := testkit.ZooKeeper(t)
	first := testkit.StartBroker(t, zooKeeper, nil)
	text, _ := refused(t, map[string]string{"broker.id": "1", "listeners": "PLAINTEXT://" + first.Address, "zookeeper.connect": zooKeeper, "log.dirs": t.TempDir()})
	require.Contains(t, text, "org.apache.kafka.common.KafkaException: Socket server failed to bind to "+first.Address+": Address already in use.")
}

func TestGeneratedIDs(t *testing.T) {
	zooKeeper := testkit.ZooKeeper(t)
	for want := model.BrokerID(1001); want < 1003; want++ {
		b := testkit.StartBroker(t, zooKeeper, map[string]string{"broker.id": "-1"})
		require.Equal(t, want, b.ID())
		text, err := os.ReadFile(filepath.Join(b.Dir, "meta.properties"))
		require.NoError(t, err)
		require.Contains(t, string(text), fmt.Sprintf("broker.id=%d\n", want))
		b.Stop()
		again := testkit.StartBroker(t, zooKeeper, map[string]string{"broker.id": "-1", "log.dirs": b.Dir})
		require.Equal(t, want, again.ID(), "the id is kept")
	}
}

func TestTopicsAreDeletedToTheEnd(t *testing.T) {
	zooKeeper := testkit.ZooKeeper(t)
	b := testkit.StartBroker(t, zooKeeper, map[string]string{"log.segment.delete.delay.ms": "50"})
	produce(t, b.Address, "t", "a")
	zk := store(t, zooKeeper)
	require.NoError(t, zk.MarkTopicForDeletion(deadline(t), "t"))
	testkit.Eventually(t, "znodes and files are gone", func() bool {
		topics, err := zk.Topics(deadline(t))
		if err != nil || len(topics) > 0 {
			return false
		}
		left, err := filepath.Glob(filepath.Join(b.Dir, "t-0*"))
		return err == nil && len(left) == 0
	})
	deletions, err := zk.TopicDeletions(deadline(t))
	require.NoError(t, err)
	require.Empty(t, deletions)
	produce(t, b.Address, "t", "made again")
	require.Equal(t, []string{"made again"}, consume(t, b.Address, "t", 1))
}

func TestDeletionSwitchedOff(t *testing.T) {
	zooKeeper := testkit.ZooKeeper(t)
	b := testkit.StartBroker(t, zooKeeper, map[string]string{"delete.topic.enable": "false"})
	produce(t, b.Address, "gone", "a")
	zk := store(t, zooKeeper)
	require.NoError(t, zk.MarkTopicForDeletion(deadline(t), "gone"))
	testkit.Eventually(t, "the mark is taken away", func() bool {
		deletions, err := zk.TopicDeletions(deadline(t))
		return err == nil && len(deletions) == 0
	})
	require.Contains(t, b.Log.String(), "[Controller id=0] Removing Set(gone) since delete topic is disabled")
	require.Equal(t, []string{"a"}, consume(t, b.Address, "gone", 1))
	_, err := kadm.NewClient(clientOf(t, b.Address)).DeleteTopic(deadline(t), "gone")
	require.ErrorContains(t, err, "TOPIC_DELETION_DISABLED")
}

func TestSeveralBrokers(t *testing.T) {
	zooKeeper := testkit.ZooKeeper(t)
	brokers := make([]*testkit.Broker, 3)
	for i := range brokers {
		brokers[i] = testkit.StartBroker(t, zooKeeper, map[string]string{"broker.id": fmt.Sprint(i)})
	}
	for _, b := range brokers {
		testkit.Eventually(t, "every broker knows the others", func() bool { return len(b.Metadata().Brokers()) == len(brokers) })
	}
	admin := kadm.NewClient(clientOf(t, brokers[1].Address))
	created, err := admin.CreateTopic(deadline(t), 6, 1, nil, "spread")
	require.NoError(t, err)
	require.NoError(t, created.Err)
	perBroker := map[int32]int{}
	testkit.Eventually(t, "whichever broker is asked knows the topic", func() bool {
		details, err := admin.ListTopics(deadline(t), "spread")
		require.NoError(t, err)
		clear(perBroker)
		for _, p := range details["spread"].Partitions {
			perBroker[p.Leader]++
		}
		return len(details["spread"].Partitions) == 6
	})
	require.Equal(t, map[int32]int{0: 2, 1: 2, 2: 2}, perBroker)
	values := make([]string, 60)
	for i := range values {
		values[i] = fmt.Sprint(i)
	}
	produce(t, brokers[2].Address, "spread", values...)
	require.ElementsMatch(t, values, consume(t, brokers[0].Address, "spread", len(values)))

	// The controller stops: another takes over, and the cluster goes on.
	zk := store(t, zooKeeper)
	first, err := zk.ControllerID(deadline(t))
	require.NoError(t, err)
	brokers[first].Stop()
	testkit.Eventually(t, "another controller", func() bool {
		next, err := zk.ControllerID(deadline(t))
		return err == nil && next != first && next != model.NoBroker
	})
	other := brokers[(first+1)%3]
	created, err = kadm.NewClient(clientOf(t, other.Address)).CreateTopic(deadline(t), 2, 1, nil, "after")
	require.NoError(t, err)
	require.NoError(t, created.Err)
	// It comes back with what it had.
	again := testkit.StartBroker(t, zooKeeper, map[string]string{"broker.id": first.String(), "log.dirs": brokers[first].Dir})
	require.ElementsMatch(t, values, consume(t, again.Address, "spread", len(values)))
}

func TestALostSessionIsReplaced(t *testing.T) {
	zooKeeper := testkit.StartZooKeeper(t, 100*time.Millisecond).Address
	link := testkit.NewLink(t, zooKeeper)
	b := testkit.StartBroker(t, link.Address, map[string]string{"zookeeper.session.timeout.ms": "500"})
	produce(t, b.Address, "t", "before")
	zk := store(t, zooKeeper)
	before, _, err := zk.Broker(deadline(t), 0)
	require.NoError(t, err)
	link.Cut()
	testkit.Eventually(t, "the registration expires", func() bool {
		_, found, err := zk.Broker(deadline(t), 0)
		return err == nil && !found
	})
	require.Equal(t, []string{"before"}, consume(t, b.Address, "t", 1), "reads go on")
	link.Mend()
	testkit.Eventually(t, "registered with a new epoch", func() bool {
		after, found, err := zk.Broker(deadline(t), 0)
		return err == nil && found && after.Epoch > before.Epoch
	})
	testkit.Eventually(t, "controller again", func() bool {
		id, err := zk.ControllerID(deadline(t))
		return err == nil && id == 0
	})
	produce(t, b.Address, "t", "after")
	produce(t, b.Address, "new-topic", "x")
	require.Equal(t, []string{"before", "after"}, consume(t, b.Address, "t", 2))
}

func TestConfigurationIsFollowed(t *testing.T) {
	zooKeeper := testkit.ZooKeeper(t)
	b := testkit.StartBroker(t, zooKeeper, nil)
	produce(t, b.Address, "t", "small")
	admin := kadm.NewClient(clientOf(t, b.Address))
	value := "100"
	altered, err := admin.AlterTopicConfigs(deadline(t), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "max.message.bytes", Value: &value}}, "t")
	require.NoError(t, err)
	require.NoError(t, altered[0].Err)
	client := clientOf(t, b.Address)
	testkit.Eventually(t, "the limit holds", func() bool {
		err := client.ProduceSync(deadline(t), &kgo.Record{Topic: "t", Value: []byte(strings.Repeat("x", 500))}).FirstErr()
		return err != nil && strings.Contains(err.Error(), "MESSAGE_TOO_LARGE")
	})
}

func TestTooFewBrokersForTheOffsetsTopicAreTold(t *testing.T) {
	b := testkit.StartBroker(t, testkit.ZooKeeper(t), map[string]string{"offsets.topic.replication.factor": "3"})
	testkit.Eventually(t, "the controller has spoken", func() bool {
		info, err := kadm.NewClient(clientOf(t, b.Address)).ListBrokers(deadline(t))
		return err == nil && len(info) == 1
	})
	b.WarnOfOffsetsReplication()
	require.Contains(t, b.Log.String(), "WARN [KafkaServer id=0] offsets.topic.replication.factor=3 needs 3 brokers and 1 are registered")
}
