package commitlog

import (
	"fmt"
	"time"

	"gregor/pkg/kerr"
	"gregor/pkg/vfs"
)

// Roll begins a new segment at the log end.
func (l *Log) Roll() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	return l.failOn(l.rollLocked(l.options.Load(), 0))
}

// rollLocked begins a new segment at the log end or at expected, whichever is
// larger: it finishes the old one's indexes, saves the producers' state and
// has everything below flushed in the background.
func (l *Log) rollLocked(opts *Options, expected int64) error {
	started := time.Now()
	offset := max(expected, l.LogEndOffset())
	segments := *l.segments.Load()
	active := segments.active()
	switch {
	case active.base == offset && active.size.Load() > 0:
		return fmt.Errorf("a segment with base offset %d exists already and is not empty", offset)
	case active.base == offset:
		// Empty, and yet full: its index has no room for an entry.
		if err := l.removeSegmentsLocked(segmentList{active}, opts); err != nil {
			return err
		}
	case offset < active.base:
		return fmt.Errorf("a segment at %d would be before the active one at %d", offset, active.base)
	default:
		if err := l.removeFilesOf(offset); err != nil {
			return err
		}
		if err := active.becomeInactive(); err != nil {
			return err
		}
		// Its indexes have just changed, even if its records are on disk.
		l.recovery.lower(active.base)
	}
	l.producers.mapEnd = offset
	if err := l.takeSnapshotLocked(); err != nil {
		return err
	}
	s, err := createSegment(l.place, offset, opts)
	if err != nil {
		return err
	}
	l.segments.Store(l.segments.Load().with(s))
	l.setEndLocked(l.LogEndOffset())
	l.after(0, func() { l.flushTo(offset) })
	l.info("Rolled new log segment at offset %d in %d ms.", offset, time.Since(started).Milliseconds())
	return nil
}

// removeFilesOf removes files that a new segment would find in its place.
func (l *Log) removeFilesOf(base int64) error {
	for _, ext := range []string{logExt, indexExt, timeIndexExt, txnIndexExt} {
		path := l.place.path(baseName(base) + ext)
		removed, err := removeFile(l.fs, path)
		if err != nil {
			return err
		}
		if removed {
			l.warn("Newly rolled segment file %s already exists; deleting it first", path)
		}
	}
	return nil
}

// removeSegmentsLocked takes segments out of the log: readers that hold them
// go on, the files get another name now and are removed after a while.
func (l *Log) removeSegmentsLocked(gone segmentList, opts *Options) error {
	if len(gone) == 0 {
		return nil
	}
	l.segments.Store(l.segments.Load().without(gone))
	for _, s := range gone {
		if err := s.markDeleted(); err != nil {
			return err
		}
	}
	l.after(time.Duration(opts.FileDeleteDelayMs)*time.Millisecond, func() { l.removeFilesLater(gone) })
	return nil
}

// removeFilesLater is removeFiles when its time has come.
func (l *Log) removeFilesLater(gone segmentList) {
	if l.failed.Load() || l.closed.Load() && !vfs.Exists(l.fs, l.Dir()) {
		return // not ours to touch any more, or removed with the log
	}
	l.removeFiles(gone)
}

// removeFiles removes the files of segments that markDeleted has renamed.
func (l *Log) removeFiles(gone segmentList) error {
	l.info("Deleting segment files %s", joinSegments(gone))
	for _, s := range gone {
		s.closeFiles()
		for _, file := range []struct{ ext, kind string }{{logExt, "log"}, {indexExt, "offset index"}, {timeIndexExt, "time index"}, {txnIndexExt, "transaction index"}} {
			path := s.path(file.ext)
			removed, err := removeFile(l.fs, path)
			if err != nil {
				return l.failOn(err)
			}
			if removed {
				l.segLog.Infof("Deleted %s %s.", file.kind, path)
			}
		}
		if l.segments.Load().has(s.base) {
			continue // a new segment took the place, and with it the snapshot
		}
		if err := l.removeSnapshot(s.base); err != nil {
			return l.failOn(err)
		}
	}
	return nil
}

func (l segmentList) has(base int64) bool {
	i := l.floor(base)
	return i >= 0 && l[i].base == base
}

// DeleteOldSegments removes the segments that lie below the log start, and,
// where the policy deletes, those that are too old or too many. It returns
// how many it removed. Nothing at or above the high watermark goes.
func (l *Log) DeleteOldSegments(now time.Time) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return 0, err
	}
	opts := l.options.Load()
	total := 0
	for _, rule := range l.retentionRules(opts, now.UnixMilli()) {
		n, err := l.deleteByRuleLocked(rule, opts)
		total += n
		if err != nil {
			return total, l.failOn(err)
		}
	}
	return total, nil
}

// retentionRule says whether a segment, with the one behind it (nil for the
// last), must go, and why.
type retentionRule func(s, next *segment) (reason string, err error)

func (l *Log) retentionRules(opts *Options, nowMs int64) []retentionRule {
	belowStart := func(_, next *segment) (string, error) {
		if start := l.LogStartOffset(); next != nil && next.base <= start {
			return fmt.Sprintf("log start offset %d breach", start), nil
		}
		return "", nil
	}
	if !opts.Delete {
		return []retentionRule{belowStart}
	}
	byTime := func(s, _ *segment) (string, error) {
		largest, err := s.largestTimestamp()
		if opts.RetentionMs < 0 || err != nil || nowMs-largest <= opts.RetentionMs {
			return "", err
		}
		clock := "largest record timestamp in the segment"
		if timestamp, _, _ := s.max(); timestamp < 0 {
			clock = "last modified time of the segment"
		}
		return fmt.Sprintf("retention time %dms breach based on the %s", opts.RetentionMs, clock), nil
	}
	size := int64(-1) // summed when the rule's turn comes: the others delete too
	bySize := func(s, _ *segment) (string, error) {
		if size < 0 {
			size = l.Size()
		}
		left := size - s.size.Load()
		if opts.RetentionBytes < 0 || left < opts.RetentionBytes {
			return "", nil
		}
		size = left
		return fmt.Sprintf("retention size %d breach. Log size after deletion will be %d.", opts.RetentionBytes, left), nil
	}
	return []retentionRule{byTime, bySize, belowStart}
}

func (l *Log) deleteByRuleLocked(rule retentionRule, opts *Options) (int, error) {
	segments := *l.segments.Load()
	m := l.readMarks()
	n := 0
	for n < len(segments) {
		s, next, upper := segments[n], (*segment)(nil), m.end.Offset
		if n+1 < len(segments) {
			next = segments[n+1]
			upper = next.base
		}
		if upper > m.high.Offset || next == nil && s.size.Load() == 0 {
			break
		}
		reason, err := rule(s, next)
		if err != nil {
			return 0, err
		}
		if reason == "" {
			break
		}
		l.info("Deleting segment %s due to %s", s, reason)
		n++
	}
	if n == 0 {
		return 0, nil
	}
	if n == len(segments) {
		if err := l.rollLocked(opts, 0); err != nil {
			return 0, err
		}
	}
	if err := l.removeSegmentsLocked(segments[:n], opts); err != nil {
		return 0, err
	}
	err := l.incrementStartLocked((*l.segments.Load())[0].base, "segment deletion")
	if kerr.Code(err) == kerr.OffsetOutOfRange.Code {
		err = nil // the high watermark moved down meanwhile
	}
	return n, err
}
