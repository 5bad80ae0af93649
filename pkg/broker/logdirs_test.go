package broker_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"gregor/pkg/testkit"
)

// manyDirs are brokers with several log directories each.
type manyDirs struct {
	t          *testing.T
	zooKeeper  string
	brokers    []*testkit.Broker
	dirs       [][]string
	properties []map[string]string
	seeds      []string
	admin      *kadm.Client
}

func startManyDirs(t *testing.T, brokers, dirs int, properties ...string) *manyDirs {
	c := &manyDirs{t: t, zooKeeper: testkit.StartZooKeeper(t, 100*time.Millisecond).Address}
	for id := range brokers {
		var own []string
		for range dirs {
			own = append(own, t.TempDir())
		}
		port := testkit.FreePort(t)
		p := map[string]string{"broker.id": strconv.Itoa(id), "listeners": testkit.Listener(port), "log.dirs": strings.Join(own, ","),
			"replica.fetch.wait.max.ms": "100", "replica.fetch.backoff.ms": "50", "controlled.shutdown.retry.backoff.ms": "200"}
		for i := 0; i < len(properties); i += 2 {
			p[properties[i]] = properties[i+1]
		}
		c.dirs, c.properties, c.seeds = append(c.dirs, own), append(c.properties, p), append(c.seeds, fmt.Sprintf("127.0.0.1:%d", port))
		c.brokers = append(c.brokers, testkit.StartBroker(t, c.zooKeeper, p))
	}
	c.admin = kadm.NewClient(c.client())
	testkit.Eventually(t, "all brokers are there", func() bool {
		all, err := c.admin.ListBrokers(deadline(t))
		return err == nil && len(all) == brokers
	})
	return c
}

func (c *manyDirs) client(options ...kgo.Opt) *kgo.Client {
	return clientOf(c.t, "", append(options, kgo.SeedBrokers(c.seeds...), kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }))...)
}

func (c *manyDirs) restart(id int) {
	c.brokers[id].Stop()
	c.brokers[id] = testkit.StartBroker(c.t, c.zooKeeper, c.properties[id])
}

// described is where a broker has its replica of t-0; lag is that of a copy,
// -1 without one.
func (c *manyDirs) described(id int) (dir string, copying string, lag int64) {
	c.t.Helper()
	lag = -1
	all, err := c.admin.DescribeBrokerLogDirs(deadline(c.t), int32(id), kadm.TopicsSet{"t": {0: {}}})
	require.NoError(c.t, err)
	for _, d := range all {
		require.NoError(c.t, d.Err)
		if p, found := d.Topics.Lookup("t", 0); !found {
			continue
		} else if p.IsFuture {
			copying, lag = d.Dir, p.OffsetLag
		} else {
			dir = d.Dir
		}
	}
	return dir, copying, lag
}

func (c *manyDirs) move(id, dir int) {
	c.t.Helper()
	var req kadm.AlterReplicaLogDirsReq
	req.Add(c.dirs[id][dir], kadm.TopicsSet{"t": {0: {}}})
	resp, err := c.admin.AlterBrokerReplicaLogDirs(deadline(c.t), int32(id), req)
	require.NoError(c.t, err)
	resp.Each(func(r kadm.AlterReplicaLogDirsResponse) { require.NoError(c.t, r.Err) })
}

func (c *manyDirs) awaitDir(id, dir int) {
	c.t.Helper()
	testkit.Eventually(c.t, "the replica has moved", func() bool {
		at, copying, _ := c.described(id)
		return at == c.dirs[id][dir] && copying == ""
	})
}

// index is the number of the directory that a broker has its replica in.
func (c *manyDirs) index(id int) int {
	at, _, _ := c.described(id)
	return slices.Index(c.dirs[id], at)
}

// records are the values of t-0 in order, up to what was produced last.
func (c *manyDirs) records(n int) []string {
	client := c.client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"t": {0: kgo.NewOffset().AtStart()}}))
	defer client.Close()
	var values []string
	for len(values) < n {
		fetches := client.PollFetches(deadline(c.t))
		require.NoError(c.t, fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) { values = append(values, string(r.Value)) })
	}
	return values
}

// A producer with every guarantee goes on while its partition moves from
// directory to directory, while a move is throttled, and over a restart in the
// middle of one.
func TestMovesUnderLoad(t *testing.T) {
	c := startManyDirs(t, 1, 3, "log.segment.bytes", "100000", "replica.fetch.max.bytes", "20000")
	created, err := c.admin.CreateTopic(deadline(t), 1, 1, nil, "t")
	require.NoError(t, err)
	require.NoError(t, created.Err)
	producer := c.client(kgo.ProducerBatchMaxBytes(5000), kgo.UnknownTopicRetries(-1))
	var sent []string
	var acked atomic.Int64
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			value := fmt.Sprintf("%d-%s", i, strings.Repeat("x", 200))
			sent = append(sent, value)
			producer.Produce(t.Context(), &kgo.Record{Topic: "t", Value: []byte(value)}, func(_ *kgo.Record, err error) {
				if err != nil {
					t.Error(err)
				}
				acked.Add(1)
			})
			if i%50 == 0 {
				if err := producer.Flush(t.Context()); err != nil {
					t.Error(err)
					return
				}
			}
		}
	}()
	more := func(n int64) {
		t.Helper()
		enough := acked.Load() + n
		testkit.Eventually(t, "the producer goes on", func() bool { return acked.Load() > enough })
	}
	more(500)
	for range 4 {
		to := (c.index(0) + 1) % 3
		c.move(0, to)
		c.awaitDir(0, to)
		more(100)
	}

	// Throttled to almost nothing the copy stays behind, is called off, begins
	// again elsewhere, and survives a restart.
	throttle := func(bytes string) {
		resp, err := c.admin.AlterBrokerConfigs(deadline(t), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "replica.alter.log.dirs.io.max.bytes.per.second", Value: &bytes}}, 0)
		require.NoError(t, err)
		require.NoError(t, resp[0].Err)
	}
	throttle("1")
	more(100)
	from := c.index(0)
	c.move(0, (from+1)%3)
	testkit.Eventually(t, "the copy lags behind", func() bool { _, copying, lag := c.described(0); return copying == c.dirs[0][(from+1)%3] && lag > 100 })
	c.move(0, from)
	c.awaitDir(0, from)
	c.move(0, (from+2)%3)
	testkit.Eventually(t, "the copy lags behind", func() bool { _, copying, lag := c.described(0); return copying == c.dirs[0][(from+2)%3] && lag > 100 })
	c.restart(0)
	more(100)
	_, copying, _ := c.described(0)
	require.Equal(t, c.dirs[0][(from+2)%3], copying)
	throttle("1000000000")
	c.awaitDir(0, (from+2)%3)
	more(100)
	close(stop)
	<-stopped
	require.NoError(t, producer.Flush(deadline(t)))
	require.Equal(t, sent, c.records(len(sent)))
	for i, dir := range c.dirs[0] {
		_, err := os.Stat(filepath.Join(dir, "t-0"))
		require.Equal(t, i != (from+2)%3, os.IsNotExist(err))
	}
}

// Replicas of a partition move on all brokers, leaders are stopped and records
// deleted meanwhile: nothing is lost and the replicas end equal.
func TestReplicasMoveWhileLeadersChange(t *testing.T) {
	c := startManyDirs(t, 3, 2, "log.segment.bytes", "50000", "replica.fetch.max.bytes", "10000")
	created, err := c.admin.CreateTopic(deadline(t), 1, 3, map[string]*string{"min.insync.replicas": ptr("2")}, "t")
	require.NoError(t, err)
	require.NoError(t, created.Err)
	producer := c.client(kgo.ProducerBatchMaxBytes(3000))
	produced := 0
	write := func(n int) {
		t.Helper()
		for range n {
			produced++
			producer.Produce(t.Context(), &kgo.Record{Topic: "t", Value: fmt.Appendf(nil, "%d-%s", produced, strings.Repeat("y", 100))}, func(_ *kgo.Record, err error) {
				if err != nil {
					t.Error(err)
				}
			})
		}
		require.NoError(t, producer.Flush(deadline(t)))
	}
	for round := range 3 {
		write(300)
		to := make([]int, 3)
		for id := range 3 {
			to[id] = 1 - c.index(id)
			c.move(id, to[id])
		}
		c.restart(round)
		write(100)
		testkit.Eventually(t, "records are deleted", func() bool {
			offsets := kadm.Offsets{}
			offsets.Add(kadm.Offset{Topic: "t", Partition: 0, At: int64(100*round + 7)})
			resp, err := c.admin.DeleteRecords(deadline(t), offsets)
			return err == nil && resp.Error() == nil
		})
		for id := range 3 {
			c.awaitDir(id, to[id])
		}
	}
	testkit.Eventually(t, "all are in sync", func() bool {
		topics, err := c.admin.ListTopics(deadline(t), "t")
		return err == nil && len(topics["t"].Partitions[0].ISR) == 3
	})
	values := c.records(produced - 207)
	require.Len(t, values, produced-207)
	for i, value := range values {
		require.True(t, strings.HasPrefix(value, fmt.Sprintf("%d-", i+208)), value[:20])
	}
	var logs [][]byte
	testkit.Eventually(t, "the replicas are equal", func() bool {
		logs = nil
		for id := range 3 {
			logs = append(logs, tailOf(t, filepath.Join(c.dirs[id][c.index(id)], "t-0")))
		}
		return bytes.Equal(logs[0], logs[1]) && bytes.Equal(logs[1], logs[2])
	})
	require.NotEmpty(t, logs[0])
}

func ptr(s string) *string { return &s }

// tailOf is the last segment of a log: earlier ones may be deleted on some
// replicas already.
func tailOf(t *testing.T, dir string) []byte {
	files, err := filepath.Glob(filepath.Join(dir, "*.log"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	data, err := os.ReadFile(slices.Max(files))
	require.NoError(t, err)
	return data
}
