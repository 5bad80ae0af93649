package session

import (
	"encoding/hex"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestPasswordIsZooKeepers(t *testing.T) {
	for id, want := range map[int64]string{
		0x0100001288e70000: "cb26dd54fc17bd6c216a607ca51e759e",
		1:                  "054cc74a37327db215e702e20c73f005",
	} {
		got := Password(id)
		require.Equal(t, want, hex.EncodeToString(got[:]))
	}
}

func TestIDs(t *testing.T) {
	tracker := NewTracker(time.Second, time.UnixMilli(1795144710826))
	a := tracker.Create(0, time.Second)
	require.EqualValues(t, 1, uint64(a.ID)>>56, "the server's number is the high byte")
	taken := tracker.Add(0, a.ID+1, time.Second)
	b := tracker.Create(0, time.Second)
	require.Equal(t, taken.ID+1, b.ID, "ids of former lives are skipped")

	later := NewTracker(time.Second, time.UnixMilli(1795144710826+1)).Create(0, time.Second)
	require.Greater(t, later.ID, b.ID)
}

func TestExpiryIsRoundedUpToTicks(t *testing.T) {
	const tick = 2 * time.Second
	tracker := NewTracker(tick, time.Unix(0, 0))
	s := tracker.Create(0, 4*time.Second)
	require.Empty(t, tracker.Expired(5999*time.Millisecond), "4 s is a whole tick, so the next one counts")
	require.Equal(t, 1*time.Millisecond, tracker.NextSweep(5999*time.Millisecond))
	tracker.Touch(1900*time.Millisecond, s)
	require.Equal(t, []*Session{s}, tracker.Expired(6*time.Second), "a touch within the tick moves nothing")
	require.True(t, s.Closing)
	require.Empty(t, tracker.Expired(time.Hour), "once")
	require.NotNil(t, tracker.Get(s.ID), "it stays until it is removed")
	tracker.Remove(s.ID)
	require.Zero(t, tracker.Len())
}

func TestResumeTakesTheNewTimeout(t *testing.T) {
	tracker := NewTracker(time.Second, time.Unix(0, 0))
	s := tracker.Add(0, 7, 5*time.Second)
	tracker.Resume(time.Second, s, 20*time.Second)
	require.Empty(t, tracker.Expired(20*time.Second))
	require.Len(t, tracker.Expired(22*time.Second), 1)
	require.Equal(t, map[int64]int32{7: 5000}, tracker.Timeouts(), "the stored timeout is the first one")
}

// The tracker agrees with one that looks at every session every time.
func TestTrackerModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		tick := time.Duration(rapid.IntRange(1, 5).Draw(rt, "tick")) * time.Second
		tracker := NewTracker(tick, time.Unix(0, 0))
		deadlines := map[int64]time.Duration{}
		deadline := func(now, timeout time.Duration) time.Duration { return ((now+timeout)/tick + 1) * tick }
		now := time.Duration(0)
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			now += time.Duration(rapid.IntRange(0, 3000).Draw(rt, "ms")) * time.Millisecond
			timeout := time.Duration(rapid.IntRange(1, 20).Draw(rt, "timeout")) * time.Second
			id := int64(rapid.IntRange(1, 5).Draw(rt, "id"))
			switch s := tracker.Get(id); {
			case s == nil:
				tracker.Add(now, id, timeout)
				deadlines[id] = deadline(now, timeout)
			case rapid.Bool().Draw(rt, "resume"):
				tracker.Resume(now, s, timeout)
				deadlines[id] = max(deadlines[id], deadline(now, timeout))
			default:
				tracker.Touch(now, s)
				deadlines[id] = max(deadlines[id], deadline(now, s.Timeout))
			}
			want := map[int64]bool{}
			for id, at := range deadlines {
				if at <= now {
					want[id] = true
					delete(deadlines, id)
				}
			}
			got := map[int64]bool{}
			for _, s := range tracker.Expired(now) {
				got[s.ID] = true
				tracker.Remove(s.ID)
			}
			require.Equal(rt, want, got)
		}
	})
}
