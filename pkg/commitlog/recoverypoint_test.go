package commitlog

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gregor/pkg/vfs"
)

// A roll finishes the indexes of a segment that a flush may just have synced.
func TestARollDuringAFlushHoldsTheRecoveryPointBack(t *testing.T) {
	var roll func()
	fsys := vfs.Faulty(vfs.NewMem(), func(op vfs.Op, _ string) error {
		if op == vfs.OpSyncDir && roll != nil {
			now := roll
			roll = nil
			now()
		}
		return nil
	})
	var later []func()
	cfg := testConfig(fsys)
	cfg.After = func(_ time.Duration, f func()) { later = append(later, f) }
	l := openTest(t, cfg)
	appendTest(t, l, batchOf("a"))
	roll = func() { require.NoError(t, l.Roll()) }
	require.NoError(t, l.Flush())
	require.Nil(t, roll, "it came between the syncs and the end of the flush")
	require.Equal(t, 2, l.Segments())
	require.Zero(t, l.RecoveryPoint())
	for _, f := range later {
		f()
	}
	require.EqualValues(t, 1, l.RecoveryPoint())
}
