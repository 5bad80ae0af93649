package commitlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"

	"gregor/pkg/record"
)

// A batch that is damaged on disk must not be served, and records leave by
// sendfile, unseen. What this process appended or recovered was checked then.
// What it found at a clean start is checked when it is read for the first time:
// each batch once, in bytes that sendfile would have to bring into memory
// next anyway. Damage that comes later than that is seen by readers as far as
// it concerns offsets, sizes and formats, which are looked at to find a
// batch, and by clients, who check the sum.

// verified knows which bytes of a segment have been checked.
type verified struct {
	// unchecked is where the bytes end that were there when the segment was
	// loaded and are not all known to be sound; 0 when they are.
	unchecked atomic.Int64

	mu    sync.Mutex // guards spans
	spans []span     // checked parts below unchecked, ascending and apart
}

type span struct{ from, to int64 }

const spansMax = 64

// trust says that everything was checked.
func (v *verified) trust() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.spans = nil
	v.unchecked.Store(0)
}

// distrust says that nothing below size was checked.
func (v *verified) distrust(size int64) { v.unchecked.Store(size) }

// checkedFrom is where the checked part that holds a position ends, the
// position itself when it is not checked.
func (v *verified) checkedFrom(position int64) int64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, s := range v.spans {
		if s.from <= position && position < s.to {
			return s.to
		}
	}
	return position
}

func (v *verified) add(from, to int64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	to = min(to, v.unchecked.Load()) // it may have been cut meanwhile
	if to <= from {
		return
	}
	merged := span{from, to}
	v.spans = slices.DeleteFunc(v.spans, func(s span) bool {
		touches := s.from <= merged.to && merged.from <= s.to
		if touches {
			merged = span{min(s.from, merged.from), max(s.to, merged.to)}
		}
		return touches
	})
	i, _ := slices.BinarySearchFunc(v.spans, merged, func(a, b span) int { return int(min(max(a.from-b.from, -1), 1)) })
	v.spans = slices.Insert(v.spans, i, merged)
	switch {
	case merged.from == 0 && merged.to >= v.unchecked.Load():
		v.spans = nil
		v.unchecked.Store(0)
	case len(v.spans) > spansMax:
		v.spans = slices.Delete(v.spans, 0, 1)
	}
}

// cut forgets what was known of the bytes from a position on, where others will
// be.
func (v *verified) cut(position int64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.unchecked.Load() <= position {
		return
	}
	v.unchecked.Store(position)
	for i := range v.spans {
		v.spans[i].to = min(v.spans[i].to, position)
	}
	v.spans = slices.DeleteFunc(v.spans, func(s span) bool { return s.to <= s.from })
}

// damage is a place in a log file where no sound batch is.
type damage struct {
	path     string
	offset   int64 // that was to be read there
	position int64
	size     int32 // that the batch says it has, -1 when not even that is there
	reason   error
}

func (d *damage) Error() string {
	return fmt.Sprintf("%s is damaged: the batch at position %d, looked at for offset %d, is not sound: %s", d.path, d.position, d.offset, d.reason)
}

func (d *damage) Unwrap() error { return d.reason }

// damaged wraps ErrCorrupt with where it was found; other errors pass.
func (s *segment) damaged(err error, offset, position int64) error {
	var known *damage
	if !errors.Is(err, ErrCorrupt) || errors.As(err, &known) {
		return err
	}
	d := &damage{path: s.path(logExt), offset: offset, position: position, size: -1, reason: err}
	if file, err := s.acquire(); err == nil {
		defer file.drop()
		var head [record.Overhead]byte
		if readAll(file, head[:], position) == nil {
			d.size = int32(binary.BigEndian.Uint32(head[8:]))
		}
	}
	return d
}

// soundUntil checks the whole batches of [from, to) that have not been, and
// returns where the sound ones end: to, unless there is damage before it. The
// first batch being damaged is an error. A batch that passes to is left to the
// reader who asks for all of it.
//
// Hot path: one atomic load where everything was checked.
func (s *segment) soundUntil(file io.ReaderAt, offset, from, to int64) (int64, error) {
	end := min(to, s.verified.unchecked.Load())
	if from >= end {
		return to, nil
	}
	at := s.verified.checkedFrom(from)
	if at >= end {
		return to, nil
	}
	scan := scanBatches(file, at, s.size.Load())
	scan.ahead = min(to-at, scanBufferSize)
	defer scan.done()
	began := at
	for at < end {
		h, err := scan.header()
		if err == nil && at+int64(h.size) > to {
			break
		}
		if err == nil {
			_, h, err = scan.next()
		}
		if err != nil {
			s.verified.add(began, at)
			if errors.Is(err, ErrCorrupt) && at > from {
				return at, nil // what is before it is served, the next fetch tells
			}
			return from, s.damaged(err, offset, at)
		}
		at += int64(h.size)
	}
	s.verified.add(began, at)
	return to, nil
}

// complaints remembers what was logged, so that a client that asks for a
// damaged batch again and again does not fill the log.
type complaints struct {
	mu   sync.Mutex
	told map[string]bool
}

const complaintsMax = 1000

// first reports true once for each text.
func (c *complaints) first(text string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.told[text] || len(c.told) >= complaintsMax {
		return false
	}
	if c.told == nil {
		c.told = map[string]bool{}
	}
	c.told[text] = true
	return true
}
