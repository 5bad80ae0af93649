// Package tree is ZooKeeper's data: the nodes, the rules by which requests
// change them, and the watches on them.
//
// A request goes through in two steps. Prepare (prepare.go) checks it against
// the tree as it is, in ZooKeeper's order of checks, and gives the
// transaction that carries it out, or an error code. Apply (apply.go) carries
// a transaction out and says what watchers could see; the same Apply replays
// the log at start, so it forgives what a replay over a newer snapshot can
// bring. Watches (watches.go) is the table of who waits for what.
//
// Nodes are immutable: a change puts a new Node in the old one's place. So a
// snapshot is taken by collecting pointers (View), and written while the tree
// moves on, and a failed multi is undone by putting old nodes back.
//
// Callers: server, which holds one lock around everything here, and txnlog,
// which loads and writes trees. The package does no I/O and owns no goroutine
// and no lock.
package tree

import (
	"unique"

	"gregor/pkg/zookeeper/jute"
)

// Special owners of a node, part of the format on disk: neither is a session.
const (
	containerOwner int64 = -1 << 63
	ttlOwnerByte         = 0xff
)

// Node is one version of a node. It is never changed once it is in the tree.
type Node struct {
	Data  []byte // nil is null, which clients tell from empty
	ACL   ACLs
	Czxid int64
	Mzxid int64
	Pzxid int64
	Ctime int64 // ms since the epoch
	Mtime int64
	// Cversion counts creations of children, as on disk; clients see
	// creations plus deletions.
	Cversion int32
	Version  int32
	Aversion int32
	// Owner is the session of an ephemeral node, 0, or one of the markers of
	// container and TTL nodes.
	Owner int64

	digest   uint64
	children *children // shared by all versions of the node
}

// children is the set of child names. Invariant: a node is in the tree iff
// its name is in its parent's set, but for the root.
type children struct{ names map[string]struct{} }

// ACLs is an access control list, stored once for all nodes that have it.
type ACLs struct{ h unique.Handle[string] }

// MakeACLs interns a list.
func MakeACLs(acls []jute.ACL) ACLs {
	var e jute.Encoder
	jute.EncodeACLs(&e, acls)
	return ACLs{unique.Make(string(e.B))}
}

// Encoded is the list as a vector in jute.
func (a ACLs) Encoded() string { return a.h.Value() }

// List is the list as a fresh slice.
func (a ACLs) List() []jute.ACL {
	return jute.DecodeACLs(jute.NewDecoder([]byte(a.h.Value())))
}

// OpenACL lets everybody do everything.
var OpenACL = MakeACLs([]jute.ACL{{Perms: jute.PermAll, ID: anyone}})

var readACL = MakeACLs([]jute.ACL{{Perms: jute.PermRead, ID: anyone}})

var anyone = jute.ID{Scheme: "world", ID: "anyone"}

// Ephemeral reports whether the node belongs to a session.
func (n *Node) Ephemeral() bool { return isSession(n.Owner) }

func isSession(owner int64) bool {
	return owner != 0 && owner != containerOwner && uint64(owner)>>56 != ttlOwnerByte
}

// NumChildren is the number of children.
func (n *Node) NumChildren() int {
	if n.children == nil {
		return 0
	}
	return len(n.children.names)
}

// Stat is what clients are told of the node.
func (n *Node) Stat() jute.Stat {
	stat := jute.Stat{Czxid: n.Czxid, Mzxid: n.Mzxid, Ctime: n.Ctime, Mtime: n.Mtime, Version: n.Version,
		Cversion: n.Cversion*2 - int32(n.NumChildren()), Aversion: n.Aversion,
		DataLength: int32(len(n.Data)), NumChildren: int32(n.NumChildren()), Pzxid: n.Pzxid}
	if n.Ephemeral() {
		stat.EphemeralOwner = n.Owner
	}
	return stat
}
