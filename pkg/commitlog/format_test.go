package commitlog

import (
	"bytes"
	"fmt"
	"math"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gregor/pkg/compress"
	"gregor/pkg/kerr"
	"gregor/pkg/model"
	"gregor/pkg/record"
	"gregor/pkg/vfs"
)

// stored is a record as it lies in a log.
type stored struct {
	Magic             int8
	Codec             compress.Codec
	Offset, Timestamp int64
	Key, Value        string
}

// contents reads everything in a log.
func contents(t testing.TB, l *Log) (out []stored) {
	t.Helper()
	for _, s := range *l.segments.Load() {
		raw := make([]byte, s.size.Load())
		file, err := s.acquire()
		require.NoError(t, err)
		require.NoError(t, readAll(file, raw, 0))
		file.drop()
		for len(raw) > 0 {
			b, rest, err := record.SplitAny(raw)
			require.NoError(t, err)
			require.True(t, b.Valid())
			require.NoError(t, b.Visit(math.MaxInt32, func(r *record.Record) error {
				out = append(out, stored{b.Magic(), b.Codec(), r.Offset, r.Timestamp, string(r.Key), string(r.Value)})
				return nil
			}))
			raw = rest
		}
	}
	return out
}

// sent is a set of count records in a format, as producers of its time send it.
func sent(t testing.TB, magic int8, codec compress.Codec, count int) []byte {
	if magic == record.Magic {
		b := record.NewBuilder(codec)
		for i := range count {
			b.Append(baseTime+int64(i), []byte("k"), fmt.Appendf(nil, "value %d", i))
		}
		return b.MustBuild()
	}
	b := record.NewOldBuilder(magic, codec)
	for i := range count {
		b.Append(int64(i), baseTime+int64(i), []byte("k"), fmt.Appendf(nil, "value %d", i))
	}
	set, err := b.Build()
	require.NoError(t, err)
	if codec != compress.None {
		record.Any(set).SetLastOffset(int64(count - 1))
	}
	return set
}

func formatOptions(magic int8, compression string, change func(*Options)) func(*Options) {
	return func(o *Options) {
		o.OldFormat, o.CompressionType = OldFormatOf(magic), compression
		if change != nil {
			change(o)
		}
	}
}

// Every format goes into every log with every codec.
func TestAppendsOfEveryFormat(t *testing.T) {
	for target := range int8(3) {
		for _, compression := range []string{"producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"} {
			for magic := range int8(3) {
				for codec := compress.None; codec <= compress.Zstd; codec++ {
					t.Run(fmt.Sprintf("%d %s to %d %s", magic, codec, target, compression), func(t *testing.T) {
						if magic < 2 && codec == compress.Zstd {
							return // does not exist
						}
						testFormat(t, magic, codec, target, compression)
					})
				}
			}
		}
	}
}

func testFormat(t *testing.T, magic int8, codec compress.Codec, target int8, compression string) {
	opts := Options{CompressionType: compression}
	want := opts.targetCodec(codec)
	for _, appendTime := range []bool{false, true} {
		l := newTest(t, formatOptions(target, compression, func(o *Options) { o.LogAppendTime = appendTime }))
		for round := range int64(2) {
			before := time.Now().UnixMilli()
			info, err := l.AppendAsLeader(sent(t, magic, codec, 3), 4, OriginClient)
			if want == compress.Zstd && target < 2 {
				require.Equal(t, kerr.UnsupportedCompressionType, kerr.Of(err))
				return
			}
			require.NoError(t, err)
			require.Equal(t, [2]int64{3 * round, 3*round + 2}, [2]int64{info.FirstOffset, info.LastOffset})
			require.Equal(t, appendTime, info.LogAppendTime >= before)
		}
		got := contents(t, l)
		require.Len(t, got, 6)
		for i, r := range got {
			timestamp := baseTime + int64(i%3)
			switch {
			case target == 0 || magic == 0 && !appendTime:
				timestamp = record.NoTimestamp
			case appendTime:
				require.Greater(t, r.Timestamp, baseTime+1000)
				timestamp = r.Timestamp
			}
			require.Equal(t, stored{target, want, int64(i), timestamp, "k", fmt.Sprintf("value %d", i%3)}, r)
		}
		_, found := l.epochs.latest()
		require.Equal(t, target == 2, found, "only format 2 has epochs")
		require.Equal(t, target == 2, vfs.Exists(l.fs, l.place.path(epochFile)))
	}
}

// What is in the log's form is not written anew: the bytes stay, but for the
// offsets.
func TestAppendsInPlace(t *testing.T) {
	for name, row := range map[string]struct {
		magic int8
		codec compress.Codec
	}{"plain of format 0": {0, compress.None}, "plain of format 1": {1, compress.None}, "wrapper of format 1": {1, compress.Gzip}, "format 2": {2, compress.LZ4}} {
		t.Run(name, func(t *testing.T) {
			l := newTest(t, formatOptions(row.magic, "producer", nil))
			appendTest(t, l, sent(t, row.magic, row.codec, 2))
			bytesSent := sent(t, row.magic, row.codec, 3)
			want := bytes.Clone(bytesSent)
			offset := int64(2)
			for rest := want; len(rest) > 0; offset++ {
				b, next, err := record.SplitAny(rest)
				require.NoError(t, err)
				b.SetLastOffset(b.LastOffset() + 2)
				rest = next
			}
			start := (*l.segments.Load())[0].size.Load()
			_, err := l.AppendAsLeader(bytesSent, 0, OriginClient)
			require.NoError(t, err)
			if row.magic == 2 {
				record.Batch(want).SetLeaderEpoch(0)
			}
			got := make([]byte, len(want))
			file, err := (*l.segments.Load())[0].acquire()
			require.NoError(t, err)
			defer file.drop()
			require.NoError(t, readAll(file, got, start))
			require.Equal(t, want, got)
		})
	}
}

// Some old producers leave the offsets of what they compress at 0.
func TestWrappersThatDoNotCount(t *testing.T) {
	l := newTest(t, formatOptions(1, "producer", nil))
	inner := record.NewOldBuilder(0, compress.None)
	for range 3 {
		inner.Append(0, 0, nil, []byte("v"))
	}
	// The messages of a set of format 0 all have absolute offset 0 here.
	zero, err := inner.Build()
	require.NoError(t, err)
	l0 := newTest(t, formatOptions(0, "gzip", nil))
	_, err = l0.AppendAsLeader(bytes.Clone(zero), 0, OriginClient)
	require.NoError(t, err)
	require.EqualValues(t, 3, l0.LogEndOffset())
	got := contents(t, l0)
	require.Len(t, got, 3)
	require.EqualValues(t, 2, got[2].Offset)

	gap := record.NewOldBuilder(1, compress.Snappy).Append(0, baseTime, nil, []byte("a")).Append(5, baseTime, nil, []byte("b"))
	set, err := gap.Build()
	require.NoError(t, err)
	info, err := l.AppendAsLeader(set, 0, OriginClient)
	require.NoError(t, err)
	require.EqualValues(t, 1, info.LastOffset)
	require.EqualValues(t, 1, contents(t, l)[1].Offset)
}

func TestRefusedOldSets(t *testing.T) {
	now := time.Now().UnixMilli()
	plain := func(magic int8) []byte { return sent(t, magic, compress.None, 2) }
	change := func(set []byte, f func(b []byte)) []byte {
		set = bytes.Clone(set)
		f(set)
		first, _, err := record.SplitAny(set)
		if err == nil && first.IsOld() {
			m := record.OldMessage(first)
			m.SetTimestamp(!m.LogAppendTime(), m.Timestamp()) // twice, which makes the checksum right
			m.SetTimestamp(!m.LogAppendTime(), m.Timestamp())
		}
		return set
	}
	stamped := record.NewOldBuilder(1, compress.None)
	stamped.SetLogAppendTime(now)
	byAppendTime, err := stamped.Append(0, 0, nil, nil).Build()
	require.NoError(t, err)
	keyless, err := record.NewOldBuilder(1, compress.Gzip).Append(0, now, nil, []byte("v")).Build()
	require.NoError(t, err)
	headers := record.NewBuilder(compress.None).Append(now, nil, nil, record.Header{Key: []byte("h")}).MustBuild()
	future := func(o *Options) { o.TimestampDifferenceMaxMs = 1000 }
	producer, transactional := produced(1, 0, 0, 1), produced(1, 0, 0, 1)
	transactional.Transactional = true
	huge := record.NewBuilder(compress.Gzip).Append(now, nil, make([]byte, 9<<20)).MustBuild()
	damaged := change(sent(t, 1, compress.Gzip, 2), func(b []byte) { b[len(b)-12] ^= 0xff })
	for name, tc := range map[string]struct {
		options func(*Options)
		bytes   []byte
		want    *kerr.Error
	}{
		"wrong checksum":          {nil, func() []byte { b := plain(1); b[len(b)-1] ^= 1; return b }(), kerr.CorruptMessage},
		"two formats":             {nil, append(plain(0), plain(1)...), kerr.InvalidRecord},
		"two wrappers":            {nil, append(sent(t, 1, compress.Gzip, 1), sent(t, 1, compress.Gzip, 1)...), kerr.InvalidRecord},
		"old and new":             {nil, append(plain(1), sent(t, 2, compress.None, 1)...), kerr.InvalidRecord},
		"zstd":                    {nil, change(sent(t, 1, compress.Gzip, 1), func(b []byte) { b[17] = 4 }), kerr.InvalidRecord},
		"codec 6":                 {nil, change(sent(t, 1, compress.Gzip, 1), func(b []byte) { b[17] = 6 }), kerr.InvalidRecord},
		"damaged block":           {nil, damaged, kerr.InvalidRecord},
		"append time of a client": {formatOptions(1, "producer", nil), byAppendTime, kerr.InvalidTimestamp},
		"no key":                  {func(o *Options) { o.Compact = true }, keyless, kerr.InvalidRecord},
		"too old":                 {formatOptions(1, "producer", future), plain(1), kerr.InvalidTimestamp},
		"too old, converted":      {future, sent(t, 1, compress.LZ4, 2), kerr.InvalidTimestamp},
		"headers":                 {formatOptions(1, "producer", nil), headers, kerr.UnsupportedForMessageFormat},
		"idempotent":              {formatOptions(1, "producer", nil), producer.MustBuild(), kerr.UnsupportedForMessageFormat},
		"transactional":           {formatOptions(0, "producer", nil), transactional.MustBuild(), kerr.UnsupportedForMessageFormat},
		"zstd, where it is not":   {func(o *Options) { o.RefuseZstd = true }, sent(t, 2, compress.Zstd, 1), kerr.UnsupportedCompressionType},
		"grows above the limit":   {func(o *Options) { o.MaxMessageBytes, o.CompressionType = 100_000, "uncompressed" }, huge, kerr.MessageTooLarge},
		"one batch above it":      {func(o *Options) { o.MaxMessageBytes = 90 }, sent(t, 1, compress.None, 3), kerr.MessageTooLarge},
		"negative time":           {formatOptions(1, "producer", nil), record.NewBuilder(compress.None).Append(-5, nil, nil).MustBuild(), kerr.InvalidTimestamp},
	} {
		t.Run(name, func(t *testing.T) {
			l := newTest(t, tc.options)
			_, err := l.AppendAsLeader(tc.bytes, 0, OriginClient)
			require.Equal(t, tc.want.Name, kerr.Of(err).Name, "%v", err)
			require.Zero(t, l.LogEndOffset())
			require.Zero(t, l.Size())
		})
	}
}

// A leader of an older version sends old messages.
func TestFollowersTakeOldMessages(t *testing.T) {
	for _, codec := range []compress.Codec{compress.None, compress.Gzip} {
		leader := newTest(t, formatOptions(1, "producer", nil))
		for range 4 {
			appendTest(t, leader, sent(t, 1, codec, 3))
		}
		leader.SetHighWatermark(12)
		follower := newTest(t, func(o *Options) { o.SegmentBytes = 300 })
		require.NoError(t, follower.AssignEpochStart(3, 0))
		for follower.LogEndOffset() < 12 {
			info, err := leader.Read(follower.LogEndOffset(), 200, LogEnd, true)
			require.NoError(t, err)
			raw := make([]byte, info.Records.Length)
			require.NoError(t, readAll(info.Records.File, raw, info.Records.Position))
			info.Records.Release()
			_, err = follower.AppendAsFollower(raw)
			require.NoError(t, err)
		}
		require.Equal(t, contents(t, leader), contents(t, follower))
		require.Equal(t, model.NoLeaderEpoch, follower.LatestEpoch(), "the epochs do not hold any more")
		require.Greater(t, follower.Segments(), 1)
	}
}

func TestTheFormatOfALogChanges(t *testing.T) {
	cfg := testConfig(vfs.NewMem())
	l := openTest(t, cfg)
	file := l.place.path(epochFile)
	format := func(magic int8) {
		o := l.Options()
		o.OldFormat = OldFormatOf(magic)
		l.UpdateOptions(o)
	}
	for i, magic := range []int8{2, 0, 1, 2} {
		format(magic)
		_, err := l.AppendAsLeader(sent(t, 2, compress.None, 2), model.LeaderEpoch(7), OriginClient)
		require.NoError(t, err)
		require.Equal(t, magic == 2, vfs.Exists(cfg.FS, file))
		epoch, start, found := l.LatestEpochStart()
		require.Equal(t, magic == 2, found)
		if found {
			require.Equal(t, [2]int64{7, int64(2 * i)}, [2]int64{int64(epoch), start})
		}
	}
	magics := ""
	for _, r := range contents(t, l) {
		magics += fmt.Sprint(r.Magic)
	}
	require.Equal(t, "22001122", magics)
	_, offset, _, found, err := l.OffsetForTimestamp(baseTime + 1)
	require.NoError(t, err)
	require.True(t, found)
	require.EqualValues(t, 1, offset)
	format(0)
	_, _, _, _, err = l.OffsetForTimestamp(baseTime)
	require.Equal(t, kerr.UnsupportedForMessageFormat, kerr.Of(err))
}

// A time is found within a wrapper.
func TestTimesOfOldMessages(t *testing.T) {
	for _, codec := range []compress.Codec{compress.None, compress.LZ4} {
		l := newTest(t, formatOptions(1, "producer", nil))
		appendTest(t, l, sent(t, 1, compress.None, 1))
		appendTest(t, l, sent(t, 1, codec, 5))
		for i := int64(1); i < 5; i++ {
			timestamp, offset, epoch, found, err := l.OffsetForTimestamp(baseTime + i)
			require.NoError(t, err)
			require.True(t, found)
			require.Equal(t, [3]int64{baseTime + i, 1 + i, -1}, [3]int64{timestamp, offset, int64(epoch)})
		}
		_, _, _, found, err := l.OffsetForTimestamp(baseTime + 5)
		require.NoError(t, err)
		require.False(t, found)
	}
}

// What a small batch of 60 MB grows to on its way into another form is never
// held as a whole, and goes into the log if it is small again there.
func TestMemoryOfConversions(t *testing.T) {
	const records, size = 6000, 10_000
	value := make([]byte, size)
	v2 := record.NewBuilder(compress.Gzip)
	v1 := record.NewOldBuilder(1, compress.Gzip)
	for i := range records {
		v2.Append(baseTime, nil, value)
		v1.Append(int64(i), baseTime, nil, value)
	}
	batch := v2.MustBuild()
	set, err := v1.Build()
	require.NoError(t, err)
	for name, row := range map[string]struct {
		set    []byte
		target int8
		codec  string
		want   error
	}{
		"format 2 in another codec": {batch, 2, "lz4", nil},
		"down":                      {batch, 1, "lz4", nil},
		"up":                        {set, 2, "lz4", nil},
		"in place":                  {set, 1, "producer", nil},
		"uncompressed":              {batch, 2, "uncompressed", kerr.MessageTooLarge},
		"down, uncompressed":        {batch, 1, "uncompressed", kerr.MessageTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			l := newTest(t, formatOptions(row.target, row.codec, nil))
			limit := uint64(2*l.Options().MaxMessageBytes + 8<<20)
			var before, after runtime.MemStats
			done := make(chan uint64)
			stop := make(chan struct{})
			runtime.GC()
			runtime.ReadMemStats(&before)
			go func() { // the most that is in use while it runs
				most := uint64(0)
				for {
					runtime.ReadMemStats(&after)
					most = max(most, after.HeapInuse)
					select {
					case <-stop:
						done <- most
						return
					default:
						runtime.Gosched()
					}
				}
			}()
			_, err := l.AppendAsLeader(bytes.Clone(row.set), 0, OriginClient)
			close(stop)
			most := <-done
			if row.want == nil {
				require.NoError(t, err)
				require.EqualValues(t, records, l.LogEndOffset())
			} else {
				require.Equal(t, row.want, error(kerr.Of(err)))
			}
			// What a slice leaves behind as it grows is counted until it is
			// collected.
			require.Less(t, most, before.HeapInuse+4*limit)
		})
	}
}

func FuzzAppendOldSets(f *testing.F) {
	for magic := range int8(2) {
		for _, codec := range []compress.Codec{compress.None, compress.Gzip, compress.Snappy, compress.LZ4} {
			f.Add(sent(f, magic, codec, 3), magic, uint8(2))
		}
	}
	names := []string{"producer", "uncompressed", "gzip", "lz4"}
	f.Fuzz(func(t *testing.T, data []byte, target int8, compression uint8) {
		l := newTest(t, formatOptions(max(0, target)%3, names[int(compression)%len(names)], nil))
		info, err := l.AppendAsLeader(data, 0, OriginClient)
		if err != nil {
			require.Zero(t, l.LogEndOffset())
			return
		}
		require.Equal(t, info.LastOffset+1, l.LogEndOffset())
		if info.FirstOffset >= 0 {
			require.EqualValues(t, info.LastOffset-info.FirstOffset+1, len(contents(t, l)))
		}
	})
}

func BenchmarkConvertOnAppend(b *testing.B) {
	for _, row := range []struct {
		name   string
		magic  int8
		codec  compress.Codec
		target int8
	}{{"up plain", 1, compress.None, 2}, {"up lz4", 1, compress.LZ4, 2}, {"down plain", 2, compress.None, 1}, {"down lz4", 2, compress.LZ4, 1}} {
		b.Run(row.name, func(b *testing.B) {
			l := openDisk(b)
			o := l.Options()
			o.OldFormat = OldFormatOf(row.target)
			l.UpdateOptions(o)
			set := sent(b, row.magic, row.codec, 500)
			b.SetBytes(int64(len(sent(b, row.magic, compress.None, 500))))
			b.ReportAllocs()
			buf := make([]byte, len(set))
			for b.Loop() {
				copy(buf, set)
				if _, err := l.AppendAsLeader(buf, 0, OriginClient); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
