package record

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"sync"

	"gregor/pkg/compress"
)

// OldRecord is a message that wraps no others.
type OldRecord struct {
	Offset     int64
	Timestamp  int64 // NoTimestamp in format 0
	Key, Value []byte
	CRC        uint32
	Valid      bool // the CRC is right
}

// Records visits the message itself or, in order, those that it wraps, none
// of which may be larger than limit. Key and value are lent until visit
// returns.
func (m OldMessage) Records(limit int, visit func(OldRecord) error) error {
	return m.Deep(limit, func(inner OldMessage, offset, timestamp int64) error {
		key, value, err := inner.KeyValue()
		if err != nil {
			return err
		}
		return visit(OldRecord{Offset: offset, Timestamp: timestamp, Key: key, Value: value, CRC: inner.CRC(), Valid: inner.Valid()})
	})
}

// visit is Any.Visit for the old formats.
func (m OldMessage) visit(limit int, visit func(*Record) error) error {
	var rec Record
	return m.Deep(limit, func(inner OldMessage, offset, timestamp int64) (err error) {
		rec.Offset, rec.Timestamp = offset, timestamp
		if rec.Key, rec.Value, err = inner.KeyValue(); err != nil {
			return err
		}
		return visit(&rec)
	})
}

// Deep visits the message itself or, in order, those that it wraps, each with
// its absolute offset and the timestamp that holds for it. None may be larger
// than limit. A set that ends within a message ends before it, which very old
// producers rely on. inner is lent until visit returns; neither its CRC nor
// what follows its header was looked at.
func (m OldMessage) Deep(limit int, visit func(inner OldMessage, offset, timestamp int64) error) error {
	if m.Codec() == compress.None {
		return visit(m, m.Offset(), m.Timestamp())
	}
	set, err := openOldSet(m, limit)
	if err != nil {
		return err
	}
	defer set.close()
	base, err := set.base()
	if err != nil {
		return err
	}
	return set.each(func(inner OldMessage) error {
		if inner.Codec() != compress.None {
			return fmt.Errorf("Inner messages must not be compressed: %w", ErrCorrupt)
		}
		timestamp := inner.Timestamp()
		if m.LogAppendTime() && inner.Magic() != 0 {
			timestamp = m.Timestamp()
		}
		return visit(inner, base+inner.Offset(), timestamp)
	})
}

// oldSetWhole is the size up to which a set is decompressed at once.
const oldSetWhole = 1 << 20

// oldSet is what a wrapper holds. A small one is decompressed once, a larger
// one anew for every walk, a message at a time.
type oldSet struct {
	wrapper OldMessage
	value   []byte
	limit   int
	whole   *[]byte // pooled; nil when the set is too large
}

var wholeSets = sync.Pool{New: func() any { b := make([]byte, 0, 64<<10); return &b }}

func openOldSet(m OldMessage, limit int) (*oldSet, error) {
	if m.Codec() == compress.Zstd {
		return nil, fmt.Errorf("Invalid wrapper compressionType found in legacy deep record iterator %d: %w", m.Magic(), ErrCorrupt)
	}
	_, value, err := m.KeyValue()
	if err != nil {
		return nil, err
	}
	if value == nil {
		return nil, fmt.Errorf("Found invalid compressed record set with null value (magic = %d): %w", m.Magic(), ErrCorrupt)
	}
	s := &oldSet{wrapper: m, value: value, limit: limit}
	in, err := s.reader()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	return s, s.readWhole(in)
}

func (s *oldSet) reader() (compress.Reader, error) {
	if s.wrapper.Magic() == 0 {
		return compress.NewOldReader(s.wrapper.Codec(), s.value)
	}
	return compress.NewReader(s.wrapper.Codec(), s.value)
}

// readWhole decompresses the set into memory if it is small.
func (s *oldSet) readWhole(in io.Reader) error {
	buf := wholeSets.Get().(*[]byte)
	b := (*buf)[:0]
	for {
		if len(b) == cap(b) {
			if len(b) >= oldSetWhole {
				*buf = b
				wholeSets.Put(buf)
				return nil
			}
			b = append(b, 0)[:len(b)]
		}
		n, err := in.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if err != nil {
			*buf = b
			if err == io.EOF {
				s.whole = buf
				return nil
			}
			wholeSets.Put(buf)
			return err
		}
	}
}

func (s *oldSet) close() {
	if s.whole != nil {
		wholeSets.Put(s.whole)
	}
}

// base is what the offsets within count from: 0 in format 0, and for some
// producers that leave the wrapper's offset at 0.
func (s *oldSet) base() (int64, error) {
	last, count := int64(0), 0
	err := s.each(func(inner OldMessage) error { last, count = inner.Offset(), count+1; return nil })
	switch {
	case err != nil:
		return 0, err
	case count == 0:
		return 0, fmt.Errorf("Found invalid compressed record set with no inner records: %w", ErrCorrupt)
	case s.wrapper.Magic() == 0 || s.wrapper.Offset() == 0:
		return 0, nil
	case s.wrapper.Offset() < last:
		return 0, fmt.Errorf("Found invalid wrapper offset in compressed v1 message set, wrapper offset '%d' is less than the last inner message offset '%d' and it is not zero.: %w",
			s.wrapper.Offset(), last, ErrCorrupt)
	}
	return s.wrapper.Offset() - last, nil
}

func (s *oldSet) each(visit func(OldMessage) error) error {
	if s.whole == nil {
		return s.stream(visit)
	}
	for rest := *s.whole; ; {
		first, behind, err := s.next(rest)
		if err != nil || first == nil {
			return err
		}
		if err := visit(first); err != nil {
			return err
		}
		rest = behind
	}
}

// next cuts the first message off b; nil when there is no whole one.
func (s *oldSet) next(b []byte) (first OldMessage, rest []byte, err error) {
	if len(b) < Overhead {
		return nil, nil, nil
	}
	size, err := s.innerSize(b)
	if err != nil || size > len(b) {
		return nil, nil, err
	}
	first = OldMessage(b[:size:size])
	return first, b[size:], first.checkInner()
}

// innerSize is the size of the message that begins with these bytes.
func (s *oldSet) innerSize(head []byte) (int, error) {
	size := int32(binary.BigEndian.Uint32(head[lengthAt:]))
	switch {
	case size < sizeMin[0]:
		return 0, fmt.Errorf("Record size is less than the minimum record overhead (%d): %w", sizeMin[0], ErrCorrupt)
	case int(size) > s.limit:
		return 0, fmt.Errorf("message of %d bytes in a compressed one: %w", size, ErrTooLarge)
	}
	return int(size) + Overhead, nil
}

// checkInner refuses what the accessors cannot read.
func (m OldMessage) checkInner() error {
	if magic := m.Magic(); magic < 0 || magic > 1 || int32(len(m)-Overhead) < sizeMin[magic] {
		return fmt.Errorf("message of format %d and %d bytes in a compressed one: %w", magic, len(m), ErrCorrupt)
	}
	return nil
}

// stream decompresses a message at a time.
func (s *oldSet) stream(visit func(OldMessage) error) error {
	in, err := s.reader()
	if err != nil {
		return err
	}
	defer in.Close()
	var buf bytes.Buffer
	for {
		buf.Reset()
		if whole, err := readUpTo(&buf, in, Overhead); !whole {
			return err
		}
		size, err := s.innerSize(buf.Bytes())
		if err != nil {
			return err
		}
		// The buffer grows with what is really there.
		if whole, err := readUpTo(&buf, in, size-Overhead); !whole {
			return err
		}
		inner := OldMessage(buf.Bytes())
		if err := inner.checkInner(); err != nil {
			return err
		}
		if err := visit(inner); err != nil {
			return err
		}
	}
}

// readUpTo reads n bytes and reports whether there were as many.
func readUpTo(buf *bytes.Buffer, in io.Reader, n int) (whole bool, err error) {
	_, err = io.CopyN(buf, in, int64(n))
	if err == io.EOF {
		return false, nil
	}
	return err == nil, err
}
