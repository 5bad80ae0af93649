//go:build bench

package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// cluster is three brokers of a side.
type cluster struct {
	name    string
	brokers []*side
}

func startCluster(t testing.TB, name, zk string) *cluster {
	t.Helper()
	c := &cluster{name: name}
	for id := range 3 {
		c.brokers = append(c.brokers, broker(t, name, zk, "/cluster-"+name, map[string]string{"broker.id": fmt.Sprint(id)}))
	}
	for _, b := range c.brokers {
		conn := b.connect(t)
		for conn.brokers() < len(c.brokers) {
			time.Sleep(time.Millisecond)
		}
		conn.close()
	}
	return c
}

func (c *cluster) addresses() string {
	var list []string
	for _, b := range c.brokers {
		list = append(list, b.address)
	}
	return strings.Join(list, ",")
}

// cpu is what the brokers have taken together.
func (c *cluster) cpu() (total time.Duration) {
	for _, b := range c.brokers {
		total += b.cpu()
	}
	return total
}

// residentMost is the memory of the broker that has most of it.
func (c *cluster) residentMost() (most float64) {
	for _, b := range c.brokers {
		most = max(most, b.resident())
	}
	return most
}

func (c *cluster) client(t testing.TB, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(strings.Split(c.addresses(), ",")...)}, options...)...)
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return client
}

// create makes a topic with three replicas and waits until all are in sync.
func (c *cluster) create(t testing.TB, topic string, partitions int32) {
	t.Helper()
	one := kmsg.NewCreateTopicsRequestTopic()
	one.Topic, one.NumPartitions, one.ReplicationFactor = topic, partitions, 3
	c.make(t, one, partitions)
}

// createLed is create with one broker as the leader of every partition.
func (c *cluster) createLed(t testing.TB, topic string, partitions, leader int32) {
	t.Helper()
	one := kmsg.NewCreateTopicsRequestTopic()
	one.Topic, one.NumPartitions, one.ReplicationFactor = topic, -1, -1
	for i := range partitions {
		one.ReplicaAssignment = append(one.ReplicaAssignment, kmsg.CreateTopicsRequestTopicReplicaAssignment{
			Partition: i, Replicas: []int32{leader, (leader + 1 + i%2) % 3, (leader + 2 - i%2) % 3}})
	}
	c.make(t, one, partitions)
}

func (c *cluster) make(t testing.TB, one kmsg.CreateTopicsRequestTopic, partitions int32) {
	t.Helper()
	client := c.client(t)
	defer client.Close()
	topic := one.Topic
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Topics, req.TimeoutMillis = append(req.Topics, one), 60_000
	resp, err := req.RequestWith(t.Context(), client)
	require.NoError(t, err)
	require.NoError(t, kerr.ErrorForCode(resp.Topics[0].ErrorCode))
	for !c.inSync(t, client, topic, partitions) {
		time.Sleep(5 * time.Millisecond)
	}
}

func (c *cluster) inSync(t testing.TB, client *kgo.Client, topic string, partitions int32) bool {
	req := kmsg.NewPtrMetadataRequest()
	one := kmsg.NewMetadataRequestTopic()
	one.Topic = &topic
	req.Topics = append(req.Topics, one)
	resp, err := req.RequestWith(t.Context(), client)
	require.NoError(t, err)
	complete := int32(0)
	for _, p := range resp.Topics[0].Partitions {
		if p.ErrorCode == 0 && len(p.ISR) == 3 {
			complete++
		}
	}
	return complete == partitions
}

func (c *cluster) remove(t testing.TB, topic string) {
	t.Helper()
	client := c.client(t)
	defer client.Close()
	req := kmsg.NewPtrDeleteTopicsRequest()
	one := kmsg.NewDeleteTopicsRequestTopic()
	one.Topic = &topic
	req.Topics, req.TopicNames, req.TimeoutMillis = append(req.Topics, one), []string{topic}, 60_000
	resp, err := req.RequestWith(t.Context(), client)
	require.NoError(t, err)
	require.NoError(t, kerr.ErrorForCode(resp.Topics[0].ErrorCode))
}

// latencies are times, to be asked for the slowest of so many.
type latencies []time.Duration

func (l latencies) percentile(p float64) float64 {
	slices.Sort(l)
	return milliseconds(l[min(len(l)-1, int(p/100*float64(len(l))))])
}

// paced calls send at a fixed rate; what falls behind is made up for.
func paced(ctx context.Context, perSecond, total int, send func(n int)) {
	began := time.Now()
	for n := range total {
		at := began.Add(time.Duration(n) * time.Second / time.Duration(perSecond))
		if wait := time.Until(at); wait > 0 {
			select {
			case <-ctx.Done():
				return
			case <-time.After(wait):
			}
		}
		send(n)
	}
}

// noise is a value that does not compress.
func noise(size int) []byte {
	value := make([]byte, size)
	for i := range value {
		value[i] = byte(rand.IntN(256))
	}
	return value
}
