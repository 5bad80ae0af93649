package record

import (
	"encoding/binary"
	"fmt"
	"math"

	"gregor/pkg/compress"
)

// OldBuilder makes a set of messages of format 0 or 1: one behind the other,
// or, with a codec, one message that wraps them all. Timestamps are left out
// in format 0. It may be used again after Reset.
type OldBuilder struct {
	magic         int8
	codec         compress.Codec
	logAppendTime bool
	appendTime    int64

	packer     packer
	base, last int64
	count      int
	maxTime    int64
	maxTimeAt  int64
}

// NewOldBuilder returns the builder of a set. The codec must be one that the
// format has: not zstd.
func NewOldBuilder(magic int8, codec compress.Codec) *OldBuilder {
	b := &OldBuilder{}
	b.Reset(magic, codec)
	return b
}

// Reset begins another set and ends the life of the last one's bytes.
func (b *OldBuilder) Reset(magic int8, codec compress.Codec) {
	b.magic, b.codec, b.logAppendTime, b.appendTime = magic, codec, false, 0
	b.base, b.last, b.count, b.maxTime, b.maxTimeAt = 0, -1, 0, NoTimestamp, -1
	head := 0
	if codec != compress.None {
		head = oldHeaderSize(magic)
	}
	b.packer.start(codec, head)
}

// SetLogAppendTime gives all messages the broker's clock for a timestamp. It
// comes before the first Append.
func (b *OldBuilder) SetLogAppendTime(now int64) { b.logAppendTime, b.appendTime = true, now }

// Count is the number of messages so far.
func (b *OldBuilder) Count() int { return b.count }

// Size is the size of the set so far; of a compressed one about that.
func (b *OldBuilder) Size() int { return b.packer.size() }

// LastOffset is the offset of the last message, -1 when there is none.
func (b *OldBuilder) LastOffset() int64 { return b.last }

// MaxTimestamp is the largest timestamp, or the append time, and the offset
// that an index knows it by: the message's own, the last one of a wrapper, and
// the first one of plain messages with append time. Format 0 has a timestamp
// only as append time.
func (b *OldBuilder) MaxTimestamp() (timestamp, offset int64) {
	switch {
	case b.logAppendTime && b.codec == compress.None:
		return b.appendTime, b.base
	case b.logAppendTime:
		return b.appendTime, b.last
	case b.maxTime == NoTimestamp || b.codec != compress.None:
		return b.maxTime, b.last
	}
	return b.maxTime, b.maxTimeAt
}

// Append adds a message; offsets increase. Nil key or value is null.
func (b *OldBuilder) Append(offset, timestamp int64, key, value []byte) *OldBuilder {
	if b.count == 0 {
		b.base = offset
	}
	if b.logAppendTime {
		timestamp = b.appendTime
	}
	if b.magic != 0 && timestamp > b.maxTime {
		b.maxTime, b.maxTimeAt = timestamp, offset
	}
	b.count++
	b.last = offset
	inner := offset
	if b.magic != 0 && b.codec != compress.None {
		inner -= b.base
	}
	b.packer.buf = appendOldMessage(b.packer.buf, b.magic, inner, timestamp, b.logAppendTime, key, value)
	b.packer.spill()
	return b
}

// Build returns the set, which lives until Reset; nothing when it is empty.
func (b *OldBuilder) Build() ([]byte, error) {
	if b.count == 0 {
		return nil, nil
	}
	out, err := b.packer.finish()
	if err != nil || b.codec == compress.None {
		return out, err
	}
	if len(out) > math.MaxInt32 {
		return nil, fmt.Errorf("message set of %d bytes: %w", len(out), ErrTooLarge)
	}
	head := b.packer.head
	if b.magic == 0 && b.codec == compress.LZ4 {
		compress.WrongLZ4Header(out[head:])
	}
	m := OldMessage(out)
	m.SetOffset(b.last)
	binary.BigEndian.PutUint32(m[lengthAt:], uint32(len(out)-Overhead))
	m[magicAt] = byte(b.magic)
	m[oldAttributeAt] = oldAttributes(b.magic, b.codec, b.logAppendTime)
	if b.magic != 0 {
		timestamp, _ := b.MaxTimestamp()
		binary.BigEndian.PutUint64(m[oldTimestampAt:], uint64(timestamp))
	}
	binary.BigEndian.PutUint32(m[head-8:], math.MaxUint32) // no key
	binary.BigEndian.PutUint32(m[head-4:], uint32(len(out)-head))
	m.setCRC()
	return out, nil
}
