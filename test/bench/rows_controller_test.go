//go:build bench

package bench

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// control measures what a cluster waits for its controller, on clusters of
// its own, of which one broker does not live to the end.
func control(t *testing.T, tb *table, zk string) {
	var topic, shutdown, gap [2]float64
	for i, name := range []string{ours, theirs} {
		c := startControlled(t, name, zk)
		topic[i] = c.createLed(t)
		shutdown[i] = c.shutdown(t)
		gap[i] = c.killController(t)
		for _, b := range c.brokers {
			b.stop()
		}
	}
	tb.add(t, "1,000 partitions x RF 3 created until all are led", "ms", topic[0], topic[1], goal{atMost: 1500})
	tb.add(t, "controlled shutdown of 2,000 leaders", "ms", shutdown[0], shutdown[1], goal{atMost: 1000})
	tb.add(t, "kill -9 of the controller that leads a third of 3,000 partitions, beyond the session timeout", "ms", gap[0], gap[1], goal{atMost: 300})
}

// sessionTimeout is that of the brokers that are killed.
const sessionTimeout = 6 * time.Second

// controlled is a cluster whose brokers come and go.
type controlled struct {
	*cluster
	client *kgo.Client
}

func startControlled(t *testing.T, name, zk string) *controlled {
	t.Helper()
	c := &controlled{cluster: &cluster{name: name}}
	for id := range 3 {
		c.brokers = append(c.brokers, c.start(t, zk, id))
		c.awaitBrokers(t, id+1) // so that the first is the controller
	}
	c.client = c.cluster.client(t, kgo.MetadataMinAge(10*time.Millisecond))
	return c
}

func (c *controlled) start(t *testing.T, zk string, id int) *side {
	return broker(t, c.name, zk, "/control-"+c.name, map[string]string{"broker.id": fmt.Sprint(id),
		"zookeeper.session.timeout.ms": fmt.Sprint(sessionTimeout.Milliseconds()), "auto.leader.rebalance.enable": "false", "offsets.topic.num.partitions": "1"})
}

func (c *controlled) awaitBrokers(t *testing.T, n int) {
	t.Helper()
	for _, b := range c.brokers {
		conn := b.connect(t)
		for conn.brokers() < n {
			time.Sleep(time.Millisecond)
		}
		conn.close()
	}
}

// createAssigned makes a topic with given replicas of each partition.
func (c *controlled) createAssigned(t *testing.T, topic string, partitions int, replicas func(p int) []int32) {
	t.Helper()
	req := kmsg.NewPtrCreateTopicsRequest()
	one := kmsg.NewCreateTopicsRequestTopic()
	one.Topic, one.NumPartitions, one.ReplicationFactor = topic, -1, -1
	for p := range partitions {
		one.ReplicaAssignment = append(one.ReplicaAssignment, kmsg.CreateTopicsRequestTopicReplicaAssignment{Partition: int32(p), Replicas: replicas(p)})
	}
	req.Topics, req.TimeoutMillis = append(req.Topics, one), 120_000
	resp, err := req.RequestWith(t.Context(), c.client)
	require.NoError(t, err)
	require.NoError(t, kerr.ErrorForCode(resp.Topics[0].ErrorCode))
}

// awaitLed asks a broker until it says of all partitions of a topic that they
// have a leader that is not gone, and so many replicas in sync.
func (c *controlled) awaitLed(t *testing.T, asked int, topic string, partitions, inSync int, gone int32) {
	t.Helper()
	req := kmsg.NewPtrMetadataRequest()
	one := kmsg.NewMetadataRequestTopic()
	one.Topic = &topic
	req.Topics = append(req.Topics, one)
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(2 * time.Millisecond) {
		require.True(t, time.Now().Before(deadline), "%s: not all partitions are led", topic)
		resp, err := req.RequestWith(t.Context(), c.client.Broker(asked))
		if err != nil {
			continue
		}
		led := 0
		for _, p := range resp.Topics[0].Partitions {
			if p.ErrorCode == 0 && p.Leader >= 0 && p.Leader != gone && len(p.ISR) >= inSync {
				led++
			}
		}
		if led == partitions {
			return
		}
	}
}

const nobodyGone = -1

func (c *controlled) createLed(t *testing.T) float64 {
	var figures []float64
	for run := range 1 {
		topic := fmt.Sprintf("led-%d", run)
		began := time.Now()
		c.createAssigned(t, topic, 1000, func(p int) []int32 { return []int32{int32(p % 3), int32((p + 1) % 3), int32((p + 2) % 3)} })
		c.awaitLed(t, 0, topic, 1000, 1, nobodyGone)
		figures = append(figures, milliseconds(time.Since(began)))
		c.awaitLed(t, 0, topic, 1000, 3, nobodyGone)
		c.remove(t, topic)
	}
	return median(figures)
}

// shutdown stops broker 2, which leads 2,000 partitions, and starts it again.
func (c *controlled) shutdown(t *testing.T) float64 {
	c.createAssigned(t, "leaving", 2000, func(p int) []int32 { return []int32{2, int32(p % 2)} })
	c.awaitLed(t, 0, "leaving", 2000, 2, nobodyGone)
	began := time.Now()
	require.NoError(t, c.brokers[2].cmd.Process.Signal(syscall.SIGTERM))
	c.awaitLed(t, 0, "leaving", 2000, 1, 2)
	took := milliseconds(time.Since(began))
	c.brokers[2].stop()
	c.remove(t, "leaving")
	return took
}

// killController kills broker 0, the controller, which leads a third of 3,000
// partitions; the others live on brokers 0 and 1.
func (c *controlled) killController(t *testing.T) float64 {
	c.createAssigned(t, "orphans", 3000, func(p int) []int32 {
		if p%3 == 0 {
			return []int32{0, 1}
		}
		return []int32{1, 0}
	})
	c.awaitLed(t, 1, "orphans", 3000, 2, nobodyGone)
	began := time.Now()
	require.NoError(t, c.brokers[0].cmd.Process.Kill())
	c.awaitLed(t, 1, "orphans", 3000, 1, 0)
	return milliseconds(time.Since(began) - sessionTimeout)
}
