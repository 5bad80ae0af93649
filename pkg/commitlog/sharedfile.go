package commitlog

import (
	"sync/atomic"

	"gregor/pkg/vfs"
)

// sharedFile is an open file that several readers hold. It is closed when
// the last of them lets go, so that a segment that is deleted or closed while
// it is being sent stays readable.
type sharedFile struct {
	vfs.File
	refs    atomic.Int64
	release func() // drop, made once so that lending allocates nothing
}

// share wraps a file; the caller holds the first reference.
func share(f vfs.File) *sharedFile {
	s := &sharedFile{File: f}
	s.refs.Store(1)
	s.release = s.drop
	return s
}

// hold adds a reference; the caller knows that one is held.
func (s *sharedFile) hold() { s.refs.Add(1) }

func (s *sharedFile) drop() {
	switch left := s.refs.Add(-1); {
	case left == 0:
		s.File.Close()
	case left < 0:
		panic("commitlog: a file was released twice")
	}
}
