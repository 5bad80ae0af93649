package vfs

import (
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// both runs a test on the real system and on the one in memory: they must be
// alike in all that the log does with them.
func both(t *testing.T, run func(t *testing.T, fsys FS, dir string)) {
	t.Run("os", func(t *testing.T) { run(t, OS, t.TempDir()) })
	t.Run("mem", func(t *testing.T) {
		m := NewMem()
		require.NoError(t, m.MkdirAll("/x", 0o755))
		run(t, m, "/x")
	})
	t.Run("faulty", func(t *testing.T) {
		run(t, Faulty(OS, func(Op, string) error { return nil }), t.TempDir())
	})
}

func TestFiles(t *testing.T) {
	both(t, func(t *testing.T, fsys FS, dir string) {
		path := filepath.Join(dir, "a")
		_, err := fsys.OpenFile(path, os.O_RDWR, 0)
		require.ErrorIs(t, err, fs.ErrNotExist)
		require.False(t, Exists(fsys, path))
		f, err := fsys.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
		require.NoError(t, err)
		_, err = f.WriteAt([]byte("hello"), 3)
		require.NoError(t, err)
		require.NoError(t, f.Truncate(10))
		got := make([]byte, 20)
		n, err := f.ReadAt(got, 0)
		require.Equal(t, io.EOF, err)
		require.Equal(t, "\x00\x00\x00hello\x00\x00", string(got[:n]))
		_, err = f.ReadAt(got, 10)
		require.Equal(t, io.EOF, err)
		require.NoError(t, f.Truncate(5))
		require.NoError(t, f.Truncate(8))
		n, _ = f.ReadAt(got, 0)
		require.Equal(t, "\x00\x00\x00he\x00\x00\x00", string(got[:n]), "what was cut comes back as zeros")
		require.NoError(t, f.Sync())
		info, err := f.Stat()
		require.NoError(t, err)
		require.EqualValues(t, 8, info.Size())
		require.NoError(t, fsys.SetModTime(path, time.UnixMilli(1600000000123)))
		info, err = fsys.Stat(path)
		require.NoError(t, err)
		require.EqualValues(t, 1600000000123, info.ModTime().UnixMilli())
		require.ErrorIs(t, fsys.SetModTime(path+".none", time.UnixMilli(1)), fs.ErrNotExist)

		// Renamed and removed, an open file stays readable.
		require.NoError(t, fsys.Rename(path, path+".b"))
		require.NoError(t, fsys.SyncDir(dir))
		require.NoError(t, fsys.Remove(path+".b"))
		n, _ = f.ReadAt(got, 0)
		require.Equal(t, 8, n)
		require.NoError(t, f.Close())
		require.ErrorIs(t, fsys.Remove(path+".b"), fs.ErrNotExist)
	})
}

func TestDirectories(t *testing.T) {
	both(t, func(t *testing.T, fsys FS, dir string) {
		require.NoError(t, fsys.MkdirAll(filepath.Join(dir, "a/b"), 0o755))
		require.NoError(t, WriteFile(fsys, filepath.Join(dir, "a/2"), []byte("two")))
		require.NoError(t, WriteFile(fsys, filepath.Join(dir, "a/1"), nil))
		entries, err := fsys.ReadDir(filepath.Join(dir, "a"))
		require.NoError(t, err)
		var names []string
		for _, e := range entries {
			names = append(names, e.Name())
			require.Equal(t, e.Name() == "b", e.IsDir())
		}
		require.Equal(t, []string{"1", "2", "b"}, names)
		require.Error(t, fsys.Remove(filepath.Join(dir, "a")))
		require.NoError(t, fsys.Rename(filepath.Join(dir, "a"), filepath.Join(dir, "z")))
		data, err := ReadFile(fsys, filepath.Join(dir, "z/2"), 3)
		require.NoError(t, err)
		require.Equal(t, "two", string(data))
		_, err = ReadFile(fsys, filepath.Join(dir, "z/2"), 2)
		require.ErrorIs(t, err, ErrTooLarge)
		require.NoError(t, fsys.RemoveAll(filepath.Join(dir, "z")))
		require.NoError(t, fsys.RemoveAll(filepath.Join(dir, "z")))
		_, err = fsys.ReadDir(filepath.Join(dir, "z"))
		require.ErrorIs(t, err, fs.ErrNotExist)
		_, err = fsys.OpenFile(filepath.Join(dir, "none/x"), os.O_CREATE|os.O_RDWR, 0o644)
		require.ErrorIs(t, err, fs.ErrNotExist)
	})
}

func TestLockExcludes(t *testing.T) {
	both(t, func(t *testing.T, fsys FS, dir string) {
		lock, err := fsys.Lock(filepath.Join(dir, ".lock"))
		require.NoError(t, err)
		_, err = fsys.Lock(filepath.Join(dir, ".lock"))
		require.ErrorIs(t, err, ErrLocked)
		require.NoError(t, lock.Close())
		lock, err = fsys.Lock(filepath.Join(dir, ".lock"))
		require.NoError(t, err)
		require.NoError(t, lock.Close())
	})
}

func write(t *testing.T, m *Mem, path, data string, sync bool) {
	t.Helper()
	f, err := m.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	require.NoError(t, err)
	_, err = f.WriteAt([]byte(data), 0)
	require.NoError(t, err)
	if sync {
		require.NoError(t, f.Sync())
	}
}

func TestCrashForgetsWhatIsNotSynced(t *testing.T) {
	m := NewMem()
	require.NoError(t, m.MkdirAll("/d", 0o755))
	write(t, m, "/d/kept", "old", true)
	write(t, m, "/d/renamed", "r", true)
	require.NoError(t, m.SyncDir("/d"))
	write(t, m, "/d/kept", "newer", false)
	write(t, m, "/d/unnamed", "synced, but its name is not", true)
	require.NoError(t, m.Rename("/d/renamed", "/d/other"))

	after := m.CrashClone(nil)
	data, err := ReadFile(after, "/d/kept", 100)
	require.NoError(t, err)
	require.Equal(t, "old", string(data))
	require.False(t, Exists(after, "/d/unnamed"))
	require.True(t, Exists(after, "/d/renamed"))
	require.False(t, Exists(after, "/d/other"))

	killed := m.Clone()
	data, err = ReadFile(killed, "/d/kept", 100)
	require.NoError(t, err)
	require.Equal(t, "newer", string(data))
	require.True(t, Exists(killed, "/d/other"))

	// Whatever survives, a renamed file is under one name or the other.
	for seed := range uint64(50) {
		c := m.CrashClone(rand.New(rand.NewPCG(seed, 1)))
		require.NotEqual(t, Exists(c, "/d/renamed"), Exists(c, "/d/other"), "a rename is atomic")
		data, err := ReadFile(c, "/d/kept", 100)
		require.NoError(t, err)
		require.Contains(t, []string{"old", "newer", "new", "old\x00\x00"}, string(data))
	}
	write(t, m, "/d/kept", "later", true)
	data, _ = ReadFile(killed, "/d/kept", 100)
	require.Equal(t, "newer", string(data), "a clone shares nothing")
}

func TestFaultsAreInjected(t *testing.T) {
	boom := errors.New("boom")
	for _, op := range []Op{OpOpen, OpRead, OpWrite, OpTruncate, OpSync, OpMkdir, OpRename, OpRemove, OpReadDir, OpStat, OpSyncDir, OpModTime, OpLock} {
		m := NewMem()
		require.NoError(t, m.MkdirAll("/d", 0o755))
		armed := false
		f := Faulty(m, func(o Op, _ string) error {
			if armed && o == op {
				return boom
			}
			return nil
		})
		require.NoError(t, WriteFile(f, "/d/a", []byte("abcd")))
		open, err := f.OpenFile("/d/a", os.O_RDWR, 0)
		require.NoError(t, err)
		armed = true
		_, openErr := f.OpenFile("/d/a", os.O_RDWR, 0)
		_, readErr := open.ReadAt(make([]byte, 1), 0)
		_, writeErr := open.WriteAt([]byte("wxyz"), 0)
		_, dirErr := f.ReadDir("/d")
		_, statErr := f.Stat("/d")
		_, lockErr := f.Lock("/d/l")
		errs := map[Op]error{OpOpen: openErr, OpRead: readErr, OpWrite: writeErr, OpTruncate: open.Truncate(4), OpSync: open.Sync(),
			OpMkdir: f.MkdirAll("/e", 0o755), OpRename: f.Rename("/d/a", "/d/a"), OpReadDir: dirErr, OpStat: statErr,
			OpSyncDir: f.SyncDir("/d"), OpModTime: f.SetModTime("/d/a", time.UnixMilli(1)), OpLock: lockErr, OpRemove: f.Remove("/d/none")}
		for o, err := range errs {
			if o == op {
				require.ErrorIs(t, err, boom, o)
			} else {
				require.NotErrorIs(t, err, boom, o)
			}
		}
		if op == OpWrite {
			data, err := ReadFile(m, "/d/a", 10)
			require.NoError(t, err)
			require.Equal(t, "wxcd", string(data), "half of it was written")
		}
	}
}
