package zkstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// Parts of ZooKeeper's protocol that the socket looks at.
const (
	opcodeCreate       = 1
	opcodeDelete       = 2
	opcodeGetData      = 4
	opcodeSetData      = 5
	opcodeGetACL       = 6
	opcodeGetChildren2 = 12
	opcodeCheck        = 13
	opcodeMulti        = 14
	opcodeSetWatches   = 101
	opcodeError        = -1

	maxSkipped = 256 << 20 // an answer longer than this is no answer

	statSize        = 68
	multiHeaderSize = 9 // type 4, done 1, error 4

	replyHeaderSize = 16 // xid 4, zxid 8, error 4
)

// socket is the connection that the client library sees. All that the
// library hides or leaves open passes here:
//
//   - read and write deadlines are clamped: the library waits ten times too
//     long for the answer to its connect request, and without limit for that
//     answer's body;
//   - the answer to the connect request is read for session id and
//     negotiated timeout, and a second session on the same Conn is refused;
//   - the time of the last frame is noted, for the expiry timer;
//   - a write that fails closes the connection, and the next read tells;
//   - frames are read whole and checked before the library decodes them,
//     because a negative length in them would end the process.
//
// Reads and writes come from one goroutine each, as net.Conn allows.
type socket struct {
	net.Conn
	session *session
	server  string

	// Only the reader uses these.
	ready   []byte // of the frame in hand, not yet taken by the library
	greeted bool   // the answer to the connect request was read

	wroteConnect bool // only the writer uses it

	// mu guards requests whose answers need a check.
	mu      sync.Mutex
	pending map[int32]int32 // xid to opcode
	closed  bool
}

func newSocket(s *session, conn net.Conn, server string) *socket {
	return &socket{Conn: conn, session: s, server: server, pending: map[int32]int32{}}
}

// Write passes one request on. The library writes each in one call.
func (c *socket) Write(b []byte) (int, error) {
	if !c.wroteConnect {
		c.wroteConnect = true
		if err := c.checkConnect(b); err != nil {
			return 0, err
		}
		return c.Conn.Write(b)
	}
	if len(b) >= 12 {
		xid, opcode := int32(binary.BigEndian.Uint32(b[4:])), int32(binary.BigEndian.Uint32(b[8:]))
		switch opcode {
		case opcodeGetData, opcodeGetACL, opcodeGetChildren2, opcodeMulti, opcodeSetWatches:
			c.mu.Lock()
			c.pending[xid] = opcode
			c.mu.Unlock()
		}
	}
	// The library answers a request that cannot be written at once, and again
	// when it gives up the connection; for a request that has waited for the
	// end of the session there is no room for that answer, and the library
	// would wait for ever. The closed connection fails the next read instead,
	// and every request in flight with it.
	if _, err := c.Conn.Write(b); err != nil {
		c.Conn.Close()
	}
	return len(b), nil
}

// checkConnect refuses to ask for a second session on one Conn. The request:
// length 4, protocol 4, last zxid 8, timeout 4, session id 8, password.
func (c *socket) checkConnect(b []byte) error {
	if len(b) < 28 {
		return fmt.Errorf("connect request of %d bytes", len(b))
	}
	asked := int64(binary.BigEndian.Uint64(b[20:]))
	if id, _ := c.session.identity(); asked != id {
		c.session.lose("the client library began another session")
		return ErrSessionExpired
	}
	return nil
}

// Read gives the library bytes of a frame that was read and checked whole.
func (c *socket) Read(b []byte) (int, error) {
	if len(c.ready) == 0 {
		frame, err := c.readFrame()
		if err != nil {
			c.explain(err)
			return 0, err
		}
		c.ready = frame
	}
	n := copy(b, c.ready)
	c.ready = c.ready[n:]
	return n, nil
}

func (c *socket) readFrame() ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(c.Conn, head[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(head[:])
	if size > maxFrame {
		return c.skipFrame(size)
	}
	frame := make([]byte, 4+size)
	copy(frame, head[:])
	if _, err := io.ReadFull(c.Conn, frame[4:]); err != nil {
		return nil, err
	}
	if !c.greeted {
		c.greeted = true
		return frame, c.readGreeting(frame[4:])
	}
	if err := c.checkReply(frame[4:]); err != nil {
		return nil, fmt.Errorf("answer of ZooKeeper server %s: %w", c.server, err)
	}
	c.session.heard()
	return frame, nil
}

// skipFrame reads over an answer that is too long, and puts an error in its
// place: dropping the connection would only bring the same answer again.
func (c *socket) skipFrame(size uint32) ([]byte, error) {
	if size > maxSkipped || !c.greeted {
		return nil, fmt.Errorf("frame of %d bytes from ZooKeeper server %s: more than %d", size, c.server, maxFrame)
	}
	frame := binary.BigEndian.AppendUint32(nil, replyHeaderSize)
	frame = append(frame, make([]byte, replyHeaderSize)...)
	if _, err := io.ReadFull(c.Conn, frame[4:]); err != nil {
		return nil, err
	}
	if _, err := io.CopyN(io.Discard, c.Conn, int64(size)-replyHeaderSize); err != nil {
		return nil, err
	}
	c.session.log.Errorf("An answer of server %s has %d bytes; more than %d are not read", c.server, size, maxFrame)
	marshalling := CodeMarshallingError
	binary.BigEndian.PutUint32(frame[4+12:], uint32(marshalling))
	c.session.heard()
	return frame, c.checkReply(frame[4:])
}

// readGreeting reads the answer to the connect request: protocol 4, timeout
// 4, session id 8, password with its length, and from 3.4 on one more byte.
// Session id 0 says that the session is expired.
func (c *socket) readGreeting(body []byte) error {
	if len(body) < 20 {
		return fmt.Errorf("connect response of %d bytes", len(body))
	}
	timeout := time.Duration(int32(binary.BigEndian.Uint32(body[4:]))) * time.Millisecond
	id := int64(binary.BigEndian.Uint64(body[8:]))
	password := int(int32(binary.BigEndian.Uint32(body[16:])))
	if password > len(body)-20 {
		return fmt.Errorf("connect response with a password of %d bytes", password)
	}
	if id == 0 {
		return nil // the library reports the expiry
	}
	if timeout <= 0 {
		return fmt.Errorf("connect response with a session timeout of %v", timeout)
	}
	c.session.established(id, timeout, c.server)
	return nil
}

// checkReply makes sure that the library can decode body without a panic or a
// huge allocation: there is a header, and the lengths in it are possible.
// Strings are checked by the library.
func (c *socket) checkReply(body []byte) error {
	if len(body) < replyHeaderSize {
		return fmt.Errorf("%d bytes, less than a header", len(body))
	}
	xid := int32(binary.BigEndian.Uint32(body))
	failed := binary.BigEndian.Uint32(body[12:]) != 0
	c.mu.Lock()
	opcode, known := c.pending[xid]
	delete(c.pending, xid)
	c.mu.Unlock()
	if !known {
		return nil
	}
	if opcode == opcodeSetWatches {
		if failed {
			return errors.New("watches not taken") // connect again, and send them again
		}
		if c.session.events.rewatched != nil {
			c.session.events.rewatched()
		}
		return nil
	}
	if failed {
		return nil
	}
	return checkAnswer(opcode, body[replyHeaderSize:])
}

func checkAnswer(opcode int32, rest []byte) error {
	if opcode == opcodeMulti {
		return checkMulti(rest)
	}
	if len(rest) < 4 {
		return errors.New("a length is missing")
	}
	n, most := int(int32(binary.BigEndian.Uint32(rest))), len(rest)-4
	if opcode == opcodeGetData {
		if n > most {
			return fmt.Errorf("data of %d bytes in %d", n, most)
		}
		return nil
	}
	// Each element of a list takes at least the four bytes of a length.
	if n < 0 || n > most/4 {
		return fmt.Errorf("a list of %d elements in %d bytes", n, most)
	}
	return nil
}

// checkMulti walks the answers of a multi up to the header that ends them.
func checkMulti(rest []byte) error {
	for {
		if len(rest) < multiHeaderSize {
			return errors.New("a multi without an end")
		}
		kind, done := int32(binary.BigEndian.Uint32(rest)), rest[4] != 0
		rest = rest[multiHeaderSize:]
		if done {
			return nil
		}
		size := 0
		switch kind {
		case opcodeCreate:
			if len(rest) < 4 {
				return errors.New("a length is missing in a multi")
			}
			size = 4 + int(binary.BigEndian.Uint32(rest))
		case opcodeSetData:
			size = statSize
		case opcodeError:
			size = 4
		case opcodeDelete, opcodeCheck:
		default:
			return fmt.Errorf("an answer of type %d in a multi", kind)
		}
		if size > len(rest) {
			return fmt.Errorf("an answer of %d bytes in %d of a multi", size, len(rest))
		}
		rest = rest[size:]
	}
}

// explain logs the end of a connection that had a session.
func (c *socket) explain(err error) {
	c.mu.Lock()
	closed := c.closed
	c.mu.Unlock()
	id, _ := c.session.identity()
	if closed || !c.greeted || id == 0 || c.session.currentState() != stateConnected {
		return
	}
	switch {
	case errors.Is(err, io.EOF):
		c.session.log.Infof("Unable to read additional data from server sessionid 0x%x, likely server has closed socket, closing socket connection and attempting reconnect", uint64(id))
	default:
		c.session.log.Warnf("Session 0x%x for server %s, unexpected error, closing socket connection and attempting reconnect: %v", uint64(id), c.server, err)
	}
}

// limit is how long one read or write may take: a third of the session
// timeout until the session stands, two thirds afterwards.
func (c *socket) limit() time.Duration {
	_, timeout := c.session.identity()
	if c.greeted {
		return timeout * 2 / 3
	}
	return timeout / 3
}

// clamp gives every deadline a bound. The library sets deadlines for reading
// from the reader's goroutine only, so that greeted is safe to look at.
func (c *socket) clamp(t time.Time) time.Time {
	latest := time.Now().Add(c.limit())
	if t.IsZero() || t.After(latest) {
		return latest
	}
	return t
}

// SetReadDeadline clamps; the zero time means the limit.
func (c *socket) SetReadDeadline(t time.Time) error { return c.Conn.SetReadDeadline(c.clamp(t)) }

// SetWriteDeadline clamps to two thirds of the session timeout. A zero time
// takes the deadline away, as there is no write without one before it.
func (c *socket) SetWriteDeadline(t time.Time) error {
	if t.IsZero() {
		return c.Conn.SetWriteDeadline(t)
	}
	_, timeout := c.session.identity()
	if latest := time.Now().Add(timeout * 2 / 3); t.After(latest) {
		t = latest
	}
	return c.Conn.SetWriteDeadline(t)
}

// Close is the library's.
func (c *socket) Close() error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	return c.Conn.Close()
}

// kill closes the connection from outside.
func (c *socket) kill() { c.Close() } //nolint:errcheck // the connection is given up
