package tree

import (
	"gregor/pkg/zookeeper/jute"
)

// Event is a change that watchers may be waiting for. Created, deleted and
// changed events go to the data watches of Path, and deleted ones to its
// child watches too; children events go to its child watches.
type Event struct {
	Type jute.EventType
	Path string
	ACL  ACLs // of the node at Path, which decides who may see the event
}

// journal remembers the nodes that a multi replaced, latest last. A nil node
// was not there.
type journal struct{ entries []PathNode }

// Begin starts to remember what Apply replaces, so that Rollback can put it
// back.
func (t *Tree) Begin() { t.journal = &journal{} }

// Commit keeps what was applied since Begin.
func (t *Tree) Commit() { t.journal = nil }

// Rollback undoes what was applied since Begin.
func (t *Tree) Rollback() {
	entries := t.journal.entries
	t.journal = nil
	for i := len(entries) - 1; i >= 0; i-- {
		path, old := entries[i].Path, entries[i].Node
		now := t.nodes[path]
		switch {
		case old == nil:
			t.unlink(path, now)
		case now == nil:
			t.put(path, old)
			t.link(path, old)
		default:
			t.put(path, old)
		}
	}
}

func (t *Tree) remember(path string, n *Node) {
	if t.journal != nil {
		t.journal.entries = append(t.journal.entries, PathNode{path, n})
	}
}

// replace puts a new version of a node in its place.
func (t *Tree) replace(path string, old *Node, change func(n *Node)) {
	t.remember(path, old)
	n := *old
	change(&n)
	t.put(path, &n)
}

// link enters a node in its parent's children and its session's ephemerals.
func (t *Tree) link(path string, n *Node) {
	parent, name := split(path)
	t.addChild(parent, t.nodes[parent], name)
	if n.Ephemeral() {
		t.addEphemeral(n.Owner, path)
	}
}

// unlink takes a node out of the tree.
func (t *Tree) unlink(path string, n *Node) {
	parent, name := split(path)
	if p := t.nodes[parent]; p != nil && p.children != nil {
		delete(p.children.names, name)
	}
	if n.Ephemeral() {
		t.dropEphemeral(n.Owner, path)
	}
	t.drop(path)
}

// Apply carries out a transaction and returns what watchers could see, in
// order. The body of a multi is applied whole or, when it holds an error, not
// at all. What a log can hold that no longer fits the tree (a snapshot may
// have run ahead of its name) is passed over as ZooKeeper passes over it.
func (t *Tree) Apply(txn *jute.Txn) []Event {
	return t.apply(txn, txn.Op, txn.Body, nil)
}

// ApplySub is Apply for one operation of a multi.
func (t *Tree) ApplySub(txn *jute.Txn, op jute.Op, body jute.TxnBody, events []Event) []Event {
	return t.apply(txn, op, body, events)
}

func (t *Tree) apply(txn *jute.Txn, op jute.Op, body jute.TxnBody, events []Event) []Event {
	switch body := body.(type) {
	case *jute.CreateTxn:
		return t.create(txn, op, body, events)
	case *jute.DeleteTxn:
		return t.delete(txn.Zxid, body.Path, events)
	case *jute.SetDataTxn:
		return t.setData(txn, body, events)
	case *jute.SetACLTxn:
		path := canonical(body.Path)
		if n := t.nodes[path]; n != nil {
			t.replace(path, n, func(n *Node) { n.ACL, n.Aversion = MakeACLs(body.ACL), body.Version })
		}
	case *jute.CloseSessionTxn:
		for _, path := range body.Paths {
			events = t.delete(txn.Zxid, path, events)
		}
		return t.deleteEphemerals(txn, events)
	case nil:
		if op == jute.OpCloseSession {
			return t.deleteEphemerals(txn, events)
		}
	case *jute.MultiTxn:
		if body.Failed() {
			return events
		}
		for _, sub := range body.Txns {
			events = t.apply(txn, sub.Op, sub.Body, events)
		}
	}
	return events
}

func (t *Tree) deleteEphemerals(txn *jute.Txn, events []Event) []Event {
	for _, path := range t.Ephemerals(txn.SessionID) {
		events = t.delete(txn.Zxid, path, events)
	}
	return events
}

func (t *Tree) create(txn *jute.Txn, op jute.Op, body *jute.CreateTxn, events []Event) []Event {
	parentPath, _ := split(body.Path)
	parent := t.nodes[parentPath]
	if parent == nil || body.Path == rootPath {
		return events
	}
	acl := MakeACLs(body.ACL)
	if old := t.nodes[body.Path]; old != nil {
		// A snapshot had it already; its ACL may have come from a node of that
		// name before this one.
		t.replace(body.Path, old, func(n *Node) { n.ACL = acl })
		if op == jute.OpCreate {
			t.raiseCversion(parentPath, parent, body.ParentCVersion, txn.Zxid)
		}
		return events
	}
	n := &Node{Data: body.Data, ACL: acl, Czxid: txn.Zxid, Mzxid: txn.Zxid, Pzxid: txn.Zxid,
		Ctime: txn.Time, Mtime: txn.Time, Owner: owner(txn, op, body)}
	t.remember(body.Path, nil)
	t.put(body.Path, n)
	t.raiseCversion(parentPath, parent, body.ParentCVersion, txn.Zxid)
	t.link(body.Path, n)
	return append(events, Event{jute.NodeCreated, body.Path, acl}, Event{jute.NodeChildrenChanged, parentPath, parent.ACL})
}

func owner(txn *jute.Txn, op jute.Op, body *jute.CreateTxn) int64 {
	switch {
	case op == jute.OpCreateContainer:
		return containerOwner
	case op == jute.OpCreateTTL:
		return int64(uint64(ttlOwnerByte)<<56 | uint64(body.TTL)&(1<<40-1))
	case body.Ephemeral:
		return txn.SessionID
	}
	return 0
}

// raiseCversion sets a parent's cversion and pzxid after a create. Both only
// grow; -1 comes from old logs and means one more.
func (t *Tree) raiseCversion(path string, parent *Node, cversion int32, zxid int64) {
	if cversion == -1 {
		cversion = parent.Cversion + 1
	}
	if cversion > parent.Cversion {
		t.replace(path, parent, func(n *Node) { n.Cversion, n.Pzxid = cversion, zxid })
	}
}

func (t *Tree) delete(zxid int64, path string, events []Event) []Event {
	path = canonical(path)
	if path == rootPath {
		return events
	}
	parentPath, name := split(path)
	parent := t.nodes[parentPath]
	if parent != nil && zxid > parent.Pzxid {
		t.replace(parentPath, parent, func(n *Node) { n.Pzxid = zxid })
	}
	n := t.nodes[path]
	if n == nil {
		if parent != nil && parent.children != nil {
			delete(parent.children.names, name)
		}
		return events
	}
	t.remember(path, n)
	t.unlink(path, n)
	events = append(events, Event{jute.NodeDeleted, path, n.ACL})
	if parent != nil {
		events = append(events, Event{jute.NodeChildrenChanged, parentPath, parent.ACL})
	}
	return events
}

func (t *Tree) setData(txn *jute.Txn, body *jute.SetDataTxn, events []Event) []Event {
	path := canonical(body.Path)
	n := t.nodes[path]
	if n == nil {
		return events
	}
	t.replace(path, n, func(n *Node) {
		n.Data, n.Version, n.Mzxid, n.Mtime = body.Data, body.Version, txn.Zxid, txn.Time
	})
	return append(events, Event{jute.NodeDataChanged, path, n.ACL})
}
