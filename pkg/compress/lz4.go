package compress

import (
	"bytes"
	"io"
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

func compressLZ4(dst, src []byte) ([]byte, error) {
	z := lz4Writers.Get().(*lz4.Writer)
	defer lz4Writers.Put(z)
	out := sliceWriter{dst}
	z.Reset(&out)
	if _, err := z.Write(src); err != nil {
		return dst, err
	}
	if err := z.Close(); err != nil {
		return dst, err
	}
	return out.b, nil
}
