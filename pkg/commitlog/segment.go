package commitlog

import (
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"gregor/pkg/record"
	"gregor/pkg/vfs"
)

// Suffixes of a segment's files, behind its base offset in 20 digits.
const (
	logExt       = ".log"
	indexExt     = ".index"
	timeIndexExt = ".timeindex"
	txnIndexExt  = ".txnindex"
	snapshotExt  = ".snapshot"

	deletedSuffix = ".deleted"
	cleanedSuffix = ".cleaned"
	swapSuffix    = ".swap"
)

func baseName(offset int64) string { return fmt.Sprintf("%020d", offset) }

// place is where a log's files are. A log that is being deleted is renamed
// while its segments live on.
type place struct {
	fs    vfs.FS
	dir   atomic.Pointer[string]
	files *OpenFiles // nil without a bound
}

func (p *place) path(name string) string { return filepath.Join(*p.dir.Load(), name) }

// segment is one .log file and its indexes. Records are appended by the
// log's one writer; any number of readers read below size.
type segment struct {
	place *place
	base  int64
	size  atomic.Int64

	offsets offsetIndex
	times   timeIndex
	txns    txnIndex

	// Only the writer touches these; Log.mu guards them.
	created         time.Time
	jitterMs        int64
	bytesSinceIndex int
	firstTimestamp  int64 // of the first append; unknown until loaded
	firstLoaded     bool

	preallocated bool // the log file is longer than its records

	modified atomic.Int64 // ms, of the log file
	verified verified

	// maxMu guards the largest timestamp and its offset, which are read from
	// the time index when first asked for.
	maxMu        sync.Mutex
	maxLoaded    bool
	maxTimestamp int64
	maxOffset    int64

	// fileMu guards the fields below. Opening happens under it.
	fileMu sync.Mutex
	file   *sharedFile // nil while nobody needs it
	used   bool        // since the last closeIfIdle

	active       atomic.Bool            // records are appended, or were until a crash
	deleted      atomic.Bool            // the files are renamed
	replaced     atomic.Bool            // a compacted segment has its place; set before the files are renamed
	suffix       atomic.Pointer[string] // of the files' names while compaction has not finished
	unsyncedName atomic.Bool            // the files' names are not yet durable
}

// newSegment describes a segment; nothing is opened or created.
func newSegment(p *place, base int64, opts *Options) *segment {
	s := &segment{place: p, base: base, created: time.Now(), jitterMs: jitter(opts)}
	s.modified.Store(s.created.UnixMilli())
	path := func(ext string) func() string { return func() string { return s.path(ext) } }
	s.offsets.base, s.times.base = base, base
	s.offsets.files, s.times.files = p.files, p.files
	s.offsets.init(p.fs, path(indexExt), offsetEntrySize, opts.SegmentIndexBytes)
	s.times.init(p.fs, path(timeIndexExt), timeEntrySize, opts.SegmentIndexBytes)
	s.txns.init(p.fs, path(txnIndexExt), base)
	return s
}

func jitter(opts *Options) int64 {
	if most := min(opts.SegmentJitterMs, opts.SegmentMs); most > 0 {
		return rand.Int64N(most)
	}
	return 0
}

// createSegment makes the .log file, at its full size if so configured.
func createSegment(p *place, base int64, opts *Options) (*segment, error) {
	s := newSegment(p, base, opts)
	f, err := p.fs.OpenFile(s.path(logExt), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return nil, err
	}
	if opts.Preallocate {
		if err := f.Truncate(int64(opts.SegmentBytes)); err != nil {
			f.Close()
			return nil, err
		}
		s.preallocated = true
	}
	s.fileMu.Lock()
	s.file, s.used = share(f), true
	p.files.opened(s)
	s.fileMu.Unlock()
	s.active.Store(true)
	s.unsyncedName.Store(true)
	s.firstTimestamp, s.firstLoaded = record.NoTimestamp, true
	return s, nil
}

func (s *segment) path(ext string) string {
	name := baseName(s.base) + ext
	if s.deleted.Load() {
		name += deletedSuffix
	} else if suffix := s.suffix.Load(); suffix != nil {
		name += *suffix
	}
	return s.place.path(name)
}

// acquire lends the open log file; the caller drops it. What was replaced is
// not opened again, since its name may be another's by then: errReplaced tells
// a reader to load the list of segments again. Whoever has used an index looks
// at replaced afterwards for the same reason.
func (s *segment) acquire() (*sharedFile, error) {
	s.fileMu.Lock()
	defer s.fileMu.Unlock()
	s.used = true
	if s.file == nil {
		if s.replaced.Load() {
			return nil, errReplaced
		}
		f, err := s.place.fs.OpenFile(s.path(logExt), os.O_RDWR, 0)
		if err != nil {
			return nil, err
		}
		s.file = share(f)
		s.place.files.opened(s)
	}
	s.file.hold()
	return s.file, nil
}

// closeFiles gives the descriptors back; the segment stays usable.
func (s *segment) closeFiles() {
	s.fileMu.Lock()
	if s.file != nil {
		s.file.drop()
		s.file = nil
		s.place.files.closed(s)
	}
	s.fileMu.Unlock()
	s.offsets.closeFile()
	s.times.closeFile()
}

// closeIfIdle gives back the descriptors that nobody used since the last call.
func (s *segment) closeIfIdle() {
	s.fileMu.Lock()
	if !s.used && s.file != nil {
		s.file.drop()
		s.file = nil
		s.place.files.closed(s)
	}
	s.used = false
	s.fileMu.Unlock()
	s.offsets.closeIfIdle()
	s.times.closeIfIdle()
}

// appended describes what an append adds to a segment.
type appended struct {
	lastOffset           int64
	maxTimestamp         int64
	offsetOfMaxTimestamp int64
}

// append writes records behind the last ones: one write, and now and then an
// index entry. On an error the segment's contents are unknown and the log
// directory must go offline.
//
// Hot path: allocates nothing.
func (s *segment) append(records []byte, a appended, indexInterval int) error {
	if a.lastOffset-s.base > math.MaxInt32 || a.lastOffset < s.base {
		return fmt.Errorf("offset %d cannot be in the segment of %d", a.lastOffset, s.base)
	}
	position := s.size.Load()
	if position == 0 {
		s.firstTimestamp, s.firstLoaded = a.maxTimestamp, true
	}
	file, err := s.acquire()
	if err != nil {
		return err
	}
	_, err = file.WriteAt(records, position)
	file.drop()
	if err != nil {
		return err
	}
	maxTimestamp, maxOffset, err := s.raiseMax(a.maxTimestamp, a.offsetOfMaxTimestamp)
	if err != nil {
		return err
	}
	if s.bytesSinceIndex > indexInterval {
		if err := s.offsets.append(a.lastOffset, position); err != nil {
			return err
		}
		if err := s.times.maybeAppend(maxTimestamp, maxOffset); err != nil {
			return err
		}
		s.bytesSinceIndex = 0
	}
	s.bytesSinceIndex += len(records)
	s.modified.Store(time.Now().UnixMilli())
	s.size.Add(int64(len(records)))
	return nil
}

// max is the largest timestamp of the segment and an offset at or behind its
// record; (-1, base) when no record has one.
func (s *segment) max() (timestamp, offset int64, err error) {
	s.maxMu.Lock()
	defer s.maxMu.Unlock()
	err = s.loadMaxLocked()
	return s.maxTimestamp, s.maxOffset, err
}

func (s *segment) loadMaxLocked() (err error) {
	if !s.maxLoaded {
		s.maxTimestamp, s.maxOffset, err = s.times.lastEntry()
		s.maxLoaded = err == nil
	}
	return err
}

func (s *segment) raiseMax(timestamp, offset int64) (int64, int64, error) {
	s.maxMu.Lock()
	defer s.maxMu.Unlock()
	if err := s.loadMaxLocked(); err != nil {
		return 0, 0, err
	}
	if timestamp > s.maxTimestamp {
		s.maxTimestamp, s.maxOffset = timestamp, offset
	}
	return s.maxTimestamp, s.maxOffset, nil
}

func (s *segment) setMax(timestamp, offset int64) {
	s.maxMu.Lock()
	defer s.maxMu.Unlock()
	s.maxTimestamp, s.maxOffset, s.maxLoaded = timestamp, offset, true
}

// largestTimestamp is that of a record, else the time of the last write.
func (s *segment) largestTimestamp() (int64, error) {
	timestamp, _, err := s.max()
	if timestamp < 0 {
		timestamp = s.modified.Load()
	}
	return timestamp, err
}

// locate finds the first batch that ends at or behind offset; io.EOF when
// there is none below end. The index is a hint: what it says is checked
// against the batch found there.
//
// Hot path: allocates nothing.
func (s *segment) locate(file io.ReaderAt, offset, from, end int64) (batchHeader, error) {
	start, err := s.offsets.lookup(offset)
	if err != nil {
		return batchHeader{}, err
	}
	start = max(start, from)
	r := readHeaders(file, end)
	defer r.done()
	h, err := r.header(start)
	if start > from && (err != nil || h.baseOffset > offset) {
		h, err = r.header(from) // the index lies
	}
	for err == nil && h.lastOffset < offset {
		h, err = r.header(h.position + int64(h.size))
	}
	if err != nil && err != io.EOF {
		err = s.damaged(err, offset, h.position)
	}
	return h, err
}

// nextOffset is the offset behind the last batch.
func (s *segment) nextOffset() (int64, error) {
	from, err := s.offsets.lastOffset()
	if err != nil {
		return 0, err
	}
	file, err := s.acquire()
	if err != nil {
		return 0, err
	}
	defer file.drop()
	next := s.base
	h, err := s.locate(file, from, 0, s.size.Load())
	if err == nil {
		r := readHeaders(file, s.size.Load())
		defer r.done()
		for err == nil {
			next = h.lastOffset + 1
			h, err = r.header(h.position + int64(h.size))
		}
	}
	if err != io.EOF {
		return next, s.damaged(err, next, h.position)
	}
	return next, nil
}

// loadFirstTimestamp is the max timestamp of the first batch, -1 if none.
func (s *segment) loadFirstTimestamp() (int64, error) {
	if s.firstLoaded {
		return s.firstTimestamp, nil
	}
	s.firstTimestamp = record.NoTimestamp
	if s.size.Load() > 0 {
		file, err := s.acquire()
		if err != nil {
			return 0, err
		}
		defer file.drop()
		r := readHeaders(file, s.size.Load())
		defer r.done()
		h, err := r.header(0)
		if err != nil {
			return 0, s.damaged(err, s.base, 0)
		}
		s.firstTimestamp = h.maxTimestamp
	}
	s.firstLoaded = true
	return s.firstTimestamp, nil
}

// shouldRoll reports whether an append must go to a new segment.
func (s *segment) shouldRoll(opts *Options, appendBytes int, a appended, now time.Time) (bool, error) {
	size := s.size.Load()
	if size > int64(opts.SegmentBytes)-int64(appendBytes) {
		return true, nil
	}
	if size > 0 {
		first, err := s.loadFirstTimestamp()
		if err != nil {
			return false, err
		}
		waited := now.Sub(s.created).Milliseconds()
		if first >= 0 {
			waited = a.maxTimestamp - first
		}
		if waited > opts.segmentMsMax()-s.jitterMs {
			return true, nil
		}
	}
	if full, err := s.offsets.full(); full || err != nil {
		return full, err
	}
	if full, err := s.times.full(); full || err != nil {
		return full, err
	}
	return a.lastOffset-s.base > math.MaxInt32, nil
}

// becomeInactive finishes the indexes when the segment is rolled.
func (s *segment) becomeInactive() error {
	s.active.Store(false) // first: a flush that does not see it yet is undone by the roll
	timestamp, offset, err := s.max()
	if err != nil {
		return err
	}
	if err := s.times.maybeAppend(timestamp, offset); err != nil {
		return err
	}
	if err := s.offsets.trim(); err != nil {
		return err
	}
	if err := s.times.trim(); err != nil {
		return err
	}
	return s.trimFile()
}

// trimFile cuts what was allocated ahead off the log file.
func (s *segment) trimFile() error {
	if !s.preallocated {
		return nil
	}
	s.preallocated = false
	return s.truncateFile(s.size.Load())
}

// flush makes the segment durable: records, aborted transactions and, once
// it is complete, the indexes. Those of the active segment are built anew
// after a crash in any case: the recovery point is not behind it before it was
// rolled and flushed again.
func (s *segment) flush() error {
	if err := s.sync(); err != nil {
		return err
	}
	if s.active.Load() {
		return nil
	}
	if err := s.offsets.flush(); err != nil {
		return err
	}
	if err := s.times.flush(); err != nil {
		return err
	}
	return s.txns.flush()
}

// sync makes the records durable.
func (s *segment) sync() error {
	file, err := s.acquire()
	if err != nil {
		return err
	}
	defer file.drop()
	return file.Sync()
}

// close leaves the files as a clean shutdown does.
func (s *segment) close() error {
	s.maxMu.Lock()
	known, timestamp, offset := s.maxLoaded, s.maxTimestamp, s.maxOffset
	s.maxMu.Unlock()
	if known {
		if err := s.times.maybeAppend(timestamp, offset); err != nil {
			return err
		}
	}
	if s.bytesSinceIndex > 0 {
		// A segment that was written to has an offset index, be it empty:
		// Kafka's shutdown leaves one.
		if _, err := s.offsets.count(); err != nil {
			return err
		}
	}
	if err := s.offsets.close(); err != nil {
		return err
	}
	if err := s.times.close(); err != nil {
		return err
	}
	if err := s.txns.flush(); err != nil {
		return err
	}
	err := s.trimFile()
	s.closeFiles()
	return err
}

func (s *segment) truncateFile(size int64) error {
	file, err := s.acquire()
	if err != nil {
		return err
	}
	defer file.drop()
	return file.Truncate(size)
}

// markDeleted renames the files so that they are never loaded again.
func (s *segment) markDeleted() error {
	s.closeFiles()
	for _, ext := range []string{logExt, indexExt, timeIndexExt, txnIndexExt} {
		path := s.path(ext)
		if err := s.place.fs.Rename(path, path+deletedSuffix); err != nil && vfs.Exists(s.place.fs, path) {
			return err
		}
	}
	s.deleted.Store(true)
	return nil
}

// String is the form that Kafka logs a segment in.
func (s *segment) String() string {
	largest := "None"
	if timestamp, _, err := s.max(); err == nil && timestamp >= 0 {
		largest = fmt.Sprintf("Some(%d)", timestamp)
	}
	return fmt.Sprintf("LogSegment(baseOffset=%d, size=%d, lastModifiedTime=%d, largestRecordTimestamp=%s)",
		s.base, s.size.Load(), s.modified.Load(), largest)
}
