package record

import (
	"encoding/binary"
	"fmt"
	"math"

	"gregor/pkg/compress"
)

// Any is the bytes of exactly one batch of any format: a Batch, or an
// OldMessage, which may wrap others. Its accessors are what the formats have
// in common.
type Any []byte

// The least that the size field may say, in formats 0, 1 and 2.
var sizeMin = [...]int32{OldMessageMin - Overhead, OldMessageMin - Overhead + 8, HeaderSize - Overhead}

// SplitAny cuts the first batch of whatever format off b. It checks length
// and magic, not the CRC: ErrShort when there is no whole batch, ErrCorrupt
// when there is none at all.
func SplitAny(b []byte) (first Any, rest []byte, err error) {
	if len(b) < Overhead {
		return nil, b, ErrShort
	}
	length := int32(binary.BigEndian.Uint32(b[lengthAt:]))
	if length < sizeMin[0] {
		return nil, b, fmt.Errorf("Record size %d is less than the minimum record overhead (%d): %w", length, sizeMin[0], ErrCorrupt)
	}
	if len(b) <= magicAt {
		return nil, b, ErrShort
	}
	magic := int8(b[magicAt])
	switch {
	case magic < 0 || magic > Magic:
		return nil, b, fmt.Errorf("Invalid magic found in record: %d: %w", magic, ErrCorrupt)
	case length > math.MaxInt32-Overhead:
		return nil, b, fmt.Errorf("batch with length %d: %w", length, ErrCorrupt)
	case int64(length)+Overhead > int64(len(b)):
		return nil, b, ErrShort
	case length < sizeMin[magic]:
		return nil, b, fmt.Errorf("batch of format %d with length %d: %w", magic, length, ErrCorrupt)
	}
	size := int(length) + Overhead
	return Any(b[:size:size]), b[size:], nil
}

// Magic is the number of the format.
func (a Any) Magic() int8 { return int8(a[magicAt]) }

// IsOld reports whether it is an OldMessage.
func (a Any) IsOld() bool { return a.Magic() != Magic }

// BaseOffset is the offset of the first record; of a message that wraps
// others, where only decompression would tell, that of the last one.
func (a Any) BaseOffset() int64 { return int64(binary.BigEndian.Uint64(a)) }

// LastOffset is the offset of the last record.
func (a Any) LastOffset() int64 {
	if a.IsOld() {
		return a.BaseOffset()
	}
	return Batch(a).LastOffset()
}

// SetLastOffset moves the batch so that its last record has the offset.
func (a Any) SetLastOffset(offset int64) {
	if a.IsOld() {
		OldMessage(a).SetOffset(offset)
	} else {
		Batch(a).SetLastOffset(offset)
	}
}

// MaxTimestamp is the largest timestamp of the records, NoTimestamp in format 0.
func (a Any) MaxTimestamp() int64 {
	if a.IsOld() {
		return OldMessage(a).Timestamp()
	}
	return Batch(a).MaxTimestamp()
}

// LogAppendTime reports whether MaxTimestamp stands for every record.
func (a Any) LogAppendTime() bool {
	if a.IsOld() {
		return OldMessage(a).LogAppendTime()
	}
	return Batch(a).LogAppendTime()
}

// Codec is the number in the attributes; it may be one that does not exist.
func (a Any) Codec() compress.Codec {
	if a.IsOld() {
		return OldMessage(a).Codec()
	}
	return Batch(a).Codec()
}

// Control reports whether the batch carries a marker instead of data.
func (a Any) Control() bool { return !a.IsOld() && Batch(a).Control() }

// Transactional reports whether the batch is part of a transaction.
func (a Any) Transactional() bool { return !a.IsOld() && Batch(a).Transactional() }

// ProducerID is NoProducerID in the old formats.
func (a Any) ProducerID() int64 {
	if a.IsOld() {
		return NoProducerID
	}
	return Batch(a).ProducerID()
}

// LeaderEpoch is -1 in the old formats.
func (a Any) LeaderEpoch() int32 {
	if a.IsOld() {
		return -1
	}
	return Batch(a).LeaderEpoch()
}

// CRC is the checksum that the batch carries.
func (a Any) CRC() uint32 {
	if a.IsOld() {
		return OldMessage(a).CRC()
	}
	return Batch(a).CRC()
}

// Valid reports whether the CRC is right.
func (a Any) Valid() bool {
	if a.IsOld() {
		return OldMessage(a).Valid()
	}
	return Batch(a).Valid()
}

// Visit shows the records in order, decompressing in bounded memory: no record
// may be larger than limit (ErrTooLarge). Offset, Timestamp, Key, Value and
// Headers are filled for every format; the record is lent until visit returns.
func (a Any) Visit(limit int, visit func(*Record) error) error {
	if a.IsOld() {
		return OldMessage(a).visit(limit, visit)
	}
	records := Batch(a).Records(limit)
	defer records.Close()
	for records.Next() {
		if err := visit(records.Record()); err != nil {
			return err
		}
	}
	return records.Err()
}
