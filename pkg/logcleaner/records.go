package logcleaner

import (
	"encoding/binary"
	"errors"
	"fmt"

	"gregor/pkg/compress"
	"gregor/pkg/record"
)

// rawRecord is one record of a batch of format 2, with the places of what
// compaction asks for. Nothing is copied.
type rawRecord struct {
	bytes          []byte // all of it, the size included
	rest           []byte // from the key's length on: what stays when the head is written anew
	key            []byte // nil is null
	offsetDelta    int32
	timestampDelta int64
	hasValue       bool
}

var errRecord = errors.Join(errors.New("malformed record"), record.ErrCorrupt)

// nextRecord cuts the first record off b.
//
// Hot path: every record of a log that is compacted; no allocation.
func nextRecord(b []byte) (r rawRecord, rest []byte, err error) {
	size, at := varint(b, 0)
	if at < 0 || size < 0 || size > int64(len(b)-at) {
		return r, nil, errRecord
	}
	end := at + int(size)
	r.bytes, rest = b[:end:end], b[end:]
	b = r.bytes
	if at >= len(b) {
		return r, nil, errRecord
	}
	r.timestampDelta, at = varint(b, at+1) // behind the attributes
	delta, at := varint(b, at)
	keyAt := at
	keySize, at := varint(b, at)
	if at < 0 || keySize < -1 || keySize > int64(len(b)-at) || delta != int64(int32(delta)) {
		return r, nil, errRecord
	}
	r.offsetDelta, r.rest = int32(delta), b[keyAt:]
	if keySize >= 0 {
		r.key = b[at : at+int(keySize) : at+int(keySize)]
		at += int(keySize)
	}
	valueSize, at := varint(b, at)
	if at < 0 || valueSize < -1 || valueSize > int64(len(b)-at) {
		return r, nil, errRecord
	}
	r.hasValue = valueSize >= 0
	return r, rest, nil
}

// varint reads a zigzag varint at a place and tells the place behind it; -1,
// which it also takes for a place, when there is none.
func varint(b []byte, at int) (v int64, next int) {
	if uint(at) >= uint(len(b)) {
		return 0, -1
	}
	if u := b[at]; u < 0x80 {
		return int64(u>>1) ^ -int64(u&1), at + 1
	}
	u, n := binary.Uvarint(b[at:])
	if n <= 0 {
		return 0, -1
	}
	return int64(u>>1) ^ -int64(u&1), at + n
}

// appendTo writes the record with another distance to the batch's base
// timestamp.
func (r *rawRecord) appendTo(dst []byte, timestampDelta int64) []byte {
	var head [1 + 2*binary.MaxVarintLen64]byte // attributes of 0, and the deltas
	n := 1 + binary.PutVarint(head[1:], timestampDelta)
	n += binary.PutVarint(head[n:], int64(r.offsetDelta))
	dst = binary.AppendVarint(dst, int64(n+len(r.rest)))
	dst = append(dst, head[:n]...)
	return append(dst, r.rest...)
}

// block is some records of a batch, and the hashes of their keys.
type block struct {
	records [blockRecords]rawRecord
	hashes  [blockRecords]keyHash
	touched int64 // what warm returned, so that it is not left out
}

const blockRecords = 64

// fill reads the next n records, at most blockRecords, and looks for their
// keys in the map ahead. It returns what is behind them.
//
// Hot path: every record of a log that is compacted; no allocation.
func (k *block) fill(n int, records []byte, offsets *OffsetMap) (rest []byte, err error) {
	for i := range n {
		r := &k.records[i]
		if *r, records, err = nextRecord(records); err != nil {
			return nil, err
		}
		k.hashes[i] = keyHash{}
		if r.key != nil {
			k.hashes[i] = hashOf(r.key)
		}
	}
	k.touched = offsets.warm(k.hashes[:n])
	return records, nil
}

// decompressedMax bounds what one batch may become. Java brokers keep a whole
// decompressed batch in memory too.
const decompressedMax = 512 << 20

// plain returns the records of a batch, decompressed into buf if need be.
func plain(b record.Batch, buf []byte) (records, newBuf []byte, err error) {
	if b.Count() < 0 {
		return nil, buf, errRecord
	}
	if b.Codec() == compress.None {
		return b[record.HeaderSize:], buf, nil
	}
	buf, err = compress.Decompress(b.Codec(), buf[:0], b[record.HeaderSize:], decompressedMax)
	if err != nil {
		return nil, buf, fmt.Errorf("batch from offset %d: %w", b.BaseOffset(), err)
	}
	return buf, buf, nil
}
