package group

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAStormIsWarnedOfOnce(t *testing.T) {
	var c rebalanceCounter
	now := time.UnixMilli(1_000_000)
	warnings := func(n int, apart time.Duration) int {
		var out Effects
		for i := range n {
			now = now.Add(apart)
			c.note(now, "g", fmt.Sprintf("reason %d", i), &out)
		}
		return len(out.Lines)
	}
	require.Zero(t, warnings(5, time.Second))
	require.Equal(t, 1, warnings(1, time.Second), "more than 5 in a minute")
	require.Zero(t, warnings(20, time.Second), "said already")
	require.Equal(t, 1, warnings(30, 2*time.Second), "it goes on")
	now = now.Add(time.Hour)
	require.Zero(t, warnings(100, 13*time.Second))
	require.Len(t, c.last, rebalancesKept)
	require.Equal(t, "reason 99", c.last[rebalancesKept-1].Reason)
}

func TestRebalancesAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, newMemLog())
		defer h.close(t)
		id, _ := h.settle(t, "g", "t")
		time.Sleep(time.Minute)
		list, err := h.Rebalances("g")
		require.NoError(t, err)
		require.Len(t, list, 2)
		require.Equal(t, "Adding new member "+id+" with group instance id None", list[0].Reason)
		require.Equal(t, "removing member "+id+" on heartbeat expiration", list[1].Reason)
		require.Equal(t, 10*time.Second, list[1].At.Sub(list[0].At))
		list, err = h.Rebalances("none")
		require.NoError(t, err)
		require.Empty(t, list)
	})
}

// TestAGroupOverItsSizeRebalancesWhenLoaded is for a broker that was started
// with a smaller group.max.size.
func TestAGroupOverItsSizeRebalancesWhenLoaded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemLog()
		h := open(t, log)
		h.settle(t, "g", "t")
		h.close(t)
		again := open(t, log, func(c *Config) { c.MaxSize = 0 })
		defer again.close(t)
		require.Equal(t, "PreparingRebalance", again.Describe("g").State)
		require.Equal(t, 1, strings.Count(again.lines.String(), "(reason: Freshly-loaded group is over capacity (0). Rebalacing in order to give a chance for consumers to commit offsets)"))
	})
}
