package broker_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"gregor/pkg/model"
	"gregor/pkg/testkit"
)

// replicated is a cluster with a client that knows all its brokers.
type replicated struct {
	*testkit.Cluster
	t     *testing.T
	admin *kadm.Client
}

func startReplicated(t *testing.T, brokers int, properties map[string]string) *replicated {
	c := &replicated{Cluster: testkit.StartCluster(t, brokers, properties), t: t}
	c.admin = kadm.NewClient(c.client())
	for _, m := range c.Members {
		one := kadm.NewClient(clientOf(t, m.Address))
		testkit.Eventually(t, "everybody knows everybody", func() bool {
			all, err := one.ListBrokers(deadline(t))
			return err == nil && len(all) == brokers
		})
	}
	return c
}

func (c *replicated) client(options ...kgo.Opt) *kgo.Client {
	var seeds []string
	for _, m := range c.Members {
		seeds = append(seeds, m.Address)
	}
	return clientOf(c.t, "", append(options, kgo.SeedBrokers(seeds...), kgo.MetadataMinAge(50*time.Millisecond), kgo.RetryBackoffFn(func(int) time.Duration { return 50 * time.Millisecond }))...)
}

func (c *replicated) create(topic string, partitions int32, least string) {
	created, err := c.admin.CreateTopic(deadline(c.t), partitions, int16(len(c.Members)), map[string]*string{"min.insync.replicas": &least}, topic)
	require.NoError(c.t, err)
	require.NoError(c.t, created.Err)
}

// partition is what the cluster says of a partition, once somebody answers.
func (c *replicated) partition(topic string, partition int32) kadm.PartitionDetail {
	c.t.Helper()
	var found kadm.TopicDetails
	testkit.Eventually(c.t, "somebody tells of "+topic, func() bool {
		var err error
		found, err = c.admin.ListTopics(deadline(c.t), topic)
		return err == nil && found[topic].Err == nil
	})
	return found[topic].Partitions[partition]
}

func (c *replicated) awaitISR(topic string, partition int32, size int) {
	c.t.Helper()
	testkit.Eventually(c.t, fmt.Sprintf("%d replicas of %s-%d are in sync", size, topic, partition), func() bool {
		p := c.partition(topic, partition)
		return len(p.ISR) == size && p.Leader >= 0
	})
}

// requireSameFiles waits until all replicas of a partition are the same, byte
// for byte.
func (c *replicated) requireSameFiles(topic string, partition int32) {
	c.t.Helper()
	testkit.Eventually(c.t, fmt.Sprintf("the replicas of %s-%d are the same", topic, partition), func() bool {
		first := c.logBytes(0, topic, partition)
		for id := range c.Members {
			if !bytes.Equal(first, c.logBytes(id, topic, partition)) {
				return false
			}
		}
		return len(first) > 0
	})
}

func (c *replicated) logBytes(id int, topic string, partition int32) []byte {
	dir := filepath.Join(c.Members[id].Dir, model.TopicPartition{Topic: topic, Partition: partition}.String())
	files, err := filepath.Glob(filepath.Join(dir, "*.log"))
	require.NoError(c.t, err)
	slices.Sort(files)
	var all []byte
	for _, name := range files {
		content, err := os.ReadFile(name)
		require.NoError(c.t, err)
		all = append(all, content...)
	}
	return all
}

// writer produces one record after another, and remembers which of them were
// acknowledged.
type writer struct {
	mu    sync.Mutex
	acked []string
	stop  context.CancelFunc
	done  chan struct{}
}

func (c *replicated) startWriter(topic string) *writer {
	ctx, cancel := context.WithCancel(context.Background())
	w := &writer{stop: cancel, done: make(chan struct{})}
	client := c.client(kgo.RequiredAcks(kgo.AllISRAcks()), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()), kgo.ProduceRequestTimeout(5*time.Second))
	go func() {
		defer close(w.done)
		for i := 0; ctx.Err() == nil; i++ {
			value := fmt.Sprintf("%s-%d", topic, i)
			if client.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte(value)}).FirstErr() == nil {
				w.mu.Lock()
				w.acked = append(w.acked, value)
				w.mu.Unlock()
			}
		}
	}()
	c.t.Cleanup(func() { w.end() })
	return w
}

func (w *writer) end() []string {
	w.stop()
	<-w.done
	return w.acked
}

// more waits until that many more records were acknowledged.
func (w *writer) more(t *testing.T, n int) {
	t.Helper()
	w.mu.Lock()
	want := len(w.acked) + n
	w.mu.Unlock()
	testkit.Eventually(t, fmt.Sprintf("%d more records are acknowledged", n), func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.acked) >= want
	})
}

// requireAll reads the topic until every acknowledged record was seen.
func (c *replicated) requireAll(topic string, acked []string) {
	c.t.Helper()
	missing := map[string]bool{}
	for _, value := range acked {
		missing[value] = true
	}
	client := c.client(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for len(missing) > 0 && ctx.Err() == nil {
		client.PollFetches(ctx).EachRecord(func(r *kgo.Record) { delete(missing, string(r.Value)) })
	}
	require.Empty(c.t, missing, "acknowledged records are lost")
}

func TestReplication(t *testing.T) {
	for _, protocol := range []string{"2.8", "2.4"} {
		t.Run(protocol, func(t *testing.T) {
			c := startReplicated(t, 3, map[string]string{"inter.broker.protocol.version": protocol})
			c.create("t", 2, "2")
			w := c.startWriter("t")
			w.more(t, 50)
			leader := int(c.partition("t", 0).Leader)
			c.Members[leader].Kill()
			c.awaitISR("t", 0, 2)
			require.NotEqual(t, int32(leader), c.partition("t", 0).Leader)
			w.more(t, 50)
			c.Members[leader].Restart()
			c.awaitISR("t", 0, 3)
			c.awaitISR("t", 1, 3)
			w.more(t, 50)
			acked := w.end()
			c.requireAll("t", acked)
			c.requireSameFiles("t", 0)
			c.requireSameFiles("t", 1)
		})
	}
}

// A broker that stops in order hands its leaderships over first: the ISR is
// without it before it is gone.
func TestStopHandsLeadershipsOver(t *testing.T) {
	c := startReplicated(t, 3, nil)
	c.create("t", 3, "2")
	w := c.startWriter("t")
	w.more(t, 20)
	for _, m := range c.Members {
		m.Stop()
		require.Contains(t, m.Log.String(), "Controlled shutdown succeeded")
		for i := range int32(3) {
			testkit.Eventually(t, "everybody knows", func() bool {
				p := c.partition("t", i)
				return p.Leader >= 0 && p.Leader != int32(m.ID()) && !slices.Contains(p.ISR, int32(m.ID()))
			})
		}
		w.more(t, 20)
		m.Restart()
		for i := range int32(3) {
			c.awaitISR("t", i, 3)
		}
	}
	c.requireAll("t", w.end())
	for i := range int32(3) {
		c.requireSameFiles("t", i)
	}
}

// A follower that was away for many segments catches up. Without it there
// are too few replicas for acks=all, and enough again when it is back.
func TestFollowerFarBehind(t *testing.T) {
	c := startReplicated(t, 2, map[string]string{"log.segment.bytes": "20000", "replica.fetch.max.bytes": "5000"})
	c.create("t", 1, "2")
	c.awaitISR("t", 0, 2)
	follower := c.Members[1-int(c.partition("t", 0).Leader)]
	follower.Kill()
	c.awaitISR("t", 0, 1)

	strict := c.client(kgo.RequiredAcks(kgo.AllISRAcks()), kgo.RecordRetries(0), kgo.ProduceRequestTimeout(time.Second))
	require.ErrorIs(t, strict.ProduceSync(deadline(t), &kgo.Record{Topic: "t", Value: []byte("no")}).FirstErr(), kerr.NotEnoughReplicas)
	loose := c.client(kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite(), kgo.ProducerBatchMaxBytes(3000))
	var all []string
	for i := range 300 {
		value := fmt.Sprintf("%d-%s", i, strings.Repeat("x", 1000))
		all = append(all, value)
		loose.Produce(deadline(t), &kgo.Record{Topic: "t", Value: []byte(value)}, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	require.NoError(t, loose.Flush(deadline(t)))

	follower.Restart()
	c.awaitISR("t", 0, 2)
	c.requireAll("t", all)
	c.requireSameFiles("t", 0)
	require.NoError(t, strict.ProduceSync(deadline(t), &kgo.Record{Topic: "t", Value: []byte("yes")}).FirstErr())
}
