package commitlog

import (
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"gregor/pkg/vfs"
)

// countingFS counts the files that are open.
type countingFS struct {
	vfs.FS
	open atomic.Int64
}

type countedFile struct {
	vfs.File
	open *atomic.Int64
}

func (c *countingFS) OpenFile(name string, flag int, perm fs.FileMode) (vfs.File, error) {
	f, err := c.FS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	c.open.Add(1)
	return &countedFile{f, &c.open}, nil
}

func (f *countedFile) Close() error {
	f.open.Add(-1)
	return f.File.Close()
}

func TestALogThatNobodyUsesHoldsNoDescriptor(t *testing.T) {
	counting := &countingFS{FS: vfs.NewMem()}
	l := openTest(t, testConfig(counting))
	require.Zero(t, counting.open.Load(), "new")
	appendTest(t, l, batchOf("a"))
	for range 2 { // the first call takes back the mark of use
		l.CloseIdleFiles()
	}
	require.Zero(t, counting.open.Load(), "idle")
	appendTest(t, l, batchOf("b"))
	require.EqualValues(t, 2, l.LogEndOffset())
	require.NoError(t, l.Close())
	require.Zero(t, counting.open.Load(), "closed")

	l = openTest(t, testConfig(counting))
	require.EqualValues(t, 2, l.LogEndOffset())
	require.Zero(t, counting.open.Load(), "opened again")
	require.NoError(t, l.Close())
}

// Many logs that are all in use keep no more files open than they may, and
// each has its records.
func TestOpenFilesAreBounded(t *testing.T) {
	const logs, atMost = 60, 12
	counting := &countingFS{FS: vfs.NewMem()}
	files := NewOpenFiles(atMost)
	var all []*Log
	for i := range logs {
		cfg := testConfig(counting)
		cfg.Dir, cfg.Files = fmt.Sprintf("/data/t-%d", i), files
		cfg.Options.IndexIntervalBytes, cfg.Options.SegmentBytes, cfg.Options.SegmentIndexBytes = 0, 300, 1200
		all = append(all, openTest(t, cfg))
	}
	var wait sync.WaitGroup
	for worker := range 4 {
		wait.Go(func() {
			for round := range 20 {
				for i := worker; i < logs; i += 4 {
					if _, err := all[i].AppendAsLeader(batchOf(fmt.Sprint(round)), 0, OriginClient); err != nil {
						t.Error(err)
					}
					if info, err := all[i].Read(int64(round), 100, LogEnd, true); err != nil || info.Records.Length == 0 {
						t.Error(i, round, info, err)
					} else {
						info.Records.Release()
					}
				}
			}
		})
	}
	wait.Wait()
	require.LessOrEqual(t, files.Count(), atMost+4, "four were at work")
	require.LessOrEqual(t, counting.open.Load(), int64(atMost+4))
	for _, l := range all {
		require.EqualValues(t, 20, l.LogEndOffset())
		l.SetHighWatermark(20)
		for offset := range int64(20) {
			bases, err := readBatches(t, l, offset, 1, HighWatermark)
			require.NoError(t, err)
			require.Equal(t, []int64{offset}, bases)
		}
		require.NoError(t, l.Close())
	}
	require.Zero(t, files.Count())
	require.Zero(t, counting.open.Load())
}
