package commitlog

import (
	"errors"
	"io"
	"math"
	"slices"
	"time"

	"gregor/pkg/kerr"
	"gregor/pkg/model"
	"gregor/pkg/record"
)

// OffsetForTimestamp finds the first record whose timestamp is not below ts.
// A log of format 0 has no timestamps: UnsupportedForMessageFormat.
func (l *Log) OffsetForTimestamp(ts int64) (timestamp, offset int64, epoch model.LeaderEpoch, found bool, err error) {
	if err := l.usable(); err != nil {
		return -1, -1, model.NoLeaderEpoch, false, err
	}
	if l.options.Load().Magic() == 0 {
		return -1, -1, model.NoLeaderEpoch, false, kerr.UnsupportedForMessageFormat.With("Cannot search offsets based on timestamp because the message format version for partition %s is earlier than the minimum required version 0.10.0", l.partition)
	}
	for {
		r, found, err := l.searchTimestamp(ts)
		switch {
		case errors.Is(err, errReplaced):
			continue
		case err != nil:
			return -1, -1, model.NoLeaderEpoch, false, l.readError(err)
		case !found:
			return -1, -1, model.NoLeaderEpoch, false, nil
		}
		return r.timestamp, r.offset, model.LeaderEpoch(r.epoch), true, nil
	}
}

// searchTimestamp looks through the segments that there are now.
func (l *Log) searchTimestamp(ts int64) (r timestampedOffset, found bool, err error) {
	start := l.LogStartOffset()
	for _, s := range *l.segments.Load() {
		largest, err := s.largestTimestamp()
		if err == nil && largest >= ts {
			r, found, err = s.findTimestamp(ts, start)
		}
		if s.replaced.Load() {
			err = errReplaced
		}
		// What a segment has may all be below the log start.
		if found || err != nil {
			return r, found, err
		}
	}
	return r, false, nil
}

type timestampedOffset struct {
	timestamp, offset int64
	epoch             int32
}

// findTimestamp looks through the batches behind what the time index says.
func (s *segment) findTimestamp(ts, start int64) (found timestampedOffset, ok bool, err error) {
	_, from, err := s.times.lookup(ts)
	if err != nil {
		return found, false, err
	}
	file, err := s.acquire()
	if err != nil {
		return found, false, err
	}
	defer file.drop()
	end := s.size.Load()
	h, err := s.locate(file, max(from, start), 0, end)
	headers := readHeaders(file, end)
	defer headers.done()
	for ; err == nil; h, err = headers.header(h.position + int64(h.size)) {
		if h.maxTimestamp < ts {
			continue
		}
		raw := make(record.Any, h.size)
		if err := readAll(file, raw, h.position); err != nil {
			return found, false, err
		}
		if found, ok, err = firstAtOrAfter(raw, ts, start); ok || err != nil {
			return found, ok, err
		}
	}
	if err == io.EOF {
		err = nil
	}
	return found, false, err
}

// errFound ends a walk.
var errFound = errors.New("found")

func firstAtOrAfter(b record.Any, ts, start int64) (found timestampedOffset, ok bool, err error) {
	look := func(offset, timestamp int64) error {
		if timestamp < ts || offset < start {
			return nil
		}
		found = timestampedOffset{timestamp, offset, b.LeaderEpoch()}
		return errFound
	}
	if b.IsOld() {
		err = record.OldMessage(b).Deep(math.MaxInt32, func(_ record.OldMessage, offset, timestamp int64) error { return look(offset, timestamp) })
	} else {
		batch := record.Batch(b)
		err = batch.Walk(func(s record.Shape) error {
			return look(batch.BaseOffset()+int64(s.OffsetDelta), batch.RecordTimestamp(s))
		})
	}
	if err == errFound {
		return found, true, nil
	}
	if err != nil {
		err = errors.Join(err, ErrCorrupt)
	}
	return found, false, err
}

// Timestamps of ListOffsets that are no times.
const (
	LatestTimestamp   int64 = -1
	EarliestTimestamp int64 = -2
)

// LegacyOffsetsBefore answers ListOffsets of version 0: the base offsets of
// the segments that were last written at or before ts, and the log end,
// descending, at most limit of them.
func (l *Log) LegacyOffsetsBefore(ts int64, limit int) []int64 {
	segments := *l.segments.Load()
	m := l.readMarks()
	type point struct{ offset, modified int64 }
	var points []point
	for _, s := range segments {
		points = append(points, point{max(s.base, m.start), s.modified.Load()})
	}
	if len(segments) > 0 && segments.active().size.Load() > 0 {
		points = append(points, point{m.end.Offset, time.Now().UnixMilli()})
	}
	last := len(points) - 1
	switch ts {
	case LatestTimestamp:
	case EarliestTimestamp:
		last = min(last, 0)
	default:
		for last >= 0 && points[last].modified > ts {
			last--
		}
	}
	var offsets []int64
	for i := last; i >= 0 && len(offsets) < min(limit, math.MaxInt32); i-- {
		offsets = append(offsets, points[i].offset)
	}
	slices.SortFunc(offsets, func(a, b int64) int { return int(min(max(b-a, -1), 1)) })
	return offsets
}
