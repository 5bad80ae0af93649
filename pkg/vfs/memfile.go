package vfs

import (
	"io"
	"io/fs"
	"slices"
	"time"
)

// memFile is an open file of Mem. It stays readable after its name is gone.
type memFile struct {
	fs   *Mem
	node *memNode
	name string
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if off < 0 {
		return 0, pathError("read", f.name, fs.ErrInvalid)
	}
	if off >= int64(len(f.node.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.node.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if off < 0 {
		return 0, pathError("write", f.name, fs.ErrInvalid)
	}
	f.resize(max(int64(len(f.node.data)), off+int64(len(p))))
	f.node.modified = f.fs.now()
	return copy(f.node.data[off:], p), nil
}

func (f *memFile) Truncate(size int64) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if size < 0 {
		return pathError("truncate", f.name, fs.ErrInvalid)
	}
	f.resize(size)
	f.node.modified = f.fs.now()
	return nil
}

// resize cuts, or grows with zeros. mu is held.
func (f *memFile) resize(size int64) {
	had := int64(len(f.node.data))
	if size <= had {
		clear(f.node.data[size:])
		f.node.data = f.node.data[:size]
		return
	}
	f.node.data = slices.Grow(f.node.data, int(size-had))[:size]
	clear(f.node.data[had:])
}

func (f *memFile) Sync() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	f.node.synced = append(f.node.synced[:0], f.node.data...)
	return nil
}

func (f *memFile) Stat() (fs.FileInfo, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	return f.node.info(f.name), nil
}

func (f *memFile) Close() error { return nil }

// info is a snapshot of a node for Stat and ReadDir.
func (n *memNode) info(name string) fs.FileInfo {
	return memInfo{name: name, size: int64(len(n.data)), mode: n.mode, modified: n.modified}
}

type memInfo struct {
	name     string
	size     int64
	mode     fs.FileMode
	modified time.Time
}

func (i memInfo) Name() string       { return i.name }
func (i memInfo) Size() int64        { return i.size }
func (i memInfo) Mode() fs.FileMode  { return i.mode }
func (i memInfo) ModTime() time.Time { return i.modified }
func (i memInfo) IsDir() bool        { return i.mode.IsDir() }
func (i memInfo) Sys() any           { return nil }
