package record

import (
	"errors"
	"fmt"
	"math"
)

// Record is one record of a batch. Key, Value and Headers are lent: they are
// valid until the next call of Next or Close on the iterator.
type Record struct {
	Offset         int64
	Timestamp      int64
	OffsetDelta    int32
	TimestampDelta int64
	Key            []byte // nil is null
	Value          []byte // nil is null
	Headers        []Header
}

// Header is a header of a record. A nil Value is null.
type Header struct {
	Key   []byte
	Value []byte
}

// Shape is what a walk over the records learns of each without keeping it.
type Shape struct {
	OffsetDelta    int32
	TimestampDelta int64
	KeySize        int32 // -1 is null
	ValueSize      int32 // -1 is null
}

// Records is an iterator over the records of a batch. Each batch is walked by
// one goroutine:
//
//	records := batch.Records(limit)
//	defer records.Close()
//	for records.Next() { use(records.Record()) }
//	err := records.Err()
type Records struct {
	batch Batch
	in    source
	left  int32
	limit int
	rec   Record
	err   error
}

// Records starts a walk. A record of more than limit bytes ends it with an
// error before memory is taken for it.
func (b Batch) Records(limit int) *Records {
	r := &Records{batch: b, left: b.Count(), limit: limit}
	r.err = r.in.open(b)
	return r
}

// Next steps to the next record. It reports false at the end and on an error.
func (r *Records) Next() bool {
	if r.err != nil || r.left <= 0 {
		r.finish()
		return false
	}
	r.left--
	if r.err = r.readRecord(); r.err != nil {
		return false
	}
	return true
}

func (r *Records) finish() {
	if r.err == nil && r.left == 0 {
		r.left = -1
		r.err = r.in.atEnd()
	}
}

// Record is the record that Next stepped to.
func (r *Records) Record() *Record { return &r.rec }

// Err is nil when the walk reached the end of a sound batch.
func (r *Records) Err() error { return r.err }

// Close gives the buffers back.
func (r *Records) Close() { r.in.close() }

func (r *Records) readRecord() error {
	size, err := r.in.varint()
	if err != nil {
		return err
	}
	if size < 0 {
		return fmt.Errorf("record of %d bytes: %w", size, ErrCorrupt)
	}
	if int(size) > r.limit {
		return fmt.Errorf("record of %d bytes: %w", size, ErrTooLarge)
	}
	body, err := r.in.take(int(size))
	if err != nil {
		return err
	}
	if r.readQuickly(body) {
		return nil
	}
	in := source{buf: body}
	shape, err := in.recordHead()
	if err != nil {
		return err
	}
	rec := &r.rec
	rec.OffsetDelta, rec.TimestampDelta = shape.OffsetDelta, shape.TimestampDelta
	rec.Offset = r.batch.BaseOffset() + int64(shape.OffsetDelta)
	rec.Timestamp = r.batch.recordTimestamp(shape.TimestampDelta)
	if rec.Key, err = in.bytes(); err != nil {
		return err
	}
	if rec.Value, err = in.bytes(); err != nil {
		return err
	}
	if rec.Headers, err = in.headers(rec.Headers[:0]); err != nil {
		return err
	}
	return in.atEnd()
}

// readQuickly reads what most records are: no headers, numbers of few bytes.
// It reports false for any other record, also a broken one.
//
// Hot path: every record that is converted or looked at.
func (r *Records) readQuickly(body []byte) bool {
	if len(body) == 0 {
		return false
	}
	timestampDelta, at := shortVarint(body, 1) // behind the attributes
	offsetDelta, at := shortVarint(body, at)
	keySize, at := shortVarint(body, at)
	keyAt := at
	if at < 0 || keySize < -1 || int(keySize) > len(body)-at {
		return false
	}
	valueSize, at := shortVarint(body, at+max(0, int(keySize)))
	if at < 0 || valueSize < -1 || at+max(0, int(valueSize)) != len(body)-1 || body[len(body)-1] != 0 {
		return false
	}
	rec := &r.rec
	rec.OffsetDelta, rec.TimestampDelta = offsetDelta, int64(timestampDelta)
	rec.Offset = r.batch.BaseOffset() + int64(offsetDelta)
	rec.Timestamp = r.batch.recordTimestamp(rec.TimestampDelta)
	rec.Key, rec.Value, rec.Headers = nil, nil, rec.Headers[:0]
	if keySize >= 0 {
		rec.Key = body[keyAt : keyAt+int(keySize) : keyAt+int(keySize)]
	}
	if valueSize >= 0 {
		rec.Value = body[at : len(body)-1 : len(body)-1]
	}
	return true
}

func (b Batch) recordTimestamp(delta int64) int64 {
	if b.LogAppendTime() {
		return b.MaxTimestamp()
	}
	return b.BaseTimestamp() + delta
}

// RecordTimestamp is the timestamp of a record of this batch.
func (b Batch) RecordTimestamp(s Shape) int64 { return b.recordTimestamp(s.TimestampDelta) }

// Walk calls visit with the shape of each record in order, in memory that
// does not grow with the records, and checks that they fill the batch. It
// allocates nothing for an uncompressed batch when visit does not.
//
// Hot path: every produced batch is walked.
func (b Batch) Walk(visit func(Shape) error) error {
	in := sources.Get().(*source)
	defer sources.Put(in)
	defer in.close()
	if err := in.open(b); err != nil {
		return err
	}
	for n := b.Count(); n > 0; n-- {
		shape, ok := in.plainShape()
		if !ok {
			var err error
			if shape, err = in.recordShape(); err != nil {
				return err
			}
		}
		if err := visit(shape); err != nil {
			return err
		}
	}
	return in.atEnd()
}

// plainShape is recordShape for what most records are: all of it in memory,
// no headers, numbers of few bytes. It reports false for any other record,
// also a broken one, and then has read nothing.
//
// Hot path: every record that is produced without compression.
func (in *source) plainShape() (shape Shape, ok bool) {
	b := in.buf
	size, at := shortVarint(b, in.at)
	end := at + int(size)
	if at < 0 || size < 0 || end > len(b) || in.stream != nil {
		return shape, false
	}
	timestampDelta, at := shortVarint(b, at+1) // behind the attributes
	shape.TimestampDelta = int64(timestampDelta)
	shape.OffsetDelta, at = shortVarint(b, at)
	shape.KeySize, at = shortVarint(b, at)
	if at < 0 || shape.KeySize < -1 {
		return shape, false
	}
	shape.ValueSize, at = shortVarint(b, at+max(0, int(shape.KeySize)))
	if at < 0 || shape.ValueSize < -1 {
		return shape, false
	}
	at += max(0, int(shape.ValueSize))
	if at != end-1 || b[at] != 0 { // the number of headers
		return shape, false
	}
	in.at = end
	return shape, true
}

// shortVarint reads a zigzag varint of at most three bytes at a place and
// tells the place behind it; -1, which it also takes for a place, when there
// is none.
func shortVarint(b []byte, at int) (v int32, next int) {
	if uint(at) >= uint(len(b)) {
		return 0, -1
	}
	u := uint32(b[at])
	if u < 0x80 {
		return int32(u>>1) ^ -int32(u&1), at + 1
	}
	if at+2 >= len(b) {
		return 0, -1
	}
	u = u&0x7f | uint32(b[at+1])<<7
	if u < 0x80<<7 {
		return int32(u>>1) ^ -int32(u&1), at + 2
	}
	u = u&0x3fff | uint32(b[at+2])<<14
	if u < 0x80<<14 {
		return int32(u>>1) ^ -int32(u&1), at + 3
	}
	return 0, -1
}

// recordShape reads one record and skips what it carries.
func (in *source) recordShape() (Shape, error) {
	size, err := in.varint()
	if err != nil {
		return Shape{}, err
	}
	start := in.consumed()
	if size < 0 || !in.mayHold(int64(size)) {
		return Shape{}, fmt.Errorf("record of %d bytes: %w", size, ErrCorrupt)
	}
	shape, err := in.recordHead()
	if err != nil {
		return Shape{}, err
	}
	if shape.KeySize, err = in.skipBytes(); err != nil {
		return Shape{}, err
	}
	if shape.ValueSize, err = in.skipBytes(); err != nil {
		return Shape{}, err
	}
	if err := in.skipHeaders(); err != nil {
		return Shape{}, err
	}
	if read := in.consumed() - start; read != int64(size) {
		return Shape{}, fmt.Errorf("record of %d bytes holds %d: %w", size, read, ErrCorrupt)
	}
	return shape, nil
}

// recordHead reads attributes, timestamp delta and offset delta.
func (in *source) recordHead() (shape Shape, err error) {
	if _, err = in.byte(); err != nil {
		return shape, err
	}
	if shape.TimestampDelta, err = in.varlong(); err != nil {
		return shape, err
	}
	shape.OffsetDelta, err = in.varint()
	return shape, err
}

func (in *source) headers(dst []Header) ([]Header, error) {
	n, err := in.varint()
	if err != nil {
		return dst, err
	}
	if n < 0 || int(n) > len(in.buf)-in.at {
		return dst, fmt.Errorf("%d headers: %w", n, ErrCorrupt)
	}
	for range n {
		var h Header
		if h.Key, err = in.bytes(); err != nil {
			return dst, err
		}
		if h.Key == nil {
			return dst, fmt.Errorf("header without key: %w", ErrCorrupt)
		}
		if h.Value, err = in.bytes(); err != nil {
			return dst, err
		}
		dst = append(dst, h)
	}
	return dst, nil
}

func (in *source) skipHeaders() error {
	n, err := in.varint()
	if err != nil {
		return err
	}
	if n < 0 || !in.mayHold(int64(n)) {
		return fmt.Errorf("%d headers: %w", n, ErrCorrupt)
	}
	for range n {
		size, err := in.skipBytes()
		if err != nil {
			return err
		}
		if size < 0 {
			return fmt.Errorf("header without key: %w", ErrCorrupt)
		}
		if _, err := in.skipBytes(); err != nil {
			return err
		}
	}
	return nil
}

// errMalformed has no facts because it is returned for any broken varint.
var errMalformed = errors.Join(errors.New("malformed varint"), ErrCorrupt)

// decompressedMax bounds the work that one batch can cause.
const decompressedMax = math.MaxInt32
