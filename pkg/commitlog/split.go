package commitlog

import (
	"errors"
	"io"
	"math"
	"os"
	"slices"

	"gregor/pkg/vfs"
)

// Offsets in a segment's indexes are relative to its base and have 31 bits.
// Brokers before Kafka 2.0 could compact segments into one whose offsets do
// not fit (KAFKA-6264). Such a segment is split when recovery meets it, by the
// steps of a compaction: every part is written as X.cleaned and synced, all are
// renamed to X.swap, the last one first, the old segment is put away, and the
// parts take their names. Whatever a crash leaves of this, clearLeftovers
// takes back or completes.

// errOverflow is a segment with an offset that does not fit it.
var errOverflow = errors.New("an offset does not fit the segment")

// part is the bytes [from, to) of a segment that become one of their own.
type part struct{ base, from, to int64 }

// partsOf walks over the headers of a segment as far as they are sound; what
// is behind goes into the last part, for recovery to look at.
func partsOf(file io.ReaderAt, size int64) ([]part, error) {
	r := readHeaders(file, size)
	defer r.done()
	var parts []part
	h, err := r.header(0)
	for ; err == nil; h, err = r.header(h.position + int64(h.size)) {
		if n := len(parts); n == 0 || h.lastOffset-parts[n-1].base > math.MaxInt32 {
			if n > 0 {
				parts[n-1].to = h.position
			}
			parts = append(parts, part{base: h.baseOffset, from: h.position, to: size})
		}
	}
	if err != io.EOF && !errors.Is(err, ErrCorrupt) {
		return nil, err
	}
	return parts, nil
}

// split replaces a segment by parts whose offsets fit, for a log that is being
// opened. It returns them, not yet recovered.
func (l *Log) split(s *segment, opts *Options) (segmentList, error) {
	l.info("Splitting overflowed segment %s", s)
	file, err := s.acquire()
	if err != nil {
		return nil, err
	}
	defer file.drop()
	parts, err := partsOf(file, s.size.Load())
	if err != nil {
		return nil, err
	}
	for _, p := range parts {
		if err := copyPart(l.fs, file, p, l.place.path(baseName(p.base)+logExt+cleanedSuffix)); err != nil {
			return nil, err
		}
	}
	// From the first .swap on, a missing .cleaned says that its part is in place.
	if err := l.fs.SyncDir(l.Dir()); err != nil {
		return nil, err
	}
	for _, p := range slices.Backward(parts) {
		path := l.place.path(baseName(p.base) + logExt)
		if err := l.fs.Rename(path+cleanedSuffix, path+swapSuffix); err != nil {
			return nil, err
		}
		// In this order on the disk too: a part that is .swap promises that all
		// before it are at least .cleaned.
		if err := l.fs.SyncDir(l.Dir()); err != nil {
			return nil, err
		}
	}
	if err := s.markDeleted(); err != nil {
		return nil, err
	}
	made := make(segmentList, 0, len(parts))
	for _, p := range parts {
		path := l.place.path(baseName(p.base) + logExt)
		if err := l.fs.Rename(path+swapSuffix, path); err != nil {
			return nil, err
		}
		next := newSegment(l.place, p.base, opts)
		next.size.Store(p.to - p.from)
		next.modified.Store(s.modified.Load())
		made = append(made, next)
	}
	if err := l.fs.SyncDir(l.Dir()); err != nil {
		return nil, err
	}
	l.info("Replacing overflowed segment %s with split segments %s", s, joinSegments(made))
	return made, l.removeFiles(segmentList{s})
}

func copyPart(fsys vfs.FS, from io.ReaderAt, p part, path string) error {
	f, err := fsys.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	buf := make([]byte, min(p.to-p.from, scanBufferSize))
	for at := p.from; at < p.to; at += int64(len(buf)) {
		buf = buf[:min(int64(len(buf)), p.to-at)]
		if err := readAll(from, buf, at); err != nil {
			return err
		}
		if _, err := f.WriteAt(buf, at-p.from); err != nil {
			return err
		}
	}
	return f.Sync()
}

// splitAt puts the parts of an overflowed segment in its place.
func (l *Log) splitAt(s *segment, opts *Options) (segmentList, error) {
	parts, err := l.split(s, opts)
	if err != nil {
		return nil, err
	}
	segments := slices.Clone(*l.segments.Load())
	i := slices.Index(segments, s)
	segments = slices.Replace(segments, i, i+1, parts...)
	l.segments.Store(&segments)
	return parts, nil
}
