package cli

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/kerr"
	"gregor/pkg/logging"
)

// properties writes a file for --command-config.
func propertiesFile(t *testing.T, lines ...string) string {
	path := filepath.Join(t.TempDir(), "client.properties")
	require.NoError(t, os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600))
	return path
}

// deadAddress is a loopback port on which nobody listens.
func deadAddress(t *testing.T) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	return listener.Addr().String()
}

var numbers = regexp.MustCompile(`(deadlineMs=|nextAllowedTryMs=|timed out at )[0-9]+`)

func TestUnreachableBroker(t *testing.T) {
	dead := deadAddress(t)
	file := propertiesFile(t, "default.api.timeout.ms=400", "request.timeout.ms=300", "foo.bar=1")
	got := numbers.ReplaceAllString(transcript("kafka-topics --list --bootstrap-server "+dead+" --command-config "+file), "$1<ms>")
	warning := "2> <time> WARN [AdminClient clientId=adminclient-1] Connection to node -1 (/" + dead +
		") could not be established. Broker may not be available. (org.apache.kafka.clients.NetworkClient)\n"
	require.GreaterOrEqual(t, strings.Count(got, warning), 2, "it tries again: %s", got)
	require.LessOrEqual(t, strings.Count(got, warning), 5, "but not all the time: %s", got)
	const timedOut = "Call(callName=listTopics, deadlineMs=<ms>, tries=1, nextAllowedTryMs=<ms>) timed out at <ms> after 1 attempt(s)"
	require.Equal(t, "Error while executing topic command : "+timedOut+"\n"+
		"2> <time> WARN The configuration 'foo.bar' was supplied but isn't a known config. (org.apache.kafka.clients.admin.AdminClientConfig)\n"+
		"2> <time> ERROR org.apache.kafka.common.errors.TimeoutException: "+timedOut+"\n"+
		"2> Caused by: org.apache.kafka.common.errors.TimeoutException: Timed out waiting for a node assignment. Call: listTopics\n"+
		"2>  (kafka.admin.TopicCommand$)\n(exit 1)\n", strings.ReplaceAll(got, warning, ""))
}

func TestConnectionOptionsThatAreRefused(t *testing.T) {
	thread := func(class, text string) string {
		return "2> Exception in thread \"main\" " + class + ": " + text + "\n(exit 1)\n"
	}
	client := func(class, text string) string {
		return "2> Exception in thread \"main\" " + kafkaException + ": Failed to create new KafkaAdminClient\n2> Caused by: " + class + ": " + text + "\n(exit 1)\n"
	}
	for _, row := range []struct{ servers, property, want string }{
		{"localhost", "", client(configException, "Invalid url in bootstrap.servers: localhost")},
		{"localhost:abc", "", client(configException, "Invalid url in bootstrap.servers: localhost:abc")},
		{":9092", "", client(configException, "Invalid url in bootstrap.servers: :9092")},
		{"localhost:99999", "", client(configException, "Invalid port in bootstrap.servers: localhost:99999")},
		{"--topic", "", client(configException, "Invalid url in bootstrap.servers: --topic")},
		{",", "", client(configException, "No resolvable bootstrap urls given in bootstrap.servers")},
		{"localhost:1", "default.api.timeout.ms=abc", thread(configException, "Invalid value abc for configuration default.api.timeout.ms: Not a number of type INT")},
		{"localhost:1", "retry.backoff.ms=-1", thread(configException, "Invalid value -1 for configuration retry.backoff.ms: Value must be at least 0")},
		{"localhost:1", "default.api.timeout.ms=10", client(configException,
			"The specified value of default.api.timeout.ms must be no smaller than the value of request.timeout.ms.")},
		{"localhost:1", "security.protocol=foo", client(illegalArgument, "No enum constant org.apache.kafka.common.security.auth.SecurityProtocol.FOO")},
		{"localhost:1", "security.protocol=SASL_SSL", client(configException, "security.protocol=SASL_SSL: the tools connect over PLAINTEXT only")},
	} {
		t.Run(row.servers+" "+row.property, func(t *testing.T) {
			require.Equal(t, row.want, transcript("kafka-topics --list --bootstrap-server "+row.servers+" --command-config "+propertiesFile(t, row.property)))
		})
	}
	missing := filepath.Join(t.TempDir(), "none")
	require.Equal(t, thread(noSuchFile, missing), transcript("kafka-topics --list --bootstrap-server localhost:1 --command-config "+missing))
	require.Equal(t, thread(numberFormat, `For input string: "2181--create"`), transcript("kafka-topics --list --zookeeper localhost:2181--create"))
}

func TestParseBootstrap(t *testing.T) {
	var log bytes.Buffer
	parse := func(list string) (nodes []*node, err error) {
		return parseBootstrap(context.Background(), list, logging.New(&log).Logger("x"))
	}
	nodes, err := parse("127.0.0.1:1, SSL://[::1]:2 ,")
	require.NoError(t, err)
	require.Len(t, nodes, 2)
	require.Equal(t, "/127.0.0.1:1", nodes[0].name())
	require.Equal(t, "/0:0:0:0:0:0:0:1:2", nodes[1].name())
	require.EqualValues(t, -2, nodes[1].id)
	require.Equal(t, "broker.example/10.1.2.3:9092", (&node{host: "broker.example", port: 9092, addresses: []string{"10.1.2.3"}}).name())
	require.Equal(t, "2001:db8:0:0:0:0:0:a", javaIPv6(netip.MustParseAddr("2001:db8::a")))
}

func FuzzParseBootstrap(f *testing.F) {
	for _, seed := range []string{"127.0.0.1:9092", "127.0.0.1:1,[::1]:2", "SSL://127.0.0.1:3", "a", ":", "127.0.0.1:99999999999", ",,", "127.0.0.1:-1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, list string) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // nothing is looked up
		nodes, err := parseBootstrap(ctx, list, logging.Discard().Logger("x"))
		if err != nil {
			require.Equal(t, configException, javaClass(err))
			return
		}
		for _, n := range nodes {
			require.NotEmpty(t, n.host)
			require.GreaterOrEqual(t, n.port, int32(0))
		}
	})
}

func newTestClient(t *testing.T, servers string, properties map[string]string) *adminClient {
	a, err := newAdminClient(context.Background(), logging.Discard(), servers, properties)
	require.NoError(t, err)
	t.Cleanup(a.Close)
	return a
}

func TestClientSpeaksWhatTheBrokerKnows(t *testing.T) {
	b := newWireBroker(t)
	b.old = true // answers ApiVersions v3 in the form of v0
	b.versions[3] = versionRange{0, 5}
	b.versions[48] = versionRange{0, -1}
	a := newTestClient(t, b.addr, nil)
	resp, err := a.call(context.Background(), "listNodes", anyNode, kmsg.NewPtrMetadataRequest())
	require.NoError(t, err)
	require.EqualValues(t, 5, resp.(*kmsg.MetadataResponse).Version)
	_, err = a.call(context.Background(), "describeClientQuotas", anyNode, kmsg.NewPtrDescribeClientQuotasRequest())
	require.ErrorIs(t, err, kerr.UnsupportedVersion)
	require.EqualError(t, err, "The broker does not support DESCRIBE_CLIENT_QUOTAS")
	require.Len(t, b.asked(18), 1, "one connection for all")
	require.Equal(t, "adminclient-1", a.settings.clientID)
}

func TestClientTriesAgain(t *testing.T) {
	b := newWireBroker(t)
	failures := 2
	b.answers[3] = func(req kmsg.Request) kmsg.Response {
		if failures--; failures >= 0 {
			return nil // the connection ends
		}
		return b.metadata(req.(*kmsg.MetadataRequest))
	}
	a := newTestClient(t, deadAddress(t)+","+b.addr, map[string]string{"retry.backoff.ms": "5"})
	_, err := a.call(context.Background(), "listNodes", anyNode, kmsg.NewPtrMetadataRequest())
	require.NoError(t, err)
	require.Len(t, b.asked(3), 3)
}

func TestClientGivesUp(t *testing.T) {
	b := newWireBroker(t)
	b.answers[3] = func(kmsg.Request) kmsg.Response { return nil }
	a := newTestClient(t, b.addr, map[string]string{"default.api.timeout.ms": "60", "request.timeout.ms": "50", "retry.backoff.ms": "10"})
	_, err := a.call(context.Background(), "listNodes", anyNode, kmsg.NewPtrMetadataRequest())
	require.ErrorIs(t, err, kerr.RequestTimedOut)
	require.Contains(t, err.Error(), "Call(callName=listNodes, ")

	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = a.call(ctx, "listNodes", anyNode, kmsg.NewPtrMetadataRequest())
	require.ErrorIs(t, err, context.Canceled)
}

func TestClientFindsNodes(t *testing.T) {
	b := newWireBroker(t)
	b.id = 7
	b.answers[32] = func(req kmsg.Request) kmsg.Response { return req.ResponseKind() }
	a := newTestClient(t, b.addr, map[string]string{"default.api.timeout.ms": "60", "request.timeout.ms": "50", "retry.backoff.ms": "10"})
	_, err := a.call(context.Background(), "describeConfigs", target(7), kmsg.NewPtrDescribeConfigsRequest())
	require.NoError(t, err)
	require.Equal(t, []int32{7}, a.brokerIDs())
	_, err = a.call(context.Background(), "describeConfigs", target(8), kmsg.NewPtrDescribeConfigsRequest())
	require.ErrorIs(t, err, kerr.RequestTimedOut, "there is no broker 8")
}

// A controller that is gone is forgotten: metadata names the next one.
func TestClientLooksForTheNextController(t *testing.T) {
	b := newWireBroker(t)
	gone, asked := deadAddress(t), 0
	b.answers[3] = func(req kmsg.Request) kmsg.Response {
		resp := b.metadata(req.(*kmsg.MetadataRequest)).(*kmsg.MetadataResponse)
		if asked++; asked == 1 {
			dead := kmsg.NewMetadataResponseBroker()
			host, port, err := net.SplitHostPort(gone)
			require.NoError(t, err)
			n, err := strconv.ParseInt(port, 10, 32)
			require.NoError(t, err)
			dead.NodeID, dead.Host, dead.Port = 9, host, int32(n)
			resp.Brokers, resp.ControllerID = append(resp.Brokers, dead), 9
		}
		return resp
	}
	b.answers[19] = func(req kmsg.Request) kmsg.Response { return req.ResponseKind() }
	a := newTestClient(t, b.addr, map[string]string{"retry.backoff.ms": "5"})
	_, err := a.callController(context.Background(), "createTopics", kmsg.NewPtrCreateTopicsRequest(), func(kmsg.Response) bool { return false })
	require.NoError(t, err)
	require.Equal(t, 2, asked)
}

// What people meet who advertise a name that only the broker knows.
func TestClientNamesAHostWithoutAddress(t *testing.T) {
	b := newWireBroker(t)
	b.answers[3] = func(req kmsg.Request) kmsg.Response {
		resp := b.metadata(req.(*kmsg.MetadataRequest)).(*kmsg.MetadataResponse)
		resp.Brokers[0].Host, resp.Brokers[0].Port = "a..b", 9092
		return resp
	}
	file := propertiesFile(t, "default.api.timeout.ms=60", "request.timeout.ms=50", "retry.backoff.ms=10")
	require.Contains(t, b.run("kafka-topics --create --topic t --bootstrap-server BROKER --command-config "+file),
		"2> <time> WARN [AdminClient clientId=adminclient-1] Error connecting to node a..b:9092 (id: 0 rack: null) (org.apache.kafka.clients.NetworkClient)\n"+
			"2> java.net.UnknownHostException: a..b\n")
}

func TestReconnectPauseGrows(t *testing.T) {
	s := adminSettings{reconnectBackoff: 50 * time.Millisecond, reconnectBackoffMax: time.Second}
	for failures, want := range map[int]time.Duration{1: 50, 2: 100, 5: 800, 6: 1000, 60: 1000} {
		got := s.reconnectPause(failures)
		require.InDelta(t, float64(want*time.Millisecond), float64(got), float64(want*time.Millisecond)/5)
	}
}

func TestExceptions(t *testing.T) {
	inner := kerr.UnknownTopicOrPartition.With("")
	require.Equal(t, "java.util.concurrent.ExecutionException: "+commonErrors+"UnknownTopicOrPartitionException: \n"+
		"Caused by: "+commonErrors+"UnknownTopicOrPartitionException: \n", trace(execution(inner)))
	require.Equal(t, "java.util.concurrent.TimeoutException\n", trace(exceptionf("java.util.concurrent.TimeoutException", "")))
	require.Equal(t, kafkaException+": plain\n", trace(errors.New("plain")))
	require.NoError(t, protocolError(0, nil))
	require.EqualError(t, protocolError(3, nil), "This server does not host this topic-partition.")
	empty := ""
	require.EqualError(t, protocolError(3, &empty), "")

	var out bytes.Buffer
	loggers := toolLoggers(&Env{Stderr: &out})
	loggers.Logger("x").Info("not shown")
	loggers.Logger("x").Warn("shown")
	require.Equal(t, "<time> WARN shown (x)\n", logTime.ReplaceAllString(out.String(), "<time>"))
}

func TestHashMapOrder(t *testing.T) {
	// As a Java broker's topic settings come out of kafka-configs --all.
	want := []string{"compression.type", "leader.replication.throttled.replicas", "message.downconversion.enable", "min.insync.replicas", "segment.jitter.ms",
		"cleanup.policy", "flush.ms", "follower.replication.throttled.replicas", "segment.bytes", "retention.ms", "flush.messages", "message.format.version",
		"max.compaction.lag.ms", "file.delete.delay.ms", "max.message.bytes", "min.compaction.lag.ms", "message.timestamp.type", "preallocate",
		"min.cleanable.dirty.ratio", "index.interval.bytes", "unclean.leader.election.enable", "retention.bytes", "delete.retention.ms", "segment.ms",
		"message.timestamp.difference.max.ms", "segment.index.bytes"}
	got := hashMapOrder(want, 16)
	require.Equal(t, want, got, "ties stay as they came")
	sorted := hashMapOrder(topicConfigNames(), 16)
	require.ElementsMatch(t, want, sorted)
	require.Equal(t, "compression.type", sorted[0])
	require.Equal(t, []string{"cleanup.policy", "max.message.bytes", "retention.ms", "flush.messages"},
		hashMapOrder([]string{"cleanup.policy", "flush.messages", "max.message.bytes", "retention.ms"}, 16), "sixteen buckets")
	require.Empty(t, hashMapOrder(nil, 0))
}

func TestTopicFilter(t *testing.T) {
	for raw, want := range map[string]string{"a": "a", "a,b": "a b", " 'a.*' ": "a ab", `"a, b"`: "a b", ".*": "a ab b __consumer_offsets", "": "", "x": ""} {
		f, err := newTopicFilter(raw)
		require.NoError(t, err)
		var got []string
		for _, topic := range []string{"a", "ab", "b", "__consumer_offsets"} {
			if f.allows(topic, false) {
				got = append(got, topic)
			}
		}
		require.Equal(t, want, strings.Join(got, " "), raw)
	}
	f, err := newTopicFilter(".*")
	require.NoError(t, err)
	require.False(t, f.allows("__transaction_state", true))
	_, err = newTopicFilter("(")
	require.EqualError(t, err, "( is an invalid regex.")
}
