//go:build compat

package compat

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// load produces numbered records with acks=all until it is stopped, and keeps
// what was acknowledged.
type load struct {
	client *kgo.Client
	cancel context.CancelFunc
	done   chan struct{}

	mu    sync.Mutex
	acked map[position]string
}

type position struct {
	partition int32
	offset    int64
}

func startLoad(t *testing.T, address, topic string, options ...kgo.Opt) *load {
	t.Helper()
	client, err := kgo.NewClient(append(options, kgo.SeedBrokers(strings.Split(address, ",")...), kgo.DefaultProduceTopic(topic), kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.MaxBufferedRecords(500), kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }), kgo.MetadataMinAge(50*time.Millisecond))...)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{client: client, cancel: cancel, done: make(chan struct{}), acked: map[position]string{}}
	go func() {
		defer close(l.done)
		for n := 0; ctx.Err() == nil; n++ {
			value := fmt.Sprintf("record %d", n)
			client.Produce(ctx, &kgo.Record{Value: []byte(value)}, func(r *kgo.Record, err error) {
				if err == nil {
					l.mu.Lock()
					l.acked[position{r.Partition, r.Offset}] = value
					l.mu.Unlock()
				}
			})
			if n%50 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
	}()
	t.Cleanup(l.stop)
	return l
}

func (l *load) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acked)
}

// awaitMore waits until n more records were acknowledged.
func (l *load) awaitMore(t *testing.T, n int) {
	t.Helper()
	from := l.count()
	eventually(t, 30*time.Second, fmt.Sprintf("%d more records are acknowledged", n), func() bool { return l.count() >= from+n })
}

func (l *load) stop() {
	l.cancel()
	<-l.done
	l.client.Close()
}

// check reads the topic and finds every acknowledged record at its offset,
// and no offset twice or out of order.
func (l *load) check(t *testing.T, address, topic string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(address, ",")...), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	require.NoError(t, err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, topic)
	require.NoError(t, err)
	require.NoError(t, ends.Error())
	stored, next, total := map[position]string{}, map[int32]int64{}, int64(0)
	ends.Each(func(o kadm.ListedOffset) { total += o.Offset })
	for read := int64(0); read < total; {
		fetches := client.PollFetches(ctx)
		require.NoError(t, fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) {
			require.Equal(t, next[r.Partition], r.Offset, "offsets go up by one")
			next[r.Partition]++
			stored[position{r.Partition, r.Offset}] = string(r.Value)
			read++
		})
	}
	for at, value := range l.acked {
		if stored[at] != value {
			require.Fail(t, "an acknowledged record is missing", "%q was acknowledged at %v, where %q is now", value, at, stored[at])
		}
	}
	t.Logf("%d records were acknowledged, %d are stored", len(l.acked), total)
}

// kills is how often a broker is killed: GREGOR_KILLS, 10 unless set.
func kills(t *testing.T) int {
	t.Helper()
	text := os.Getenv("GREGOR_KILLS")
	if text == "" {
		return 10
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err)
	return n
}

// requireNoFault has Apache Kafka's own tool read every log and index below a
// log directory.
func requireNoFault(t *testing.T, dir string) {
	t.Helper()
	var logs, indexes []string
	for _, pattern := range []string{"*.log", "*.index", "*.timeindex"} {
		found, err := filepath.Glob(filepath.Join(dir, "*-*", pattern))
		require.NoError(t, err)
		if pattern == "*.log" {
			logs = append(logs, found...)
		} else {
			indexes = append(indexes, found...)
		}
	}
	require.NotEmpty(t, logs)
	require.NotEmpty(t, indexes)
	got := java(t, kafka28, "", "kafka.tools.DumpLogSegments", "--files", strings.Join(logs, ","))
	require.Zero(t, got.Status, got.Stderr)
	require.Contains(t, got.Stdout, "isvalid: true")
	require.NotContains(t, got.Stdout, "isvalid: false")
	require.NotContains(t, got.Stdout, "Non-secutive offsets")
	got = java(t, kafka28, "", "kafka.tools.DumpLogSegments", "--verify-index-only", "--files", strings.Join(indexes, ","))
	require.Zero(t, got.Status, got.Stderr)
	for _, fault := range []string{"Mismatches in", "Non-secutive offsets", "Found timestamp mismatch", "Index timestamp:", "Found out of order timestamp", "rror"} {
		require.NotContains(t, got.Stdout+got.Stderr, fault)
	}
}

// kill -9 of the broker while it is written to: what it has acknowledged is
// there, where it was acknowledged, it is back at once, and Apache Kafka's tool
// finds nothing wrong with its files.
func TestBrokerKilledUnderLoad(t *testing.T) {
	zk := zooKeeper(t, gregor, t.TempDir(), 0)
	dir, settings := t.TempDir(), map[string]string{"listeners": fmt.Sprintf("PLAINTEXT://127.0.0.1:%d", freePort(t)), "num.partitions": "3",
		"log.segment.bytes": "1048576", "zookeeper.session.timeout.ms": "18000"}
	b := broker(t, gregor, 0, zk.Address, dir, settings)
	require.Zero(t, script(t, "", "kafka-topics.sh", "--create", "--bootstrap-server", b.Address, "--topic", "load").Status)
	l := startLoad(t, b.Address, "load")
	for range kills(t) {
		l.awaitMore(t, 1000)
		b.kill()
		began := time.Now()
		b = broker(t, gregor, 0, zk.Address, dir, settings)
		require.Less(t, time.Since(began), 5*time.Second, "the former session is not waited for")
	}
	l.awaitMore(t, 2000)
	l.stop()
	l.check(t, b.Address, "load")
	require.Equal(t, 143, b.stop())
	requireNoFault(t, dir)
	b = broker(t, gregor, 0, zk.Address, dir, settings)
	l.check(t, b.Address, "load")
}

// ZooKeeper's own kill -9 under a broker that is written to; then both at
// once. Topics made before are there, and more can be made.
func TestZooKeeperKilledUnderABroker(t *testing.T) {
	zkDir, zkPort := t.TempDir(), freePort(t)
	zk := zooKeeper(t, gregor, zkDir, zkPort)
	dir, settings := t.TempDir(), map[string]string{"listeners": fmt.Sprintf("PLAINTEXT://127.0.0.1:%d", freePort(t)), "zookeeper.session.timeout.ms": "18000"}
	b := broker(t, gregor, 0, zk.Address, dir, settings)
	create := func(topic string) {
		t.Helper()
		got := script(t, "", "kafka-topics.sh", "--create", "--bootstrap-server", b.Address, "--topic", topic)
		require.Equal(t, "Created topic "+topic+".\n", got.Stdout, got.Stderr)
	}
	create("load")
	l := startLoad(t, b.Address, "load")
	for round := range 5 {
		l.awaitMore(t, 500)
		zk.kill()
		l.awaitMore(t, 1000) // the broker goes on without it
		zk = zooKeeper(t, gregor, zkDir, zkPort)
		create(fmt.Sprintf("after-%d", round))
	}
	for round := range 5 {
		l.awaitMore(t, 500)
		b.kill()
		zk.kill()
		zk = zooKeeper(t, gregor, zkDir, zkPort)
		b = broker(t, gregor, 0, zk.Address, dir, settings)
		create(fmt.Sprintf("both-%d", round))
	}
	l.awaitMore(t, 500)
	l.stop()
	l.check(t, b.Address, "load")
	require.Equal(t, "after-0\nafter-1\nafter-2\nafter-3\nafter-4\nboth-0\nboth-1\nboth-2\nboth-3\nboth-4\nload\n", script(t, "", "kafka-topics.sh", "--list", "--zookeeper", zk.Address).Stdout)
}

// ZooKeeper is away for longer than the session lasts: the broker registers
// again when it is back.
func TestZooKeeperAwayForLongerThanASession(t *testing.T) {
	zkDir, zkPort := t.TempDir(), freePort(t)
	zk := zooKeeper(t, gregor, zkDir, zkPort)
	b := broker(t, gregor, 0, zk.Address, t.TempDir(), map[string]string{"zookeeper.session.timeout.ms": "6000"})
	kcatProduce(t, b.Address, "t", "before\n")
	zk.kill()
	away := time.Now()
	for n := 0; time.Since(away) < 9*time.Second; n++ {
		kcatProduce(t, b.Address, "t", fmt.Sprintf("away %d\n", n))
	}
	kcatProduce(t, b.Address, "t", "still away\n")
	zk = zooKeeper(t, gregor, zkDir, zkPort)
	eventually(t, 30*time.Second, "the broker is registered again", func() bool {
		return lastLine(script(t, "", "zookeeper-shell.sh", zk.Address, "ls", "/brokers/ids").Stdout) == "[0]"
	})
	eventually(t, 30*time.Second, "topics can be made", func() bool {
		return script(t, "", "kafka-topics.sh", "--create", "--if-not-exists", "--bootstrap-server", b.Address, "--topic", "after").Status == 0
	})
	kcatProduce(t, b.Address, "t", "after\n")
	got := kcatConsume(t, b.Address, "t")
	require.True(t, strings.HasPrefix(got, "before\naway 0\n"), got)
	require.True(t, strings.HasSuffix(got, "still away\nafter\n"), got)
	require.Equal(t, 143, b.stop())
}

// A disk that is full: the append is refused, nothing that was acknowledged
// is lost, the process ends with 1 and leaves no mark of a clean end; with
// room again it serves what it had.
func TestFullDisk(t *testing.T) {
	zk := zooKeeper(t, gregor, t.TempDir(), 0)
	dir, image := t.TempDir(), t.TempDir()
	port := freePort(t)
	config := filepath.Join(t.TempDir(), "server.properties")
	properties(t, config, map[string]string{"broker.id": "0", "listeners": fmt.Sprintf("PLAINTEXT://127.0.0.1:%d", port), "log.dirs": dir, "zookeeper.connect": zk.Address,
		"offsets.topic.replication.factor": "1"}, nil)
	args := []string{"--mount", "sh", "-c", `mount -t tmpfs -o size=8m none "$1" && "$2" "$3"; status=$?; cp -a "$1/." "$4"; exit $status`, "sh", dir,
		filepath.Join(home(), "bin", "kafka-server-start.sh"), config, image}
	if os.Geteuid() != 0 {
		args = append([]string{"--user", "--map-root-user"}, args...)
	}
	b := start(t, "full", command{Path: "unshare", Args: args, Env: []string{"LOG_DIR=" + t.TempDir()}})
	b.await("started (kafka.server.KafkaServer)")
	address := fmt.Sprintf("127.0.0.1:%d", port)
	require.Zero(t, script(t, "", "kafka-topics.sh", "--create", "--bootstrap-server", address, "--topic", "big").Status)
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(address, ",")...), kgo.DefaultProduceTopic("big"), kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.RecordDeliveryTimeout(3*time.Second))
	require.NoError(t, err)
	defer client.Close()
	acked := int64(0)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		r := &kgo.Record{Value: []byte(fmt.Sprintf("%-100000d", acked))}
		if err = client.ProduceSync(ctx, r).FirstErr(); err != nil {
			break
		}
		require.Equal(t, acked, r.Offset)
		acked++
		require.Less(t, acked, int64(1000), "8 MB are never full")
	}
	require.Greater(t, acked, int64(20))
	select {
	case <-b.done:
	case <-time.After(time.Minute):
		require.Fail(t, "the broker goes on without a directory")
	}
	require.Equal(t, 1, b.cmd.ProcessState.ExitCode(), b.tail())
	require.Contains(t, b.output(), "no space left on device")
	require.Contains(t, b.output(), "ERROR Shutdown broker because all log dirs in "+dir+" have failed (kafka.log.LogManager)")
	require.NotContains(t, b.output(), "goroutine ")
	require.NoFileExists(t, filepath.Join(image, ".kafka_cleanshutdown"))

	again := broker(t, gregor, 0, zk.Address, image, nil)
	got, err := exec.Command("kcat", "-C", "-q", "-e", "-b", again.Address, "-t", "big", "-o", "beginning", "-f", "%o %S\n").Output()
	require.NoError(t, err)
	var want strings.Builder
	for n := range acked {
		fmt.Fprintf(&want, "%d 100000\n", n)
	}
	require.True(t, strings.HasPrefix(string(got), want.String()), "%d records were acknowledged, and now there are\n%s", acked, got)
}

// Few descriptors are enough for many partitions, whose files are opened when
// they are needed; clients that use them up do not end the broker.
func TestFewDescriptors(t *testing.T) {
	zk := zooKeeper(t, gregor, t.TempDir(), 0)
	address := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	config := filepath.Join(t.TempDir(), "server.properties")
	properties(t, config, map[string]string{"broker.id": "0", "listeners": "PLAINTEXT://" + address, "log.dirs": t.TempDir(), "zookeeper.connect": zk.Address,
		"offsets.topic.replication.factor": "1"}, nil)
	b := start(t, "few", command{Path: "sh", Args: []string{"-c", `ulimit -n 60 && exec "$1" "$2"`, "sh", filepath.Join(home(), "bin", "kafka-server-start.sh"), config}, Env: []string{"LOG_DIR=" + t.TempDir()}})
	b.await("started (kafka.server.KafkaServer)")
	require.Zero(t, script(t, "", "kafka-topics.sh", "--create", "--zookeeper", zk.Address, "--replication-factor", "1", "--topic", "many", "--partitions", "500").Status)
	eventually(t, 30*time.Second, "all partitions are led", func() bool {
		return strings.Count(script(t, "", "kafka-topics.sh", "--describe", "--bootstrap-server", address, "--topic", "many").Stdout, "Leader: 0") == 500
	})
	var idle []net.Conn
	for range 100 {
		conn, err := net.DialTimeout("tcp", address, 5*time.Second)
		if err != nil {
			break // the queue of the listener is full
		}
		idle = append(idle, conn)
	}
	for _, conn := range idle {
		conn.Close()
	}
	kcatProduce(t, address, "many", "still here\n")
	require.Equal(t, "still here\n", kcatConsume(t, address, "many"))
	require.Equal(t, 143, b.stop())
	require.NotContains(t, b.output(), "goroutine ")
}
