package logcleaner

import (
	"encoding/hex"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gregor/pkg/commitlog"
	"gregor/pkg/compress"
	"gregor/pkg/record"
)

func TestTheLastRecordOfAKeyStays(t *testing.T) {
	for _, codec := range []compress.Codec{compress.None, compress.Gzip, compress.Snappy, compress.LZ4, compress.Zstd} {
		t.Run(codec.String(), func(t *testing.T) {
			l := memLog(t, nil)
			add(t, l, commitlog.OriginClient, batchOf(codec, baseTime, kv{"a", 1}, kv{"b", 2}, kv{"a", 3}).MustBuild())
			add(t, l, commitlog.OriginClient, batchOf(codec, baseTime+100, kv{"c", 4}, kv{"b", 5}).MustBuild())
			roll(t, l)
			add(t, l, commitlog.OriginClient, batchOf(codec, baseTime+200, kv{"c", 6}).MustBuild())
			s := newShelf(l)
			cleanNow(t, s)
			require.Equal(t, []string{"2 a=3", "3 c=4", "4 b=5", "5 c=6"}, contents(t, l), "the active segment is left alone")
			require.EqualValues(t, 5, s.cleaned[testPartition])
			batches := batchesOf(t, l)
			require.EqualValues(t, 0, batches[0].BaseOffset())
			require.EqualValues(t, 2, batches[0].LastOffset())
			require.EqualValues(t, baseTime+2, batches[0].BaseTimestamp())
			require.EqualValues(t, baseTime+2, batches[0].MaxTimestamp())
			require.Equal(t, codec, batches[0].Codec())

			roll(t, l)
			cleanNow(t, s)
			require.Equal(t, []string{"2 a=3", "4 b=5", "5 c=6"}, contents(t, l))
			require.Equal(t, 2, l.Segments(), "the segments were put together")
			require.EqualValues(t, 6, l.LogEndOffset())
		})
	}
}

func TestTombstonesGoWhenTheyAreOldEnough(t *testing.T) {
	l := memLog(t, func(o *commitlog.Options) { o.DeleteRetentionMs = 0 })
	put(t, l, kv{"a", 1}, kv{"b", 2})
	put(t, l, kv{"a", nil})
	roll(t, l)
	s := newShelf(l)
	cleanNow(t, s)
	require.Equal(t, []string{"1 b=2", "2 a gone"}, contents(t, l), "nobody can have seen it yet")

	put(t, l, kv{"c", 3})
	roll(t, l)
	kept := l.Options()
	kept.DeleteRetentionMs = 1 << 40
	l.UpdateOptions(kept)
	cleanNow(t, s)
	require.Equal(t, []string{"1 b=2", "2 a gone", "3 c=3"}, contents(t, l))

	put(t, l, kv{"d", 4})
	roll(t, l)
	kept.DeleteRetentionMs = -1000 // the clean section is a moment old
	l.UpdateOptions(kept)
	cleanNow(t, s)
	require.Equal(t, []string{"1 b=2", "3 c=3", "4 d=4"}, contents(t, l))
}

func TestRecordsWithoutAKeyGo(t *testing.T) {
	l := memLog(t, func(o *commitlog.Options) { o.Compact = false })
	b := record.NewBuilder(compress.None)
	b.Append(baseTime, nil, []byte("no key")).Append(baseTime, []byte("k"), []byte("v"))
	add(t, l, commitlog.OriginClient, b.MustBuild())
	roll(t, l)
	l.UpdateOptions(testOptions())
	cleanNow(t, newShelf(l))
	require.Equal(t, []string{"1 k=v"}, contents(t, l))
}

func TestNothingIsCompactedBeforeItsTime(t *testing.T) {
	now := time.Now().UnixMilli()
	l := memLog(t, func(o *commitlog.Options) { o.MinCompactionLagMs = time.Hour.Milliseconds() })
	old := batchOf(compress.None, now-2*time.Hour.Milliseconds(), kv{"a", 1}, kv{"a", 2}).MustBuild()
	add(t, l, commitlog.OriginClient, old)
	roll(t, l)
	young := batchOf(compress.None, now-1000, kv{"a", 3}, kv{"a", 4}).MustBuild()
	add(t, l, commitlog.OriginClient, young)
	roll(t, l)
	s := newShelf(l)
	cleanNow(t, s)
	require.Equal(t, []string{"1 a=2", "2 a=3", "3 a=4"}, contents(t, l))
	require.EqualValues(t, 2, s.cleaned[testPartition])

	o := l.Options()
	o.MinCompactionLagMs, o.MinCleanableDirtyRatio = 0, 0.99
	l.UpdateOptions(o)
	cleanNow(t, s)
	require.Len(t, contents(t, l), 3, "not dirty enough")
	o.MaxCompactionLagMs = time.Hour.Milliseconds()
	l.UpdateOptions(o)
	cleanNow(t, s)
	require.Len(t, contents(t, l), 3, "the dirty section is young")
	o.MaxCompactionLagMs = 1
	l.UpdateOptions(o)
	gauges := cleanNow(t, s).Gauges()
	require.Positive(t, gauges.MaxCompactionDelay)
	require.Positive(t, gauges.RecopyPercent)
	require.Equal(t, []string{"3 a=4"}, contents(t, l), "max.compaction.lag.ms is stronger than the ratio")
}

func TestTheHighWatermarkIsNotPassed(t *testing.T) {
	l := memLog(t, nil)
	put(t, l, kv{"a", 1})
	put(t, l, kv{"a", 2})
	roll(t, l)
	_, err := l.AppendAsLeader(batchOf(compress.None, baseTime, kv{"a", 3}).MustBuild(), 0, commitlog.OriginClient)
	require.NoError(t, err)
	roll(t, l) // high watermark at 2
	cleanNow(t, newShelf(l))
	require.Equal(t, []string{"1 a=2", "2 a=3"}, contents(t, l))
}

func TestAMapThatIsTooSmallIsFilledInTurns(t *testing.T) {
	l := memLog(t, func(o *commitlog.Options) { o.SegmentBytes = 1000 })
	for i := range 300 {
		put(t, l, kv{string(rune('A' + i%50)), i})
	}
	roll(t, l)
	s := newShelf(l)
	c := New(testConfig(), s, nil)
	cfg := testConfig()
	cfg.DedupeBufferSize = 20 * slotBytes
	c.config.Store(&cfg)
	w := newWorker(0, cfg, c.log, &c.throttle)
	turns := 0
	for c.cleanDirtiest(t.Context(), w) {
		turns++
		require.Less(t, turns, 300)
	}
	require.Greater(t, turns, 2)
	all := contents(t, l)
	require.GreaterOrEqual(t, len(all), 50)
	require.Contains(t, all, "299 r=299")
	require.EqualValues(t, 300, s.cleaned[testPartition])
}

// The map may end within a segment. An aborted transaction that lies behind
// that end in the same segment keeps its marker, or it would be undecided.
func TestAnAbortedTransactionBehindTheMapsEnd(t *testing.T) {
	l := memLog(t, func(o *commitlog.Options) { o.DeleteRetentionMs = -1 << 40 })
	put(t, l, kv{"a", 1}, kv{"b", 2}, kv{"c", 3})
	b := batchOf(compress.None, baseTime, kv{"a", "aborted"})
	b.ProducerID, b.ProducerEpoch, b.BaseSequence, b.Transactional = 7, 0, 0, true
	add(t, l, commitlog.OriginClient, b.MustBuild())
	add(t, l, commitlog.OriginCoordinator, record.NewEndTxnMarker(record.EndTxnMarker{Type: record.ControlAbort}, 7, 0, baseTime))
	roll(t, l)
	c := New(testConfig(), newShelf(l), nil)
	w := newWorker(0, testConfig(), c.log, &c.throttle)
	w.offsets = NewOffsetMap(3*slotBytes, 0.9)
	require.True(t, c.cleanDirtiest(t.Context(), w))
	require.Equal(t, []string{"0 a=1", "1 b=2", "2 c=3", "3 empty", "4 marker 0"}, contents(t, l))
	require.Equal(t, map[string]string{"a": "1", "b": "2", "c": "3"}, committedIn(t, l))
}

// A batch that Kafka 3.9 has stamped with a delete horizon (KIP-534): the
// field of the base timestamp holds that, and the records count from it. The
// bytes are of a running 3.9.1. Written anew, the records keep their times.
func TestABatchWithADeleteHorizon(t *testing.T) {
	bytes, err := hex.DecodeString("000000000000000c0000005e0000000002de042b1f004000000003000001a1f9c24f1b000001a1f9b9057300000000000000030000000000000000" +
		"00041600e7a74a000261047834001200cfa64a02026201001600cfa64a040263047934001400cfa64a060464340100")
	require.NoError(t, err)
	b := record.Batch(bytes)
	require.True(t, b.Valid())
	timesOf := func(b record.Batch) map[string]int64 {
		times := map[string]int64{}
		require.NoError(t, record.Any(b).Visit(1000, func(r *record.Record) error {
			times[string(r.Key)] = r.Timestamp
			return nil
		}))
		return times
	}
	require.Equal(t, map[string]int64{"a": 1795191014695, "b": 1795191014771, "c": 1795191014771, "d4": 1795191014771}, timesOf(b))
	m := NewOffsetMap(1000, 0.9)
	m.reset(10)
	m.put(hashOf([]byte("a")), 16)
	f := &filter{offsets: m, txns: newTransactions(), stats: &Stats{}, retainDeletes: true}
	f.beginChunk()
	require.NoError(t, f.add(record.Any(b)))
	written := record.Batch(f.out)
	require.True(t, written.Valid())
	require.EqualValues(t, 1795191014771, written.BaseTimestamp())
	require.Equal(t, map[string]int64{"b": 1795191014771, "c": 1795191014771, "d4": 1795191014771}, timesOf(written))
	require.Zero(t, f.out[22]&0x40, "no delete horizon: 2.8 knows none")
}
