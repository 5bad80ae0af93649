package logcleaner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/sirupsen/logrus"

	"gregor/pkg/commitlog"
	"gregor/pkg/record"
)

// worker compacts one log at a time. One goroutine uses it.
type worker struct {
	id       int
	log      *logrus.Entry
	offsets  *OffsetMap
	buffer   []byte // for reading
	out      []byte // for writing
	throttle *throttle
}

func newWorker(id int, cfg Config, log *logrus.Entry, t *throttle) *worker {
	size := max(record.HeaderSize, cfg.IOBufferSize/cfg.Threads/2)
	memory := cfg.DedupeBufferSize / int64(cfg.Threads)
	if memory > math.MaxInt32 {
		log.Warn("Cannot use more than 2G of cleaner buffer space per cleaner thread, ignoring excess buffer space...")
		memory = math.MaxInt32
	}
	return &worker{id: id, log: log, throttle: t, buffer: make([]byte, size),
		offsets: NewOffsetMap(memory, cfg.DedupeBufferLoadFactor)}
}

func (w *worker) info(format string, args ...any) {
	w.log.Infof("Cleaner %d: %s", w.id, fmt.Sprintf(format, args...))
}

// clean compacts a log up to the first offset that the map of keys had no
// room for, or that may not be compacted yet, and returns that offset.
func (w *worker) clean(ctx context.Context, c Candidate) (end int64, stats *Stats, err error) {
	l, name := c.Log, c.Log.Partition()
	stats = &Stats{Started: time.Now()}
	w.info("Beginning cleaning of log %s.", name)
	w.info("Building offset map for %s...", name)
	if err := w.buildMap(ctx, c, stats); err != nil {
		return 0, stats, err
	}
	end = w.offsets.latest + 1
	stats.Indexed = time.Now()

	horizon := deleteHorizon(c)
	w.info("Cleaning log %s (cleaning prior to %s, discarding tombstones prior to %s)...", name, javaDate(cleanableHorizon(c)), javaDate(horizon))
	opts := l.Options()
	groups, err := groupSegments(l.SegmentsBetween(0, end), &opts, c.FirstUncleanable)
	if err != nil {
		return 0, stats, err
	}
	txns := newTransactions()
	for i, group := range groups {
		groupEnd := behindSegments(c, end)
		if i+1 < len(groups) {
			groupEnd = groups[i+1][0].Base()
		}
		if err := w.cleanGroup(ctx, c, group, groupEnd, horizon, txns, stats); err != nil {
			return 0, stats, err
		}
	}
	stats.BufferUtilization = w.offsets.utilization()
	stats.Ended = time.Now()
	return end, stats, nil
}

// behindSegments is the base offset of the first segment that is not
// rewritten when the map ends at an offset.
func behindSegments(c Candidate, end int64) int64 {
	for _, s := range c.Log.SegmentsBetween(end, c.FirstUncleanable) {
		if s.Base() >= end {
			return s.Base()
		}
	}
	return c.FirstUncleanable
}

// deleteHorizon is the time before which a segment must have been written for
// its tombstones and markers to go: readers had delete.retention.ms
// since the clean section was made.
func deleteHorizon(c Candidate) int64 {
	clean := c.Log.SegmentsBetween(0, c.FirstDirty)
	if len(clean) == 0 {
		return 0
	}
	return clean[len(clean)-1].ModifiedMs() - c.Log.Options().DeleteRetentionMs
}

func cleanableHorizon(c Candidate) int64 {
	below := c.Log.SegmentsBetween(0, c.FirstUncleanable)
	if len(below) == 0 {
		return 0
	}
	return below[len(below)-1].ModifiedMs()
}

// javaDate is a time as Java's Date prints it.
func javaDate(ms int64) string { return time.UnixMilli(ms).Format("Mon Jan 02 15:04:05 MST 2006") }

// buildMap reads the dirty section and notes the last offset of each key.
func (w *worker) buildMap(ctx context.Context, c Candidate, stats *Stats) error {
	l := c.Log
	w.offsets.reset(c.FirstUncleanable - c.FirstDirty)
	dirty := l.SegmentsBetween(c.FirstDirty, c.FirstUncleanable)
	w.info("Building offset map for log %s for %d segments in offset range [%d, %d).", l.Partition(), len(dirty), c.FirstDirty, c.FirstUncleanable)
	aborted, err := l.AbortedBetween(c.FirstDirty, c.FirstUncleanable)
	if err != nil {
		return err
	}
	m := &mapBuilder{offsets: w.offsets, txns: newTransactions(), start: c.FirstDirty, stats: stats}
	m.txns.add(aborted)
	for i, s := range dirty {
		next := c.FirstUncleanable
		if i+1 < len(dirty) {
			next = dirty[i+1].Base()
		}
		full, err := w.mapSegment(ctx, l, s, m)
		if err != nil {
			return fmt.Errorf("segment %d: %w", s.Base(), err)
		}
		if full {
			w.log.Debugf("Cleaner %d: Offset map is full, %d segments fully mapped, segment with base offset %d is partially mapped", w.id, i, s.Base())
			break
		}
		w.offsets.readTo(next - 1) // offsets at its end may be nobody's
	}
	w.info("Offset map for log %s complete.", l.Partition())
	return nil
}

func (w *worker) mapSegment(ctx context.Context, l *commitlog.Log, s commitlog.Segment, m *mapBuilder) (full bool, err error) {
	position, err := s.PositionOf(m.start)
	if err != nil {
		return false, err
	}
	err = w.eachChunk(ctx, l, s, position, func(piece []byte) error {
		m.stats.MapBytesRead += int64(len(piece))
		full, err = m.addAll(piece)
		if full {
			return io.EOF
		}
		return err
	})
	return full, err
}

// eachChunk calls visit with the pieces of a segment, from a position to its
// end. io.EOF of visit ends it.
func (w *worker) eachChunk(ctx context.Context, l *commitlog.Log, s commitlog.Segment, position int64, visit func([]byte) error) error {
	file, release, err := s.Open()
	if err != nil {
		return err
	}
	defer release()
	in := chunks{file: file, at: position, end: s.Size(), buf: w.buffer, messageMax: l.Options().MaxMessageBytes}
	for {
		piece, err := in.next(ctx)
		if err == nil {
			err = w.throttle.observe(ctx, len(piece))
		}
		if err == nil {
			err = visit(piece)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// mapBuilder puts the keys of the dirty section into the map.
type mapBuilder struct {
	offsets *OffsetMap
	txns    *transactions
	start   int64
	inner   []byte
	block   block
	stats   *Stats
}

// addAll reports true when a key had no room.
func (m *mapBuilder) addAll(piece []byte) (full bool, err error) {
	for len(piece) > 0 {
		var b record.Any
		if b, piece, err = splitValid(piece); err != nil {
			return false, err
		}
		if full, err = m.add(b); full || err != nil {
			return full, err
		}
		if b.LastOffset() >= m.start {
			m.offsets.readTo(b.LastOffset())
		}
	}
	return false, nil
}

// splitValid cuts off the first batch. What is wrong on the disk must not be
// compacted, which would give it a right checksum.
func splitValid(piece []byte) (record.Any, []byte, error) {
	b, rest, err := record.SplitAny(piece)
	if err == nil && !b.Valid() {
		err = fmt.Errorf("batch from offset %d: wrong checksum: %w", b.BaseOffset(), record.ErrCorrupt)
	}
	return b, rest, err
}

func (m *mapBuilder) add(b record.Any) (full bool, err error) {
	if b.IsOld() {
		return m.addOld(record.OldMessage(b))
	}
	return m.addBatch(record.Batch(b))
}

// addOld is add for messages of format 0 or 1.
func (m *mapBuilder) addOld(b record.OldMessage) (full bool, err error) {
	err = b.Deep(decompressedMax, func(inner record.OldMessage, offset, _ int64) error {
		key, _, err := inner.KeyValue()
		if err != nil {
			return err
		}
		if !m.put(key != nil, hashOf(key), offset) {
			full = true
			return io.EOF
		}
		return nil
	})
	if full {
		err = nil
	}
	return full, err
}

// put notes a record; false when there is no room for its key.
func (m *mapBuilder) put(hasKey bool, hash keyHash, offset int64) bool {
	if hasKey && offset >= m.start {
		if m.offsets.full() {
			return false
		}
		m.offsets.put(hash, offset)
	}
	m.stats.MapMessagesRead++
	return true
}

func (m *mapBuilder) addBatch(b record.Batch) (full bool, err error) {
	if b.Control() {
		m.stats.MapMessagesRead++
		_, err := m.txns.marker(b)
		return false, err
	}
	if m.txns.data(b) || b.Count() == 0 {
		m.stats.MapMessagesRead += int64(b.Count())
		return false, nil
	}
	var rest []byte
	if rest, m.inner, err = plain(b, m.inner); err != nil {
		return false, err
	}
	for left := int(b.Count()); left > 0; left -= blockRecords {
		n := min(left, blockRecords)
		if rest, err = m.block.fill(n, rest, m.offsets); err != nil {
			return false, fmt.Errorf("batch from offset %d: %w", b.BaseOffset(), err)
		}
		for i := range n {
			r := &m.block.records[i]
			if !m.put(r.key != nil, m.block.hashes[i], b.BaseOffset()+int64(r.offsetDelta)) {
				return true, nil
			}
		}
	}
	if len(rest) > 0 {
		return false, fmt.Errorf("batch from offset %d: %w", b.BaseOffset(), errRecord)
	}
	return false, nil
}

// cleanGroup writes what stays of a group of segments into one and puts that
// in their place.
func (w *worker) cleanGroup(ctx context.Context, c Candidate, group []commitlog.Segment, groupEnd, horizon int64, txns *transactions, stats *Stats) error {
	l := c.Log
	cleaned, err := l.NewCleanedSegment(group[0].Base())
	if err != nil {
		return err
	}
	txns.keep = cleaned.AppendAborted
	f := &filter{offsets: w.offsets, txns: txns, lastRecords: l.LastRecords(), stats: stats, out: w.out}
	for i, s := range group {
		// All of the segment is read, also what is behind the map's end: a
		// transaction there must be known, or its marker would go.
		upTo := groupEnd
		if i+1 < len(group) {
			upTo = group[i+1].Base()
		}
		f.retainDeletes = s.ModifiedMs() > horizon
		verb := "discarding"
		if f.retainDeletes {
			verb = "retaining"
		}
		w.info("Cleaning %s in log %s into %d with deletion horizon %d, %s deletes.", s, l.Partition(), cleaned.Base(), horizon, verb)
		if err = w.cleanInto(ctx, l, s, upTo, f, cleaned); err != nil {
			err = fmt.Errorf("segment %d: %w", s.Base(), err)
			break
		}
	}
	w.out = f.out
	if err == nil {
		err = cleaned.Finish(group[len(group)-1].ModifiedMs())
	}
	if err == nil {
		w.info("Swapping in cleaned segment %s for segment(s) List(%s) in log %s", cleaned, joined(group), l)
		err = l.Replace(cleaned, group)
	}
	if err == nil {
		return nil
	}
	return errors.Join(err, cleaned.Discard())
}

func joined(group []commitlog.Segment) string {
	text := ""
	for i, s := range group {
		if i > 0 {
			text += ", "
		}
		text += s.String()
	}
	return text
}

func (w *worker) cleanInto(ctx context.Context, l *commitlog.Log, s commitlog.Segment, upTo int64, f *filter, cleaned *commitlog.CleanedSegment) error {
	aborted, err := l.AbortedBetween(s.Base(), upTo)
	if err != nil {
		return err
	}
	f.txns.add(aborted)
	return w.eachChunk(ctx, l, s, 0, func(piece []byte) error {
		f.beginChunk()
		f.stats.BytesRead += int64(len(piece))
		for len(piece) > 0 {
			var b record.Any
			var err error
			if b, piece, err = splitValid(piece); err != nil {
				return err
			}
			if err := f.add(b); err != nil {
				return err
			}
		}
		if len(f.out) == 0 {
			return nil
		}
		if err := cleaned.Append(f.out, f.appended); err != nil {
			return err
		}
		return w.throttle.observe(ctx, len(f.out))
	})
}
