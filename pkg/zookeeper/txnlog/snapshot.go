package txnlog

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/adler32"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"gregor/pkg/zookeeper/jute"
	"gregor/pkg/zookeeper/tree"
)

// A snapshot; all of this is part of the format.
//
//	int 0x5A4B534E "ZKSN" | int 2 | long -1
//	int n, n times: long session | int timeout ms
//	int m, m times: long acl id | vector<ACL>
//	nodes, a parent before its children, the root first:
//	  string path ("" for the root) | buffer data | long acl id (-1: open)
//	  long czxid mzxid ctime mtime | int version cversion aversion
//	  long ephemeralOwner pzxid
//	string "/"
//	seal: long checksum | string "/"
//	long zxid | int 2 | long digest of the tree; seal    since 3.6
//	long zxid; seal                                      since 3.9
//
// Each checksum is the Adler-32 of everything before it. The file is named
// after the last zxid that was applied when writing began; what Apache writes
// may hold effects of later ones too, what we write does not. We write the
// first two parts and read a file that stops after any.
const (
	snapshotMagic    = 0x5A4B534E
	openACLID        = -1
	digestVersion    = 2
	nodeStatSize     = 60
	snapshotEndMark  = "/"
	snapshotSizeLow  = 10
	aclEntryMin      = 12
	sessionEntrySize = 12
)

// Snapshot is the state of a server at one zxid.
type Snapshot struct {
	Zxid     int64
	Sessions map[int64]int32 // timeouts in ms
	Nodes    []tree.PathNode
	Digest   uint64
}

// WriteSnapshot writes the snapshot into dir and returns its path. The file
// has its name when all of it is on disk. It sorts s.Nodes.
func WriteSnapshot(dir string, s *Snapshot) (path string, err error) {
	path = filepath.Join(dir, snapshotName(s.Zxid))
	temp := filepath.Join(dir, "."+filepath.Base(path)+".tmp")
	file, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return "", err
	}
	w := &snapshotWriter{out: bufio.NewWriterSize(file, 1<<16), sum: adler32.New()}
	w.write(s)
	err = errors.Join(w.err, w.out.Flush(), file.Sync())
	if err = errors.Join(err, file.Close()); err != nil {
		return "", errors.Join(err, os.Remove(temp))
	}
	if err := os.Rename(temp, path); err != nil {
		return "", err
	}
	return path, syncDir(dir)
}

// snapshotWriter encodes into e, and passes e on when there is enough of it.
type snapshotWriter struct {
	out *bufio.Writer
	sum hash.Hash32
	e   jute.Encoder
	err error
}

func (w *snapshotWriter) pass() {
	w.sum.Write(w.e.B)
	if _, err := w.out.Write(w.e.B); err != nil && w.err == nil {
		w.err = err
	}
	w.e.B = w.e.B[:0]
}

func (w *snapshotWriter) seal() {
	w.pass()
	w.e.Long(int64(w.sum.Sum32()))
	w.e.String(snapshotEndMark)
	w.pass()
}

func (w *snapshotWriter) write(s *Snapshot) {
	e := &w.e
	e.Int(snapshotMagic)
	e.Int(formatVersion)
	e.Long(-1)
	e.Int(int32(len(s.Sessions)))
	for _, id := range slices.Sorted(maps.Keys(s.Sessions)) {
		e.Long(id)
		e.Int(s.Sessions[id])
	}
	slices.SortFunc(s.Nodes, func(a, b tree.PathNode) int { return comparePaths(a.Path, b.Path) })
	ids := aclTable(s.Nodes)
	e.Int(int32(len(ids)))
	for _, acl := range slices.SortedFunc(maps.Keys(ids), func(a, b tree.ACLs) int { return cmp.Compare(ids[a], ids[b]) }) {
		e.Long(ids[acl])
		e.B = append(e.B, acl.Encoded()...)
	}
	for _, n := range s.Nodes {
		w.node(n, ids)
	}
	e.String(snapshotEndMark)
	w.seal()
	e.Long(s.Zxid)
	e.Int(digestVersion)
	e.Long(int64(s.Digest))
	w.seal()
}

// aclTable numbers the lists of the nodes, from 1.
func aclTable(nodes []tree.PathNode) map[tree.ACLs]int64 {
	ids := map[tree.ACLs]int64{}
	for _, n := range nodes {
		if _, ok := ids[n.Node.ACL]; !ok && !writtenAsOpen(n) {
			ids[n.Node.ACL] = int64(len(ids) + 1)
		}
	}
	return ids
}

// writtenAsOpen picks the nodes whose list is written as id -1: those that
// the server made by itself.
func writtenAsOpen(n tree.PathNode) bool {
	return n.Node.Czxid == 0 && n.Node.ACL == tree.OpenACL
}

func (w *snapshotWriter) node(pn tree.PathNode, ids map[tree.ACLs]int64) {
	e, n := &w.e, pn.Node
	if pn.Path == "/" {
		e.String("")
	} else {
		e.String(pn.Path)
	}
	e.Buffer(n.Data)
	if writtenAsOpen(pn) {
		e.Long(openACLID)
	} else {
		e.Long(ids[n.ACL])
	}
	for _, v := range [4]int64{n.Czxid, n.Mzxid, n.Ctime, n.Mtime} {
		e.Long(v)
	}
	for _, v := range [3]int32{n.Version, n.Cversion, n.Aversion} {
		e.Int(v)
	}
	e.Long(n.Owner)
	e.Long(n.Pzxid)
	if len(e.B) >= 1<<16 {
		w.pass()
	}
}

// comparePaths orders depth first: '/' comes before all other bytes.
func comparePaths(a, b string) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			switch {
			case a[i] == '/':
				return -1
			case b[i] == '/':
				return 1
			}
			return cmp.Compare(a[i], b[i])
		}
	}
	return cmp.Compare(len(a), len(b))
}

// looksComplete is the cheap test by which damaged snapshots are passed
// over: the file ends in a seal.
func looksComplete(path string) bool {
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || info.Size() < snapshotSizeLow {
		return false
	}
	var end [5]byte
	_, err = file.ReadAt(end[:], info.Size()-int64(len(end)))
	return err == nil && end == [5]byte{0, 0, 0, 1, '/'}
}

// ReadSnapshot loads a snapshot.
func ReadSnapshot(path string) (*tree.Tree, map[int64]int32, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, nil, errors.Join(err, file.Close())
	}
	t, sessions, err := readSnapshot(file, info.Size())
	if err != nil {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return t, sessions, errors.Join(err, file.Close())
}

// readSnapshot is ReadSnapshot for the bytes of a file.
func readSnapshot(in io.Reader, size int64) (*tree.Tree, map[int64]int32, error) {
	r := &snapshotReader{in: bufio.NewReaderSize(in, 1<<16), sum: adler32.New(), left: size}
	return r.read()
}

// snapshotReader reads fields from a stream of known length; after the first
// error it returns zero values. No field can be longer than what is left.
type snapshotReader struct {
	in   io.Reader
	sum  hash.Hash32
	left int64
	err  error
}

func (r *snapshotReader) take(n int64) []byte {
	if r.err == nil && (n < 0 || n > r.left) {
		r.err = fmt.Errorf("%w: a field of %d bytes with %d bytes left", ErrCorrupt, n, r.left)
	}
	if r.err != nil {
		return nil
	}
	b := make([]byte, n)
	if _, r.err = io.ReadFull(r.in, b); r.err != nil {
		return nil
	}
	r.sum.Write(b)
	r.left -= n
	return b
}

func (r *snapshotReader) int() int32 {
	if b := r.take(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

func (r *snapshotReader) long() int64 {
	if b := r.take(8); b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

func (r *snapshotReader) buffer() []byte {
	n := r.int()
	if n == -1 || r.err != nil {
		return nil
	}
	return r.take(int64(n))
}

// count reads a count of entries of at least size bytes.
func (r *snapshotReader) count(size int64) int {
	n := int64(r.int())
	if n == -1 {
		return 0
	}
	if r.err == nil && (n < 0 || n > r.left/size) {
		r.err = fmt.Errorf("%w: %d entries with %d bytes left", ErrCorrupt, n, r.left)
	}
	if r.err != nil {
		return 0
	}
	return int(n)
}

func (r *snapshotReader) read() (*tree.Tree, map[int64]int32, error) {
	if magic := uint32(r.int()); r.err == nil && magic != snapshotMagic {
		return nil, nil, fmt.Errorf("%w: it begins with %08x, want %08x", ErrCorrupt, magic, snapshotMagic)
	}
	r.int()
	r.long()
	sessions := map[int64]int32{}
	for range r.count(sessionEntrySize) {
		id := r.long()
		sessions[id] = r.int()
	}
	acls := r.acls()
	t := tree.Empty()
	for r.err == nil && r.node(t, acls) {
	}
	r.seal()
	for r.err == nil && r.left > 0 {
		// Digest and last zxid: nothing in them is needed to load.
		size := int64(20)
		if r.left < size+13 {
			size = 8
		}
		r.take(size)
		r.seal()
	}
	if r.err != nil {
		return nil, nil, r.err
	}
	t.AddReserved()
	return t, sessions, nil
}

func (r *snapshotReader) seal() {
	want := r.sum.Sum32()
	if got := r.long(); r.err == nil && got != int64(want) {
		r.err = fmt.Errorf("%w: the checksum is %08x, want %08x", ErrCorrupt, want, got)
	}
	if mark := r.buffer(); r.err == nil && string(mark) != snapshotEndMark {
		r.err = fmt.Errorf("%w: a seal ends in %q", ErrCorrupt, mark)
	}
}

func (r *snapshotReader) acls() map[int64]tree.ACLs {
	acls := map[int64]tree.ACLs{openACLID: tree.OpenACL}
	for range r.count(aclEntryMin) {
		id := r.long()
		var list []jute.ACL
		for range r.count(aclEntryMin) {
			list = append(list, jute.ACL{Perms: r.int(), ID: jute.ID{Scheme: string(r.buffer()), ID: string(r.buffer())}})
		}
		if r.err != nil {
			break
		}
		acls[id] = tree.MakeACLs(list)
	}
	return acls
}

// node reads one node into t and reports whether it was one.
func (r *snapshotReader) node(t *tree.Tree, acls map[int64]tree.ACLs) bool {
	path := string(r.buffer())
	if r.err != nil || path == snapshotEndMark {
		return false
	}
	n := &tree.Node{Data: r.buffer()}
	aclID := r.long()
	if r.err == nil && r.left < nodeStatSize {
		r.err = fmt.Errorf("%w: it ends inside a node", ErrCorrupt)
	}
	n.Czxid, n.Mzxid, n.Ctime, n.Mtime = r.long(), r.long(), r.long(), r.long()
	n.Version, n.Cversion, n.Aversion = r.int(), r.int(), r.int()
	n.Owner, n.Pzxid = r.long(), r.long()
	if r.err != nil {
		return false
	}
	acl, known := acls[aclID]
	if !known {
		r.err = fmt.Errorf("%w: node %q has the unknown ACL %d", ErrCorrupt, path, aclID)
		return false
	}
	n.ACL = acl
	if path != "" && (path[0] != '/' || t.Get(parentPath(path)) == nil) {
		r.err = fmt.Errorf("%w: node %q has no parent", ErrCorrupt, path)
		return false
	}
	t.Load(path, n)
	return true
}

func parentPath(path string) string { return filepath.Dir(path) }
