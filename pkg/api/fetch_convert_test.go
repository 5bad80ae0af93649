package api

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"gregor/pkg/compress"
	"gregor/pkg/kerr"
	"gregor/pkg/record"
	"gregor/pkg/replica"
	"gregor/pkg/wire"
)

// wholeOld is what an old client makes of an answer: whole messages, and
// nothing of one that is cut.
func wholeOld(t testing.TB, set []byte, to int8) (offsets []int64) {
	t.Helper()
	for {
		b, rest, err := record.SplitAny(set)
		if err != nil {
			require.ErrorIs(t, err, record.ErrShort, "what is left must look like a message that was cut")
			return offsets
		}
		require.LessOrEqual(t, b.Magic(), to)
		require.True(t, b.Valid())
		require.NoError(t, b.Visit(1<<30, func(r *record.Record) error { offsets = append(offsets, r.Offset); return nil }))
		set = rest
	}
}

func upTo(from, to int64) (offsets []int64) {
	for ; from < to; from++ {
		offsets = append(offsets, from)
	}
	return offsets
}

func TestFetchConverts(t *testing.T) {
	p := newDataPlane(t)
	p.lead("t", 1)
	p.put("t", 0, "a", "b", "c")
	for version := int16(0); version <= 4; version++ {
		part := p.fetched(fetchOf(version, "t", 0, 0))
		require.Zero(t, part.ErrorCode)
		require.Equal(t, formatOf(version), int8(part.RecordBatches[16]))
		require.Equal(t, upTo(0, 3), wholeOld(t, part.RecordBatches, formatOf(version)), "version %d", version)
		if version < 4 {
			require.Equal(t, upTo(1, 3), wholeOld(t, p.fetched(fetchOf(version, "t", 0, 1)).RecordBatches, 1))
		}
	}
	p.settings.RefuseOldReaders = true
	p.replicas.UpdateTopicSettings("t", p.settings)
	for version, want := range map[int16]*kerr.Error{1: kerr.UnsupportedVersion, 3: kerr.UnsupportedVersion, 4: nil} {
		require.Equal(t, kerr.Code(asError(want)), p.fetched(fetchOf(version, "t", 0, 0)).ErrorCode)
	}
	follower := fetchOf(3, "t", 0, 0)
	follower.ReplicaID = replicaDebug
	require.Equal(t, kerr.UnsupportedVersion.Code, p.fetched(follower).ErrorCode)
}

const replicaDebug = int32(replica.DebugID)

// What a Java broker answers to a fetch of version 3 at a limit of 70 bytes: a
// message of 35 bytes and a header that announces 61 more.
func TestFetchFillsAsJava(t *testing.T) {
	p := newDataPlane(t)
	p.lead("t", 1)
	one := record.NewBuilder(compress.None).Append(1600000000000, nil, []byte("v")).MustBuild()
	require.Len(t, []byte(one), 69)
	for range 2 {
		require.Zero(t, p.produced(produceOf(9, -1, "t", 0, append([]byte(nil), one...))).ErrorCode)
	}
	req := fetchOf(3, "t", 0, 0)
	req.Topics[0].Partitions[0].PartitionMaxBytes = 70
	part := p.fetched(req)
	require.Len(t, part.RecordBatches, 70)
	require.Equal(t, []int64{0}, wholeOld(t, part.RecordBatches, 1))
	fill := part.RecordBatches[35:]
	require.EqualValues(t, -1, int64(binary.BigEndian.Uint64(fill)))
	require.EqualValues(t, 61, binary.BigEndian.Uint32(fill[8:]))
	require.Equal(t, make([]byte, 70-35-12), fill[12:])
	// A hard limit that cuts the first batch: nothing is converted, the client
	// sees that it must ask for more.
	req = fetchOf(2, "t", 0, 0)
	req.Topics[0].Partitions[0].PartitionMaxBytes = 50
	require.Len(t, p.fetched(req).RecordBatches, 50)
}

func TestFetchOfWhatCannotBeConverted(t *testing.T) {
	p := newDataPlane(t)
	p.lead("t", 1)
	zstd := record.NewBuilder(compress.Zstd).Append(1, nil, []byte("v")).MustBuild()
	p.put("t", 0, "before")
	require.Zero(t, p.produced(produceOf(9, -1, "t", 0, zstd)).ErrorCode)
	p.put("t", 0, "behind")
	require.Equal(t, []int64{0}, wholeOld(t, p.fetched(fetchOf(3, "t", 0, 0)).RecordBatches, 1))
	require.Equal(t, kerr.UnsupportedCompressionType.Code, p.fetched(fetchOf(3, "t", 0, 1)).ErrorCode)
	require.Equal(t, []int64{2}, wholeOld(t, p.fetched(fetchOf(3, "t", 0, 2)).RecordBatches, 1))
}

// region is a run of batches as a log gives it.
func region(b []byte) wire.FileRegion {
	return wire.FileRegion{File: bytes.NewReader(b), Length: int64(len(b)), Release: func() {}}
}

// readConverted reads a conversion in pieces.
func readConverted(t testing.TB, c *converted, piece int) []byte {
	t.Helper()
	var out []byte
	for int64(len(out)) < c.size {
		p := make([]byte, min(int64(piece), c.size-int64(len(out))))
		n, err := c.ReadAt(p, int64(len(out)))
		require.NoError(t, err)
		require.Len(t, p, n)
		out = append(out, p...)
	}
	_, err := c.ReadAt(make([]byte, 1), int64(len(out)))
	require.Equal(t, io.EOF, err)
	_, err = c.ReadAt(make([]byte, 1), 0)
	require.Error(t, err, "it is read once")
	return out
}

func TestOnlyMarkers(t *testing.T) {
	marker := record.NewEndTxnMarker(record.EndTxnMarker{}, 1, 0, 5)
	c := newConverted(region(append(bytes.Clone(marker), marker...)), 1, 0, 1<<20)
	needed, err := c.needed(false)
	require.NoError(t, err)
	require.True(t, needed)
	require.NoError(t, c.begin())
	require.EqualValues(t, 12, c.size, "as much as makes the client go on")
	require.Equal(t, "ffffffffffffffff0000003d", fmt.Sprintf("%x", readConverted(t, c, 100)))
	c.release()
}

// A client that goes on behind the last whole message gets every record in
// order, whatever is in the log and wherever answers are cut.
func TestConversionsAreSound(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 4))
		var log []byte
		var want []int64
		starts := map[int64]int{} // where the batch of an offset begins
		next := int64(0)
		for range 1 + r.IntN(30) {
			b, offsets := randomBatch(t, r, next)
			for offset := next; offset <= b.LastOffset(); offset++ {
				starts[offset] = len(log)
			}
			log = append(log, b...)
			want = append(want, offsets...)
			next = b.LastOffset() + 1
		}
		for to := range int8(2) {
			require.Equal(t, want, readAsClient(t, r, log, starts, next, to), "seed %d, format %d", seed, to)
		}
	}
}

func randomBatch(t testing.TB, r *rand.Rand, base int64) (b record.Any, offsets []int64) {
	count := 1 + r.IntN(20)
	size := []int{0, 10, 1000, 40_000}[r.IntN(4)]
	if r.IntN(10) == 0 {
		count, size = 3000, 100 // larger than a chunk
	}
	codec := compress.Codec(r.IntN(4))
	magic := int8(r.IntN(3))
	if r.IntN(8) == 0 {
		marker := record.NewEndTxnMarker(record.EndTxnMarker{}, 1, 0, 5)
		marker.SetBaseOffset(base)
		return record.Any(marker), nil
	}
	value := make([]byte, size)
	if magic == record.Magic {
		builder := record.NewBuilder(codec)
		builder.BaseOffset = base
		for i := range count {
			builder.Append(int64(i), nil, value)
		}
		return record.Any(builder.MustBuild()), upTo(base, base+int64(count))
	}
	if codec == compress.None {
		count = 1
	}
	builder := record.NewOldBuilder(magic, codec)
	for i := range count {
		builder.Append(base+int64(i), int64(i), nil, value)
	}
	set, err := builder.Build()
	require.NoError(t, err)
	return record.Any(bytes.Clone(set)), upTo(base, base+int64(count))
}

// readAsClient fetches until the end of the log.
func readAsClient(t testing.TB, r *rand.Rand, log []byte, starts map[int64]int, end int64, to int8) (got []int64) {
	position := int64(0)
	for position < end {
		from := log[starts[position]:]
		first, _, err := record.SplitAny(from)
		require.NoError(t, err)
		limit := min(len(from), max(len(first), r.IntN(300_000)))
		released := 0
		log := wire.FileRegion{File: bytes.NewReader(from), Length: int64(limit), Release: func() { released++ }}
		c := newConverted(log, to, position, 1<<20)
		needed, err := c.needed(false)
		require.NoError(t, err)
		set := from[:limit]
		if needed {
			require.NoError(t, c.begin())
			require.GreaterOrEqual(t, c.size, int64(12))
			set = readConverted(t, c, 1+r.IntN(100_000))
			c.release()
			require.Equal(t, 1, released)
		}
		offsets := wholeOld(t, set, to)
		before := position
		for _, offset := range offsets {
			if offset >= position { // clients drop what they did not ask for
				got, position = append(got, offset), offset+1
			}
		}
		if position == before {
			// Only markers: a client that cannot see them waits here for data
			// behind them, unless they are all there is in the answer.
			require.True(t, allMarkers(t, from[:limit]), "an answer without progress at %d", position)
			position += countMarkers(from[:limit])
		}
	}
	return got
}

func allMarkers(t testing.TB, b []byte) bool {
	for {
		batch, rest, err := record.SplitAny(b)
		if errors.Is(err, record.ErrShort) {
			return true
		}
		require.NoError(t, err)
		if !batch.Control() {
			return false
		}
		b = rest
	}
}

func countMarkers(b []byte) (n int64) {
	for {
		_, rest, err := record.SplitAny(b)
		if err != nil {
			return n
		}
		n, b = n+1, rest
	}
}

func FuzzConverted(f *testing.F) {
	f.Add([]byte(record.NewBuilder(compress.LZ4).Append(1, nil, []byte("v")).MustBuild()), int64(0), 10)
	f.Add([]byte(record.NewBuilder(compress.None).Append(1, nil, []byte("v")).MustBuild()), int64(1), 1000)
	f.Fuzz(func(t *testing.T, log []byte, from int64, piece int) {
		for to := range int8(2) {
			c := newConverted(region(log), to, from, 1<<16)
			if needed, err := c.needed(false); err == nil && needed && c.begin() == nil {
				p := make([]byte, 1+(piece&0xffff))
				for position := int64(0); position < c.size; {
					n, err := c.ReadAt(p[:min(int64(len(p)), c.size-position)], position)
					position += int64(n)
					if err != nil {
						break
					}
				}
			}
			c.release()
		}
	})
}

func BenchmarkFetchConverted(b *testing.B) {
	for _, codec := range []compress.Codec{compress.None, compress.LZ4} {
		var log []byte
		for range 60 {
			builder := record.NewBuilder(codec)
			for i := range 160 {
				builder.Append(int64(i), nil, bytes.Repeat([]byte{byte(i)}, 100))
			}
			log = append(log, builder.MustBuild()...)
		}
		b.Run(codec.String(), func(b *testing.B) {
			b.SetBytes(60 * 160 * 100)
			b.ReportAllocs()
			p := make([]byte, 256<<10)
			for b.Loop() {
				c := newConverted(region(log), 1, 0, 1<<20)
				if err := c.begin(); err != nil {
					b.Fatal(err)
				}
				for position := int64(0); position < c.size; {
					n, err := c.ReadAt(p[:min(int64(len(p)), c.size-position)], position)
					if err != nil {
						b.Fatal(err)
					}
					position += int64(n)
				}
				c.release()
			}
		})
	}
}
