package testkit

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"gregor/pkg/lifecycle"
)

// Link is a way to a server that can be cut: connections through it break,
// and new ones are closed at once until it is mended.
type Link struct {
	Address string

	t     testing.TB
	to    string
	group *lifecycle.Group

	mu       sync.Mutex
	listener net.Listener // nil while the link is down
	cut      bool
	conns    map[net.Conn]bool
}

// NewLink makes a link to an address; it ends with the test.
func NewLink(t testing.TB, to string) *Link {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l := &Link{t: t, Address: listener.Addr().String(), to: to, listener: listener, group: lifecycle.NewGroup(context.Background()), conns: map[net.Conn]bool{}}
	l.group.Go("accept", func(context.Context) error { return l.accept(listener) })
	t.Cleanup(func() {
		l.Down()
		require.NoError(t, l.group.Close())
	})
	return l
}

// Cut breaks everything that goes through the link.
func (l *Link) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = true
	for conn := range l.conns {
		conn.Close()
	}
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

// Mend lets connections through again.
func (l *Link) Mend() {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = false
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
		l.group.Go("forward", func(context.Context) error {
			l.forward(near)
			return nil
		})
	}
}

func (l *Link) forward(near net.Conn) {
	defer near.Close()
	if !l.enter(near) {
		return
	}
	defer l.leave(near)
	far, err := net.Dial("tcp", l.to)
	if err != nil {
		return
	}
	defer far.Close()
	if !l.enter(far) {
		return
	}
	defer l.leave(far)
	both := lifecycle.NewGroup(context.Background())
	both.Go("back", func(context.Context) error {
		_, _ = io.Copy(near, far) // how it ended does not matter
		near.Close()
		return nil
	})
	_, _ = io.Copy(far, near)
	far.Close()
	both.Close() //nolint:errcheck // its goroutine returns none
}

func (l *Link) enter(conn net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut {
		return false
	}
	l.conns[conn] = true
	return true
}

func (l *Link) leave(conn net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, conn)
}
