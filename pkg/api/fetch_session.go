package api

import (
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"gregor/pkg/kerr"
	"gregor/pkg/model"
	"gregor/pkg/replica"
)

// Fetch sessions (KIP-227): the broker remembers the partitions of a client's
// fetch and what it was told last, so that a request names only what changed,
// and an answer too.
//
// A request says by session id and epoch what it is:
//
//	epoch -1  a full fetch without a session; closes the one it names
//	epoch 0   a full fetch that wants a session; closes the one it names
//	epoch n   the n-th fetch of the session it names
//
// After MaxInt32 the epoch goes on with 1.

const (
	finalEpoch   int32 = -1
	initialEpoch int32 = 0
	noSession    int32 = 0
)

func nextEpoch(epoch int32) int32 {
	if epoch == math.MaxInt32 {
		return 1
	}
	return epoch + 1
}

// sessionIdleMax is how long a session is safe from being evicted.
const sessionIdleMax = 2 * time.Minute

// fetchSessions is the bounded cache of sessions. Locks: its own, then that
// of a session; both are held for memory work only.
type fetchSessions struct {
	slots int

	mu   sync.Mutex
	byID map[int32]*fetchSession
}

func newFetchSessions(slots int) *fetchSessions {
	return &fetchSessions{slots: slots, byID: map[int32]*fetchSession{}}
}

// fetchSession is one client's fetch. Its partitions form a list in the order
// in which they are answered: who was given records moves to the end, so that
// nobody starves.
type fetchSession struct {
	id         int32
	privileged bool // a follower's
	created    time.Time

	// What the cache needs to choose whom to evict, guarded by its lock.
	lastUsed time.Time
	size     int

	mu         sync.Mutex
	epoch      int32 // which the next request must carry
	partitions map[model.TopicPartition]*sessionPartition
	order      sessionPartition // the ends of the list
}

// sessionPartition is one partition of a session: what is asked, and what was
// said last.
type sessionPartition struct {
	ask            replica.Fetch // without a result
	highWatermark  int64
	logStartOffset int64
	prev, next     *sessionPartition
}

// open finds the session that an incremental request continues, applies what
// the request changes, and appends to fetches all that is to be fetched. It
// returns no session when the changes have emptied it: the request is then
// answered like one without a session, and the session is gone.
func (c *fetchSessions) open(id, epoch int32, changed []replica.Fetch, forgotten []model.TopicPartition, fetches []replica.Fetch) (*fetchSession, []replica.Fetch, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.byID[id]
	if s == nil {
		return nil, fetches, kerr.FetchSessionIDNotFound
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.epoch != epoch {
		return nil, fetches, kerr.InvalidFetchSessionEpoch
	}
	for i := range changed {
		s.set(&changed[i])
	}
	for _, tp := range forgotten {
		s.forget(tp)
	}
	if len(s.partitions) == 0 {
		delete(c.byID, id)
		return nil, fetches, nil
	}
	s.lastUsed, s.size = time.Now(), len(s.partitions)
	s.epoch = nextEpoch(epoch)
	for p := s.order.next; p != &s.order; p = p.next {
		fetches = append(fetches, p.ask)
	}
	return s, fetches, nil
}

// create makes a session of a full fetch that has been answered with these
// results, and returns its id; noSession when the cache is full of sessions
// worth more.
func (c *fetchSessions) create(privileged bool, fetches []replica.Fetch) int32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if len(c.byID) >= c.slots && !c.evict(privileged, len(fetches), now) {
		return noSession
	}
	s := &fetchSession{
		id: c.newID(), privileged: privileged, created: now, lastUsed: now,
		epoch: nextEpoch(initialEpoch), partitions: make(map[model.TopicPartition]*sessionPartition, len(fetches)),
	}
	s.order.prev, s.order.next = &s.order, &s.order
	for i := range fetches {
		s.set(&fetches[i]).tell(&fetches[i].Result)
	}
	s.size = len(s.partitions)
	c.byID[s.id] = s
	return s.id
}

func (c *fetchSessions) newID() int32 {
	for {
		if id := rand.Int32N(math.MaxInt32) + 1; c.byID[id] == nil {
			return id
		}
	}
}

// evict makes room for a session of the given worth: first a session that has
// not been used for long, else the least worthy among those that may go, if it
// is worth less. A new session is spared, except that a privileged one may
// always take the place of one that is not.
func (c *fetchSessions) evict(privileged bool, size int, now time.Time) bool {
	var idle, least *fetchSession
	for _, s := range c.byID {
		if idle == nil || s.lastUsed.Before(idle.lastUsed) {
			idle = s
		}
		spared := now.Sub(s.created) <= sessionIdleMax
		if (!spared || privileged && !s.privileged) && (least == nil || s.lessWorthy(least.privileged, least.size, least.id)) {
			least = s
		}
	}
	switch {
	case idle != nil && now.Sub(idle.lastUsed) > sessionIdleMax:
		delete(c.byID, idle.id)
	case least != nil && least.lessWorthy(privileged, size, noSession):
		delete(c.byID, least.id)
	default:
		return false
	}
	return true
}

// lessWorthy orders sessions by privilege, size and id.
func (s *fetchSession) lessWorthy(privileged bool, size int, id int32) bool {
	if s.privileged != privileged {
		return privileged
	}
	if s.size != size {
		return s.size < size
	}
	return s.id < id
}

// remove closes a session.
func (c *fetchSessions) remove(id int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.byID, id)
}

// size is the number of sessions.
func (c *fetchSessions) size() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.byID)
}

// set adds a partition at the end or changes what is asked of it.
func (s *fetchSession) set(f *replica.Fetch) *sessionPartition {
	p := s.partitions[f.TopicPartition]
	if p == nil {
		p = &sessionPartition{highWatermark: -1, logStartOffset: -1}
		s.partitions[f.TopicPartition] = p
		s.pushBack(p)
	}
	p.ask = f.Question()
	p.ask.Ref = p
	return p
}

func (s *fetchSession) forget(tp model.TopicPartition) {
	if p := s.partitions[tp]; p != nil {
		p.unlink()
		delete(s.partitions, tp)
	}
}

func (s *fetchSession) pushBack(p *sessionPartition) {
	p.prev, p.next = s.order.prev, &s.order
	p.prev.next, p.next.prev = p, p
}

func (p *sessionPartition) unlink() { p.prev.next, p.next.prev = p.next, p.prev }

// select marks which results are part of the answer to an incremental fetch,
// and remembers them as told. The error is that of a request that was
// overtaken by another of the same session.
func (s *fetchSession) selectResults(epoch int32, fetches []replica.Fetch, include []bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.epoch != nextEpoch(epoch) {
		return kerr.InvalidFetchSessionEpoch
	}
	for i := range fetches {
		p, ours := fetches[i].Ref.(*sessionPartition) // nobody has changed the session since
		if !ours {
			continue
		}
		p.ask.Remember(&fetches[i])
		if include[i] = p.tell(&fetches[i].Result); include[i] && fetches[i].Result.Records.Length > 0 {
			p.unlink()
			s.pushBack(p)
		}
	}
	return nil
}

// tell reports whether the result says anything new, and remembers what it
// says. After an error the partition is told again in any case.
func (p *sessionPartition) tell(r *replica.FetchResult) bool {
	fresh := r.Records.Length > 0 || r.Err != nil || r.Diverging != nil || r.Elsewhere ||
		p.highWatermark != r.HighWatermark || p.logStartOffset != r.LogStartOffset
	p.highWatermark, p.logStartOffset = r.HighWatermark, r.LogStartOffset
	if r.Err != nil {
		p.highWatermark = -1
	}
	return fresh
}
