package compress

import (
	"bytes"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/klauspost/compress/snappy"
	"github.com/stretchr/testify/require"
)

var codecs = []Codec{None, Gzip, Snappy, LZ4, Zstd}

func samples() map[string][]byte {
	r := rand.New(rand.NewPCG(1, 2))
	random := make([]byte, 100_000)
	for i := range random {
		random[i] = byte(r.Uint32())
	}
	return map[string][]byte{
		"empty": {}, "one": {7}, "random": random,
		"text": bytes.Repeat([]byte("the quick brown fox "), 20_000),
	}
}

func TestRoundTrip(t *testing.T) {
	for name, sample := range samples() {
		for _, codec := range codecs {
			t.Run(name+" "+codec.String(), func(t *testing.T) {
				packed, err := Compress(codec, []byte("before"), sample)
				require.NoError(t, err)
				require.Equal(t, "before", string(packed[:6]))
				got, err := Decompress(codec, []byte("x"), packed[6:], len(sample))
				require.NoError(t, err)
				require.Equal(t, "x", string(got[:1]))
				require.True(t, bytes.Equal(sample, got[1:]))
				if len(sample) > 0 {
					_, err = Decompress(codec, nil, packed[6:], len(sample)-1)
					require.ErrorIs(t, err, ErrTooLarge)
				}
			})
		}
	}
}

func TestRawSnappy(t *testing.T) {
	sample := samples()["text"]
	got, err := Decompress(Snappy, nil, snappy.Encode(nil, sample), len(sample))
	require.NoError(t, err)
	require.True(t, bytes.Equal(sample, got))
}

func TestFramesAreThoseOfJava(t *testing.T) {
	packed, err := Compress(LZ4, nil, []byte("aaaaaaaa"))
	require.NoError(t, err)
	require.Equal(t, []byte{0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82}, packed[:7], "64 KiB independent blocks, no checksums")
	packed, err = Compress(Snappy, nil, []byte("aaaaaaaa"))
	require.NoError(t, err)
	require.Equal(t, "\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01", string(packed[:16]))
}

func TestNames(t *testing.T) {
	for _, codec := range codecs {
		parsed, ok := ParseCodec(codec.String())
		require.True(t, ok)
		require.Equal(t, codec, parsed)
	}
	parsed, ok := ParseCodec("uncompressed")
	require.True(t, ok)
	require.Equal(t, None, parsed)
	_, ok = ParseCodec("producer")
	require.False(t, ok)
	require.Equal(t, "unknown codec 5", Codec(5).String())
	_, err := NewReader(6, nil)
	require.ErrorIs(t, err, ErrCorrupt)
	_, err = Compress(6, nil, nil)
	require.Error(t, err)
}

func TestDamageIsAnError(t *testing.T) {
	for _, codec := range codecs[1:] {
		packed, err := Compress(codec, nil, samples()["text"])
		require.NoError(t, err)
		for _, cut := range []int{1, len(packed) / 2, len(packed) - 1} {
			if codec == LZ4 && cut == len(packed)-1 {
				continue // a cut end mark is noticed by some versions only
			}
			got, err := Decompress(codec, nil, packed[:cut], 1<<30)
			if err == nil {
				require.NotEqual(t, samples()["text"], got, "%s cut to %d", codec, cut)
			}
		}
		_, err = Decompress(codec, nil, []byte("this is nothing that was compressed"), 1<<30)
		require.ErrorIs(t, err, ErrCorrupt, codec.String())
	}
}

// A small input that unpacks to a great deal is read in constant memory.
func TestBombs(t *testing.T) {
	const size = 48 << 20
	zeros := make([]byte, size)
	for _, codec := range codecs[1:] {
		packed, err := Compress(codec, nil, zeros)
		require.NoError(t, err)
		r, err := NewReader(codec, packed)
		require.NoError(t, err)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{r}, make([]byte, 32<<10))
		runtime.ReadMemStats(&after)
		r.Close()
		require.NoError(t, err)
		require.EqualValues(t, size, n)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(16<<20), codec.String())
		_, err = Decompress(codec, nil, packed, 1<<20)
		require.ErrorIs(t, err, ErrTooLarge)
	}
}

func TestSnappyBlockThatLies(t *testing.T) {
	// A block of a few bytes that claims four gigabytes.
	_, err := Decompress(Snappy, nil, []byte{0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0}, 1<<20)
	require.ErrorIs(t, err, ErrCorrupt)
}

func FuzzDecompress(f *testing.F) {
	for _, codec := range codecs {
		packed, err := Compress(codec, nil, []byte("hello, hello, hello, hello"))
		require.NoError(f, err)
		f.Add(int8(codec), packed)
	}
	f.Fuzz(func(t *testing.T, codec int8, data []byte) {
		const limit = 1 << 20
		got, err := Decompress(Codec(codec), nil, data, limit)
		require.LessOrEqual(t, len(got), limit)
		if err != nil {
			require.Empty(t, got)
			return
		}
		packed, err := Compress(Codec(codec), nil, got)
		require.NoError(t, err)
		again, err := Decompress(Codec(codec), nil, packed, limit)
		require.NoError(t, err)
		require.True(t, bytes.Equal(got, again))
	})
}
