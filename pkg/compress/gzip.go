package compress

import (
	"bytes"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
)

var gzipReaders = sync.Pool{New: func() any { return new(gzipReader) }}

type gzipReader struct {
	src bytes.Reader
	z   gzip.Reader
}

func newGzipReader(src []byte) (Reader, error) {
	r := gzipReaders.Get().(*gzipReader)
	r.src.Reset(src)
	if err := r.z.Reset(&r.src); err != nil {
		gzipReaders.Put(r)
		if err == io.EOF {
			err = errShort
		}
		return nil, corrupt(Gzip, err)
	}
	return r, nil
}

func (r *gzipReader) Read(p []byte) (int, error) {
	n, err := r.z.Read(p)
	return n, corrupt(Gzip, err)
}

func (r *gzipReader) Close() {
	r.src.Reset(nil)
	gzipReaders.Put(r)
}

var gzipWriters = sync.Pool{New: func() any { return gzip.NewWriter(nil) }}

func compressGzip(dst, src []byte) ([]byte, error) {
	z := gzipWriters.Get().(*gzip.Writer)
	defer gzipWriters.Put(z)
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
