package compress

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// Message format 0 has lz4 frames whose header checksum is wrong: early Java
// clients computed it over the magic number too. Readers of that format do not
// look at it; a broker that writes the format makes the same mistake.
//
//	0  4  magic number 04 22 4D 18
//	4  1  flags: bit 3 says that a content size of 8 bytes follows
//	5  1  block size
//	6  8  content size, if there is one
//	.  1  second byte of xxHash32 over what is between magic and here
const (
	lz4FlagsAt     = 4
	lz4SizeBit     = 0x08
	lz4HeaderShort = 7
)

// lz4Head is the header of a frame with the checksum that every reader
// expects.
type lz4Head struct {
	in    bytes.Reader
	bytes [lz4HeaderShort + 8]byte
}

// correct takes over the header of a frame and returns its length, 0 when the
// frame has no whole header: then the reader will refuse it.
func (h *lz4Head) correct(frame []byte) int {
	h.in.Reset(nil)
	n := lz4HeaderShort
	if len(frame) > lz4FlagsAt && frame[lz4FlagsAt]&lz4SizeBit != 0 {
		n += 8
	}
	if len(frame) < n {
		return 0
	}
	copy(h.bytes[:], frame[:n])
	h.bytes[n-1] = byte(shortXXHash32(frame[lz4FlagsAt:n-1]) >> 8)
	h.in.Reset(h.bytes[:n])
	return n
}

// WrongLZ4Header gives a frame that Compress or a Writer made the header
// checksum of message format 0, in place.
func WrongLZ4Header(frame []byte) {
	if len(frame) >= lz4HeaderShort {
		frame[lz4HeaderShort-1] = byte(shortXXHash32(frame[:lz4HeaderShort-1]) >> 8)
	}
}

// shortXXHash32 is xxHash32 with seed 0 of fewer than 16 bytes.
func shortXXHash32(b []byte) uint32 {
	const p1, p2, p3, p4, p5 = 2654435761, 2246822519, 3266489917, 668265263, 374761393
	h := p5 + uint32(len(b))
	for ; len(b) >= 4; b = b[4:] {
		h = bits.RotateLeft32(h+binary.LittleEndian.Uint32(b)*p3, 17) * p4
	}
	for _, c := range b {
		h = bits.RotateLeft32(h+uint32(c)*p5, 11) * p1
	}
	h = (h ^ h>>15) * p2
	h = (h ^ h>>13) * p3
	return h ^ h>>16
}
