package commitlog

import (
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"gregor/pkg/compress"
	"gregor/pkg/kerr"
	"gregor/pkg/record"
	"gregor/pkg/vfs"
)

// The directories under testdata/golden were written by Apache Kafka 2.8.2
// for the produce requests that the functions below make from a fixed seed,
// and left by a clean shutdown (txn: by transactional producers, and by the
// recovery after kill -9).

func letters(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('a' + r.IntN(4))
	}
	return b
}

func goldenMixed(codecs ...compress.Codec) func(r *rand.Rand) []record.Batch {
	return func(r *rand.Rand) []record.Batch {
		var out []record.Batch
		timestamp := baseTime
		for i := range 40 {
			b := record.NewBuilder(codecs[i%len(codecs)])
			for range 1 + r.IntN(6) {
				timestamp += int64(r.IntN(500) - 100)
				var key []byte
				if r.IntN(2) == 0 {
					key = letters(r, r.IntN(10))
				}
				var headers []record.Header
				if r.IntN(3) == 0 {
					headers = append(headers, record.Header{Key: []byte("h"), Value: letters(r, 3)}, record.Header{Key: []byte("n")})
				}
				b.Append(timestamp, key, letters(r, r.IntN(400)), headers...)
			}
			out = append(out, b.MustBuild())
		}
		return out
	}
}

// goldenIdempotent has several producers, and repeats some batches.
func goldenIdempotent(r *rand.Rand) []record.Batch {
	var out []record.Batch
	next := map[int64]int32{}
	for i := range 40 {
		b := record.NewBuilder(compress.None)
		b.ProducerID = []int64{1000, 1001, 5, 17, 33, 4294967297, 70000}[r.IntN(7)]
		b.ProducerEpoch = 0
		b.BaseSequence = next[b.ProducerID]
		n := 1 + r.IntN(3)
		next[b.ProducerID] += int32(n)
		for j := range n {
			b.Append(baseTime+int64(i*10+j), nil, letters(r, 100))
		}
		batch := b.MustBuild()
		out = append(out, batch)
		if r.IntN(10) == 0 {
			out = append(out, append(record.Batch(nil), batch...))
		}
	}
	return out
}

var golden = map[string]struct {
	options func(*Options)
	batches func(r *rand.Rand) []record.Batch
}{
	"plain":        {func(o *Options) { o.SegmentBytes, o.IndexIntervalBytes = 3000, 500 }, goldenMixed(compress.None)},
	"idem":         {func(o *Options) { o.SegmentBytes = 1500 }, goldenIdempotent},
	"uncompressed": {func(o *Options) { o.CompressionType = "uncompressed" }, goldenMixed(compress.None, compress.Gzip, compress.Snappy, compress.LZ4, compress.Zstd)},
}

// requireSameFiles compares a directory with a golden one, byte by byte.
func requireSameFiles(t *testing.T, goldenDir, dir string) {
	t.Helper()
	names := func(dir string) (names []string) {
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return names
	}
	require.Equal(t, names(goldenDir), names(dir))
	for _, name := range names(dir) {
		want, err := os.ReadFile(filepath.Join(goldenDir, name))
		require.NoError(t, err)
		got, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		require.Equal(t, want, got, name)
	}
}

func TestGoldenAppends(t *testing.T) {
	for name, g := range golden {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig(vfs.OS)
			cfg.Dir = filepath.Join(t.TempDir(), "t-0")
			g.options(&cfg.Options)
			l := openTest(t, cfg)
			require.NoError(t, l.AssignEpochStart(0, 0))
			for _, batch := range g.batches(rand.New(rand.NewPCG(1, 2))) {
				appendTest(t, l, batch)
			}
			require.NoError(t, l.Flush())
			require.NoError(t, l.Close())
			requireSameFiles(t, filepath.Join("testdata/golden", name), cfg.Dir)
		})
	}
}

// openGolden opens a copy of some of a golden directory's files.
func openGolden(t *testing.T, name string, clean bool, keep func(name string) bool) (*Log, Config) {
	t.Helper()
	cfg := testConfig(vfs.OS)
	cfg.Dir = filepath.Join(t.TempDir(), "t-0")
	cfg.CleanShutdown = clean
	cfg.Options.SegmentBytes, cfg.Options.IndexIntervalBytes = 3000, 300
	cfg.Options.ProducerIDExpirationMs = math.MaxInt64
	require.NoError(t, os.Mkdir(cfg.Dir, 0o755))
	entries, err := os.ReadDir(filepath.Join("testdata/golden", name))
	require.NoError(t, err)
	for _, e := range entries {
		if keep(e.Name()) {
			data, err := os.ReadFile(filepath.Join("testdata/golden", name, e.Name()))
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(filepath.Join(cfg.Dir, e.Name()), data, 0o644))
		}
	}
	l := openTest(t, cfg)
	l.SetHighWatermark(l.LogEndOffset())
	return l, cfg
}

// A directory with open and aborted transactions that a Java broker left is
// recovered to the bytes that a Java broker recovers it to.
func TestGoldenTransactions(t *testing.T) {
	all := func(string) bool { return true }
	onlyLogs := func(name string) bool { return filepath.Ext(name) == logExt }
	for name, tc := range map[string]struct {
		clean bool
		keep  func(string) bool
	}{"clean": {true, all}, "unclean": {false, all}, "unclean, nothing but logs": {false, onlyLogs}} {
		t.Run(name, func(t *testing.T) {
			l, cfg := openGolden(t, "txn", tc.clean, tc.keep)
			require.EqualValues(t, 97, l.LogEndOffset())
			require.EqualValues(t, 89, l.LastStableOffset(), "a transaction is open")
			require.Equal(t, 3, l.ActiveProducers())
			require.NoError(t, l.Flush())
			require.NoError(t, l.Close())
			requireSameFiles(t, "testdata/golden/txn", cfg.Dir)
		})
	}
}

func TestReadCommitted(t *testing.T) {
	l, _ := openGolden(t, "txn", true, func(string) bool { return true })
	aborted := map[AbortedTxn]bool{}
	for offset := int64(0); ; {
		info, err := l.Read(offset, 800, TxnCommitted, true)
		require.NoError(t, err)
		if info.Records.Length == 0 {
			require.EqualValues(t, 89, offset)
			break
		}
		data := make([]byte, info.Records.Length)
		require.NoError(t, readAll(info.Records.File, data, info.Records.Position))
		info.Records.Release()
		for batch, rest, err := record.Split(data); err == nil; batch, rest, err = record.Split(rest) {
			offset = batch.NextOffset()
		}
		for _, a := range info.Aborted {
			aborted[a] = true
			require.GreaterOrEqual(t, a.LastOffset, info.FetchOffset.Offset)
		}
	}
	// Every abort marker of the log is in the lists, with its producer.
	markers := 0
	info, err := l.Read(0, 1<<20, LogEnd, true)
	for ; err == nil && info.Records.Length > 0; info, err = l.Read(info.FetchOffset.Offset, 1<<20, LogEnd, true) {
		data := make([]byte, info.Records.Length)
		require.NoError(t, readAll(info.Records.File, data, info.Records.Position))
		info.Records.Release()
		for batch, rest, err := record.Split(data); err == nil; batch, rest, err = record.Split(rest) {
			info.FetchOffset.Offset = batch.NextOffset()
			if marker, found, err := batch.EndTxnMarker(); batch.Control() && found && err == nil && marker.Type == record.ControlAbort && batch.BaseOffset() < 89 {
				markers++
				found := false
				for a := range aborted {
					found = found || a.ProducerID == batch.ProducerID() && a.LastOffset == batch.BaseOffset()
				}
				require.True(t, found, "abort marker at %d", batch.BaseOffset())
			}
		}
	}
	require.NoError(t, err)
	require.Greater(t, markers, 3)
	_, err = l.Read(98, 1, LogEnd, true)
	require.ErrorIs(t, err, kerr.OffsetOutOfRange)
}
