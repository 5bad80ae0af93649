//go:build compat

package compat

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"gregor/pkg/logging"
	"gregor/pkg/model"
	"gregor/pkg/testkit"
	"gregor/pkg/zkstore"
)

// mixed is a cluster of brokers of several kinds, with a client.
type mixed struct {
	t     *testing.T
	zk    *testkit.ProcessZooKeeper
	nodes []*testkit.ProcessNode
	kinds []kind
	store *zkstore.Store
	admin *kadm.Client
}

func startMixed(t *testing.T, properties map[string]string, kinds ...kind) *mixed {
	t.Helper()
	m := &mixed{t: t, zk: historyZooKeeper(t), kinds: kinds}
	for _, n := range historyNodes(t, m.zk.Address, javaSession, properties, kinds...) {
		m.nodes = append(m.nodes, n.(*testkit.ProcessNode))
	}
	var err error
	m.store, err = zkstore.Open(context.Background(), zkstore.Options{Connect: m.zk.Address, SessionTimeout: 2 * time.Second, Loggers: logging.Discard()})
	require.NoError(t, err)
	t.Cleanup(m.store.Close)
	m.admin = kadm.NewClient(m.client())
	m.awaitBrokers(len(kinds))
	return m
}

func (m *mixed) seeds() string {
	var seeds []string
	for _, n := range m.nodes {
		seeds = append(seeds, n.Seed())
	}
	return strings.Join(seeds, ",")
}

func (m *mixed) client(options ...kgo.Opt) *kgo.Client {
	m.t.Helper()
	c, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(strings.Split(m.seeds(), ",")...), kgo.MetadataMinAge(100 * time.Millisecond)}, options...)...)
	require.NoError(m.t, err)
	m.t.Cleanup(c.Close)
	return c
}

// awaitBrokers waits until each broker knows so many.
func (m *mixed) awaitBrokers(n int) {
	m.t.Helper()
	for _, node := range m.nodes {
		if node.Ended() {
			continue
		}
		c, err := kgo.NewClient(kgo.SeedBrokers(node.Seed()))
		require.NoError(m.t, err)
		eventually(m.t, 20*time.Second, fmt.Sprintf("%s knows %d brokers", node.Seed(), n), func() bool {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			all, err := kadm.NewClient(c).ListBrokers(ctx)
			return err == nil && len(all) == n
		})
		c.Close()
	}
}

// makeController lets a broker be the controller: whoever else is gives it up.
func (m *mixed) makeController(id int) {
	m.t.Helper()
	eventually(m.t, 30*time.Second, fmt.Sprintf("%d is the controller", id), func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		now, err := m.store.ControllerID(ctx)
		if err != nil || now == model.BrokerID(id) {
			return err == nil
		}
		if now >= 0 { // what removes the node by hand is in every book about operations
			_, fence, _, err := m.store.ControllerEpoch(ctx)
			if err == nil {
				err = m.store.ResignController(ctx, fence)
			}
			if err != nil {
				return false
			}
		}
		time.Sleep(200 * time.Millisecond)
		return false
	})
}

func (m *mixed) create(topic string, partitions int32, configs map[string]*string) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	answer, err := m.admin.CreateTopic(ctx, partitions, int16(len(m.nodes)), configs, topic)
	require.NoError(m.t, err)
	require.NoError(m.t, answer.Err)
}

// awaitStates waits until what ZooKeeper has of each partition is as wanted.
func (m *mixed) awaitStates(topic string, what string, ok func(partition int32, s zkstore.PartitionState) bool) {
	m.t.Helper()
	var last any
	defer func() {
		if m.t.Failed() {
			m.t.Logf("%s: %+v", what, last)
		}
	}()
	eventually(m.t, 30*time.Second, what, func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		assigned, found, err := m.store.TopicAssignment(ctx, topic)
		if err != nil || !found {
			return false
		}
		var tps []model.TopicPartition
		for p := range assigned.Partitions {
			tps = append(tps, model.TopicPartition{Topic: topic, Partition: p})
		}
		states, err := m.store.PartitionStates(ctx, tps)
		last = states
		if err != nil || len(states) != len(tps) {
			return false
		}
		for tp, s := range states {
			if !ok(tp.Partition, s) {
				return false
			}
		}
		return true
	})
}

func (m *mixed) awaitISR(topic string, size int) {
	m.t.Helper()
	m.awaitStates(topic, fmt.Sprintf("%d in sync everywhere", size), func(_ int32, s zkstore.PartitionState) bool { return len(s.ISR) == size && s.Leader >= 0 })
}

// produce writes n records with acks=all, by a name that tells them apart.
func (m *mixed) produce(topic, name string, n int) {
	m.t.Helper()
	c := m.client(kgo.RequiredAcks(kgo.AllISRAcks()), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()), kgo.UnknownTopicRetries(-1))
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for i := range n {
		c.Produce(ctx, &kgo.Record{Topic: topic, Value: fmt.Appendf(nil, "%s-%d", name, i)}, func(_ *kgo.Record, err error) {
			if err != nil {
				m.t.Errorf("produce %s-%d: %v", name, i, err)
			}
		})
	}
	require.NoError(m.t, c.Flush(ctx))
}

// consume reads n records of a topic, as a member of a group when it has one.
func (m *mixed) consume(topic, group string, n int) {
	m.t.Helper()
	options := []kgo.Opt{kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())}
	if group != "" {
		options = append(options, kgo.ConsumerGroup(group), kgo.DisableAutoCommit())
	}
	c := m.client(options...)
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
	defer cancel()
	seen := map[string]bool{}
	for len(seen) < n {
		fetches := c.PollFetches(ctx)
		require.NoError(m.t, ctx.Err(), "%d of %d records", len(seen), n)
		fetches.EachRecord(func(r *kgo.Record) { seen[string(r.Value)] = true })
	}
	if group != "" {
		require.NoError(m.t, c.CommitUncommittedOffsets(ctx))
	}
}

// awaitSameFiles waits until the replicas are the same byte for byte.
func (m *mixed) awaitSameFiles(topic string, partitions int32) {
	m.t.Helper()
	for p := range partitions {
		tp := model.TopicPartition{Topic: topic, Partition: p}
		eventually(m.t, 20*time.Second, "the replicas of "+tp.String()+" are the same", func() bool {
			first := testkit.LogBytes(m.t, m.nodes[0].LogDir(), tp)
			for _, n := range m.nodes[1:] {
				if !bytes.Equal(first, testkit.LogBytes(m.t, n.LogDir(), tp)) {
					return false
				}
			}
			return len(first) > 0
		})
		require.Empty(m.t, testkit.CheckLogBytes(testkit.LogBytes(m.t, m.nodes[0].LogDir(), tp)))
	}
}

// A Java broker and one of ours: either is the controller while topics are
// made, filled, and lose the other broker; afterwards the preferred leaders
// are back and the replicas the same.
func TestMixedCluster(t *testing.T) {
	for _, c := range []struct {
		ibp  string
		java kind
	}{{"2.8", kafka28}, {"2.4", kafka28}, {"1.1", kafka28}, {"2.8", kafka39}} {
		t.Run(fmt.Sprintf("%s with protocol %s", c.java, c.ibp), func(t *testing.T) {
			m := startMixed(t, map[string]string{"inter.broker.protocol.version": c.ibp, "offsets.topic.replication.factor": "2"}, c.java, gregor)
			const partitions = 4
			for controller := range m.nodes {
				m.makeController(controller)
				topic := fmt.Sprintf("by-%d", controller)
				m.create(topic, partitions, nil)
				m.awaitISR(topic, 2)
				m.produce(topic, "whole", 200)
				for _, group := range []string{"a", "b", "c", "d", "e", "f"} { // on both coordinators
					m.consume(topic, fmt.Sprintf("%s-%d", group, controller), 200)
				}
				other := m.nodes[1-controller]
				other.Kill()
				m.awaitStates(topic, "the other is out", func(_ int32, s zkstore.PartitionState) bool {
					return s.Leader == model.BrokerID(controller) && len(s.ISR) == 1
				})
				m.produce(topic, "alone", 200)
				other.Restart()
				m.awaitISR(topic, 2)
				got := script(t, "", "kafka-leader-election.sh", "--bootstrap-server", m.seeds(), "--election-type", "preferred", "--all-topic-partitions")
				require.Zero(t, got.Status, got.Stdout+got.Stderr)
				leads := map[model.BrokerID]int{}
				m.awaitStates(topic, "both lead", func(p int32, s zkstore.PartitionState) bool {
					if p == 0 {
						clear(leads)
					}
					leads[s.Leader]++
					return true
				})
				require.NotEmpty(t, leads)
				m.produce(topic, "again", 200)
				m.consume(topic, "", 600)
				m.awaitSameFiles(topic, partitions)
			}
			for id := range m.nodes { // the offsets outlive either broker
				m.nodes[1-id].Kill()
				m.awaitStates("__consumer_offsets", "the other coordinates", func(_ int32, s zkstore.PartitionState) bool { return s.Leader == model.BrokerID(id) })
				eventually(t, 30*time.Second, "the offsets are told", func() bool {
					ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
					defer cancel()
					admin := kadm.NewClient(m.client(kgo.SeedBrokers(m.nodes[id].Seed()))) // one that remembers no coordinator
					defer admin.Close()
					for _, group := range []string{"a", "b", "c", "d", "e", "f"} {
						offsets, err := admin.FetchOffsets(ctx, group+"-0")
						if err != nil || !offsets.Ok() {
							return false
						}
						sum := int64(0)
						offsets.Each(func(o kadm.OffsetResponse) { sum += o.At })
						if sum != 200 {
							return false
						}
					}
					return true
				})
				m.nodes[1-id].Restart()
				m.awaitISR("__consumer_offsets", 2)
			}
			for _, topic := range []string{"by-0", "by-1"} {
				ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
				_, err := m.admin.DeleteTopic(ctx, topic)
				cancel()
				require.NoError(t, err)
			}
			eventually(t, 30*time.Second, "the topics are gone", func() bool {
				topics, err := m.store.Topics(context.Background())
				return err == nil && len(topics) == 1
			})
		})
	}
}

// An owner changes over from Java to ours, broker by broker under load, and
// back, and loses nothing.
func TestJavaBrokersAreReplacedByOurs(t *testing.T) {
	seed := testkit.Seed(t)
	zk := historyZooKeeper(t)
	nodes := historyNodes(t, zk.Address, javaSession, nil, kafka28, gregor, kafka28)
	testkit.RunHistory(t, seed, nodes, zk, zk.Address, testkit.HistoryOptions{Session: javaSession, ReplicationFactor: 3, MinInSync: 2, Clients: librdkafka(t, nodes),
		Instead: func(heal func()) {
			for _, step := range []struct {
				id int
				by kind
			}{{0, gregor}, {2, gregor}, {0, kafka28}, {1, kafka28}, {0, gregor}, {1, gregor}} {
				node := nodes[step.id].(*testkit.ProcessNode)
				node.StopInOrder()
				node.Replace(launch(step.by))
				heal()
				t.Logf("broker %d is %s now", step.id, step.by)
			}
		}})
}
