package commitlog

import (
	"errors"
	"fmt"

	"gregor/pkg/kerr"
)

// CloseIdleFiles gives back the descriptors of segments that nobody has read
// or written since the call before.
func (l *Log) CloseIdleFiles() {
	for _, s := range *l.segments.Load() {
		s.closeIfIdle()
	}
}

// usable says why the log takes no more calls.
func (l *Log) usable() error {
	if l.failed.Load() {
		return kerr.KafkaStorageError
	}
	if l.closed.Load() {
		return kerr.KafkaStorageError.With("%s: %s", l.partition, ErrClosed)
	}
	return nil
}

// failOn lets errors of the protocol and nil pass. Damaged records are told
// once for each place and concern nobody but those who ask for them. Any other
// error is of the disk: the log takes no more calls and its directory is
// reported.
func (l *Log) failOn(err error) error {
	var protocol *kerr.Error
	switch {
	case err == nil || errors.As(err, &protocol):
		return err
	case errors.Is(err, ErrCorrupt):
		if l.complaints.first(err.Error()) {
			l.entry.Errorf("[Log partition=%s, dir=%s] %s", l.partition, l.ParentDir(), err)
		}
		return kerr.CorruptMessage.With("%s: %s", l.partition, err)
	}
	if !l.failed.Swap(true) {
		l.onFailure(fmt.Errorf("%s: %w", l.Dir(), err))
	}
	return kerr.KafkaStorageError.With("%s: %s", l.Dir(), err)
}

// MarkFailed makes the log refuse every call, for a directory that is
// offline, and closes its files without touching them.
func (l *Log) MarkFailed() {
	l.failed.Store(true)
	for _, s := range *l.segments.Load() {
		s.closeFiles()
	}
}

// Close saves the producers' state and leaves every file as a clean shutdown
// does. It does not sync; Flush does.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed.Swap(true) || l.failed.Load() {
		return nil
	}
	if ps := l.producers; ps.mapEnd > ps.lastSnapshot {
		l.prodLog.Infof("[ProducerStateManager partition=%s] Writing producer snapshot at offset %d", l.partition, ps.mapEnd)
	}
	if err := l.takeSnapshotLocked(); err != nil {
		return l.failOn(err)
	}
	if err := l.epochs.save(); err != nil {
		return l.failOn(err)
	}
	for _, s := range *l.segments.Load() {
		if err := s.close(); err != nil {
			return l.failOn(err)
		}
	}
	return nil
}

// RenameDir renames the partition's directory: before it is deleted, or when a
// copy takes the place of the log. The name is not durable yet. Readers that
// hold a region keep it; the caller sees to it that nobody begins to read
// meanwhile.
func (l *Log) RenameDir(dir string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flushMu.Lock()
	defer l.flushMu.Unlock()
	if err := l.fs.Rename(l.Dir(), dir); err != nil {
		return l.failOn(err)
	}
	l.place.dir.Store(&dir)
	return nil
}

// Delete removes the log's files and its directory.
func (l *Log) Delete() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed.Store(true)
	segments := *l.segments.Load()
	l.info("Deleting segments as the log has been deleted: %s", joinSegments(segments))
	l.segments.Store(&segmentList{})
	for _, s := range segments {
		if err := s.markDeleted(); err != nil {
			return l.failOn(err)
		}
	}
	if err := l.removeFiles(segments); err != nil {
		return err
	}
	return l.failOn(l.fs.RemoveAll(l.Dir()))
}

// CloseFiles gives back every descriptor; the log stays usable.
func (l *Log) CloseFiles() {
	for _, s := range *l.segments.Load() {
		s.closeFiles()
	}
}
