package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

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
// append time gives its timestamp to all its messages.
//
// The caller has seen that the bytes are as many as the size says, and at
// least OldMessageMin.
type OldMessage []byte

const (
	oldTimestampAt = 18
	oldAttributeAt = 17
	oldCRCAt       = 12

	// OldMessageMin is the size of the smallest message, of format 0.
	OldMessageMin = Overhead + 14
)

// OldRecord is a message that wraps no others.
type OldRecord struct {
	Offset     int64
	Timestamp  int64 // NoTimestamp in format 0
	Key, Value []byte
	CRC        uint32
	Valid      bool // the CRC is right
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

// keyValue reads key and value; ErrCorrupt when they do not fit.
func (m OldMessage) keyValue() (key, value []byte, err error) {
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

// Records visits the message itself or, in order, those that it wraps, none
// of which may be larger than limit. Key and value are lent until visit
// returns.
func (m OldMessage) Records(limit int, visit func(OldRecord) error) error {
	if m.Codec() == compress.None {
		return m.visitPlain(m.Offset(), m.Timestamp(), visit)
	}
	_, value, err := m.keyValue()
	if err != nil {
		return err
	}
	if value == nil {
		return fmt.Errorf("compressed message without a value: %w", ErrCorrupt)
	}
	if m.Magic() == 0 && m.Codec() == compress.LZ4 {
		value = compress.RightLZ4Header(value)
	}
	base := int64(0)
	if m.Magic() != 0 {
		if base, err = m.innerBase(value, limit); err != nil {
			return err
		}
	}
	return m.eachInner(value, limit, func(inner OldMessage) error {
		timestamp := inner.Timestamp()
		if m.LogAppendTime() {
			timestamp = m.Timestamp()
		}
		return inner.visitPlain(base+inner.Offset(), timestamp, visit)
	})
}

func (m OldMessage) visitPlain(offset, timestamp int64, visit func(OldRecord) error) error {
	key, value, err := m.keyValue()
	if err != nil {
		return err
	}
	return visit(OldRecord{Offset: offset, Timestamp: timestamp, Key: key, Value: value, CRC: m.CRC(), Valid: m.Valid()})
}

// innerBase is what the inner offsets of a wrapper of format 1 count from.
// Some producers leave the wrapper's offset at 0.
func (m OldMessage) innerBase(value []byte, limit int) (int64, error) {
	if m.Offset() == 0 {
		return 0, nil
	}
	last := int64(0)
	err := m.eachInner(value, limit, func(inner OldMessage) error { last = inner.Offset(); return nil })
	return m.Offset() - last, err
}

// eachInner decompresses the set that a wrapper holds, a message at a time.
func (m OldMessage) eachInner(value []byte, limit int, visit func(OldMessage) error) error {
	in, err := compress.NewReader(m.Codec(), value)
	if err != nil {
		return err
	}
	defer in.Close()
	var buf bytes.Buffer
	for {
		buf.Reset()
		if _, err := io.CopyN(&buf, in, Overhead); err == io.EOF && buf.Len() == 0 {
			return nil
		} else if err != nil {
			return earlyEnd(err)
		}
		size := int32(binary.BigEndian.Uint32(buf.Bytes()[lengthAt:]))
		if size < OldMessageMin-Overhead || int(size) > limit {
			return fmt.Errorf("message of %d bytes in a compressed one: %w", size, ErrCorrupt)
		}
		// The buffer grows with what is really there.
		if _, err := io.CopyN(&buf, in, int64(size)); err != nil {
			return earlyEnd(err)
		}
		inner := OldMessage(buf.Bytes())
		if inner.Codec() != compress.None || inner.Magic() != m.Magic() {
			return fmt.Errorf("message of format %d and codec %s in a compressed one of format %d: %w", inner.Magic(), inner.Codec(), m.Magic(), ErrCorrupt)
		}
		if err := visit(inner); err != nil {
			return err
		}
	}
}

func earlyEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return errEarlyEnd
	}
	return err
}
