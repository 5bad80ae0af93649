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

// checked is a batch that may be appended, and what was learnt on the way.
type checked struct {
	batch        record.Batch
	maxTimestamp int64
	maxDelta     int32 // offset delta of the record that maxTimestamp is from
	rebuild      bool  // must be written anew in another codec
}

// checkSet looks at what a client or a coordinator sends: one batch of format
// 2 with a right CRC. Bytes of a batch that is not whole are cut off; nothing
// at all gives a nil batch.
func (l *Log) checkSet(records []byte, opts *Options, origin Origin) (record.Batch, error) {
	batch, rest, err := record.Split(records)
	switch {
	case errors.Is(err, record.ErrShort):
		return nil, nil
	case errors.Is(err, record.ErrOldFormat):
		return nil, kerr.UnsupportedForMessageFormat.With("Message format versions 0 and 1 are not accepted for partition %s", l.partition)
	case err != nil:
		return nil, kerr.CorruptMessage.With("%s: %s", l.partition, err)
	}
	if origin == OriginClient && batch.BaseOffset() != 0 {
		return nil, kerr.InvalidRecord.With("The baseOffset of the record batch in the append to %s should be 0, but it is %d", l.partition, batch.BaseOffset())
	}
	if len(batch) > opts.MaxMessageBytes {
		return nil, l.tooLarge(len(batch), opts)
	}
	if !batch.Valid() {
		return nil, kerr.CorruptMessage.With("Record is corrupt (stored crc = %d) in topic partition %s.", batch.CRC(), l.partition)
	}
	if _, _, err := record.Split(rest); !errors.Is(err, record.ErrShort) {
		return nil, kerr.InvalidRecord.With("more than one batch in the append to %s", l.partition)
	}
	return batch, nil
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
	case b.HasProducerID() && b.BaseSequence() < 0:
		return kerr.InvalidRecord.With("Invalid sequence number %d in record batch with producerId %d in topic partition %s.", b.BaseSequence(), b.ProducerID(), l.partition)
	case b.Control():
		return kerr.InvalidRecord.With("Clients are not allowed to write control records in topic partition %s.", l.partition)
	}
	return nil
}

// checkRecords walks the records of a batch. It finds the largest timestamp
// and every record that must be refused.
//
// Hot path: allocates nothing for a sound batch that is not compressed.
func (l *Log) checkRecords(b record.Batch, opts *Options, now time.Time) (checked, error) {
	c := checked{batch: b, maxTimestamp: record.NoTimestamp}
	codec := b.Codec()
	if !codec.Valid() {
		return c, kerr.InvalidRecord.With("Unknown compression type id: %d", codec)
	}
	c.rebuild = codec != opts.targetCodec(codec)
	nowMs := now.UnixMilli()
	earliest, latest := timestampsTaken(b, nowMs, opts)
	keySizeMin := int32(-1)
	if opts.Compact {
		keySizeMin = 0
	}
	base, recount := b.BaseTimestamp(), codec != compress.None || c.rebuild
	var refused *refusals
	index := int32(0)
	err := b.Walk(func(s record.Shape) error {
		timestamp := base + s.TimestampDelta
		if timestamp < earliest || timestamp > latest || s.KeySize < keySizeMin {
			// Perhaps one that must be refused: look again, at leisure.
			if timestamp = b.RecordTimestamp(s); l.refuses(b, s, timestamp, nowMs, opts) {
				refused = refused.add(l, b, s, index, nowMs, opts)
			}
		}
		if timestamp > c.maxTimestamp {
			c.maxTimestamp, c.maxDelta = timestamp, index
		}
		if recount && s.OffsetDelta != index {
			c.rebuild = true // the offsets must be counted anew
		}
		index++
		return nil
	})
	if err != nil {
		return c, kerr.InvalidRecord.With("%s: %s", l.partition, err)
	}
	if codec != compress.None || c.rebuild {
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

func (l *Log) refuses(b record.Batch, s record.Shape, timestamp, nowMs int64, opts *Options) bool {
	return opts.Compact && s.KeySize < 0 || b.LogAppendTime() || tooDistant(timestamp, nowMs, opts)
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

// refusals collects the errors of a batch's records.
type refusals struct {
	records []RecordError
	time    bool
}

func (r *refusals) add(l *Log, b record.Batch, s record.Shape, index int32, nowMs int64, opts *Options) *refusals {
	if r == nil {
		r = &refusals{}
	}
	timestamp, offset := b.RecordTimestamp(s), b.BaseOffset()+int64(s.OffsetDelta)
	e := RecordError{BatchIndex: index}
	switch {
	case opts.Compact && s.KeySize < 0:
		e.Message = "Compacted topic cannot accept message without key in topic partition " + l.partition.String() + "."
	case tooDistant(timestamp, nowMs, opts):
		r.time = true
		e.Message = fmt.Sprintf("Timestamp %d of message with offset %d is out of range. The timestamp should be within [%d, %d]",
			timestamp, offset, nowMs-opts.TimestampDifferenceMaxMs, nowMs+opts.TimestampDifferenceMaxMs)
	default:
		r.time = true
		e.Message = fmt.Sprintf("Invalid timestamp type in message DefaultRecord(offset=%d, timestamp=%d, key=%d bytes, value=%d bytes). Producer should not set timestamp type to LogAppendTime.",
			offset, timestamp, max(0, s.KeySize), max(0, s.ValueSize))
	}
	r.records = append(r.records, e)
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

// stamp gives the batch its offsets, leader epoch and timestamp, in place,
// or writes it anew where the codec must change.
func (l *Log) stamp(c *checked, offset int64, epoch model.LeaderEpoch, now time.Time, opts *Options) error {
	if c.rebuild {
		if err := l.rebuild(c, now, opts); err != nil {
			return err
		}
	}
	c.batch.SetBaseOffset(offset)
	c.batch.SetLeaderEpoch(int32(epoch))
	if opts.LogAppendTime {
		c.maxTimestamp = now.UnixMilli()
		c.maxDelta = c.batch.LastOffsetDelta()
	}
	c.batch.SetMaxTimestamp(opts.LogAppendTime, c.maxTimestamp)
	return nil
}

// rebuild writes the batch anew: other codec, offsets counted from 0. The
// memory it takes is bounded by the largest message and a constant.
func (l *Log) rebuild(c *checked, now time.Time, opts *Options) error {
	old := c.batch
	limit := 2*opts.MaxMessageBytes + 8<<20
	b := record.NewBuilder(opts.targetCodec(old.Codec()))
	b.ProducerID, b.ProducerEpoch, b.BaseSequence = old.ProducerID(), old.ProducerEpoch(), old.BaseSequence()
	b.Transactional, b.Control = old.Transactional(), old.Control()
	if opts.LogAppendTime {
		b.SetLogAppendTime(now.UnixMilli())
	}
	records := old.Records(min(limit, math.MaxInt32))
	defer records.Close()
	for records.Next() {
		r := records.Record()
		b.Append(r.Timestamp, r.Key, r.Value, r.Headers...)
		if b.Size() > limit {
			return l.tooLarge(b.Size(), opts)
		}
	}
	if err := records.Err(); err != nil {
		return kerr.InvalidRecord.With("%s: %s", l.partition, err)
	}
	batch, err := b.Build()
	if err != nil {
		return err
	}
	if len(batch) > opts.MaxMessageBytes {
		return l.tooLarge(len(batch), opts)
	}
	c.batch, c.maxDelta = batch, batch.LastOffsetDelta()
	return nil
}
