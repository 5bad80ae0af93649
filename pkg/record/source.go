package record

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"gregor/pkg/compress"
)

// source reads the records' bytes, in place when they are not compressed,
// else through a window that slides over the decompressed stream.
type source struct {
	buf    []byte // the window; all there is when stream is nil
	at     int    // next byte of buf
	stream compress.Reader
	window []byte // owned memory behind buf when there is a stream
	before int64  // bytes of the stream that have left the window
	eof    bool
}

var sources = sync.Pool{New: func() any { return new(source) }}

const windowSize = 32 << 10

var windows = sync.Pool{New: func() any { return new([windowSize]byte) }}

func (in *source) open(b Batch) error {
	in.at, in.before, in.eof = 0, 0, false
	if b.Codec() == compress.None {
		in.buf, in.stream = b[HeaderSize:], nil
		return nil
	}
	stream, err := compress.NewReader(b.Codec(), b[HeaderSize:])
	if err != nil {
		return err
	}
	if in.window == nil {
		in.window = windows.Get().(*[windowSize]byte)[:]
	}
	in.buf, in.stream = in.window[:0], stream
	return nil
}

func (in *source) close() {
	if in.stream != nil {
		in.stream.Close()
		in.stream = nil
	}
	in.buf = nil
	if len(in.window) == windowSize {
		windows.Put((*[windowSize]byte)(in.window))
	}
	in.window = nil
}

// consumed is the number of bytes read so far.
func (in *source) consumed() int64 { return in.before + int64(in.at) }

// mayHold reports whether n more bytes may follow.
func (in *source) mayHold(n int64) bool {
	if in.stream == nil {
		return n <= int64(len(in.buf)-in.at)
	}
	return in.consumed()+n <= decompressedMax
}

// fill moves the window on so that it holds n bytes from at, or all that are
// left; n is at most len(window).
func (in *source) fill(n int) error {
	if in.stream == nil || len(in.buf)-in.at >= n || in.eof {
		return nil
	}
	in.before += int64(in.at)
	left := copy(in.window, in.buf[in.at:])
	in.at = 0
	for left < n {
		read, err := in.stream.Read(in.window[left:])
		left += read
		if err == io.EOF {
			in.eof = true
			break
		}
		if err != nil {
			in.buf = in.window[:left]
			return err
		}
	}
	in.buf = in.window[:left]
	return nil
}

func (in *source) byte() (byte, error) {
	if in.at >= len(in.buf) {
		if err := in.fill(1); err != nil {
			return 0, err
		}
		if in.at >= len(in.buf) {
			return 0, errEarlyEnd
		}
	}
	in.at++
	return in.buf[in.at-1], nil
}

var errEarlyEnd = errors.Join(errors.New("the records end early"), ErrCorrupt)

// varint reads a zigzag varint of at most 32 bits.
func (in *source) varint() (int32, error) {
	if v, next := shortVarint(in.buf, in.at); next >= 0 {
		in.at = next
		return v, nil
	}
	v, err := in.uvarint(5)
	if err != nil {
		return 0, err
	}
	u := uint32(v)
	return int32(u>>1) ^ -int32(u&1), nil
}

// varlong reads a zigzag varint of at most 64 bits.
func (in *source) varlong() (int64, error) {
	u, err := in.uvarint(10)
	return int64(u>>1) ^ -int64(u&1), err
}

func (in *source) uvarint(bytesMax int) (uint64, error) {
	if in.stream != nil && len(in.buf)-in.at < bytesMax {
		if err := in.fill(bytesMax); err != nil {
			return 0, err
		}
	}
	var v uint64
	buf := in.buf[in.at:]
	for i := 0; i < bytesMax; i++ {
		if i >= len(buf) {
			return 0, errEarlyEnd
		}
		v |= uint64(buf[i]&0x7f) << (7 * i)
		if buf[i] < 0x80 {
			in.at += i + 1
			return v, nil
		}
	}
	return 0, errMalformed
}

// skip passes over n bytes.
func (in *source) skip(n int) error {
	for {
		if have := len(in.buf) - in.at; n <= have {
			in.at += n
			return nil
		} else if in.stream != nil {
			in.at += have
			n -= have
		} else {
			return errEarlyEnd
		}
		if err := in.fill(1); err != nil {
			return err
		}
		if in.at >= len(in.buf) {
			return errEarlyEnd
		}
	}
}

// take returns the next n bytes, valid until the next call.
func (in *source) take(n int) ([]byte, error) {
	if in.stream != nil && n > len(in.buf)-in.at {
		if n > len(in.window) {
			if !in.mayHold(int64(n)) {
				return nil, errEarlyEnd
			}
			if err := in.growTo(n); err != nil {
				return nil, err
			}
		}
		if err := in.fill(n); err != nil {
			return nil, err
		}
	}
	if n > len(in.buf)-in.at {
		return nil, errEarlyEnd
	}
	in.at += n
	return in.buf[in.at-n : in.at : in.at], nil
}

// growTo makes room for n bytes by doubling as they really arrive, so that a
// length that lies takes no memory.
func (in *source) growTo(n int) error {
	for len(in.window) < n {
		if err := in.fill(len(in.window)); err != nil {
			return err
		}
		if len(in.buf)-in.at < len(in.window) {
			return errEarlyEnd
		}
		window := make([]byte, min(2*len(in.window), max(n, windowSize)))
		in.before += int64(in.at)
		kept := copy(window, in.buf[in.at:])
		in.window, in.buf, in.at = window, window[:kept], 0
	}
	return nil
}

// bytes reads a length and that many bytes; -1 gives nil.
func (in *source) bytes() ([]byte, error) {
	n, err := in.varint()
	if err != nil {
		return nil, err
	}
	if n == -1 {
		return nil, nil
	}
	if n < 0 {
		return nil, fmt.Errorf("length %d: %w", n, ErrCorrupt)
	}
	return in.take(int(n))
}

// skipBytes passes over a length and that many bytes.
func (in *source) skipBytes() (int32, error) {
	n, err := in.varint()
	if err != nil {
		return 0, err
	}
	if n < -1 || !in.mayHold(int64(n)) {
		return 0, fmt.Errorf("length %d: %w", n, ErrCorrupt)
	}
	if n <= 0 {
		return n, nil
	}
	return n, in.skip(int(n))
}

// atEnd checks that nothing follows.
func (in *source) atEnd() error {
	if err := in.fill(1); err != nil {
		return err
	}
	if in.at < len(in.buf) {
		return fmt.Errorf("bytes follow the last record: %w", ErrCorrupt)
	}
	return nil
}
