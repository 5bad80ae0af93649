package logcleaner

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"gregor/pkg/commitlog"
	"gregor/pkg/compress"
	"gregor/pkg/record"
	"gregor/pkg/vfs"
)

// fill appends batches of 100 records of 100 bytes with random keys.
func fill(b *testing.B, l *commitlog.Log, codec compress.Codec, records, keys int) {
	b.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	value := make([]byte, 80)
	for range records / 100 {
		batch := record.NewBuilder(codec)
		for i := range 100 {
			binary.BigEndian.PutUint64(value, random.Uint64())
			batch.Append(baseTime+int64(i), fmt.Appendf(nil, "key-%09d", random.IntN(keys)), value)
		}
		_, err := l.AppendAsLeader(batch.MustBuild(), 0, commitlog.OriginClient)
		require.NoError(b, err)
	}
	l.SetHighWatermark(l.LogEndOffset())
	roll(b, l)
}

// BenchmarkClean compacts a log of a million records.
func BenchmarkClean(b *testing.B) {
	for _, c := range []struct {
		name  string
		codec compress.Codec
		keys  int
	}{{"plain, 10k keys", compress.None, 10_000}, {"plain, 1M keys", compress.None, 1_000_000}, {"lz4, 100k keys", compress.LZ4, 100_000}} {
		b.Run(c.name, func(b *testing.B) {
			cfg := testLogConfig(vfs.OS)
			cfg.Options.SegmentIndexBytes = 10 << 20
			for b.Loop() {
				b.StopTimer()
				cfg.Dir = b.TempDir() + "/t-0"
				l := openLog(b, cfg)
				fill(b, l, c.codec, 1_000_000, c.keys)
				size := l.Size()
				b.SetBytes(size)
				w := newWorker(0, DefaultConfig(), New(DefaultConfig(), newShelf(), nil).log, new(throttle))
				found, err := candidate(l, -1, 0, 0, func(string, ...any) {})
				require.NoError(b, err)
				b.StartTimer()
				_, stats, err := w.clean(b.Context(), found)
				require.NoError(b, err)
				b.StopTimer()
				require.EqualValues(b, 1_000_000, stats.MessagesRead)
				require.NoError(b, l.Delete())
				b.StartTimer()
			}
		})
	}
}
