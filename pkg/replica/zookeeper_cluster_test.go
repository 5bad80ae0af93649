package replica_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/compress"
	"gregor/pkg/lifecycle"
	"gregor/pkg/record"
	"gregor/pkg/testkit"
)

// traffic produces and fetches without retries, and counts what failed.
type traffic struct {
	group         *lifecycle.Group
	written, read atomic.Int64
	failed        atomic.Int64
	firstFailure  atomic.Value // of the error's text
}

func startTraffic(t *testing.T, c *testkit.Cluster, topic string) *traffic {
	f := &traffic{group: lifecycle.NewGroup(context.Background())}
	fail := func(err error) {
		if err != nil && f.group.Context().Err() == nil {
			f.failed.Add(1)
			f.firstFailure.CompareAndSwap(nil, err.Error())
		}
	}
	writer := c.Client(kgo.RequiredAcks(kgo.AllISRAcks()), kgo.RecordRetries(0), kgo.DisableIdempotentWrite(), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	reader := c.Client(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	f.group.Go("writer", func(ctx context.Context) error {
		for i := 0; ctx.Err() == nil; i++ {
			err := writer.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: fmt.Append(nil, i)}).FirstErr()
			fail(err)
			if err == nil {
				f.written.Add(1)
			}
		}
		return nil
	})
	f.group.Go("reader", func(ctx context.Context) error {
		for ctx.Err() == nil {
			fetches := reader.PollFetches(ctx)
			fail(fetches.Err())
			f.read.Add(int64(fetches.NumRecords()))
		}
		return nil
	})
	t.Cleanup(func() { f.group.Close() })
	return f
}

func (f *traffic) requireNoFailure(t *testing.T) {
	t.Helper()
	require.Zero(t, f.failed.Load(), "%v", f.firstFailure.Load())
}

// Without ZooKeeper, for longer than sessions last, what is led goes on to be
// led, and when it is back everything that waited is done soon.
func TestZooKeeperIsAway(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"2.8", "2.4"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			c := testkit.StartCluster(t, 3, map[string]string{"inter.broker.protocol.version": protocol})
			c.AwaitBrokers()
			c.Create("t", 3, "min.insync.replicas", "2")
			for i := range int32(3) {
				c.AwaitISR("t", i, 3)
			}
			for id := range int32(3) {
				testkit.Eventually(t, "every broker knows the topic", func() bool {
					topic := metadata(t, c, id).Topics[0]
					return topic.ErrorCode == 0 && len(topic.Partitions) == 3
				})
			}
			f := startTraffic(t, c, "t")
			testkit.Eventually(t, "there is traffic", func() bool { return f.written.Load() > 100 })
			c.StopZooKeeper()
			for range 3 { // sessions last a second
				time.Sleep(time.Second)
				before := f.written.Load()
				testkit.Eventually(t, "writes go on", func() bool { return f.written.Load() > before+50 })
			}
			f.requireNoFailure(t)
			c.StartZooKeeper()
			back := time.Now()
			testkit.Eventually(t, "a topic can be made", func() bool {
				created, err := c.Admin().CreateTopic(testkit.Deadline(t), 3, 3, nil, "new")
				return err == nil && created.Err == nil
			})
			for i := range int32(3) {
				c.AwaitISR("new", i, 3)
				c.AwaitISR("t", i, 3)
			}
			require.Less(t, time.Since(back), 5*time.Second)
			before := f.written.Load()
			testkit.Eventually(t, "writes go on", func() bool { return f.written.Load() > before+50 })
			testkit.Eventually(t, "reads go on", func() bool { return f.read.Load() >= before })
		})
	}
}

// A leader that has lost its session, and with it its leadership, does not
// know: it goes on to serve what is committed, but confirms nothing that its
// replicas have not. When it is back it registers again within a second, and
// what it had taken meanwhile is gone.
func TestALeaderWithoutASession(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"2.8", "2.4"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			c := testkit.StartCluster(t, 3, map[string]string{"inter.broker.protocol.version": protocol, "replica.lag.time.max.ms": "1000"})
			c.AwaitBrokers()
			c.Create("t", 1)
			c.AwaitISR("t", 0, 3)
			fill(t, c, "t", 0, 10)
			old := c.Partition("t", 0).Leader
			cut := c.Members[old]
			other := (old + 1) % 3
			cut.CutZooKeeper()
			testkit.Eventually(t, "another broker leads", func() bool {
				leader := metadata(t, c, other).Topics[0].Partitions[0].Leader
				return leader >= 0 && leader != old
			})

			// The old one takes records, and gives no word on them.
			for range 2 {
				require.NotZero(t, produce(t, c, old, 1200*time.Millisecond), "confirmed by a leader of the past")
			}
			require.Equal(t, int64(10), highWatermark(t, c, old), "what is committed is served on")

			back := time.Now()
			cut.MendZooKeeper()
			testkit.Eventually(t, "registered again", func() bool {
				return len(metadata(t, c, other).Brokers) == 3
			})
			require.Less(t, time.Since(back), time.Second)
			fill(t, c, "t", 10, 20)
			c.RequireSameFiles("t", 0)
			reader := c.Client(kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
			poll(t, reader, 0, 20)
		})
	}
}

// metadata is what one broker knows of the topic t.
func metadata(t *testing.T, c *testkit.Cluster, broker int32) *kmsg.MetadataResponse {
	req := kmsg.NewPtrMetadataRequest()
	req.Version = 9
	topic := kmsg.NewMetadataRequestTopic()
	topic.Topic = kmsg.StringPtr("t")
	req.Topics = append(req.Topics, topic)
	return request(t, c, broker, req).(*kmsg.MetadataResponse)
}

// produce sends one record to t-0 at one broker with acks=all and returns the
// code of the answer.
func produce(t *testing.T, c *testkit.Cluster, broker int32, timeout time.Duration) int16 {
	builder := record.NewBuilder(compress.None)
	builder.Append(time.Now().UnixMilli(), nil, []byte("of the past"))
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = 8, -1, int32(timeout.Milliseconds())
	req.Topics = []kmsg.ProduceRequestTopic{{Topic: "t", Partitions: []kmsg.ProduceRequestTopicPartition{{Records: builder.MustBuild()}}}}
	return request(t, c, broker, req).(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode
}

// highWatermark is up to where a broker lets consumers read t-0.
func highWatermark(t *testing.T, c *testkit.Cluster, broker int32) int64 {
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.ReplicaID, req.MaxBytes, req.SessionEpoch = 11, -1, 1<<20, -1
	p := kmsg.NewFetchRequestTopicPartition()
	p.PartitionMaxBytes, p.CurrentLeaderEpoch = 1<<20, -1
	req.Topics = []kmsg.FetchRequestTopic{{Topic: "t", Partitions: []kmsg.FetchRequestTopicPartition{p}}}
	got := request(t, c, broker, req).(*kmsg.FetchResponse).Topics[0].Partitions[0]
	require.Zero(t, got.ErrorCode)
	require.NotEmpty(t, got.RecordBatches)
	return got.HighWatermark
}
