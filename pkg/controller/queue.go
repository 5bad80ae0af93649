package controller

import (
	"context"
	"sync"
)

// event is one thing for the loop to do. dropped, when set, is called instead
// of run if the queue is cleared.
type event struct {
	name    string
	run     func() error
	dropped func()
}

// queue holds events in order. It has no bound: watches enter at most one
// event of a name at a time (putOnce), and brokers' answers are bounded by
// what was sent to them.
type queue struct {
	wake chan struct{}

	mu      sync.Mutex
	events  []event
	waiting map[string]bool // names entered by putOnce
	closed  bool
}

func newQueue() *queue {
	return &queue{wake: make(chan struct{}, 1), waiting: map[string]bool{}}
}

// put enters an event. A closed queue drops it.
func (q *queue) put(e event) {
	q.mu.Lock()
	closed := q.closed
	if !closed {
		q.events = append(q.events, e)
	}
	q.mu.Unlock()
	if closed {
		if e.dropped != nil {
			e.dropped()
		}
		return
	}
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// putOnce enters an event unless one of its name is waiting already; that one
// reads whatever this one would.
func (q *queue) putOnce(e event) {
	q.mu.Lock()
	twice := q.waiting[e.name] || q.closed
	q.waiting[e.name] = true
	q.mu.Unlock()
	if !twice {
		q.put(e)
	}
}

// next takes the first event, waiting for one; false when ctx is done.
func (q *queue) next(ctx context.Context) (event, bool) {
	for ctx.Err() == nil {
		q.mu.Lock()
		if len(q.events) > 0 {
			e := q.events[0]
			q.events = q.events[1:]
			delete(q.waiting, e.name)
			q.mu.Unlock()
			return e, true
		}
		q.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-q.wake:
		}
	}
	return event{}, false
}

// clear drops everything that waits.
func (q *queue) clear() {
	q.mu.Lock()
	dropped := q.events
	q.events = nil
	clear(q.waiting)
	q.mu.Unlock()
	for _, e := range dropped {
		if e.dropped != nil {
			e.dropped()
		}
	}
}

// close clears the queue for good.
func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.clear()
}
