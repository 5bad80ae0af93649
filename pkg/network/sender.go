package network

import (
	"encoding/binary"
	"fmt"
	"net"

	"gregor/pkg/protocol"
	"gregor/pkg/wire"
)

// copyLimit is the region size below which one read and one write are
// cheaper than a sendfile of its own.
const copyLimit = 16 << 10

// sender writes the answers of one connection.
type sender struct {
	tcp  *net.TCPConn
	head []byte      // length and response header, reused
	run  net.Buffers // bytes waiting for one writev
	lent [][]byte    // pooled buffers inside run
}

// send writes the response header and the chunks, and releases every region,
// also when it fails.
//
// Hot path: no allocation once head and run have grown.
func (s *sender) send(h wire.Header, a wire.Answer) error {
	defer a.Release()
	s.head = protocol.AppendResponseHeader(append(s.head[:0], 0, 0, 0, 0), h)
	size := int64(len(s.head) - 4)
	for _, c := range a.Chunks {
		size += c.Size()
	}
	if size > 1<<31-1 {
		return fmt.Errorf("an answer of %d bytes does not fit in a frame", size)
	}
	binary.BigEndian.PutUint32(s.head, uint32(size))
	s.run = append(s.run[:0], s.head)
	for _, c := range a.Chunks {
		if err := s.add(c); err != nil {
			return err
		}
	}
	return s.flush()
}

func (s *sender) add(c wire.Chunk) error {
	switch {
	case c.Region == nil:
		if len(c.Bytes) > 0 {
			s.run = append(s.run, c.Bytes)
		}
		return nil
	case c.Region.Length == 0:
		return nil
	case c.Region.Length <= copyLimit || !canSendfile(c.Region.File):
		return s.copy(c.Region)
	}
	if err := s.flushMore(); err != nil {
		return err
	}
	return sendfile(s.tcp, c.Region)
}

// copy reads a region through memory, in pieces that bound it.
func (s *sender) copy(region *wire.FileRegion) error {
	const piece = 256 << 10
	for done := int64(0); done < region.Length; {
		n := min(region.Length-done, piece)
		buffer := wire.GetBuffer(int(n))
		s.lent = append(s.lent, buffer)
		if got, err := region.File.ReadAt(buffer, region.Position+done); got < len(buffer) {
			return fmt.Errorf("read of %d bytes at %d gave %d: %w", n, region.Position+done, got, err)
		}
		s.run = append(s.run, buffer)
		if done += n; done < region.Length {
			if err := s.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// flush writes what has been collected with one writev.
func (s *sender) flush() error {
	return s.write(false)
}

// flushMore is flush when more follows at once, so that the header need not
// travel in a packet of its own.
func (s *sender) flushMore() error {
	return s.write(true)
}

func (s *sender) write(more bool) error {
	if len(s.run) == 0 {
		return nil
	}
	err := writeBuffers(s.tcp, s.run, more)
	for _, buffer := range s.lent {
		wire.PutBuffer(buffer)
	}
	clear(s.run[:cap(s.run)])
	s.run, s.lent = s.run[:0], s.lent[:0]
	return err
}
