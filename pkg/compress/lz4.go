package compress

import (
	"bytes"
	"encoding/binary"
	"io"
	"slices"
	"sync"

	"github.com/pierrec/lz4/v4"
)

var lz4Readers = sync.Pool{New: func() any { return &lz4Reader{z: lz4.NewReader(nil)} }}

type lz4Reader struct {
	head lz4Head // a corrected header, if there is one, then
	src  bytes.Reader
	z    *lz4.Reader
}

func newLZ4Reader(src []byte) Reader {
	r := lz4Readers.Get().(*lz4Reader)
	r.src.Reset(src)
	r.z.Reset(&r.src)
	return r
}

// newOldLZ4Reader reads a frame of message format 0, whose header checksum
// nobody looks at.
func newOldLZ4Reader(src []byte) Reader {
	r := lz4Readers.Get().(*lz4Reader)
	n := r.head.correct(src)
	r.src.Reset(src[n:])
	r.z.Reset(io.MultiReader(&r.head.in, &r.src))
	return r
}

func (r *lz4Reader) Read(p []byte) (int, error) {
	n, err := r.z.Read(p)
	return n, corrupt(LZ4, err)
}

func (r *lz4Reader) Close() {
	r.src.Reset(nil)
	lz4Readers.Put(r)
}

// lz4Writers write what Kafka writes: independent blocks of 64 KiB, no
// checksums but the header's, no content size.
var lz4Writers = sync.Pool{New: func() any {
	z := lz4.NewWriter(nil)
	if err := z.Apply(lz4.BlockSizeOption(lz4.Block64Kb), lz4.ChecksumOption(false), lz4.ConcurrencyOption(1)); err != nil {
		panic(err) // the options are constants
	}
	return z
}}

// lz4Header begins a frame as lz4Writers do.
var lz4Header = [...]byte{0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82}

const (
	lz4BlockSize = 64 << 10
	lz4Plain     = 1 << 31 // in a block's length: it is not compressed
)

var lz4Compressors = sync.Pool{New: func() any { return new(lz4.Compressor) }}

// compressLZ4 makes the frame of an lz4Writer without its buffers:
//
//	7  header, then for each block 4 length, little-endian, and the block;
//	4  of zeros
func compressLZ4(dst, src []byte) ([]byte, error) {
	z := lz4Compressors.Get().(*lz4.Compressor)
	defer lz4Compressors.Put(z)
	dst = append(dst, lz4Header[:]...)
	for len(src) > 0 {
		block := src[:min(len(src), lz4BlockSize)]
		src = src[len(block):]
		at := len(dst)
		dst = slices.Grow(dst, 4+len(block))[:at+4+len(block)]
		// What does not fit into the length of the block is not worth it.
		n, err := z.CompressBlock(block, dst[at+4:])
		if err != nil || n == 0 || n >= len(block) {
			n = copy(dst[at+4:], block)
			binary.LittleEndian.PutUint32(dst[at:], uint32(n)|lz4Plain)
		} else {
			binary.LittleEndian.PutUint32(dst[at:], uint32(n))
		}
		dst = dst[:at+4+n]
	}
	return append(dst, 0, 0, 0, 0), nil
}
