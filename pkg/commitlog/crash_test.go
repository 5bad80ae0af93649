package commitlog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gregor/pkg/compress"
	"gregor/pkg/kerr"
	"gregor/pkg/record"
	"gregor/pkg/vfs"
)

// sample makes a small log of several segments, with idempotent producers, an
// aborted transaction and an open one, and returns its values by offset.
func sample(t testing.TB, fs *vfs.Mem) (Config, map[int64]string) {
	t.Helper()
	require.NoError(t, fs.MkdirAll("/data", 0o755))
	cfg := testConfig(fs)
	cfg.Options.SegmentBytes, cfg.Options.IndexIntervalBytes, cfg.Options.SegmentIndexBytes = 500, 50, 1200
	l := openTest(t, cfg)
	require.NoError(t, l.AssignEpochStart(0, 0))
	values := map[int64]string{}
	add := func(origin Origin, b record.Batch) {
		t.Helper()
		info, err := l.AppendAsLeader(b, 0, origin)
		require.NoError(t, err)
		records := b.Records(1 << 20)
		defer records.Close()
		for i := info.FirstOffset; records.Next(); i++ {
			values[i] = string(records.Record().Value)
		}
		l.SetHighWatermark(l.LogEndOffset())
	}
	for i := range int32(10) {
		b := record.NewBuilder(compress.Codec(i % 5))
		b.ProducerID, b.ProducerEpoch, b.BaseSequence, b.Transactional = int64(7+i%2), 0, i/2, i%2 == 0
		b.Append(baseTime+int64(i), nil, fmt.Appendf(nil, "value %d", i))
		add(OriginClient, b.MustBuild())
		if i == 6 {
			add(OriginCoordinator, record.NewEndTxnMarker(record.EndTxnMarker{Type: record.ControlAbort}, 7, 0, baseTime+int64(i)))
		}
	}
	require.NoError(t, l.AssignEpochStart(1, l.LogEndOffset()))
	add(OriginClient, batchOf("last", "one"))
	require.NoError(t, l.Flush())
	require.NoError(t, l.Close())
	return cfg, values
}

// requirePrefix checks that a log holds what the sample held up to its end,
// and can be appended to.
func requirePrefix(t *testing.T, cfg Config, values map[int64]string, what string) int64 {
	t.Helper()
	l, err := Open(cfg)
	if err != nil {
		require.NotContains(t, err.Error(), "panic", what)
		return -1
	}
	end := l.LogEndOffset()
	l.SetHighWatermark(end)
	for offset := l.LogStartOffset(); offset < end; {
		info, err := l.Read(offset, 1<<20, LogEnd, true)
		if err != nil {
			require.True(t, errors.Is(err, kerr.CorruptMessage) || errors.Is(err, kerr.KafkaStorageError), "%s: %v", what, err)
			return -1
		}
		require.Positive(t, info.Records.Length, "%s: offset %d of %d", what, offset, end)
		data := make([]byte, info.Records.Length)
		require.NoError(t, readAll(info.Records.File, data, info.Records.Position))
		info.Records.Release()
		before := offset
		for batch, rest, err := record.Split(data); err == nil; batch, rest, err = record.Split(rest) {
			if !batch.Valid() {
				return -1 // served as it is; the reader checks the sum
			}
			records := batch.Records(1 << 20)
			for records.Next() {
				if r := records.Record(); r.Offset >= offset {
					require.Equal(t, values[r.Offset], string(r.Value), "%s: offset %d", what, r.Offset)
				}
			}
			records.Close()
			offset = max(offset, batch.NextOffset())
		}
		if offset == before {
			return -1
		}
	}
	_, _, _, _, err = l.OffsetForTimestamp(baseTime + 3)
	if err == nil {
		_, err = l.Read(l.LogStartOffset(), 100, TxnCommitted, true)
	}
	if err == nil {
		_, err = l.AppendAsLeader(batchOf("x"), 2, OriginClient)
	}
	if err == nil {
		require.NoError(t, l.Close(), what)
	}
	return end
}

func files(t *testing.T, fs vfs.FS, dir string) []string {
	t.Helper()
	entries, err := fs.ReadDir(dir)
	require.NoError(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// Every file is cut at every byte; an unclean start keeps what is whole.
func TestCutAnywhere(t *testing.T) {
	fs := vfs.NewMem()
	cfg, values := sample(t, fs)
	cfg.CleanShutdown = false
	for _, name := range files(t, fs, cfg.Dir) {
		data, err := vfs.ReadFile(fs, filepath.Join(cfg.Dir, name), 1<<20)
		require.NoError(t, err)
		for cut := range len(data) {
			c := fs.Clone()
			require.NoError(t, vfs.WriteFile(c, filepath.Join(cfg.Dir, name), data[:cut]))
			cfg.FS = c
			what := fmt.Sprintf("%s cut to %d of %d", name, cut, len(data))
			end := requirePrefix(t, cfg, values, what)
			switch {
			case name == epochFile:
				// a cut line is refused; it is never guessed at
			case strings.HasSuffix(name, logExt):
				base, _ := offsetOfName(name, logExt)
				require.GreaterOrEqual(t, end, base, what)
			default:
				require.EqualValues(t, len(values), end, what)
			}
		}
	}
}

// One bit is flipped anywhere in any file: an unclean start finds it or does
// not care; a clean start never gives other records than were written.
func TestOneBitFlipped(t *testing.T) {
	fs := vfs.NewMem()
	cfg, values := sample(t, fs)
	for _, clean := range []bool{false, true} {
		cfg.CleanShutdown = clean
		for _, name := range files(t, fs, cfg.Dir) {
			data, err := vfs.ReadFile(fs, filepath.Join(cfg.Dir, name), 1<<20)
			require.NoError(t, err)
			for bit := 0; bit < len(data)*8; bit += 7 {
				c := fs.Clone()
				changed := append([]byte(nil), data...)
				changed[bit/8] ^= 1 << (bit % 8)
				require.NoError(t, vfs.WriteFile(c, filepath.Join(cfg.Dir, name), changed))
				cfg.FS = c
				what := fmt.Sprintf("%s, bit %d of byte %d, clean %v", name, bit%8, bit/8, clean)
				// Offset and leader epoch of a batch are under no checksum.
				if outsideChecksum(name, data, bit/8) {
					l, err := Open(cfg)
					if err == nil {
						l.Read(l.LogStartOffset(), 1<<20, LogEnd, true)
					}
					continue
				}
				end := requirePrefix(t, cfg, values, what)
				if !clean && !strings.HasSuffix(name, logExt) && name != epochFile {
					require.EqualValues(t, len(values), end, what)
				}
			}
		}
	}
}

func outsideChecksum(name string, log []byte, at int) bool {
	if !strings.HasSuffix(name, logExt) {
		return false
	}
	position := 0
	for batch, rest, err := record.Split(log); err == nil; batch, rest, err = record.Split(rest) {
		if in := at - position; in >= 0 && (in < 8 || in >= 12 && in < 16) {
			return true
		}
		position += len(batch)
	}
	return false
}

func TestLeftoversOfACrash(t *testing.T) {
	fs := vfs.NewMem()
	cfg, values := sample(t, fs)
	path := func(name string) string { return filepath.Join(cfg.Dir, name) }
	var logs []string
	for _, name := range files(t, fs, cfg.Dir) {
		if strings.HasSuffix(name, logExt) {
			logs = append(logs, strings.TrimSuffix(name, logExt))
		}
	}
	require.GreaterOrEqual(t, len(logs), 3)
	for name, leave := range map[string]func(c *vfs.Mem){
		"deleted files": func(c *vfs.Mem) { require.NoError(t, vfs.WriteFile(c, path(logs[0]+".log.deleted"), []byte("x"))) },
		"cleaned files": func(c *vfs.Mem) {
			require.NoError(t, vfs.WriteFile(c, path(logs[1]+".log.cleaned"), []byte("x")))
			require.NoError(t, vfs.WriteFile(c, path(logs[1]+".index.cleaned"), nil))
		},
		"an unfinished split": func(c *vfs.Mem) {
			require.NoError(t, vfs.WriteFile(c, path(logs[1]+".log.cleaned"), []byte("x")))
			require.NoError(t, vfs.WriteFile(c, path(logs[1]+".log.swap"), []byte("x")))
		},
		"a swap of one segment": func(c *vfs.Mem) { require.NoError(t, c.Rename(path(logs[1]+".log"), path(logs[1]+".log.swap"))) },
		"a swap that covers two": func(c *vfs.Mem) {
			first, err := vfs.ReadFile(c, path(logs[1]+".log"), 1<<20)
			require.NoError(t, err)
			second, err := vfs.ReadFile(c, path(logs[2]+".log"), 1<<20)
			require.NoError(t, err)
			require.NoError(t, vfs.WriteFile(c, path(logs[1]+".log.swap"), append(first, second...)))
		},
		"an orphaned index": func(c *vfs.Mem) {
			require.NoError(t, vfs.WriteFile(c, path("00000000000000009999.index"), []byte("12345678")))
		},
		"no offset index":  func(c *vfs.Mem) { require.NoError(t, c.Remove(path(logs[1]+".index"))) },
		"no time index":    func(c *vfs.Mem) { require.NoError(t, c.Remove(path(logs[1]+".timeindex"))) },
		"a torn txn index": func(c *vfs.Mem) { require.NoError(t, vfs.WriteFile(c, path(logs[1]+".txnindex"), []byte("torn"))) },
		"a temporary file": func(c *vfs.Mem) { require.NoError(t, vfs.WriteFile(c, path(epochFile+".tmp"), []byte("0\n"))) },
		"a snapshot of nobody": func(c *vfs.Mem) {
			require.NoError(t, vfs.WriteFile(c, path("00000000000000000777.snapshot"), []byte("x")))
		},
	} {
		for _, clean := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, clean %v", name, clean), func(t *testing.T) {
				c := fs.Clone()
				leave(c)
				cfg.FS, cfg.CleanShutdown = c, clean
				require.EqualValues(t, len(values), requirePrefix(t, cfg, values, name))
				for _, left := range files(t, c, cfg.Dir) {
					for _, suffix := range []string{deletedSuffix, cleanedSuffix, swapSuffix} {
						require.False(t, strings.HasSuffix(left, suffix), left)
					}
					require.NotContains(t, left, "9999")
				}
			})
		}
	}
}

func TestDeletedSegmentStaysReadable(t *testing.T) {
	cfg := testConfig(vfs.OS)
	cfg.Dir = filepath.Join(t.TempDir(), "t-0")
	l := openTest(t, cfg)
	appendTest(t, l, batchOf("kept while it is sent"))
	info, err := l.Read(0, 1000, HighWatermark, true)
	require.NoError(t, err)
	n, err := l.DeleteOldSegments(time.Now())
	require.NoError(t, err)
	require.Equal(t, 1, n)
	_, err = os.Stat(filepath.Join(cfg.Dir, "00000000000000000000.log"))
	require.ErrorIs(t, err, os.ErrNotExist)
	data := make([]byte, info.Records.Length)
	require.NoError(t, readAll(info.Records.File, data, info.Records.Position))
	require.True(t, record.Batch(data).Valid())
	info.Records.Release()
	_, err = info.Records.File.ReadAt(data, 0)
	require.ErrorIs(t, err, os.ErrClosed, "the last reader closes the file")
	require.NoError(t, l.Delete())
	_, err = os.Stat(cfg.Dir)
	require.ErrorIs(t, err, os.ErrNotExist)
}
