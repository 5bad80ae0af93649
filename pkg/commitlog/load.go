package commitlog

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"gregor/pkg/vfs"
)

// load finds the segments of the directory, finishes what a crash
// interrupted, and recovers what may be torn. The steps are listed in the
// package comment.
func (l *Log) load(cfg Config) error {
	files, err := l.clearLeftovers()
	if err != nil {
		return err
	}
	l.marks.start = cfg.LogStartOffset
	if err := l.loadSegments(files, &cfg.Options); err != nil {
		return err
	}
	l.recovery.set(cfg.RecoveryPoint)
	if !cfg.CleanShutdown {
		var err error
		if cfg.RecoveryPoint, err = l.recoverFrom(cfg.RecoveryPoint, &cfg.Options); err != nil {
			return err
		}
	}
	end, err := l.settleEnd(cfg)
	if err != nil {
		return err
	}
	active := l.segments.Load().active()
	if err := active.reallocate(); err != nil {
		return err
	}
	active.unsyncedName.Store(true) // an empty log was never flushed
	l.epochs.dropFromEnd(end)
	l.marks.start = max(cfg.LogStartOffset, (*l.segments.Load())[0].base)
	if err := l.epochs.truncateFromStart(l.marks.start); err != nil {
		return err
	}
	l.setEndLocked(end)
	l.marks.high = unknownPosition(l.marks.start)
	if l.marks.start >= end {
		l.marks.high = l.marks.end
	}
	if err := l.removeStraySnapshots(); err != nil {
		return err
	}
	if err := l.rebuildProducersLocked(end, cfg.CleanShutdown, &cfg.Options); err != nil {
		return err
	}
	l.updateUnstableLocked()
	return nil
}

// settleEnd finds the log end, makes the first segment of an empty log, and
// sets the recovery point.
func (l *Log) settleEnd(cfg Config) (end int64, err error) {
	found := false
	if segments := *l.segments.Load(); len(segments) > 0 {
		if end, err = segments.active().nextOffset(); err != nil {
			return 0, refuseDamage(err)
		}
		if found = end >= cfg.LogStartOffset; !found {
			l.warn("Deleting all segments because logEndOffset (%d) is smaller than logStartOffset (%d)", end, cfg.LogStartOffset)
			if err := l.removeSegmentsLocked(segments, &cfg.Options); err != nil {
				return 0, err
			}
		}
	}
	if !found {
		end = cfg.LogStartOffset
		s, err := createSegment(l.place, end, &cfg.Options)
		if err != nil {
			return 0, err
		}
		s.closeFiles()
		l.segments.Store(&segmentList{s})
	}
	if cfg.CleanShutdown && found {
		l.recovery.set(end)
	} else {
		l.recovery.set(min(cfg.RecoveryPoint, end))
	}
	return end, nil
}

// clearLeftovers removes the files of deletions and cleanings that did not
// finish, finishes swaps that can be, and returns what is left, by name.
func (l *Log) clearLeftovers() ([]fs.DirEntry, error) {
	entries, err := l.fs.ReadDir(l.Dir())
	if err != nil {
		return nil, err
	}
	cleanedMin := int64(math.MaxInt64)
	var cleaned []string
	var swaps []int64
	changed := false
	for _, entry := range entries {
		name := entry.Name()
		switch {
		case entry.IsDir():
		case strings.HasSuffix(name, deletedSuffix):
			changed = true
			if err := l.fs.Remove(l.place.path(name)); err != nil {
				return nil, err
			}
		case strings.HasSuffix(name, cleanedSuffix):
			cleaned = append(cleaned, name)
			if offset, ok := leadingOffset(name); ok {
				cleanedMin = min(cleanedMin, offset)
			}
		case strings.HasSuffix(name, swapSuffix):
			offset, ok := leadingOffset(name)
			if !ok {
				break
			}
			changed = true
			if strings.HasSuffix(name, logExt+swapSuffix) {
				swaps = append(swaps, offset)
			} else if err := l.fs.Remove(l.place.path(name)); err != nil {
				return nil, err
			}
			if err := l.removeIndexes(offset, ""); err != nil {
				return nil, err
			}
		}
	}
	for _, offset := range swaps {
		if err := l.finishSwap(offset, offset >= cleanedMin); err != nil {
			return nil, err
		}
	}
	for _, name := range cleaned {
		changed = true
		if err := l.fs.Remove(l.place.path(name)); err != nil {
			return nil, err
		}
	}
	if !changed {
		return entries, nil
	}
	return l.fs.ReadDir(l.Dir())
}

// leadingOffset is the offset that a segment file's name begins with.
func leadingOffset(name string) (int64, bool) {
	digits, ext, _ := strings.Cut(name, ".")
	return offsetOfName(digits+"."+ext, "."+ext)
}

func (l *Log) removeIndexes(base int64, suffix string) error {
	for _, ext := range []string{indexExt, timeIndexExt, txnIndexExt} {
		if _, err := removeFile(l.fs, l.place.path(baseName(base)+ext+suffix)); err != nil {
			return err
		}
	}
	return nil
}

// finishSwap puts a cleaned segment in the place of those it covers, or
// removes it when the cleaning had not finished.
func (l *Log) finishSwap(base int64, incomplete bool) error {
	swap := l.place.path(baseName(base) + logExt + swapSuffix)
	if incomplete {
		if err := l.removeIndexes(base, swapSuffix); err != nil {
			return err
		}
		_, err := removeFile(l.fs, swap)
		return err
	}
	l.info("Found log file %s from interrupted swap operation, which is recoverable", swap)
	next, err := l.lastOffsetIn(swap, base)
	if err != nil {
		return err
	}
	entries, err := l.fs.ReadDir(l.Dir())
	if err != nil {
		return err
	}
	for _, entry := range entries {
		covered, ok := offsetOfName(entry.Name(), logExt)
		if !ok || covered <= base || covered >= next {
			continue
		}
		if err := l.removeIndexes(covered, ""); err != nil {
			return err
		}
		if err := l.fs.Remove(l.place.path(entry.Name())); err != nil {
			return err
		}
	}
	// What is covered must not come back beside what covers it.
	if err := l.fs.SyncDir(l.Dir()); err != nil {
		return err
	}
	if err := l.fs.Rename(swap, strings.TrimSuffix(swap, swapSuffix)); err != nil {
		return err
	}
	// Under its old name it would be taken for a part of the next cleaning.
	return l.fs.SyncDir(l.Dir())
}

// lastOffsetIn is the offset behind the sound batches of a log file.
func (l *Log) lastOffsetIn(path string, base int64) (int64, error) {
	f, err := l.fs.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	next := base
	scan := scanBatches(f, 0, info.Size())
	defer scan.done()
	for {
		_, h, err := scan.next()
		if err != nil {
			return next, scan.diskError(err)
		}
		next = h.lastOffset + 1
	}
}

// loadSegments makes a segment of every .log file. One without offset index,
// or with a broken transaction index, has its indexes built anew.
func (l *Log) loadSegments(files []fs.DirEntry, opts *Options) error {
	present := map[string]bool{}
	for _, file := range files {
		present[file.Name()] = !file.IsDir()
	}
	var segments segmentList
	for _, file := range files {
		name := file.Name()
		if file.IsDir() {
			continue
		}
		if base, ok := indexOwner(name); ok && !present[baseName(base)+logExt] {
			l.warn("Found an orphaned index file %s with no corresponding log file.", l.place.path(name))
			if _, err := removeFile(l.fs, l.place.path(name)); err != nil {
				return err
			}
			continue
		}
		if err := refuseName(name); err != nil {
			return err
		}
		base, ok := offsetOfName(name, logExt)
		if !ok {
			continue
		}
		s, err := l.loadSegment(base, file, present, opts)
		if err != nil {
			return err
		}
		segments = append(segments, s)
	}
	slices.SortFunc(segments, func(a, b *segment) int { return cmp.Compare(a.base, b.base) })
	l.segments.Store(&segments)
	for _, s := range segments {
		if err := l.checkIndexes(s, present, opts); err != nil {
			return err
		}
	}
	return nil
}

func indexOwner(name string) (int64, bool) {
	for _, ext := range []string{indexExt, timeIndexExt, txnIndexExt} {
		if base, ok := offsetOfName(name, ext); ok {
			return base, true
		}
	}
	return 0, false
}

func (l *Log) loadSegment(base int64, file fs.DirEntry, present map[string]bool, opts *Options) (*segment, error) {
	info, err := file.Info()
	if err != nil {
		return nil, err
	}
	if info.Size() > math.MaxInt32 {
		return nil, fmt.Errorf("segment %s of %d bytes: %w", baseName(base), info.Size(), ErrCorrupt)
	}
	s := newSegment(l.place, base, opts)
	s.size.Store(info.Size())
	s.verified.distrust(info.Size())
	s.modified.Store(info.ModTime().UnixMilli())
	if !present[baseName(base)+timeIndexExt] {
		f, err := l.fs.OpenFile(s.path(timeIndexExt), os.O_RDWR|os.O_CREATE, 0o644)
		if err != nil {
			return nil, err
		}
		if err := f.Close(); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (l *Log) checkIndexes(s *segment, present map[string]bool, opts *Options) error {
	if !present[baseName(s.base)+indexExt] {
		l.entry.Errorf("[Log partition=%s, dir=%s] Could not find offset index file corresponding to log file %s, recovering segment and rebuilding index files...",
			l.partition, l.ParentDir(), s.path(logExt))
		return l.reindex(s, opts)
	}
	if !present[baseName(s.base)+txnIndexExt] {
		return nil
	}
	err := s.txns.check()
	if !errors.Is(err, ErrCorrupt) {
		return err
	}
	l.warn("Found a corrupted index file corresponding to log file %s due to %s, recovering segment and rebuilding index files...", s.path(logExt), err)
	return l.reindex(s, opts)
}

// reindex recovers a segment and makes the result durable: the recovery point
// may be far behind it.
func (l *Log) reindex(s *segment, opts *Options) error {
	switch _, err := l.recoverSegment(s, opts); {
	case errors.Is(err, errOverflow):
		parts, err := l.splitAt(s, opts)
		for _, p := range parts {
			if err == nil {
				err = l.reindex(p, opts)
			}
		}
		return err
	case err != nil:
		return err
	}
	if err := s.flush(); err != nil {
		return err
	}
	s.closeFiles()
	return nil
}

// recoverFrom scans every segment from the recovery point on. At the first
// byte that is no sound batch the log ends; what is behind goes. Since the
// indexes of those segments are new and not synced, the recovery point moves
// back to where the first of them begins.
func (l *Log) recoverFrom(recoveryPoint int64, opts *Options) (int64, error) {
	segments := *l.segments.Load()
	l.epochsInDoubt = true
	defer func() { l.epochsInDoubt = false }()
	for i := max(0, segments.floor(recoveryPoint)); i < len(segments); i++ {
		s := segments[i]
		recoveryPoint = min(recoveryPoint, s.base)
		l.info("Recovering unflushed segment %d", s.base)
		cut, err := l.recoverSegment(s, opts)
		if errors.Is(err, errOverflow) {
			if _, err := l.splitAt(s, opts); err != nil {
				return 0, err
			}
			segments = *l.segments.Load()
			i-- // again, with its parts
			continue
		}
		if err != nil {
			return 0, err
		}
		if cut == 0 {
			continue
		}
		next, err := s.nextOffset()
		if err != nil {
			return 0, err
		}
		l.warn("Corruption found in segment %d, truncating to offset %d", s.base, next)
		return recoveryPoint, l.removeSegmentsLocked(segments[i+1:], opts)
	}
	return recoveryPoint, nil
}

// removeStraySnapshots removes the snapshots that belong to no segment,
// except the newest one when it is newer than every segment: that is the one
// of a clean shutdown.
func (l *Log) removeStraySnapshots() error {
	offsets, err := l.snapshotOffsets()
	if err != nil || len(offsets) == 0 {
		return err
	}
	segments := *l.segments.Load()
	newest := offsets[len(offsets)-1]
	return l.removeSnapshotsLocked(func(offset int64) bool {
		if offset == newest && offset > segments.active().base {
			return false
		}
		return !segments.has(offset)
	})
}

// rebuildProducersLocked brings the producers' state to end: the newest sound
// snapshot, and the batches behind it. A log without any snapshot after a
// clean shutdown is of a broker that knew no producers.
func (l *Log) rebuildProducersLocked(end int64, clean bool, opts *Options) error {
	l.info("Loading producer state till offset %d with message format version 2", end)
	offsets, err := l.snapshotOffsets()
	if err != nil {
		return err
	}
	segments := *l.segments.Load()
	snapshotAt := []int64{segments.active().base, end}
	if len(segments) > 1 {
		snapshotAt = slices.Insert(snapshotAt, 0, segments[len(segments)-2].base)
	}
	if len(offsets) == 0 && clean {
		for _, offset := range snapshotAt {
			l.producers.mapEnd = offset
			if err := l.takeSnapshotLocked(); err != nil {
				return err
			}
		}
		return nil
	}
	l.info("Reloading from producer snapshot and rebuilding producer state from offset %d", end)
	if err := l.loadNewestSnapshot(offsets, end, opts); err != nil {
		return err
	}
	if err := l.replayProducers(end, snapshotAt); err != nil {
		return err
	}
	l.producers.mapEnd = end
	return l.takeSnapshotLocked()
}

// loadNewestSnapshot drops the snapshots that are outside the log or broken.
func (l *Log) loadNewestSnapshot(offsets []int64, end int64, opts *Options) error {
	start := l.readMarks().start
	for _, offset := range slices.Backward(offsets) {
		if offset <= end && offset > start {
			entries, err := l.readSnapshot(offset)
			if err == nil {
				l.info("Loading producer state from snapshot file '%s'", l.snapshotPath(offset))
				l.producers.load(entries, offset, time.Now().UnixMilli(), opts.ProducerIDExpirationMs)
				return l.removeSnapshotsLocked(func(o int64) bool { return o <= start })
			}
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, vfs.ErrTooLarge) {
				return err
			}
			l.warn("Failed to load producer snapshot from '%s': %s", l.snapshotPath(offset), err)
		}
		if err := l.removeSnapshot(offset); err != nil {
			return err
		}
	}
	l.producers.clear(start)
	return nil
}

// replayProducers notes the producers of the batches from the state's end to
// end, saving the state where a segment begins that has none saved.
func (l *Log) replayProducers(end int64, snapshotAt []int64) error {
	ps := l.producers
	if ps.mapEnd >= end {
		return nil
	}
	for _, s := range l.segments.Load().between(ps.mapEnd, end) {
		from := max(s.base, ps.mapEnd, l.readMarks().start)
		ps.mapEnd = from
		if slices.Contains(snapshotAt, s.base) {
			if err := l.takeSnapshotLocked(); err != nil {
				return err
			}
		}
		if err := l.replaySegment(s, from, end); err != nil {
			return err
		}
	}
	return nil
}
