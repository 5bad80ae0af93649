package logmanager

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gregor/pkg/commitlog"
	"gregor/pkg/kerr"
	"gregor/pkg/model"
	"gregor/pkg/vfs"
)

// life is what a broker does with two directories from start to stop. It
// keeps what was acknowledged.
type life struct {
	t       *testing.T
	acked   map[model.TopicPartition]int64
	dirs    map[model.TopicPartition]string
	failed  atomic.Int64
	manager *Manager
}

func partition(n int) model.TopicPartition {
	return model.TopicPartition{Topic: "t", Partition: int32(n)}
}

// live returns the error that ended the start, if one did.
func (l *life) live(fs vfs.FS) error {
	m, err := New(Options{Dirs: []string{"/a", "/b"}, FS: fs, OnDirFailure: func(string) { l.failed.Add(1) }})
	if err != nil {
		return err
	}
	l.manager = m
	defer m.Shutdown()
	if err := m.Lock(); err != nil {
		return err
	}
	if err := m.Load(context.Background(), func(string) commitlog.Options {
		o := commitlog.DefaultOptions()
		o.SegmentBytes, o.SegmentIndexBytes, o.RetentionMs = 150, 1200, -1
		return o
	}); err != nil {
		return err
	}
	m.Start()
	for n := range 4 {
		log, err := m.GetOrCreate(partition(n), true, model.TopicID{1})
		if err != nil {
			require.ErrorIs(l.t, err, kerr.KafkaStorageError)
			continue
		}
		l.dirs[partition(n)] = log.ParentDir()
		for range 3 {
			info, err := log.AppendAsLeader(oneRecord(fmt.Sprint(n)), 0, commitlog.OriginClient)
			if err != nil {
				require.ErrorIs(l.t, err, kerr.KafkaStorageError)
				break
			}
			l.acked[partition(n)] = info.LastOffset + 1
			log.SetHighWatermark(info.LastOffset + 1)
		}
	}
	m.CheckpointHighWatermarks(map[string]map[model.TopicPartition]int64{"/a": {partition(0): 1}, "/b": {partition(1): 1}})
	m.CheckpointRecoveryPoints()
	m.DeleteOldSegments()
	m.CheckpointLogStarts()
	if m.Get(partition(3)) != nil && m.AsyncDelete(partition(3)) == nil {
		delete(l.acked, partition(3))
	}
	return nil
}

// Every call to the file system fails once in the life of a broker with two
// directories. The directory goes offline, or nobody is hurt; the other one
// goes on; a directory that failed is not marked as clean; and the next start
// has everything that was acknowledged.
func TestEveryCallOfABrokerFailsOnce(t *testing.T) {
	stride := 7
	if os.Getenv("GREGOR_CRASH") != "" {
		stride = 1
	}
	for _, disk := range []error{syscall.ENOSPC, syscall.EIO} {
		for n := int64(1); ; n += int64(stride) {
			mem := vfs.NewMem()
			var calls atomic.Int64
			var what atomic.Pointer[string]
			l := &life{t: t, acked: map[model.TopicPartition]int64{}, dirs: map[model.TopicPartition]string{}}
			err := l.live(vfs.Faulty(mem, func(op vfs.Op, name string) error {
				if calls.Add(1) != n {
					return nil
				}
				text := fmt.Sprintf("call %d, %s of %s: %s", n, op, name, disk)
				what.Store(&text)
				return disk
			}))
			if what.Load() == nil {
				require.NoError(t, err)
				require.Greater(t, n, int64(200))
				break
			}
			l.requireSurvived(mem, err, *what.Load())
		}
	}
}

func (l *life) requireSurvived(mem *vfs.Mem, startErr error, what string) {
	l.t.Helper()
	var fatal *FatalError
	var refused *commitlog.Refusal
	if startErr != nil {
		require.True(l.t, errors.As(startErr, &fatal) || errors.As(startErr, &refused), "%s: %v", what, startErr)
	}
	if l.manager != nil {
		for _, dir := range l.manager.OfflineDirs() {
			require.False(l.t, vfs.Exists(mem, dir+"/"+cleanShutdownFile), "%s: the directory failed and is marked clean", what)
		}
		require.LessOrEqual(l.t, len(l.manager.OfflineDirs()), 1, what)
	}
	m, err := load(Options{Dirs: []string{"/a", "/b"}, FS: mem})
	require.NoError(l.t, err, what)
	for tp, end := range l.acked {
		log := m.Get(tp)
		require.NotNil(l.t, log, "%s: %s is gone", what, tp)
		require.GreaterOrEqual(l.t, log.LogEndOffset(), end, "%s: %s", what, tp)
		log.SetHighWatermark(log.LogEndOffset())
		info, err := log.Read(log.LogStartOffset(), 1<<20, commitlog.HighWatermark, true)
		require.NoError(l.t, err, what)
		if info.Records.Release != nil {
			info.Records.Release()
		}
	}
	require.NoError(l.t, m.Shutdown())
}

// A disk is full while the broker starts after having been killed: nothing has
// to grow before the records are served; an append takes the directory
// offline.
func TestAStartOnAFullDisk(t *testing.T) {
	for _, clean := range []bool{true, false} {
		t.Run(fmt.Sprintf("clean %v", clean), func(t *testing.T) {
			mem := vfs.NewMem()
			l := &life{t: t, acked: map[model.TopicPartition]int64{}, dirs: map[model.TopicPartition]string{}}
			require.NoError(t, l.live(mem))
			if !clean {
				for _, dir := range []string{"/a", "/b"} {
					require.NoError(t, mem.Remove(dir+"/"+cleanShutdownFile))
				}
			}
			failed := make(chan string, 4)
			m, err := New(Options{Dirs: []string{"/a", "/b"}, OnDirFailure: func(dir string) { failed <- dir }, FS: vfs.Faulty(mem, func(op vfs.Op, name string) error {
				// What takes no new block on the disk works.
				if op == vfs.OpWrite && !strings.HasSuffix(name, "index") {
					return syscall.ENOSPC
				}
				return nil
			})})
			require.NoError(t, err)
			require.NoError(t, m.Lock())
			require.NoError(t, m.Load(context.Background(), defaultOptions))
			m.Start()
			require.Empty(t, m.OfflineDirs())
			for tp, end := range l.acked {
				log := m.Get(tp)
				require.NoError(t, log.AssignEpochStart(7, log.LogEndOffset()), "it can be led")
				require.Equal(t, end, log.LogEndOffset())
				log.SetHighWatermark(end)
				info, err := log.Read(0, 1<<20, commitlog.HighWatermark, true)
				require.NoError(t, err)
				require.Positive(t, info.Records.Length)
				info.Records.Release()
			}
			m.CheckpointHighWatermarks(map[string]map[model.TopicPartition]int64{"/a": {partition(0): 1}, "/b": {partition(1): 1}})
			m.CheckpointLogStarts()
			require.Empty(t, m.OfflineDirs(), "what has not changed is not written")
			_, err = m.Get(partition(0)).AppendAsLeader(oneRecord("x"), 7, commitlog.OriginClient)
			require.ErrorIs(t, err, kerr.KafkaStorageError)
			require.Eventually(t, func() bool { return len(m.OfflineDirs()) == 1 }, 10*time.Second, time.Millisecond, "the directory goes offline")
			require.Equal(t, l.dirs[partition(0)], <-failed)
			require.NotNil(t, m.Get(partition(1)), "the other one stays")
			m.Shutdown()
			require.False(t, vfs.Exists(mem, l.dirs[partition(0)]+"/"+cleanShutdownFile))
		})
	}
}
