package commitlog

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"gregor/pkg/record"
	"gregor/pkg/vfs"
)

// overflowed is a log whose first segment was compacted out of several, as old
// brokers did: the offsets of its batches are far apart.
func overflowed(t *testing.T) (*vfs.Mem, Config, []int64) {
	t.Helper()
	mem := vfs.NewMem()
	cfg := testConfig(mem)
	require.NoError(t, mem.MkdirAll(cfg.Dir, 0o755))
	var data []byte
	offsets := []int64{0, 7, math.MaxInt32, math.MaxInt32 + 1, math.MaxInt32 + 9, 3 * math.MaxInt32, 3*math.MaxInt32 + 1}
	for _, offset := range offsets {
		b := batchOf(fmt.Sprint("at ", offset))
		b.SetBaseOffset(offset)
		data = append(data, b...)
	}
	for name, contents := range map[string][]byte{logExt: data, indexExt: nil, timeIndexExt: nil} {
		require.NoError(t, vfs.WriteFile(mem, cfg.Dir+"/"+baseName(0)+name, contents))
	}
	require.NoError(t, mem.SyncDir(cfg.Dir))
	cfg.CleanShutdown = false
	return mem, cfg, offsets
}

func requireSplit(t *testing.T, cfg Config, offsets []int64, what string) {
	t.Helper()
	l, err := Open(cfg)
	require.NoError(t, err, what)
	var bases []int64
	for _, s := range *l.segments.Load() {
		bases = append(bases, s.base)
	}
	require.Equal(t, []int64{0, math.MaxInt32 + 1, 3 * math.MaxInt32}, bases, what)
	require.Equal(t, offsets[len(offsets)-1]+1, l.LogEndOffset(), what)
	l.SetHighWatermark(l.LogEndOffset())
	for _, offset := range offsets {
		info, err := l.Read(offset, 1, HighWatermark, true)
		require.NoError(t, err, what)
		data := make([]byte, info.Records.Length)
		require.NoError(t, readAll(info.Records.File, data, info.Records.Position))
		info.Records.Release()
		require.Equal(t, offset, record.Batch(data).BaseOffset(), what)
		require.True(t, record.Batch(data).Valid(), what)
	}
	appendTest(t, l, batchOf("goes on"))
	require.NoError(t, l.Close())
	for _, name := range files(t, cfg.FS, cfg.Dir) {
		for _, suffix := range []string{deletedSuffix, cleanedSuffix, swapSuffix} {
			require.False(t, strings.HasSuffix(name, suffix), "%s: %s", what, name)
		}
	}
}

// A segment with offsets that do not fit is split by recovery, also where an
// index is missing after a shutdown in order.
func TestAnOverflowedSegmentIsSplit(t *testing.T) {
	_, cfg, offsets := overflowed(t)
	requireSplit(t, cfg, offsets, "unclean")
	mem, cfg, offsets := overflowed(t)
	cfg.CleanShutdown = true
	require.NoError(t, mem.Remove(cfg.Dir+"/"+baseName(0)+indexExt))
	requireSplit(t, cfg, offsets, "no index")
}

// A crash at any call of the split loses nothing and is overcome.
func TestCrashDuringASplit(t *testing.T) {
	mem, cfg, offsets := overflowed(t)
	type crash struct {
		what string
		fs   *vfs.Mem
	}
	var crashes []crash
	random := rand.New(rand.NewPCG(3, 3))
	n := 0
	counting := cfg
	counting.FS = vfs.Faulty(mem, func(op vfs.Op, name string) error {
		n++
		what := fmt.Sprintf("call %d, %s of %s", n, op, name)
		crashes = append(crashes, crash{"killed before " + what, mem.Clone()}, crash{"power cut before " + what, mem.CrashClone(nil)},
			crash{"power cut, some of it written, before " + what, mem.CrashClone(random)})
		return nil
	})
	_, err := Open(counting)
	require.NoError(t, err)
	require.Greater(t, len(crashes), 200)
	for _, c := range crashes {
		cfg.FS = c.fs
		requireSplit(t, cfg, offsets, c.what)
	}
}
