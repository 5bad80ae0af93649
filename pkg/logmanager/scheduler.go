package logmanager

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"
)

// scheduler runs work when it is due, one at a time, on one goroutine.
type scheduler struct {
	// mu guards queue.
	mu    sync.Mutex
	queue []dueWork // by time
	wake  chan struct{}
}

type dueWork struct {
	at  time.Time
	run func()
}

func newScheduler() *scheduler { return &scheduler{wake: make(chan struct{}, 1)} }

// after has f run when the delay has passed. It never blocks.
func (s *scheduler) after(delay time.Duration, f func()) {
	at := time.Now().Add(delay)
	s.mu.Lock()
	i, _ := slices.BinarySearchFunc(s.queue, at, func(w dueWork, at time.Time) int { return cmp.Or(w.at.Compare(at), -1) })
	s.queue = slices.Insert(s.queue, i, dueWork{at, f})
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// run works until ctx is done. What is not due by then is dropped: renamed
// files are removed by the next start.
func (s *scheduler) run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-s.wake:
		}
		for work := s.due(); work != nil && ctx.Err() == nil; work = s.due() {
			work()
		}
		if wait, ok := s.untilNext(); ok {
			timer.Reset(wait)
		}
	}
}

func (s *scheduler) due() func() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == 0 || time.Now().Before(s.queue[0].at) {
		return nil
	}
	work := s.queue[0].run
	s.queue = slices.Delete(s.queue, 0, 1)
	return work
}

func (s *scheduler) untilNext() (time.Duration, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == 0 {
		return 0, false
	}
	return time.Until(s.queue[0].at), true
}
