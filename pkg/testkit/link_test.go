package testkit

import (
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// request is the beginning of a request, as far as a link looks at it.
func request(clientID string) []byte {
	b := make([]byte, 12, 32)
	b = binary.BigEndian.AppendUint16(b, uint16(len(clientID)))
	return append(b, clientID...)
}

func TestLinkKnowsItsSources(t *testing.T) {
	for name, want := range map[string]int{"broker-12-fetcher-0": 12, "3": 3, "": Clients, "kgo": Clients, "broker-x-fetcher-0": Clients, "broker-1": Clients, "-1": Clients} {
		require.Equal(t, want, sourceOf(request(name)), name)
	}
	require.Equal(t, Clients, sourceOf(nil))
	require.Equal(t, Clients, sourceOf(request("abc")[:15]))
	absent := request("")
	absent[12], absent[13] = 0xff, 0xff
	require.Equal(t, Clients, sourceOf(absent))
}

// echo is a server that sends back what it gets.
func echo(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = io.Copy(conn, conn)
			}()
		}
	}()
	return l.Addr().String()
}

type caller struct {
	t    *testing.T
	conn net.Conn
	text []byte
}

func call(t *testing.T, l *Link, clientID string) *caller {
	t.Helper()
	conn, err := net.Dial("tcp", l.Address)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	return &caller{t, conn, request(clientID)}
}

func (c *caller) send() {
	c.t.Helper()
	_, err := c.conn.Write(c.text)
	require.NoError(c.t, err)
}

// hears reports whether the answer comes within a time.
func (c *caller) hears(within time.Duration) bool {
	c.t.Helper()
	require.NoError(c.t, c.conn.SetReadDeadline(time.Now().Add(within)))
	got := make([]byte, len(c.text))
	_, err := io.ReadFull(c.conn, got)
	if err == nil {
		require.Equal(c.t, c.text, got)
	}
	return err == nil
}

func TestLinkHoldsAndCutsBySource(t *testing.T) {
	l := NewLink(t, echo(t))
	one, two := call(t, l, "broker-1-fetcher-0"), call(t, l, "2")
	for _, c := range []*caller{one, two} {
		c.send()
		require.True(t, c.hears(10*time.Second))
	}
	for _, p := range []Passage{Held, AnswersHeld} {
		l.Let(1, p)
		one.send()
		two.send()
		require.True(t, two.hears(10*time.Second))
		require.False(t, one.hears(50*time.Millisecond))
		l.Let(1, Open)
		require.True(t, one.hears(10*time.Second), "what was held comes")
	}
	l.Let(1, Closed)
	require.False(t, one.hears(10*time.Second), "the connection is broken")
	two.send()
	require.True(t, two.hears(10*time.Second))
	again := call(t, l, "1")
	again.send()
	require.False(t, again.hears(10*time.Second), "and new ones are")
	l.Let(Anybody, Closed)
	require.False(t, two.hears(10*time.Second))
	l.Down()
	_, err := net.Dial("tcp", l.Address)
	require.Error(t, err)
	l.Mend()
	again = call(t, l, "1")
	again.send()
	require.True(t, again.hears(10*time.Second))
}
