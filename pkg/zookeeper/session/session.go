// Package session keeps a ZooKeeper server's sessions: their ids and
// passwords, their timeouts, and which of them have been silent for too long.
//
// A Tracker holds all sessions of a server. Time is given by the caller, as a
// duration since the server's start, so that the tracker itself is a plain
// state machine. Deadlines are rounded up to whole ticks; all sessions of one
// tick expire together (Expired), and a touch that stays within its tick
// costs nothing.
//
// The caller, server, holds its lock around every call. There is no goroutine
// and no lock here, and nothing of connections, nodes or the log.
package session

import (
	"sort"
	"time"
)

// Session is one session. Its fields are read by the caller and written only
// by the Tracker.
type Session struct {
	ID      int64
	Timeout time.Duration // as agreed with the present connection
	// StoredTimeout is the timeout as it was agreed when the session was
	// made, which is what log and snapshot hold.
	StoredTimeout time.Duration
	Closing       bool // expired or closed; its closeSession may not be on disk yet

	bucket int64 // the tick at which it expires
}

// Tracker is the sessions of a server. Not safe for concurrent use.
type Tracker struct {
	tick     time.Duration
	sessions map[int64]*Session
	buckets  map[int64]map[int64]*Session // by tick, then id

	lastID int64
}

// serverID is the number of a stand-alone server, in the high byte of the
// session ids it gives out.
const serverID = 1

// NewTracker returns a tracker without sessions. Ids start from wall, the
// present time, and above those of all sessions that are added, so that they
// do not repeat when a server restarts.
func NewTracker(tick time.Duration, wall time.Time) *Tracker {
	first := uint64(wall.UnixMilli()) << 24 >> 8
	return &Tracker{tick: tick, sessions: map[int64]*Session{}, buckets: map[int64]map[int64]*Session{},
		lastID: int64(first&^(0xff<<56) | serverID<<56)}
}

// Create makes a session with a new id.
func (t *Tracker) Create(now, timeout time.Duration) *Session {
	t.lastID++
	for t.sessions[t.lastID] != nil {
		t.lastID++
	}
	return t.Add(now, t.lastID, timeout)
}

// Add enters a session that has an id already: one of a former life of the
// server. Its time counts from now.
func (t *Tracker) Add(now time.Duration, id int64, timeout time.Duration) *Session {
	s := &Session{ID: id, Timeout: timeout, StoredTimeout: timeout, bucket: -1}
	t.sessions[id] = s
	t.Touch(now, s)
	return s
}

// Get returns a session, nil when there is none.
func (t *Tracker) Get(id int64) *Session { return t.sessions[id] }

// Resume gives the session the timeout of a new connection and touches it.
func (t *Tracker) Resume(now time.Duration, s *Session, timeout time.Duration) {
	s.Timeout = timeout
	t.Touch(now, s)
}

// Touch moves the session's deadline to its timeout from now, rounded up to
// the next tick. A deadline never moves back.
func (t *Tracker) Touch(now time.Duration, s *Session) {
	bucket := int64((now+s.Timeout)/t.tick) + 1
	if s.Closing || bucket <= s.bucket {
		return
	}
	t.leaveBucket(s)
	s.bucket = bucket
	if t.buckets[bucket] == nil {
		t.buckets[bucket] = map[int64]*Session{}
	}
	t.buckets[bucket][s.ID] = s
}

func (t *Tracker) leaveBucket(s *Session) {
	if b := t.buckets[s.bucket]; b != nil {
		delete(b, s.ID)
		if len(b) == 0 {
			delete(t.buckets, s.bucket)
		}
	}
}

// Expired returns the sessions whose deadline has passed, in the order of
// their ids, marked as closing. Each is returned once.
func (t *Tracker) Expired(now time.Duration) []*Session {
	last := int64(now / t.tick)
	var expired []*Session
	for bucket, sessions := range t.buckets {
		if bucket > last {
			continue
		}
		for _, s := range sessions {
			s.Closing = true
			expired = append(expired, s)
		}
		delete(t.buckets, bucket)
	}
	sort.Slice(expired, func(i, j int) bool { return expired[i].ID < expired[j].ID })
	return expired
}

// NextSweep is how long after now the next tick ends, which is when Expired
// should be asked again.
func (t *Tracker) NextSweep(now time.Duration) time.Duration {
	return (now/t.tick+1)*t.tick - now
}

// Remove forgets a session.
func (t *Tracker) Remove(id int64) {
	if s := t.sessions[id]; s != nil {
		t.leaveBucket(s)
		s.Closing = true
		delete(t.sessions, id)
	}
}

// Len is the number of sessions.
func (t *Tracker) Len() int { return len(t.sessions) }

// Timeouts returns every session with its stored timeout in ms.
func (t *Tracker) Timeouts() map[int64]int32 {
	timeouts := make(map[int64]int32, len(t.sessions))
	for id, s := range t.sessions {
		timeouts[id] = int32(s.StoredTimeout / time.Millisecond)
	}
	return timeouts
}

// passwordSalt is part of the protocol between servers of one data
// directory: a client may come back to another server with the password that
// this one gave it.
const passwordSalt = 0xB3415C00

// Password is the password of a session id: 16 bytes of the generator that
// ZooKeeper uses (the 48-bit linear congruential one), seeded with the id.
func Password(id int64) [16]byte {
	const multiplier, increment, mask = 0x5DEECE66D, 0xB, 1<<48 - 1
	state := ((uint64(id) ^ passwordSalt) ^ multiplier) & mask
	var password [16]byte
	for i := 0; i < len(password); i += 4 {
		state = (state*multiplier + increment) & mask
		word := uint32(state >> 16)
		for j := range 4 {
			password[i+j] = byte(word >> (8 * j))
		}
	}
	return password
}
