package logmanager

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"gregor/pkg/commitlog"
	"gregor/pkg/kerr"
	"gregor/pkg/model"
	"gregor/pkg/vfs"
)

func TestDirectoryNames(t *testing.T) {
	id := strings.Repeat("0123456789abcdef", 2)
	for name, want := range map[string]struct {
		tp model.TopicPartition
		k  kind
	}{
		"t-0":                     {model.TopicPartition{Topic: "t", Partition: 0}, kindLog},
		"a-b.c-12":                {model.TopicPartition{Topic: "a-b.c", Partition: 12}, kindLog},
		"t-0." + id + "-delete":   {model.TopicPartition{Topic: "t", Partition: 0}, kindDelete},
		"x.y-7." + id + "-future": {model.TopicPartition{Topic: "x.y", Partition: 7}, kindFuture},
		"t-0." + id + "-stray":    {model.TopicPartition{Topic: "t", Partition: 0}, kindSkipped},
		"__cluster_metadata-0":    {k: kindSkipped},
		"remote-log-index-cache":  {k: kindSkipped},
		"lost+found":              {},
		"nodash":                  {},
		"-0":                      {},
		"t-":                      {},
		"t-x":                     {},
		"t-99999999999":           {},
		"x.abc-delete":            {},
		"t-delete":                {},
		"t-0.-delete":             {},
		"":                        {},
	} {
		tp, k := parseDir(name)
		require.Equal(t, want.k, k, name)
		if k != kindForeign {
			require.Equal(t, want.tp, tp, name)
		}
	}
	long := model.TopicPartition{Topic: strings.Repeat("x", 249), Partition: 12345}
	require.Len(t, deleteName(long), 255)
	tp, k := parseDir(deleteName(long))
	require.Equal(t, kindDelete, k)
	require.Equal(t, long.Partition, tp.Partition)
}

func FuzzDirectoryNames(f *testing.F) {
	f.Add("t-0")
	f.Add("t-0.0123-delete")
	f.Fuzz(func(t *testing.T, name string) {
		if tp, k := parseDir(name); k == kindLog {
			require.NotEmpty(t, tp.Topic)
		}
	})
}

func FuzzMetaProperties(f *testing.F) {
	f.Add("#\n#date\nbroker.id=1\nversion=0\ncluster.id=g-WR2Iv4Svy1UUYAzn9m2g\n")
	f.Add("broker.id = 1\ncluster.id:x\n")
	f.Fuzz(func(t *testing.T, text string) {
		mem := vfs.NewMem()
		require.NoError(t, mem.MkdirAll("/a", 0o755))
		require.NoError(t, vfs.WriteFile(mem, "/a/meta.properties", []byte(text)))
		md, _, offline, err := ReadBrokerMetadata(mem, []string{"/a"})
		require.Empty(t, offline)
		if err != nil {
			var broken *FatalError
			require.ErrorAs(t, err, &broken)
			return
		}
		require.NoError(t, WriteBrokerMetadata(mem, []string{"/a"}, *md))
	})
}

func FuzzOffsets(f *testing.F) {
	f.Add("t 0 5")
	f.Add("a b c")
	f.Fuzz(func(t *testing.T, line string) {
		o, err := parseOffsets("file", []string{line})
		if err != nil {
			require.ErrorIs(t, err, commitlog.ErrCorrupt)
			return
		}
		require.Len(t, o, 1)
	})
}

func TestMetaProperties(t *testing.T) {
	fs := vfs.NewMem()
	for _, dir := range []string{"/a", "/b", "/c"} {
		require.NoError(t, fs.MkdirAll(dir, 0o755))
	}
	md, missing, offline, err := ReadBrokerMetadata(fs, []string{"/a", "/b"})
	require.NoError(t, err)
	require.Nil(t, md)
	require.Equal(t, []string{"/a", "/b"}, missing)
	require.Empty(t, offline)
	require.NoError(t, md.CheckBrokerID(3), "nothing is stored")

	want := BrokerMetadata{BrokerID: 1, ClusterID: "g-WR2Iv4Svy1UUYAzn9m2g"}
	require.NoError(t, WriteBrokerMetadata(fs, []string{"/a", "/b"}, want))
	md, missing, _, err = ReadBrokerMetadata(fs, []string{"/a", "/b", "/c"})
	require.NoError(t, err)
	require.Equal(t, want, *md)
	require.Equal(t, []string{"/c"}, missing)
	data, err := vfs.ReadFile(fs, "/a/meta.properties", 1000)
	require.NoError(t, err)
	lines := strings.Split(string(data), "\n")
	require.Equal(t, "#", lines[0])
	_, err = time.Parse("#Mon Jan 02 15:04:05 MST 2006", lines[1])
	require.NoError(t, err)
	require.Equal(t, []string{"broker.id=1", "version=0", "cluster.id=g-WR2Iv4Svy1UUYAzn9m2g", ""}, lines[2:])

	require.NoError(t, md.CheckBrokerID(1))
	require.NoError(t, md.CheckBrokerID(-1))
	requireFatal(t, md.CheckBrokerID(2), "kafka.common.InconsistentBrokerIdException", "Configured broker.id 2 doesn't match stored broker.id Some(1) in meta.properties. If you moved your data, make sure your configured broker.id matches.")
	require.NoError(t, md.CheckClusterID(want.ClusterID))
	requireFatal(t, md.CheckClusterID("other"), "kafka.common.InconsistentClusterIdException", "The Cluster ID other doesn't match stored clusterId Some(g-WR2Iv4Svy1UUYAzn9m2g) in meta.properties.")

	require.NoError(t, WriteBrokerMetadata(fs, []string{"/c"}, BrokerMetadata{BrokerID: 7, ClusterID: "x"}))
	_, _, _, err = ReadBrokerMetadata(fs, []string{"/a", "/c"})
	requireFatal(t, err, "kafka.common.InconsistentBrokerMetadataException", "Found:\n- /a -> {broker.id=1, version=0, cluster.id=g-WR2Iv4Svy1UUYAzn9m2g}\n- /c -> {broker.id=7, version=0, cluster.id=x}\n")
	require.NoError(t, vfs.WriteFile(fs, "/c/meta.properties", []byte("version=1\nbroker.id=7\n")))
	_, _, _, err = ReadBrokerMetadata(fs, []string{"/c"})
	requireFatal(t, err, "java.lang.RuntimeException", "Found unexpected version in loaded `meta.properties`: {broker.id=7, version=1}. Zk-based brokers only support version 0")
	require.NoError(t, vfs.WriteFile(fs, "/c/meta.properties", []byte("broker.id=seven\n")))
	_, _, _, err = ReadBrokerMetadata(fs, []string{"/c"})
	requireFatal(t, err, "java.lang.RuntimeException", "/c/meta.properties")
}

func requireFatal(t *testing.T, err error, class, text string) {
	t.Helper()
	var fatal *FatalError
	require.ErrorAs(t, err, &fatal)
	require.Equal(t, class, fatal.JavaClass())
	require.Contains(t, fatal.Error(), text)
}

// load starts a manager on directories that may be refused.
func load(opts Options) (*Manager, error) {
	m, err := New(opts)
	if err != nil {
		return nil, err
	}
	if err := m.Lock(); err != nil {
		return m, err
	}
	return m, m.Load(context.Background(), defaultOptions)
}

func TestRefusedDirectories(t *testing.T) {
	fs := vfs.NewMem()
	require.NoError(t, fs.MkdirAll("/a/lost+found", 0o755))
	m, err := load(Options{Dirs: []string{"/a"}, FS: fs})
	requireFatal(t, err, "org.apache.kafka.common.KafkaException", "Found directory /a/lost+found, 'lost+found' is not in the form of topic-partition or topic-partition.uniqueId-delete (if marked for deletion).\nKafka's log directories (and children) should only contain Kafka topic data.")
	_, err = load(Options{Dirs: []string{"/a"}, FS: fs})
	requireFatal(t, err, "org.apache.kafka.common.KafkaException", "Failed to acquire lock on file .lock in /a. A Kafka instance in another process or thread is using this directory.")
	require.NoError(t, m.Shutdown())

	require.NoError(t, fs.Remove("/a/lost+found"))
	require.NoError(t, fs.MkdirAll("/a/t-0", 0o755))
	require.NoError(t, fs.MkdirAll("/b/t-0", 0o755))
	m, err = load(Options{Dirs: []string{"/a", "/b"}, FS: fs})
	requireFatal(t, err, "java.lang.IllegalStateException", "Duplicate log directories for t-0 are found in both")
	require.NoError(t, m.Shutdown())

	broken := vfs.Faulty(vfs.NewMem(), func(op vfs.Op, name string) error { return syscall.EACCES })
	_, err = load(Options{Dirs: []string{"/a", "/b"}, FS: broken})
	requireFatal(t, err, "kafka.common.KafkaException", "Shutdown broker because none of the specified log dirs from /a, /b can be created or validated")
}

func TestPathsAreMadeComparable(t *testing.T) {
	t.Chdir(t.TempDir())
	m := startManager(t, Options{Dirs: []string{"./data/"}})
	l, err := m.GetOrCreate(model.TopicPartition{Topic: "t", Partition: 0}, true, model.TopicID{})
	require.NoError(t, err)
	require.True(t, filepath.IsAbs(l.Dir()))
	appendOne(t, l, "x")
	require.NoError(t, m.Shutdown())
	points, err := readOffsets(vfs.OS, "data/"+recoveryPointFile)
	require.NoError(t, err)
	require.Equal(t, offsets{l.Partition(): 1}, points)
	_, err = New(Options{Dirs: []string{"data", "./data/"}})
	requireFatal(t, err, "org.apache.kafka.common.KafkaException", "Duplicate log directory found: data, ./data/")
}

// A start that is refused says nothing about the logs that it did not open.
func TestRefusedStartLeavesNoCleanMark(t *testing.T) {
	fs := vfs.NewMem()
	m := startManager(t, Options{Dirs: []string{"/a"}, FS: fs})
	l, err := m.GetOrCreate(model.TopicPartition{Topic: "t", Partition: 0}, true, model.TopicID{})
	require.NoError(t, err)
	appendOne(t, l, "x")
	m.CheckpointRecoveryPoints()
	killed := fs.Clone()
	require.NoError(t, killed.MkdirAll("/a/foreign", 0o755))
	before, err := vfs.ReadFile(killed, "/a/"+recoveryPointFile, 1000)
	require.NoError(t, err)
	m, err = load(Options{Dirs: []string{"/a"}, FS: killed})
	require.Error(t, err)
	require.NoError(t, m.Shutdown())
	require.False(t, vfs.Exists(killed, "/a/"+cleanShutdownFile))
	after, err := vfs.ReadFile(killed, "/a/"+recoveryPointFile, 1000)
	require.NoError(t, err)
	require.Equal(t, string(before), string(after))
}

// A directory that fails goes offline with its logs; the others go on.
func TestFailingDirectory(t *testing.T) {
	mem := vfs.NewMem()
	var bad atomic.Bool
	fs := vfs.Faulty(mem, func(op vfs.Op, name string) error {
		if bad.Load() && op == vfs.OpWrite && strings.HasPrefix(name, "/a/") {
			return syscall.EIO
		}
		return nil
	})
	failed := make(chan string, 2)
	m := startManager(t, Options{Dirs: []string{"/a", "/b"}, FS: fs, OnDirFailure: func(dir string) { failed <- dir }})
	first, err := m.GetOrCreate(model.TopicPartition{Topic: "t", Partition: 0}, true, model.TopicID{})
	require.NoError(t, err)
	second, err := m.GetOrCreate(model.TopicPartition{Topic: "t", Partition: 1}, true, model.TopicID{})
	require.NoError(t, err)
	appendOne(t, first, "x")
	bad.Store(true)
	_, err = first.AppendAsLeader(oneRecord("y"), 0, commitlog.OriginClient)
	require.ErrorIs(t, err, kerr.KafkaStorageError)
	select {
	case dir := <-failed:
		require.Equal(t, "/a", dir)
	case <-time.After(10 * time.Second):
		require.Fail(t, "nobody was told")
	}
	require.Equal(t, []string{"/b"}, m.LiveDirs())
	require.Equal(t, []string{"/a"}, m.OfflineDirs())
	require.Nil(t, m.Get(first.Partition()))
	appendOne(t, second, "z")
	_, err = m.GetOrCreate(first.Partition(), false, model.TopicID{})
	require.ErrorIs(t, err, kerr.KafkaStorageError, "it may be in the directory that is offline")
	third, err := m.GetOrCreate(model.TopicPartition{Topic: "new", Partition: 0}, true, model.TopicID{})
	require.NoError(t, err)
	require.Equal(t, "/b", third.ParentDir())
	dirs := m.DescribeDirs()
	require.True(t, dirs[0].Offline)
	require.Empty(t, dirs[0].Logs)
	require.Len(t, dirs[1].Logs, 2)
	bad.Store(false)
	require.NoError(t, m.Shutdown())
	require.False(t, vfs.Exists(mem, "/a/.kafka_cleanshutdown"))
	require.True(t, vfs.Exists(mem, "/b/.kafka_cleanshutdown"))
}

// Time passes in a bubble: deletion after its delay, retention, checkpoints.
func TestBackgroundTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		m, err := load(Options{Dirs: []string{"/a"}, FS: fs})
		require.NoError(t, err)
		m.Start()
		tp := model.TopicPartition{Topic: "t", Partition: 0}
		l, err := m.GetOrCreate(tp, true, model.NewTopicID())
		require.NoError(t, err)
		appendOne(t, l, "old")
		require.True(t, vfs.Exists(fs, "/a/t-0/partition.metadata"))

		time.Sleep(29 * time.Second)
		synctest.Wait()
		require.Equal(t, 1, l.Segments())
		require.Zero(t, l.LogStartOffset())
		time.Sleep(2 * time.Second)
		synctest.Wait()
		// The time in the bubble is 2000, before the record's: nothing is old.
		require.Zero(t, l.LogStartOffset())
		o := l.Options()
		o.RetentionBytes = 0
		m.UpdateTopicOptions("t", o)
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		require.EqualValues(t, 1, l.LogStartOffset())
		require.True(t, vfs.Exists(fs, "/a/t-0/00000000000000000000.log.deleted"))
		time.Sleep(time.Minute)
		synctest.Wait()
		require.False(t, vfs.Exists(fs, "/a/t-0/00000000000000000000.log.deleted"))
		points, err := readOffsets(fs, "/a/recovery-point-offset-checkpoint")
		require.NoError(t, err)
		require.Equal(t, offsets{tp: 1}, points)

		require.NoError(t, m.AsyncDelete(tp))
		require.Nil(t, m.Get(tp))
		require.Error(t, m.AsyncDelete(tp))
		renamed := l.Dir()
		require.True(t, strings.HasPrefix(renamed, "/a/t-0.") && strings.HasSuffix(renamed, "-delete"), renamed)
		points, err = readOffsets(fs, "/a/recovery-point-offset-checkpoint")
		require.NoError(t, err)
		require.Empty(t, points)
		time.Sleep(59 * time.Second)
		synctest.Wait()
		require.True(t, vfs.Exists(fs, renamed))
		time.Sleep(2 * time.Second)
		synctest.Wait()
		require.False(t, vfs.Exists(fs, renamed))
		require.NoError(t, m.Shutdown())
	})
}

// What was being deleted when the broker stopped is deleted by the next one.
func TestDeletionIsTakenUpAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		left := "/a/" + deleteName(model.TopicPartition{Topic: "gone", Partition: 3})
		require.NoError(t, fs.MkdirAll(left, 0o755))
		require.NoError(t, fs.MkdirAll("/a/t-0.0123-future", 0o755))
		m, err := load(Options{Dirs: []string{"/a"}, FS: fs})
		require.NoError(t, err)
		require.Empty(t, m.Logs())
		time.Sleep(61 * time.Second)
		synctest.Wait()
		require.False(t, vfs.Exists(fs, left))
		require.True(t, vfs.Exists(fs, "/a/t-0.0123-future"))
		require.NoError(t, m.Shutdown())
	})
}

func TestBrokenCheckpoints(t *testing.T) {
	for _, file := range checkpointFiles {
		for _, text := range []string{"0\n2\nt 0 1\n", "1\n0\n", "0\n1\nt 0\n", "0\n1\nt 0 x\n", "nonsense"} {
			fs := vfs.NewMem()
			m := startManager(t, Options{Dirs: []string{"/a"}, FS: fs})
			l, err := m.GetOrCreate(model.TopicPartition{Topic: "t", Partition: 0}, true, model.TopicID{})
			require.NoError(t, err)
			appendOne(t, l, "x")
			require.NoError(t, m.Shutdown())
			require.NoError(t, vfs.WriteFile(fs, filepath.Join("/a", file), []byte(text)))
			m, err = load(Options{Dirs: []string{"/a"}, FS: fs})
			requireFatal(t, err, "org.apache.kafka.common.KafkaException", "all log dirs in /a have failed")
			m.Shutdown()
		}
	}
}

// Killed without a shutdown, a broker finds everything again.
func TestKilled(t *testing.T) {
	fs := vfs.NewMem()
	m := startManager(t, Options{Dirs: []string{"/a"}, FS: fs})
	for p := range int32(20) {
		l, err := m.GetOrCreate(model.TopicPartition{Topic: "t", Partition: p}, true, model.TopicID{})
		require.NoError(t, err)
		for i := range p {
			appendOne(t, l, fmt.Sprint(i))
		}
	}
	m, err := load(Options{Dirs: []string{"/a"}, FS: fs.Clone(), RecoveryThreads: 4})
	require.NoError(t, err)
	for p := range int32(20) {
		require.EqualValues(t, p, m.Get(model.TopicPartition{Topic: "t", Partition: p}).LogEndOffset())
	}
	require.NoError(t, m.Shutdown())
}

func TestShutdownWithoutLoadKeepsTheMark(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, cleanShutdownFile), nil, 0o644))
	m, err := New(Options{Dirs: []string{dir}})
	require.NoError(t, err)
	require.NoError(t, m.Shutdown())
	require.NoError(t, m.Shutdown(), "twice")
	_, err = os.Stat(filepath.Join(dir, cleanShutdownFile))
	require.False(t, errors.Is(err, os.ErrNotExist))
}

func TestUnreadableDirectoriesAreNamedWithTheReason(t *testing.T) {
	file, empty := filepath.Join(t.TempDir(), "file"), t.TempDir()
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	md, missing, offline, err := ReadBrokerMetadata(vfs.OS, []string{file, empty})
	require.NoError(t, err)
	require.Nil(t, md)
	require.Equal(t, []string{empty}, missing)
	require.Len(t, offline, 1)
	require.ErrorContains(t, offline[file], "not a directory")
}
