package broker_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"gregor/pkg/testkit"
)

func startReplicated(t *testing.T, brokers int, properties map[string]string) *testkit.Cluster {
	c := testkit.StartCluster(t, brokers, properties)
	c.AwaitBrokers()
	return c
}

func TestReplication(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"2.8", "2.4"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			c := startReplicated(t, 3, map[string]string{"inter.broker.protocol.version": protocol})
			c.Create("t", 2, "min.insync.replicas", "2")
			w := c.StartWriter("t")
			w.More(t, 50)
			leader := int(c.Partition("t", 0).Leader)
			c.Members[leader].Kill()
			c.AwaitISR("t", 0, 2)
			require.NotEqual(t, int32(leader), c.Partition("t", 0).Leader)
			w.More(t, 50)
			c.Members[leader].Restart()
			c.AwaitISR("t", 0, 3)
			c.AwaitISR("t", 1, 3)
			w.More(t, 50)
			acked := w.End()
			c.RequireAll("t", acked)
			c.RequireSameFiles("t", 0)
			c.RequireSameFiles("t", 1)
		})
	}
}

// A broker that stops in order hands its leaderships over first: the ISR is
// without it before it is gone.
func TestStopHandsLeadershipsOver(t *testing.T) {
	t.Parallel()
	c := startReplicated(t, 3, nil)
	c.Create("t", 3, "min.insync.replicas", "2")
	w := c.StartWriter("t")
	w.More(t, 20)
	for _, m := range c.Members {
		m.Stop()
		require.Contains(t, m.Log.String(), "Controlled shutdown succeeded")
		for i := range int32(3) {
			testkit.Eventually(t, "everybody knows", func() bool {
				p := c.Partition("t", i)
				return p.Leader >= 0 && p.Leader != int32(m.ID()) && !slices.Contains(p.ISR, int32(m.ID()))
			})
		}
		w.More(t, 20)
		m.Restart()
		for i := range int32(3) {
			c.AwaitISR("t", i, 3)
		}
	}
	c.RequireAll("t", w.End())
	for i := range int32(3) {
		c.RequireSameFiles("t", i)
	}
}

// A follower that was away for many segments catches up. Without it there
// are too few replicas for acks=all, and enough again when it is back.
func TestFollowerFarBehind(t *testing.T) {
	t.Parallel()
	c := startReplicated(t, 2, map[string]string{"log.segment.bytes": "20000", "replica.fetch.max.bytes": "5000"})
	c.Create("t", 1, "min.insync.replicas", "2")
	c.AwaitISR("t", 0, 2)
	follower := c.Members[1-int(c.Partition("t", 0).Leader)]
	follower.Kill()
	c.AwaitISR("t", 0, 1)

	strict := c.Client(kgo.RequiredAcks(kgo.AllISRAcks()), kgo.RecordRetries(0), kgo.ProduceRequestTimeout(time.Second))
	require.ErrorIs(t, strict.ProduceSync(testkit.Deadline(t), &kgo.Record{Topic: "t", Value: []byte("no")}).FirstErr(), kerr.NotEnoughReplicas)
	loose := c.Client(kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite(), kgo.ProducerBatchMaxBytes(3000))
	var all []string
	for i := range 300 {
		value := fmt.Sprintf("%d-%s", i, strings.Repeat("x", 1000))
		all = append(all, value)
		loose.Produce(testkit.Deadline(t), &kgo.Record{Topic: "t", Value: []byte(value)}, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	require.NoError(t, loose.Flush(testkit.Deadline(t)))

	follower.Restart()
	c.AwaitISR("t", 0, 2)
	c.RequireAll("t", all)
	c.RequireSameFiles("t", 0)
	require.NoError(t, strict.ProduceSync(testkit.Deadline(t), &kgo.Record{Topic: "t", Value: []byte("yes")}).FirstErr())
}
