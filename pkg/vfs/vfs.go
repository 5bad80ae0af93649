// Package vfs is the file system as the log sees it.
//
// FS has three implementations: OS, the real one; Mem, which lives in memory
// and can be cloned as a power cut would leave it (CrashClone); and Faulty,
// which wraps another one and lets a test fail any single call. Users are
// commitlog and logmanager. The package owns no goroutine.
//
// What is assumed of a disk, and imitated by Mem: bytes written and not
// synced may be gone after a power cut, in part or whole; a name created,
// renamed or removed is durable once its directory is synced; a rename is
// atomic. Killing the process alone loses nothing that was written.
//
// Not here: mapping files into memory; anything about formats.
package vfs

import (
	"io"
	"io/fs"
	"os"
	"time"
)

// File is an open file. Every method is safe for concurrent use.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Truncate(size int64) error
	Sync() error
	Stat() (fs.FileInfo, error)
}

// FS names files by slash paths of the operating system.
type FS interface {
	// OpenFile opens with the flags of package os. The real system returns
	// *os.File, so that its bytes can leave by sendfile.
	OpenFile(name string, flag int, perm fs.FileMode) (File, error)
	MkdirAll(name string, perm fs.FileMode) error
	Rename(from, to string) error
	Remove(name string) error // a file or an empty directory
	RemoveAll(name string) error
	ReadDir(name string) ([]fs.DirEntry, error) // sorted by name
	Stat(name string) (fs.FileInfo, error)
	SyncDir(name string) error
	// SetModTime says when a file was last written.
	SetModTime(name string, t time.Time) error
	// Lock creates the file if needed and holds it exclusively against other
	// processes and other calls in this one. ErrLocked when it is held.
	Lock(name string) (io.Closer, error)
}

// ReadFile reads a whole file of at most limit bytes; a longer one is an
// error before it is read.
func ReadFile(fsys FS, name string, limit int64) ([]byte, error) {
	f, err := fsys.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > limit {
		return nil, &fs.PathError{Op: "read", Path: name, Err: ErrTooLarge}
	}
	data := make([]byte, info.Size())
	n, err := f.ReadAt(data, 0)
	if err == io.EOF {
		err = nil
	}
	return data[:n], err
}

// WriteFile creates or replaces a file and syncs it.
func WriteFile(fsys FS, name string, data []byte) error { return writeFile(fsys, name, data, true) }

// WriteFileUnsynced is WriteFile for what may be lost or torn by a power cut.
func WriteFileUnsynced(fsys FS, name string, data []byte) error {
	return writeFile(fsys, name, data, false)
}

func writeFile(fsys FS, name string, data []byte, durable bool) error {
	f, err := fsys.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	if _, err = f.WriteAt(data, 0); err == nil && durable {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}

// Exists reports whether a name is there.
func Exists(fsys FS, name string) bool {
	_, err := fsys.Stat(name)
	return err == nil
}
