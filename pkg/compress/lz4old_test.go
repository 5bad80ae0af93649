package compress

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestShortXXHash32(t *testing.T) {
	for text, want := range map[string]uint32{"": 0x02cc5d05, "a": 0x550d7456, "abc": 0x32d153ff} {
		require.Equal(t, want, shortXXHash32([]byte(text)), text)
	}
}

func readOld(frame []byte) ([]byte, error) {
	r, err := NewOldReader(LZ4, frame)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// A frame that a Java broker wrote into a message of format 0.
func TestTheWrongHeaderOfFormat0(t *testing.T) {
	frame, err := hex.DecodeString("04224d1860401a3b000000160001005130721b1d740f008f026b31000000206101000c012c00ff020000010000002e507c0b2d0000ffffffff3a00011662010050626262626200000000")
	require.NoError(t, err)
	_, err = Decompress(LZ4, nil, frame, 1<<20)
	require.ErrorIs(t, err, ErrCorrupt, "the checksum is wrong")

	out, err := readOld(frame)
	require.NoError(t, err)
	require.Contains(t, string(out), strings.Repeat("a", 32))
	require.EqualValues(t, 0x1a, frame[6], "what is given stays as it is")

	ours, err := Compress(LZ4, nil, out)
	require.NoError(t, err)
	WrongLZ4Header(ours)
	require.Equal(t, frame[:7], ours[:7])
	again, err := readOld(ours)
	require.NoError(t, err)
	require.Equal(t, out, again)
	for n := range 7 {
		_, err := readOld(frame[:n])
		if n > 0 {
			require.ErrorIs(t, err, ErrCorrupt, "%d bytes are no whole header", n)
		}
		WrongLZ4Header(slices.Clone(frame[:n]))
	}
}

// A frame with a content size has its checksum eight bytes further on.
func TestAFrameOfFormat0WithContentSize(t *testing.T) {
	plain, err := Compress(LZ4, nil, []byte("hello, hello, hello"))
	require.NoError(t, err)
	sized := append([]byte(nil), plain[:6]...)
	sized[4] |= 0x08
	sized = binary.LittleEndian.AppendUint64(sized, 19)
	sized = append(append(sized, 0), plain[7:]...)
	out, err := readOld(sized)
	require.NoError(t, err)
	require.Equal(t, "hello, hello, hello", string(out))
}

// What is written piece by piece reads as what is written at once.
func TestWriter(t *testing.T) {
	sample := samples()["text"]
	for _, codec := range codecs {
		for _, piece := range []int{1 << 20, 70_000, 1000, 7} {
			w, err := NewWriter(codec, []byte("before"))
			require.NoError(t, err)
			for rest := sample; len(rest) > 0; {
				n := min(piece, len(rest))
				_, err := w.Write(rest[:n])
				require.NoError(t, err)
				rest = rest[n:]
			}
			packed, err := w.Close()
			require.NoError(t, err)
			require.Equal(t, "before", string(packed[:6]))
			got, err := Decompress(codec, nil, packed[6:], len(sample))
			require.NoError(t, err)
			require.True(t, bytes.Equal(sample, got), "%s by %d", codec, piece)
		}
	}
	_, err := NewWriter(7, nil)
	require.Error(t, err)
}

// A frame that is made at once is one that a Writer makes.
func TestLZ4FramesAreThoseOfTheWriter(t *testing.T) {
	for name, sample := range samples() {
		at := func(pieces ...[]byte) []byte {
			w, err := NewWriter(LZ4, nil)
			require.NoError(t, err)
			for _, p := range pieces {
				_, err = w.Write(p)
				require.NoError(t, err)
			}
			frame, err := w.Close()
			require.NoError(t, err)
			return frame
		}
		once, err := Compress(LZ4, nil, sample)
		require.NoError(t, err)
		require.True(t, bytes.Equal(at(sample), once), "%s: %d bytes, by the writer %d", name, len(once), len(at(sample)))
	}
}
