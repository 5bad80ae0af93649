package commitlog

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"gregor/pkg/vfs"
)

// ErrChanged means that segments were deleted, truncated or replaced while
// they were being compacted: the work is thrown away and begins again later.
var ErrChanged = errors.New("the log has changed meanwhile")

// errReplaced is what a reader with an old list of segments meets. It loads
// the list again.
var errReplaced = errors.New("segment was replaced")

// A cleaned segment takes the place of others in steps. After a crash behind
// any of them the log is the old one or the new one:
//
//	write X.log.cleaned and its indexes, sync   .cleaned is removed
//	rename .cleaned to .swap, the log first      .swap with .cleaned is removed
//	sync the names                               .swap replaces what it covers
//	rename the old files to .deleted, ascending  likewise
//	sync the names                               likewise
//	rename .swap to X, the log first             an index that is missing is built
//	sync the names                               a .swap that is left would be taken for
//	                                             a part of the next cleaning
//
// A source behind the last batch of the cleaned segment is not covered by it:
// the names are synced before such a source goes, so that a record never
// outlives the one that deleted it.

// CleanedSegment is a segment that is being written to replace others. One
// goroutine uses it.
type CleanedSegment struct {
	log  *Log
	s    *segment
	opts Options
	used bool // its files may be all that is left of their sources
}

// NewCleanedSegment begins a segment with the base offset of the first one
// that it will replace.
func (l *Log) NewCleanedSegment(base int64) (*CleanedSegment, error) {
	opts := l.Options()
	opts.Preallocate = false
	c := &CleanedSegment{log: l, s: newSegment(l.place, base, &opts), opts: opts}
	suffix := cleanedSuffix
	c.s.suffix.Store(&suffix)
	if err := c.removeFiles(); err != nil {
		return nil, err
	}
	f, err := l.fs.OpenFile(c.s.path(logExt), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return nil, err
	}
	c.s.file, c.s.used = share(f), true
	l.place.files.opened(c.s)
	return c, nil
}

// Appended is what an append to a cleaned segment adds: the largest offset of
// its records, and the largest timestamp with the offset that stands for it.
type Appended struct {
	LastOffset           int64
	MaxTimestamp         int64
	OffsetOfMaxTimestamp int64
}

// Append writes batches behind those written before.
func (c *CleanedSegment) Append(batches []byte, a Appended) error {
	return c.s.append(batches, appended{lastOffset: a.LastOffset, maxTimestamp: a.MaxTimestamp, offsetOfMaxTimestamp: a.OffsetOfMaxTimestamp}, c.opts.IndexIntervalBytes)
}

// AppendAborted keeps an aborted transaction whose marker stays.
func (c *CleanedSegment) AppendAborted(t AbortedTxn) error { return c.s.txns.append(t) }

// Base is the base offset.
func (c *CleanedSegment) Base() int64 { return c.s.base }

// String is the form that Kafka logs a segment in.
func (c *CleanedSegment) String() string { return c.s.String() }

// Discard removes the files of a segment that did not come to be used.
func (c *CleanedSegment) Discard() error {
	c.s.closeFiles()
	if c.used {
		return nil
	}
	return c.removeFiles()
}

func (c *CleanedSegment) removeFiles() error {
	for _, ext := range []string{logExt, indexExt, timeIndexExt, txnIndexExt} {
		if _, err := removeFile(c.log.fs, c.s.path(ext)); err != nil {
			return err
		}
	}
	return nil
}

// Finish makes the segment durable, with the time of the last source.
func (c *CleanedSegment) Finish(modifiedMs int64) error {
	if err := c.s.becomeInactive(); err != nil {
		return err
	}
	for _, ext := range []string{logExt, indexExt, timeIndexExt} {
		if err := c.log.fs.SetModTime(c.s.path(ext), time.UnixMilli(modifiedMs)); err != nil {
			return err
		}
	}
	c.s.modified.Store(modifiedMs)
	if err := c.s.flush(); err != nil {
		return err
	}
	c.s.closeFiles()
	return nil
}

// rename gives the files another suffix, the log first. Readers may know the
// segment already: nothing is opened between the two names.
func (c *CleanedSegment) rename(suffix string) error {
	for _, mu := range []*sync.Mutex{&c.s.fileMu, &c.s.offsets.mu, &c.s.times.mu, &c.s.txns.mu} {
		mu.Lock()
		defer mu.Unlock()
	}
	for _, ext := range []string{logExt, indexExt, timeIndexExt, txnIndexExt} {
		from := c.s.path(ext)
		if ext == txnIndexExt && !vfs.Exists(c.log.fs, from) {
			continue
		}
		if err := c.log.fs.Rename(from, c.log.place.path(baseName(c.s.base)+ext+suffix)); err != nil {
			return err
		}
	}
	c.s.suffix.Store(&suffix)
	return nil
}

// Replace puts a finished segment in the place of its sources, which follow
// each other in the log. Readers that hold a source's file keep it. ErrChanged
// when the sources are not what they were: the cleaned segment is to be
// discarded then. Any other error is of the disk and has been reported.
func (l *Log) Replace(c *CleanedSegment, sources []Segment) error {
	old := make(segmentList, len(sources))
	sizes := make([]int64, len(sources))
	for i, source := range sources {
		old[i], sizes[i] = source.s, source.Size()
	}
	next, err := c.s.nextOffset()
	if err != nil {
		return l.failOn(err)
	}
	c.s.closeFiles()

	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	for i, s := range old {
		if s.size.Load() != sizes[i] {
			return ErrChanged
		}
	}
	segments := *l.segments.Load()
	first := slices.Index(segments, old[0])
	if first < 0 || first+len(old) >= len(segments) || !slices.Equal(segments[first:first+len(old)], old) {
		return fmt.Errorf("segments from %d on: %w", old[0].base, ErrChanged)
	}
	return l.failOn(l.replaceLocked(c, old, next))
}

func (l *Log) replaceLocked(c *CleanedSegment, old segmentList, next int64) error {
	c.used = true
	if err := c.rename(swapSuffix); err != nil {
		return err
	}
	if err := l.fs.SyncDir(l.Dir()); err != nil {
		return err
	}
	opts := l.options.Load()
	for _, s := range old {
		if s.unsyncedName.Load() {
			c.s.unsyncedName.Store(true)
		}
	}
	l.replacements.Add(1)
	l.segments.Store(l.segments.Load().without(old).with(c.s))
	l.forgetPlacesLocked(old)
	for _, s := range old {
		s.retire() // before the names go
	}
	for _, s := range old {
		if s.base >= next && s.base > c.s.base {
			if err := l.fs.SyncDir(l.Dir()); err != nil {
				return err
			}
		}
		if err := s.markDeleted(); err != nil {
			return err
		}
	}
	if err := l.fs.SyncDir(l.Dir()); err != nil {
		return err
	}
	if err := c.rename(""); err != nil {
		return err
	}
	if err := l.fs.SyncDir(l.Dir()); err != nil {
		return err
	}
	l.after(time.Duration(opts.FileDeleteDelayMs)*time.Millisecond, func() { l.removeFilesLater(old) })
	return nil
}

// retire keeps a segment that was replaced from opening its files: under their
// names there may soon be another one's. What is open stays so, for those who
// hold it.
func (s *segment) retire() {
	s.fileMu.Lock()
	s.replaced.Store(true)
	s.fileMu.Unlock()
	s.offsets.retire()
	s.times.retire()
	s.txns.mu.Lock()
	s.txns.retired = true
	s.txns.mu.Unlock()
}

func (x *indexFile) retire() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.retired = true
}

// forgetPlacesLocked drops the marks' places in segments that go; they are
// looked for again when needed.
func (l *Log) forgetPlacesLocked(gone segmentList) {
	l.marksMu.Lock()
	defer l.marksMu.Unlock()
	for _, s := range gone {
		for _, m := range []*OffsetMetadata{&l.marks.high, &l.marks.unstable} {
			if m.SegmentBase == s.base {
				*m = unknownPosition(m.Offset)
			}
		}
	}
}
