package zkstore_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gregor/pkg/zkstore"
)

func openRaw(t testing.TB, connect string) *zkstore.Raw {
	t.Helper()
	raw, err := zkstore.OpenRaw(zkstore.Options{Connect: connect}, func(zkstore.RawEvent) {})
	require.NoError(t, err)
	t.Cleanup(raw.Close)
	require.NoError(t, raw.AwaitConnected(ctx, 10*time.Second))
	return raw
}

func world() []zkstore.RawACL { return []zkstore.RawACL{{Perms: 31, Scheme: "world", ID: "anyone"}} }

// tree lists path and what is below it, in order, without /zookeeper.
func tree(t testing.TB, raw *zkstore.Raw, path string) []string {
	t.Helper()
	names, _, err := raw.Children(ctx, path, false)
	require.NoError(t, err)
	slices.Sort(names)
	paths := []string{path}
	for _, name := range names {
		if child := strings.TrimSuffix(path, "/") + "/" + name; child != "/zookeeper" {
			paths = append(paths, tree(t, raw, child)...)
		}
	}
	return paths
}

func TestRaw(t *testing.T) {
	zk := zookeeper(t)
	events := make(chan zkstore.RawEvent, 20)
	raw, err := zkstore.OpenRaw(zkstore.Options{Connect: zk.Addr()}, func(e zkstore.RawEvent) { events <- e })
	require.NoError(t, err)
	defer raw.Close()
	require.NoError(t, raw.AwaitConnected(ctx, 10*time.Second))
	require.Equal(t, zkstore.RawEvent{State: "SyncConnected", Type: "None"}, <-events)
	require.Equal(t, "CONNECTED", raw.State())
	require.NotZero(t, raw.SessionID())

	path, err := raw.Create(ctx, "/a", nil, 0, world())
	require.NoError(t, err)
	require.Equal(t, "/a", path)
	path, err = raw.Create(ctx, "/a/s-", []byte("x"), zkstore.FlagSequential, world())
	require.NoError(t, err)
	require.Equal(t, "/a/s-0000000000", path)
	data, _, err := raw.Get(ctx, "/a", true)
	require.NoError(t, err)
	require.Nil(t, data)
	_, err = raw.Set(ctx, "/a", []byte{}, -1)
	require.NoError(t, err)
	require.Equal(t, zkstore.RawEvent{State: "SyncConnected", Type: "NodeDataChanged", Path: "/a"}, <-events)
	data, stat, err := raw.Get(ctx, "/a", false)
	require.NoError(t, err)
	require.Equal(t, []byte{}, data)
	require.EqualValues(t, 1, stat.NumChildren)
	children, _, err := raw.Children(ctx, "/a", false)
	require.NoError(t, err)
	require.Equal(t, []string{"s-0000000000"}, children)
	require.ErrorIs(t, raw.Delete(ctx, "/a", -1), zkstore.ErrNotEmpty)
	_, err = raw.Stat(ctx, "/nope", true)
	require.ErrorIs(t, err, zkstore.ErrNoNode)
	_, err = raw.Create(ctx, "/nope", nil, zkstore.FlagEphemeral, world())
	require.NoError(t, err)
	require.Equal(t, zkstore.RawEvent{State: "SyncConnected", Type: "NodeCreated", Path: "/nope"}, <-events)

	require.NoError(t, raw.AddAuth(ctx, "digest", []byte("u:p")))
	_, err = raw.SetACL(ctx, "/a", []zkstore.RawACL{{Perms: 31, Scheme: "auth"}}, -1)
	require.NoError(t, err)
	acl, _, err := raw.GetACL(ctx, "/a")
	require.NoError(t, err)
	require.Equal(t, "digest", acl[0].Scheme)
	require.NoError(t, raw.Sync(ctx, "/"))
	_, _, err = openRaw(t, zk.Addr()).Get(ctx, "/a", false)
	require.ErrorIs(t, err, zkstore.ErrNoAuth)
	_, _, err = raw.GetACL(ctx, "/none")
	require.EqualError(t, err, "KeeperErrorCode = NoNode for /none")

	below := openRaw(t, zk.Addr()+"/nope")
	_, _, err = below.Get(ctx, "/x", false)
	require.EqualError(t, err, "KeeperErrorCode = NoNode for /x")
	raw.Close()
	_, _, err = raw.Get(ctx, "/a", false)
	require.ErrorIs(t, err, zkstore.ErrSessionExpired)
}

// Abandon leaves the session to its timeout, with its ephemeral nodes.
func TestRawAbandonKeepsEphemerals(t *testing.T) {
	zk := zookeeper(t)
	gone := openRaw(t, zk.Addr())
	_, err := gone.Create(ctx, "/e", nil, zkstore.FlagEphemeral, world())
	require.NoError(t, err)
	gone.Abandon() // and the test's end closes it, which waits for its goroutines
	left := openRaw(t, zk.Addr())
	require.Equal(t, []string{"/", "/e"}, tree(t, left, "/"))

	closed := openRaw(t, zk.Addr())
	_, err = closed.Create(ctx, "/e2", nil, zkstore.FlagEphemeral, world())
	require.NoError(t, err)
	closed.Close()
	require.Equal(t, []string{"/", "/e"}, tree(t, left, "/"))
}

func TestRawTimesOut(t *testing.T) {
	raw, err := zkstore.OpenRaw(zkstore.Options{Connect: "127.0.0.1:1"}, func(zkstore.RawEvent) {})
	require.NoError(t, err)
	defer raw.Close()
	require.EqualError(t, raw.AwaitConnected(ctx, 50*time.Millisecond), "Timed out waiting for connection while in state: CONNECTING")
	_, _, err = raw.Get(ctx, "/a", false)
	require.EqualError(t, err, "KeeperErrorCode = ConnectionLoss for /a")
}
