package server

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"gregor/pkg/zookeeper/jute"
	"gregor/pkg/zookeeper/session"
)

const (
	// handshakeTimeout: who has not asked for a session by then is closed.
	handshakeTimeout = 10 * time.Second
	// outboxMax: a client that leaves so much unread gets none of its
	// requests read.
	outboxMax = 1 << 20
	// frameKept: a longer frame's buffer is not kept for the next one.
	frameKept = 64 << 10
)

// conn is one client connection. The reader goroutine owns it and ends it.
type conn struct {
	s      *Server
	nc     net.Conn
	in     *bufio.Reader
	remote string // /127.0.0.1:49362
	ip     string
	out    outbox

	// The fields below are guarded by Server.mu.
	session  *session.Session // nil before the handshake
	ids      []jute.ID
	gone     bool // not in the server's tables any more
	finished bool // the last reply is on its way; nothing more is carried out
	stats    connStats
}

func newConn(s *Server, nc net.Conn) *conn {
	c := &conn{s: s, nc: nc, in: bufio.NewReader(nc), remote: "/" + nc.RemoteAddr().String()}
	c.ip, _, _ = net.SplitHostPort(nc.RemoteAddr().String())
	c.ids = []jute.ID{{Scheme: "ip", ID: c.ip}}
	c.out.changed = sync.NewCond(&c.out.mu)
	c.stats.established = time.Now()
	return c
}

// shut ends the connection at once. It may be called more than once.
func (c *conn) shut() {
	c.out.close()
	c.nc.Close()
}

// read is the reader goroutine.
func (c *conn) read(context.Context) error {
	defer c.shut()
	defer c.s.forget(c)
	if !c.handshake() {
		c.linger()
		return nil
	}
	var buf []byte
	for {
		frame, err := c.frame(buf)
		if err != nil {
			c.logEnd(err)
			return nil
		}
		if !c.out.awaitRoom() {
			return nil
		}
		if !c.s.handle(c, frame, time.Now()) {
			c.linger()
			return nil
		}
		if buf = frame; cap(buf) > frameKept {
			buf = nil
		}
	}
}

// linger waits until the last reply is sent, but not for ever.
func (c *conn) linger() {
	if err := c.nc.SetWriteDeadline(time.Now().Add(handshakeTimeout)); err == nil {
		c.out.awaitClosed()
	}
}

// frame reads the next frame, into buf if it is large enough.
func (c *conn) frame(buf []byte) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(c.in, head[:]); err != nil {
		return nil, err
	}
	return c.body(head, buf)
}

// lengthError is a frame length that no client may send.
type lengthError int32

func (e lengthError) Error() string { return fmt.Sprintf("Len error %d", int32(e)) }

func (c *conn) body(head [4]byte, buf []byte) ([]byte, error) {
	n := int32(binary.BigEndian.Uint32(head[:]))
	if n < 0 || int(n) > c.s.cfg.JuteMaxBuffer {
		return nil, lengthError(n)
	}
	if int(n) > cap(buf) {
		buf = make([]byte, n)
	}
	buf = buf[:n]
	_, err := io.ReadFull(c.in, buf)
	return buf, err
}

// logEnd says how a connection ended, unless the client closed its session
// first or the server closed the connection.
func (c *conn) logEnd(err error) {
	c.s.mu.Lock()
	id, quiet := c.sessionID(), c.finished || c.s.stopping
	c.s.mu.Unlock()
	if quiet || errors.Is(err, net.ErrClosed) {
		return
	}
	var length lengthError
	if errors.As(err, &length) {
		c.s.log.cnxn.Warnf("Exception causing close of session 0x%x: %v, from %s (jute.maxbuffer is %d)", uint64(id), length, c.remote, c.s.cfg.JuteMaxBuffer)
		return
	}
	c.s.log.cnxn.Warnf("Unable to read additional data from client sessionid 0x%x, likely client has closed socket", uint64(id))
}

// sessionID is 0 before the handshake. Server.mu must be held.
func (c *conn) sessionID() int64 {
	if c.session == nil {
		return 0
	}
	return c.session.ID
}

// write is the writer goroutine: it sends what the outbox has.
func (c *conn) write(context.Context) error {
	defer c.shut()
	for {
		b, ok := c.out.take()
		if !ok {
			return nil
		}
		if _, err := c.nc.Write(b); err != nil {
			return nil
		}
	}
}

// outbox is what is to be sent to a client. It is filled under Server.mu,
// never blocks there, and is bounded by the reader not reading on while it is
// full; watch events come on top of that, at most one for each watch.
type outbox struct {
	// mu guards the fields below. It comes after Server.mu.
	mu        sync.Mutex
	changed   *sync.Cond
	buf       []byte
	spare     []byte // the buffer that was sent last
	finishing bool   // close when buf is sent
	closed    bool
}

func (o *outbox) add(frame []byte) {
	o.mu.Lock()
	if !o.closed && !o.finishing {
		o.buf = append(o.buf, frame...)
		o.changed.Broadcast()
	}
	o.mu.Unlock()
}

// finish closes the outbox once what is in it is sent.
func (o *outbox) finish() {
	o.mu.Lock()
	o.finishing = true
	o.changed.Broadcast()
	o.mu.Unlock()
}

func (o *outbox) close() {
	o.mu.Lock()
	o.closed = true
	o.changed.Broadcast()
	o.mu.Unlock()
}

// take waits for something to send. The bytes are the caller's until the next
// take.
func (o *outbox) take() ([]byte, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.buf) == 0 && !o.closed && !o.finishing {
		o.changed.Wait()
	}
	if o.closed || len(o.buf) == 0 {
		return nil, false
	}
	b := o.buf
	if cap(o.spare) > frameKept {
		o.spare = nil
	}
	o.buf, o.spare = o.spare[:0], b
	o.changed.Broadcast()
	return b, true
}

// awaitRoom waits until the client has taken most of what it was sent.
func (o *outbox) awaitRoom() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.buf) > outboxMax && !o.closed {
		o.changed.Wait()
	}
	return !o.closed
}

// awaitClosed waits until the last byte is sent or cannot be.
func (o *outbox) awaitClosed() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for !o.closed {
		o.changed.Wait()
	}
}
