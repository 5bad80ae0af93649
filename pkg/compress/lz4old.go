package compress

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// Message format 0 has lz4 frames whose header checksum is wrong: early Java
// clients computed it over the magic number too. RightLZ4Header returns the
// frame with the checksum that every reader expects; what is no whole header
// comes back as it is, for the reader to refuse.
//
//	0  4  magic number 04 22 4D 18
//	4  1  flags: bit 3 says that a content size of 8 bytes follows
//	5  1  block size
//	6  8  content size, if there is one
//	.  1  second byte of xxHash32 over what is between magic and here
func RightLZ4Header(frame []byte) []byte {
	const flagsAt, contentSizeBit = 4, 0x08
	end := 6
	if len(frame) > flagsAt && frame[flagsAt]&contentSizeBit != 0 {
		end += 8
	}
	if len(frame) <= end {
		return frame
	}
	right := slices.Clone(frame)
	right[end] = byte(shortXXHash32(frame[flagsAt:end]) >> 8)
	return right
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
