package commitlog

import (
	"errors"
	"io/fs"
	"math"
	"path/filepath"
	"time"
)

// RecoveryPoint is the offset below which everything is on disk.
func (l *Log) RecoveryPoint() int64 { return l.recovery.offset() }

// LastFlush is when Flush last did something.
func (l *Log) LastFlush() time.Time { return time.UnixMilli(l.lastFlushMs.Load()) }

// Flush makes the log durable up to its end.
func (l *Log) Flush() error { return l.flushTo(l.LogEndOffset()) }

// flushIfDue makes what was appended below end durable when flush.messages
// asks for it. Appends of many connections share a sync: whoever gets flushMu
// syncs everything that has been written by then, and those who waited
// for it meanwhile mostly find their records on disk. Nothing is held by the
// caller, so that appends go on during the sync.
//
// Hot path: two comparisons when flush.messages is not set.
func (l *Log) flushIfDue(end int64) error {
	unflushed := l.options.Load().FlushMessages
	if unflushed == math.MaxInt64 || l.recovery.offset() >= end || l.LogEndOffset()-l.recovery.offset() < unflushed {
		return nil
	}
	return l.flushUpTo(end, l.LogEndOffset)
}

// flushTo makes the log durable up to offset.
func (l *Log) flushTo(offset int64) error {
	return l.flushUpTo(offset, func() int64 { return offset })
}

// flushUpTo makes the log durable up to atLeast and, while it is at it, up to
// what target says once nobody else is flushing: the segments from the
// recovery point on, and the names of new ones. After a failure no sync is
// tried again: the system may have dropped what it could not write.
func (l *Log) flushUpTo(atLeast int64, target func() int64) error {
	l.flushMu.Lock()
	defer l.flushMu.Unlock()
	if l.failed.Load() {
		return l.usable()
	}
	from := l.recovery.beginFlush()
	if atLeast <= from {
		return nil
	}
	offset := target()
	newNames := false
	for _, s := range l.segments.Load().between(from, offset) {
		if s.replaced.Load() {
			continue // by a segment that is durable
		}
		if err := s.flush(); err != nil && !errors.Is(err, errReplaced) && !(s.deleted.Load() && errors.Is(err, fs.ErrNotExist)) {
			return l.failOn(err)
		}
		newNames = s.unsyncedName.Swap(false) || newNames
	}
	if err := l.epochs.save(); err != nil {
		return l.failOn(err)
	}
	if l.epochs.unsyncedName.Swap(false) || newNames {
		if err := l.syncNames(); err != nil {
			return l.failOn(err)
		}
	}
	l.recovery.flushed(min(offset, max(l.LogEndOffset(), from)))
	l.lastFlushMs.Store(time.Now().UnixMilli())
	return nil
}

// syncNames makes the names of the log's files durable, and its own.
func (l *Log) syncNames() error {
	dir := l.Dir()
	if err := l.fs.SyncDir(dir); err != nil {
		return err
	}
	return l.fs.SyncDir(filepath.Dir(dir))
}
