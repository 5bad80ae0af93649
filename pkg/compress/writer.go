package compress

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// Writer compresses what is written to it, piece by piece, so that only the
// compressed form is ever held.
type Writer interface {
	io.Writer
	// Len is about how long the compressed form has become; what the codec
	// still holds back is not in it.
	Len() int
	// Close ends the compressed form and returns it. The writer must not be
	// used afterwards.
	Close() ([]byte, error)
}

// NewWriter returns a writer that appends the compressed form to dst.
func NewWriter(codec Codec, dst []byte) (Writer, error) {
	w := &streamWriter{out: sliceWriter{dst}}
	switch codec {
	case None:
		w.z = &w.out
	case Gzip:
		z := gzipWriters.Get().(*gzip.Writer)
		z.Reset(&w.out)
		w.z, w.end, w.put = z, z.Close, func() { gzipWriters.Put(z) }
	case Snappy:
		z := &snappyWriter{out: &w.out}
		w.out.b = appendXerialHeader(w.out.b)
		w.z, w.end = z, z.flush
	case LZ4:
		z := lz4Writers.Get().(*lz4.Writer)
		z.Reset(&w.out)
		w.z, w.end, w.put = z, z.Close, func() { lz4Writers.Put(z) }
	case Zstd:
		z, err := newZstdStream(&w.out)
		if err != nil {
			return nil, err
		}
		w.z, w.end, w.put = z, z.Close, func() { zstdStreams.Put(z) }
	default:
		return nil, fmt.Errorf("%s: cannot compress", codec)
	}
	return w, nil
}

// streamWriter is a codec's writer with the slice that it writes to.
type streamWriter struct {
	out sliceWriter
	z   io.Writer
	end func() error // nil when there is nothing to end
	put func()       // gives the codec's writer back to its pool
}

func (w *streamWriter) Write(p []byte) (int, error) { return w.z.Write(p) }

func (w *streamWriter) Len() int { return len(w.out.b) }

func (w *streamWriter) Close() ([]byte, error) {
	var err error
	if w.end != nil {
		err = w.end()
	}
	if w.put != nil {
		w.put()
	}
	return w.out.b, err
}

// snappyWriter cuts what it is given into the blocks of the Java library.
type snappyWriter struct {
	out   *sliceWriter
	block []byte // not yet compressed, less than a whole block
}

func (w *snappyWriter) Write(p []byte) (int, error) {
	n := len(p)
	if len(w.block) > 0 {
		take := min(len(p), xerialBlockSize-len(w.block))
		w.block, p = append(w.block, p[:take]...), p[take:]
		if len(w.block) == xerialBlockSize {
			w.out.b = appendXerialBlock(w.out.b, w.block)
			w.block = w.block[:0]
		}
	}
	for len(p) >= xerialBlockSize {
		w.out.b = appendXerialBlock(w.out.b, p[:xerialBlockSize])
		p = p[xerialBlockSize:]
	}
	w.block = append(w.block, p...)
	return n, nil
}

func (w *snappyWriter) flush() error {
	if len(w.block) > 0 {
		w.out.b = appendXerialBlock(w.out.b, w.block)
		w.block = nil
	}
	return nil
}

func appendXerialHeader(dst []byte) []byte {
	dst = append(dst, xerialMagic...)
	return append(dst, 0, 0, 0, 1, 0, 0, 0, 1)
}

func appendXerialBlock(dst, src []byte) []byte {
	at := len(dst)
	dst = append(dst, make([]byte, 4+snappy.MaxEncodedLen(len(src)))...)
	size := len(snappy.Encode(dst[at+4:], src))
	binary.BigEndian.PutUint32(dst[at:], uint32(size))
	return dst[:at+4+size]
}

func newZstdStream(out io.Writer) (*zstd.Encoder, error) {
	if z, ok := zstdStreams.Get().(*zstd.Encoder); ok {
		z.Reset(out)
		return z, nil
	}
	// A window of 1 MiB bounds what a stream holds; one goroutine, the caller's.
	return zstd.NewWriter(out, zstd.WithEncoderCRC(false), zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true),
		zstd.WithWindowSize(1<<20), zstd.WithZeroFrames(true))
}
