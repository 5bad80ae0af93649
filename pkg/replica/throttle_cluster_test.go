package replica_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"gregor/pkg/testkit"
)

// Throttles are set while brokers run, as kafka-reassign-partitions does, and
// hold a broker that comes back to a megabyte a second until they are lifted.
func TestThrottlesAreSetWhileRunning(t *testing.T) {
	t.Parallel()
	c := testkit.StartCluster(t, 2, map[string]string{"replica.fetch.max.bytes": "300000"})
	c.AwaitBrokers()
	c.Create("t", 1)
	c.AwaitISR("t", 0, 2)
	leader := c.Partition("t", 0).Leader
	follower := c.Members[1-leader]
	follower.Kill()
	c.AwaitISR("t", 0, 1)
	writer := c.Client(kgo.ProducerBatchCompression(kgo.NoCompression()))
	for range 60 {
		require.NoError(t, writer.ProduceSync(testkit.Deadline(t), &kgo.Record{Topic: "t", Value: bytes.Repeat([]byte("x"), 100_000)}).FirstErr())
	}
	rate, replicas := "1000000", "0:0,0:1"
	broker := []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "leader.replication.throttled.rate", Value: &rate}}
	topic := []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "leader.replication.throttled.replicas", Value: &replicas}}
	changed, err := c.Admin().AlterBrokerConfigs(testkit.Deadline(t), broker, leader)
	require.NoError(t, err)
	require.NoError(t, changed[0].Err)
	changed, err = c.Admin().AlterTopicConfigs(testkit.Deadline(t), topic, "t")
	require.NoError(t, err)
	require.NoError(t, changed[0].Err)

	follower.Restart()
	testkit.Eventually(t, "the follower begins", func() bool { return logEnd(t, c, 1-leader) > 0 })
	began := time.Now()
	testkit.Eventually(t, "the follower has half", func() bool { return logEnd(t, c, 1-leader) >= 30 })
	require.Greater(t, time.Since(began), 1500*time.Millisecond)
	c.AwaitISR("t", 0, 1)

	topic[0].Op, topic[0].Value = kadm.DeleteConfig, nil
	changed, err = c.Admin().AlterTopicConfigs(testkit.Deadline(t), topic, "t")
	require.NoError(t, err)
	require.NoError(t, changed[0].Err)
	began = time.Now()
	c.AwaitISR("t", 0, 2)
	require.Less(t, time.Since(began), 1500*time.Millisecond)
	c.RequireSameFiles("t", 0)
}
