package server

import (
	"context"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

type quiet struct{}

func (quiet) Printf(string, ...any) {}

// start runs a server for the test; it checks that nothing is left running.
func start(t *testing.T, change ...func(*Config)) *Server {
	t.Helper()
	s := startIn(t, t.TempDir(), change...)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func startIn(t *testing.T, dir string, change ...func(*Config)) *Server {
	t.Helper()
	cfg := Config{DataDir: dir, ClientPortAddress: "127.0.0.1", TickTime: 100 * time.Millisecond, MaxSessionTimeout: time.Minute}
	for _, f := range change {
		f(&cfg)
	}
	s, err := Start(context.Background(), cfg)
	require.NoError(t, err)
	return s
}

// dial connects go-zookeeper/zk, another program's idea of the protocol.
func dial(t *testing.T, s *Server) *zk.Conn {
	t.Helper()
	conn, events, err := zk.Connect([]string{s.Addr()}, 10*time.Second, zk.WithLogger(quiet{}))
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	deadline := time.After(10 * time.Second)
	for {
		select {
		case ev := <-events:
			if ev.State == zk.StateHasSession {
				return conn
			}
		case <-deadline:
			t.Fatal("no session")
		}
	}
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func next(t *testing.T, events <-chan zk.Event) zk.Event {
	t.Helper()
	select {
	case ev := <-events:
		return ev
	case <-time.After(10 * time.Second):
		t.Fatal("no event")
		return zk.Event{}
	}
}

func TestConversation(t *testing.T) {
	s := start(t)
	a, b := dial(t, s), dial(t, s)
	open := zk.WorldACL(zk.PermAll)

	path, err := a.Create("/a", nil, 0, open)
	require.NoError(t, err)
	require.Equal(t, "/a", path)
	_, err = a.Create("/a", nil, 0, open)
	require.ErrorIs(t, err, zk.ErrNodeExists)

	data, stat, changed, err := b.GetW("/a")
	require.NoError(t, err)
	require.Empty(t, data)
	require.EqualValues(t, 0, stat.Version)
	_, err = a.Set("/a", []byte("x"), 0)
	require.NoError(t, err)
	require.Equal(t, zk.EventNodeDataChanged, next(t, changed).Type)
	_, err = a.Set("/a", []byte("x"), 0)
	require.ErrorIs(t, err, zk.ErrBadVersion)

	_, _, children, err := b.ChildrenW("/a")
	require.NoError(t, err)
	for i, want := range []string{"/a/n0000000000", "/a/n0000000001"} {
		path, err := a.Create("/a/n", nil, zk.FlagSequence, open)
		require.NoError(t, err, i)
		require.Equal(t, want, path)
	}
	require.Equal(t, zk.EventNodeChildrenChanged, next(t, children).Type)
	require.ErrorIs(t, a.Delete("/a", -1), zk.ErrNotEmpty)

	found, _, gone, err := b.ExistsW("/e")
	require.NoError(t, err)
	require.False(t, found)
	_, err = a.Create("/e", nil, zk.FlagEphemeral, open)
	require.NoError(t, err)
	require.Equal(t, zk.EventNodeCreated, next(t, gone).Type)
	_, _, gone, err = b.ExistsW("/e")
	require.NoError(t, err)
	a.Close()
	require.Equal(t, zk.EventNodeDeleted, next(t, gone).Type)
}

func TestMulti(t *testing.T) {
	s := start(t)
	c := dial(t, s)
	open := zk.WorldACL(zk.PermAll)
	// How a Kafka broker registers.
	results, err := c.Multi(&zk.CreateRequest{Path: "/id", Flags: zk.FlagEphemeral, Acl: open}, &zk.SetDataRequest{Path: "/id", Data: []byte("json"), Version: 0})
	require.NoError(t, err)
	stat := results[1].Stat
	require.Equal(t, stat.Czxid, stat.Mzxid)
	require.EqualValues(t, 1, stat.Version)
	require.Equal(t, c.SessionID(), stat.EphemeralOwner)

	results, err = c.Multi(&zk.CreateRequest{Path: "/x", Acl: open}, &zk.CheckVersionRequest{Path: "/id", Version: 99}, &zk.DeleteRequest{Path: "/id", Version: -1})
	require.Error(t, err)
	require.NoError(t, results[0].Error)
	require.ErrorIs(t, results[1].Error, zk.ErrBadVersion)
	found, _, err := c.Exists("/x")
	require.NoError(t, err)
	require.False(t, found, "nothing of a failed multi is there")
}

func TestRestartKeepsEverything(t *testing.T) {
	dir := t.TempDir()
	s := startIn(t, dir)
	c := dial(t, s)
	_, err := c.Create("/kept", []byte("v"), 0, zk.WorldACL(zk.PermAll))
	require.NoError(t, err)
	require.NoError(t, s.Close())

	s = startIn(t, dir)
	d := dial(t, s)
	data, _, err := d.Get("/kept")
	require.NoError(t, err)
	require.Equal(t, "v", string(data))
	c.Close()
	d.Close()
	require.NoError(t, s.Close())
}
