package commitlog

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"gregor/pkg/kerr"
	"gregor/pkg/logging"
	"gregor/pkg/record"
	"gregor/pkg/vfs"
)

// readBatches returns the base offsets of the batches that a read gives.
func readBatches(t *testing.T, l *Log, offset int64, maxBytes int, iso Isolation) (bases []int64, err error) {
	t.Helper()
	info, err := l.Read(offset, maxBytes, iso, true)
	if err != nil || info.Records.Length == 0 {
		return nil, err
	}
	defer info.Records.Release()
	data := make([]byte, info.Records.Length)
	require.NoError(t, readAll(info.Records.File, data, info.Records.Position))
	for batch, rest, err := record.Split(data); err == nil; batch, rest, err = record.Split(rest) {
		require.True(t, batch.Valid())
		bases = append(bases, batch.BaseOffset())
	}
	return bases, nil
}

// A batch that was damaged on disk is served to nobody; what is before and
// behind it is. One line tells of it, and neither the log nor its directory
// suffers.
func TestDamagedBatchesAreNotServed(t *testing.T) {
	damages := map[string]func(log []byte, at int){
		"a bit of a record": func(log []byte, at int) { log[at+70] ^= 4 },
		"the sum":           func(log []byte, at int) { log[at+18]++ },
		"the size":          func(log []byte, at int) { log[at+8] = 0x7f },
		"the format":        func(log []byte, at int) { log[at+16] = 9 },
		"zeros":             func(log []byte, at int) { clear(log[at : at+80]) },
		"another offset":    func(log []byte, at int) { log[at] = 0x80 },
	}
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			mem := vfs.NewMem()
			require.NoError(t, mem.MkdirAll("/data", 0o755))
			cfg := testConfig(mem)
			cfg.Options.SegmentBytes, cfg.Options.IndexIntervalBytes = 1000, 0
			l := openTest(t, cfg)
			for i := range 30 {
				appendTest(t, l, batchOf(fmt.Sprintf("value %030d", i)))
			}
			require.Greater(t, l.Segments(), 2)
			require.NoError(t, l.Flush())
			require.NoError(t, l.Close())
			size := len(batchOf(fmt.Sprintf("value %030d", 0)))
			path := cfg.Dir + "/" + baseName(0) + logExt
			data, err := vfs.ReadFile(mem, path, 1<<20)
			require.NoError(t, err)
			damage(data, 3*size)
			require.NoError(t, vfs.WriteFile(mem, path, data))

			var text bytes.Buffer
			cfg.Loggers = logging.New(&text)
			cfg.OnFailure = func(err error) { require.NoError(t, err, "the directory goes offline") }
			l = openTest(t, cfg)
			l.SetHighWatermark(30)
			for range 10 {
				for _, iso := range []Isolation{LogEnd, HighWatermark, TxnCommitted} {
					bases, err := readBatches(t, l, 0, 1<<20, iso)
					require.NoError(t, err)
					require.Equal(t, []int64{0, 1, 2}, bases, "what is before it")
					_, err = readBatches(t, l, 3, 1<<20, iso)
					require.ErrorIs(t, err, kerr.CorruptMessage)
					bases, err = readBatches(t, l, 5, 2*size, iso)
					require.NoError(t, err)
					require.Equal(t, []int64{5, 6}, bases, "what is behind it")
				}
			}
			require.Equal(t, 1, strings.Count(text.String(), " ERROR "), text.String())
			require.Contains(t, text.String(), fmt.Sprintf("ERROR [Log partition=t-0, dir=/data] %s is damaged: the batch at position %d, looked at for offset 3, is not sound", path, 3*size))
			appendTest(t, l, batchOf("goes on"))
			_, _, _, _, err = l.OffsetForTimestamp(baseTime)
			if err != nil {
				require.ErrorIs(t, err, kerr.CorruptMessage)
			}
			require.NoError(t, l.Close())
		})
	}
}

// Each batch is read once to be checked, however often it is served, and what
// this process has appended not at all.
func TestBatchesAreCheckedOnce(t *testing.T) {
	mem := vfs.NewMem()
	require.NoError(t, mem.MkdirAll("/data", 0o755))
	var read int64
	cfg := testConfig(&readCounter{FS: mem, read: &read})
	cfg.Options.SegmentBytes = 20000
	l := openTest(t, cfg)
	for i := range 200 {
		appendTest(t, l, batchOf(strings.Repeat("x", 100+i)))
	}
	all := func() (n int64) {
		before := read
		for offset := int64(0); offset < 200; {
			info, err := l.Read(offset, 3000, HighWatermark, true)
			require.NoError(t, err)
			data := make([]byte, info.Records.Length)
			require.NoError(t, readAll(info.Records.File, data, info.Records.Position))
			info.Records.Release()
			for batch, rest, err := record.Split(data); err == nil; batch, rest, err = record.Split(rest) {
				offset = batch.NextOffset()
			}
			n += info.Records.Length
		}
		return read - before - n // without what the client reads
	}
	appended := all()
	require.NoError(t, l.Flush())
	require.NoError(t, l.Close())
	l = openTest(t, cfg)
	l.SetHighWatermark(200)
	first, second, third := all(), all(), all()
	require.Greater(t, first, second+l.Size()/2)
	require.Equal(t, second, third)
	require.Equal(t, appended, second)
	for _, s := range *l.segments.Load() {
		require.Zero(t, s.verified.unchecked.Load(), "%s", s)
	}
}

type readCounter struct {
	vfs.FS
	read *int64
}

type countedReads struct {
	vfs.File
	read *int64
}

func (c *readCounter) OpenFile(name string, flag int, perm os.FileMode) (vfs.File, error) {
	f, err := c.FS.OpenFile(name, flag, perm)
	if err != nil || !strings.HasSuffix(name, logExt) {
		return f, err
	}
	return &countedReads{f, c.read}, nil
}

func (f *countedReads) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(p, off)
	*f.read += int64(n)
	return n, err
}

// The checked spans against a set of positions.
func TestVerifiedSpans(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		const size = 60
		var v verified
		v.distrust(size)
		known := map[int64]bool{}
		for range 40 {
			from := r.Int64N(size)
			to := from + r.Int64N(size-from+1)
			v.add(from, to)
			for i := from; i < to; i++ {
				known[i] = true
			}
			if len(known) == size {
				require.Zero(t, v.unchecked.Load())
				break
			}
			require.EqualValues(t, size, v.unchecked.Load())
			for i := range int64(size) {
				end := i
				for known[end] {
					end++
				}
				require.Equal(t, end, v.checkedFrom(i), "%d of %v", i, v.spans)
			}
		}
	}
}

// Bytes behind the last record of a log that was closed in order end the
// start, as they end a Java broker's; after a crash they are cut off.
func TestBytesBehindTheLastRecord(t *testing.T) {
	mem := vfs.NewMem()
	cfg, values := sample(t, mem)
	logs := slices.DeleteFunc(files(t, mem, cfg.Dir), func(name string) bool { return !strings.HasSuffix(name, logExt) })
	path := cfg.Dir + "/" + logs[len(logs)-1]
	data, err := vfs.ReadFile(mem, path, 1<<20)
	require.NoError(t, err)
	require.NoError(t, vfs.WriteFile(mem, path, append(data, make([]byte, 100)...)))
	cfg.CleanShutdown = true
	_, err = Open(cfg)
	var refused *Refusal
	require.ErrorAs(t, err, &refused)
	require.Equal(t, "org.apache.kafka.common.errors.CorruptRecordException", refused.JavaClass())
	require.EqualError(t, refused, "Found record size 0 smaller than minimum record overhead (14) in file "+path+".")
	cfg.CleanShutdown = false
	require.EqualValues(t, len(values), openTest(t, cfg).LogEndOffset())
}

// What is appended after a cut has nothing to do with what was checked before.
func TestACutForgetsWhatWasChecked(t *testing.T) {
	cfg := testConfig(vfs.NewMem())
	l := openTest(t, cfg)
	for range 6 {
		appendTest(t, l, batchOf("some", "values"))
	}
	require.NoError(t, l.Close())
	l = openTest(t, cfg)
	_, err := readBatches(t, l, 0, 1, LogEnd) // checks the first batch
	require.NoError(t, err)
	require.NoError(t, l.TruncateTo(0))
	appendTest(t, l, batchOf("another history, with larger records", "than the one before"))
	l.SetHighWatermark(2)
	values, next := readValues(t, l, 0)
	require.Equal(t, []string{"another history, with larger records", "than the one before"}, values)
	require.EqualValues(t, 2, next)
}
