package logmanager

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gregor/pkg/commitlog"
	"gregor/pkg/compress"
	"gregor/pkg/logcleaner"
	"gregor/pkg/model"
	"gregor/pkg/record"
	"gregor/pkg/vfs"
)

func compacted(topic string) commitlog.Options {
	o := commitlog.DefaultOptions()
	o.Compact, o.Delete, o.MinCleanableDirtyRatio, o.SegmentIndexBytes = true, false, 0.01, 12000
	return o
}

// compactingManager has a cleaner whose threads do not run: tests call it.
func compactingManager(t *testing.T, fs vfs.FS, options func(string) commitlog.Options) *Manager {
	t.Helper()
	cfg := logcleaner.DefaultConfig()
	m, err := New(Options{Dirs: []string{"/a", "/b"}, FS: fs, Cleaner: &cfg})
	require.NoError(t, err)
	t.Cleanup(func() { m.Shutdown() })
	require.NoError(t, m.Lock())
	require.NoError(t, m.Load(context.Background(), options))
	return m
}

func appendKeys(t *testing.T, l *commitlog.Log, keys ...string) {
	t.Helper()
	for i, key := range keys {
		b := record.NewBuilder(compress.None).Append(1600000000000, []byte(key), fmt.Append(nil, i)).MustBuild()
		_, err := l.AppendAsLeader(b, 0, commitlog.OriginClient)
		require.NoError(t, err)
	}
	l.SetHighWatermark(l.LogEndOffset())
}

func checkpointText(t *testing.T, fs vfs.FS, dir string) string {
	t.Helper()
	data, err := vfs.ReadFile(fs, dir+"/"+cleanerFile, 1000)
	require.NoError(t, err)
	return string(data)
}

func TestWhatWasCompactedIsRemembered(t *testing.T) {
	fs := vfs.NewMem()
	m := compactingManager(t, fs, compacted)
	tp := model.TopicPartition{Topic: "t", Partition: 0}
	l, err := m.GetOrCreate(tp, true, model.TopicID{})
	require.NoError(t, err)
	dir := l.ParentDir()
	require.Empty(t, checkpointText(t, fs, dir))
	appendKeys(t, l, "a", "b", "a")
	require.NoError(t, l.Roll())
	appendKeys(t, l, "a")
	size := l.Size()
	m.Cleaner().CleanAll(context.Background())
	require.Less(t, l.Size(), size)
	require.Equal(t, "0\n1\nt 0 3\n", checkpointText(t, fs, dir))
	require.NoError(t, m.Shutdown())

	m = compactingManager(t, fs, compacted)
	l = m.Get(tp)
	size = l.Size()
	m.Cleaner().CleanAll(context.Background())
	require.Equal(t, size, l.Size(), "nothing is dirty")
	appendKeys(t, l, "b")
	require.NoError(t, l.Roll())
	m.Cleaner().CleanAll(context.Background())
	require.Equal(t, "0\n1\nt 0 5\n", checkpointText(t, fs, dir))

	// What a truncation takes away is dirty when it comes back.
	require.NoError(t, l.TruncateTo(1))
	require.Eventually(t, func() bool { return checkpointText(t, fs, dir) == "0\n1\nt 0 0\n" }, 20*time.Second, time.Millisecond)

	require.NoError(t, m.AsyncDelete(tp))
	require.Equal(t, "0\n0\n", checkpointText(t, fs, dir))
}

func TestAPausedPartitionIsNotCompacted(t *testing.T) {
	m := compactingManager(t, vfs.NewMem(), compacted)
	tp := model.TopicPartition{Topic: "t", Partition: 0}
	l, err := m.GetOrCreate(tp, true, model.TopicID{})
	require.NoError(t, err)
	appendKeys(t, l, "a", "b", "a")
	require.NoError(t, l.Roll())
	size := l.Size()
	m.PauseCleaning(tp)
	m.PauseCleaning(tp)
	m.ResumeCleaning(tp)
	m.Cleaner().CleanAll(context.Background())
	require.Equal(t, size, l.Size())
	m.ResumeCleaning(tp)
	m.Cleaner().CleanAll(context.Background())
	require.Less(t, l.Size(), size)

	from := l.ParentDir()
	to := map[string]string{"/a": "/b", "/b": "/a"}[from]
	m.moveCleaned(tp, from, to)
	_, found := m.cleaned.get(from, tp)
	require.False(t, found)
	offset, found := m.cleaned.get(to, tp)
	require.True(t, found)
	require.EqualValues(t, 3, offset)
}

// Retention of a compacted log is the cleaner's work, of any other one the
// task's.
func TestRetentionOfCompactedLogs(t *testing.T) {
	m := compactingManager(t, vfs.NewMem(), func(topic string) commitlog.Options {
		o := compacted(topic)
		o.Compact, o.Delete, o.RetentionMs, o.MinCleanableDirtyRatio = topic != "deleted", topic != "compacted", 1, 0.99
		return o
	})
	logs := map[string]*commitlog.Log{}
	for _, topic := range []string{"compacted", "both", "deleted"} {
		l, err := m.GetOrCreate(model.TopicPartition{Topic: topic}, true, model.TopicID{})
		require.NoError(t, err)
		appendKeys(t, l, "a", "b")
		require.NoError(t, l.Roll())
		appendKeys(t, l, "a")
		logs[topic] = l
	}
	m.DeleteOldSegments()
	require.EqualValues(t, 3, logs["deleted"].LogStartOffset())
	require.EqualValues(t, 0, logs["both"].LogStartOffset())
	m.Cleaner().CleanAll(context.Background())
	require.EqualValues(t, 3, logs["both"].LogStartOffset())
	require.EqualValues(t, 0, logs["compacted"].LogStartOffset())
}
