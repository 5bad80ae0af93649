package testkit

import (
	"context"
	"encoding/binary"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"gregor/pkg/lifecycle"
)

// Passage says what a link does with what comes along.
type Passage int

const (
	// Open lets everything through.
	Open Passage = iota
	// Closed breaks connections, and closes new ones at once.
	Closed
	// Held keeps what comes, in both directions, until the link is open again
	// and then delivers it, however old it has become.
	Held
	// AnswersHeld keeps only what comes back: requests are carried out, and
	// nobody hears of it.
	AnswersHeld
)

// Anybody stands for all who use a link, Clients for all who are no broker.
const (
	Anybody = -1
	Clients = -2
)

// Link is a way to a server on which faults happen. Brokers are told apart by
// the client id of their first request, so that the way from one of them can
// be bad while the others' is good.
type Link struct {
	Address string

	t     testing.TB
	to    string
	group *lifecycle.Group

	mu       sync.Mutex
	changed  *sync.Cond
	listener net.Listener // nil while the link is down
	passage  map[int]Passage
	conns    map[*linkConn]bool
	ended    bool
}

// linkConn is a connection through a link. Its source is guarded by Link.mu.
type linkConn struct {
	near, far net.Conn
	source    int // a broker's id, or Clients
}

// NewLink makes a link to an address; it ends with the test.
func NewLink(t testing.TB, to string) *Link {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l := &Link{t: t, Address: listener.Addr().String(), to: to, listener: listener, group: lifecycle.NewGroup(context.Background()),
		passage: map[int]Passage{}, conns: map[*linkConn]bool{}}
	l.changed = sync.NewCond(&l.mu)
	l.group.Go("accept", func(context.Context) error { return l.accept(listener) })
	t.Cleanup(func() {
		l.Down()
		l.mu.Lock()
		l.ended = true
		l.changed.Broadcast()
		l.mu.Unlock()
		require.NoError(t, l.group.Close())
	})
	return l
}

// Cut breaks everything that goes through the link.
func (l *Link) Cut() { l.Let(Anybody, Closed) }

// Let sets what happens to what comes from a source, until it is set again.
// The worse of Anybody's passage and the source's own counts.
func (l *Link) Let(source int, p Passage) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.passage[source] = p
	l.changed.Broadcast()
	for c := range l.conns {
		if l.passageLocked(c.source) == Closed {
			c.close()
		}
	}
}

func (l *Link) passageLocked(source int) Passage {
	if l.passage[Anybody] != Open {
		return l.passage[Anybody]
	}
	return l.passage[source]
}

// Down is Cut with nobody there: new connections are refused.
func (l *Link) Down() {
	l.Cut()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.listener != nil {
		l.listener.Close()
		l.listener = nil
	}
}

// Mend lets everything through again.
func (l *Link) Mend() {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.passage)
	l.changed.Broadcast()
	if l.listener != nil {
		return
	}
	listener, err := net.Listen("tcp", l.Address)
	require.NoError(l.t, err)
	l.listener = listener
	l.group.Go("accept", func(context.Context) error { return l.accept(listener) })
}

func (l *Link) accept(listener net.Listener) error {
	for {
		near, err := listener.Accept()
		if err != nil {
			return nil // the link is down
		}
		if !l.group.Go("forward", func(context.Context) error {
			l.forward(near)
			return nil
		}) {
			near.Close()
		}
	}
}

func (l *Link) forward(near net.Conn) {
	c := &linkConn{near: near, source: Clients}
	defer near.Close()
	far, err := net.Dial("tcp", l.to)
	if err != nil {
		return
	}
	c.far = far
	defer far.Close()
	if !l.enter(c) {
		return
	}
	defer l.leave(c)
	back := lifecycle.NewGroup(context.Background())
	back.Go("back", func(context.Context) error {
		l.carry(c, far, near, true)
		return nil
	})
	l.carry(c, near, far, false)
	back.Close() //nolint:errcheck // its goroutine returns none
}

// carry moves bytes in one direction until the connection ends.
func (l *Link) carry(c *linkConn, from, to net.Conn, answers bool) {
	defer c.close()
	buf := make([]byte, 64<<10)
	for first := !answers; ; first = false {
		n, err := from.Read(buf)
		if n > 0 {
			if first {
				l.identify(c, buf[:n])
			}
			if !l.pass(c, answers) {
				return
			}
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// pass waits while the passage is held, and reports whether it is open.
func (l *Link) pass(c *linkConn, answers bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for !l.ended && l.conns[c] {
		switch p := l.passageLocked(c.source); {
		case p == Closed:
			return false
		case p == Held, p == AnswersHeld && answers:
			l.changed.Wait()
		default:
			return true
		}
	}
	return false
}

func (l *Link) identify(c *linkConn, chunk []byte) {
	source := sourceOf(chunk)
	l.mu.Lock()
	defer l.mu.Unlock()
	c.source = source
}

// sourceOf tells who sent a first request. Brokers call themselves by their
// id when they are the controller or write to it, and broker-N-fetcher-M.
func sourceOf(request []byte) int {
	const header = 4 + 2 + 2 + 4 // length, key, version, correlation id
	if len(request) < header+2 {
		return Clients
	}
	n := int(int16(binary.BigEndian.Uint16(request[header:])))
	if n <= 0 || len(request) < header+2+n {
		return Clients
	}
	name := string(request[header+2:][:n])
	if rest, ok := strings.CutPrefix(name, "broker-"); ok {
		name, _, ok = strings.Cut(rest, "-fetcher-")
		if !ok {
			return Clients
		}
	}
	id, err := strconv.Atoi(name)
	if err != nil || id < 0 {
		return Clients
	}
	return id
}

func (l *Link) enter(c *linkConn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended || l.passageLocked(c.source) == Closed {
		return false
	}
	l.conns[c] = true
	return true
}

func (l *Link) leave(c *linkConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
}

// close ends both ends; the other direction's reading ends with it. What is
// held for it stays held until Let wakes it.
func (c *linkConn) close() {
	c.near.Close()
	c.far.Close()
}
