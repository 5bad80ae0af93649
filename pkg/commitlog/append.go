package commitlog

import (
	"errors"
	"fmt"
	"math"
	"time"

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

// AppendAsLeader appends one batch, giving it the next offsets. The bytes are
// stamped in place. What is wrong with them comes back as a kerr error, where
// single records are at fault as *RecordErrors; a disk that fails is
// KafkaStorageError.
//
// Hot path: allocates nothing for an uncompressed batch, copies no record,
// one write.
func (l *Log) AppendAsLeader(records []byte, epoch model.LeaderEpoch, origin Origin) (AppendInfo, error) {
	info, err := l.appendAsLeader(records, epoch, origin)
	if err == nil {
		err = l.flushIfDue(info.LastOffset + 1)
	}
	return info, err
}

func (l *Log) appendAsLeader(records []byte, epoch model.LeaderEpoch, origin Origin) (AppendInfo, error) {
	opts := l.options.Load()
	batch, err := l.checkSet(records, opts, origin)
	if err != nil || batch == nil {
		return l.nothing(), err
	}
	if origin == OriginClient {
		if err := l.checkClientBatch(batch); err != nil {
			return l.nothing(), err
		}
	}
	c, err := l.checkRecords(batch, opts, time.Now())
	if err != nil {
		return l.nothing(), err
	}

	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return l.nothing(), err
	}
	now := time.Now()
	first := l.LogEndOffset()
	if err := l.stamp(&c, first, epoch, now, opts); err != nil {
		return l.nothing(), err
	}
	info := AppendInfo{FirstOffset: first, LastOffset: c.batch.LastOffset(), MaxTimestamp: c.maxTimestamp, LogAppendTime: -1, Bytes: len(c.batch)}
	if opts.LogAppendTime {
		info.LogAppendTime = c.maxTimestamp
	}
	a := appended{lastOffset: info.LastOffset, maxTimestamp: c.maxTimestamp, offsetOfMaxTimestamp: first + int64(c.maxDelta)}
	if err := l.epochs.assign(epoch, first); err != nil {
		return l.nothing(), l.failOn(err)
	}
	if err := l.makeRoomLocked(opts, len(c.batch), first, a, now); err != nil {
		return l.nothing(), l.failOn(err)
	}
	if c.batch.HasProducerID() {
		known, repeated, err := l.producers.check(c.batch, origin)
		if err != nil {
			return l.nothing(), err
		}
		if repeated {
			return AppendInfo{FirstOffset: known.firstOffset(), LastOffset: known.lastOffset, MaxTimestamp: known.timestamp,
				LogAppendTime: known.timestamp, LogStartOffset: l.LogStartOffset(), Duplicate: true}, nil
		}
	}
	if err := l.writeLocked(opts, c.batch, a); err != nil {
		return l.nothing(), l.failOn(err)
	}
	info.LogStartOffset = l.LogStartOffset()
	return info, nil
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
		batch, next, err := record.Split(rest)
		if err != nil {
			return l.nothing(), err // checked above
		}
		if err := l.epochs.assign(model.LeaderEpoch(batch.LeaderEpoch()), batch.BaseOffset()); err != nil {
			return l.nothing(), l.failOn(err)
		}
		rest = next
	}
	if err := l.makeRoomLocked(opts, len(records), f.first, f.appended, time.Now()); err != nil {
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
	first int64
	bytes int
}

func (l *Log) checkFollower(records []byte) (followed, error) {
	f := followed{first: -1, appended: appended{lastOffset: -1, maxTimestamp: record.NoTimestamp, offsetOfMaxTimestamp: -1}}
	for rest := records; ; {
		batch, next, err := record.Split(rest)
		switch {
		case errors.Is(err, record.ErrShort):
			return f, nil
		case errors.Is(err, record.ErrOldFormat):
			return f, kerr.UnsupportedForMessageFormat.With("Message format versions 0 and 1 are not accepted for partition %s", l.partition)
		case err != nil:
			return f, kerr.CorruptMessage.With("%s: %s", l.partition, err)
		case !batch.Valid():
			return f, kerr.CorruptMessage.With("Record is corrupt (stored crc = %d) in topic partition %s.", batch.CRC(), l.partition)
		case batch.LastOffsetDelta() < 0 || batch.BaseOffset() <= f.lastOffset:
			return f, fmt.Errorf("%s: batch from %d to %d follows offset %d: %w", l.partition, batch.BaseOffset(), batch.LastOffset(), f.lastOffset, ErrUnexpectedOffset)
		}
		if f.bytes == 0 {
			f.first = batch.BaseOffset()
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
		batch, rest, err := record.Split(records)
		if err != nil {
			return err // checked before
		}
		if err := l.noteProducerLocked(s, batch, position); err != nil {
			return err
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
	}
	l.producers.complete(ended)
	return nil
}
