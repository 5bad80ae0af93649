package coordinator

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"gregor/pkg/kerr"
	"gregor/pkg/model"
)

// state records what happens to one partition.
type state struct {
	partition int32
	replayed  string
	loads     []Load
	unloaded  bool
	fired     []string
}

// slowLog is read when the gate lets it.
type slowLog struct {
	gate chan struct{} // nil: at once
	err  error
}

func (l *slowLog) Append(int32, []byte, int16) (Appended, error) { return Appended{}, nil }

func (l *slowLog) Read(ctx context.Context, partition int32, visit func([]byte) error) error {
	if l.gate != nil {
		select {
		case <-l.gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err := visit(fmt.Appendf(nil, "log %d", partition)); err != nil {
		return err
	}
	return l.err
}

func newRuntime(log Log) *Runtime[*state] {
	return New(Options[*state]{
		Log:      log,
		New:      func(partition int32) *state { return &state{partition: partition} },
		Replay:   func(s *state, b []byte) error { s.replayed += string(b); return nil },
		Loaded:   func(s *state, l Load) { s.loads = append(s.loads, l) },
		Unloaded: func(s *state, _ Unload) { s.unloaded = true },
		Fire:     func(s *state, key string) { s.fired = append(s.fired, key) },
	})
}

func TestALife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &slowLog{gate: make(chan struct{})}
		r := newRuntime(log)
		require.Equal(t, Scheduled, r.Elect(3, 5))
		require.ErrorIs(t, r.With(3, nil), kerr.CoordinatorNotAvailable)
		require.ErrorIs(t, r.Each(nil), kerr.CoordinatorNotAvailable)
		r.Start()
		require.ErrorIs(t, r.With(3, nil), kerr.CoordinatorLoadInProgress)
		require.ErrorIs(t, r.With(4, nil), kerr.NotCoordinator)
		require.ErrorIs(t, r.Each(nil), kerr.CoordinatorLoadInProgress)
		require.Equal(t, Stale, r.Elect(3, 4))
		require.Equal(t, Already, r.Elect(3, 6))

		time.Sleep(time.Second)
		log.gate <- struct{}{}
		synctest.Wait()
		var s *state
		require.NoError(t, r.With(3, func(got *state) { s = got }))
		require.Equal(t, "log 3", s.replayed)
		require.Equal(t, []Load{{Partition: 3, Epoch: 6, Queued: 0, Total: time.Second}}, s.loads)
		require.Equal(t, Already, r.Elect(3, 7))

		require.False(t, r.Resign(3, 6), "an older epoch")
		require.False(t, s.unloaded)
		require.True(t, r.Resign(3, 7))
		require.True(t, s.unloaded)
		require.ErrorIs(t, r.With(3, nil), kerr.NotCoordinator)
		require.True(t, r.Resign(3, model.NoLeaderEpoch))
		epoch, seen := r.Epoch(3)
		require.True(t, seen)
		require.EqualValues(t, 7, epoch)
		require.NoError(t, r.Close())
		require.False(t, r.Go("late", func(context.Context) error { return nil }))
	})
}

func TestResigningWhileLoadingLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &slowLog{gate: make(chan struct{})}
		r := newRuntime(log)
		r.Start()
		r.Elect(1, 0)
		synctest.Wait() // the loader reads
		r.Elect(2, 0)   // waits for the loader
		require.True(t, r.Resign(1, 1))
		require.True(t, r.Resign(2, 1))
		r.Elect(2, 2)
		close(log.gate)
		synctest.Wait()
		require.ErrorIs(t, r.With(1, nil), kerr.NotCoordinator)
		require.NoError(t, r.With(2, func(s *state) { require.EqualValues(t, 2, s.loads[0].Epoch) }))
		require.NoError(t, r.Close())
	})
}

func TestAPartitionThatCannotBeReadIsOwnedAllTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("disk")
		r := newRuntime(&slowLog{err: broken})
		r.Start()
		r.Elect(1, 0)
		synctest.Wait()
		require.NoError(t, r.With(1, func(s *state) {
			require.Equal(t, "log 1", s.replayed)
			require.ErrorIs(t, s.loads[0].Err, broken)
		}))
		require.NoError(t, r.Close())
	})
}

func TestTimersFireInTheOrderOfTheirTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRuntime(&slowLog{})
		r.Start()
		r.Elect(1, 0)
		synctest.Wait()
		fired := func() (list []string) {
			require.NoError(t, r.With(1, func(s *state) { list = append(list, s.fired...) }))
			return list
		}
		now := time.Now()
		r.SetTimer(1, "b", now.Add(2*time.Second))
		r.SetTimer(1, "a", now.Add(time.Second))
		r.SetTimer(1, "c", now.Add(3*time.Second))
		r.SetTimer(2, "not owned", now.Add(time.Second))
		r.SetTimer(1, "gone", now.Add(time.Second))
		r.SetTimer(1, "gone", time.Time{})
		r.SetTimer(1, "b", now.Add(4*time.Second)) // later
		time.Sleep(1500 * time.Millisecond)
		synctest.Wait()
		require.Equal(t, []string{"a"}, fired())
		time.Sleep(10 * time.Second)
		synctest.Wait()
		require.Equal(t, []string{"a", "c", "b"}, fired())
		r.SetTimer(1, "past", now)
		synctest.Wait()
		require.Equal(t, []string{"a", "c", "b", "past"}, fired())
		require.NoError(t, r.Close())
	})
}

func TestCloseTellsWhoIsOwned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRuntime(&slowLog{})
		r.Start()
		r.Elect(1, 0)
		synctest.Wait()
		var s *state
		require.NoError(t, r.With(1, func(got *state) { s = got }))
		require.NoError(t, r.Close())
		require.True(t, s.unloaded)
		require.ErrorIs(t, r.With(1, nil), kerr.CoordinatorNotAvailable)
	})
}

// TestElectionsAndEventsTogether is for the race detector: leaders move while
// events and timers run.
func TestElectionsAndEventsTogether(t *testing.T) {
	r := newRuntime(&slowLog{})
	r.Start()
	var all sync.WaitGroup
	for p := range int32(4) {
		all.Go(func() {
			for epoch := range model.LeaderEpoch(200) {
				if rand.IntN(2) == 0 {
					r.Elect(p, epoch)
				} else {
					r.Resign(p, epoch)
				}
			}
			r.Elect(p, 200)
		})
		all.Go(func() {
			for i := range 500 {
				_ = r.With(p, func(s *state) { s.fired = nil })
				r.SetTimer(p, fmt.Sprint(i%7), time.Now())
				_ = r.Each(func(s *state) { s.fired = append(s.fired, "x") })
			}
		})
	}
	all.Wait()
	for p := range int32(4) {
		require.Eventually(t, func() bool { return r.With(p, func(*state) {}) == nil }, 5*time.Second, time.Millisecond)
	}
	require.NoError(t, r.Close())
}
