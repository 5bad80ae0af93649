package broker_test

import (
	"testing"
	"time"

	"gregor/pkg/testkit"
)

// A short history of a cluster in this process: some faults, chosen by a
// seed, and nothing acknowledged is lost. Longer ones, with processes, are in
// test/compat and test/soak.
func TestHistory(t *testing.T) {
	t.Parallel()
	seed := testkit.Seed(t)
	c := testkit.StartCluster(t, 3, map[string]string{"offsets.topic.num.partitions": "3", "offsets.topic.replication.factor": "3", "log.segment.bytes": "200000"})
	testkit.RunHistory(t, seed, c.Nodes(), c.Server, c.ZooKeeper, testkit.HistoryOptions{Faults: 3, Session: time.Second, Topics: true, Weights: map[string]int{
		testkit.FaultKill: 4, testkit.FaultPause: 3, testkit.FaultStop: 1, testkit.FaultIsolate: 3, testkit.FaultCutOneWay: 2,
		testkit.FaultHold: 3, testkit.FaultHoldAnswers: 2, testkit.FaultExpire: 3, testkit.FaultZooKeeper: 2, testkit.FaultPreferred: 1, testkit.FaultReassign: 0}})
}
