package replica_test

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/client"
	"gregor/pkg/model"
	"gregor/pkg/testkit"
)

// readFrom counts the bytes of fetches by the broker that they came from.
type readFrom struct {
	mu    sync.Mutex
	bytes map[int32]int
}

func (r *readFrom) OnBrokerE2E(meta kgo.BrokerMetadata, key int16, e kgo.BrokerE2E) {
	if key != 1 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.bytes == nil {
		r.bytes = map[int32]int{}
	}
	r.bytes[meta.NodeID] += e.BytesRead
}

func (r *readFrom) from(id int32) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bytes[id]
}

// racks are three brokers, each in a rack of its own: a, b, c.
func racks(t *testing.T) *testkit.Cluster {
	c := testkit.StartClusterOf(t, 3, func(id int) map[string]string {
		return map[string]string{"broker.rack": string(rune('a' + id)),
			"replica.selector.class": "org.apache.kafka.common.replica.RackAwareReplicaSelector"}
	})
	c.AwaitBrokers()
	return c
}

const kilobytes = 50 // of a test's records

func fill(t *testing.T, c *testkit.Cluster, topic string, from, to int) {
	writer := c.Client(kgo.RequiredAcks(kgo.AllISRAcks()), kgo.ProducerBatchCompression(kgo.NoCompression()))
	for i := from; i < to; i++ {
		value := fmt.Sprintf("%d-%s", i, strings.Repeat("x", 1000))
		require.NoError(t, writer.ProduceSync(testkit.Deadline(t), &kgo.Record{Topic: topic, Value: []byte(value)}).FirstErr())
	}
}

// poll reads so many records and requires that they come in order, each once.
func poll(t *testing.T, client *kgo.Client, from, to int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for from < to {
		fetches := client.PollFetches(ctx)
		require.NoError(t, ctx.Err(), "record %d of %d", from, to)
		fetches.EachRecord(func(r *kgo.Record) {
			require.True(t, strings.HasPrefix(string(r.Value), fmt.Sprintf("%d-", from)), "want record %d, got %.10s", from, r.Value)
			from++
		})
	}
}

// A consumer reads from the replica in its rack, wherever the leader is; from
// the leader when there is no such replica, or when it is gone.
func TestConsumersReadFromTheNearestReplica(t *testing.T) {
	t.Parallel()
	c := racks(t)
	c.Create("t", 1, "min.insync.replicas", "2")
	c.AwaitISR("t", 0, 3)
	fill(t, c, "t", 0, kilobytes)
	leader := c.Partition("t", 0).Leader
	follower := (leader + 1) % 3
	for rack, source := range map[string]int32{"": leader, "elsewhere": leader, string('a' + leader): leader, string('a' + follower): follower} {
		t.Run("rack "+rack, func(t *testing.T) {
			seen := &readFrom{}
			reader := c.Client(kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.Rack(rack), kgo.WithHooks(seen))
			poll(t, reader, 0, kilobytes)
			require.Greater(t, seen.from(source), kilobytes*1000)
			for id := range int32(3) {
				if id != source {
					require.Less(t, seen.from(id), 1000, "broker %d", id)
				}
			}
		})
	}

	// It goes on where it was when its replica is gone, and when the leader is.
	seen := &readFrom{}
	reader := c.Client(kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.Rack(string('a'+follower)), kgo.WithHooks(seen))
	poll(t, reader, 0, kilobytes)
	c.Members[follower].Kill()
	c.AwaitISR("t", 0, 2)
	fill(t, c, "t", kilobytes, 2*kilobytes)
	poll(t, reader, kilobytes, 2*kilobytes)
	require.Greater(t, seen.from(leader), kilobytes*1000)
	c.Members[follower].Restart()
	c.AwaitISR("t", 0, 3)
	c.Members[leader].Kill()
	c.AwaitISR("t", 0, 2)
	fill(t, c, "t", 2*kilobytes, 3*kilobytes)
	poll(t, reader, 2*kilobytes, 3*kilobytes)
}

// What a follower says to a consumer's fetch.
func TestFetchFromAFollower(t *testing.T) {
	t.Parallel()
	c := racks(t)
	c.Create("t", 1)
	c.AwaitISR("t", 0, 3)
	fill(t, c, "t", 0, 3)
	leader := c.Partition("t", 0).Leader
	follower := (leader + 1) % 3
	type answer struct {
		code                 int16
		high, start, replica int64
		records              bool
	}
	ask := func(broker int32, version int16, rack string, offset int64) answer {
		req := kmsg.NewPtrFetchRequest()
		req.Version, req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.SessionEpoch, req.Rack = version, 10_000, 1, 1<<20, -1, rack
		req.ReplicaID = -1
		p := kmsg.NewFetchRequestTopicPartition()
		p.FetchOffset, p.PartitionMaxBytes, p.CurrentLeaderEpoch = offset, 1<<20, -1
		if offset == 3 { // nothing there: do not wait for it
			req.MaxWaitMillis = 50
		}
		req.Topics = []kmsg.FetchRequestTopic{{Topic: "t", Partitions: []kmsg.FetchRequestTopicPartition{p}}}
		one := request(t, c, broker, req).(*kmsg.FetchResponse).Topics[0].Partitions[0]
		return answer{one.ErrorCode, one.HighWatermark, one.LogStartOffset, int64(one.PreferredReadReplica), len(one.RecordBatches) > 0}
	}
	testkit.Eventually(t, "the follower knows the high watermark", func() bool { return ask(follower, 11, "", 0).high == 3 })
	const notLeader, outOfRange = 6, 1
	near := string('a' + follower)
	require.Equal(t, answer{0, 3, 0, int64(follower), false}, ask(leader, 11, near, 0), "sent there at once")
	require.Equal(t, answer{0, 3, 0, int64(follower), false}, ask(leader, 12, near, 3), "also when there is nothing to read")
	require.Equal(t, answer{0, 3, 0, -1, true}, ask(leader, 10, near, 0), "before version 11 nobody is sent away")
	require.Equal(t, answer{0, 3, 0, -1, true}, ask(leader, 11, "elsewhere", 0))
	require.Equal(t, answer{outOfRange, -1, -1, -1, false}, ask(leader, 11, near, 4), "no follower has that")
	require.Equal(t, answer{0, 3, 0, -1, true}, ask(follower, 11, near, 0))
	require.Equal(t, answer{0, 3, 0, -1, false}, ask(follower, 11, near, 3))
	require.Equal(t, answer{outOfRange, -1, -1, -1, false}, ask(follower, 11, near, 4))
	require.Equal(t, answer{notLeader, -1, -1, -1, false}, ask(follower, 10, near, 0))

	// What others do not have yet is not shown, and is no error.
	for id, m := range c.Members {
		if int32(id) != leader && int32(id) != follower {
			m.Kill()
		}
	}
	ahead := c.Client(kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite())
	require.NoError(t, ahead.ProduceSync(testkit.Deadline(t), &kgo.Record{Topic: "t", Value: []byte("not committed")}).FirstErr())
	testkit.Eventually(t, "the follower has it", func() bool { return logEnd(t, c, follower) == 4 })
	require.Equal(t, answer{0, 3, 0, -1, false}, ask(follower, 11, near, 3))
	c.AwaitISR("t", 0, 2)
	testkit.Eventually(t, "committed without the third", func() bool { return ask(follower, 11, near, 3).records })
}

// logEnd asks a broker for the end of its log, as a debugger does.
func logEnd(t *testing.T, c *testkit.Cluster, broker int32) int64 {
	req := kmsg.NewPtrListOffsetsRequest()
	req.Version, req.ReplicaID = 5, -2
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.Timestamp, p.CurrentLeaderEpoch = -1, -1
	req.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: "t", Partitions: []kmsg.ListOffsetsRequestTopicPartition{p}}}
	return request(t, c, broker, req).(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0].Offset
}

// request sends a request just as it is to one broker.
func request(t *testing.T, c *testkit.Cluster, broker int32, req kmsg.Request) kmsg.Response {
	t.Helper()
	host, port, err := net.SplitHostPort(c.Members[broker].Address)
	require.NoError(t, err)
	number, err := strconv.Atoi(port)
	require.NoError(t, err)
	conn, err := client.Dial(testkit.Deadline(t), model.Endpoint{Host: host, Port: int32(number)}, client.Options{ClientID: "test"})
	require.NoError(t, err)
	defer conn.Close()
	resp, err := conn.Request(testkit.Deadline(t), req)
	require.NoError(t, err)
	return resp
}
