package record

import (
	"encoding/binary"
	"fmt"
	"math"

	"gregor/pkg/compress"
)

// Builder makes one batch. The fields may be set before Build; NewBuilder
// gives those of a plain producer. Codec is not changed after the first record.
type Builder struct {
	Codec         compress.Codec
	BaseOffset    int64
	LeaderEpoch   int32
	ProducerID    int64
	ProducerEpoch int16
	BaseSequence  int32
	Transactional bool
	Control       bool

	packer        packer
	baseTimestamp int64
	maxTimestamp  int64
	logAppendTime bool
	count         int32
	lastDelta     int32
}

// NewBuilder returns the builder of a batch without producer id.
func NewBuilder(codec compress.Codec) *Builder {
	return &Builder{Codec: codec, LeaderEpoch: -1, ProducerID: NoProducerID, ProducerEpoch: NoProducerEpoch,
		BaseSequence: NoSequence, maxTimestamp: NoTimestamp, baseTimestamp: NoTimestamp}
}

// SetLogAppendTime gives the batch the broker's clock for a timestamp.
func (b *Builder) SetLogAppendTime(now int64) { b.logAppendTime, b.maxTimestamp = true, now }

// Count is the number of records so far.
func (b *Builder) Count() int { return int(b.count) }

// Size is the size of the batch so far, of a small one before compression, of
// a large one about what it is compressed to.
func (b *Builder) Size() int { return max(HeaderSize, b.packer.size()) }

// MaxTimestamp is the largest timestamp, or the append time.
func (b *Builder) MaxTimestamp() int64 { return b.maxTimestamp }

// Reset begins another batch without producer id and ends the life of the
// last one's bytes.
func (b *Builder) Reset(codec compress.Codec) {
	p := b.packer
	*b = *NewBuilder(codec)
	b.packer = p
}

// Append adds a record behind the last one. Nil key or value is null.
func (b *Builder) Append(timestamp int64, key, value []byte, headers ...Header) *Builder {
	delta := int32(0)
	if b.count > 0 {
		delta = b.lastDelta + 1
	}
	return b.AppendAt(delta, timestamp, key, value, headers...)
}

// AppendAt adds a record at a distance from the base offset.
func (b *Builder) AppendAt(offsetDelta int32, timestamp int64, key, value []byte, headers ...Header) *Builder {
	if b.count == 0 {
		b.baseTimestamp = timestamp
		b.packer.start(b.Codec, HeaderSize)
	}
	if !b.logAppendTime {
		b.maxTimestamp = max(b.maxTimestamp, timestamp)
	}
	b.count++
	b.lastDelta = offsetDelta

	timestampDelta := timestamp - b.baseTimestamp
	size := 1 + sizeVarlong(timestampDelta) + sizeVarint(offsetDelta) + sizeBytes(key) + sizeBytes(value) + sizeVarint(int32(len(headers)))
	for _, h := range headers {
		size += sizeVarint(int32(len(h.Key))) + len(h.Key) + sizeBytes(h.Value)
	}
	out := appendVarint(b.packer.buf, int32(size))
	out = append(out, 0)
	out = appendVarlong(out, timestampDelta)
	out = appendVarint(out, offsetDelta)
	out = appendBytes(out, key)
	out = appendBytes(out, value)
	out = appendVarint(out, int32(len(headers)))
	for _, h := range headers {
		out = appendVarint(out, int32(len(h.Key)))
		out = append(out, h.Key...)
		out = appendBytes(out, h.Value)
	}
	b.packer.buf = out
	b.packer.spill()
	return b
}

// Build returns the batch, which lives until Reset. It fails only for a codec
// that does not exist, or a batch above 2 GiB.
func (b *Builder) Build() (Batch, error) {
	if b.count == 0 {
		b.packer.start(b.Codec, HeaderSize)
	}
	out, err := b.packer.finish()
	if err != nil {
		return nil, fmt.Errorf("build record batch: %w", err)
	}
	if len(out) > math.MaxInt32 {
		return nil, fmt.Errorf("record batch of %d bytes: %w", len(out), ErrTooLarge)
	}
	attributes := uint16(b.Codec)
	if b.logAppendTime {
		attributes |= logAppendTimeBit
	}
	if b.Transactional {
		attributes |= transactionalBit
	}
	if b.Control {
		attributes |= controlBit
	}
	binary.BigEndian.PutUint64(out, uint64(b.BaseOffset))
	binary.BigEndian.PutUint32(out[lengthAt:], uint32(len(out)-Overhead))
	binary.BigEndian.PutUint32(out[leaderEpochAt:], uint32(b.LeaderEpoch))
	out[magicAt] = Magic
	binary.BigEndian.PutUint16(out[attributesAt:], attributes)
	binary.BigEndian.PutUint32(out[lastOffsetDeltaAt:], uint32(b.lastDelta))
	binary.BigEndian.PutUint64(out[baseTimestampAt:], uint64(b.baseTimestamp))
	binary.BigEndian.PutUint64(out[maxTimestampAt:], uint64(b.maxTimestamp))
	binary.BigEndian.PutUint64(out[producerIDAt:], uint64(b.ProducerID))
	binary.BigEndian.PutUint16(out[producerEpochAt:], uint16(b.ProducerEpoch))
	binary.BigEndian.PutUint32(out[baseSequenceAt:], uint32(b.BaseSequence))
	binary.BigEndian.PutUint32(out[countAt:], uint32(b.count))
	batch := Batch(out)
	batch.setCRC()
	return batch, nil
}

// MustBuild is Build with a codec that is known to exist.
func (b *Builder) MustBuild() Batch {
	batch, err := b.Build()
	if err != nil {
		panic(err)
	}
	return batch
}

func appendVarint(dst []byte, v int32) []byte {
	return binary.AppendUvarint(dst, uint64(uint32(v<<1)^uint32(v>>31)))
}

func appendVarlong(dst []byte, v int64) []byte {
	return binary.AppendUvarint(dst, uint64(v<<1)^uint64(v>>63))
}

func appendBytes(dst, b []byte) []byte {
	if b == nil {
		return appendVarint(dst, -1)
	}
	return append(appendVarint(dst, int32(len(b))), b...)
}

func sizeVarint(v int32) int { return sizeUvarint(uint64(uint32(v<<1) ^ uint32(v>>31))) }

func sizeVarlong(v int64) int { return sizeUvarint(uint64(v<<1) ^ uint64(v>>63)) }

func sizeUvarint(v uint64) int {
	n := 1
	for ; v >= 0x80; v >>= 7 {
		n++
	}
	return n
}

func sizeBytes(b []byte) int {
	if b == nil {
		return 1
	}
	return sizeVarint(int32(len(b))) + len(b)
}
