package wire

import (
	"math/bits"
	"sync"
)

// Buffers are pooled by powers of two from 4 KiB to 4 MiB. Larger ones are
// rare and left to the garbage collector.
const (
	smallestBits = 12
	largestBits  = 22
)

var pools [largestBits - smallestBits + 1]sync.Pool

// GetBuffer returns a slice of length n whose contents are arbitrary. Give it
// back with PutBuffer when nobody holds a slice of it.
func GetBuffer(n int) []byte {
	class := classFor(n)
	if class < 0 {
		return make([]byte, n)
	}
	if p, ok := pools[class].Get().(*[]byte); ok {
		return (*p)[:n]
	}
	return make([]byte, n, 1<<(class+smallestBits))
}

// PutBuffer gives a buffer of GetBuffer back. Other slices are ignored unless
// their capacity is that of a class.
func PutBuffer(b []byte) {
	c := cap(b)
	if c < 1<<smallestBits || c > 1<<largestBits || c&(c-1) != 0 {
		return
	}
	b = b[:0]
	pools[bits.Len(uint(c))-1-smallestBits].Put(&b)
}

// classFor is the smallest class that holds n bytes, -1 when none does.
func classFor(n int) int {
	if n > 1<<largestBits {
		return -1
	}
	if n <= 1<<smallestBits {
		return 0
	}
	return bits.Len(uint(n-1)) - smallestBits
}
