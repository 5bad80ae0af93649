package commitlog

import "gregor/pkg/vfs"

// TruncateTo drops everything at and behind an offset, for a follower whose
// leader has another history. A batch is never split: one that holds the
// offset goes as a whole.
func (l *Log) TruncateTo(offset int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	return l.failOn(l.truncateLocked(max(0, offset)))
}

func (l *Log) truncateLocked(offset int64) error {
	if offset >= l.LogEndOffset() {
		l.info("Truncating to %d has no effect as the largest offset in the log is %d", offset, l.LogEndOffset()-1)
		return l.epochs.truncateFromEnd(offset)
	}
	l.info("Truncating to offset %d", offset)
	segments := *l.segments.Load()
	if offset < segments[0].base {
		return l.restartLocked(offset)
	}
	opts := l.options.Load()
	keep := segments.floor(offset) + 1
	if err := l.removeNowLocked(segments[keep:]); err != nil {
		return err
	}
	if _, err := segments[keep-1].truncateTo(offset); err != nil {
		return err
	}
	// What was cut off must not come back under what is appended next.
	if err := segments[keep-1].sync(); err != nil {
		return err
	}
	if err := l.epochs.truncateFromEnd(offset); err != nil {
		return err
	}
	l.recovery.lower(segments[keep-1].base) // its indexes have changed
	l.truncatedLocked()
	return l.endAtLocked(offset, min(offset, l.LogStartOffset()), opts)
}

// truncatedLocked tells whoever keeps what was done to the log so far.
func (l *Log) truncatedLocked() {
	l.truncations.Add(1)
	l.onTruncate(l.ActiveBase())
}

// endAtLocked brings everything that is derived from the segments in line
// with a log that ends at end.
func (l *Log) endAtLocked(end, start int64, opts *Options) error {
	l.marksMu.Lock()
	l.marks.start = start
	l.marksMu.Unlock()
	l.setEndLocked(end)
	l.recovery.lower(end)
	if err := l.rebuildProducersLocked(end, false, opts); err != nil {
		return err
	}
	l.setHighWatermarkLocked(min(l.HighWatermark(), end))
	l.updateUnstableLocked()
	return nil
}

// TruncateFullyAndStartAt drops everything; the log is empty at an offset.
func (l *Log) TruncateFullyAndStartAt(offset int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	l.info("Truncate and start at offset %d", offset)
	return l.failOn(l.restartLocked(offset))
}

func (l *Log) restartLocked(offset int64) error {
	opts := l.options.Load()
	if err := l.removeNowLocked(*l.segments.Load()); err != nil {
		return err
	}
	s, err := createSegment(l.place, offset, opts)
	if err != nil {
		return err
	}
	if err := s.reallocate(); err != nil {
		return err
	}
	l.segments.Store(&segmentList{s})
	l.truncatedLocked()
	if err := l.epochs.clear(); err != nil {
		return err
	}
	if err := l.removeSnapshotsLocked(func(int64) bool { return true }); err != nil {
		return err
	}
	l.producers.clear(offset)
	l.marksMu.Lock()
	l.marks.start = offset
	l.marks.end = OffsetMetadata{Offset: offset, SegmentBase: offset}
	l.marks.high = l.marks.end
	l.marks.unstable = unknownPosition(-1)
	l.marksMu.Unlock()
	l.recovery.lower(offset)
	return nil
}

// removeNowLocked removes segments whose base offsets may be used again at
// once. Readers that hold their files keep them.
func (l *Log) removeNowLocked(gone segmentList) error {
	l.segments.Store(l.segments.Load().without(gone))
	for _, s := range gone {
		s.closeFiles()
		s.deleted.Store(true)
		for _, ext := range []string{logExt, indexExt, timeIndexExt, txnIndexExt} {
			if _, err := removeFile(l.fs, l.place.path(baseName(s.base)+ext)); err != nil {
				return err
			}
		}
	}
	if len(gone) == 0 {
		return nil
	}
	return l.fs.SyncDir(l.Dir())
}

func (l *Log) removeSnapshotsLocked(which func(offset int64) bool) error {
	offsets, err := l.snapshotOffsets()
	if err != nil {
		return err
	}
	for _, offset := range offsets {
		if which(offset) {
			if err := l.removeSnapshot(offset); err != nil {
				return err
			}
		}
	}
	return nil
}

// readSnapshot loads the producers' state of an offset.
func (l *Log) readSnapshot(offset int64) ([]producer, error) {
	data, err := vfs.ReadFile(l.fs, l.snapshotPath(offset), snapshotBytesMax)
	if err != nil {
		return nil, err
	}
	return decodeSnapshot(data)
}
