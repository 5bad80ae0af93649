package cli_test

import (
	"context"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"gregor/pkg/cli"
	"gregor/pkg/testkit"
)

// uuid is the random end of a member id.
var uuid = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)

// TestGroupWithAMember shows and refuses what Kafka's tool does while a group
// has a member.
func TestGroupWithAMember(t *testing.T) {
	broker := testkit.StartBroker(t, testkit.ZooKeeper(t), nil)
	tool := func(args ...string) (stdout, stderr string) {
		t.Helper()
		stdout, stderr, status := cli.Invoke("", append([]string{"kafka-consumer-groups", "--bootstrap-server", broker.Address}, args...)...)
		require.Zero(t, status, stderr)
		return uuid.ReplaceAllString(stdout, "<uuid>"), stderr
	}
	_, stderr, status := cli.Invoke("", "kafka-topics", "--bootstrap-server", broker.Address, "--create", "--topic", "orders", "--partitions", "2")
	require.Zero(t, status, stderr)
	_, stderr, status = cli.Invoke("a\nb\nc\n", "kafka-console-producer", "--bootstrap-server", broker.Address, "--topic", "orders")
	require.Zero(t, status, stderr)

	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	member, err := kgo.NewClient(kgo.SeedBrokers(broker.Address), kgo.ClientID("reader"), kgo.ConsumerGroup("live"), kgo.InstanceID("first"),
		kgo.Balancers(kgo.RangeBalancer()), kgo.ConsumeTopics("orders"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit())
	require.NoError(t, err)
	defer member.Close()
	for read := 0; read < 3; {
		fetches := member.PollFetches(ctx)
		require.NoError(t, fetches.Err())
		read += fetches.NumRecords()
	}

	const id = "first-<uuid>"
	stdout, _ := tool("--describe", "--group", "live", "--members", "--verbose")
	lines := strings.Split(stdout, "\n")
	require.Len(t, lines, 4)
	require.Equal(t, []string{"GROUP", "CONSUMER-ID", "GROUP-INSTANCE-ID", "HOST", "CLIENT-ID", "#PARTITIONS", "ASSIGNMENT"}, strings.Fields(lines[1]))
	require.Equal(t, "live            "+id+" first             /127.0.0.1      reader          2               orders(0,1)", lines[2])

	stdout, _ = tool("--describe", "--group", "live", "--state")
	require.Regexp(t, `(?m)^live +127\.0\.0\.1:\d+ \(0\) +range                Stable          1$`, stdout)
	stdout, _ = tool("--list", "--state", "Stable")
	require.Equal(t, "GROUP           STATE\nlive            Stable\n", stdout)

	stdout, stderr = tool("--describe", "--group", "live")
	require.Empty(t, stderr)
	require.Regexp(t, `(?m)^live            orders          0          -               \d               -               `+regexp.QuoteMeta(id)+` /127\.0\.0\.1      reader$`, stdout)

	stdout, _ = tool("--reset-offsets", "--group", "live", "--topic", "orders", "--to-earliest", "--execute")
	require.Equal(t, "\nError: Assignments can only be reset if the group 'live' is inactive, but the current state is Stable.\n"+
		"\nGROUP                          TOPIC                          PARTITION  NEW-OFFSET     \n", stdout)
	stdout, _ = tool("--delete", "--group", "live")
	require.Equal(t, "\nError: Deletion of some consumer groups failed:\n* Group 'live' could not be deleted due to: "+
		"java.util.concurrent.ExecutionException: org.apache.kafka.common.errors.GroupNotEmptyException: The group is not empty.\n", stdout)
	stdout, _ = tool("--delete-offsets", "--group", "live", "--topic", "orders:1")
	require.Equal(t, "\nError: Encounter some partition level error, see the follow-up details:\n"+
		"\nTOPIC                          PARTITION       STATUS         \n"+
		"orders                         1               Error: org.apache.kafka.common.errors.GroupSubscribedToTopicException: "+
		"Deleting offsets of a topic is forbidden while the consumer group is actively subscribed to it.\n", stdout)
}

// TestTopicsAreNotMade is the console tools against a broker with
// auto.create.topics.enable=false.
func TestTopicsAreNotMade(t *testing.T) {
	broker := testkit.StartBroker(t, testkit.ZooKeeper(t), map[string]string{"auto.create.topics.enable": "false"})
	// a broker that no controller has told of topics yet cannot say that one is unknown
	_, stderr, status := cli.Invoke("", "kafka-topics", "--bootstrap-server", broker.Address, "--create", "--topic", "other")
	require.Zero(t, status, stderr)
	_, stderr, status = cli.Invoke("hello\n", "kafka-console-producer", "--bootstrap-server", broker.Address, "--topic", "auto", "--max-block-ms", "450")
	require.Zero(t, status)
	warnings := strings.Count(stderr, "WARN [Producer clientId=console-producer] Error while fetching metadata with correlation id ")
	require.Equal(t, warnings, strings.Count(stderr, " : {auto=UNKNOWN_TOPIC_OR_PARTITION} (org.apache.kafka.clients.NetworkClient)\n"))
	require.GreaterOrEqual(t, warnings, 2, stderr)
	require.LessOrEqual(t, warnings, 5, stderr)
	require.True(t, strings.HasSuffix(stderr, "org.apache.kafka.common.errors.TimeoutException: Topic auto not present in metadata after 450 ms.\n"), stderr)

	_, stderr, status = cli.Invoke("", "kafka-console-consumer", "--bootstrap-server", broker.Address, "--topic", "auto", "--timeout-ms", "350")
	require.Zero(t, status)
	require.Contains(t, stderr, " : {auto=UNKNOWN_TOPIC_OR_PARTITION} (org.apache.kafka.clients.NetworkClient)\n")
	require.True(t, strings.HasSuffix(stderr, "org.apache.kafka.common.errors.TimeoutException\nProcessed a total of 0 messages\n"), stderr)
	stdout, _, _ := cli.Invoke("", "kafka-topics", "--bootstrap-server", broker.Address, "--list")
	require.Equal(t, "other\n", stdout)
}
