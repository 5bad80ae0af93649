package commitlog

import (
	"errors"
	"fmt"
	"io"
	"math"

	"gregor/pkg/model"
	"gregor/pkg/record"
)

// batchScanner reads whole batches in order, of any format, checking each.
type batchScanner struct {
	file io.ReaderAt
	at   int64 // of the next batch
	end  int64
	buf  []byte // read ahead: the bytes [from, from+len(buf))
	from int64
	bad  error // why the scan ended before end

	ahead    int64             // how much is read at a time
	progress func(bytes int64) // is told of what was read; may be nil
}

const scanBufferSize = 256 << 10

func scanBatches(file io.ReaderAt, from, end int64) *batchScanner {
	return &batchScanner{file: file, at: from, from: from, end: end, ahead: scanBufferSize}
}

func (s *batchScanner) done() { s.buf = nil }

// next returns the next batch, valid until the call after. io.EOF ends the
// file, ErrCorrupt the sound part of it, anything else is the disk.
func (s *batchScanner) next() ([]byte, batchHeader, error) {
	h, err := s.header()
	if err != nil {
		return nil, h, err
	}
	batch, err := s.peek(h.size)
	if err != nil {
		return nil, h, err
	}
	if !validBatch(batch) {
		return nil, h, s.corrupt("wrong checksum")
	}
	s.at += int64(h.size)
	return batch, h, nil
}

// header is that of the batch which next returns.
func (s *batchScanner) header() (batchHeader, error) {
	head, err := s.peek(int(min(record.HeaderSize, s.end-s.at)))
	if err != nil {
		return batchHeader{}, err
	}
	h, err := parseHeader(head, s.at)
	if err != nil || s.at+int64(h.size) > s.end {
		return h, s.corrupt("no whole batch")
	}
	return h, nil
}

func (s *batchScanner) corrupt(what string) error {
	s.bad = fmt.Errorf("%s at byte %d: %w", what, s.at, ErrCorrupt)
	return s.bad
}

// peek returns the next n bytes, reading ahead.
func (s *batchScanner) peek(n int) ([]byte, error) {
	if n == 0 {
		return nil, io.EOF
	}
	have := s.buf[min(int64(len(s.buf)), s.at-s.from):]
	if len(have) >= n {
		return have[:n], nil
	}
	want := min(max(int64(n), s.ahead), s.end-s.at)
	if int64(cap(s.buf)) < want {
		s.buf = make([]byte, want)
	}
	s.buf, s.from = s.buf[:want], s.at
	if err := readAll(s.file, s.buf, s.at); err != nil {
		s.buf = s.buf[:0]
		return nil, err
	}
	if s.progress != nil {
		s.progress(want)
	}
	return s.buf[:n], nil
}

// diskError is nil when the scan ended because of what it read.
func (s *batchScanner) diskError(err error) error {
	if err == io.EOF || errors.Is(err, ErrCorrupt) {
		return nil
	}
	return err
}

// recoverSegment checks every batch of a segment, cuts it at the first bad
// byte and builds its indexes, the epochs and the producers' state anew. It
// returns the number of bytes cut off.
func (l *Log) recoverSegment(s *segment, opts *Options) (cut int64, err error) {
	// From the snapshot even when the state is there already: a snapshot
	// forgets expired producers and all but the last batch of the others, and
	// the next one must not depend on where the recovery began.
	if err := l.rebuildForRecovery(s.base, opts); err != nil {
		return 0, err
	}
	for _, reset := range []func() error{s.offsets.reset, s.times.reset, s.txns.reset} {
		if err := reset(); err != nil {
			return 0, err
		}
	}
	valid, err := l.scanSegment(s, opts)
	if err != nil {
		return 0, err
	}
	s.verified.trust()
	cut = s.size.Load() - valid
	if cut > 0 {
		if err := s.truncateFile(valid); err != nil {
			return 0, err
		}
		s.size.Store(valid)
	}
	if err := s.offsets.trim(); err != nil {
		return 0, err
	}
	timestamp, offset, err := s.max()
	if err != nil {
		return 0, err
	}
	if err := s.times.maybeAppend(timestamp, offset); err != nil {
		return 0, err
	}
	if err := s.times.trim(); err != nil {
		return 0, err
	}
	s.unsyncedName.Store(true)
	s.closeFiles()
	return cut, l.takeSnapshotLocked()
}

// rebuildForRecovery brings the producers' state to where a segment begins.
func (l *Log) rebuildForRecovery(base int64, opts *Options) error {
	offsets, err := l.snapshotOffsets()
	if err != nil {
		return err
	}
	usable := offsets[:0]
	for _, offset := range offsets {
		if offset <= base {
			usable = append(usable, offset)
		}
	}
	if err := l.loadNewestSnapshot(usable, base, opts); err != nil {
		return err
	}
	if err := l.replayProducers(base, nil); err != nil {
		return err
	}
	l.producers.mapEnd = max(base, l.producers.mapEnd)
	return nil
}

// scanSegment reads every batch and fills the empty indexes: an entry for the
// first batch behind each interval. It returns where the sound part ends.
func (l *Log) scanSegment(s *segment, opts *Options) (valid int64, err error) {
	file, err := s.acquire()
	if err != nil {
		return 0, err
	}
	defer file.drop()
	s.setMax(record.NoTimestamp, s.base)
	s.firstLoaded = false
	maxTimestamp, maxOffset, lastEntry, next := record.NoTimestamp, s.base, int64(0), s.base
	scan := scanBatches(file, 0, s.size.Load())
	scan.progress = l.recovered
	defer scan.done()
	for {
		batch, h, err := scan.next()
		if err == nil && h.baseOffset >= next && h.lastOffset-s.base > math.MaxInt32 {
			return valid, errOverflow
		}
		if err == nil && h.baseOffset < next {
			err = fmt.Errorf("offsets %d to %d at byte %d cannot follow offset %d in segment %d: %w", h.baseOffset, h.lastOffset, h.position, next-1, s.base, ErrCorrupt)
		}
		if err != nil {
			if errors.Is(err, ErrCorrupt) {
				l.segLog.Warnf("Found invalid messages in log segment %s at byte offset %d: %s.", s.path(logExt), valid, err)
			}
			s.setMax(maxTimestamp, maxOffset)
			return valid, scan.diskError(err)
		}
		if h.maxTimestamp > maxTimestamp {
			maxTimestamp, maxOffset = h.maxTimestamp, h.lastOffset
		}
		if h.position-lastEntry > int64(opts.IndexIntervalBytes) {
			if err := l.addEntries(s, h, maxTimestamp, maxOffset); err != nil {
				return valid, err
			}
			lastEntry = h.position
		}
		valid, next = valid+int64(h.size), h.lastOffset+1
		if err := l.recoverBatch(s, batch, h); err != nil {
			return valid, err
		}
	}
}

// addEntries adds index entries for a batch, unless its offset does not
// increase, which no sound log has.
func (l *Log) addEntries(s *segment, h batchHeader, maxTimestamp, maxOffset int64) error {
	last, err := s.offsets.lastOffset()
	if err != nil || h.lastOffset <= last {
		return err
	}
	if err := s.offsets.append(h.lastOffset, h.position); err != nil {
		return err
	}
	return s.times.maybeAppend(maxTimestamp, maxOffset)
}

// recoverBatch notes the epoch and the producer of a recovered batch.
func (l *Log) recoverBatch(s *segment, raw []byte, h batchHeader) error {
	if h.magic == record.Magic {
		if err := l.recoverEpoch(h); err != nil {
			return err
		}
		if err := l.noteProducerLocked(s, record.Batch(raw), h.position); err != nil {
			return err
		}
	}
	l.producers.mapEnd = h.lastOffset + 1
	return nil
}

// recoverEpoch notes the epoch of a batch. Behind the recovery point the file
// may lack an epoch or be of a longer log that was cut, when the renaming of a
// newer file was lost: there the batches are right. Where the file agrees with
// them it stays, with epochs that have no records any more.
func (l *Log) recoverEpoch(h batchHeader) error {
	start := l.readMarks().start
	if h.leaderEpoch < 0 || h.lastOffset < start {
		return nil
	}
	epoch, offset := model.LeaderEpoch(h.leaderEpoch), max(h.baseOffset, start)
	known, found := l.epochs.at(offset)
	if l.epochsInDoubt && (!found || known != epoch) || epoch > l.LatestEpoch() {
		return l.epochs.assign(epoch, offset)
	}
	return nil
}

// replaySegment notes the producers of the batches of [from, end). Its index
// of aborted transactions is complete and stays as it is.
func (l *Log) replaySegment(s *segment, from, end int64) error {
	file, err := s.acquire()
	if err != nil {
		return err
	}
	defer file.drop()
	h, err := s.locate(file, from, 0, s.size.Load())
	headers := readHeaders(file, s.size.Load())
	defer headers.done()
	for ; err == nil && h.baseOffset < end; h, err = headers.header(h.position + int64(h.size)) {
		if h.magic == record.Magic && h.lastOffset < end {
			if err := l.replayBatch(s, file, h); err != nil {
				return err
			}
		}
		l.producers.mapEnd = max(l.producers.mapEnd, h.lastOffset+1)
	}
	if err == io.EOF || errors.Is(err, ErrCorrupt) {
		return nil
	}
	return err
}

func (l *Log) replayBatch(s *segment, file io.ReaderAt, h batchHeader) error {
	var head [record.HeaderSize]byte
	if err := readAll(file, head[:], h.position); err != nil {
		return err
	}
	batch := record.Batch(head[:])
	if !batch.HasProducerID() {
		return nil
	}
	if batch.Control() {
		batch = make(record.Batch, h.size) // the marker is in the record
		if err := readAll(file, batch, h.position); err != nil {
			return err
		}
	}
	if ended, found := l.producers.apply(batch, s.base, h.position); found {
		l.producers.complete(ended)
	}
	return nil
}
