package commitlog

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"gregor/pkg/compress"
	"gregor/pkg/kerr"
	"gregor/pkg/model"
	"gregor/pkg/record"
	"gregor/pkg/vfs"
)

// modelBatch is a batch as the model remembers it.
type modelBatch struct {
	base       int64
	epoch      model.LeaderEpoch
	timestamps []int64
	values     []string
}

func (b modelBatch) next() int64 { return b.base + int64(len(b.values)) }

// machine holds a log against a slice of batches.
type machine struct {
	fs      *vfs.Mem
	cfg     Config
	log     *Log
	batches []modelBatch
	start   int64
	end     int64
	flushed int64 // what a power cut must leave
	clock   int64
	epoch   model.LeaderEpoch
}

func newMachine(t *rapid.T) *machine {
	m := &machine{fs: vfs.NewMem(), clock: baseTime}
	require.NoError(t, m.fs.MkdirAll("/data", 0o755))
	m.cfg = testConfig(m.fs)
	m.cfg.Options.SegmentBytes = rapid.SampledFrom([]int{400, 1500, 1 << 20}).Draw(t, "segment.bytes")
	m.cfg.Options.IndexIntervalBytes = rapid.SampledFrom([]int{0, 100, 4096}).Draw(t, "index.interval.bytes")
	m.cfg.Options.SegmentIndexBytes = rapid.SampledFrom([]int{48, 10 << 20 >> 6}).Draw(t, "segment.index.bytes")
	m.cfg.Options.RetentionMs = -1
	m.open(t, true)
	return m
}

func (m *machine) open(t *rapid.T, clean bool) {
	m.cfg.FS, m.cfg.CleanShutdown, m.cfg.LogStartOffset = m.fs, clean, m.start
	log, err := Open(m.cfg)
	require.NoError(t, err)
	m.log = log
	m.log.SetHighWatermark(m.log.LogEndOffset())
}

func (m *machine) Append(t *rapid.T) {
	b := record.NewBuilder(compress.Codec(rapid.SampledFrom([]int{0, 0, 3}).Draw(t, "codec")))
	batch := modelBatch{base: m.end, epoch: m.epoch}
	for i := range rapid.IntRange(1, 4).Draw(t, "records") {
		m.clock += rapid.Int64Range(-20, 100).Draw(t, "step")
		value := fmt.Sprintf("%d-%0*d", m.end+int64(i), rapid.IntRange(0, 60).Draw(t, "size"), 0)
		b.Append(m.clock, nil, []byte(value))
		batch.timestamps, batch.values = append(batch.timestamps, m.clock), append(batch.values, value)
	}
	info, err := m.log.AppendAsLeader(b.MustBuild(), m.epoch, OriginClient)
	require.NoError(t, err)
	require.Equal(t, batch.base, info.FirstOffset)
	require.Equal(t, batch.next()-1, info.LastOffset)
	m.batches, m.end = append(m.batches, batch), batch.next()
	m.log.SetHighWatermark(m.end)
}

// Lead begins a leader epoch.
func (m *machine) Lead(t *rapid.T) {
	m.epoch += model.LeaderEpoch(rapid.IntRange(1, 3).Draw(t, "epochs"))
	require.NoError(t, m.log.AssignEpochStart(m.epoch, m.end))
}

// checkEpochs: an epoch that has records ends where the next one that has some
// begins.
func (m *machine) checkEpochs(t *rapid.T) {
	for i, b := range m.batches {
		if b.next() <= m.start {
			continue
		}
		want := m.end
		for _, later := range m.batches[i:] {
			if later.epoch > b.epoch {
				want = later.base
				break
			}
		}
		epoch, end := m.log.EndOffsetForEpoch(b.epoch)
		require.Equal(t, b.epoch, epoch, "epoch of the batch at %d", b.base)
		require.Equal(t, want, end, "end of epoch %d", epoch)
	}
}

func (m *machine) Roll(t *rapid.T) {
	if active := m.log.segments.Load().active(); active.size.Load() > 0 {
		require.NoError(t, m.log.Roll())
	}
}

func (m *machine) Flush(t *rapid.T) {
	require.NoError(t, m.log.Flush())
	m.flushed = m.end
}

func (m *machine) Truncate(t *rapid.T) {
	if len(m.batches) == 0 {
		return
	}
	i := rapid.IntRange(0, len(m.batches)-1).Draw(t, "first batch to go")
	if m.batches[i].base < m.start {
		return
	}
	m.end = m.batches[i].base
	m.batches = m.batches[:i]
	require.NoError(t, m.log.TruncateTo(m.end))
	m.flushed = min(m.flushed, m.end)
}

func (m *machine) RaiseStart(t *rapid.T) {
	m.start = rapid.Int64Range(m.start, m.end).Draw(t, "log start")
	require.NoError(t, m.log.IncrementLogStartOffset(m.start, "client delete records request"))
	if rapid.Bool().Draw(t, "delete segments") {
		_, err := m.log.DeleteOldSegments(time.Now())
		require.NoError(t, err)
	}
}

func (m *machine) Retention(t *rapid.T) {
	o := m.cfg.Options
	o.RetentionBytes = rapid.Int64Range(0, 3000).Draw(t, "retention.bytes")
	m.log.UpdateOptions(o)
	_, err := m.log.DeleteOldSegments(time.Now())
	require.NoError(t, err)
	m.log.UpdateOptions(m.cfg.Options)
	require.GreaterOrEqual(t, m.log.LogStartOffset(), m.start)
	m.start = m.log.LogStartOffset()
}

func (m *machine) Reopen(t *rapid.T) {
	require.NoError(t, m.log.Flush())
	require.NoError(t, m.log.Close())
	m.flushed = m.end
	m.cfg.RecoveryPoint = m.log.RecoveryPoint()
	m.open(t, true)
	require.Equal(t, m.end, m.log.LogEndOffset())
}

// Kill is kill -9: all that was written is there.
func (m *machine) Kill(t *rapid.T) {
	m.fs = m.fs.Clone()
	m.cfg.RecoveryPoint = rapid.Int64Range(0, m.log.RecoveryPoint()).Draw(t, "checkpointed recovery point")
	m.open(t, false)
	require.Equal(t, m.end, m.log.LogEndOffset())
}

// PowerCut may lose what was not flushed, from some batch on.
func (m *machine) PowerCut(t *rapid.T) {
	seed := rapid.Uint64().Draw(t, "seed")
	m.cfg.RecoveryPoint = m.log.RecoveryPoint()
	m.fs = m.fs.CrashClone(rand.New(rand.NewPCG(seed, 0)))
	m.open(t, false)
	m.end = m.log.LogEndOffset()
	require.GreaterOrEqual(t, m.end, min(m.flushed, m.end))
	require.GreaterOrEqual(t, m.end, m.flushed, "flushed records are gone")
	for len(m.batches) > 0 && m.batches[len(m.batches)-1].next() > m.end {
		m.batches = m.batches[:len(m.batches)-1]
	}
	m.start = m.log.LogStartOffset()
}

// Check reads everything, and looks up an offset and a timestamp.
func (m *machine) Check(t *rapid.T) {
	require.Equal(t, m.start, m.log.LogStartOffset())
	require.Equal(t, m.end, m.log.LogEndOffset())
	got := map[int64]string{}
	maxBytes := rapid.SampledFrom([]int{1, 200, 1 << 20}).Draw(t, "max bytes")
	for offset := m.start; offset < m.end; {
		info, err := m.log.Read(offset, maxBytes, HighWatermark, true)
		require.NoError(t, err)
		require.Positive(t, info.Records.Length, "nothing at %d of [%d, %d)", offset, m.start, m.end)
		offset = m.collect(t, info, offset, got)
	}
	for _, b := range m.batches {
		for i, value := range b.values {
			if o := b.base + int64(i); o >= m.start {
				require.Equal(t, value, got[o], "offset %d", o)
			}
		}
	}
	m.checkTimestamp(t)
	m.checkEpochs(t)
	_, err := m.log.Read(m.start-1, 1, HighWatermark, true)
	require.ErrorIs(t, err, kerr.OffsetOutOfRange)
	_, err = m.log.Read(m.end+1, 1, HighWatermark, true)
	require.ErrorIs(t, err, kerr.OffsetOutOfRange)
}

func (m *machine) collect(t *rapid.T, info FetchInfo, offset int64, got map[int64]string) int64 {
	data := make([]byte, info.Records.Length)
	require.NoError(t, readAll(info.Records.File, data, info.Records.Position))
	info.Records.Release()
	for len(data) > 0 {
		batch, rest, err := record.Split(data)
		if err != nil {
			break // cut by the limit
		}
		records := batch.Records(1 << 20)
		for records.Next() {
			if r := records.Record(); r.Offset >= offset {
				require.Equal(t, offset, r.Offset)
				got[offset] = string(r.Value)
				offset++
			}
		}
		require.NoError(t, records.Err())
		records.Close()
		data = rest
	}
	return offset
}

func (m *machine) checkTimestamp(t *rapid.T) {
	ts := rapid.Int64Range(baseTime-50, max(m.clock, baseTime)+50).Draw(t, "timestamp")
	_, offset, _, found, err := m.log.OffsetForTimestamp(ts)
	require.NoError(t, err)
	for _, b := range m.batches {
		for i, timestamp := range b.timestamps {
			if o := b.base + int64(i); o >= m.start && timestamp >= ts {
				require.True(t, found, "offset %d has %d, looked for %d; segments %s", o, timestamp, ts, joinSegments(*m.log.segments.Load()))
				require.Equal(t, o, offset, "looked for %d in %v, segments %s", ts, m.batches, joinSegments(*m.log.segments.Load()))
				return
			}
		}
	}
	require.False(t, found)
}

// TestModel runs as many histories as -rapid.checks says, three times; see
// `make crash`.
func TestModel(t *testing.T) {
	for _, kind := range []string{"anything", "crashes", "truncations"} {
		t.Run(kind, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				m := newMachine(t)
				actions := map[string]func(*rapid.T){
					"append": m.Append, "append again": m.Append, "and again": m.Append, "roll": m.Roll, "lead": m.Lead, "flush": m.Flush, "truncate": m.Truncate,
					"raise start": m.RaiseStart, "retention": m.Retention, "reopen": m.Reopen, "kill": m.Kill, "power cut": m.PowerCut, "": m.Check,
				}
				switch kind {
				case "crashes":
					actions["power cut again"], actions["kill again"] = m.PowerCut, m.Kill
				case "truncations":
					actions["truncate again"], actions["lead again"] = m.Truncate, m.Lead
				}
				t.Repeat(actions)
			})
		})
	}
}
