package logcleaner

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"gregor/pkg/commitlog"
	"gregor/pkg/compress"
	"gregor/pkg/kerr"
	"gregor/pkg/logging"
	"gregor/pkg/record"
	"gregor/pkg/vfs"
)

// dirtyLog writes a log that a cleaning changes a lot: several segments with
// keys that come again, tombstones, an aborted and a committed transaction.
// With groups it takes several segments to hold what stays.
func dirtyLog(t testing.TB, fs *vfs.Mem, groups bool) commitlog.Config {
	t.Helper()
	require.NoError(t, fs.MkdirAll("/data", 0o755))
	cfg := testLogConfig(fs)
	cfg.Options.SegmentIndexBytes, cfg.Options.IndexIntervalBytes = 240, 0
	cfg.Options.DeleteRetentionMs = 1 << 40
	if groups {
		cfg.Options.SegmentBytes = 700
	}
	l := openLog(t, cfg)
	require.NoError(t, l.AssignEpochStart(0, 0))
	for i := range 24 {
		key := fmt.Sprintf("k%d", i%7)
		if i%8 == 5 {
			key = fmt.Sprintf("aborted%d", i%3)
		}
		codec := compress.Codec(i % 3)
		switch b := batchOf(codec, baseTime+int64(i), kv{key, i}, kv{key + "x", fmt.Sprint("value ", i)}); {
		case i%8 == 3:
			add(t, l, commitlog.OriginClient, batchOf(codec, baseTime+int64(i), kv{key, nil}).MustBuild())
		case i%8 == 5 || i%8 == 7:
			b.ProducerID, b.ProducerEpoch, b.BaseSequence, b.Transactional = int64(i%8), 0, int32(i/8*2), true
			add(t, l, commitlog.OriginClient, b.MustBuild())
			marker := record.EndTxnMarker{Type: record.ControlType(i % 8 / 7)}
			add(t, l, commitlog.OriginCoordinator, record.NewEndTxnMarker(marker, int64(i%8), 0, baseTime+int64(i)))
		default:
			add(t, l, commitlog.OriginClient, b.MustBuild())
		}
		if i%5 == 4 {
			roll(t, l)
		}
	}
	roll(t, l)
	put(t, l, kv{"active", 1})
	require.NoError(t, l.Flush())
	require.NoError(t, l.Close())
	cfg.RecoveryPoint, cfg.CleanShutdown = l.RecoveryPoint(), true
	return cfg
}

// cleanOnce opens a log, compacts it once and closes it.
func cleanOnce(cfg commitlog.Config) error {
	l, err := commitlog.Open(cfg)
	if err != nil {
		return err
	}
	l.SetHighWatermark(l.LogEndOffset())
	c := New(testConfig(), newShelf(l), logging.Discard())
	c.cleanDirtiest(context.Background(), newWorker(0, testConfig(), c.log, &c.throttle))
	if broken := c.Uncleanable(); len(broken) > 0 {
		return fmt.Errorf("uncleanable: %v", broken)
	}
	if err := l.Flush(); err != nil {
		return err
	}
	return l.Close()
}

// contentsAfter opens a log as after a crash and reads all of it, also offset
// by offset.
func contentsAfter(t testing.TB, cfg commitlog.Config, what string) []string {
	t.Helper()
	cfg.CleanShutdown = false
	l, err := commitlog.Open(cfg)
	require.NoError(t, err, what)
	l.SetHighWatermark(l.LogEndOffset())
	all := contents(t, l)
	batches := batchesOf(t, l)
	for offset := range l.LogEndOffset() {
		info, err := l.Read(offset, 1, commitlog.TxnCommitted, true)
		require.NoError(t, err, "%s: offset %d", what, offset)
		i := slices.IndexFunc(batches, func(b record.Batch) bool { return b.LastOffset() >= offset })
		require.GreaterOrEqual(t, i, 0, what)
		require.EqualValues(t, len(batches[i]), info.Records.Length, "%s: offset %d", what, offset)
		info.Records.Release()
	}
	entries, err := cfg.FS.ReadDir(cfg.Dir)
	require.NoError(t, err)
	for _, e := range entries {
		for _, suffix := range []string{".cleaned", ".swap", ".deleted"} {
			require.False(t, strings.HasSuffix(e.Name(), suffix), "%s: %s is left", what, e.Name())
		}
	}
	require.NoError(t, l.Close(), what)
	return all
}

// A power cut or a kill before any call to the file system leaves the log as
// it was or as it should become, and cleaning it then gives that.
func TestACrashAtAnyStep(t *testing.T) {
	for _, groups := range []bool{false, true} {
		t.Run(fmt.Sprintf("groups %v", groups), func(t *testing.T) {
			fs := vfs.NewMem()
			cfg := dirtyLog(t, fs, groups)
			before := contentsAfter(t, cloneOf(cfg, fs), "before")
			cleaned := cloneOf(cfg, fs)
			require.NoError(t, cleanOnce(cleaned))
			after := contentsAfter(t, cloneOf(cfg, cleaned.FS.(*vfs.Mem)), "after")
			require.Less(t, len(after), len(before)/2)

			running := fs.Clone()
			calls, seen := 0, map[string]bool{}
			crashing := cfg
			crashing.FS = vfs.Faulty(running, func(op vfs.Op, name string) error {
				calls++
				if op == vfs.OpRead || op == vfs.OpStat || op == vfs.OpReadDir || op == vfs.OpOpen && vfs.Exists(running, name) {
					return nil // changes nothing
				}
				for seed := range uint64(3) {
					var left *vfs.Mem
					switch seed {
					case 0:
						left = running.Clone()
					case 1:
						left = running.CrashClone(nil)
					default:
						left = running.CrashClone(rand.New(rand.NewPCG(seed, uint64(calls))))
					}
					what := fmt.Sprintf("call %d, %s %s, seed %d", calls, op, name, seed)
					requireBetween(t, cfg, left, before, after, groups, seed != 1, what)
					seen[string(op)] = true
				}
				return nil
			})
			require.NoError(t, cleanOnce(crashing))
			require.Greater(t, calls, 50)
			for _, op := range []vfs.Op{vfs.OpRename, vfs.OpSync, vfs.OpSyncDir, vfs.OpModTime, vfs.OpWrite} {
				require.True(t, seen[string(op)], op)
			}
		})
	}
}

func cloneOf(cfg commitlog.Config, fs *vfs.Mem) commitlog.Config {
	cfg.FS = fs.Clone()
	return cfg
}

// requireBetween opens what is left of a log; with cleanAgain it also compacts it once more.
func requireBetween(t testing.TB, cfg commitlog.Config, left *vfs.Mem, before, after []string, groups, cleanAgain bool, what string) {
	t.Helper()
	got := contentsAfter(t, cloneOf(cfg, left), what)
	if !groups {
		require.True(t, slices.Equal(got, before) || slices.Equal(got, after), "%s: %v", what, got)
	}
	for _, r := range after {
		require.Contains(t, got, r, what)
	}
	require.Equal(t, latestOf(before), latestOf(got), what)
	if !cleanAgain {
		return
	}
	again := cloneOf(cfg, left)
	again.CleanShutdown = false
	require.NoError(t, cleanOnce(again), what)
	require.Equal(t, after, contentsAfter(t, cloneOf(cfg, again.FS.(*vfs.Mem)), what), what)
}

// latestOf is the last value of each key, without those of aborted data.
func latestOf(all []string) map[string]string {
	latest := map[string]string{}
	for _, r := range all {
		_, rest, _ := strings.Cut(r, " ")
		if strings.HasPrefix(rest, "aborted") {
			continue
		}
		if key, value, ok := strings.Cut(rest, "="); ok {
			latest[key] = value
		} else if key, gone := strings.CutSuffix(rest, " gone"); gone {
			delete(latest, key)
		}
	}
	return latest
}

// Each call to the file system fails once: the log's directory goes offline,
// and nothing is lost.
func TestEveryCallFailsOnce(t *testing.T) {
	fs := vfs.NewMem()
	cfg := dirtyLog(t, fs, true)
	before := contentsAfter(t, cloneOf(cfg, fs), "before")
	cleaned := cloneOf(cfg, fs)
	require.NoError(t, cleanOnce(cleaned))
	after := contentsAfter(t, cloneOf(cfg, cleaned.FS.(*vfs.Mem)), "after")
	for n := 1; ; n++ {
		left := fs.Clone()
		calls, fired := 0, ""
		faulty := cfg
		var reported error
		faulty.OnFailure = func(err error) { reported = err }
		faulty.FS = vfs.Faulty(left, func(op vfs.Op, name string) error {
			if calls++; calls != n {
				return nil
			}
			fired = fmt.Sprintf("call %d, %s %s", n, op, name)
			return syscall.EIO
		})
		err := cleanOnce(faulty)
		if fired == "" {
			require.NoError(t, err)
			require.Greater(t, n, 50)
			return
		}
		if reported != nil {
			require.ErrorIs(t, reported, syscall.EIO, fired)
			require.ErrorIs(t, err, kerr.KafkaStorageError, fired)
		}
		requireBetween(t, cfg, left, before, after, true, n%3 == 0, fired)
	}
}
