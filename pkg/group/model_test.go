package group

import (
	"github.com/stretchr/testify/require"
)

// checkInvariants holds a group against what is written at its fields.
func checkInvariants(t require.TestingT, g *Group) {
	if g.leader != "" {
		require.Contains(t, g.members, g.leader)
	}
	for id, m := range g.members {
		require.Equal(t, id, m.id)
		require.NotContains(t, g.pending, id)
		if m.sync != 0 {
			require.Equal(t, CompletingRebalance, g.state, "%s waits for an assignment", id)
		}
		if m.join != 0 {
			require.True(t, g.state == PreparingRebalance || g.state == Stable && m.isStatic(), "%s waits to join in %s", id, g.state)
		}
	}
	for instance, id := range g.static {
		require.Contains(t, g.members, id)
		require.Equal(t, instance, *g.members[id].instance)
	}
	switch g.state {
	case Empty:
		require.Empty(t, g.members)
	case CompletingRebalance, Stable:
		require.NotEmpty(t, g.members)
		require.NotNil(t, g.protocol)
	}
}
