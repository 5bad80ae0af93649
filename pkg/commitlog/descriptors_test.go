package commitlog

import (
	"io/fs"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"gregor/pkg/vfs"
)

// countingFS counts the files that are open.
type countingFS struct {
	vfs.FS
	open atomic.Int64
}

type countedFile struct {
	vfs.File
	open *atomic.Int64
}

func (c *countingFS) OpenFile(name string, flag int, perm fs.FileMode) (vfs.File, error) {
	f, err := c.FS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	c.open.Add(1)
	return &countedFile{f, &c.open}, nil
}

func (f *countedFile) Close() error {
	f.open.Add(-1)
	return f.File.Close()
}

func TestALogThatNobodyUsesHoldsNoDescriptor(t *testing.T) {
	counting := &countingFS{FS: vfs.NewMem()}
	l := openTest(t, testConfig(counting))
	require.Zero(t, counting.open.Load(), "new")
	appendTest(t, l, batchOf("a"))
	for range 2 { // the first call takes back the mark of use
		l.CloseIdleFiles()
	}
	require.Zero(t, counting.open.Load(), "idle")
	appendTest(t, l, batchOf("b"))
	require.EqualValues(t, 2, l.LogEndOffset())
	require.NoError(t, l.Close())
	require.Zero(t, counting.open.Load(), "closed")

	l = openTest(t, testConfig(counting))
	require.EqualValues(t, 2, l.LogEndOffset())
	require.Zero(t, counting.open.Load(), "opened again")
	require.NoError(t, l.Close())
}
