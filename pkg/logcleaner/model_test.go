package logcleaner

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"gregor/pkg/commitlog"
	"gregor/pkg/compress"
	"gregor/pkg/logging"
	"gregor/pkg/record"
	"gregor/pkg/vfs"
)

// modelBatch is a batch that was appended, or a marker.
type modelBatch struct {
	bytes    record.Batch // as appended, with its offsets
	producer int64        // -1 without one
	txn      bool
	marker   bool
	abort    bool
}

func (b modelBatch) base() int64 { return b.bytes.BaseOffset() }
func (b modelBatch) next() int64 { return b.bytes.NextOffset() }

// machine holds a log that is compacted again and again against the list of
// everything that was ever appended.
type machine struct {
	fs      *vfs.Mem
	cfg     commitlog.Config
	log     *commitlog.Log
	shelf   *shelf
	cleaner Config
	batches []modelBatch
	clock   int64
}

func newMachine(t *rapid.T) *machine {
	m := &machine{fs: vfs.NewMem(), clock: baseTime, cleaner: testConfig()}
	require.NoError(t, m.fs.MkdirAll("/data", 0o755))
	m.cfg = testLogConfig(m.fs)
	o := &m.cfg.Options
	o.SegmentBytes = rapid.SampledFrom([]int{500, 1500, 1 << 20}).Draw(t, "segment.bytes")
	o.SegmentIndexBytes = rapid.SampledFrom([]int{48, 12000}).Draw(t, "segment.index.bytes")
	o.IndexIntervalBytes = rapid.SampledFrom([]int{0, 200}).Draw(t, "index.interval.bytes")
	o.DeleteRetentionMs = rapid.SampledFrom([]int64{-1 << 40, 1 << 40}).Draw(t, "delete.retention.ms")
	o.ProducerIDExpirationMs = 1 << 60
	m.cleaner.DedupeBufferSize = int64(rapid.SampledFrom([]int{8, 1000}).Draw(t, "slots")) * slotBytes
	m.cleaner.IOBufferSize = rapid.SampledFrom([]int{200, 4096}).Draw(t, "io.buffer.size")
	m.shelf = newShelf()
	m.open(t, true)
	return m
}

func (m *machine) open(t *rapid.T, clean bool) {
	m.cfg.FS, m.cfg.CleanShutdown = m.fs, clean
	log, err := commitlog.Open(m.cfg)
	require.NoError(t, err)
	m.log = log
	m.log.SetHighWatermark(m.log.LogEndOffset())
	m.shelf.mu.Lock()
	m.shelf.logs = []*commitlog.Log{log}
	m.shelf.mu.Unlock()
}

// end is the log end by the model.
func (m *machine) end() int64 {
	if len(m.batches) == 0 {
		return 0
	}
	return m.batches[len(m.batches)-1].next()
}

func (m *machine) append(t *rapid.T, origin commitlog.Origin, b record.Batch, what modelBatch) {
	info, err := m.log.AppendAsLeader(b, 0, origin)
	require.NoError(t, err)
	require.Equal(t, m.end(), info.FirstOffset)
	what.bytes = b
	m.batches = append(m.batches, what)
	m.log.SetHighWatermark(m.log.LogEndOffset())
}

// openTxn is whether a producer's transaction has no marker yet.
func (m *machine) openTxn(producer int64) bool {
	for _, b := range slices.Backward(m.batches) {
		if b.producer == producer {
			return !b.marker
		}
	}
	return false
}

func (m *machine) nextSequence(producer int64) int32 {
	for _, b := range slices.Backward(m.batches) {
		if b.producer == producer && !b.marker {
			return b.bytes.LastSequence() + 1
		}
	}
	return 0
}

// Append writes a batch. Producers 1 and 2 are idempotent, 11 to 13 write
// transactions.
func (m *machine) Append(t *rapid.T) {
	producer := rapid.SampledFrom([]int64{-1, -1, 1, 2, 11, 12, 13}).Draw(t, "producer")
	b := record.NewBuilder(compress.Codec(rapid.SampledFrom([]int{0, 0, 2, 4}).Draw(t, "codec")))
	for range rapid.IntRange(1, 4).Draw(t, "records") {
		m.clock += int64(rapid.IntRange(-2, 5).Draw(t, "time"))
		key := fmt.Appendf(nil, "key%d", rapid.IntRange(0, 6).Draw(t, "key"))
		var value []byte
		if rapid.IntRange(0, 4).Draw(t, "tombstone") > 0 {
			value = fmt.Appendf(nil, "value of %d", m.end()+int64(b.Count()))
		}
		b.Append(m.clock, key, value)
	}
	if producer > 0 {
		b.ProducerID, b.ProducerEpoch, b.BaseSequence, b.Transactional = producer, 0, m.nextSequence(producer), producer > 10
	}
	m.append(t, commitlog.OriginClient, b.MustBuild(), modelBatch{producer: producer, txn: producer > 10})
}

// EndTxn commits or aborts an open transaction.
func (m *machine) EndTxn(t *rapid.T) {
	producer := rapid.SampledFrom([]int64{11, 12, 13}).Draw(t, "producer")
	if !m.openTxn(producer) {
		t.Skip("no open transaction")
	}
	kind := rapid.SampledFrom([]record.ControlType{record.ControlAbort, record.ControlCommit}).Draw(t, "end")
	b := record.NewEndTxnMarker(record.EndTxnMarker{Type: kind}, producer, 0, m.clock)
	m.append(t, commitlog.OriginCoordinator, b, modelBatch{producer: producer, txn: true, marker: true, abort: kind == record.ControlAbort})
}

// Roll begins a segment.
func (m *machine) Roll(t *rapid.T) {
	if m.log.ActiveBase() == m.log.LogEndOffset() {
		t.Skip("the active segment is empty")
	}
	roll(t, m.log)
}

// Clean compacts what there is. What is below the high watermark is flushed,
// for in a cluster another replica has it: a crash that took a marker back
// would take back the decision that its data replaces older values.
func (m *machine) Clean(t *rapid.T) {
	require.NoError(t, m.log.Flush())
	c := New(m.cleaner, m.shelf, logging.Discard())
	c.cleanDirtiest(context.Background(), newWorker(0, m.cleaner, c.log, &c.throttle))
	require.Empty(t, c.Uncleanable())
}

// Reopen stops in order and starts again.
func (m *machine) Reopen(t *rapid.T) {
	require.NoError(t, m.log.Flush())
	require.NoError(t, m.log.Close())
	m.open(t, true)
}

// Crash cuts the power: what was not synced may be gone.
func (m *machine) Crash(t *rapid.T) {
	point := m.log.RecoveryPoint()
	m.cfg.RecoveryPoint = point
	m.fs = m.fs.CrashClone(rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1)))
	m.open(t, false)
	end := m.log.LogEndOffset()
	require.GreaterOrEqual(t, end, point)
	for len(m.batches) > 0 && m.end() > end {
		m.batches = m.batches[:len(m.batches)-1]
	}
	require.Equal(t, m.end(), end)
}

// Check compares the log with the model.
func (m *machine) Check(t *rapid.T) {
	require.Equal(t, m.end(), m.log.LogEndOffset())
	stable := m.end()
	for _, producer := range []int64{11, 12, 13} {
		if first := m.firstOfOpenTxn(producer); first >= 0 {
			stable = min(stable, first)
		}
	}
	require.Equal(t, stable, m.log.LastStableOffset())
	m.checkRecords(t)
	require.Equal(t, m.committed(stable), committedIn(t, m.log), "the last committed value of each key")
	m.checkRebuilt(t, stable)
}

func (m *machine) firstOfOpenTxn(producer int64) int64 {
	first := int64(-1)
	for _, b := range m.batches {
		switch {
		case b.producer != producer:
		case b.marker:
			first = -1
		case first < 0:
			first = b.base()
		}
	}
	return first
}

// checkRecords: every batch that is there was appended, with the same header
// and the same records at the same offsets.
func (m *machine) checkRecords(t *rapid.T) {
	last := int64(-1)
	for _, b := range batchesOf(t, m.log) {
		i := slices.IndexFunc(m.batches, func(old modelBatch) bool { return old.base() == b.BaseOffset() })
		require.GreaterOrEqual(t, i, 0)
		was := m.batches[i].bytes
		require.Greater(t, b.BaseOffset(), last)
		last = b.LastOffset()
		require.Equal(t, was.LastOffset(), last)
		require.Equal(t, []any{was.ProducerID(), was.ProducerEpoch(), was.BaseSequence(), was.LeaderEpoch(), was.Transactional(), was.Control()},
			[]any{b.ProducerID(), b.ProducerEpoch(), b.BaseSequence(), b.LeaderEpoch(), b.Transactional(), b.Control()})
		known := recordsOf(t, was)
		for offset, r := range recordsOf(t, b) {
			require.Equal(t, known[offset], r)
		}
	}
}

func recordsOf(t *rapid.T, b record.Batch) map[int64]string {
	all := map[int64]string{}
	records := b.Records(1 << 20)
	defer records.Close()
	for records.Next() {
		r := records.Record()
		all[r.Offset] = fmt.Sprintf("%d %q %q %v", r.Timestamp, r.Key, r.Value, r.Value == nil)
	}
	require.NoError(t, records.Err())
	return all
}

// committed is the last committed value of each key below an offset.
func (m *machine) committed(stable int64) map[string]string {
	aborted := map[int64]bool{} // base offsets
	open := map[int64][]int64{}
	for _, b := range m.batches {
		switch {
		case b.marker && b.abort:
			for _, base := range open[b.producer] {
				aborted[base] = true
			}
			fallthrough
		case b.marker:
			delete(open, b.producer)
		case b.txn:
			open[b.producer] = append(open[b.producer], b.base())
		}
	}
	latest := map[string]string{}
	for _, b := range m.batches {
		if b.base() < stable && !b.marker && !aborted[b.base()] {
			apply(latest, b.bytes)
		}
	}
	return latest
}

func apply(latest map[string]string, b record.Batch) {
	records := b.Records(1 << 20)
	defer records.Close()
	for records.Next() {
		if r := records.Record(); r.Value == nil {
			delete(latest, string(r.Key))
		} else {
			latest[string(r.Key)] = string(r.Value)
		}
	}
}

// committedIn reads a log as a consumer with read_committed does.
func committedIn(t require.TestingT, l *commitlog.Log) map[string]string {
	latest := map[string]string{}
	for offset := l.LogStartOffset(); offset < l.LastStableOffset(); {
		info, err := l.Read(offset, 600, commitlog.TxnCommitted, true)
		require.NoError(t, err)
		if info.Records.Length == 0 {
			return latest
		}
		data := make([]byte, info.Records.Length)
		_, err = info.Records.File.ReadAt(data, info.Records.Position)
		require.NoError(t, err)
		info.Records.Release()
		inAborted := map[int64]bool{}
		ahead := slices.Clone(info.Aborted)
		for b, rest, err := record.Split(data); err == nil; b, rest, err = record.Split(rest) {
			ahead = slices.DeleteFunc(ahead, func(txn commitlog.AbortedTxn) bool {
				if txn.FirstOffset > b.LastOffset() {
					return false
				}
				inAborted[txn.ProducerID] = true
				return true
			})
			offset = b.NextOffset()
			switch {
			case b.Control():
				if marker, found, _ := b.EndTxnMarker(); found && marker.Type == record.ControlAbort {
					delete(inAborted, b.ProducerID())
				}
			case !b.Transactional() || !inAborted[b.ProducerID()]:
				apply(latest, b)
			}
		}
	}
	return latest
}

// checkRebuilt: a log whose producers' state is built anew from what is left
// of the batches knows each producer's last sequence, and the same offsets.
func (m *machine) checkRebuilt(t *rapid.T, stable int64) {
	fs := m.fs.Clone()
	entries, err := fs.ReadDir(m.cfg.Dir)
	require.NoError(t, err)
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".snapshot") {
			require.NoError(t, fs.Remove(m.cfg.Dir+"/"+e.Name()))
		}
	}
	cfg := m.cfg
	cfg.FS, cfg.CleanShutdown, cfg.RecoveryPoint = fs, false, 0
	l, err := commitlog.Open(cfg)
	require.NoError(t, err)
	l.SetHighWatermark(l.LogEndOffset())
	require.Equal(t, m.end(), l.LogEndOffset())
	require.Equal(t, stable, l.LastStableOffset())
	last := map[int64]modelBatch{}
	for _, b := range m.batches {
		if b.producer > 0 && !b.marker {
			last[b.producer] = b
		}
	}
	for _, producer := range slices.Sorted(maps.Keys(last)) {
		b := last[producer]
		again := slices.Clone(b.bytes)
		again.SetBaseOffset(0)
		info, err := l.AppendAsLeader(again, 0, commitlog.OriginClient)
		require.NoError(t, err)
		require.True(t, info.Duplicate, "the last batch of producer %d", producer)
		require.Equal(t, b.bytes.LastOffset(), info.LastOffset)
	}
	require.Equal(t, m.committed(stable), committedIn(t, l))
}

func TestCompactionAgainstAModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newMachine(t)
		t.Repeat(map[string]func(*rapid.T){
			"append": m.Append, "append more": m.Append, "append again": m.Append, "end transaction": m.EndTxn, "roll": m.Roll,
			"clean": m.Clean, "clean again": m.Clean, "reopen": m.Reopen, "crash": m.Crash, "": m.Check,
		})
	})
}
