package commitlog

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestInspect(t *testing.T) {
	data, err := os.ReadFile("testdata/golden/txn/00000000000000000043.txnindex")
	require.NoError(t, err)
	want, err := decodeTxnIndex(data, 43)
	require.NoError(t, err)
	var got []AbortedTxn
	for version, txn := range TxnIndexEntries(append(data, 1, 2, 3)) {
		require.Zero(t, version)
		got = append(got, txn)
	}
	require.Equal(t, want, got)

	data, err = os.ReadFile("testdata/golden/txn/00000000000000000064.snapshot")
	require.NoError(t, err)
	entries, err := DecodeSnapshot(data)
	require.NoError(t, err)
	require.NotEmpty(t, entries)
	for _, e := range entries {
		require.True(t, e.HasBatch)
		require.Less(t, e.LastOffset, int64(64))
	}
	_, err = DecodeSnapshot(data[:len(data)-1])
	require.ErrorIs(t, err, ErrCorrupt)
}
