// Package compress holds the codecs of record batches: gzip, snappy, lz4 and
// zstd, as Java clients and librdkafka write and read them.
//
// A Reader decompresses piece by piece in bounded memory, whatever the bytes
// claim; Decompress gives the whole with a limit; Compress and, piece by piece,
// a Writer write what a Java broker would (framing and parameters, not the
// same compressor's bytes).
// Callers are record and, through it, whoever reads records. Everything is
// safe for concurrent use; compressors are pooled. No goroutines.
//
// The wrong lz4 header checksum of message format 0 is passed over by
// NewOldReader and made by WrongLZ4Header.
package compress

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Codec is the number of a codec in a batch's attributes.
type Codec int8

const (
	None   Codec = 0
	Gzip   Codec = 1
	Snappy Codec = 2
	LZ4    Codec = 3
	Zstd   Codec = 4
)

var codecNames = [...]string{"none", "gzip", "snappy", "lz4", "zstd"}

// String is the codec's name as tools print it.
func (c Codec) String() string {
	if !c.Valid() {
		return fmt.Sprintf("unknown codec %d", int8(c))
	}
	return codecNames[c]
}

// Valid reports whether there is such a codec.
func (c Codec) Valid() bool { return c >= 0 && int(c) < len(codecNames) }

// ParseCodec reads a codec's name; "uncompressed" is None.
func ParseCodec(name string) (Codec, bool) {
	if name == "uncompressed" {
		return None, true
	}
	for i, known := range codecNames {
		if known == name {
			return Codec(i), true
		}
	}
	return None, false
}

var (
	// ErrTooLarge is returned when the output would pass the limit.
	ErrTooLarge = errors.New("compressed data grows past the limit")
	// ErrCorrupt wraps every failure of a codec on its input.
	ErrCorrupt = errors.New("compressed data is corrupt")
)

// Reader decompresses from memory. Close gives it back to its pool; it must
// not be used afterwards.
type Reader interface {
	io.Reader
	Close()
}

// NewReader returns a reader of the decompressed form of src. src must stay
// unchanged until Close. Errors of Read other than io.EOF wrap ErrCorrupt.
func NewReader(codec Codec, src []byte) (Reader, error) {
	switch codec {
	case None:
		return &plainReader{*bytes.NewReader(src)}, nil
	case Gzip:
		return newGzipReader(src)
	case Snappy:
		return newSnappyReader(src), nil
	case LZ4:
		return newLZ4Reader(src), nil
	case Zstd:
		return newZstdReader(src)
	default:
		return nil, fmt.Errorf("%s: %w", codec, ErrCorrupt)
	}
}

// NewOldReader is NewReader for messages of format 0: an lz4 frame may have the
// wrong header checksum.
func NewOldReader(codec Codec, src []byte) (Reader, error) {
	if codec == LZ4 {
		return newOldLZ4Reader(src), nil
	}
	return NewReader(codec, src)
}

type plainReader struct{ bytes.Reader }

func (*plainReader) Close() {}

// Decompress appends the decompressed form of src to dst, of at most limit
// bytes.
func Decompress(codec Codec, dst, src []byte, limit int) ([]byte, error) {
	r, err := NewReader(codec, src)
	if err != nil {
		return dst, err
	}
	defer r.Close()
	start := len(dst)
	for {
		if len(dst) == cap(dst) {
			dst = append(dst, 0)[:len(dst)]
		}
		n, err := r.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		if len(dst)-start > limit {
			return dst[:start], ErrTooLarge
		}
		if err == io.EOF {
			return dst, nil
		}
		if err != nil {
			return dst[:start], err
		}
	}
}

// Compress appends the compressed form of src to dst.
func Compress(codec Codec, dst, src []byte) ([]byte, error) {
	switch codec {
	case None:
		return append(dst, src...), nil
	case Gzip:
		return compressGzip(dst, src)
	case Snappy:
		return compressSnappy(dst, src), nil
	case LZ4:
		return compressLZ4(dst, src)
	case Zstd:
		return compressZstd(dst, src)
	default:
		return dst, fmt.Errorf("%s: cannot compress", codec)
	}
}

// corrupt wraps what a library says about its input.
func corrupt(codec Codec, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return fmt.Errorf("%s: %w: %w", codec, ErrCorrupt, err)
}

// sliceWriter lets library writers append to a slice.
type sliceWriter struct{ b []byte }

func (w *sliceWriter) Write(p []byte) (int, error) {
	w.b = append(w.b, p...)
	return len(p), nil
}
