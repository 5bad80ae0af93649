package tree

import (
	"sort"
	"strings"
)

// Paths that are always there.
const (
	rootPath   = "/"
	systemPath = "/zookeeper"
	quotaPath  = "/zookeeper/quota"
	configPath = "/zookeeper/config"
)

// Tree is the nodes by path. Not safe for concurrent use.
type Tree struct {
	nodes      map[string]*Node
	ephemerals map[int64]map[string]struct{} // by session
	// digest is the sum of the nodes' digests; see digest.go.
	digest   uint64
	dataSize int64 // bytes in paths and data, for the mntr command
	journal  *journal
}

// New returns a tree with nothing but the nodes that are always there.
func New() *Tree {
	t := Empty()
	t.AddReserved()
	return t
}

// Empty returns a tree without any node, for loading a snapshot.
func Empty() *Tree {
	return &Tree{nodes: map[string]*Node{}, ephemerals: map[int64]map[string]struct{}{}}
}

// AddReserved creates those of the reserved nodes that are missing; a
// snapshot of an older version has no /zookeeper/config.
func (t *Tree) AddReserved() {
	for _, path := range []string{rootPath, systemPath, quotaPath} {
		if t.nodes[path] == nil {
			t.Load(path, &Node{Data: []byte{}, ACL: OpenACL})
		}
	}
	if t.nodes[configPath] == nil {
		t.Load(configPath, &Node{Data: []byte{}, ACL: readACL, Aversion: -1})
	}
}

// Load puts a node of a snapshot into the tree. Its parent, if that is there,
// gets it as a child; nothing else about the parent changes. The node must
// not be used by the caller afterwards.
func (t *Tree) Load(path string, n *Node) {
	path = canonical(path)
	if old := t.nodes[path]; old != nil {
		n.children = old.children
	}
	t.put(path, n)
	if parent, name := split(path); path != rootPath && t.nodes[parent] != nil {
		t.addChild(parent, t.nodes[parent], name)
	}
	if n.Ephemeral() {
		t.addEphemeral(n.Owner, path)
	}
}

// Get returns the node at path, nil when there is none. The empty path is
// the root, as in ZooKeeper.
func (t *Tree) Get(path string) *Node { return t.nodes[canonical(path)] }

// Children returns the names of the children of path, sorted.
func (t *Tree) Children(path string) []string {
	n := t.Get(path)
	if n == nil || n.NumChildren() == 0 {
		return nil
	}
	names := make([]string, 0, n.NumChildren())
	for name := range n.children.names {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// Ephemerals returns the paths of a session's nodes, sorted.
func (t *Tree) Ephemerals(session int64) []string {
	paths := make([]string, 0, len(t.ephemerals[session]))
	for path := range t.ephemerals[session] {
		paths = append(paths, path)
	}
	sort.Strings(paths)
	return paths
}

// EphemeralOwners returns the sessions that own nodes.
func (t *Tree) EphemeralOwners() []int64 {
	owners := make([]int64, 0, len(t.ephemerals))
	for owner := range t.ephemerals {
		owners = append(owners, owner)
	}
	sort.Slice(owners, func(i, j int) bool { return owners[i] < owners[j] })
	return owners
}

// EphemeralCount is the number of ephemeral nodes.
func (t *Tree) EphemeralCount() int {
	count := 0
	for _, paths := range t.ephemerals {
		count += len(paths)
	}
	return count
}

// Count is the number of nodes.
func (t *Tree) Count() int { return len(t.nodes) }

// DataSize is the number of bytes in paths and data.
func (t *Tree) DataSize() int64 { return t.dataSize }

// Digest is ZooKeeper's checksum over all nodes.
func (t *Tree) Digest() uint64 { return t.digest }

// PathNode is a node with its path.
type PathNode struct {
	Path string
	Node *Node
}

// View returns all nodes as they are now, in no order. The tree may change
// afterwards; the view does not.
func (t *Tree) View() []PathNode {
	view := make([]PathNode, 0, len(t.nodes))
	for path, n := range t.nodes {
		view = append(view, PathNode{path, n})
	}
	return view
}

// put makes n the node at path.
func (t *Tree) put(path string, n *Node) {
	n.digest = nodeDigest(path, n)
	if old := t.nodes[path]; old != nil {
		t.digest -= old.digest
		t.dataSize -= int64(len(path) + len(old.Data))
	}
	t.digest += n.digest
	t.dataSize += int64(len(path) + len(n.Data))
	t.nodes[path] = n
}

// drop removes the node at path.
func (t *Tree) drop(path string) {
	n := t.nodes[path]
	t.digest -= n.digest
	t.dataSize -= int64(len(path) + len(n.Data))
	delete(t.nodes, path)
}

func (t *Tree) addChild(path string, n *Node, name string) {
	if n.children == nil {
		with := *n
		with.children = &children{names: map[string]struct{}{}}
		t.nodes[path] = &with
		n = &with
	}
	n.children.names[name] = struct{}{}
}

func (t *Tree) addEphemeral(session int64, path string) {
	paths := t.ephemerals[session]
	if paths == nil {
		paths = map[string]struct{}{}
		t.ephemerals[session] = paths
	}
	paths[path] = struct{}{}
}

func (t *Tree) dropEphemeral(session int64, path string) {
	paths := t.ephemerals[session]
	delete(paths, path)
	if len(paths) == 0 {
		delete(t.ephemerals, session)
	}
}

func canonical(path string) string {
	if path == "" {
		return rootPath
	}
	return path
}

// split gives the path of the parent and the name below it.
func split(path string) (parent, name string) {
	i := strings.LastIndexByte(path, '/')
	if i <= 0 {
		return rootPath, path[i+1:]
	}
	return path[:i], path[i+1:]
}

// ValidPath reports whether a path may name a node that is created. Reads do
// not ask: a malformed path is a node that is not there.
func ValidPath(path string) bool {
	if path == rootPath {
		return true
	}
	if path == "" || path[0] != '/' {
		return false
	}
	for _, part := range strings.Split(path[1:], "/") {
		if part == "" || part == "." || part == ".." {
			return false
		}
	}
	for _, r := range path {
		if r <= 0x1f || r >= 0x7f && r <= 0x9f || r >= 0xd800 && r <= 0xf8ff || r >= 0xfff0 {
			return false
		}
	}
	return true
}
