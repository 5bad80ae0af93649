package commitlog

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"gregor/pkg/compress"
	"gregor/pkg/record"
	"gregor/pkg/vfs"
)

// benchBatch has n records of 100 bytes.
func benchBatch(n int) record.Batch {
	b := record.NewBuilder(compress.None)
	for range n {
		b.Append(baseTime, nil, make([]byte, 100))
	}
	return b.MustBuild()
}

func openDisk(tb testing.TB) *Log {
	cfg := testConfig(vfs.OS)
	cfg.Dir = filepath.Join(tb.TempDir(), "t-0")
	return openTest(tb, cfg)
}

// resend gives a stamped batch the base offset that a producer sends.
func resend(b record.Batch) record.Batch {
	b.SetBaseOffset(0)
	return b
}

func TestAppendAllocatesNothing(t *testing.T) {
	for name, batch := range map[string]record.Batch{"plain": benchBatch(10), "idempotent": produced(5, 0, 0, 10).MustBuild()} {
		l := openDisk(t)
		_, err := l.AppendAsLeader(resend(batch), 0, OriginClient)
		require.NoError(t, err)
		allocs := testing.AllocsPerRun(200, func() {
			if _, err := l.AppendAsLeader(resend(batch), 0, OriginClient); err != nil {
				t.Fatal(err)
			}
			l.SetHighWatermark(l.LogEndOffset())
		})
		// An index entry now and then; no record, batch or call costs one.
		require.Less(t, allocs, 1.0, name)
	}
}

func TestReadAllocatesNothing(t *testing.T) {
	l := openDisk(t)
	for range 100 {
		appendTest(t, l, resend(benchBatch(10)))
	}
	offset := int64(0)
	require.Zero(t, testing.AllocsPerRun(500, func() {
		offset = (offset + 137) % 1000
		info, err := l.Read(offset, 1<<16, HighWatermark, true)
		if err != nil || info.Records.Length == 0 {
			t.Fatal(offset, err)
		}
		info.Records.Release()
	}))
}

func BenchmarkAppend(b *testing.B) {
	batch := benchBatch(150) // some 16 KiB
	l := openDisk(b)
	b.SetBytes(int64(len(batch)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := l.AppendAsLeader(resend(batch), 0, OriginClient); err != nil {
			b.Fatal(err)
		}
		l.SetHighWatermark(l.LogEndOffset())
	}
}

func BenchmarkRead(b *testing.B) {
	l := openDisk(b)
	batch := benchBatch(150)
	for range 1000 {
		appendTest(b, l, resend(batch))
	}
	b.ReportAllocs()
	offset := int64(0)
	for b.Loop() {
		offset = (offset + 1537) % l.LogEndOffset()
		info, err := l.Read(offset, 1<<20, HighWatermark, true)
		if err != nil {
			b.Fatal(err)
		}
		info.Records.Release()
	}
}
