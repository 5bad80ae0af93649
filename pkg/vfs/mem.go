package vfs

import (
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Mem is a file system in memory. The zero value is not usable; see NewMem.
type Mem struct {
	// mu guards the tree and the contents of every file in it.
	mu    sync.Mutex
	root  *memNode
	locks map[string]bool
	now   func() time.Time
}

// memNode is a file or a directory, with what a power cut would leave of it.
type memNode struct {
	dir      bool
	mode     fs.FileMode
	modified time.Time

	data   []byte
	synced []byte // file contents as of the last Sync

	names       map[string]*memNode
	syncedNames map[string]*memNode // directory as of the last SyncDir
}

// NewMem returns an empty file system with the root directory "/".
func NewMem() *Mem {
	return &Mem{root: newMemDir(time.Now()), locks: map[string]bool{}, now: time.Now}
}

func newMemDir(now time.Time) *memNode {
	return &memNode{dir: true, mode: fs.ModeDir | 0o755, modified: now, names: map[string]*memNode{}, syncedNames: map[string]*memNode{}}
}

// Clone is the state that killing the process leaves: everything written.
func (m *Mem) Clone() *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	copies := map[*memNode]*memNode{}
	return &Mem{root: m.root.clone(copies, func(n *memNode) ([]byte, map[string]*memNode) { return n.data, n.names }), locks: map[string]bool{}, now: m.now}
}

// CrashClone is a state that a power cut may leave: everything synced, and of
// what is not synced the part that random lets survive: each name with even
// odds, of a file's changed contents each page with even odds. With a nil
// random nothing unsynced survives.
func (m *Mem) CrashClone(random *rand.Rand) *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	survive := func() bool { return random != nil && random.IntN(2) == 0 }
	keep := func(n *memNode) ([]byte, map[string]*memNode) {
		if n.dir {
			return nil, survivingNames(n, survive)
		}
		return survivingBytes(n, survive), nil
	}
	return &Mem{root: m.root.clone(map[*memNode]*memNode{}, keep), locks: map[string]bool{}, now: m.now}
}

func survivingNames(n *memNode, survive func() bool) map[string]*memNode {
	kept := map[string]*memNode{}
	placed := map[*memNode]bool{}
	for _, name := range sortedKeys(n.names, n.syncedNames) {
		now, before := n.names[name], n.syncedNames[name]
		node := before
		if now != before && survive() {
			node = now
		}
		// A rename is atomic: a node is never left under two names.
		if node != nil && !placed[node] {
			kept[name], placed[node] = node, true
		}
	}
	keepRenamed(n, kept, placed)
	return kept
}

// keepRenamed gives a node that was renamed and has lost both names one of
// them back, for a rename is atomic.
func keepRenamed(n *memNode, kept map[string]*memNode, placed map[*memNode]bool) {
	before := map[*memNode]string{}
	for name, node := range n.syncedNames {
		before[node] = name
	}
	for _, name := range sortedKeys(n.names, nil) {
		node := n.names[name]
		old, moved := before[node]
		if !moved || placed[node] {
			continue
		}
		for _, free := range []string{name, old} {
			if kept[free] == nil {
				kept[free], placed[node] = node, true
				break
			}
		}
	}
}

func survivingBytes(n *memNode, survive func() bool) []byte {
	const page = 512
	if slices.Equal(n.data, n.synced) {
		return n.data
	}
	size := len(n.synced)
	if len(n.data) != size && survive() {
		size = len(n.data)
	}
	out := make([]byte, size)
	copy(out, n.synced)
	for at := 0; at < size && at < len(n.data); at += page {
		if survive() {
			copy(out[at:min(at+page, size)], n.data[at:])
		}
	}
	return out
}

func sortedKeys(a, b map[string]*memNode) []string {
	var names []string
	for name := range a {
		names = append(names, name)
	}
	for name := range b {
		if _, twice := a[name]; !twice {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (n *memNode) clone(copies map[*memNode]*memNode, keep func(*memNode) ([]byte, map[string]*memNode)) *memNode {
	if c, ok := copies[n]; ok {
		return c
	}
	c := &memNode{dir: n.dir, mode: n.mode, modified: n.modified}
	copies[n] = c
	data, names := keep(n)
	if !n.dir {
		c.data, c.synced = slices.Clone(data), slices.Clone(data)
		return c
	}
	c.names, c.syncedNames = map[string]*memNode{}, map[string]*memNode{}
	for _, name := range sortedKeys(names, nil) { // so that the same random numbers leave the same
		child := names[name]
		c.names[name] = child.clone(copies, keep)
		c.syncedNames[name] = c.names[name]
	}
	return c
}

func pathError(op, name string, err error) error {
	return &fs.PathError{Op: op, Path: name, Err: err}
}

// find returns the node of a name and its parent, which is nil for the root
// and when the parent is missing.
func (m *Mem) find(name string) (parent, node *memNode, base string) {
	node = m.root
	parts := strings.FieldsFunc(filepath.ToSlash(filepath.Clean(name)), func(r rune) bool { return r == '/' })
	for i, part := range parts {
		if node == nil || !node.dir {
			return nil, nil, ""
		}
		parent, base = node, part
		node = node.names[part]
		if node == nil && i < len(parts)-1 {
			return nil, nil, ""
		}
	}
	return parent, node, base
}

// OpenFile implements FS.
func (m *Mem) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	parent, node, base := m.find(name)
	switch {
	case node == nil && (flag&os.O_CREATE == 0 || parent == nil):
		return nil, pathError("open", name, fs.ErrNotExist)
	case node != nil && flag&os.O_EXCL != 0 && flag&os.O_CREATE != 0:
		return nil, pathError("open", name, fs.ErrExist)
	case node != nil && node.dir:
		return nil, pathError("open", name, fs.ErrInvalid)
	case node == nil:
		node = &memNode{mode: perm, modified: m.now()}
		parent.names[base] = node
	}
	if flag&os.O_TRUNC != 0 {
		node.data, node.modified = nil, m.now()
	}
	return &memFile{fs: m, node: node, name: name}, nil
}

// MkdirAll implements FS. A new directory's name is durable at once, which
// the log does not rely on.
func (m *Mem) MkdirAll(name string, perm fs.FileMode) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	node := m.root
	for part := range strings.FieldsFuncSeq(filepath.ToSlash(filepath.Clean(name)), func(r rune) bool { return r == '/' }) {
		next := node.names[part]
		if next == nil {
			next = newMemDir(m.now())
			next.mode = fs.ModeDir | perm
			node.names[part], node.syncedNames[part] = next, next
		}
		if !next.dir {
			return pathError("mkdir", name, fs.ErrExist)
		}
		node = next
	}
	return nil
}

// Rename implements FS.
func (m *Mem) Rename(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	fromParent, node, fromBase := m.find(from)
	toParent, target, toBase := m.find(to)
	if node == nil || fromParent == nil || toParent == nil {
		return pathError("rename", from, fs.ErrNotExist)
	}
	if target != nil && (target.dir || node.dir) {
		return pathError("rename", to, fs.ErrExist)
	}
	delete(fromParent.names, fromBase)
	toParent.names[toBase] = node
	return nil
}

// Remove implements FS.
func (m *Mem) Remove(name string) error { return m.remove(name, false) }

// RemoveAll implements FS.
func (m *Mem) RemoveAll(name string) error { return m.remove(name, true) }

func (m *Mem) remove(name string, all bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	parent, node, base := m.find(name)
	if node == nil || parent == nil {
		if all {
			return nil
		}
		return pathError("remove", name, fs.ErrNotExist)
	}
	if node.dir && len(node.names) > 0 && !all {
		return pathError("remove", name, fs.ErrInvalid)
	}
	delete(parent.names, base)
	return nil
}

// ReadDir implements FS.
func (m *Mem) ReadDir(name string) ([]fs.DirEntry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, node, _ := m.find(name)
	if node == nil || !node.dir {
		return nil, pathError("readdir", name, fs.ErrNotExist)
	}
	var entries []fs.DirEntry
	for _, child := range sortedKeys(node.names, nil) {
		entries = append(entries, fs.FileInfoToDirEntry(node.names[child].info(child)))
	}
	return entries, nil
}

// Stat implements FS.
func (m *Mem) Stat(name string) (fs.FileInfo, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, node, _ := m.find(name)
	if node == nil {
		return nil, pathError("stat", name, fs.ErrNotExist)
	}
	return node.info(filepath.Base(name)), nil
}

// SyncDir implements FS.
func (m *Mem) SyncDir(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, node, _ := m.find(name)
	if node == nil || !node.dir {
		return pathError("sync", name, fs.ErrNotExist)
	}
	clear(node.syncedNames)
	for child, n := range node.names {
		node.syncedNames[child] = n
	}
	return nil
}

// SetModTime implements FS.
func (m *Mem) SetModTime(name string, t time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, node, _ := m.find(name)
	if node == nil {
		return pathError("chtimes", name, fs.ErrNotExist)
	}
	node.modified = t
	return nil
}

// Lock implements FS.
func (m *Mem) Lock(name string) (io.Closer, error) {
	f, err := m.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	f.Close()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.locks[name] {
		return nil, ErrLocked
	}
	m.locks[name] = true
	return &memLock{fs: m, name: name}, nil
}

type memLock struct {
	fs   *Mem
	name string
}

func (l *memLock) Close() error {
	l.fs.mu.Lock()
	defer l.fs.mu.Unlock()
	delete(l.fs.locks, l.name)
	return nil
}
