package zkstore

import (
	"testing"

	"github.com/go-zookeeper/zk"
	"github.com/stretchr/testify/require"
)

func TestParseConnect(t *testing.T) {
	for _, row := range []struct {
		connect, chroot, fails string
		servers                []string
	}{
		{connect: "localhost:2181", servers: []string{"localhost:2181"}},
		{connect: "a:1,b:2 , c", servers: []string{"a:1", "b:2", "c:2181"}},
		{connect: "a:1,b:2/kafka", servers: []string{"a:1", "b:2"}, chroot: "/kafka"},
		{connect: "a/ch/root", servers: []string{"a:2181"}, chroot: "/ch/root"},
		{connect: "a:1/", servers: []string{"a:1"}},
		{connect: "::1", servers: []string{"[::1]:2181"}},
		{connect: "[::1]", servers: []string{"[::1]:2181"}},
		{connect: "[::1]:99/x", servers: []string{"[::1]:99"}, chroot: "/x"},
		{connect: "", fails: "names no ZooKeeper server"},
		{connect: "/kafka", fails: "names no ZooKeeper server"},
		{connect: "a:x", fails: "is not a port"},
		{connect: "a:0", fails: "is not a port"},
		{connect: ":2181", fails: "has no host"},
		{connect: "a:1//b", fails: "empty node name"},
	} {
		t.Run(row.connect, func(t *testing.T) {
			servers, chroot, err := parseConnect(row.connect)
			if row.fails != "" {
				require.ErrorContains(t, err, row.fails)
				return
			}
			require.NoError(t, err)
			require.Equal(t, row.servers, servers)
			require.Equal(t, row.chroot, chroot)
		})
	}
}

func TestHostListGivesEveryServerThenPauses(t *testing.T) {
	h := newHostList([]string{"a:1", "b:1", "c:1"})
	seen := map[string]int{}
	for i := range 9 {
		server, pause := h.Next()
		seen[server]++
		require.Equal(t, i > 0 && i%3 == 0, pause, "attempt %d", i)
	}
	require.Equal(t, map[string]int{"a:1": 3, "b:1": 3, "c:1": 3}, seen)
	h.Connected()
	_, pause := h.Next()
	require.False(t, pause)
	require.Equal(t, 3, h.Len())
}

func TestHostListPausesWhenConnectionsDoNotLast(t *testing.T) {
	h := newHostList([]string{"a:1"})
	pauses := 0
	for range 5 * flapsMax {
		if _, pause := h.Next(); pause {
			pauses++
		}
		h.Connected()
	}
	require.Equal(t, 4, pauses)
}

func TestValidatePath(t *testing.T) {
	for path, reason := range map[string]string{
		"/": "", "/a": "", "/a/b.c/..d": "", "/ü": "",
		"": "length must be > 0", "a": "must start with /", "/a/": "must not end with /",
		"/a//b": "empty node name specified @3", "/a/./b": "relative paths not allowed @3", "/..": "relative paths not allowed @2",
		"/a\x00": "null character not allowed @2", "/a\x01": "invalid character @2",
	} {
		err := ValidatePath(path)
		if reason == "" {
			require.NoError(t, err, path)
		} else {
			require.ErrorContains(t, err, reason, path)
		}
	}
}

func TestSanitizeName(t *testing.T) {
	for plain, encoded := range map[string]string{
		"client-1": "client-1", "us er": "us%20er", "c/1": "c%2F1", "a*b+c": "a%2Ab%2Bc", "CN=x,O=y": "CN%3Dx%2CO%3Dy",
		"ü~": "%C3%BC%7E", "1.2.3.4": "1.2.3.4", "a_b": "a_b",
	} {
		require.Equal(t, encoded, SanitizeName(plain))
		back, err := DesanitizeName(encoded)
		require.NoError(t, err)
		require.Equal(t, plain, back)
	}
	_, err := DesanitizeName("%zz")
	require.Error(t, err)
}

func TestErrorsMatchByCode(t *testing.T) {
	err := error(&Error{Code: CodeNoNode, Path: "/x"})
	require.ErrorIs(t, err, ErrNoNode)
	require.NotErrorIs(t, err, ErrNodeExists)
	require.Equal(t, "KeeperErrorCode = NoNode for /x", err.Error())
	require.Equal(t, "org.apache.zookeeper.KeeperException$NoNodeException", (&Error{Code: CodeNoNode}).JavaClass())
	require.Equal(t, "KeeperErrorCode = Directory not empty for /x", (&Error{Code: CodeNotEmpty, Path: "/x"}).Error())
	require.Equal(t, "org.apache.zookeeper.KeeperException$NotEmptyException", (&Error{Code: CodeNotEmpty}).JavaClass())
}

func TestACLOfCreatedNodes(t *testing.T) {
	open, own := zk.WorldACL(zk.PermAll), zk.AuthACL(zk.PermAll)
	readable := append(zk.AuthACL(zk.PermAll), zk.WorldACL(zk.PermRead)...)
	secure, plain := &Store{opts: Options{SetACL: true}}, &Store{}
	for path, want := range map[string][]zk.ACL{
		"/consumers": open, "/consumers/g": open, "/brokers/topics/t": readable, "/config/users": own, "/config/users/u": own,
		"/config/brokers/1": own, "/delegation_token/tokens/x": own, "/config/topics/t": readable, "/consumersx": readable,
	} {
		require.Equal(t, want, secure.acl(path), path)
		require.Equal(t, open, plain.acl(path), path)
	}
}
