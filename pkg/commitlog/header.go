package commitlog

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"sync"

	"gregor/pkg/record"
)

// batchHeader is what the log needs of a batch to step over it. Batches of
// format 0 and 1, which an older broker may have left, are stepped over too:
// of those only the last offset is known.
type batchHeader struct {
	position     int64
	size         int
	magic        int8
	baseOffset   int64 // of an old wrapper: its last offset
	lastOffset   int64
	maxTimestamp int64 // record.NoTimestamp in format 0
	leaderEpoch  int32 // -1 in formats 0 and 1
}

// Sizes of formats 0 and 1, behind offset and size.
const (
	oldSizeMinV0 = 14
	oldSizeMinV1 = 22
)

// parseHeader reads the header at the beginning of b, of which the batch may
// need more than is there.
func parseHeader(b []byte, position int64) (batchHeader, error) {
	h := batchHeader{position: position, leaderEpoch: -1, maxTimestamp: record.NoTimestamp}
	if len(b) < record.Overhead+oldSizeMinV0 {
		return h, record.ErrShort
	}
	h.baseOffset = int64(binary.BigEndian.Uint64(b))
	length := int32(binary.BigEndian.Uint32(b[8:]))
	h.magic = int8(b[16])
	smallest := int32(record.HeaderSize - record.Overhead)
	switch h.magic {
	case 0:
		smallest = oldSizeMinV0
	case 1:
		smallest = oldSizeMinV1
	case record.Magic:
	default:
		return h, fmt.Errorf("magic %d: %w", h.magic, ErrCorrupt)
	}
	if length < smallest || h.baseOffset < 0 {
		return h, fmt.Errorf("offset %d, length %d: %w", h.baseOffset, length, ErrCorrupt)
	}
	h.size = int(length) + record.Overhead
	h.lastOffset = h.baseOffset
	switch {
	case h.magic == 1 && len(b) >= 26:
		h.maxTimestamp = int64(binary.BigEndian.Uint64(b[18:]))
	case h.magic == record.Magic && len(b) >= record.HeaderSize:
		batch := record.Batch(b)
		if delta := batch.LastOffsetDelta(); delta < 0 {
			return h, fmt.Errorf("last offset delta %d: %w", delta, ErrCorrupt)
		}
		h.lastOffset, h.maxTimestamp, h.leaderEpoch = batch.LastOffset(), batch.MaxTimestamp(), batch.LeaderEpoch()
	case h.magic == record.Magic || h.magic == 1:
		return h, record.ErrShort
	}
	return h, nil
}

// validBatch checks the CRC of a whole batch of any format.
func validBatch(b []byte) bool {
	if b[16] == record.Magic {
		return record.Batch(b).Valid()
	}
	return crc32.ChecksumIEEE(b[16:]) == binary.BigEndian.Uint32(b[12:])
}

// headerReader steps over the headers of a log file, reading a little at a
// time: the few batches between an index entry and a wanted offset.
type headerReader struct {
	file io.ReaderAt
	end  int64 // batches lie below it
	at   int64 // where buf begins in the file
	n    int
	buf  [1024]byte
}

var headerReaders = sync.Pool{New: func() any { return new(headerReader) }}

func readHeaders(file io.ReaderAt, end int64) *headerReader {
	r := headerReaders.Get().(*headerReader)
	r.file, r.end, r.at, r.n = file, end, 0, 0
	return r
}

func (r *headerReader) done() {
	r.file = nil
	headerReaders.Put(r)
}

// header reads the header at a position; io.EOF at the end, ErrCorrupt when
// there is no batch or it does not end in time.
func (r *headerReader) header(position int64) (batchHeader, error) {
	if position >= r.end {
		return batchHeader{}, io.EOF
	}
	want := int(min(record.HeaderSize, r.end-position))
	if position < r.at || position+int64(want) > r.at+int64(r.n) {
		n, err := r.file.ReadAt(r.buf[:min(int64(len(r.buf)), r.end-position)], position)
		if n < want && err != nil && err != io.EOF {
			return batchHeader{}, err
		}
		r.at, r.n = position, n
	}
	h, err := parseHeader(r.buf[position-r.at:r.n], position)
	if err == record.ErrShort || err == nil && position+int64(h.size) > r.end {
		return h, fmt.Errorf("batch at %d passes the end at %d: %w", position, r.end, ErrCorrupt)
	}
	return h, err
}
