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

// RecordErrors is a batch that was refused because of some of its records.
type RecordErrors struct {
	Err     error // InvalidRecord or InvalidTimestamp
	Records []RecordError
}

// RecordError names one refused record by its index in the batch.
type RecordError struct {
	BatchIndex int32
	Message    string
}

func (e *RecordErrors) Error() string { return e.Err.Error() }
func (e *RecordErrors) Unwrap() error { return e.Err }

// incoming is what a client or a coordinator sends: sound batches, of which
// nothing but the headers was looked at.
type incoming struct {
	records        []byte // the whole batches
	first          record.Any
	batches        int
	source, target compress.Codec
}

// checkSet cuts off the bytes of a batch that is not whole, and looks at every
// batch's size, CRC and header.
//
// Hot path: allocates nothing.
func (l *Log) checkSet(records []byte, opts *Options, origin Origin) (in incoming, err error) {
	size := 0
	for rest := records; ; {
		b, next, err := record.SplitAny(rest)
		if errors.Is(err, record.ErrShort) {
			break
		}
		if err != nil {
			return in, kerr.CorruptMessage.With("%s: %s", l.partition, err)
		}
		if err := l.checkArrived(b, opts, origin); err != nil {
			return in, err
		}
		if codec := b.Codec(); codec != compress.None {
			in.source = codec
		}
		if in.batches == 0 {
			in.first = b
		}
		in.batches++
		size += len(b)
		rest = next
	}
	if in.batches == 0 {
		return in, nil
	}
	in.records = records[:size]
	in.target = opts.targetCodec(in.source)
	return in, l.checkIncoming(in, opts, origin)
}

// checkArrived looks at one batch for what nothing may be done with.
func (l *Log) checkArrived(b record.Any, opts *Options, origin Origin) error {
	switch {
	case origin == OriginClient && !b.IsOld() && b.BaseOffset() != 0:
		return kerr.InvalidRecord.With("The baseOffset of the record batch in the append to %s should be 0, but it is %d", l.partition, b.BaseOffset())
	case len(b) > opts.MaxMessageBytes:
		return l.tooLarge(len(b), opts)
	case !b.Valid():
		return kerr.CorruptMessage.With("Record is corrupt (stored crc = %d) in topic partition %s.", b.CRC(), l.partition)
	case !b.Codec().Valid():
		return kerr.InvalidRecord.With("Unknown compression type id: %d", b.Codec())
	}
	return nil
}

// checkIncoming holds the batches against each other and against the format
// of the log.
func (l *Log) checkIncoming(in incoming, opts *Options, origin Origin) error {
	if in.target == compress.Zstd && opts.RefuseZstd {
		return kerr.UnsupportedCompressionType.With("Produce requests to inter.broker.protocol.version < 2.1 broker are not allowed to use ZStandard compression")
	}
	if in.batches > 1 && (!in.first.IsOld() || in.source != compress.None) {
		return kerr.InvalidRecord.With("more than one batch in the append to %s, where only plain messages of format 0 or 1 may be several", l.partition)
	}
	magic := in.first.Magic()
	for rest := in.records; in.batches > 1 && len(rest) > 0; {
		b, next, err := record.SplitAny(rest)
		if err != nil {
			return err // split before
		}
		if b.Magic() != magic {
			return kerr.InvalidRecord.With("Batch magic %d is not the same as the first batch'es magic byte %d in topic partition %s.", b.Magic(), magic, l.partition)
		}
		rest = next
	}
	if in.first.IsOld() {
		if in.source == compress.Zstd {
			return kerr.InvalidRecord.With("zstd in a message of format %d in the append to %s", magic, l.partition)
		}
		return nil
	}
	b := record.Batch(in.first)
	if origin == OriginClient {
		if err := l.checkClientBatch(b); err != nil {
			return err
		}
	}
	switch {
	case opts.Magic() == record.Magic:
		return nil
	case b.Transactional():
		return kerr.UnsupportedForMessageFormat.With("Transactional records cannot be used with magic version %d", opts.Magic())
	case b.HasProducerID():
		return kerr.UnsupportedForMessageFormat.With("Idempotent records cannot be used with magic version %d", opts.Magic())
	}
	return nil
}

func (l *Log) tooLarge(size int, opts *Options) error {
	return kerr.MessageTooLarge.With("The record batch size in the append to %s is %d bytes which exceeds the maximum configured value of %d.",
		l.partition, size, opts.MaxMessageBytes)
}

// checkClientBatch holds the header of a client's batch against the rules.
func (l *Log) checkClientBatch(b record.Batch) error {
	switch {
	case b.LastOffsetDelta() < 0:
		return kerr.InvalidRecord.With("Batch has an invalid offset range: [%d, %d] in topic partition %s.", b.BaseOffset(), b.LastOffset(), l.partition)
	case b.Count() <= 0:
		return kerr.InvalidRecord.With("Invalid reported count for record batch: %d in topic partition %s.", b.Count(), l.partition)
	case b.LastOffsetDelta() != b.Count()-1:
		return kerr.InvalidRecord.With("Inconsistent batch offset range [%d, %d] and count of records %d in topic partition %s.",
			b.BaseOffset(), b.LastOffset(), b.Count(), l.partition)
	case b.Control():
		return kerr.InvalidRecord.With("Clients are not allowed to write control records in topic partition %s.", l.partition)
	case b.HasProducerID() && b.BaseSequence() < 0:
		return kerr.InvalidRecord.With("Invalid sequence number %d in record batch with producerId %d in topic partition %s.", b.BaseSequence(), b.ProducerID(), l.partition)
	}
	return nil
}

// checked is a batch of format 2 that may be stamped in place, and what was
// learnt on the way.
type checked struct {
	batch        record.Batch
	maxTimestamp int64
	maxDelta     int32 // offset delta of the record that maxTimestamp is from
}

// errUncounted: Kafka, which reads no keys and values where it need not write
// a batch anew, fails when it finds so late that it must.
var errUncounted = errors.New("the offsets of a compressed batch do not count from 0 without gaps")

// checkRecords walks the records of a batch. It finds the largest timestamp
// and every record that must be refused.
//
// Hot path: allocates nothing for a sound batch that is not compressed.
func (l *Log) checkRecords(b record.Batch, opts *Options, now time.Time) (checked, error) {
	c := checked{batch: b, maxTimestamp: record.NoTimestamp}
	compressed, nowMs := b.Codec() != compress.None, now.UnixMilli()
	earliest, latest := timestampsTaken(b, nowMs, opts)
	keySizeMin := int32(-1)
	if opts.Compact {
		keySizeMin = 0
	}
	base := b.BaseTimestamp()
	var refused *refusals
	index := int32(0)
	err := b.Walk(func(s record.Shape) error {
		timestamp := base + s.TimestampDelta
		if timestamp < earliest || timestamp > latest || s.KeySize < keySizeMin {
			// Perhaps one that must be refused: look again, at leisure.
			timestamp = b.RecordTimestamp(s)
			refused = l.refuse(refused, candidate{index, b.BaseOffset() + int64(s.OffsetDelta), timestamp, s.KeySize, s.ValueSize, b.LogAppendTime(), compressed}, nowMs, opts)
		}
		if timestamp > c.maxTimestamp {
			c.maxTimestamp, c.maxDelta = timestamp, index
		}
		if compressed && s.OffsetDelta != index {
			return errUncounted
		}
		index++
		return nil
	})
	if err != nil {
		return c, kerr.InvalidRecord.With("%s: %s", l.partition, err)
	}
	if compressed {
		c.maxDelta = b.LastOffsetDelta()
	}
	return c, refused.err()
}

// timestampsTaken is a range of timestamps that no record is refused for;
// what lies outside needs a closer look. It is empty when every record does.
func timestampsTaken(b record.Batch, nowMs int64, opts *Options) (earliest, latest int64) {
	distance := opts.TimestampDifferenceMaxMs
	if b.LogAppendTime() || distance < 0 {
		return math.MaxInt64, math.MinInt64
	}
	return max(0, nowMs-distance), nowMs + min(distance, math.MaxInt64-nowMs)
}

func tooDistant(timestamp, nowMs int64, opts *Options) bool {
	if opts.LogAppendTime || timestamp == record.NoTimestamp {
		return false
	}
	distance := timestamp - nowMs
	if distance < 0 {
		distance = -distance
	}
	return distance > opts.TimestampDifferenceMaxMs || distance < 0 // overflow is far away
}

// candidate is a record that wants to be appended.
type candidate struct {
	index              int32 // in its batch
	offset, timestamp  int64
	keySize, valueSize int32 // -1 is null
	appendTime         bool  // the sender claims to know the append time
	partial            bool  // only its sizes were read, which the text tells
}

// refusals collects the errors of a batch's records.
type refusals struct {
	records []RecordError
	time    bool
}

// refuse adds a record to the refused ones if it must be.
func (l *Log) refuse(r *refusals, c candidate, nowMs int64, opts *Options) *refusals {
	var text string
	byTime := false
	switch {
	case opts.Compact && c.keySize < 0:
		text = "Compacted topic cannot accept message without key in topic partition " + l.partition.String() + "."
	case tooDistant(c.timestamp, nowMs, opts):
		byTime = true
		text = fmt.Sprintf("Timestamp %d of message with offset %d is out of range. The timestamp should be within [%d, %d]",
			c.timestamp, c.offset, nowMs-opts.TimestampDifferenceMaxMs, nowMs+opts.TimestampDifferenceMaxMs)
	case c.appendTime:
		byTime = true
		kind, keySize, valueSize := "DefaultRecord", max(0, c.keySize), max(0, c.valueSize)
		if c.partial {
			kind, keySize, valueSize = "PartialDefaultRecord", c.keySize, c.valueSize
		}
		text = fmt.Sprintf("Invalid timestamp type in message %s(offset=%d, timestamp=%d, key=%d bytes, value=%d bytes). Producer should not set timestamp type to LogAppendTime.",
			kind, c.offset, c.timestamp, keySize, valueSize)
	default:
		return r
	}
	if r == nil {
		r = &refusals{}
	}
	r.time = r.time || byTime
	r.records = append(r.records, RecordError{BatchIndex: c.index, Message: text})
	return r
}

func (r *refusals) err() error {
	switch {
	case r == nil:
		return nil
	case r.time:
		return &RecordErrors{Err: kerr.InvalidTimestamp.With("One or more records have been rejected due to invalid timestamp"), Records: r.records}
	default:
		return &RecordErrors{Err: kerr.InvalidRecord.With("One or more records have been rejected"), Records: r.records}
	}
}

// stamp gives a batch of format 2 its offsets, leader epoch and timestamp, in
// place.
func (c *checked) stamp(offset int64, epoch model.LeaderEpoch, now time.Time, opts *Options) assigned {
	c.batch.SetBaseOffset(offset)
	c.batch.SetLeaderEpoch(int32(epoch))
	if opts.LogAppendTime {
		c.maxTimestamp = now.UnixMilli()
		c.maxDelta = c.batch.LastOffsetDelta()
	}
	c.batch.SetMaxTimestamp(opts.LogAppendTime, c.maxTimestamp)
	return assigned{c.batch, appended{lastOffset: c.batch.LastOffset(), maxTimestamp: c.maxTimestamp, offsetOfMaxTimestamp: offset + int64(c.maxDelta)}}
}
