package controller

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"gregor/pkg/model"
)

func TestAssignmentOnTheWay(t *testing.T) {
	ids := func(n ...model.BrokerID) []model.BrokerID { return n }
	for _, row := range []struct {
		name   string
		from   Assignment
		target []model.BrokerID
		want   Assignment
	}{
		{"one moves", Assignment{Replicas: ids(1, 2)}, ids(3, 1), Assignment{ids(3, 1, 2), ids(3), ids(2)}},
		{"another order", Assignment{Replicas: ids(1, 2)}, ids(2, 1), Assignment{Replicas: ids(2, 1)}},
		{"more", Assignment{Replicas: ids(1)}, ids(1, 2), Assignment{ids(1, 2), ids(2), nil}},
		{"fewer", Assignment{Replicas: ids(1, 2)}, ids(2), Assignment{ids(2, 1), nil, ids(1)}},
		{"another target", Assignment{ids(3, 1, 2), ids(3), ids(2)}, ids(4, 2), Assignment{ids(4, 2, 1), ids(4), ids(1)}},
		{"back to the origin", Assignment{ids(3, 1, 2), ids(3), ids(2)}, ids(1, 2), Assignment{Replicas: ids(1, 2)}},
	} {
		got := row.from.reassignTo(row.target)
		require.True(t, row.want.equal(got), "%s: %s", row.name, got)
		require.Equal(t, row.target, got.target(), row.name)
	}
}

// TestAssignmentKeepsOriginAndTarget: whatever targets follow each other, the
// origin stays what it was and the target is the latest.
func TestAssignmentKeepsOriginAndTarget(t *testing.T) {
	some := rapid.Custom(func(t *rapid.T) []model.BrokerID {
		ids := rapid.Permutation([]model.BrokerID{1, 2, 3, 4, 5}).Draw(t, "ids")
		return ids[:rapid.IntRange(1, 5).Draw(t, "n")]
	})
	rapid.Check(t, func(t *rapid.T) {
		origin := some.Draw(t, "origin")
		a := Assignment{Replicas: origin}
		for range rapid.IntRange(1, 4).Draw(t, "times") {
			target := some.Draw(t, "target")
			a = a.reassignTo(target)
			require.Equal(t, target, a.target())
			require.ElementsMatch(t, origin, a.origin())
			require.Empty(t, except(a.Adding, a.target()))
			require.Empty(t, except(a.Removing, a.origin()))
		}
	})
}

// TestNobodyOfTheTargetCanLead: the target is in sync and gone, so that the
// present replicas stay.
func TestNobodyOfTheTargetCanLead(t *testing.T) {
	w := newWorld(t)
	w.quiet = true
	for _, words := range [][]string{{"brokers", "1", "3"}, {"elect"}, {"topic", "a", "0=1"}, {"reassign", "a-0=3"}} {
		w.run(words)
	}
	p := w.machine.c.partition(w.tp("a-0"))
	p.leader.ISR, p.leader.Leader = []model.BrokerID{3}, model.NoBroker
	w.store.states[p.TopicPartition] = *p.leader
	ready, waiting, err := w.machine.caughtUp([]*partition{p})
	require.NoError(t, err)
	require.Equal(t, []*partition{p}, ready)
	require.Empty(t, waiting)
	delete(w.machine.c.brokers, 3)
	ready, waiting, err = w.machine.caughtUp([]*partition{p})
	require.NoError(t, err)
	require.Empty(t, ready)
	require.Equal(t, []*partition{p}, waiting)
}
