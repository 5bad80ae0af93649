package record

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"gregor/pkg/compress"
)

// The captured records.
var (
	capturedFirst  = strings.Repeat("a", 32)
	capturedSecond = strings.Repeat("a", 16) + strings.Repeat("b", 16)
)

func buildCaptured(t testing.TB, magic int8, codec compress.Codec, base int64) []byte {
	set, err := NewOldBuilder(magic, codec).
		Append(base, 1600000000000, []byte("k1"), []byte(capturedFirst)).
		Append(base+1, 1600000000005, nil, []byte(capturedSecond)).Build()
	require.NoError(t, err)
	return set
}

// Plain messages are the bytes of the Java broker; of wrappers, whose
// compressor is another one, everything but the compressed block.
func TestOldBuilderWritesWhatJavaWrites(t *testing.T) {
	for name, text := range oldCaptured {
		t.Run(name, func(t *testing.T) {
			want := unhex(t, text)
			codec := compress.None
			if words := strings.Fields(name); len(words) > 1 {
				codec, _ = compress.ParseCodec(words[1])
			}
			got := buildCaptured(t, int8(name[1]-'0'), codec, 0)
			if codec == compress.None {
				require.Equal(t, want, got)
				return
			}
			ours, theirs := OldMessage(got), OldMessage(want)
			require.True(t, ours.Valid())
			require.Equal(t, theirs.Offset(), ours.Offset())
			head := oldHeaderSize(ours.Magic())
			require.Equal(t, want[magicAt:head-4], got[magicAt:head-4], "magic to the key")
			require.Equal(t, want[head:head+7], got[head:head+7], "the frame's header")
			require.Equal(t, inflate(t, theirs), inflate(t, ours), "the set within")
		})
	}
}

func inflate(t testing.TB, m OldMessage) []byte {
	set, err := openOldSet(m, 1<<20)
	require.NoError(t, err)
	defer set.close()
	return bytes.Clone(*set.whole)
}

type flat struct {
	offset, timestamp int64
	key, value        string
	null              bool
}

func flatten(t testing.TB, set []byte) (out []flat) {
	for rest := set; len(rest) > 0; {
		b, next, err := SplitAny(rest)
		require.NoError(t, err)
		require.True(t, b.Valid())
		require.NoError(t, b.Visit(1<<24, func(r *Record) error {
			out = append(out, flat{r.Offset, r.Timestamp, string(r.Key), string(r.Value), r.Key == nil})
			return nil
		}))
		rest = next
	}
	return out
}

var oldCodecs = []compress.Codec{compress.None, compress.Gzip, compress.Snappy, compress.LZ4}

func TestOldBuilderRoundTrip(t *testing.T) {
	b := NewOldBuilder(0, compress.None)
	for magic := range int8(2) {
		for _, codec := range oldCodecs {
			for _, count := range []int{1, 3, 5000} { // the last one does not fit a window
				b.Reset(magic, codec)
				var want []flat
				for i := range count {
					f := flat{offset: 1000 + 2*int64(i), timestamp: 50 + int64(i%7), value: fmt.Sprintf("%0500d", i), null: true}
					b.Append(f.offset, f.timestamp, nil, []byte(f.value))
					if magic == 0 {
						f.timestamp = NoTimestamp
					}
					want = append(want, f)
				}
				set, err := b.Build()
				require.NoError(t, err)
				require.Equal(t, want, flatten(t, set), "magic %d %s", magic, codec)
				require.Equal(t, count, b.Count())
				timestamp, at := b.MaxTimestamp()
				switch {
				case magic == 0:
					require.Equal(t, NoTimestamp, timestamp)
				case codec == compress.None:
					require.Equal(t, [2]int64{50 + int64(min(count-1, 6)), 1000 + 2*int64(min(count-1, 6))}, [2]int64{timestamp, at})
				default:
					require.Equal(t, b.LastOffset(), at)
					require.Equal(t, timestamp, OldMessage(set).Timestamp())
				}
			}
		}
	}
	b.Reset(1, compress.Gzip)
	set, err := b.Build()
	require.NoError(t, err)
	require.Empty(t, set)
}

func TestOldBuilderWithAppendTime(t *testing.T) {
	for _, codec := range oldCodecs {
		b := NewOldBuilder(1, codec)
		b.SetLogAppendTime(77)
		set, err := b.Append(10, 1, nil, []byte("a")).Append(11, 2, nil, []byte("b")).Build()
		require.NoError(t, err)
		require.Equal(t, []flat{{10, 77, "", "a", true}, {11, 77, "", "b", true}}, flatten(t, set))
		first, _, err := SplitAny(set)
		require.NoError(t, err)
		require.True(t, first.LogAppendTime())
		timestamp, at := b.MaxTimestamp()
		require.EqualValues(t, 77, timestamp)
		if codec == compress.None {
			require.EqualValues(t, 10, at, "plain messages are known by the first")
		} else {
			require.EqualValues(t, 11, at)
			m := OldMessage(set)
			inner, _, err := SplitAny(inflate(t, m))
			require.NoError(t, err)
			require.True(t, inner.LogAppendTime(), "the messages within are stamped too")
			require.EqualValues(t, 77, inner.MaxTimestamp())
		}
	}
}

func TestStampOldMessages(t *testing.T) {
	set := OldMessage(buildCaptured(t, 1, compress.LZ4, 0))
	before := bytes.Clone(set)
	set.SetTimestamp(false, set.Timestamp())
	require.Equal(t, before, []byte(set), "nothing changes")
	set.SetOffset(501)
	require.True(t, set.Valid())
	require.Equal(t, int64(500), flatten(t, set)[0].offset)
	set.SetTimestamp(true, 9)
	require.True(t, set.Valid())
	require.Equal(t, int64(9), flatten(t, set)[0].timestamp)
	require.Equal(t, compress.LZ4, set.Codec())
}

// Very old producers leave a cut message at the end of a set.
func TestASetThatEndsWithinAMessage(t *testing.T) {
	plain := buildCaptured(t, 1, compress.None, 0)
	for cut := 1; cut < 40; cut += 7 {
		b := NewOldBuilder(1, compress.Gzip)
		b.count, b.last = 1, 0
		b.packer.buf = append(b.packer.buf, plain[:len(plain)-cut]...)
		set, err := b.Build()
		require.NoError(t, err)
		require.Len(t, flatten(t, set), 1)
	}
}

func TestWrappersThatAreRefused(t *testing.T) {
	wrap := func(offset int64, inner []byte) OldMessage {
		b := NewOldBuilder(1, compress.Gzip)
		b.count, b.last = 1, offset
		b.packer.buf = append(b.packer.buf, inner...)
		set, err := b.Build()
		require.NoError(t, err)
		return set
	}
	nested := buildCaptured(t, 1, compress.Snappy, 0)
	future := bytes.Clone(buildCaptured(t, 1, compress.None, 0))
	future[magicAt] = 3
	tiny := bytes.Clone(buildCaptured(t, 1, compress.None, 0))
	tiny[lengthAt+3] = 15
	for name, m := range map[string]OldMessage{
		"empty":                    wrap(1, nil),
		"nested":                   wrap(1, nested),
		"of a format to come":      wrap(1, future),
		"too short for its format": wrap(1, tiny),
		"offset below the last":    wrap(2, buildCaptured(t, 0, compress.None, 7)),
	} {
		require.ErrorIs(t, m.Deep(1<<20, func(OldMessage, int64, int64) error { return nil }), ErrCorrupt, name)
	}
}

// A compressed message that grows without end is read in bounded memory.
func TestOldBombs(t *testing.T) {
	const size, limit = 192 << 20, 1 << 20
	for _, codec := range oldCodecs[1:] {
		w, err := compress.NewWriter(codec, nil)
		require.NoError(t, err)
		_, err = w.Write(appendOldMessage(nil, 1, 0, 1, false, nil, make([]byte, 100)))
		require.NoError(t, err)
		zeros := make([]byte, 1<<20)
		head := appendOldMessage(nil, 1, 1, 1, false, nil, nil)[:Overhead+14]
		head[lengthAt] = 0x10 // a message of 256 MiB
		_, err = w.Write(head)
		require.NoError(t, err)
		for range size >> 20 {
			_, err = w.Write(zeros)
			require.NoError(t, err)
		}
		packed, err := w.Close()
		require.NoError(t, err)
		m := OldMessage(appendOldMessage(nil, 1, 1, 1, false, nil, packed))
		m[oldAttributeAt] = byte(codec)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err = m.Deep(limit, func(OldMessage, int64, int64) error { return nil })
		runtime.ReadMemStats(&after)
		require.ErrorIs(t, err, ErrTooLarge, codec)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(2*limit+8<<20), codec)
	}
}

func TestSplitAny(t *testing.T) {
	v0, v2 := buildCaptured(t, 0, compress.None, 0), NewBuilder(compress.None).Append(1, nil, nil).MustBuild()
	set := append(bytes.Clone(v0), v2...)
	first, rest, err := SplitAny(set)
	require.NoError(t, err)
	require.True(t, first.IsOld())
	_, rest, err = SplitAny(rest)
	require.NoError(t, err)
	last, rest, err := SplitAny(rest)
	require.NoError(t, err)
	require.EqualValues(t, v2, last)
	require.Empty(t, rest)
	for n := range v0[:40] {
		_, _, err := SplitAny(v0[:n])
		require.ErrorIs(t, err, ErrShort)
	}
	for name, change := range map[string]func(b []byte){
		"no room for a message":  func(b []byte) { b[lengthAt+3] = 13 },
		"a size below nothing":   func(b []byte) { b[lengthAt] = 0xff },
		"no size at all":         func(b []byte) { copy(b[lengthAt:], []byte{0x7f, 0xff, 0xff, 0xff}) },
		"a format to come":       func(b []byte) { b[magicAt] = 3 },
		"a format below nothing": func(b []byte) { b[magicAt] = 0xff },
		"too short for format 1": func(b []byte) { b[lengthAt+3], b[magicAt] = 21, 1 },
		"too short for format 2": func(b []byte) { b[lengthAt+3], b[magicAt] = 24, 2 },
	} {
		b := bytes.Clone(v0)
		change(b)
		_, _, err := SplitAny(b)
		require.ErrorIs(t, err, ErrCorrupt, name)
	}
}

func FuzzSplitAny(f *testing.F) {
	for _, text := range oldCaptured {
		f.Add(unhex(f, text))
	}
	f.Add([]byte(NewBuilder(compress.LZ4).Append(1, nil, []byte("v")).MustBuild()))
	f.Fuzz(func(t *testing.T, data []byte) {
		for rest := data; ; {
			b, next, err := SplitAny(rest)
			if err != nil {
				return
			}
			_, _, _, _, _ = b.LastOffset(), b.MaxTimestamp(), b.Control(), b.CRC(), b.Valid()
			_ = b.Visit(1<<16, func(r *Record) error {
				require.LessOrEqual(t, len(r.Key)+len(r.Value), max(1<<16, len(b)))
				return nil
			})
			rest = next
		}
	})
}
