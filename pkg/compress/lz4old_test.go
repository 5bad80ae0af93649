package compress

import (
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestShortXXHash32(t *testing.T) {
	for text, want := range map[string]uint32{"": 0x02cc5d05, "a": 0x550d7456, "abc": 0x32d153ff} {
		require.Equal(t, want, shortXXHash32([]byte(text)), text)
	}
}

// A frame that a Java broker wrote into a message of format 0.
func TestRightLZ4Header(t *testing.T) {
	frame, err := hex.DecodeString("04224d1860401a3b000000160001005130721b1d740f008f026b31000000206101000c012c00ff020000010000002e507c0b2d0000ffffffff3a00011662010050626262626200000000")
	require.NoError(t, err)
	_, err = Decompress(LZ4, nil, frame, 1<<20)
	require.ErrorIs(t, err, ErrCorrupt, "the checksum is wrong")
	right := RightLZ4Header(frame)
	require.EqualValues(t, 0x1a, frame[6], "what is given stays as it is")
	require.EqualValues(t, 0x82, right[6])
	out, err := Decompress(LZ4, nil, right, 1<<20)
	require.NoError(t, err)
	require.Contains(t, string(out), strings.Repeat("a", 32))

	for n := range 7 {
		require.Equal(t, frame[:n], RightLZ4Header(frame[:n]), "no whole header")
	}
}

// A frame with a content size has its checksum eight bytes further on.
func TestRightLZ4HeaderWithContentSize(t *testing.T) {
	plain, err := Compress(LZ4, nil, []byte("hello, hello, hello"))
	require.NoError(t, err)
	sized := append([]byte(nil), plain[:6]...)
	sized[4] |= 0x08
	sized = binary.LittleEndian.AppendUint64(sized, 19)
	sized = append(append(sized, 0), plain[7:]...)
	out, err := Decompress(LZ4, nil, RightLZ4Header(sized), 1<<20)
	require.NoError(t, err)
	require.Equal(t, "hello, hello, hello", string(out))
}
