package commitlog

import (
	"errors"
	"sync"
	"time"

	"gregor/pkg/compress"
	"gregor/pkg/kerr"
	"gregor/pkg/model"
	"gregor/pkg/record"
)

// converter assigns offsets to what cannot simply be stamped: it looks at
// every record and, unless the set is a plain one or a wrapper in the log's
// own format, writes it anew in the log's format and codec. It is kept for
// reuse; what it wrote lives until then.
type converter struct {
	log  *Log
	in   incoming
	opts *Options
	now  int64

	next    int64 // offset of the next record
	refused *refusals
	unfit   error // what the format of the log cannot hold
	v2      record.Builder
	old     *record.OldBuilder
}

var converters = sync.Pool{New: func() any { return &converter{old: record.NewOldBuilder(0, compress.None)} }}

// assign gives the set the offsets from first on. The memory that it takes is
// bounded by twice the largest message and a constant.
func (c *converter) assign(l *Log, in incoming, first int64, epoch model.LeaderEpoch, now time.Time, opts *Options) (assigned, error) {
	c.log, c.in, c.opts, c.now, c.next, c.refused, c.unfit = l, in, opts, now.UnixMilli(), first, nil, nil
	defer func() { c.log, c.in, c.opts, c.refused, c.unfit = nil, incoming{}, nil, nil, nil }()
	magic, same := in.first.Magic(), in.first.Magic() == opts.Magic() && in.source == in.target
	switch {
	case same && magic != record.Magic && in.source == compress.None:
		return c.stampMessages(first)
	case same && magic == 1:
		a, inPlace, err := c.stampWrapper(first)
		if inPlace || err != nil {
			return a, err
		}
	}
	return c.rewrite(first, epoch)
}

// stampMessages gives plain messages of formats 0 and 1 their offsets, in
// place. A time index knows messages with append time by the first of them.
func (c *converter) stampMessages(first int64) (assigned, error) {
	a := assigned{c.in.records, appended{maxTimestamp: record.NoTimestamp, offsetOfMaxTimestamp: -1}}
	if c.opts.LogAppendTime {
		a.maxTimestamp, a.offsetOfMaxTimestamp = c.now, first
	}
	err := c.each(func(b record.Any) error {
		m := record.OldMessage(b)
		key, value, err := m.KeyValue()
		if err != nil {
			return c.failure(err)
		}
		timestamp := m.Timestamp()
		if c.refuse(0, m.Offset(), timestamp, key, value, m.LogAppendTime()); c.refused != nil {
			return c.refused.err()
		}
		if !c.opts.LogAppendTime && timestamp > a.maxTimestamp {
			a.maxTimestamp, a.offsetOfMaxTimestamp = timestamp, c.next
		}
		if m.Magic() != 0 {
			if c.opts.LogAppendTime {
				timestamp = c.now
			}
			m.SetTimestamp(c.opts.LogAppendTime, max(record.NoTimestamp, timestamp))
		}
		m.SetOffset(c.next)
		c.next++
		return nil
	})
	a.lastOffset = c.next - 1
	return a, err
}

// each shows the batches of the set.
func (c *converter) each(visit func(record.Any) error) error {
	for rest := c.in.records; len(rest) > 0; {
		b, next, err := record.SplitAny(rest)
		if err != nil {
			return err // split before
		}
		if err := visit(b); err != nil {
			return err
		}
		rest = next
	}
	return nil
}

// stampWrapper gives a wrapper of format 1 its offset in place. It does
// nothing when the messages within do not count from 0 without gaps, as those
// of some old producers do not.
func (c *converter) stampWrapper(first int64) (a assigned, inPlace bool, err error) {
	inPlace = true
	maxTimestamp, count := record.NoTimestamp, int32(0)
	err = c.deep(func(r *record.Record) error {
		c.refuse(count, r.Offset, r.Timestamp, r.Key, r.Value, c.in.first.LogAppendTime())
		maxTimestamp = max(maxTimestamp, r.Timestamp)
		inPlace = inPlace && r.Offset == int64(count)
		count++
		return nil
	})
	if err == nil {
		err = c.refused.err()
	}
	if err != nil || !inPlace {
		return a, false, err
	}
	if c.opts.LogAppendTime {
		maxTimestamp = c.now
	}
	last := first + int64(count) - 1
	m := record.OldMessage(c.in.first)
	m.SetOffset(last)
	m.SetTimestamp(c.opts.LogAppendTime, maxTimestamp)
	return assigned{c.in.records, appended{lastOffset: last, maxTimestamp: maxTimestamp, offsetOfMaxTimestamp: last}}, true, nil
}

// rewrite builds the set anew. What the format cannot hold is told when no
// record is refused for another reason, as by Kafka.
func (c *converter) rewrite(first int64, epoch model.LeaderEpoch) (assigned, error) {
	c.begin(first, epoch)
	index := int32(0)
	appendTime := c.in.first.LogAppendTime()
	err := c.deep(func(r *record.Record) error {
		if c.refuse(index, r.Offset, r.Timestamp, r.Key, r.Value, appendTime); c.refused == nil && c.unfit == nil {
			if err := c.add(r, first); err != nil {
				return err
			}
		}
		index++
		return nil
	})
	if err == nil {
		err = c.refused.err()
	}
	if err == nil {
		err = c.unfit
	}
	if err != nil {
		return assigned{}, err
	}
	return c.finish()
}

func (c *converter) begin(first int64, epoch model.LeaderEpoch) {
	if c.opts.Magic() != record.Magic {
		if c.in.target == compress.Zstd {
			c.unfit = kerr.UnsupportedCompressionType.With("ZStandard compression is not supported for magic %d", c.opts.Magic())
			return
		}
		c.old.Reset(c.opts.Magic(), c.in.target)
		if c.opts.LogAppendTime {
			c.old.SetLogAppendTime(c.now)
		}
		return
	}
	b := &c.v2
	b.Reset(c.in.target)
	b.BaseOffset, b.LeaderEpoch = first, int32(epoch)
	if !c.in.first.IsOld() {
		from := record.Batch(c.in.first)
		b.ProducerID, b.ProducerEpoch, b.BaseSequence = from.ProducerID(), from.ProducerEpoch(), from.BaseSequence()
		b.Transactional, b.Control = from.Transactional(), from.Control()
	}
	if c.opts.LogAppendTime {
		b.SetLogAppendTime(c.now)
	}
}

// add writes one record, if the log's format can hold it.
func (c *converter) add(r *record.Record, first int64) error {
	if r.Timestamp < record.NoTimestamp {
		c.unfit = kerr.InvalidTimestamp.With("Invalid negative timestamp %d", r.Timestamp)
		return nil
	}
	size, most := 0, c.memoryMax()
	if c.opts.Magic() == record.Magic {
		c.v2.AppendAt(int32(c.next-first), r.Timestamp, r.Key, r.Value, r.Headers...)
		size = c.v2.Size()
		if c.in.target == compress.None {
			most = c.opts.MaxMessageBytes // it is one batch, and will not get smaller
		}
	} else {
		if len(r.Headers) > 0 {
			c.unfit = kerr.UnsupportedForMessageFormat.With("Magic v%d does not support record headers", c.opts.Magic())
			return nil
		}
		c.old.Append(c.next, r.Timestamp, r.Key, r.Value)
		size = c.old.Size()
	}
	c.next++
	if size > most {
		return c.log.tooLarge(size, c.opts)
	}
	return nil
}

// memoryMax bounds a record, and what is held of the set that is written.
func (c *converter) memoryMax() int { return min(2*c.opts.MaxMessageBytes+8<<20, 1<<31-1) }

// finish ends the set and holds every batch of it against the limit again.
func (c *converter) finish() (a assigned, err error) {
	a.lastOffset = c.next - 1
	if c.opts.Magic() == record.Magic {
		a.records, err = c.v2.Build()
		a.maxTimestamp, a.offsetOfMaxTimestamp = c.v2.MaxTimestamp(), a.lastOffset
	} else {
		a.records, err = c.old.Build()
		a.maxTimestamp, a.offsetOfMaxTimestamp = c.old.MaxTimestamp()
	}
	if err != nil {
		return a, c.failure(err)
	}
	for rest := a.records; len(rest) > 0; {
		b, next, err := record.SplitAny(rest)
		if err != nil {
			return a, err // ours
		}
		if len(b) > c.opts.MaxMessageBytes {
			return a, c.log.tooLarge(len(b), c.opts)
		}
		rest = next
	}
	return a, nil
}

// deep shows every record of the set. Of the messages in a wrapper the
// checksums are looked at; those of all others have been.
func (c *converter) deep(visit func(*record.Record) error) error {
	var rec record.Record
	var stop error // what visit said
	err := c.each(func(b record.Any) error {
		if !b.IsOld() {
			return b.Visit(c.memoryMax(), func(r *record.Record) error { stop = visit(r); return stop })
		}
		wrapped := b.Codec() != compress.None
		return record.OldMessage(b).Deep(c.memoryMax(), func(m record.OldMessage, offset, timestamp int64) (err error) {
			if wrapped {
				if stop = c.checkInner(m, b.Magic()); stop != nil {
					return stop
				}
			}
			rec.Offset, rec.Timestamp = offset, timestamp
			if rec.Key, rec.Value, err = m.KeyValue(); err != nil {
				return err
			}
			stop = visit(&rec)
			return stop
		})
	})
	if stop != nil {
		return stop
	}
	return c.failure(err)
}

func (c *converter) checkInner(m record.OldMessage, magic int8) error {
	switch {
	case m.Magic() != magic:
		return kerr.InvalidRecord.With("a message of format %d in one of format %d in topic partition %s.", m.Magic(), magic, c.log.partition)
	case !m.Valid():
		return kerr.CorruptMessage.With("Record is corrupt (stored crc = %d) in topic partition %s.", m.CRC(), c.log.partition)
	}
	return nil
}

// failure turns what reading the records says into what the client is told.
func (c *converter) failure(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, record.ErrTooLarge):
		return kerr.MessageTooLarge.With("%s: %s", c.log.partition, err)
	default:
		return kerr.InvalidRecord.With("%s: %s", c.log.partition, err)
	}
}

func (c *converter) refuse(index int32, offset, timestamp int64, key, value []byte, appendTime bool) {
	keySize, valueSize := int32(len(key)), int32(len(value))
	if key == nil {
		keySize = -1
	}
	c.refused = c.log.refuse(c.refused, candidate{index, offset, timestamp, keySize, valueSize, appendTime, false}, c.now, c.opts)
}
