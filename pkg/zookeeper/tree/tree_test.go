package tree

import (
	"testing"

	"github.com/stretchr/testify/require"

	"gregor/pkg/zookeeper/jute"
)

var openList = []jute.ACL{{Perms: jute.PermAll, ID: anyone}}

// rig is a tree with a running zxid.
type rig struct {
	*Tree
	zxid int64
}

func newRig() *rig { return &rig{Tree: New()} }

func (r *rig) apply(op jute.Op, body jute.TxnBody) []Event {
	r.zxid++
	return r.Apply(&jute.Txn{SessionID: 7, Zxid: r.zxid, Time: 1000 + r.zxid, Op: op, Body: body})
}

// create runs a create through both steps.
func (r *rig) create(path string, flags int32, data ...byte) (string, jute.Code) {
	body, code := r.PrepareCreate(&Caller{Session: 7}, &jute.CreateRequest{Path: path, Data: data, ACL: openList, Flags: flags})
	if code != jute.OK {
		return "", code
	}
	r.apply(jute.OpCreate, body)
	return body.Path, jute.OK
}

func (r *rig) delete(path string, version int32) jute.Code {
	body, code := r.PrepareDelete(&Caller{Session: 7}, &jute.PathVersionRequest{Path: path, Version: version})
	if code == jute.OK {
		r.apply(jute.OpDelete, body)
	}
	return code
}

func TestDigestsOfApache(t *testing.T) {
	tr := New()
	require.EqualValues(t, 0x51C6D660, tr.Digest(), "the empty tree")
	tr.Apply(&jute.Txn{SessionID: 0x0100001288e70000, Cxid: 1, Zxid: 5, Time: 0x1a1f6ef5178, Op: jute.OpCreate,
		Body: &jute.CreateTxn{Path: "/a", ACL: openList, ParentCVersion: 1}})
	require.EqualValues(t, 0xd08bca88, tr.Digest(), "after create /a")
}

func TestReservedNodes(t *testing.T) {
	tr := New()
	require.Equal(t, []string{"zookeeper"}, tr.Children("/"))
	require.Equal(t, []string{"config", "quota"}, tr.Children("/zookeeper"))
	require.EqualValues(t, -1, tr.Get("/zookeeper/config").Aversion)
	require.Same(t, tr.Get("/"), tr.Get(""), "the empty path is the root")
	require.Equal(t, 4, tr.Count())
}

func TestCreateErrorsInOrder(t *testing.T) {
	r := newRig()
	r.create("/a", 0)
	r.create("/e", jute.FlagEphemeral)
	for _, row := range []struct {
		path  string
		flags int32
		acl   []jute.ACL
		want  jute.Code
	}{
		{"q", 0, openList, jute.BadArguments},
		{"/q/", 0, openList, jute.NoNode},
		{"/a/..", 0, openList, jute.BadArguments},
		{"/a/b\x01", 0, openList, jute.BadArguments},
		{"/a/\uf8ff", 0, openList, jute.BadArguments},
		{"/", 0, openList, jute.NodeExists},
		{"/a", 0, openList, jute.NodeExists},
		{"/b", 0, nil, jute.InvalidACL},
		{"/none/b", 0, nil, jute.InvalidACL},
		{"/none/b", 0, openList, jute.NoNode},
		{"/e/b", 0, openList, jute.NoChildrenForEphemerals},
		{"/b", 7, openList, jute.BadArguments},
		{"/b", -1, openList, jute.BadArguments},
		{"/b", jute.FlagContainer, openList, jute.Unimplemented},
		{"/b", jute.FlagTTL, openList, jute.Unimplemented},
		{"/b", 0, []jute.ACL{{Perms: 1, ID: jute.ID{Scheme: "nobody", ID: "x"}}}, jute.InvalidACL},
		{"/b", 0, []jute.ACL{{Perms: 1, ID: jute.ID{Scheme: "world", ID: "x"}}}, jute.InvalidACL},
		{"/b", 0, []jute.ACL{{Perms: 1, ID: jute.ID{Scheme: "auth"}}}, jute.InvalidACL},
		{"/b", 0, []jute.ACL{{Perms: 1, ID: jute.ID{Scheme: "ip", ID: "1.2.3.4/33"}}}, jute.InvalidACL},
	} {
		_, code := r.PrepareCreate(&Caller{}, &jute.CreateRequest{Path: row.path, ACL: row.acl, Flags: row.flags})
		require.Equal(t, row.want, code, "%q flags %d", row.path, row.flags)
	}
}

func TestSequenceNumbersCountCreations(t *testing.T) {
	r := newRig()
	r.create("/p", 0)
	for _, step := range []struct {
		path  string
		flags int32
		want  string
	}{
		{"/p/x", 0, "/p/x"},
		{"/p/n", jute.FlagSequential, "/p/n0000000001"},
		{"/p/", jute.FlagSequential, "/p/0000000002"},
		{"/p/n", jute.FlagSequential | jute.FlagEphemeral, "/p/n0000000003"},
	} {
		got, code := r.create(step.path, step.flags)
		require.Equal(t, jute.OK, code)
		require.Equal(t, step.want, got)
	}
	require.Equal(t, jute.OK, r.delete("/p/n0000000003", -1))
	got, _ := r.create("/p/n", jute.FlagSequential)
	require.Equal(t, "/p/n0000000004", got, "numbers do not come back")
	require.EqualValues(t, 5*2-4, r.Get("/p").Stat().Cversion, "clients see creations and deletions")
}

func TestStats(t *testing.T) {
	r := newRig()
	r.create("/a", 0, 'x')
	body, code := r.PrepareSetData(&Caller{}, &jute.SetDataRequest{Path: "/a", Data: nil, Version: 0})
	require.Equal(t, jute.OK, code)
	r.apply(jute.OpSetData, body)
	acl, code := r.PrepareSetACL(&Caller{}, &jute.SetACLRequest{Path: "/a", ACL: []jute.ACL{{Perms: 31, ID: anyone}, {Perms: 31, ID: anyone}}, Version: 0})
	require.Equal(t, jute.OK, code)
	r.apply(jute.OpSetACL, acl)
	r.create("/a/b", jute.FlagEphemeral)
	require.Equal(t, jute.Stat{Czxid: 1, Mzxid: 2, Pzxid: 4, Ctime: 1001, Mtime: 1002, Version: 1, Cversion: 1, Aversion: 1, NumChildren: 1}, r.Get("/a").Stat())
	require.Len(t, r.Get("/a").ACL.List(), 1, "entries are not kept twice")
	require.EqualValues(t, 7, r.Get("/a/b").Stat().EphemeralOwner)
	require.Nil(t, r.Get("/a").Data)

	_, code = r.PrepareSetData(&Caller{}, &jute.SetDataRequest{Path: "/a", Version: 0})
	require.Equal(t, jute.BadVersion, code)
	require.Equal(t, jute.NotEmpty, r.delete("/a", 1))
	require.Equal(t, jute.BadVersion, r.delete("/a/b", 1))
	require.Equal(t, jute.BadArguments, r.delete("/zookeeper", -1))
	require.Equal(t, jute.NoNode, r.delete("/none", -1))
	require.Equal(t, jute.OK, r.delete("/a/b", 0))
	require.EqualValues(t, 5, r.Get("/a").Pzxid)
}

func TestCloseSessionTakesItsNodesAlong(t *testing.T) {
	r := newRig()
	r.create("/e1", jute.FlagEphemeral)
	r.create("/e2", jute.FlagEphemeral)
	r.create("/kept", 0)
	require.Equal(t, []string{"/e1", "/e2"}, r.Ephemerals(7))
	events := r.apply(jute.OpCloseSession, &jute.CloseSessionTxn{Paths: []string{"/e1"}})
	require.Equal(t, []Event{
		{jute.NodeDeleted, "/e1", OpenACL}, {jute.NodeChildrenChanged, "/", OpenACL},
		{jute.NodeDeleted, "/e2", OpenACL}, {jute.NodeChildrenChanged, "/", OpenACL},
	}, events)
	require.Equal(t, []string{"kept", "zookeeper"}, r.Children("/"))
	require.Zero(t, r.EphemeralCount())
}

// What a log can hold that the snapshot before it has already.
func TestReplayIsIdempotent(t *testing.T) {
	r := newRig()
	create := &jute.CreateTxn{Path: "/a", ACL: openList, ParentCVersion: 1}
	r.apply(jute.OpCreate, create)
	r.apply(jute.OpSetData, &jute.SetDataTxn{Path: "/a", Data: []byte("x"), Version: 1})
	before := r.Get("/").Stat()
	require.Empty(t, r.apply(jute.OpCreate, create))
	require.Equal(t, before, r.Get("/").Stat())
	require.Equal(t, "x", string(r.Get("/a").Data))
	for _, body := range []jute.TxnBody{
		&jute.DeleteTxn{Path: "/none"}, &jute.DeleteTxn{Path: "/none/x"}, &jute.DeleteTxn{Path: "/"}, &jute.SetDataTxn{Path: "/none"},
		&jute.SetACLTxn{Path: "/none"}, &jute.CreateTxn{Path: "/none/x"}, &jute.CreateTxn{Path: "/"}, &jute.ErrorTxn{}, nil,
		&jute.MultiTxn{Txns: []jute.SubTxn{{Op: jute.OpDelete, Body: &jute.DeleteTxn{Path: "/a"}}, {Op: jute.OpError, Body: &jute.ErrorTxn{}}}},
	} {
		require.Empty(t, r.apply(jute.OpCreate, body), "%+v", body)
	}
	require.NotNil(t, r.Get("/a"), "a failed multi changes nothing")
}

func TestContainersAndTTLNodesOfApacheAreKept(t *testing.T) {
	r := newRig()
	r.apply(jute.OpCreateContainer, &jute.CreateTxn{Path: "/c", ACL: openList, ParentCVersion: 1})
	r.apply(jute.OpCreateTTL, &jute.CreateTxn{Path: "/t", ACL: openList, ParentCVersion: 2, TTL: 5000})
	require.Zero(t, r.Get("/c").Stat().EphemeralOwner)
	require.Zero(t, r.Get("/t").Stat().EphemeralOwner)
	require.EqualValues(t, uint64(0xff)<<56|5000, uint64(r.Get("/t").Owner))
	require.Empty(t, r.EphemeralOwners())
	r.apply(jute.OpDeleteContainer, &jute.DeleteTxn{Path: "/c"})
	require.Nil(t, r.Get("/c"))
}

func TestAuthentication(t *testing.T) {
	require.Equal(t, "u:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ=", Digest("u:p"))
	ids, ok := Authenticate("digest", []byte("super:admin"), "", "super:xQJmxLMiHGwaqBvst5y6rkB6HQs=")
	require.True(t, ok)
	require.Contains(t, ids, jute.ID{Scheme: "super"})
	_, ok = Authenticate("world", nil, "", "")
	require.False(t, ok)
	ids, _ = Authenticate("ip", []byte("8.8.8.8"), "127.0.0.1", "")
	require.Equal(t, []jute.ID{{Scheme: "ip", ID: "127.0.0.1"}}, ids, "the address is the connection's")
}

func TestPermissions(t *testing.T) {
	local := []jute.ID{{Scheme: "ip", ID: "127.0.0.1"}}
	user := append(local, jute.ID{Scheme: "digest", ID: "u:h"})
	for name, row := range map[string]struct {
		acl  jute.ACL
		ids  []jute.ID
		perm int32
		want bool
	}{
		"world":            {jute.ACL{Perms: 1, ID: anyone}, local, 1, true},
		"other permission": {jute.ACL{Perms: 1, ID: anyone}, local, 2, false},
		"one of several":   {jute.ACL{Perms: 16, ID: anyone}, local, 17, true},
		"digest":           {jute.ACL{Perms: 31, ID: jute.ID{Scheme: "digest", ID: "u:h"}}, user, 4, true},
		"other digest":     {jute.ACL{Perms: 31, ID: jute.ID{Scheme: "digest", ID: "u:g"}}, user, 4, false},
		"ip":               {jute.ACL{Perms: 31, ID: jute.ID{Scheme: "ip", ID: "127.0.0.1"}}, local, 4, true},
		"ip network":       {jute.ACL{Perms: 31, ID: jute.ID{Scheme: "ip", ID: "127.0.0.0/8"}}, local, 4, true},
		"other network":    {jute.ACL{Perms: 31, ID: jute.ID{Scheme: "ip", ID: "10.0.0.0/8"}}, local, 4, false},
		"super":            {jute.ACL{Perms: 0, ID: anyone}, []jute.ID{{Scheme: "super"}}, 4, true},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, row.want, MakeACLs([]jute.ACL{row.acl}).Permits(row.perm, row.ids))
		})
	}
	require.True(t, MakeACLs(nil).Permits(1, nil), "an empty list permits all")
	denied := &Caller{IDs: local}
	acl := MakeACLs([]jute.ACL{{Perms: 1, ID: anyone}})
	require.False(t, denied.Permits(acl, 2))
	denied.SkipACL = true
	require.True(t, denied.Permits(acl, 2))
}

func TestAuthExpandsToTheCallersIDs(t *testing.T) {
	c := &Caller{IDs: []jute.ID{{Scheme: "ip", ID: "127.0.0.1"}, {Scheme: "digest", ID: "u:h"}}}
	body, code := New().PrepareCreate(c, &jute.CreateRequest{Path: "/a", ACL: []jute.ACL{{Perms: 31, ID: jute.ID{Scheme: "auth"}}}})
	require.Equal(t, jute.OK, code)
	require.Equal(t, []jute.ACL{{Perms: 31, ID: jute.ID{Scheme: "digest", ID: "u:h"}}}, body.ACL)
	require.Equal(t, "u:x", Redact(body.ACL)[0].ID.ID)
}

func TestRightsOfParentAndNode(t *testing.T) {
	r := newRig()
	r.apply(jute.OpCreate, &jute.CreateTxn{Path: "/p", ACL: []jute.ACL{{Perms: jute.PermRead, ID: anyone}}, ParentCVersion: 1})
	r.apply(jute.OpCreate, &jute.CreateTxn{Path: "/p/c", ACL: openList, ParentCVersion: 1})
	_, code := r.PrepareCreate(&Caller{}, &jute.CreateRequest{Path: "/p/d", ACL: openList})
	require.Equal(t, jute.NoAuth, code)
	_, code = r.PrepareDelete(&Caller{}, &jute.PathVersionRequest{Path: "/p/c", Version: -1})
	require.Equal(t, jute.NoAuth, code)
	_, code = r.PrepareSetData(&Caller{}, &jute.SetDataRequest{Path: "/p", Version: -1})
	require.Equal(t, jute.NoAuth, code)
	_, code = r.PrepareSetACL(&Caller{}, &jute.SetACLRequest{Path: "/p", ACL: openList, Version: -1})
	require.Equal(t, jute.NoAuth, code)
	_, code = r.PrepareCheck(&Caller{}, &jute.PathVersionRequest{Path: "/p", Version: -1})
	require.Equal(t, jute.OK, code)
}
