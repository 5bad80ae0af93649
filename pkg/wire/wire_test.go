package wire

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestBuffersHaveTheLengthAskedFor(t *testing.T) {
	for _, n := range []int{0, 1, 4096, 4097, 65536, 1 << 22, 1<<22 + 1} {
		b := GetBuffer(n)
		require.Len(t, b, n)
		if n <= 1<<22 {
			require.Zero(t, cap(b)&(cap(b)-1), "capacity %d is a class", cap(b))
		}
		PutBuffer(b)
	}
	PutBuffer(nil)
	PutBuffer(make([]byte, 5000))
}

func TestReleaseGivesEveryRegionBack(t *testing.T) {
	released := 0
	region := func() *FileRegion { return &FileRegion{Release: func() { released++ }} }
	a := Answer{Chunks: []Chunk{{Bytes: []byte("x")}, {Region: region()}, {Region: &FileRegion{}}, {Region: region()}}}
	a.Release()
	require.Equal(t, 2, released)
}

func TestChunkSize(t *testing.T) {
	require.EqualValues(t, 3, Chunk{Bytes: []byte("abc")}.Size())
	require.EqualValues(t, 9, Chunk{Region: &FileRegion{Length: 9}}.Size())
}
