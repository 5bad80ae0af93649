package purgatory

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestWaitLooksBeforeItParks(t *testing.T) {
	p := New[string]()
	looks := 0
	require.True(t, p.Wait(t.Context(), []string{"a"}, time.Hour, func() bool { looks++; return true }))
	require.Equal(t, 1, looks)
	require.False(t, p.Wait(t.Context(), []string{"a"}, 0, func() bool { looks++; return false }))
	require.Equal(t, 2, looks, "no time to wait: one look")
	require.Zero(t, p.Waiting())
}

func TestWaitLooksAgainAfterItRegistered(t *testing.T) {
	p := New[string]()
	looks := 0
	// What it waits for comes between the first look and the registration:
	// no wake will follow.
	require.True(t, p.Wait(t.Context(), []string{"a"}, time.Hour, func() bool { looks++; return looks == 2 }))
	require.Zero(t, p.Keys())
}

func TestWakeOfAnyKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New[string]()
		var ready atomic.Bool
		var looks atomic.Int32
		result := make(chan bool, 1)
		go func() {
			result <- p.Wait(t.Context(), []string{"a", "b", "a"}, time.Hour, func() bool { looks.Add(1); return ready.Load() })
		}()
		synctest.Wait()
		require.Equal(t, int32(2), looks.Load())
		require.Equal(t, 1, p.Waiting())
		require.Equal(t, 2, p.Keys())

		p.Wake("other")
		synctest.Wait()
		require.Equal(t, int32(2), looks.Load(), "another key wakes nobody")

		p.Wake("b")
		synctest.Wait()
		require.Equal(t, int32(3), looks.Load(), "woken, not ready, parked again")
		require.Equal(t, 1, p.Waiting())

		ready.Store(true)
		p.Wake("a")
		require.True(t, <-result)
		require.Zero(t, p.Waiting())
		require.Zero(t, p.Keys())
	})
}

func TestTimeAndContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New[int]()
		never := func() bool { return false }

		start := time.Now()
		require.False(t, p.Wait(t.Context(), []int{1}, 500*time.Millisecond, never))
		require.Equal(t, 500*time.Millisecond, time.Since(start))

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start = time.Now()
		require.False(t, p.Wait(ctx, nil, time.Hour, never))
		require.Equal(t, time.Second, time.Since(start))
		require.Zero(t, p.Waiting())
	})
}

// A waiter that is reused must not see what its former user left behind: an
// old wake or an old time.
func TestReusedWaiterStartsFresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New[int]()
		for range 50 {
			looks := 0
			start := time.Now()
			p.Wait(t.Context(), []int{1, 2}, time.Second, func() bool {
				looks++
				if looks == 2 {
					p.Wake(1) // wakes itself
				}
				return looks == 3
			})
			require.Equal(t, 3, looks)

			looks = 0
			require.False(t, p.Wait(t.Context(), []int{2}, time.Second, func() bool { looks++; return false }))
			require.Equal(t, 2, looks, "no wake is left over")
			require.Equal(t, time.Second, time.Since(start))
		}
	})
}

// Many waiters on few keys, wakes in random order: everybody whose condition
// holds is gone, everybody else is still there, and the rings are whole.
func TestWaitersModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		synctest.Test(t, func(t *testing.T) {
			p := New[int]()
			type parked struct {
				keys    []int
				ready   atomic.Bool
				left    atomic.Bool
				expired time.Duration
			}
			var all []*parked
			start := time.Now()
			steps := rapid.IntRange(1, 60).Draw(rt, "steps")
			for range steps {
				switch rapid.IntRange(0, 3).Draw(rt, "step") {
				case 0, 1:
					w := &parked{
						keys:    rapid.SliceOfN(rapid.IntRange(0, 4), 1, 4).Draw(rt, "keys"),
						expired: time.Since(start) + time.Duration(rapid.IntRange(1, 40).Draw(rt, "timeout"))*time.Second,
					}
					all = append(all, w)
					timeout := w.expired - time.Since(start)
					go func() {
						p.Wait(t.Context(), w.keys, timeout, w.ready.Load)
						w.left.Store(true)
					}()
				case 2:
					key := rapid.IntRange(0, 4).Draw(rt, "wake")
					for _, w := range all {
						for _, k := range w.keys {
							if k == key {
								w.ready.Store(true)
							}
						}
					}
					p.Wake(key)
				case 3:
					time.Sleep(time.Duration(rapid.IntRange(1, 10).Draw(rt, "sleep")) * time.Second)
				}
				synctest.Wait()
				staying := 0
				for _, w := range all {
					want := w.ready.Load() || time.Since(start) >= w.expired
					require.Equal(t, want, w.left.Load())
					if !want {
						staying++
					}
				}
				require.Equal(t, staying, p.Waiting())
			}
			time.Sleep(time.Hour)
			synctest.Wait()
			require.Zero(t, p.Waiting())
			require.Zero(t, p.Keys())
		})
	})
}

func TestWakeAllocatesNothing(t *testing.T) {
	p := New[int]()
	require.Zero(t, testing.AllocsPerRun(100, func() { p.Wake(7) }))
}

func BenchmarkWakeNobody(b *testing.B) {
	p := New[string]()
	for b.Loop() {
		p.Wake("topic")
	}
}

func BenchmarkWaitTimedOut(b *testing.B) {
	p := New[int]()
	keys := []int{1, 2, 3, 4}
	b.ReportAllocs()
	for b.Loop() {
		p.Wait(b.Context(), keys, time.Nanosecond, func() bool { return false })
	}
}
