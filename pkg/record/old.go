package record

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"gregor/pkg/compress"
)

// OldMessage is exactly one message of format 0 or 1, where a compressed
// message wraps a set of others. Part of the format:
//
//	0   8  offset; of a wrapper: that of its last message
//	8   4  size of what follows
//	12  4  CRC-32 (IEEE) from byte 16 to the end
//	16  1  magic 0 or 1
//	17  1  attributes: bits 0 to 2 codec, bit 3 log append time (format 1)
//	18  8  timestamp (format 1 only)
//	    4+n key, int32 length, -1 null
//	    4+n value
//
// Within a wrapper of format 0 offsets are absolute; of format 1 they count
// from 0, and the wrapper's offset tells where that is. A wrapper with log
// append time gives its timestamp to all its messages; one without carries
// the largest of theirs. Offsets lie outside the CRC.
//
// The caller has seen that the bytes are as many as the size says, and at
// least OldMessageMin, 8 more in format 1; SplitAny does.
type OldMessage []byte

const (
	oldTimestampAt = 18
	oldAttributeAt = 17
	oldCRCAt       = 12

	// OldMessageMin is the size of the smallest message, of format 0.
	OldMessageMin = Overhead + 14
)

// OldMessageSize is the size of a message that is not compressed.
func OldMessageSize(magic int8, key, value []byte) int {
	return oldHeaderSize(magic) + len(key) + len(value)
}

// oldHeaderSize is the size of a message without key and value.
func oldHeaderSize(magic int8) int {
	if magic == 0 {
		return OldMessageMin
	}
	return OldMessageMin + 8
}

func (m OldMessage) Offset() int64 { return int64(binary.BigEndian.Uint64(m)) }
func (m OldMessage) Magic() int8   { return int8(m[magicAt]) }
func (m OldMessage) CRC() uint32   { return binary.BigEndian.Uint32(m[oldCRCAt:]) }

// Valid reports whether the CRC is right.
func (m OldMessage) Valid() bool { return crc32.ChecksumIEEE(m[magicAt:]) == m.CRC() }

func (m OldMessage) Codec() compress.Codec { return compress.Codec(m[oldAttributeAt] & codecBits) }

// LogAppendTime reports the timestamp type of a message of format 1.
func (m OldMessage) LogAppendTime() bool {
	return m.Magic() != 0 && m[oldAttributeAt]&logAppendTimeBit != 0
}

// Timestamp is NoTimestamp in format 0.
func (m OldMessage) Timestamp() int64 {
	if m.Magic() == 0 || len(m) < oldTimestampAt+8 {
		return NoTimestamp
	}
	return int64(binary.BigEndian.Uint64(m[oldTimestampAt:]))
}

// SetOffset moves the message. A wrapper's messages of format 1 move with it,
// those of format 0 do not.
func (m OldMessage) SetOffset(offset int64) { binary.BigEndian.PutUint64(m, uint64(offset)) }

// SetTimestamp sets timestamp and timestamp type of a message of format 1, and
// computes the CRC again if that changes anything.
func (m OldMessage) SetTimestamp(logAppendTime bool, timestamp int64) {
	if m.LogAppendTime() == logAppendTime && m.Timestamp() == timestamp {
		return
	}
	m[oldAttributeAt] = oldAttributes(m.Magic(), m.Codec(), logAppendTime)
	binary.BigEndian.PutUint64(m[oldTimestampAt:], uint64(timestamp))
	m.setCRC()
}

func (m OldMessage) setCRC() {
	binary.BigEndian.PutUint32(m[oldCRCAt:], crc32.ChecksumIEEE(m[magicAt:]))
}

func oldAttributes(magic int8, codec compress.Codec, logAppendTime bool) byte {
	attributes := byte(codec) & codecBits
	if magic != 0 && logAppendTime {
		attributes |= logAppendTimeBit
	}
	return attributes
}

// KeyValue reads key and value; ErrCorrupt when they do not fit.
func (m OldMessage) KeyValue() (key, value []byte, err error) {
	rest := m[oldTimestampAt:]
	if m.Magic() != 0 {
		if len(rest) < 8 {
			return nil, nil, fmt.Errorf("message of %d bytes: %w", len(m), ErrCorrupt)
		}
		rest = rest[8:]
	}
	if key, rest, err = oldBytes(rest); err == nil {
		value, rest, err = oldBytes(rest)
	}
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%d bytes follow the value of a message: %w", len(rest), ErrCorrupt)
	}
	return key, value, err
}

func oldBytes(b []byte) (field []byte, rest OldMessage, err error) {
	if len(b) < 4 {
		return nil, nil, fmt.Errorf("a field without a length: %w", ErrCorrupt)
	}
	n := int32(binary.BigEndian.Uint32(b))
	b = b[4:]
	switch {
	case n == -1:
		return nil, b, nil
	case n < 0 || int(n) > len(b):
		return nil, nil, fmt.Errorf("a field of %d bytes: %w", n, ErrCorrupt)
	}
	return b[:n:n], b[n:], nil
}

// appendOldMessage appends a message that wraps nothing.
func appendOldMessage(dst []byte, magic int8, offset, timestamp int64, logAppendTime bool, key, value []byte) []byte {
	at := len(dst)
	size := OldMessageSize(magic, key, value)
	dst = binary.BigEndian.AppendUint64(dst, uint64(offset))
	dst = binary.BigEndian.AppendUint32(dst, uint32(size-Overhead))
	dst = append(dst, 0, 0, 0, 0, byte(magic), oldAttributes(magic, compress.None, logAppendTime))
	if magic != 0 {
		dst = binary.BigEndian.AppendUint64(dst, uint64(timestamp))
	}
	dst = appendOldBytes(dst, key)
	dst = appendOldBytes(dst, value)
	OldMessage(dst[at:]).setCRC()
	return dst
}

func appendOldBytes(dst, b []byte) []byte {
	n := int32(len(b))
	if b == nil {
		n = -1
	}
	return append(binary.BigEndian.AppendUint32(dst, uint32(n)), b...)
}
