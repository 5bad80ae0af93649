package record

import (
	"encoding/hex"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"gregor/pkg/compress"
)

// captured are batches as a Java broker stored them: two records, key "k1" and
// null, values of 32 bytes.
var captured = map[string]string{
	"none":   "0000000000000000000000810000000002550b79de00000000000100000174876e800000000174876e8005ffffffffffffffffffffffffffff0000000250000000046b31406161616161616161616161616161616161616161616161616161616161616161004c000a020140616161616161616161616161616161616262626262626262626262626262626200",
	"lz4":    "000000000000000000000060000000000279dcea1400030000000100000174876e800000000174876e8005ffffffffffffffffffffffffffff0000000204224d18604082200000009f50000000046b31406101000c6d004c000a020127001762010050626262620000000000",
	"snappy": "000000000000000000000064000000000225515ada00020000000100000174876e800000000174876e8005ffffffffffffffffffffffffffff0000000282534e415050590000000001000000010000001f502050000000046b3140617a010014004c000a020142270000623a01000000",
	"zstd":   "0000000000000000000000590000000002f189166d00040000000100000174876e800000000174876e8005ffffffffffffffffffffffffffff0000000228b52ffd0058e400008850000000046b314061004c000a020162000300b84e283597061c01010000",
	"gzip":   "00000000000000000000005b000000000253f29d0f00010000000100000174876e800000000174876e8005ffffffffffffffffffffffffffff000000021f8b08000000000000ff0b60606060c93674482400187c18b89818319425a101060009fb41a650000000",
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}

func TestCapturedBatches(t *testing.T) {
	for codec, text := range captured {
		t.Run(codec, func(t *testing.T) {
			batch, rest, err := Split(unhex(t, text))
			require.NoError(t, err)
			require.Empty(t, rest)
			require.True(t, batch.Valid())
			require.Equal(t, codec, batch.Codec().String())
			require.EqualValues(t, 1, batch.LastOffset())
			require.EqualValues(t, 1600000000000, batch.BaseTimestamp())
			require.EqualValues(t, 1600000000005, batch.MaxTimestamp())
			require.False(t, batch.HasProducerID())
			require.Equal(t, NoSequence, batch.LastSequence())

			records := batch.Records(1 << 10)
			defer records.Close()
			require.True(t, records.Next())
			require.Equal(t, "k1", string(records.Record().Key))
			require.Equal(t, strings.Repeat("a", 32), string(records.Record().Value))
			require.True(t, records.Next())
			require.Nil(t, records.Record().Key)
			require.Equal(t, strings.Repeat("a", 16)+strings.Repeat("b", 16), string(records.Record().Value))
			require.EqualValues(t, 1, records.Record().Offset)
			require.EqualValues(t, 1600000000005, records.Record().Timestamp)
			require.False(t, records.Next())
			require.NoError(t, records.Err())

			var shapes []Shape
			require.NoError(t, batch.Walk(func(s Shape) error { shapes = append(shapes, s); return nil }))
			require.Equal(t, []Shape{{0, 0, 2, 32}, {1, 5, -1, 32}}, shapes)
		})
	}
}

func TestBuilderWritesWhatJavaWrites(t *testing.T) {
	b := NewBuilder(compress.None)
	b.LeaderEpoch = 0
	b.Append(1600000000000, []byte("k1"), []byte(strings.Repeat("a", 32)))
	b.Append(1600000000005, nil, []byte(strings.Repeat("a", 16)+strings.Repeat("b", 16)))
	require.Equal(t, captured["none"], hex.EncodeToString(b.MustBuild()))
}

func TestMarkers(t *testing.T) {
	commit := Batch(unhex(t, "0000000000000002000000420000000002180a56f1003000000000000001a1f70416a8000001a1f70416a800000000000000010000ffffffff000000012000000008000000010c00000000000000"))
	require.True(t, commit.Valid())
	require.True(t, commit.Control())
	require.True(t, commit.Transactional())
	marker, found, err := commit.EndTxnMarker()
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, EndTxnMarker{Type: ControlCommit}, marker)

	built := NewEndTxnMarker(marker, 1, 0, commit.MaxTimestamp())
	built.SetBaseOffset(2)
	built.SetLeaderEpoch(0)
	require.Equal(t, commit, built)

	other := NewEndTxnMarker(EndTxnMarker{Type: 3}, 1, 0, 5)
	_, found, err = other.EndTxnMarker()
	require.NoError(t, err)
	require.False(t, found, "a control record of another type")
}

func TestStampingLeavesTheChecksumAlone(t *testing.T) {
	b := Batch(unhex(t, captured["none"]))
	b.SetLastOffset(100)
	b.SetLeaderEpoch(7)
	require.EqualValues(t, 99, b.BaseOffset())
	require.EqualValues(t, 7, b.LeaderEpoch())
	require.True(t, b.Valid())
	before := b.CRC()
	b.SetMaxTimestamp(false, b.MaxTimestamp())
	require.Equal(t, before, b.CRC())
	b.SetMaxTimestamp(true, 5)
	require.NotEqual(t, before, b.CRC())
	require.True(t, b.Valid())
	require.True(t, b.LogAppendTime())
	require.EqualValues(t, 5, b.RecordTimestamp(Shape{TimestampDelta: 3}))
}

func TestSplitRefuses(t *testing.T) {
	good := unhex(t, captured["none"])
	change := func(at int, v byte) []byte {
		b := append([]byte(nil), good...)
		b[at] = v
		return b
	}
	for name, tc := range map[string]struct {
		bytes []byte
		want  error
	}{
		"empty":           {nil, ErrShort},
		"half a header":   {good[:40], ErrShort},
		"cut":             {good[:len(good)-1], ErrShort},
		"magic 0":         {change(16, 0), ErrOldFormat},
		"magic 1":         {change(16, 1), ErrOldFormat},
		"magic 3":         {change(16, 3), ErrCorrupt},
		"length too low":  {change(11, 48), ErrCorrupt},
		"negative length": {change(8, 0xff), ErrCorrupt},
		"length too high": {change(8, 0x7f), ErrShort},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := Split(tc.bytes)
			require.ErrorIs(t, err, tc.want)
		})
	}
}

func TestSequencesWrap(t *testing.T) {
	require.EqualValues(t, 0, AddSequence(math.MaxInt32, 1))
	require.EqualValues(t, 4, AddSequence(math.MaxInt32-1, 6))
	require.EqualValues(t, 7, AddSequence(3, 4))
}

type content struct {
	timestamp  int64
	key, value []byte
	headers    []Header
}

func drawContent(t *rapid.T) content {
	bytesOrNull := rapid.OneOf(rapid.Just([]byte(nil)), rapid.SliceOfN(rapid.Byte(), 0, 300))
	c := content{rapid.Int64Range(-1, 1<<45).Draw(t, "timestamp"), bytesOrNull.Draw(t, "key"), bytesOrNull.Draw(t, "value"), nil}
	for range rapid.IntRange(0, 3).Draw(t, "headers") {
		c.headers = append(c.headers, Header{rapid.SliceOfN(rapid.Byte(), 0, 5).Draw(t, "header"), bytesOrNull.Draw(t, "header value")})
	}
	return c
}

// What is built is what is read, whatever the codec, and Walk agrees.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := NewBuilder(compress.Codec(rapid.IntRange(0, 4).Draw(t, "codec")))
		b.BaseOffset = rapid.Int64Range(0, 1<<50).Draw(t, "base")
		contents := rapid.SliceOfN(rapid.Custom(drawContent), 0, 40).Draw(t, "records")
		for _, c := range contents {
			b.Append(c.timestamp, c.key, c.value, c.headers...)
		}
		batch := b.MustBuild()
		require.True(t, batch.Valid())
		require.Equal(t, len(batch), batch.Size())
		records := batch.Records(1 << 20)
		defer records.Close()
		for i, want := range contents {
			require.True(t, records.Next(), "%v", records.Err())
			r := records.Record()
			require.Equal(t, b.BaseOffset+int64(i), r.Offset)
			require.Equal(t, want.timestamp, r.Timestamp)
			require.Equal(t, want.key == nil, r.Key == nil)
			require.Equal(t, want.value == nil, r.Value == nil)
			require.Equal(t, string(want.key), string(r.Key))
			require.Equal(t, string(want.value), string(r.Value))
			require.Len(t, r.Headers, len(want.headers))
			for j, h := range want.headers {
				require.Equal(t, string(h.Key), string(r.Headers[j].Key))
				require.Equal(t, h.Value == nil, r.Headers[j].Value == nil)
				require.Equal(t, string(h.Value), string(r.Headers[j].Value))
			}
		}
		require.False(t, records.Next())
		require.NoError(t, records.Err())
		n := 0
		require.NoError(t, batch.Walk(func(s Shape) error {
			require.EqualValues(t, n, s.OffsetDelta)
			require.Equal(t, contents[n].key == nil, s.KeySize < 0)
			n++
			return nil
		}))
		require.Equal(t, len(contents), n)
	})
}

func TestLargeRecordsPassTheWindow(t *testing.T) {
	for codec := compress.None; codec <= compress.Zstd; codec++ {
		value := strings.Repeat("0123456789", 30_000)
		batch := NewBuilder(codec).Append(1, nil, []byte(value)).Append(2, []byte("k"), []byte("small")).MustBuild()
		records := batch.Records(1 << 20)
		require.True(t, records.Next(), "%s: %v", codec, records.Err())
		require.Equal(t, value, string(records.Record().Value))
		require.True(t, records.Next())
		require.Equal(t, "small", string(records.Record().Value))
		require.False(t, records.Next())
		require.NoError(t, records.Err())
		records.Close()

		records = batch.Records(1000)
		require.False(t, records.Next())
		require.ErrorIs(t, records.Err(), ErrCorrupt, "a record over the limit")
		records.Close()
	}
}

func TestBrokenRecordsAreFound(t *testing.T) {
	batch := Batch(unhex(t, captured["none"]))
	for name, change := range map[string]func(b Batch){
		"one record more":  func(b Batch) { b[countAt+3]++ },
		"one record less":  func(b Batch) { b[countAt+3]-- },
		"record too long":  func(b Batch) { b[HeaderSize] += 2 },
		"record too short": func(b Batch) { b[HeaderSize] -= 2 },
		"negative length":  func(b Batch) { b[HeaderSize] = 1 },
		"key too long":     func(b Batch) { b[HeaderSize+4] = 0x7e },
		"many headers":     func(b Batch) { b[len(b)-1] = 0x7e },
		"negative headers": func(b Batch) { b[len(b)-1] = 1 },
		"endless varint":   func(b Batch) { copy(b[HeaderSize:], "\xff\xff\xff\xff\xff\xff") },
		"no such codec":    func(b Batch) { b[attributesAt+1] = 6 },
	} {
		t.Run(name, func(t *testing.T) {
			b := append(Batch(nil), batch...)
			change(b)
			require.Error(t, b.Walk(func(Shape) error { return nil }))
			records := b.Records(1 << 20)
			defer records.Close()
			for records.Next() {
			}
			require.Error(t, records.Err())
		})
	}
}

func FuzzBatch(f *testing.F) {
	for _, text := range captured {
		f.Add(unhex(f, text))
	}
	f.Add([]byte(NewEndTxnMarker(EndTxnMarker{Type: ControlAbort, CoordinatorEpoch: 3}, 9, 1, 77)))
	f.Fuzz(func(t *testing.T, data []byte) {
		batch, rest, err := Split(data)
		if err != nil {
			return
		}
		require.Equal(t, len(data), len(batch)+len(rest))
		batch.Valid()
		batch.EndTxnMarker()
		walked := 0
		walkErr := batch.Walk(func(Shape) error { walked++; return nil })
		records := batch.Records(1 << 20)
		defer records.Close()
		read := 0
		for records.Next() {
			read++
		}
		if records.Err() == nil && batch.Count() >= 0 {
			require.NoError(t, walkErr)
			require.Equal(t, read, walked)
		}
	})
}

func BenchmarkWalk(b *testing.B) {
	builder := NewBuilder(compress.None)
	for range 150 {
		builder.Append(1600000000000, nil, make([]byte, 100))
	}
	batch := builder.MustBuild()
	b.SetBytes(int64(len(batch)))
	b.ReportAllocs()
	for b.Loop() {
		if err := batch.Walk(func(Shape) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}

func TestWalkAllocatesNothing(t *testing.T) {
	batch := Batch(unhex(t, captured["none"]))
	count := 0
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if err := batch.Walk(func(Shape) error { count++; return nil }); err != nil {
			t.Fatal(err)
		}
	}))
	require.NotZero(t, count)
}
