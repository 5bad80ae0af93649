package commitlog

import (
	"errors"
	"fmt"
	"math"
	"time"

	"gregor/pkg/compress"
	"gregor/pkg/kerr"
	"gregor/pkg/model"
	"gregor/pkg/record"
)

// Origin says whose records are appended, which decides what is checked.
type Origin int

const (
	OriginClient      Origin = iota // everything is checked
	OriginReplication               // checked by the leader
	OriginCoordinator               // ours: sequences are not checked, markers allowed
)

// AppendInfo is what an append did.
type AppendInfo struct {
	FirstOffset    int64 // -1 when there was nothing to append
	LastOffset     int64
	MaxTimestamp   int64
	LogAppendTime  int64 // -1 under CreateTime
	LogStartOffset int64
	Bytes          int
	// Duplicate: the batch was appended before. Nothing was written now, and
	// the offsets and LogAppendTime are those of the first time.
	Duplicate bool
}

// AppendAsLeader appends one batch, or several plain messages of format 0 or
// 1, giving them the next offsets. What is in the log's format and codec is
// stamped in place, anything else is written anew. What is wrong with records
// comes back as a kerr error, where single ones are at fault as *RecordErrors;
// a disk that fails is KafkaStorageError.
//
// Hot path: allocates nothing for an uncompressed batch of format 2, copies no
// record, one write.
func (l *Log) AppendAsLeader(records []byte, epoch model.LeaderEpoch, origin Origin) (AppendInfo, error) {
	info, err := l.appendAsLeader(records, epoch, origin)
	if err == nil {
		err = l.flushIfDue(info.LastOffset + 1)
	}
	return info, err
}

func (l *Log) appendAsLeader(records []byte, epoch model.LeaderEpoch, origin Origin) (AppendInfo, error) {
	opts := l.options.Load()
	in, err := l.checkSet(records, opts, origin)
	if err != nil || in.batches == 0 {
		return l.nothing(), err
	}
	var c checked
	inPlace := in.first.Magic() == record.Magic && opts.Magic() == record.Magic && (in.source == in.target || in.source == compress.None && in.first.Control())
	if inPlace {
		if c, err = l.checkRecords(record.Batch(in.first), opts, time.Now()); err != nil {
			return l.nothing(), err
		}
	}

	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return l.nothing(), err
	}
	now, first := time.Now(), l.LogEndOffset()
	if inPlace {
		return l.appendAssignedLocked(c.stamp(first, epoch, now, opts), first, opts, origin, now)
	}
	conv := converters.Get().(*converter)
	defer converters.Put(conv)
	a, err := conv.assign(l, in, first, epoch, now, opts)
	if err != nil {
		return l.nothing(), err
	}
	return l.appendAssignedLocked(a, first, opts, origin, now)
}

// assigned is a set of batches with their offsets, in the format of the log.
type assigned struct {
	records []byte
	appended
}

// appendAssignedLocked writes what has got its offsets, from first on.
func (l *Log) appendAssignedLocked(a assigned, first int64, opts *Options, origin Origin, now time.Time) (AppendInfo, error) {
	info := AppendInfo{FirstOffset: first, LastOffset: a.lastOffset, MaxTimestamp: a.maxTimestamp, LogAppendTime: -1, Bytes: len(a.records)}
	if opts.LogAppendTime {
		info.LogAppendTime = now.UnixMilli()
	}
	if err := l.noteEpoch(a.records); err != nil {
		return l.nothing(), l.failOn(err)
	}
	if err := l.makeRoomLocked(opts, len(a.records), first, a.appended, now); err != nil {
		return l.nothing(), l.failOn(err)
	}
	if batch := record.Batch(a.records); !record.Any(batch).IsOld() && batch.HasProducerID() {
		known, repeated, err := l.producers.check(batch, origin)
		if err != nil {
			return l.nothing(), err
		}
		if repeated {
			return AppendInfo{FirstOffset: known.firstOffset(), LastOffset: known.lastOffset, MaxTimestamp: known.timestamp,
				LogAppendTime: known.timestamp, LogStartOffset: l.LogStartOffset(), Duplicate: true}, nil
		}
	}
	if err := l.writeLocked(opts, a.records, a.appended); err != nil {
		return l.nothing(), l.failOn(err)
	}
	info.LogStartOffset = l.LogStartOffset()
	return info, nil
}

// noteEpoch notes the leader epoch of the first batch among records that are
// about to be written. Batches of the old formats have none: the epochs that
// are known do not hold for what follows, and go.
func (l *Log) noteEpoch(records []byte) error {
	b := record.Any(records)
	if !b.IsOld() {
		return l.epochs.assign(model.LeaderEpoch(b.LeaderEpoch()), b.BaseOffset())
	}
	if _, found := l.epochs.latest(); !found {
		return nil
	}
	l.warn("Clearing leader epoch cache after unexpected append with message format v%d", b.Magic())
	return l.epochs.clear()
}

func (l *Log) nothing() AppendInfo {
	return AppendInfo{FirstOffset: -1, LastOffset: -1, MaxTimestamp: record.NoTimestamp, LogAppendTime: -1, LogStartOffset: l.LogStartOffset()}
}

// AppendAsFollower appends batches as a leader sent them, with their offsets.
// A batch that is not whole at the end is left out. ErrUnexpectedOffset
// when they begin below the log end.
func (l *Log) AppendAsFollower(records []byte) (AppendInfo, error) {
	info, err := l.appendAsFollower(records)
	if err == nil {
		err = l.flushIfDue(info.LastOffset + 1)
	}
	return info, err
}

func (l *Log) appendAsFollower(records []byte) (AppendInfo, error) {
	opts := l.options.Load()
	f, err := l.checkFollower(records)
	if err != nil || f.bytes == 0 {
		return l.nothing(), err
	}
	records = records[:f.bytes]

	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return l.nothing(), err
	}
	if end := l.LogEndOffset(); f.first < end {
		return l.nothing(), fmt.Errorf("%s: batches from %d to %d, log end %d: %w", l.partition, f.first, f.lastOffset, end, ErrUnexpectedOffset)
	}
	for rest := records; len(rest) > 0; {
		batch, next, err := record.SplitAny(rest)
		if err != nil {
			return l.nothing(), err // checked above
		}
		if err := l.noteEpoch(batch); err != nil {
			return l.nothing(), l.failOn(err)
		}
		rest = next
	}
	if err := l.makeRoomLocked(opts, len(records), f.rollAt(), f.appended, time.Now()); err != nil {
		return l.nothing(), l.failOn(err)
	}
	if err := l.writeLocked(opts, records, f.appended); err != nil {
		return l.nothing(), l.failOn(err)
	}
	return AppendInfo{FirstOffset: f.first, LastOffset: f.lastOffset, MaxTimestamp: f.maxTimestamp, LogAppendTime: -1,
		LogStartOffset: l.LogStartOffset(), Bytes: len(records)}, nil
}

// followed is what a walk over a leader's batches finds.
type followed struct {
	appended
	first int64 // of an old message that wraps others, their last offset
	old   bool  // so it begins
	bytes int
}

// rollAt is an offset at or below all that is appended, for a segment that
// begins there.
func (f *followed) rollAt() int64 {
	if f.old {
		return f.lastOffset - math.MaxInt32
	}
	return f.first
}

func (l *Log) checkFollower(records []byte) (followed, error) {
	f := followed{first: -1, appended: appended{lastOffset: -1, maxTimestamp: record.NoTimestamp, offsetOfMaxTimestamp: -1}}
	for rest := records; ; {
		batch, next, err := record.SplitAny(rest)
		switch {
		case errors.Is(err, record.ErrShort):
			return f, nil
		case err != nil:
			return f, kerr.CorruptMessage.With("%s: %s", l.partition, err)
		case !batch.Valid():
			return f, kerr.CorruptMessage.With("Record is corrupt (stored crc = %d) in topic partition %s.", batch.CRC(), l.partition)
		case batch.LastOffset() < batch.BaseOffset() || batch.BaseOffset() <= f.lastOffset:
			return f, fmt.Errorf("%s: batch from %d to %d follows offset %d: %w", l.partition, batch.BaseOffset(), batch.LastOffset(), f.lastOffset, ErrUnexpectedOffset)
		}
		if f.bytes == 0 {
			f.first, f.old = batch.BaseOffset(), batch.IsOld()
		}
		f.bytes += len(batch)
		f.lastOffset = batch.LastOffset()
		if t := batch.MaxTimestamp(); t > f.maxTimestamp {
			f.maxTimestamp, f.offsetOfMaxTimestamp = t, f.lastOffset
		}
		rest = next
	}
}

// makeRoomLocked rolls the active segment if the append does not fit it.
func (l *Log) makeRoomLocked(opts *Options, size int, first int64, a appended, now time.Time) error {
	if size > opts.SegmentBytes {
		return kerr.RecordListTooLarge.With("Message batch size is %d bytes in append to partition %s, which exceeds the maximum configured segment size of %d.",
			size, l.partition, opts.SegmentBytes)
	}
	roll, err := l.segments.Load().active().shouldRoll(opts, size, a, now)
	if err != nil || !roll {
		return err
	}
	return l.rollLocked(opts, first)
}

// writeLocked appends checked and stamped batches, publishes them and notes
// their producers.
func (l *Log) writeLocked(opts *Options, records []byte, a appended) error {
	active := l.segments.Load().active()
	position := active.size.Load()
	if position+int64(len(records)) > math.MaxInt32 {
		return fmt.Errorf("segment %s would pass 2 GiB", baseName(active.base))
	}
	if err := active.append(records, a, opts.IndexIntervalBytes); err != nil {
		return err
	}
	if err := l.noteProducersLocked(active, records, position); err != nil {
		return err
	}
	l.setEndLocked(a.lastOffset + 1)
	l.producers.mapEnd = a.lastOffset + 1
	l.updateUnstableLocked()
	return nil
}

// noteProducersLocked follows the idempotent and transactional batches among
// those that were written.
func (l *Log) noteProducersLocked(s *segment, records []byte, position int64) error {
	for len(records) > 0 {
		batch, rest, err := record.SplitAny(records)
		if err != nil {
			return err // checked before
		}
		if !batch.IsOld() {
			if err := l.noteProducerLocked(s, record.Batch(batch), position); err != nil {
				return err
			}
		}
		position += int64(len(batch))
		records = rest
	}
	return nil
}

func (l *Log) noteProducerLocked(s *segment, batch record.Batch, position int64) error {
	ended, found := l.producers.apply(batch, s.base, position)
	if !found {
		return nil
	}
	stable := l.producers.stableOffsetBehind(ended)
	if ended.aborted {
		if err := s.txns.append(AbortedTxn{ProducerID: ended.producerID, FirstOffset: ended.first, LastOffset: ended.last, LastStableOffset: stable}); err != nil {
			return err
		}
		s.unsyncedName.Store(true) // the file may be new, and the others' names durable
	}
	l.producers.complete(ended)
	return nil
}
