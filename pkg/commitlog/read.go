package commitlog

import (
	"errors"
	"io"
	"io/fs"

	"gregor/pkg/kerr"
	"gregor/pkg/wire"
)

// Isolation says how far a reader may see.
type Isolation int

const (
	LogEnd        Isolation = iota // replicas
	HighWatermark                  // consumers
	TxnCommitted                   // consumers with isolation.level=read_committed
)

func (m *marks) limit(iso Isolation) OffsetMetadata {
	switch iso {
	case LogEnd:
		return m.end
	case HighWatermark:
		return m.high
	default:
		return m.lastStable()
	}
}

// FetchInfo is what Read found.
type FetchInfo struct {
	FetchOffset OffsetMetadata
	// Records is a region of whole batches, of which the first may begin
	// before the fetch offset and the last may be cut by the size limit. Its
	// Release is called once, unless Length is 0, in which case it is nil.
	Records wire.FileRegion
	// FirstEntryIncomplete: not even the first batch fits. Fetch of version 3
	// and later sends nothing then; Records must be released all the same.
	FirstEntryIncomplete bool
	// Aborted is filled for TxnCommitted.
	Aborted []AbortedTxn
}

// Read finds the records at an offset, at most maxBytes of them; with
// minOneMessage at least the first batch, however large. An offset outside
// the log is OffsetOutOfRange; one at or behind the isolation's limit gives an
// empty region.
//
// Hot path: allocates nothing, looks at no record, copies nothing.
func (l *Log) Read(offset int64, maxBytes int, iso Isolation, minOneMessage bool) (FetchInfo, error) {
	if err := l.usable(); err != nil {
		return FetchInfo{}, err
	}
	replacements := l.replacements.Load()
	m := l.readMarks()
	if offset < m.start || offset > m.end.Offset {
		return FetchInfo{}, kerr.OffsetOutOfRange.With("Received request for offset %d for partition %s, but we only have log segments in the range %d to %d.",
			offset, l.partition, m.start, m.end.Offset)
	}
	limit := m.limit(iso)
	if offset == limit.Offset {
		return FetchInfo{FetchOffset: limit}, nil
	}
	if offset > limit.Offset {
		place, err := l.located(unknownPosition(offset))
		return FetchInfo{FetchOffset: place}, l.readError(err)
	}
	info, err := l.readBelow(offset, maxBytes, iso, minOneMessage, m)
	if l.replacements.Load() != replacements || errors.Is(err, errReplaced) {
		// The marks may tell a place in a segment that is another one now.
		if info.Records.Release != nil {
			info.Records.Release()
		}
		return l.Read(offset, maxBytes, iso, minOneMessage)
	}
	return info, l.readError(err)
}

// readBelow looks for the records in the segments that there are now.
func (l *Log) readBelow(offset int64, maxBytes int, iso Isolation, minOneMessage bool, m marks) (FetchInfo, error) {
	limit, err := l.located(m.limit(iso))
	if err != nil {
		return FetchInfo{}, err
	}
	segments := *l.segments.Load()
	for i := max(0, segments.floor(offset)); i < len(segments) && segments[i].base <= limit.SegmentBase; i++ {
		info, found, err := readSegment(segments[i], offset, maxBytes, limit, minOneMessage)
		if err != nil {
			return FetchInfo{}, err
		}
		if found {
			return l.withAborted(info, iso, segments[i:], m)
		}
	}
	return FetchInfo{FetchOffset: limit}, nil
}

func readSegment(s *segment, offset int64, maxBytes int, limit OffsetMetadata, minOneMessage bool) (info FetchInfo, found bool, err error) {
	end := s.size.Load()
	if s.base == limit.SegmentBase {
		end = int64(limit.Position)
	}
	file, err := s.acquire()
	if err != nil {
		return info, false, err
	}
	h, err := s.locate(file, offset, 0, end)
	if s.replaced.Load() {
		err = errReplaced
	}
	if err != nil {
		file.drop()
		if err == io.EOF {
			err = nil
		}
		return info, false, err
	}
	info.FetchOffset = OffsetMetadata{Offset: offset, SegmentBase: s.base, Position: int(h.position)}
	if minOneMessage {
		maxBytes = max(maxBytes, h.size)
	}
	info.FirstEntryIncomplete = maxBytes < h.size
	length := min(end-h.position, int64(max(0, maxBytes)))
	sound, err := s.soundUntil(file, offset, h.position, h.position+length)
	if err != nil {
		file.drop()
		return info, false, err
	}
	if length = sound - h.position; length == 0 {
		file.drop()
		return info, true, nil
	}
	info.Records = wire.FileRegion{File: file.File, Position: h.position, Length: length, Release: file.release}
	return info, true, nil
}

// readError: a segment that went away while it was read was below the log
// start by then.
func (l *Log) readError(err error) error {
	if err == nil || errors.Is(err, fs.ErrNotExist) && !l.failed.Load() && vanished(l) {
		if err != nil {
			return kerr.OffsetOutOfRange
		}
		return nil
	}
	return l.failOn(err)
}

// vanished reports whether missing files are no fault of the disk.
func vanished(l *Log) bool {
	if l.closed.Load() {
		return true
	}
	for _, s := range *l.segments.Load() {
		if _, err := l.fs.Stat(s.path(logExt)); err != nil {
			return false
		}
	}
	return true
}

// located finds the place of an offset that is known by number only.
func (l *Log) located(m OffsetMetadata) (OffsetMetadata, error) {
	if m.known() {
		return m, nil
	}
	place, err := l.find(m.Offset)
	if err != nil {
		return m, err
	}
	l.marksMu.Lock()
	defer l.marksMu.Unlock()
	if l.marks.high.Offset == place.Offset {
		l.marks.high = place
	}
	if l.marks.unstable.Offset == place.Offset {
		l.marks.unstable = place
	}
	return place, nil
}

func (l *Log) find(offset int64) (OffsetMetadata, error) {
	end := l.EndOffsetMetadata()
	if offset >= end.Offset {
		return end, nil
	}
	segments := *l.segments.Load()
	for i := max(0, segments.floor(offset)); i < len(segments); i++ {
		h, err := segments[i].find(offset)
		if err == nil {
			return OffsetMetadata{Offset: offset, SegmentBase: segments[i].base, Position: int(h.position)}, nil
		}
		if errors.Is(err, errReplaced) {
			return l.find(offset)
		}
		if err != io.EOF {
			return end, err
		}
	}
	return end, nil
}

// find is locate over the whole segment.
func (s *segment) find(offset int64) (batchHeader, error) {
	file, err := s.acquire()
	if err != nil {
		return batchHeader{}, err
	}
	defer file.drop()
	h, err := s.locate(file, offset, 0, s.size.Load())
	if s.replaced.Load() {
		err = errReplaced
	}
	return h, err
}

// withAborted adds the aborted transactions that touch what was read.
func (l *Log) withAborted(info FetchInfo, iso Isolation, segments segmentList, m marks) (FetchInfo, error) {
	if iso != TxnCommitted {
		return info, nil
	}
	upTo, found, err := segments[0].offsets.offsetBehind(int64(info.FetchOffset.Position) + info.Records.Length)
	if err == nil && !found {
		upTo = m.end.Offset
		if len(segments) > 1 {
			upTo = segments[1].base
		}
	}
	for _, s := range segments {
		var done bool
		if err == nil {
			info.Aborted, done, err = s.txns.collect(info.Aborted, info.FetchOffset.Offset, upTo)
		}
		if s.replaced.Load() {
			err = errReplaced
		}
		if done || err != nil {
			break
		}
	}
	if err != nil {
		if info.Records.Release != nil {
			info.Records.Release()
		}
		return FetchInfo{}, err
	}
	return info, nil
}
