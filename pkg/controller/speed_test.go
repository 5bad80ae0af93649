package controller

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gregor/pkg/model"
	"gregor/pkg/zkstore"
	"gregor/pkg/zookeeper/server"
)

// The benchmarks measure what a cluster waits for: a real ZooKeeper that
// syncs its log, and brokers that answer at once.

// bench is a controller with id 0 of brokers 0 to 2, and topics that it has
// brought online.
func startBench(b *testing.B, topics, partitions int) (nodes []*node, tool *zkstore.Store) {
	b.Helper()
	s, err := server.Start(context.Background(), server.Config{DataDir: b.TempDir(), ClientPortAddress: "127.0.0.1", TickTime: 3 * time.Second})
	require.NoError(b, err)
	b.Cleanup(func() { s.Close() })
	tool = openStore(b, s.Addr(), 30*time.Second)
	for id := range model.BrokerID(3) {
		nodes = append(nodes, startNodeWithin(b, s.Addr(), id, 30*time.Second))
		within(b, "the first is elected", nodes[0].controller.IsActive)
	}
	within(b, "all are known", func() bool { return nodes[2].saw("UpdateMetadata", "brokers 0 1 2") })
	for _, n := range nodes {
		n.mute.Store(true)
	}
	for i := range topics {
		createTopic(b, tool, fmt.Sprintf("topic-%04d", i), spread(partitions))
	}
	awaitLed(b, nodes[0], topics*partitions)
	return nodes, tool
}

// spread assigns partitions to brokers 0 to 2, each preferring its share.
func spread(partitions int) map[int32][]model.BrokerID {
	a := map[int32][]model.BrokerID{}
	for p := range int32(partitions) {
		first := model.BrokerID(p % 3)
		a[p] = []model.BrokerID{first, (first + 1) % 3, (first + 2) % 3}
	}
	return a
}

// awaitLed waits until a controller has that many partitions online.
func awaitLed(b *testing.B, n *node, want int) {
	b.Helper()
	require.Eventually(b, func() bool {
		led := 0
		err := n.controller.ask(context.Background(), "count", func(m *machine) error {
			led = len(m.c.selectPartitions(func(p *partition) bool { return p.state == OnlinePartition && p.leader.Leader >= 0 }))
			return nil
		})
		return err == nil && led == want
	}, time.Minute, time.Millisecond)
}

func BenchmarkTopicOf1000Partitions(b *testing.B) {
	nodes, tool := startBench(b, 0, 0)
	n := 0
	for b.Loop() {
		n++
		createTopic(b, tool, fmt.Sprintf("t-%d", n), spread(1000))
		awaitLed(b, nodes[0], n*1000)
	}
}

func BenchmarkFailover10000Partitions(b *testing.B) {
	nodes, tool := startBench(b, 100, 100)
	for b.Loop() {
		epoch := nodes[0].controller.Epoch()
		for _, other := range nodes[1:] {
			epoch = max(epoch, other.controller.Epoch())
		}
		require.NoError(b, tool.ResignController(context.Background(), zkstore.NoFence))
		for done := false; !done; time.Sleep(time.Millisecond) {
			for _, n := range nodes {
				err := n.controller.ask(context.Background(), "ready", func(m *machine) error {
					done = done || m.c.epoch > epoch
					return nil
				})
				if done && err == nil {
					break
				}
			}
		}
	}
}

func BenchmarkControlledShutdownOf2000Leaders(b *testing.B) {
	nodes, _ := startBench(b, 20, 300)
	leaving := nodes[1]
	for b.Loop() {
		brokers, err := leaving.zk.Brokers(context.Background())
		require.NoError(b, err)
		left, err := nodes[0].controller.ControlledShutdown(context.Background(), leaving.id, brokers[1].Epoch)
		require.NoError(b, err)
		require.Empty(b, left)
		b.StopTimer()
		comeBack(b, nodes[0], leaving.id)
		b.StartTimer()
	}
}

// comeBack makes the controller believe that a broker which was leaving is
// there again, in every ISR and leading what it prefers to lead.
func comeBack(b *testing.B, n *node, id model.BrokerID) {
	b.Helper()
	require.NoError(b, n.controller.ask(context.Background(), "comeBack", func(m *machine) error {
		delete(m.c.shuttingDown, id)
		all := m.c.selectPartitions(func(p *partition) bool { return true })
		states := map[model.TopicPartition]LeaderISR{}
		for _, p := range all {
			states[p.TopicPartition] = p.leader.next(p.Replicas[0], p.Replicas, m.c.epoch)
			p.replicas[id] = OnlineReplica
		}
		done, err := m.store.UpdateStates(states)
		for _, p := range all {
			u := done[p.TopicPartition]
			p.leader = &u.State
		}
		return err
	}))
}

func BenchmarkBrokerWithAThirdOf3000LeadersDies(b *testing.B) {
	nodes, _ := startBench(b, 10, 300)
	for b.Loop() {
		require.NoError(b, nodes[0].controller.ask(context.Background(), "dies", func(m *machine) error {
			broker := m.c.brokers[1]
			err := m.brokersDown([]model.BrokerID{1})
			m.c.brokers[1] = broker
			return err
		}))
		b.StopTimer()
		comeBack(b, nodes[0], 1)
		b.StartTimer()
	}
}
