package server

import (
	"context"
	"time"
)

// expireSessions is the expirer: at the end of every tick it ends the
// sessions that have been silent for too long.
func (s *Server) expireSessions(ctx context.Context) error {
	timer := time.NewTimer(s.sessions.NextSweep(s.now()))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		timer.Reset(s.sweep())
	}
}

// sweep ends the sessions whose time is over and says when to come again.
func (s *Server) sweep() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if s.stopping {
		return s.sessions.NextSweep(now)
	}
	for _, sess := range s.sessions.Expired(now) {
		s.log.server.Infof("Expiring session 0x%x, timeout of %dms exceeded", uint64(sess.ID), sess.Timeout.Milliseconds())
		if c := s.owners[sess.ID]; c != nil {
			c.finished = true
			s.watches.RemoveAll(c)
			c.shut()
		}
		s.endSession(sess.ID, 0)
	}
	return s.sessions.NextSweep(now)
}
