package commitlog

import "sync"

// OpenFiles bounds how many files all the logs of a process keep open. When
// there are too many, some that nobody has used lately are closed; they
// are opened again when somebody asks. It is not a hard limit: files in use
// are left alone. The nil *OpenFiles has no bound.
type OpenFiles struct {
	max int

	// mu guards held. It is taken with a holder's lock held; holders are only
	// tried to be locked under it.
	mu   sync.Mutex
	held map[fileHolder]struct{}
}

// fileHolder is a segment or an index that has its file open.
type fileHolder interface {
	// giveBack closes the file unless it is in use or was used since the call
	// before, and reports whether it is closed now. It does not wait.
	giveBack() bool
}

// NewOpenFiles returns a bound for Config.Files.
func NewOpenFiles(atMost int) *OpenFiles {
	return &OpenFiles{max: atMost, held: map[fileHolder]struct{}{}}
}

// Count is how many files are open.
func (o *OpenFiles) Count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.held)
}

// opened is told by a holder, under its lock. The files to look at are any:
// a map gives them in an order of its own.
func (o *OpenFiles) opened(h fileHolder) {
	if o == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.held[h] = struct{}{}
	for range 2 { // the first look takes back the mark of use
		for other := range o.held {
			if len(o.held) <= o.max {
				return
			}
			if other != h && other.giveBack() {
				delete(o.held, other)
			}
		}
	}
}

// closed is told by a holder, under its lock.
func (o *OpenFiles) closed(h fileHolder) {
	if o == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.held, h)
}

func (s *segment) giveBack() bool {
	if !s.fileMu.TryLock() {
		return false
	}
	defer s.fileMu.Unlock()
	if s.used && s.file != nil {
		s.used = false
		return false
	}
	if s.file != nil {
		s.file.drop()
		s.file = nil
	}
	return true
}

func (x *indexFile) giveBack() bool {
	if !x.mu.TryLock() {
		return false
	}
	defer x.mu.Unlock()
	if x.used && x.file != nil {
		x.used = false
		return false
	}
	if x.file != nil {
		x.file.Close()
		x.file = nil
	}
	return true
}
