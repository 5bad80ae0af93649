package testkit

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"gregor/pkg/lifecycle"
	"gregor/pkg/model"
)

// Deadline is a context that is long enough for what is expected to work.
func Deadline(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// AwaitBrokers waits until every broker knows all.
func (c *Cluster) AwaitBrokers() {
	c.t.Helper()
	for _, m := range c.Members {
		one := kadm.NewClient(c.Client(kgo.SeedBrokers(m.Address)))
		Eventually(c.t, "everybody knows everybody", func() bool {
			all, err := one.ListBrokers(Deadline(c.t))
			return err == nil && len(all) == len(c.Members)
		})
	}
}

// Client is a client that knows all brokers, and is quick to ask again. It
// ends with the test.
func (c *Cluster) Client(options ...kgo.Opt) *kgo.Client {
	c.t.Helper()
	var seeds []string
	for _, m := range c.Members {
		seeds = append(seeds, m.Address)
	}
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(seeds...), kgo.MetadataMinAge(50 * time.Millisecond),
		kgo.RetryBackoffFn(func(int) time.Duration { return 50 * time.Millisecond })}, options...)...)
	require.NoError(c.t, err)
	c.t.Cleanup(client.Close)
	return client
}

// Admin is a Client for administration, always the same one.
func (c *Cluster) Admin() *kadm.Client {
	if c.admin == nil {
		c.admin = kadm.NewClient(c.Client())
	}
	return c.admin
}

// Create makes a topic with a replica on every broker, and settings in pairs
// of name and value.
func (c *Cluster) Create(topic string, partitions int32, settings ...string) {
	c.t.Helper()
	configs := map[string]*string{}
	for i := 0; i < len(settings); i += 2 {
		configs[settings[i]] = &settings[i+1]
	}
	created, err := c.Admin().CreateTopic(Deadline(c.t), partitions, int16(len(c.Members)), configs, topic)
	require.NoError(c.t, err)
	require.NoError(c.t, created.Err)
}

// Partition is what the cluster says of a partition, once somebody answers.
func (c *Cluster) Partition(topic string, partition int32) kadm.PartitionDetail {
	c.t.Helper()
	var found kadm.TopicDetails
	Eventually(c.t, "somebody tells of "+topic, func() bool {
		var err error
		found, err = c.Admin().ListTopics(Deadline(c.t), topic)
		return err == nil && found[topic].Err == nil
	})
	return found[topic].Partitions[partition]
}

// AwaitISR waits until a partition has a leader and so many replicas in sync.
func (c *Cluster) AwaitISR(topic string, partition int32, size int) {
	c.t.Helper()
	Eventually(c.t, fmt.Sprintf("%d replicas of %s-%d are in sync", size, topic, partition), func() bool {
		p := c.Partition(topic, partition)
		return len(p.ISR) == size && p.Leader >= 0
	})
}

// RequireSameFiles waits until all replicas of a partition are the same, byte
// for byte.
func (c *Cluster) RequireSameFiles(topic string, partition int32) {
	c.t.Helper()
	Eventually(c.t, fmt.Sprintf("the replicas of %s-%d are the same", topic, partition), func() bool {
		first := c.logBytes(0, topic, partition)
		for id := range c.Members {
			if !bytes.Equal(first, c.logBytes(id, topic, partition)) {
				return false
			}
		}
		return len(first) > 0
	})
}

func (c *Cluster) logBytes(id int, topic string, partition int32) []byte {
	return LogBytes(c.t, c.Members[id].Dir, model.TopicPartition{Topic: topic, Partition: partition})
}

// Writer produces one record after another, and remembers which of them were
// acknowledged.
type Writer struct {
	group *lifecycle.Group

	mu    sync.Mutex
	acked []string
}

// StartWriter begins to produce to a topic with acks=all; it ends with the
// test.
func (c *Cluster) StartWriter(topic string) *Writer {
	w := &Writer{group: lifecycle.NewGroup(context.Background())}
	client := c.Client(kgo.RequiredAcks(kgo.AllISRAcks()), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()), kgo.ProduceRequestTimeout(5*time.Second))
	w.group.Go("writer", func(ctx context.Context) error {
		for i := 0; ctx.Err() == nil; i++ {
			value := fmt.Sprintf("%s-%d", topic, i)
			if client.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte(value)}).FirstErr() == nil {
				w.mu.Lock()
				w.acked = append(w.acked, value)
				w.mu.Unlock()
			}
		}
		return nil
	})
	c.t.Cleanup(func() { w.End() })
	return w
}

// End stops producing and returns what was acknowledged.
func (w *Writer) End() []string {
	w.group.Close() //nolint:errcheck // its goroutine returns none
	return w.acked
}

// More waits until that many more records were acknowledged.
func (w *Writer) More(t testing.TB, n int) {
	t.Helper()
	w.mu.Lock()
	want := len(w.acked) + n
	w.mu.Unlock()
	Eventually(t, fmt.Sprintf("%d more records are acknowledged", n), func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.acked) >= want
	})
}

// RequireAll reads the topic until every acknowledged record was seen.
func (c *Cluster) RequireAll(topic string, acked []string) {
	c.t.Helper()
	missing := map[string]bool{}
	for _, value := range acked {
		missing[value] = true
	}
	client := c.Client(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for len(missing) > 0 && ctx.Err() == nil {
		client.PollFetches(ctx).EachRecord(func(r *kgo.Record) { delete(missing, string(r.Value)) })
	}
	require.Empty(c.t, missing, "acknowledged records are lost")
}
