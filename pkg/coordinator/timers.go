package coordinator

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// timerKey names a timer; each has one time at most.
type timerKey struct {
	partition int32
	key       string
}

type timer struct {
	key   timerKey
	at    time.Time
	index int // in the heap
}

// timers calls fire for each key when its time has come, one after the other
// on one goroutine.
type timers struct {
	fire func(timerKey)
	wake chan struct{} // has room for one: the earliest time has changed

	// mu guards the fields below; it is the innermost lock.
	mu    sync.Mutex
	heap  timerHeap
	byKey map[timerKey]*timer
}

func newTimers(fire func(timerKey)) *timers {
	return &timers{fire: fire, wake: make(chan struct{}, 1), byKey: map[timerKey]*timer{}}
}

// set gives the key a time; the zero time takes it away.
func (t *timers) set(key timerKey, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	known := t.byKey[key]
	switch {
	case at.IsZero():
		if known != nil {
			heap.Remove(&t.heap, known.index)
			delete(t.byKey, key)
		}
		return
	case known != nil:
		known.at = at
		heap.Fix(&t.heap, known.index)
	default:
		known = &timer{key: key, at: at}
		t.byKey[key] = known
		heap.Push(&t.heap, known)
	}
	if known.index == 0 {
		select {
		case t.wake <- struct{}{}:
		default:
		}
	}
}

func (t *timers) run(ctx context.Context) error {
	alarm := time.NewTimer(time.Hour)
	defer alarm.Stop()
	for {
		key, wait, due := t.next(time.Now())
		if due {
			t.fire(key)
			continue
		}
		alarm.Reset(wait)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-alarm.C:
		case <-t.wake:
		}
	}
}

// next takes out the earliest timer when it is due, or tells how long to wait
// for it.
func (t *timers) next(now time.Time) (key timerKey, wait time.Duration, due bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.heap) == 0 {
		return timerKey{}, time.Hour, false
	}
	first := t.heap[0]
	if wait := first.at.Sub(now); wait > 0 {
		return timerKey{}, wait, false
	}
	heap.Pop(&t.heap)
	delete(t.byKey, first.key)
	return first.key, 0, true
}

// timerHeap has the earliest timer first (container/heap).
type timerHeap []*timer

func (h timerHeap) Len() int           { return len(h) }
func (h timerHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *timerHeap) Push(x any) {
	t := x.(*timer)
	t.index = len(*h)
	*h = append(*h, t)
}

func (h *timerHeap) Pop() any {
	last := len(*h) - 1
	t := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return t
}
