package commitlog

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gregor/pkg/compress"
	"gregor/pkg/kerr"
	"gregor/pkg/model"
	"gregor/pkg/record"
	"gregor/pkg/vfs"
)

var testPartition = model.TopicPartition{Topic: "t", Partition: 0}

// testConfig is a log in memory whose deferred work is done at once.
func testConfig(fs vfs.FS) Config {
	cfg := Config{FS: fs, Dir: "/data/t-0", Partition: testPartition, Options: DefaultOptions(), CleanShutdown: true}
	if fs != vfs.OS {
		cfg.Options.SegmentIndexBytes = 12 << 10 // files in memory have no holes
	}
	return cfg
}

func openTest(t testing.TB, cfg Config) *Log {
	t.Helper()
	l, err := Open(cfg)
	require.NoError(t, err)
	return l
}

const baseTime = int64(1600000000000)

// batchOf is one batch of records with the values, a millisecond apart.
func batchOf(values ...string) record.Batch {
	b := record.NewBuilder(compress.None)
	for i, v := range values {
		b.Append(baseTime+int64(i), []byte("k"), []byte(v))
	}
	return b.MustBuild()
}

func appendTest(t testing.TB, l *Log, batch record.Batch) AppendInfo {
	t.Helper()
	info, err := l.AppendAsLeader(batch, 0, OriginClient)
	require.NoError(t, err)
	l.SetHighWatermark(l.LogEndOffset())
	return info
}

// readValues reads everything from an offset to the high watermark.
func readValues(t testing.TB, l *Log, offset int64) (values []string, next int64) {
	t.Helper()
	for {
		info, err := l.Read(offset, 1<<20, HighWatermark, true)
		require.NoError(t, err)
		if info.Records.Length == 0 {
			return values, offset
		}
		data := make([]byte, info.Records.Length)
		require.NoError(t, readAll(info.Records.File, data, info.Records.Position))
		info.Records.Release()
		for len(data) > 0 {
			batch, rest, err := record.Split(data)
			require.NoError(t, err)
			require.True(t, batch.Valid())
			records := batch.Records(1 << 20)
			for records.Next() {
				if r := records.Record(); r.Offset >= offset {
					require.Equal(t, offset, r.Offset)
					values = append(values, string(r.Value))
					offset++
				}
			}
			require.NoError(t, records.Err())
			records.Close()
			data = rest
		}
	}
}

func TestAppendReadReopen(t *testing.T) {
	for name, fs := range map[string]vfs.FS{"memory": vfs.NewMem(), "disk": vfs.OS} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig(fs)
			cfg.Options.SegmentBytes = 300
			if fs == vfs.OS {
				cfg.Dir = t.TempDir() + "/t-0"
			}
			l := openTest(t, cfg)
			require.NoError(t, l.AssignEpochStart(0, 0))
			info := appendTest(t, l, batchOf("a", "b"))
			require.EqualValues(t, 0, info.FirstOffset)
			require.EqualValues(t, 1, info.LastOffset)
			var want []string
			want = append(want, "a", "b")
			for i := range 20 {
				v := string(rune('c' + i))
				appendTest(t, l, batchOf(v))
				want = append(want, v)
			}
			got, next := readValues(t, l, 0)
			require.Equal(t, want, got)
			require.EqualValues(t, 22, next)
			require.Greater(t, l.Segments(), 3)
			require.NoError(t, l.Flush())
			require.NoError(t, l.Close())

			l = openTest(t, cfg)
			require.EqualValues(t, 22, l.LogEndOffset())
			l.SetHighWatermark(22)
			got, _ = readValues(t, l, 7)
			require.Equal(t, want[7:], got)
			require.NoError(t, l.Close())

			cfg.CleanShutdown = false
			l = openTest(t, cfg)
			l.SetHighWatermark(22)
			got, _ = readValues(t, l, 0)
			require.Equal(t, want, got)
			_, err := l.Read(23, 100, HighWatermark, true)
			require.ErrorIs(t, err, kerr.OffsetOutOfRange)
			n, err := l.DeleteOldSegments(time.Now())
			require.NoError(t, err)
			require.Greater(t, n, 3)
			require.EqualValues(t, 22, l.LogStartOffset())
			require.NoError(t, l.Close())
		})
	}
}
