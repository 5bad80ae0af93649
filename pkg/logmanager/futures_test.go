package logmanager

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gregor/pkg/commitlog"
	"gregor/pkg/kerr"
	"gregor/pkg/logcleaner"
	"gregor/pkg/model"
	"gregor/pkg/vfs"
)

var moved = model.TopicPartition{Topic: "t", Partition: 0}

// movingManager has directories /a to /c and a log of t-0 in /a with ten
// records.
func movingManager(t *testing.T, fs vfs.FS) (*Manager, *commitlog.Log) {
	t.Helper()
	cfg := logcleaner.DefaultConfig()
	m, err := New(Options{Dirs: []string{"/a", "/b", "/c"}, FS: fs, Cleaner: &cfg})
	require.NoError(t, err)
	t.Cleanup(func() { m.Shutdown() })
	require.NoError(t, m.Lock())
	require.NoError(t, m.Load(context.Background(), compacted))
	l, err := m.GetOrCreate(moved, true, model.TopicID{})
	require.NoError(t, err)
	if l.LogEndOffset() == 0 {
		appendKeys(t, l, strings.Split("a b c d e f g h i j", " ")...)
	}
	require.Equal(t, "/a/t-0", l.Dir())
	return m, l
}

// copyAll fills a future log.
func copyAll(t *testing.T, from, to *commitlog.Log) {
	t.Helper()
	info, err := from.Read(to.LogEndOffset(), 1<<20, commitlog.LogEnd, true)
	require.NoError(t, err)
	data := make([]byte, info.Records.Length)
	_, err = info.Records.File.ReadAt(data, info.Records.Position)
	require.NoError(t, err)
	info.Records.Release()
	_, err = to.AppendAsFollower(data)
	require.NoError(t, err)
	to.SetHighWatermark(from.HighWatermark())
}

func names(t *testing.T, fs vfs.FS, dir string) string {
	t.Helper()
	entries, err := fs.ReadDir(dir)
	require.NoError(t, err)
	var found []string
	for _, e := range entries {
		if e.IsDir() {
			name := e.Name()
			if at := strings.IndexByte(name, '.'); at >= 0 {
				name = name[:at] + name[strings.LastIndexByte(name, '-'):]
			}
			found = append(found, name)
		}
	}
	return strings.Join(found, " ")
}

func checkpointOf(t *testing.T, fs vfs.FS, path string) string {
	t.Helper()
	data, err := vfs.ReadFile(fs, path, 1000)
	require.NoError(t, err)
	return string(data)
}

func TestReplaceWithFuture(t *testing.T) {
	fs := vfs.NewMem()
	m, l := movingManager(t, fs)
	require.NoError(t, l.SetTopicID(model.TopicID{7}))
	require.NoError(t, l.Roll())
	m.SetCleanedTo(l, 4)
	require.NoError(t, l.IncrementLogStartOffset(3, "client delete records request"))
	m.PreferDir(moved, "/b")
	future, err := m.CreateFuture(moved, "/b")
	require.NoError(t, err)
	require.Same(t, future, m.Future(moved))
	require.Same(t, l, m.Get(moved))
	require.Equal(t, []*commitlog.Log{l}, m.Logs(), "the copy is no log of its own")
	require.Equal(t, model.TopicID{7}, future.TopicID())
	require.Equal(t, "t-0-future", names(t, fs, "/b"))
	_, err = m.CreateFuture(moved, "/c")
	require.Error(t, err, "one at a time")
	size := l.Size()
	m.Cleaner().CleanAll(context.Background())
	require.Equal(t, size, l.Size(), "not compacted while it moves")

	other, err := m.GetOrCreate(model.TopicPartition{Topic: "u"}, true, model.TopicID{})
	require.NoError(t, err)
	require.Equal(t, "/c", other.ParentDir(), "copies count for where there are fewest logs")
	require.NoError(t, future.TruncateFullyAndStartAt(3))
	copyAll(t, l, future)
	require.NoError(t, future.Flush())
	m.CheckpointRecoveryPoints()
	require.Equal(t, "0\n1\nt 0 10\n", checkpointOf(t, fs, "/b/"+recoveryPointFile))

	finish, err := m.ReplaceWithFuture(moved)
	require.NoError(t, err)
	require.Same(t, future, m.Get(moved))
	require.Nil(t, m.Future(moved))
	require.Equal(t, []string{"t-0-delete", "t-0"}, []string{names(t, fs, "/a"), names(t, fs, "/b")})
	finish()
	require.Equal(t, "0\n0\n", checkpointOf(t, fs, "/a/"+recoveryPointFile))
	require.Equal(t, "0\n0\n", checkpointOf(t, fs, "/a/"+cleanerFile))
	require.Equal(t, "0\n1\nt 0 4\n", checkpointOf(t, fs, "/b/"+cleanerFile))
	_, err = l.AppendAsFollower(nil)
	require.NoError(t, err)
	_, err = l.Read(3, 1000, commitlog.LogEnd, true)
	require.ErrorIs(t, err, kerr.KafkaStorageError, "closed")
	appendKeys(t, future, "a")
	require.NoError(t, future.Roll())
	m.Cleaner().CleanAll(context.Background())
	require.Less(t, future.Size(), size, "compacted again, from where it had been")
	require.NoError(t, m.Shutdown())

	m, err = New(Options{Dirs: []string{"/a", "/b", "/c"}, FS: fs})
	require.NoError(t, err)
	t.Cleanup(func() { m.Shutdown() })
	require.NoError(t, m.Load(context.Background(), compacted))
	require.Equal(t, "/b/t-0", m.Get(moved).Dir())
	require.EqualValues(t, 11, m.Get(moved).LogEndOffset())
	require.EqualValues(t, 3, m.Get(moved).LogStartOffset())
}

// A copy is found again, with its own high watermark; two are one too many.
func TestFuturesAreLoaded(t *testing.T) {
	fs := vfs.NewMem()
	m, l := movingManager(t, fs)
	future, err := m.CreateFuture(moved, "/c")
	require.NoError(t, err)
	copyAll(t, l, future)
	future.SetHighWatermark(4)
	m.CheckpointHighWatermarks(map[string]map[model.TopicPartition]int64{"/a": {moved: 9}, "/c": {moved: 4}})
	high, found := m.HighWatermark(moved)
	require.True(t, found)
	require.EqualValues(t, 9, high)
	require.NoError(t, m.Shutdown())

	m, l = movingManager(t, fs)
	high, _ = m.HighWatermark(moved)
	require.EqualValues(t, 9, high)
	future = m.Future(moved)
	require.EqualValues(t, []int64{10, 4}, []int64{future.LogEndOffset(), future.HighWatermark()})
	size := l.Size()
	require.NoError(t, l.Roll())
	m.Cleaner().CleanAll(context.Background())
	require.Equal(t, size, l.Size())
	name := filepath.Base(future.Dir())
	require.NoError(t, m.DeleteFuture(moved))
	require.NoError(t, m.DeleteFuture(moved), "there is none any more")
	require.Nil(t, m.Future(moved))
	require.Equal(t, "t-0-delete", names(t, fs, "/c"))
	require.NoError(t, m.Shutdown())

	for _, dir := range []string{"/b/", "/c/"} {
		require.NoError(t, fs.MkdirAll(dir+name, 0o755))
	}
	m, err = New(Options{Dirs: []string{"/a", "/b", "/c"}, FS: fs})
	require.NoError(t, err)
	t.Cleanup(func() { m.Shutdown() })
	require.ErrorContains(t, m.Load(context.Background(), compacted), "Duplicate log directories found: /")
}

func TestChecksOfMoves(t *testing.T) {
	fs := vfs.NewMem()
	m, _ := movingManager(t, fs)
	require.NoError(t, m.CheckMove(moved, "/b"))
	require.ErrorIs(t, m.CheckMove(moved, "/elsewhere"), kerr.LogDirNotFound)
	require.ErrorIs(t, m.CheckMove(moved, "b"), kerr.LogDirNotFound)
	fits := 255 - len("-0.-future") - 32
	require.NoError(t, m.CheckMove(model.TopicPartition{Topic: strings.Repeat("x", fits)}, "/b"))
	require.ErrorIs(t, m.CheckMove(model.TopicPartition{Topic: strings.Repeat("x", fits+1)}, "/b"), kerr.InvalidTopicException)
	_, err := m.ReplaceWithFuture(moved)
	require.ErrorIs(t, err, kerr.KafkaStorageError)
	_, err = m.CreateFuture(moved, "/a")
	require.Error(t, err)
	_, err = m.CreateFuture(model.TopicPartition{Topic: "u"}, "/a")
	require.ErrorIs(t, err, kerr.KafkaStorageError)
	m.failNow(dirFailure{"/c", syscall.EIO})
	require.ErrorIs(t, m.CheckMove(moved, "/c"), kerr.KafkaStorageError)
	_, err = m.CreateFuture(moved, "/b")
	require.ErrorIs(t, err, kerr.KafkaStorageError)
}

// Every call that a swap makes of the file system fails once: the partition
// has one log, whole, and what is offline is told.
func TestASwapWithFaults(t *testing.T) {
	for calls := 0; ; calls++ {
		var left int
		armed := false
		fs := vfs.Faulty(vfs.NewMem(), func(op vfs.Op, name string) error {
			if !armed || op == vfs.OpStat {
				return nil
			}
			if left--; left == -1 {
				return syscall.EIO
			}
			return nil
		})
		m, l := movingManager(t, fs)
		future, err := m.CreateFuture(moved, "/b")
		require.NoError(t, err)
		copyAll(t, l, future)
		left, armed = calls, true
		finish, err := m.ReplaceWithFuture(moved)
		if err == nil {
			finish()
		}
		armed = false
		if left >= 0 {
			require.Greater(t, calls, 5)
			return // no call is left to fail
		}
		want := l
		if err == nil {
			want = future
		}
		require.Eventually(t, func() bool {
			if slices.Contains(m.OfflineDirs(), want.ParentDir()) {
				return m.Get(moved) == nil
			}
			info, err := want.Read(0, 1<<20, commitlog.LogEnd, true)
			if err == nil {
				info.Records.Release()
			}
			return err == nil && m.Get(moved) == want && want.LogEndOffset() == 10
		}, 10*time.Second, time.Millisecond, "call %d: %v", calls, err)
	}
}
