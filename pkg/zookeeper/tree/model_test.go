package tree

import (
	"fmt"
	"sort"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"gregor/pkg/zookeeper/jute"
)

// modelNode and model are a naive tree: a map, searched through for
// everything.
type modelNode struct {
	data      string
	version   int32
	created   int32 // children ever created
	deleted   int32
	czxid     int64
	pzxid     int64
	ephemeral bool
}

type model map[string]*modelNode

func (m model) children(path string) []string {
	var names []string
	for p := range m {
		if p != "/" && parentOf(p) == path {
			names = append(names, p[strings.LastIndexByte(p, '/')+1:])
		}
	}
	sort.Strings(names)
	return names
}

func parentOf(path string) string {
	if i := strings.LastIndexByte(path, '/'); i > 0 {
		return path[:i]
	}
	return "/"
}

func (m model) clone() model {
	c := model{}
	for p, n := range m {
		copied := *n
		c[p] = &copied
	}
	return c
}

func (m model) create(path string, flags int32, data string, zxid int64) (string, jute.Code) {
	parent := m[parentOf(path)]
	if parent == nil {
		return "", jute.NoNode
	}
	if flags&jute.FlagSequential != 0 {
		path += fmt.Sprintf("%010d", parent.created)
	}
	if m[path] != nil {
		return "", jute.NodeExists
	}
	if parent.ephemeral {
		return "", jute.NoChildrenForEphemerals
	}
	parent.created++
	parent.pzxid = zxid
	m[path] = &modelNode{data: data, czxid: zxid, pzxid: zxid, ephemeral: flags&jute.FlagEphemeral != 0}
	return path, jute.OK
}

func (m model) delete(path string, version int32, zxid int64) jute.Code {
	n := m[path]
	switch {
	case n == nil:
		return jute.NoNode
	case version != -1 && version != n.version:
		return jute.BadVersion
	case len(m.children(path)) > 0:
		return jute.NotEmpty
	}
	delete(m, path)
	m[parentOf(path)].deleted++
	m[parentOf(path)].pzxid = zxid
	return jute.OK
}

func (m model) set(path string, data string, version int32) jute.Code {
	n := m[path]
	switch {
	case n == nil:
		return jute.NoNode
	case version != -1 && version != n.version:
		return jute.BadVersion
	}
	n.data = data
	n.version++
	return jute.OK
}

// drawPath gives one of a few paths, so that operations meet.
func drawPath(rt *rapid.T) string {
	return rapid.SampledFrom([]string{"/a", "/b", "/a/c", "/a/d", "/b/c", "/a/c/e"}).Draw(rt, "path")
}

// step is one operation done to both; it returns their codes.
func step(rt *rapid.T, r *rig, m model, txn *jute.Txn) (got, want jute.Code) {
	caller := &Caller{Session: txn.SessionID}
	path, version := drawPath(rt), rapid.Int32Range(-1, 2).Draw(rt, "version")
	data := rapid.StringN(0, 3, 3).Draw(rt, "data")
	var body jute.TxnBody
	op := rapid.SampledFrom([]jute.Op{jute.OpCreate, jute.OpDelete, jute.OpSetData, jute.OpCheck}).Draw(rt, "op")
	switch op {
	case jute.OpCreate:
		flags := rapid.Int32Range(0, 3).Draw(rt, "flags")
		b, code := r.PrepareCreate(caller, &jute.CreateRequest{Path: path, Data: []byte(data), ACL: openList, Flags: flags})
		var wantPath string
		wantPath, want = m.create(path, flags, data, txn.Zxid)
		if got = code; code == jute.OK {
			require.Equal(rt, wantPath, b.Path)
			body = b
		}
	case jute.OpDelete:
		b, code := r.PrepareDelete(caller, &jute.PathVersionRequest{Path: path, Version: version})
		got, want, body = code, m.delete(path, version, txn.Zxid), b
	case jute.OpSetData:
		b, code := r.PrepareSetData(caller, &jute.SetDataRequest{Path: path, Data: []byte(data), Version: version})
		got, want, body = code, m.set(path, data, version), b
	case jute.OpCheck:
		b, code := r.PrepareCheck(caller, &jute.PathVersionRequest{Path: path, Version: version})
		got, body = code, b
		if n := m[path]; n == nil {
			want = jute.NoNode
		} else if version != -1 && version != n.version {
			want = jute.BadVersion
		}
	}
	if got == jute.OK {
		r.ApplySub(txn, op, body, nil)
	}
	return got, want
}

// Random operations, alone and in multis that fail half-way, leave the tree
// as the model has it; and the sums that the tree keeps are right.
func TestTreeAgreesWithModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r, m := newRig(), model{"/": {}}
		m["/"].created = 0
		for range rapid.IntRange(1, 40).Draw(rt, "transactions") {
			r.zxid++
			txn := &jute.Txn{SessionID: rapid.Int64Range(1, 2).Draw(rt, "session"), Zxid: r.zxid, Time: r.zxid}
			before := m.clone()
			r.Begin()
			failed := false
			for range rapid.IntRange(1, 4).Draw(rt, "operations") {
				got, want := step(rt, r, m, txn)
				require.Equal(rt, want, got)
				if failed = got != jute.OK; failed {
					break
				}
			}
			if failed {
				r.Rollback()
				m = before
			} else {
				r.Commit()
			}
			compare(rt, r.Tree, m)
		}
	})
}

func compare(rt *rapid.T, tr *Tree, m model) {
	require.Equal(rt, len(m)+3, tr.Count(), "the reserved nodes are not in the model")
	var digest uint64
	var size int64
	ephemerals := 0
	for _, pn := range tr.View() {
		digest += nodeDigest(pn.Path, pn.Node)
		size += int64(len(pn.Path) + len(pn.Node.Data))
		if pn.Node.Ephemeral() {
			ephemerals++
			require.Contains(rt, tr.Ephemerals(pn.Node.Owner), pn.Path)
		}
	}
	require.Equal(rt, digest, tr.Digest())
	require.Equal(rt, size, tr.DataSize())
	require.Equal(rt, ephemerals, tr.EphemeralCount())
	for path, want := range m {
		n := tr.Get(path)
		require.NotNil(rt, n, path)
		children := tr.Children(path)
		if path == "/" {
			children = children[:len(children)-1] // zookeeper is the last by name
		}
		require.ElementsMatch(rt, m.children(path), children, path)
		require.Equal(rt, want.version, n.Version, path)
		require.Equal(rt, want.czxid, n.Czxid, path)
		require.Equal(rt, want.pzxid, n.Pzxid, path)
		require.Equal(rt, want.created, n.Cversion, path)
		if path != "/" {
			require.Equal(rt, want.data, string(n.Data), path)
			require.Equal(rt, want.created+want.deleted, n.Stat().Cversion, path)
		}
	}
}

// A view stays as it was taken.
func TestViewDoesNotMove(t *testing.T) {
	r := newRig()
	r.create("/a", 0, 'x')
	view := r.View()
	r.apply(jute.OpSetData, &jute.SetDataTxn{Path: "/a", Data: []byte("y"), Version: 1})
	r.create("/a/b", 0)
	require.Equal(t, jute.OK, r.delete("/a/b", -1))
	for _, pn := range view {
		if pn.Path == "/a" {
			require.Equal(t, "x", string(pn.Node.Data))
			require.Zero(t, pn.Node.Cversion)
			require.EqualValues(t, 1, pn.Node.Pzxid)
		}
	}
}
