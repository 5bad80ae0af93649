package record

import (
	"testing"

	"github.com/stretchr/testify/require"

	"gregor/pkg/compress"
)

// shapesBothWays reads one record quickly and slowly. What the quick way takes
// the slow one must take too, as the same.
func shapesBothWays(t *testing.T, records []byte) (quick bool) {
	t.Helper()
	fast, slow := source{buf: records}, source{buf: records}
	shape, ok := fast.plainShape()
	if !ok {
		require.Zero(t, fast.at, "nothing was read")
		return false
	}
	want, err := slow.recordShape()
	require.NoError(t, err)
	require.Equal(t, want, shape)
	require.Equal(t, slow.at, fast.at)
	return true
}

func TestRecordsThatAreReadQuickly(t *testing.T) {
	header := Header{Key: []byte("k"), Value: []byte("v")}
	for name, row := range map[string]struct {
		delta      int32
		time       int64
		key, value []byte
		headers    []Header
		quick      bool
	}{
		"plain":                     {value: []byte("value"), quick: true},
		"empty":                     {key: []byte{}, value: []byte{}, quick: true},
		"nothing but nulls":         {quick: true},
		"key and value":             {key: []byte("key"), value: make([]byte, 100), quick: true},
		"numbers of two bytes":      {delta: 8191, time: 8191, key: make([]byte, 64), value: make([]byte, 8191), quick: true},
		"numbers of three bytes":    {delta: 1048575, time: 1048575, value: make([]byte, 8192), quick: true},
		"a time before the first":   {time: -5, value: []byte("value"), quick: true},
		"a late record":             {time: 1048576, value: []byte("value")},
		"an offset of four bytes":   {delta: 1048576, value: []byte("value")},
		"a megabyte":                {value: make([]byte, 1<<20)},
		"headers":                   {value: []byte("value"), headers: []Header{header}},
		"headers, value of a zero":  {value: []byte{0}, headers: []Header{header}},
		"a value that ends in zero": {value: []byte{1, 0}, quick: true},
	} {
		t.Run(name, func(t *testing.T) {
			batch := NewBuilder(compress.None).AppendAt(0, 1000, nil, nil).
				AppendAt(row.delta, 1000+row.time, row.key, row.value, row.headers...).MustBuild()
			in := source{buf: batch[HeaderSize:]}
			_, err := in.recordShape() // the first, from which the second counts
			require.NoError(t, err)
			second := in.buf[in.at:]
			require.Equal(t, row.quick, shapesBothWays(t, second))
			for cut := range min(len(second), 40) {
				require.False(t, shapesBothWays(t, second[:cut]), "of %d bytes the first %d", len(second), cut)
			}
		})
	}
}

func FuzzShapesBothWays(f *testing.F) {
	f.Add([]byte(NewBuilder(compress.None).Append(1, []byte("key"), []byte("value")).MustBuild()[HeaderSize:]))
	f.Add([]byte{12, 0, 0, 0, 1, 1, 0})
	f.Add([]byte{14, 0, 0, 0, 3, 1, 0, 0})
	f.Add([]byte{0xff, 0xff, 0xff, 0x0f, 0, 0, 0, 1, 1, 0})
	f.Fuzz(func(t *testing.T, records []byte) { shapesBothWays(t, records) })
}

// What is read quickly of a record is what is read at leisure.
func FuzzReadQuickly(f *testing.F) {
	for _, b := range []Batch{NewBuilder(compress.None).Append(5, []byte("key"), []byte("value")).MustBuild(),
		NewBuilder(compress.None).Append(5, nil, nil).MustBuild(),
		NewBuilder(compress.None).Append(5, []byte{}, []byte{}).MustBuild(),
		NewBuilder(compress.None).Append(5, nil, []byte("v"), Header{Key: []byte("h")}).MustBuild()} {
		f.Add([]byte(b[HeaderSize+1:]))
	}
	batch := NewBuilder(compress.None).Append(1000, nil, nil).MustBuild()
	f.Fuzz(func(t *testing.T, body []byte) {
		quick := Records{batch: batch}
		if !quick.readQuickly(body) {
			return
		}
		in := source{buf: body}
		shape, err := in.recordHead()
		require.NoError(t, err)
		require.Equal(t, [2]int64{int64(shape.OffsetDelta), shape.TimestampDelta}, [2]int64{int64(quick.rec.OffsetDelta), quick.rec.TimestampDelta})
		for _, got := range [][]byte{quick.rec.Key, quick.rec.Value} {
			want, err := in.bytes()
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
		headers, err := in.headers(nil)
		require.NoError(t, err)
		require.Empty(t, headers)
		require.NoError(t, in.atEnd())
	})
}
