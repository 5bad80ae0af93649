package commitlog

import (
	"errors"
	"io"

	"gregor/pkg/record"
)

// What compaction sees of a log; how it changes one is in replace.go.

// Segment is a segment of a log as compaction sees it. It stays what it is
// while the log goes on; a segment that was deleted or replaced meanwhile
// cannot be opened any more.
type Segment struct{ s *segment }

// SegmentsBetween lists the segments that may hold offsets of [from, to).
func (l *Log) SegmentsBetween(from, to int64) []Segment {
	if from >= to {
		return nil
	}
	var found []Segment
	for _, s := range l.segments.Load().between(from, to) {
		found = append(found, Segment{s})
	}
	return found
}

// ActiveBase is the base offset of the segment that records are appended to.
func (l *Log) ActiveBase() int64 {
	segments := *l.segments.Load()
	if len(segments) == 0 {
		return l.LogStartOffset() // deleted
	}
	return segments.active().base
}

// Truncations counts how often the log was cut, so that work which a
// truncation has undone can be told.
func (l *Log) Truncations() int64 { return l.truncations.Load() }

// Base is the segment's base offset.
func (s Segment) Base() int64 { return s.s.base }

// Size is the number of bytes of its records.
func (s Segment) Size() int64 { return s.s.size.Load() }

// ModifiedMs is when the segment was last written to. Compaction keeps it.
func (s Segment) ModifiedMs() int64 { return s.s.modified.Load() }

// LargestTimestamp is that of a record, else ModifiedMs.
func (s Segment) LargestTimestamp() (int64, error) {
	if s.s.replaced.Load() {
		return 0, ErrChanged
	}
	return s.s.largestTimestamp()
}

// IndexBytes is the space that the entries of offset and time index take.
func (s Segment) IndexBytes() (offsets, times int64, err error) {
	if s.s.replaced.Load() {
		return 0, 0, ErrChanged
	}
	n, err := s.s.offsets.count()
	if err != nil {
		return 0, 0, err
	}
	m, err := s.s.times.count()
	return int64(n) * offsetEntrySize, int64(m) * timeEntrySize, err
}

// PositionOf is where reading must begin to find every batch with records at
// or behind an offset.
func (s Segment) PositionOf(offset int64) (int64, error) {
	if s.s.replaced.Load() {
		return 0, ErrChanged
	}
	return s.s.offsets.lookup(offset)
}

// Open lends the log file until release is called.
func (s Segment) Open() (file io.ReaderAt, release func(), err error) {
	shared, err := s.s.acquire()
	if errors.Is(err, errReplaced) {
		return nil, nil, ErrChanged
	}
	if err != nil {
		return nil, nil, err
	}
	return shared, shared.release, nil
}

// String is the form that Kafka logs a segment in.
func (s Segment) String() string { return s.s.String() }

// FirstTimestamp is the max timestamp of the first batch of a segment that
// is not the active one, NoTimestamp when it has none.
func (l *Log) FirstTimestamp(s Segment) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.s.replaced.Load() {
		return record.NoTimestamp, ErrChanged
	}
	return s.s.loadFirstTimestamp()
}

// AbortedBetween lists the aborted transactions that touch [from, to), by
// marker. One that spans several segments is there for each of them.
func (l *Log) AbortedBetween(from, to int64) ([]AbortedTxn, error) {
	for {
		segments := *l.segments.Load()
		found, err := abortedBetween(segments[max(0, segments.floor(from)):], from, to)
		if !errors.Is(err, errReplaced) {
			return found, err
		}
	}
}

func abortedBetween(segments segmentList, from, to int64) (found []AbortedTxn, err error) {
	for _, s := range segments {
		var done bool
		found, done, err = s.txns.collect(found, from, to)
		if s.replaced.Load() {
			return nil, errReplaced
		}
		if done || err != nil {
			return found, err
		}
	}
	return found, nil
}

// LastRecord is what must stay of a producer so that the log knows it after
// the producers' state was built anew.
type LastRecord struct {
	DataOffset int64 // of the last data batch's last record, -1 when there was none
	Epoch      int16
}

// LastRecords has the last record of every producer that the log knows.
func (l *Log) LastRecords() map[int64]LastRecord {
	l.mu.Lock()
	defer l.mu.Unlock()
	last := make(map[int64]LastRecord, len(l.producers.byID))
	for id, p := range l.producers.byID {
		r := LastRecord{DataOffset: -1, Epoch: p.epoch}
		if p.kept > 0 {
			r.DataOffset = p.batches[p.kept-1].lastOffset
		}
		last[id] = r
	}
	return last
}

// Fail reports an error of the disk that compaction met: the log takes no
// more calls and its directory goes offline.
func (l *Log) Fail(err error) error { return l.failOn(err) }
