package record

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"gregor/pkg/compress"
)

func downgraded(t testing.TB, to int8, from int64, batches ...Any) []byte {
	d := NewDowngrade(to, from, 1<<24)
	defer d.Close()
	var out []byte
	for _, b := range batches {
		want, ok, err := d.PlainSize(b)
		require.NoError(t, err)
		require.NoError(t, d.Begin(b))
		start := len(out)
		for {
			piece, err := d.Next()
			require.NoError(t, err)
			if len(piece) == 0 {
				break
			}
			out = append(out, piece...)
		}
		if ok {
			require.EqualValues(t, want, len(out)-start)
		}
	}
	return out
}

func newBatch(t testing.TB, codec compress.Codec, base int64, count int, change func(*Builder)) Any {
	b := NewBuilder(codec)
	b.BaseOffset = base
	if change != nil {
		change(b)
	}
	for i := range count {
		b.Append(100+int64(i), []byte("key"), bytes.Repeat([]byte{'v'}, 10+i), Header{Key: []byte("h"), Value: []byte("lost")})
	}
	batch, err := b.Build()
	require.NoError(t, err)
	return Any(batch)
}

func TestDowngrade(t *testing.T) {
	for to := range int8(2) {
		for _, codec := range oldCodecs {
			batch := newBatch(t, codec, 1000, 200, nil)
			got := flatten(t, downgraded(t, to, 0, batch))
			require.Len(t, got, 200)
			for i, f := range got {
				want := flat{offset: 1000 + int64(i), timestamp: 100 + int64(i), key: "key", value: string(bytes.Repeat([]byte{'v'}, 10+i))}
				if to == 0 {
					want.timestamp = NoTimestamp
				}
				require.Equal(t, want, f, "to %d %s", to, codec)
			}
		}
	}
}

func TestDowngradeLeavesOutWhatWasNotAskedFor(t *testing.T) {
	require.Len(t, flatten(t, downgraded(t, 1, 1150, newBatch(t, compress.None, 1000, 200, nil))), 50)
	require.Len(t, flatten(t, downgraded(t, 1, 1150, newBatch(t, compress.Gzip, 1000, 200, nil))), 200, "all of a compressed batch")
	require.Empty(t, downgraded(t, 1, 1200, newBatch(t, compress.None, 1000, 200, nil)))
	require.Empty(t, downgraded(t, 1, 0, Any(NewEndTxnMarker(EndTxnMarker{}, 1, 0, 5))), "a marker")
	d := NewDowngrade(0, 0, 1<<20)
	require.ErrorIs(t, d.Begin(newBatch(t, compress.Zstd, 0, 1, nil)), ErrZstd)
}

func TestDowngradeKeepsWhatIsOldEnough(t *testing.T) {
	v1 := Any(buildCaptured(t, 1, compress.LZ4, 70))
	require.Equal(t, []byte(v1), downgraded(t, 1, 0, v1))
	require.Equal(t, flatten(t, buildCaptured(t, 0, compress.LZ4, 70)), flatten(t, downgraded(t, 0, 0, v1)))
	for _, m := range oldMessages(t, buildCaptured(t, 1, compress.None, 70)) {
		require.Len(t, flatten(t, downgraded(t, 0, 0, Any(m))), 1)
	}
}

func TestDowngradeOfAppendTime(t *testing.T) {
	for _, codec := range oldCodecs {
		batch := newBatch(t, codec, 5, 3, func(b *Builder) { b.SetLogAppendTime(777) })
		set := downgraded(t, 1, 0, batch)
		first, _, err := SplitAny(set)
		require.NoError(t, err)
		require.True(t, first.LogAppendTime())
		for _, f := range flatten(t, set) {
			require.EqualValues(t, 777, f.timestamp)
		}
	}
}

// What is lost on the way down stays lost, everything else comes back.
func FuzzDowngrade(f *testing.F) {
	for _, text := range oldCaptured {
		f.Add(unhex(f, text), int64(0))
	}
	for _, codec := range []compress.Codec{compress.None, compress.Gzip, compress.Zstd} {
		f.Add([]byte(newBatch(f, codec, 3, 4, nil)), int64(5))
	}
	f.Fuzz(func(t *testing.T, data []byte, from int64) {
		const limit = 1 << 16
		for to := range int8(2) {
			d := NewDowngrade(to, from, limit)
			for rest := data; ; {
				b, next, err := SplitAny(rest)
				if err != nil {
					break
				}
				size, plain, _ := d.PlainSize(b)
				total := int64(0)
				if d.Begin(b) == nil {
					piece, err := d.Next()
					for ; err == nil && len(piece) > 0; piece, err = d.Next() {
						total += int64(len(piece))
					}
					if plain && err == nil {
						require.Equal(t, size, total)
					}
				}
				rest = next
			}
			d.Close()
		}
	})
}

func BenchmarkDowngrade(b *testing.B) {
	for _, codec := range oldCodecs {
		batch := NewBuilder(codec)
		for i := range 160 {
			batch.Append(int64(i), nil, bytes.Repeat([]byte{byte(i)}, 100))
		}
		built := Any(batch.MustBuild())
		b.Run(codec.String(), func(b *testing.B) {
			b.SetBytes(160 * 100)
			b.ReportAllocs()
			d := NewDowngrade(1, 0, 1<<20)
			for b.Loop() {
				if err := d.Begin(built); err != nil {
					b.Fatal(err)
				}
				for {
					piece, err := d.Next()
					if err != nil {
						b.Fatal(err)
					}
					if len(piece) == 0 {
						break
					}
				}
			}
		})
	}
}
