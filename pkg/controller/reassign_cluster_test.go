package controller_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/kerr"
	"gregor/pkg/logging"
	"gregor/pkg/model"
	"gregor/pkg/testkit"
	"gregor/pkg/zkstore"
)

// createAssigned makes a topic with the given replicas.
func createAssigned(t *testing.T, c *testkit.Cluster, topic string, replicas ...[]int32) {
	t.Helper()
	req := kmsg.NewPtrCreateTopicsRequest()
	one := kmsg.NewCreateTopicsRequestTopic()
	one.Topic, one.NumPartitions, one.ReplicationFactor = topic, -1, -1
	for i, ids := range replicas {
		a := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
		a.Partition, a.Replicas = int32(i), ids
		one.ReplicaAssignment = append(one.ReplicaAssignment, a)
	}
	req.Topics = append(req.Topics, one)
	req.TimeoutMillis = 10000
	resp, err := req.RequestWith(testkit.Deadline(t), c.Client())
	require.NoError(t, err)
	require.Zero(t, resp.Topics[0].ErrorCode, "%v", resp.Topics[0].ErrorMessage)
}

// reassign asks for targets of partitions of a topic, nil to cancel, and
// returns the errors.
func reassign(t *testing.T, c *testkit.Cluster, topic string, targets map[int32][]int32) map[int32]string {
	t.Helper()
	req := kmsg.NewPtrAlterPartitionAssignmentsRequest()
	one := kmsg.NewAlterPartitionAssignmentsRequestTopic()
	one.Topic = topic
	for number, target := range targets {
		p := kmsg.NewAlterPartitionAssignmentsRequestTopicPartition()
		p.Partition, p.Replicas = number, target
		one.Partitions = append(one.Partitions, p)
	}
	req.Topics = append(req.Topics, one)
	var resp *kmsg.AlterPartitionAssignmentsResponse
	testkit.Eventually(t, "the controller answers", func() bool {
		var err error
		resp, err = req.RequestWith(testkit.Deadline(t), c.Client())
		return err == nil && resp.ErrorCode == 0
	})
	failed := map[int32]string{}
	for _, p := range resp.Topics[0].Partitions {
		if p.ErrorCode != 0 {
			failed[p.Partition] = kerr.ForCode(p.ErrorCode).Name
		}
	}
	return failed
}

// running lists the reassignments, false when nobody answers.
func running(t *testing.T, c *testkit.Cluster) ([]string, bool) {
	t.Helper()
	resp, err := kmsg.NewPtrListPartitionReassignmentsRequest().RequestWith(testkit.Deadline(t), c.Client())
	if err != nil || resp.ErrorCode != 0 {
		return nil, false
	}
	var found []string
	for _, topic := range resp.Topics {
		for _, p := range topic.Partitions {
			found = append(found, model.TopicPartition{Topic: topic.Topic, Partition: p.Partition}.String())
		}
	}
	return found, true
}

// awaitMoved waits until no reassignment runs and a partition lives on the
// target, all in sync, with no file left elsewhere.
func awaitMoved(t *testing.T, c *testkit.Cluster, tp model.TopicPartition, target ...int32) {
	t.Helper()
	testkit.Eventually(t, "no reassignment runs", func() bool {
		left, ok := running(t, c)
		return ok && len(left) == 0
	})
	testkit.Eventually(t, tp.String()+" has arrived", func() bool {
		p := c.Partition(tp.Topic, tp.Partition)
		return slices.Equal(p.Replicas, target) && len(p.ISR) == len(target) && slices.Contains(target, p.Leader)
	})
	for id, m := range c.Members {
		testkit.Eventually(t, fmt.Sprintf("files of %s on broker %d", tp, id), func() bool {
			_, err := os.Stat(filepath.Join(m.Dir, tp.String()))
			return os.IsNotExist(err) != slices.Contains(target, int32(id))
		})
	}
}

// controllerOf is the member that is the controller.
func controllerOf(t *testing.T, zk *zkstore.Store, c *testkit.Cluster) *testkit.Member {
	t.Helper()
	id := model.NoBroker
	testkit.Eventually(t, "there is a controller", func() bool {
		var err error
		id, err = zk.ControllerID(context.Background())
		return err == nil && id != model.NoBroker
	})
	return c.Members[id]
}

func dialZooKeeper(t *testing.T, c *testkit.Cluster) *zkstore.Store {
	t.Helper()
	zk, err := zkstore.Open(testkit.Deadline(t), zkstore.Options{Connect: c.ZooKeeper, Loggers: logging.Discard()})
	require.NoError(t, err)
	t.Cleanup(zk.Close)
	return zk
}

func TestReassignmentUnderLoad(t *testing.T) {
	c := testkit.StartCluster(t, 4, nil)
	c.AwaitBrokers()
	zk := dialZooKeeper(t, c)
	createAssigned(t, c, "moving", []int32{0, 1}, []int32{1, 2})
	w := c.StartWriter("moving")
	w.More(t, 50)

	require.Equal(t, map[int32]string{1: "INVALID_REPLICA_ASSIGNMENT", 7: "UNKNOWN_TOPIC_OR_PARTITION"},
		reassign(t, c, "moving", map[int32][]int32{0: {2, 3}, 1: {2, 9}, 7: {1}}))
	awaitMoved(t, c, model.TopicPartition{Topic: "moving", Partition: 0}, 2, 3)
	w.More(t, 50)

	// Through ZooKeeper, two at once.
	require.NoError(t, zk.CreateReassignPartitions(testkit.Deadline(t), map[model.TopicPartition][]model.BrokerID{
		{Topic: "moving", Partition: 0}: {0, 3}, {Topic: "moving", Partition: 1}: {3, 0}}))
	testkit.Eventually(t, "the request is gone from ZooKeeper", func() bool {
		_, found, err := zk.ReassignPartitions(testkit.Deadline(t))
		return err == nil && !found
	})
	awaitMoved(t, c, model.TopicPartition{Topic: "moving", Partition: 0}, 0, 3)
	awaitMoved(t, c, model.TopicPartition{Topic: "moving", Partition: 1}, 3, 0)
	w.More(t, 50)
	c.RequireAll("moving", w.End())
	for _, m := range c.Members {
		require.NotContains(t, m.Log.String(), "IllegalState")
	}
}

// TestReassignmentOutlivesItsController kills the controller when it has
// begun; the target's broker is away, so that it cannot have ended.
func TestReassignmentOutlivesItsController(t *testing.T) {
	c := testkit.StartCluster(t, 4, nil)
	c.AwaitBrokers()
	zk := dialZooKeeper(t, c)
	first := controllerOf(t, zk, c)
	at := slices.Index(c.Members, first)
	stay, gone, target := int32((at+1)%4), int32((at+2)%4), int32((at+3)%4)
	createAssigned(t, c, "moving", []int32{stay, gone})
	w := c.StartWriter("moving")
	w.More(t, 20)

	c.Members[target].Cut() // it does not hear of it
	require.Empty(t, reassign(t, c, "moving", map[int32][]int32{0: {target, stay}}))
	left, ok := running(t, c)
	require.True(t, ok)
	require.Equal(t, []string{"moving-0"}, left)
	first.Kill()
	c.Members[target].Mend()
	testkit.Eventually(t, "the next controller ends it", func() bool {
		left, ok := running(t, c)
		p := c.Partition("moving", 0)
		return ok && len(left) == 0 && slices.Equal(p.Replicas, []int32{target, stay}) && len(p.ISR) == 2
	})
	first.Restart()
	awaitMoved(t, c, model.TopicPartition{Topic: "moving"}, target, stay)
	c.RequireAll("moving", w.End())
}

func TestReassignmentIsCancelled(t *testing.T) {
	c := testkit.StartCluster(t, 3, nil)
	c.AwaitBrokers()
	zk := dialZooKeeper(t, c)
	at := slices.Index(c.Members, controllerOf(t, zk, c))
	stay, target := int32((at+1)%3), int32((at+2)%3)
	createAssigned(t, c, "still", []int32{stay}, []int32{stay})
	w := c.StartWriter("still")
	w.More(t, 20)
	require.Equal(t, map[int32]string{0: "NO_REASSIGNMENT_IN_PROGRESS"}, reassign(t, c, "still", map[int32][]int32{0: nil}))

	// Their leader is out of reach for the others: nothing can move.
	c.Members[stay].Cut()
	require.Empty(t, reassign(t, c, "still", map[int32][]int32{0: {target}, 1: {target, stay}}))
	testkit.Eventually(t, "the added replicas are made", func() bool {
		found, err := filepath.Glob(filepath.Join(c.Members[target].Dir, "still-?"))
		return err == nil && len(found) == 2
	})
	require.Empty(t, reassign(t, c, "still", map[int32][]int32{0: nil, 1: nil}))
	c.Members[stay].Mend()
	for number := range int32(2) {
		awaitMoved(t, c, model.TopicPartition{Topic: "still", Partition: number}, stay)
	}
	w.More(t, 20)
	c.RequireAll("still", w.End())
}

// TestAnOrderedStopCostsOneEpoch: what a stopping broker has handed over it
// does not follow, so that nobody takes it into an ISR again.
func TestAnOrderedStopCostsOneEpoch(t *testing.T) {
	c := testkit.StartCluster(t, 3, nil)
	c.AwaitBrokers()
	zk := dialZooKeeper(t, c)
	at := slices.Index(c.Members, controllerOf(t, zk, c))
	leaving, other := int32((at+1)%3), int32((at+2)%3)
	var replicas [][]int32
	var tps []model.TopicPartition
	for p := range int32(60) {
		replicas = append(replicas, []int32{leaving, other})
		tps = append(tps, model.TopicPartition{Topic: "handed", Partition: p})
	}
	createAssigned(t, c, "handed", replicas...)
	for p := range int32(60) {
		c.AwaitISR("handed", p, 2)
	}
	c.Members[leaving].StopInOrder()
	states, err := zk.PartitionStates(testkit.Deadline(t), tps)
	require.NoError(t, err)
	for tp, s := range states {
		require.Equal(t, model.BrokerID(other), s.Leader, "%s", tp)
		require.Equal(t, []model.BrokerID{model.BrokerID(other)}, s.ISR, "%s", tp)
		require.Equal(t, model.LeaderEpoch(1), s.LeaderEpoch, "%s", tp)
	}
}
