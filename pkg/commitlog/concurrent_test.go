package commitlog

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gregor/pkg/kerr"
	"gregor/pkg/record"
	"gregor/pkg/vfs"
)

// Readers go on while a writer appends and rolls, and retention, flushing and
// the closing of idle files run beside them.
func TestReadersAndWriterAtOnce(t *testing.T) {
	cfg := testConfig(vfs.OS)
	cfg.Dir = filepath.Join(t.TempDir(), "t-0")
	cfg.Options.SegmentBytes, cfg.Options.IndexIntervalBytes = 2000, 100
	cfg.After = func(_ time.Duration, f func()) { f() }
	l := openTest(t, cfg)
	const total = 600
	var stop atomic.Bool
	var wait sync.WaitGroup
	run := func(f func()) {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for !stop.Load() {
				f()
			}
		}()
	}
	for range 3 {
		run(func() {
			for offset := l.LogStartOffset(); !stop.Load(); {
				info, err := l.Read(offset, 3000, HighWatermark, true)
				if errors.Is(err, kerr.OffsetOutOfRange) {
					offset = l.LogStartOffset()
					continue
				}
				if err != nil || info.Records.Length == 0 {
					if err != nil {
						t.Errorf("read at %d: %v", offset, err)
					}
					return
				}
				data := make([]byte, info.Records.Length)
				if err := readAll(info.Records.File, data, info.Records.Position); err != nil {
					t.Errorf("region at %d: %v", offset, err)
				}
				info.Records.Release()
				for batch, rest, err := record.Split(data); err == nil; batch, rest, err = record.Split(rest) {
					if !batch.Valid() {
						t.Errorf("batch at %d is torn", batch.BaseOffset())
					}
					offset = batch.NextOffset()
				}
			}
		})
	}
	run(func() { l.CloseIdleFiles() })
	run(func() { l.OffsetForTimestamp(baseTime + 1) })
	run(func() {
		if start := l.HighWatermark() - 400; start > l.LogStartOffset() {
			if err := l.IncrementLogStartOffset(start, "client delete records request"); err != nil {
				t.Error(err)
			}
			if _, err := l.DeleteOldSegments(time.UnixMilli(baseTime)); err != nil {
				t.Error(err)
			}
		}
		if err := l.Flush(); err != nil {
			t.Error(err)
		}
	})
	for i := range total {
		appendTest(t, l, batchOf(fmt.Sprint(i)))
	}
	stop.Store(true)
	wait.Wait()
	require.EqualValues(t, total, l.LogEndOffset())
	require.NoError(t, l.Flush())
	require.NoError(t, l.Close())
}
