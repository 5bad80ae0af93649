package logmanager

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"gregor/pkg/commitlog"
	"gregor/pkg/compress"
	"gregor/pkg/model"
	"gregor/pkg/record"
	"gregor/pkg/vfs"
)

func defaultOptions(string) commitlog.Options { return commitlog.DefaultOptions() }

func startManager(t testing.TB, opts Options) *Manager {
	t.Helper()
	m, err := New(opts)
	require.NoError(t, err)
	require.NoError(t, m.Lock())
	require.NoError(t, m.Load(context.Background(), defaultOptions))
	m.Start()
	t.Cleanup(func() { m.Shutdown() })
	return m
}

func oneRecord(value string) []byte {
	return record.NewBuilder(compress.None).Append(1600000000000, nil, []byte(value)).MustBuild()
}

func appendOne(t testing.TB, l *commitlog.Log, value string) {
	t.Helper()
	_, err := l.AppendAsLeader(oneRecord(value), 0, commitlog.OriginClient)
	require.NoError(t, err)
	l.SetHighWatermark(l.LogEndOffset())
}

func TestLogsSurviveARestart(t *testing.T) {
	for name, fs := range map[string]vfs.FS{"memory": vfs.NewMem(), "disk": vfs.OS} {
		t.Run(name, func(t *testing.T) {
			opts := Options{Dirs: []string{"/a", "/b"}, FS: fs}
			if fs == vfs.OS {
				opts.Dirs = []string{t.TempDir() + "/a", t.TempDir() + "/b"}
			}
			m := startManager(t, opts)
			for p := range int32(4) {
				tp := model.TopicPartition{Topic: "t", Partition: p}
				l, err := m.GetOrCreate(tp, true, model.TopicID{})
				require.NoError(t, err)
				require.Equal(t, opts.Dirs[p%2], l.ParentDir(), "the directory with the fewest logs")
				appendOne(t, l, "x")
			}
			m.CheckpointHighWatermarks(map[string]map[model.TopicPartition]int64{opts.Dirs[1]: {{Topic: "t", Partition: 3}: 1}})
			require.NoError(t, m.Shutdown())
			require.True(t, vfs.Exists(fs, opts.Dirs[0]+"/.kafka_cleanshutdown"))

			m = startManager(t, opts)
			require.False(t, vfs.Exists(fs, opts.Dirs[0]+"/.kafka_cleanshutdown"))
			require.Len(t, m.Logs(), 4)
			l := m.Get(model.TopicPartition{Topic: "t", Partition: 3})
			require.EqualValues(t, 1, l.LogEndOffset())
			hw, found := m.HighWatermark(l.Partition())
			require.True(t, found)
			require.EqualValues(t, 1, hw)
		})
	}
}

// Settings may have to be fetched from afar: nobody waits for them but who
// makes the log.
func TestSettingsAreAskedForWithoutTheLock(t *testing.T) {
	m, err := New(Options{Dirs: []string{"/a"}, FS: vfs.NewMem()})
	require.NoError(t, err)
	t.Cleanup(func() { m.Shutdown() })
	asked := 0
	require.NoError(t, m.Load(context.Background(), func(topic string) commitlog.Options {
		asked++
		require.Nil(t, m.Get(model.TopicPartition{Topic: topic}))
		return commitlog.DefaultOptions()
	}))
	_, err = m.GetOrCreate(model.TopicPartition{Topic: "t"}, true, model.TopicID{})
	require.NoError(t, err)
	require.Equal(t, 1, asked)
}
