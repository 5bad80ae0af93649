package broker_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"gregor/pkg/broker"
	"gregor/pkg/compress"
	"gregor/pkg/record"
)

func TestChunksOfTheOffsetsTopic(t *testing.T) {
	batch := func(offset int64, values ...string) []byte {
		b := record.NewBuilder(compress.None)
		for _, v := range values {
			b.Append(1, nil, []byte(v))
		}
		built := b.MustBuild()
		built.SetBaseOffset(offset)
		return built
	}
	one, two := batch(5, "a", "b"), batch(7, "c")
	old, err := record.NewOldBuilder(1, compress.Gzip).Append(7, 1, nil, []byte("c")).Append(8, 1, nil, []byte("d")).Build()
	require.NoError(t, err)
	bad := slices.Clone(one)
	bad[16] = 3 // the format
	for name, row := range map[string]struct {
		bytes []byte
		size  int
		next  int64
		err   error
	}{
		"nothing":                   {nil, 0, 5, nil},
		"whole":                     {bytes.Join([][]byte{one, two}, nil), len(one) + len(two), 8, nil},
		"the last is cut":           {bytes.Join([][]byte{one, two[:20]}, nil), len(one), 7, nil},
		"the last is of old format": {bytes.Join([][]byte{one, old}, nil), len(one) + len(old), 9, nil},
		"the last is of no format":  {bytes.Join([][]byte{one, bad}, nil), len(one), 7, nil},
		"no batch":                  {bytes.Repeat([]byte{0xff}, 100), 0, 5, record.ErrCorrupt},
	} {
		t.Run(name, func(t *testing.T) {
			size, next, err := broker.WholeBatches(row.bytes, 5)
			require.ErrorIs(t, err, row.err)
			require.Equal(t, row.size, size)
			require.Equal(t, row.next, next)
		})
	}
}
