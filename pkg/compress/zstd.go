package compress

import (
	"bytes"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// zstdWindowMax bounds the memory of one reader. The format's document asks
// every reader for 8 MiB; levels up to 19 stay within it.
const zstdWindowMax = 8 << 20

var (
	zstdReaders sync.Pool // of *zstdReader
	zstdStreams sync.Pool // of *zstd.Encoder that write streams
)

type zstdReader struct {
	src bytes.Reader
	z   *zstd.Decoder
}

func newZstdReader(src []byte) (Reader, error) {
	r, ok := zstdReaders.Get().(*zstdReader)
	if !ok {
		z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(zstdWindowMax), zstd.WithDecodeBuffersBelow(0))
		if err != nil {
			return nil, err
		}
		r = &zstdReader{z: z}
	}
	r.src.Reset(src)
	if err := r.z.Reset(&r.src); err != nil {
		return nil, corrupt(Zstd, err)
	}
	return r, nil
}

func (r *zstdReader) Read(p []byte) (int, error) {
	n, err := r.z.Read(p)
	return n, corrupt(Zstd, err)
}

func (r *zstdReader) Close() {
	r.src.Reset(nil)
	zstdReaders.Put(r)
}

// zstdEncoder is made at its first use: it is large, and most brokers keep
// the producers' batches as they are.
var zstdEncoder = sync.OnceValues(func() (*zstd.Encoder, error) {
	return zstd.NewWriter(nil, zstd.WithEncoderCRC(false), zstd.WithEncoderConcurrency(2), zstd.WithLowerEncoderMem(true), zstd.WithZeroFrames(true))
})

func compressZstd(dst, src []byte) ([]byte, error) {
	z, err := zstdEncoder()
	if err != nil {
		return dst, err
	}
	return z.EncodeAll(src, dst), nil
}
