// Package jute is the encoding that ZooKeeper uses on the wire and on disk:
// its basic types, the operation and error numbers, the records of requests
// and answers, and the records of transactions.
//
// All numbers are big-endian and nothing is tagged or aligned:
//
//	boolean  1 byte, 0 or 1
//	int      4 bytes, signed
//	long     8 bytes, signed
//	buffer   int length, then the bytes; length -1 is null, not empty
//	string   as buffer, UTF-8
//	vector   int count, then the elements; -1 is null
//	record   its fields in order
//
// An Encoder appends, a Decoder reads from a byte slice and remembers its
// first error. Bytes that a Decoder returns are copies. The package does no
// I/O, owns no goroutine and knows nothing of what the records mean; that is
// in tree and server.
package jute

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrShort says that a record ends before its last field.
var ErrShort = errors.New("record is cut off")

// ErrMalformed says that a field holds what its type does not allow.
var ErrMalformed = errors.New("malformed record")

// Encoder builds a record by appending fields to B.
type Encoder struct{ B []byte }

// Bool appends a boolean.
func (e *Encoder) Bool(v bool) {
	if v {
		e.B = append(e.B, 1)
	} else {
		e.B = append(e.B, 0)
	}
}

// Int appends an int.
func (e *Encoder) Int(v int32) { e.B = binary.BigEndian.AppendUint32(e.B, uint32(v)) }

// Long appends a long.
func (e *Encoder) Long(v int64) { e.B = binary.BigEndian.AppendUint64(e.B, uint64(v)) }

// String appends a string.
func (e *Encoder) String(v string) {
	e.Int(int32(len(v)))
	e.B = append(e.B, v...)
}

// Buffer appends a buffer; a nil slice becomes null, an empty one stays
// empty.
func (e *Encoder) Buffer(v []byte) {
	if v == nil {
		e.Int(-1)
		return
	}
	e.Int(int32(len(v)))
	e.B = append(e.B, v...)
}

// Strings appends a vector of strings, never the null vector: there are
// clients that cannot read it.
func (e *Encoder) Strings(v []string) {
	e.Int(int32(len(v)))
	for _, s := range v {
		e.String(s)
	}
}

// Decoder reads fields from a byte slice. After the first error every read
// returns the zero value, so that a record is read whole and Err is asked
// once. It allocates no more than the input is long.
type Decoder struct {
	b   []byte
	off int
	err error
}

// NewDecoder returns a decoder of b.
func NewDecoder(b []byte) *Decoder { return &Decoder{b: b} }

// Err is the first error.
func (d *Decoder) Err() error { return d.err }

// Offset is the number of bytes read.
func (d *Decoder) Offset() int { return d.off }

// Remaining is the number of bytes that are left.
func (d *Decoder) Remaining() int { return len(d.b) - d.off }

// Fail makes err the decoder's error unless it has one.
func (d *Decoder) Fail(err error) {
	if d.err == nil {
		d.err = err
	}
}

func (d *Decoder) take(n int) []byte {
	if d.err != nil {
		return nil
	}
	if n > d.Remaining() {
		d.err = fmt.Errorf("%w: %d bytes wanted at %d, %d left", ErrShort, n, d.off, d.Remaining())
		return nil
	}
	b := d.b[d.off : d.off+n]
	d.off += n
	return b
}

// Bool reads a boolean; any byte but 0 is true.
func (d *Decoder) Bool() bool {
	b := d.take(1)
	return b != nil && b[0] != 0
}

// Int reads an int.
func (d *Decoder) Int() int32 {
	b := d.take(4)
	if b == nil {
		return 0
	}
	return int32(binary.BigEndian.Uint32(b))
}

// Long reads a long.
func (d *Decoder) Long() int64 {
	b := d.take(8)
	if b == nil {
		return 0
	}
	return int64(binary.BigEndian.Uint64(b))
}

// length reads the length of a buffer or string; -1 is null.
func (d *Decoder) length() int {
	n := int(d.Int())
	if d.err != nil {
		return -1
	}
	if n < -1 || n > d.Remaining() {
		d.err = fmt.Errorf("%w: unreasonable length %d at %d, %d bytes left", ErrMalformed, n, d.off-4, d.Remaining())
		return -1
	}
	return n
}

// Buffer reads a buffer; nil is null.
func (d *Decoder) Buffer() []byte {
	n := d.length()
	if n < 0 {
		return nil
	}
	b := make([]byte, n)
	copy(b, d.take(n))
	return b
}

// String reads a string; null reads as "".
func (d *Decoder) String() string {
	n := d.length()
	if n < 0 {
		return ""
	}
	return string(d.take(n))
}

// Path reads a string that must not be null.
func (d *Decoder) Path() string {
	n := d.length()
	if n < 0 {
		d.Fail(fmt.Errorf("%w: null path at %d", ErrMalformed, d.off-4))
		return ""
	}
	return string(d.take(n))
}

// Count reads the count of a vector whose elements take at least elementMin
// bytes each; null counts as 0.
func (d *Decoder) Count(elementMin int) int {
	n := int(d.Int())
	if d.err != nil || n == -1 {
		return 0
	}
	if n < 0 || n > d.Remaining()/elementMin {
		d.err = fmt.Errorf("%w: unreasonable count %d at %d, %d bytes left", ErrMalformed, n, d.off-4, d.Remaining())
		return 0
	}
	return n
}

// Strings reads a vector of strings.
func (d *Decoder) Strings() []string {
	n := d.Count(4)
	v := make([]string, 0, n)
	for range n {
		v = append(v, d.String())
	}
	return v
}
