// Package purgatory parks requests that cannot be answered yet.
//
// A produce with acks=all waits here for the high watermark, a fetch for
// min.bytes. Whoever waits does so on its own goroutine (the connection's):
// Wait registers it under all its keys and parks it; Wake of one of the keys
// makes it look again; it leaves when what it waits for has come, when its
// time is up, or when its context ends. Since only the waiter itself decides
// and leaves, a request is finished exactly once, and the package owns no
// goroutine.
//
// The keys are spread over shards, each with one lock; no lock is held while
// a waiter looks, and a waker never waits for a waiter. replica is the caller:
// it wakes a partition after every append and every change of leadership.
package purgatory

import (
	"context"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
)

const shardCount = 64

// Purgatory holds waiters under keys. Safe for concurrent use.
type Purgatory[K comparable] struct {
	seed    maphash.Seed
	shards  [shardCount]shard[K]
	waiting atomic.Int64
	spare   sync.Pool // of *waiter
}

// shard is the part of the keys that share a lock.
type shard[K comparable] struct {
	// occupied is len(lists), readable without the lock: most wakes find
	// nobody and end there.
	occupied atomic.Int64

	// mu guards the fields below; nothing is called while it is held.
	mu    sync.Mutex
	lists map[K]*entry // the head of a ring of entries
}

// entry is one waiter under one key, in the ring of that key.
type entry struct {
	waiter     *waiter
	prev, next *entry
}

// waiter is one parked call. Its entries lie in one slice, which is not
// resized while they are linked.
type waiter struct {
	wake    chan struct{} // of capacity one: a wake is never lost and never blocks
	timer   *time.Timer
	entries []entry
}

// New returns an empty purgatory.
func New[K comparable]() *Purgatory[K] {
	p := &Purgatory[K]{seed: maphash.MakeSeed()}
	for i := range p.shards {
		p.shards[i].lists = map[K]*entry{}
	}
	return p
}

// Wait returns true as soon as done does, and false when timeout has passed
// or ctx is done first. It calls done on the calling goroutine: once before
// anything is parked, once after the keys are registered, so that nothing
// that happens in between is missed, and then after each Wake of a key. done
// may be called again after it returned false, never after it returned true.
// Keys may repeat.
func (p *Purgatory[K]) Wait(ctx context.Context, keys []K, timeout time.Duration, done func() bool) bool {
	if done() {
		return true
	}
	if timeout <= 0 {
		return false
	}
	w := p.park(keys, timeout)
	defer p.leave(w, keys)
	for {
		if done() {
			return true
		}
		select {
		case <-w.wake:
		case <-w.timer.C:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// Wake makes every waiter under key look again. It does not wait for them.
//
// Hot path: called after every append; without waiters it takes no lock and
// allocates nothing.
func (p *Purgatory[K]) Wake(key K) {
	s := p.shard(key)
	if s.occupied.Load() == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	head := s.lists[key]
	if head == nil {
		return
	}
	for e := head; ; {
		select {
		case e.waiter.wake <- struct{}{}:
		default: // it has been told already
		}
		if e = e.next; e == head {
			return
		}
	}
}

// Waiting is the number of parked calls.
func (p *Purgatory[K]) Waiting() int { return int(p.waiting.Load()) }

// Keys is the number of keys that somebody waits for.
func (p *Purgatory[K]) Keys() int {
	n := 0
	for i := range p.shards {
		n += int(p.shards[i].occupied.Load())
	}
	return n
}

func (p *Purgatory[K]) park(keys []K, timeout time.Duration) *waiter {
	w, _ := p.spare.Get().(*waiter)
	if w == nil {
		w = &waiter{wake: make(chan struct{}, 1), timer: time.NewTimer(timeout)}
	} else {
		w.timer.Reset(timeout)
	}
	if cap(w.entries) < len(keys) {
		w.entries = make([]entry, len(keys))
	}
	w.entries = w.entries[:len(keys)]
	for i, key := range keys {
		w.entries[i].waiter = w
		p.shard(key).add(key, &w.entries[i])
	}
	p.waiting.Add(1)
	return w
}

func (p *Purgatory[K]) leave(w *waiter, keys []K) {
	p.waiting.Add(-1)
	for i, key := range keys {
		p.shard(key).remove(key, &w.entries[i])
	}
	clear(w.entries)
	w.timer.Stop()
	select {
	case <-w.wake: // of a wake that came too late
	default:
	}
	p.spare.Put(w)
}

func (p *Purgatory[K]) shard(key K) *shard[K] {
	return &p.shards[maphash.Comparable(p.seed, key)%shardCount]
}

func (s *shard[K]) add(key K, e *entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	head := s.lists[key]
	if head == nil {
		e.prev, e.next = e, e
		s.lists[key] = e
		s.occupied.Add(1)
		return
	}
	e.prev, e.next = head.prev, head
	head.prev.next = e
	head.prev = e
}

func (s *shard[K]) remove(key K, e *entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.next == e {
		delete(s.lists, key)
		s.occupied.Add(-1)
		return
	}
	e.prev.next, e.next.prev = e.next, e.prev
	if s.lists[key] == e {
		s.lists[key] = e.next
	}
}
