package compress

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"sync"

	"github.com/klauspost/compress/snappy"
)

// Snappy comes in the framing of the Java library:
//
//	82 'S' 'N' 'A' 'P' 'P' 'Y' 00, int32 version, int32 compatible version,
//	then blocks: int32 length, raw snappy
//
// or, from some clients, as one raw block without any frame.
const (
	xerialHeaderSize = 16
	xerialBlockSize  = 32 << 10
)

var xerialMagic = []byte{0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0}

var errShort = errors.New("input ends early")

var snappyReaders = sync.Pool{New: func() any { return new(snappyReader) }}

type snappyReader struct {
	src   []byte // not yet decoded
	raw   bool   // one block without a frame
	block []byte // room for one decoded block
	rest  []byte // of block, not yet read
}

func newSnappyReader(src []byte) Reader {
	r := snappyReaders.Get().(*snappyReader)
	r.src, r.rest, r.raw = src, nil, true
	if len(src) >= xerialHeaderSize && bytes.Equal(src[:len(xerialMagic)], xerialMagic) {
		r.src, r.raw = src[xerialHeaderSize:], false
	}
	return r
}

func (r *snappyReader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		if len(r.src) == 0 {
			return 0, io.EOF
		}
		if err := r.nextBlock(); err != nil {
			return 0, corrupt(Snappy, err)
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

func (r *snappyReader) nextBlock() error {
	block := r.src
	if r.raw {
		r.src = nil
	} else {
		if len(block) < 4 {
			return errShort
		}
		size := int(int32(binary.BigEndian.Uint32(block)))
		if size < 0 || size > len(block)-4 {
			return errShort
		}
		block, r.src = block[4:4+size], block[4+size:]
	}
	size, err := snappy.DecodedLen(block)
	if err != nil {
		return err
	}
	// Three input bytes make at most 64 bytes of output: a block that claims
	// more lies, and nothing is allocated for it.
	if size > 22*len(block)+64 {
		return snappy.ErrCorrupt
	}
	if size > cap(r.block) {
		r.block = make([]byte, size)
	}
	r.rest, err = snappy.Decode(r.block[:cap(r.block)], block)
	return err
}

func (r *snappyReader) Close() {
	r.src, r.rest = nil, nil
	if cap(r.block) > 1<<20 {
		r.block = nil
	}
	snappyReaders.Put(r)
}

func compressSnappy(dst, src []byte) []byte {
	dst = appendXerialHeader(dst)
	for len(src) > 0 {
		n := min(len(src), xerialBlockSize)
		dst, src = appendXerialBlock(dst, src[:n]), src[n:]
	}
	return dst
}
