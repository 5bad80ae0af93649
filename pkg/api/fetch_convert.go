package api

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"gregor/pkg/kerr"
	"gregor/pkg/record"
	"gregor/pkg/replica"
	"gregor/pkg/wire"
)

// Down-conversion (KIP-283): a consumer or follower of an older version gets
// records in the format that it knows. They are converted while the answer is
// sent, a chunk of the log at a time, so that the answer is never held as a
// whole. Its size must be said before: as in Kafka that is the size of what
// was read, or of the first batch converted if that is more. What is converted
// beyond it is cut off, and a shortfall is filled with the beginning of a
// batch that does not fit, which every client passes over as a batch that was
// cut by the limit. So a client always gets ahead by a batch at least.

// formatOf is the newest record format that a version of Fetch may carry.
func formatOf(version int16) int8 {
	switch {
	case version <= 1:
		return 0
	case version <= 3:
		return 1
	default:
		return record.Magic
	}
}

// downgrade has a region converted if what is in it is too new for the
// request's version.
func (d *Data) downgrade(req *fetchRequest, f *replica.Fetch) {
	to := formatOf(req.version)
	c := newConverted(f.Result.Records, to, f.Offset, f.RecordMax())
	// A log that is kept in an old format has newer batches at most where the
	// setting was changed, and then they lie together.
	needed, err := c.needed(f.Magic() <= to)
	if err == nil && !needed {
		c.giveBack()
		return
	}
	f.Result.Records = wire.FileRegion{} // the conversion's now
	if err == nil && f.RefusesOldReaders() && req.replicaID < 0 {
		c.release()
		f.Refuse(kerr.UnsupportedVersion)
		return
	}
	if err == nil {
		err = c.begin()
	}
	if err != nil {
		c.release()
		d.refuseConversion(req, f, err)
		return
	}
	f.Result.Records = wire.FileRegion{File: c, Length: c.size, Release: c.release}
}

// refuseConversion answers with an error of the first batch; of the others the
// client hears when it gets there.
func (d *Data) refuseConversion(req *fetchRequest, f *replica.Fetch, err error) {
	switch {
	case errors.Is(err, record.ErrZstd):
		f.Refuse(kerr.UnsupportedCompressionType)
	case errors.Is(err, record.ErrCorrupt):
		d.log.WithError(err).Errorf("records of %s-%d cannot be converted for version %d of a fetch at offset %d", f.Topic, f.Partition, req.version, f.Offset)
		f.Refuse(kerr.CorruptMessage)
	default:
		d.log.WithError(err).Errorf("records of %s-%d cannot be read for version %d of a fetch at offset %d", f.Topic, f.Partition, req.version, f.Offset)
		f.Refuse(kerr.KafkaStorageError)
	}
}

// chunkSize is how much of the log is read at a time, if no batch is larger;
// also the longest filling, as in Kafka.
const chunkSize = 128 << 10

// fillMin is the size of the filling when there is nothing else to send: base
// offset and length of a batch.
const fillMin = record.Overhead

// converted is the file of a region that is made while it is read. It is read
// once, from the beginning to the end.
type converted struct {
	log  wire.FileRegion // what is converted
	down *record.Downgrade

	at    int64  // of log, next to be read
	buf   []byte // pooled
	rest  []byte // of buf, not yet converted
	piece []byte // not yet sent
	sent  int64
	size  int64
	over  bool // nothing more to convert
}

func newConverted(log wire.FileRegion, to int8, from int64, recordMax int) *converted {
	return &converted{log: log, down: record.NewDowngrade(to, from, recordMax)}
}

func (c *converted) release() {
	c.down.Close()
	c.giveBack()
	if c.log.Release != nil {
		c.log.Release()
		c.log.Release = nil
	}
}

// giveBack returns the memory.
func (c *converted) giveBack() {
	if c.buf != nil {
		wire.PutBuffer(c.buf)
	}
	c.buf, c.rest, c.piece = nil, nil, nil
}

// needed reports whether any batch, or with firstOnly the first one, is newer
// than what may be sent. The reading begins anew afterwards.
func (c *converted) needed(firstOnly bool) (bool, error) {
	for {
		b, err := c.nextBatch()
		if b == nil || err != nil {
			return false, err
		}
		if c.down.Needs(b) {
			c.at, c.rest = 0, nil
			return true, nil
		}
		if firstOnly {
			return false, nil
		}
	}
}

// nextBatch is the next whole batch, nil at the end. It is valid until the
// next call.
func (c *converted) nextBatch() (record.Any, error) {
	for {
		b, rest, err := record.SplitAny(c.rest)
		if err == nil {
			c.rest = rest
			return b, nil
		}
		if !errors.Is(err, record.ErrShort) {
			return nil, err
		}
		if more, err := c.readChunk(); !more || err != nil {
			return nil, err
		}
	}
}

// readChunk reads on so that rest holds a whole batch, and reports whether it
// does.
func (c *converted) readChunk() (bool, error) {
	start := c.at - int64(len(c.rest)) // of the batch that is not whole
	want := int64(chunkSize)
	if len(c.rest) >= record.Overhead {
		want = max(want, record.Overhead+int64(int32(binary.BigEndian.Uint32(c.rest[8:]))))
	}
	left := c.log.Length - start
	if want > left {
		if want > chunkSize || int64(len(c.rest)) == left {
			return false, nil // the last batch is cut
		}
		want = left
	}
	if int64(cap(c.buf)) < want {
		c.giveBack()
		c.buf = wire.GetBuffer(int(want))
	}
	c.buf = c.buf[:want]
	if n, err := c.log.File.ReadAt(c.buf, c.log.Position+start); n < len(c.buf) {
		return false, fmt.Errorf("read of %d bytes at %d gave %d: %w", want, c.log.Position+start, n, err)
	}
	c.rest, c.at = c.buf, start+want
	return true, nil
}

// begin converts the first batch that has something to send, as far as its
// size needs it, and fixes the size of the answer.
func (c *converted) begin() error {
	first := int64(fillMin)
	c.size = first
	for {
		b, err := c.nextBatch()
		if err != nil {
			return err
		}
		if b == nil {
			c.over = true
			return nil
		}
		if err := c.down.Begin(b); err != nil {
			return err
		}
		size, known, err := c.down.PlainSize(b)
		if err == nil && !known {
			c.piece, err = c.down.Next()
			size = int64(len(c.piece))
		}
		if err != nil {
			return err
		}
		if size > 0 {
			c.size = max(c.log.Length, size)
			return nil
		}
	}
}

// ReadAt gives the next bytes; position is where the last call ended.
func (c *converted) ReadAt(p []byte, position int64) (n int, err error) {
	if position != c.sent {
		return 0, fmt.Errorf("converted records are read at %d after %d", position, c.sent)
	}
	for n < len(p) {
		if len(c.piece) == 0 {
			if c.sent == c.size {
				return n, io.EOF
			}
			if err := c.nextPiece(); err != nil {
				return n, err
			}
		}
		take := copy(p[n:], c.piece[:min(int64(len(c.piece)), c.size-c.sent)])
		if take == 0 && len(p) > n {
			return n, io.EOF // more was converted than was announced
		}
		c.piece = c.piece[take:]
		c.sent += int64(take)
		n += take
	}
	return n, nil
}

// nextPiece converts on, or fills.
func (c *converted) nextPiece() (err error) {
	for !c.over {
		if c.piece, err = c.down.Next(); err != nil || len(c.piece) > 0 {
			return err
		}
		b, err := c.nextBatch()
		if err != nil {
			return err
		}
		if b == nil {
			c.over = true
			break
		}
		if err := c.down.Begin(b); errors.Is(err, record.ErrZstd) {
			c.over = true // told when the client asks for it
		} else if err != nil {
			return err
		}
	}
	c.fill(c.size - c.sent)
	return nil
}

// fill makes the beginning of a batch that is longer than what is left.
func (c *converted) fill(left int64) {
	length := int(max(fillMin, min(left+1, chunkSize)))
	if cap(c.buf) < length {
		c.giveBack()
		c.buf = wire.GetBuffer(length)
	}
	c.buf = c.buf[:length]
	clear(c.buf)
	binary.BigEndian.PutUint64(c.buf, ^uint64(0))
	binary.BigEndian.PutUint32(c.buf[8:], uint32(max(left+1, record.HeaderSize)))
	c.piece = c.buf
}
