// Package record reads, checks, stamps, builds and converts record batches of
// message formats 0, 1 and 2 (magic 0, 1, 2).
//
// Any is the bytes of exactly one batch, wherever they lie: a Batch (format 2)
// or an OldMessage (0 and 1). Accessors read the header in place, setters
// change it in place. To look at records: Any.Visit for every format; of a
// Batch Records step by step, or Walk, which sees only their shape; of an
// OldMessage Deep. All of them decompress in bounded memory. Builder makes a
// Batch, OldBuilder a message set; Downgrade writes batches in an older format.
// Callers are commitlog, logcleaner, the coordinators, api and the tools.
// Values are as safe for concurrent use as the bytes under them; there are no
// goroutines.
//
// The header of format 2, part of the format, big-endian throughout:
//
//	 0  8  base offset
//	 8  4  length of what follows this field
//	12  4  partition leader epoch     not covered by the CRC
//	16  1  magic
//	17  4  CRC-32C of byte 21 to the end
//	21  2  attributes: 0-2 codec, 3 LogAppendTime, 4 transactional, 5 control,
//	       6 delete horizon
//	23  4  last offset delta
//	27  8  base timestamp
//	35  8  max timestamp
//	43  8  producer id, 51 2 producer epoch, 53 4 base sequence (-1 none)
//	57  4  number of records
//	61     the records, as one compressed block if there is a codec
//
// Base offset and leader epoch are stamped by the leader without touching the
// CRC. A batch torn by a crash fails the length or the CRC.
//
// Split is for those who take format 2 only: it knows the others as
// ErrOldFormat; SplitAny takes all.
package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"gregor/pkg/compress"
)

// Sizes and values of the format.
const (
	HeaderSize = 61 // the smallest batch
	Overhead   = 12 // base offset and length, which every format begins with
	Magic      = 2

	NoProducerID    int64 = -1
	NoProducerEpoch int16 = -1
	NoSequence      int32 = -1
	NoTimestamp     int64 = -1
)

const (
	lengthAt          = 8
	leaderEpochAt     = 12
	magicAt           = 16
	crcAt             = 17
	attributesAt      = 21
	lastOffsetDeltaAt = 23
	baseTimestampAt   = 27
	maxTimestampAt    = 35
	producerIDAt      = 43
	producerEpochAt   = 51
	baseSequenceAt    = 53
	countAt           = 57

	codecBits        = 0x07
	logAppendTimeBit = 0x08
	transactionalBit = 0x10
	controlBit       = 0x20
	deleteHorizonBit = 0x40
)

var (
	// ErrShort means that the bytes end within the batch.
	ErrShort = errors.New("the bytes end within a batch")
	// ErrCorrupt means that the bytes are no batch.
	ErrCorrupt = errors.New("corrupt record batch")
	// ErrTooLarge means a record above the limit that the reader has set.
	ErrTooLarge = fmt.Errorf("record above the limit: %w", ErrCorrupt)
	// ErrOldFormat means a message set of format 0 or 1.
	ErrOldFormat = errors.New("message format 0 or 1")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Batch is the bytes of exactly one batch.
type Batch []byte

// Split cuts the first batch off b. It checks length and magic, not the CRC.
func Split(b []byte) (first Batch, rest []byte, err error) {
	if len(b) < magicAt+1 {
		return nil, b, ErrShort
	}
	length := int32(binary.BigEndian.Uint32(b[lengthAt:]))
	switch magic := int8(b[magicAt]); {
	case magic == 0 || magic == 1:
		return nil, b, ErrOldFormat
	case magic != Magic:
		return nil, b, fmt.Errorf("magic %d: %w", magic, ErrCorrupt)
	case length < HeaderSize-Overhead:
		return nil, b, fmt.Errorf("length %d: %w", length, ErrCorrupt)
	case int64(length)+Overhead > int64(len(b)):
		return nil, b, ErrShort
	}
	size := int(length) + Overhead
	return Batch(b[:size:size]), b[size:], nil
}

// BaseOffset is the offset of the first record, before compaction.
func (b Batch) BaseOffset() int64 { return int64(binary.BigEndian.Uint64(b)) }

// LastOffset is the offset of the last record, before compaction.
func (b Batch) LastOffset() int64 { return b.BaseOffset() + int64(b.LastOffsetDelta()) }

// NextOffset is the offset behind the batch.
func (b Batch) NextOffset() int64 { return b.LastOffset() + 1 }

// Size is the number of bytes that the header claims; it is len(b).
func (b Batch) Size() int { return Overhead + int(int32(binary.BigEndian.Uint32(b[lengthAt:]))) }

// LeaderEpoch is the epoch of the leader that appended the batch.
func (b Batch) LeaderEpoch() int32 { return int32(binary.BigEndian.Uint32(b[leaderEpochAt:])) }

// CRC is the checksum that the header carries.
func (b Batch) CRC() uint32 { return binary.BigEndian.Uint32(b[crcAt:]) }

func (b Batch) attributes() uint16 { return binary.BigEndian.Uint16(b[attributesAt:]) }

// Codec is the number in the attributes; it may be one that does not exist.
func (b Batch) Codec() compress.Codec { return compress.Codec(b.attributes() & codecBits) }

// LogAppendTime reports whether the max timestamp is the broker's clock and
// stands for every record.
func (b Batch) LogAppendTime() bool { return b.attributes()&logAppendTimeBit != 0 }

// Transactional reports whether the batch is part of a transaction.
func (b Batch) Transactional() bool { return b.attributes()&transactionalBit != 0 }

// Control reports whether the batch carries a marker instead of data.
func (b Batch) Control() bool { return b.attributes()&controlBit != 0 }

// LastOffsetDelta is the distance from the first to the last offset.
func (b Batch) LastOffsetDelta() int32 {
	return int32(binary.BigEndian.Uint32(b[lastOffsetDeltaAt:]))
}

// BaseTimestamp is what the records' timestamps count from. In a batch with a
// delete horizon (KIP-534) that is the horizon, which the field holds then.
func (b Batch) BaseTimestamp() int64 { return int64(binary.BigEndian.Uint64(b[baseTimestampAt:])) }

// MaxTimestamp is the largest timestamp, or the append time.
func (b Batch) MaxTimestamp() int64 { return int64(binary.BigEndian.Uint64(b[maxTimestampAt:])) }

// ProducerID is NoProducerID when the producer is not idempotent.
func (b Batch) ProducerID() int64 { return int64(binary.BigEndian.Uint64(b[producerIDAt:])) }

// HasProducerID reports whether the producer is idempotent.
func (b Batch) HasProducerID() bool { return b.ProducerID() > NoProducerID }

// ProducerEpoch fences older instances of a producer.
func (b Batch) ProducerEpoch() int16 { return int16(binary.BigEndian.Uint16(b[producerEpochAt:])) }

// BaseSequence is the sequence number of the first record.
func (b Batch) BaseSequence() int32 { return int32(binary.BigEndian.Uint32(b[baseSequenceAt:])) }

// LastSequence is the sequence number of the last record.
func (b Batch) LastSequence() int32 {
	if b.BaseSequence() == NoSequence {
		return NoSequence
	}
	return AddSequence(b.BaseSequence(), b.LastOffsetDelta())
}

// AddSequence adds with the wrap of sequence numbers: 0 follows 2147483647.
func AddSequence(sequence, n int32) int32 {
	return int32((int64(sequence) + int64(n)) & 0x7fffffff)
}

// Count is the number of records that the header claims.
func (b Batch) Count() int32 { return int32(binary.BigEndian.Uint32(b[countAt:])) }

// Valid reports whether the CRC is right.
func (b Batch) Valid() bool { return crc32.Checksum(b[attributesAt:], castagnoli) == b.CRC() }

// SetLastOffset moves the batch so that its last record has the offset.
func (b Batch) SetLastOffset(offset int64) {
	b.SetBaseOffset(offset - int64(b.LastOffsetDelta()))
}

// SetBaseOffset moves the batch.
func (b Batch) SetBaseOffset(offset int64) { binary.BigEndian.PutUint64(b, uint64(offset)) }

// SetLeaderEpoch stamps the leader epoch.
func (b Batch) SetLeaderEpoch(epoch int32) {
	binary.BigEndian.PutUint32(b[leaderEpochAt:], uint32(epoch))
}

// SetMaxTimestamp sets the max timestamp and whether it is the append time,
// and computes the CRC again if that changes anything.
func (b Batch) SetMaxTimestamp(logAppendTime bool, timestamp int64) {
	if b.LogAppendTime() == logAppendTime && b.MaxTimestamp() == timestamp {
		return
	}
	attributes := b.attributes() & (codecBits | transactionalBit | controlBit)
	if logAppendTime {
		attributes |= logAppendTimeBit
	}
	binary.BigEndian.PutUint16(b[attributesAt:], attributes)
	binary.BigEndian.PutUint64(b[maxTimestampAt:], uint64(timestamp))
	b.setCRC()
}

func (b Batch) setCRC() {
	binary.BigEndian.PutUint32(b[crcAt:], crc32.Checksum(b[attributesAt:], castagnoli))
}
