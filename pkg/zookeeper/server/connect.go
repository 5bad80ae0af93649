package server

import (
	"errors"
	"io"
	"time"

	"gregor/pkg/zookeeper/jute"
	"gregor/pkg/zookeeper/session"
)

// handshake reads the first frame, or a four-letter word in its place, and
// reports whether the connection has a session then. When it has none, the
// outbox is finished or will be.
func (c *conn) handshake() bool {
	r := c.connectRequest()
	if r == nil {
		c.out.finish()
		return false
	}
	return c.s.connect(c, r)
}

// connectRequest reads the connect request; nil when the first bytes are
// something else.
func (c *conn) connectRequest() *jute.ConnectRequest {
	if err := c.nc.SetReadDeadline(time.Now().Add(handshakeTimeout)); err != nil {
		return nil
	}
	var head [4]byte
	if _, err := io.ReadFull(c.in, head[:]); err != nil {
		return nil
	}
	if c.fourLetterWord(string(head[:])) {
		return nil
	}
	if name := foreignHead(head); name != "" {
		c.logForeign(name)
		return nil
	}
	body, err := c.body(head, nil)
	if err != nil {
		var length lengthError
		if errors.As(err, &length) {
			c.logEnd(err)
		}
		return nil
	}
	var r jute.ConnectRequest
	if err := r.Decode(jute.NewDecoder(body)); err != nil || r.ProtocolVersion != 0 {
		c.logForeign(foreignBody(body))
		return nil
	}
	if err := c.nc.SetReadDeadline(time.Time{}); err != nil {
		return nil
	}
	return &r
}

// connect opens or resumes a session and sends the response. It reports
// whether the connection has a session.
func (s *Server) connect(c *conn, r *jute.ConnectRequest) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		c.out.finish()
		return false
	}
	c.received()
	if r.LastZxidSeen > s.zxid {
		s.log.server.Infof("Refusing session request for client %s as it has seen zxid 0x%x our last zxid is 0x%x client must try another server",
			c.remote, uint64(r.LastZxidSeen), uint64(s.zxid))
		c.out.finish()
		return false
	}
	timeout := time.Duration(r.Timeout) * time.Millisecond
	timeout = min(max(timeout, s.cfg.MinSessionTimeout), s.cfg.MaxSessionTimeout)
	sess := s.openSession(c, r, timeout)
	resp := jute.ConnectResponse{WithReadOnly: r.HasReadOnly}
	if sess != nil {
		c.session = sess
		s.owners[sess.ID] = c
		resp.Timeout, resp.SessionID = int32(timeout/time.Millisecond), sess.ID
		resp.Password = session.Password(sess.ID)
	} else {
		c.finished = true
	}
	var e frame
	e.begin()
	resp.Encode(&e.Encoder)
	s.send(output{c: c, frame: e.end(), started: time.Now(), last: sess == nil})
	return sess != nil
}

// openSession makes or finds the session that the request asks for; nil
// refuses it. A wrong password leaves the session's present owner alone.
func (s *Server) openSession(c *conn, r *jute.ConnectRequest, timeout time.Duration) *session.Session {
	c.stats.lastOp = jute.OpCreateSession
	if r.SessionID == 0 {
		sess := s.sessions.Create(s.now(), timeout)
		s.commit(&jute.Txn{SessionID: sess.ID, Op: jute.OpCreateSession,
			Body: &jute.CreateSessionTxn{Timeout: int32(timeout / time.Millisecond)}})
		return sess
	}
	sess := s.sessions.Get(r.SessionID)
	password := session.Password(r.SessionID)
	if sess == nil || sess.Closing || string(r.Password) != string(password[:]) {
		return nil
	}
	if former := s.owners[sess.ID]; former != nil {
		former.finished = true
		s.watches.RemoveAll(former)
		former.shut()
	}
	s.sessions.Resume(s.now(), sess, timeout)
	return sess
}
