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

	to       string
	listener net.Listener
	group    *lifecycle.Group

	mu    sync.Mutex
	cut   bool
	conns map[net.Conn]bool
}

// NewLink makes a link to an address; it ends with the test.
func NewLink(t testing.TB, to string) *Link {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l := &Link{Address: listener.Addr().String(), to: to, listener: listener, group: lifecycle.NewGroup(context.Background()), conns: map[net.Conn]bool{}}
	l.group.Go("accept", l.accept)
	t.Cleanup(func() {
		listener.Close()
		l.Cut()
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

// Mend lets connections through again.
func (l *Link) Mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = false
}

func (l *Link) accept(context.Context) error {
	for {
		near, err := l.listener.Accept()
		if err != nil {
			return nil // the test is over
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
