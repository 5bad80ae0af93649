package commitlog

import (
	"testing"

	"github.com/stretchr/testify/require"

	"gregor/pkg/compress"
	"gregor/pkg/record"
	"gregor/pkg/vfs"
)

// The first aborted transaction of a segment makes a file. Its name must be
// durable when the segment is flushed, also when the others' are already:
// recovery does not look at what is below the recovery point.
func TestTheNameOfATransactionIndexIsDurable(t *testing.T) {
	fs := vfs.NewMem()
	require.NoError(t, fs.MkdirAll("/data", 0o755))
	cfg := testConfig(fs)
	l := openTest(t, cfg)
	b := record.NewBuilder(compress.None)
	b.ProducerID, b.ProducerEpoch, b.BaseSequence, b.Transactional = 7, 0, 0, true
	_, err := l.AppendAsLeader(b.Append(baseTime, []byte("k"), []byte("v")).MustBuild(), 0, OriginClient)
	require.NoError(t, err)
	require.NoError(t, l.Flush())
	_, err = l.AppendAsLeader(record.NewEndTxnMarker(record.EndTxnMarker{Type: record.ControlAbort}, 7, 0, baseTime), 0, OriginCoordinator)
	require.NoError(t, err)
	require.NoError(t, l.Roll())

	cfg.FS, cfg.CleanShutdown, cfg.RecoveryPoint = fs.CrashClone(nil), false, l.RecoveryPoint()
	require.EqualValues(t, 2, cfg.RecoveryPoint)
	l = openTest(t, cfg)
	l.SetHighWatermark(2)
	info, err := l.Read(0, 1000, TxnCommitted, true)
	require.NoError(t, err)
	info.Records.Release()
	require.Equal(t, []AbortedTxn{{ProducerID: 7, FirstOffset: 0, LastOffset: 1, LastStableOffset: 2}}, info.Aborted)
}
