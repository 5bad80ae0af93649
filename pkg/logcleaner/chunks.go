package logcleaner

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"

	"gregor/pkg/record"
)

// chunks reads a log file in pieces of whole batches. The buffer grows when a
// batch does not fit: first to the largest message that the log accepts,
// then to the batch itself, which may be older than that limit.
type chunks struct {
	file       io.ReaderAt
	at, end    int64
	buf        []byte // lent by the cleaner, or grown
	messageMax int
}

// next reads the next piece, valid until the call after; io.EOF at the end.
// Batches that are cut at the end of it are left for the piece behind.
func (c *chunks) next(ctx context.Context) ([]byte, error) {
	if c.at >= c.end {
		return nil, io.EOF
	}
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		piece := c.buf[:min(int64(len(c.buf)), c.end-c.at)]
		n, err := c.file.ReadAt(piece, c.at)
		if n < len(piece) {
			if err == nil || err == io.EOF {
				err = fmt.Errorf("%d of %d bytes at %d: %w", n, len(piece), c.at, record.ErrCorrupt)
			}
			return nil, err
		}
		whole, err := wholeBatches(piece)
		if err != nil {
			return nil, fmt.Errorf("byte %d: %w", c.at, err)
		}
		if whole > 0 {
			c.at += int64(whole)
			return piece[:whole], nil
		}
		if err := c.grow(piece); err != nil {
			return nil, err
		}
	}
}

// batchSize is the size that a batch of any format claims; 0 when the bytes
// end before it.
func batchSize(b []byte) (int64, error) {
	if len(b) < record.Overhead {
		return 0, nil
	}
	size := int64(int32(binary.BigEndian.Uint32(b[record.Overhead-4:])))
	if size < record.OldMessageMin-record.Overhead {
		return 0, fmt.Errorf("batch of %d bytes: %w", size, record.ErrCorrupt)
	}
	return size + record.Overhead, nil
}

// wholeBatches is the number of bytes of the batches that end in b.
func wholeBatches(b []byte) (int, error) {
	whole := 0
	for {
		size, err := batchSize(b[whole:])
		if err != nil || size == 0 || size > int64(len(b)-whole) {
			return whole, err
		}
		whole += int(size)
	}
}

func (c *chunks) grow(piece []byte) error {
	if int64(len(piece)) == c.end-c.at {
		return fmt.Errorf("the batch at %d passes the end at %d: %w", c.at, c.end, record.ErrCorrupt)
	}
	want := int64(c.messageMax)
	if int64(len(c.buf)) >= want {
		size, err := batchSize(piece)
		if err != nil {
			return err
		}
		want = max(size, record.HeaderSize)
	}
	if want > c.end-c.at {
		// Not before its bytes are known to be there is memory taken.
		if want = c.end - c.at; int64(len(c.buf)) >= int64(c.messageMax) {
			return fmt.Errorf("the batch at %d passes the end at %d: %w", c.at, c.end, record.ErrCorrupt)
		}
	}
	c.buf = make([]byte, want)
	return nil
}
