package commitlog

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gregor/pkg/kerr"
	"gregor/pkg/vfs"
)

// Many appends that must each be durable before they return share syncs: the
// first sync is held until all of them have written, and what they wrote is
// then made durable by the one behind it.
func TestAppendsShareASync(t *testing.T) {
	const appends = 64
	mem := vfs.NewMem()
	require.NoError(t, mem.MkdirAll("/data", 0o755))
	var l *Log
	var syncs atomic.Int64
	cfg := testConfig(vfs.Faulty(mem, func(op vfs.Op, name string) error {
		if op == vfs.OpSync && strings.HasSuffix(name, logExt) && syncs.Add(1) == 1 {
			for deadline := time.Now().Add(10 * time.Second); l.LogEndOffset() < appends && time.Now().Before(deadline); {
				time.Sleep(time.Millisecond)
			}
		}
		return nil
	}))
	cfg.Options.FlushMessages = 1
	l = openTest(t, cfg)
	var wait sync.WaitGroup
	lost := make(chan string, appends)
	for i := range appends {
		wait.Go(func() {
			info, err := l.AppendAsLeader(batchOf(fmt.Sprint(i)), 0, OriginClient)
			if err != nil || l.RecoveryPoint() <= info.LastOffset {
				lost <- fmt.Sprintf("offset %d of recovery point %d: %v", info.LastOffset, l.RecoveryPoint(), err)
			}
		})
	}
	wait.Wait()
	close(lost)
	require.Empty(t, lost)
	require.EqualValues(t, 2, syncs.Load(), "syncs of the log file")
	after := openTest(t, Config{FS: mem.CrashClone(nil), Dir: cfg.Dir, Partition: cfg.Partition, Options: cfg.Options})
	require.EqualValues(t, appends, after.LogEndOffset(), "a power cut costs nothing that was acknowledged")
}

// A batch that is sent again while the first sync of it runs is acknowledged
// when that has ended.
func TestADuplicateWaitsForTheSync(t *testing.T) {
	mem := vfs.NewMem()
	require.NoError(t, mem.MkdirAll("/data", 0o755))
	begun, released := make(chan struct{}), make(chan struct{})
	var once sync.Once
	cfg := testConfig(vfs.Faulty(mem, func(op vfs.Op, name string) error {
		if op == vfs.OpSync && strings.HasSuffix(name, logExt) {
			once.Do(func() { close(begun); <-released })
		}
		return nil
	}))
	cfg.Options.FlushMessages = 1
	l := openTest(t, cfg)
	done := make(chan AppendInfo, 2)
	send := func() {
		info, err := l.AppendAsLeader(produced(1, 0, 0, 1).MustBuild(), 0, OriginClient)
		if err == nil {
			done <- info
		}
	}
	var wait sync.WaitGroup
	wait.Go(send)
	<-begun
	wait.Go(send)
	select {
	case info := <-done:
		require.Fail(t, "acknowledged before it was durable", "%+v", info)
	case <-time.After(20 * time.Millisecond): // a duplicate that does not wait is back long before
	}
	close(released)
	wait.Wait()
	require.Len(t, done, 2)
	first, second := <-done, <-done
	require.NotEqual(t, first.Duplicate, second.Duplicate)
}

// A sync that failed is never tried again, by none of those who waited for it.
func TestAFailedSyncFailsEveryWaiter(t *testing.T) {
	mem := vfs.NewMem()
	require.NoError(t, mem.MkdirAll("/data", 0o755))
	var l *Log
	var syncs, reports atomic.Int64
	cfg := testConfig(vfs.Faulty(mem, func(op vfs.Op, name string) error {
		if op != vfs.OpSync || !strings.HasSuffix(name, logExt) {
			return nil
		}
		syncs.Add(1)
		for deadline := time.Now().Add(10 * time.Second); l.LogEndOffset() < 8 && time.Now().Before(deadline); {
			time.Sleep(time.Millisecond)
		}
		return errors.New("input/output error")
	}))
	cfg.OnFailure = func(error) { reports.Add(1) }
	cfg.Options.FlushMessages = 1
	l = openTest(t, cfg)
	var wait sync.WaitGroup
	var acknowledged atomic.Int64
	for i := range 8 {
		wait.Go(func() {
			if _, err := l.AppendAsLeader(batchOf(fmt.Sprint(i)), 0, OriginClient); !errors.Is(err, kerr.KafkaStorageError) {
				acknowledged.Add(1)
			}
		})
	}
	wait.Wait()
	require.Zero(t, acknowledged.Load())
	require.EqualValues(t, 1, syncs.Load())
	require.EqualValues(t, 1, reports.Load())
}

// An index that a power cut left at its allocated size, behind a clean
// shutdown, is read without its zeros.
func TestAnIndexThatWasNotCut(t *testing.T) {
	mem := vfs.NewMem()
	cfg, values := sample(t, mem)
	for _, ext := range []string{indexExt, timeIndexExt} {
		for _, name := range files(t, mem, cfg.Dir) {
			if strings.HasSuffix(name, ext) {
				f, err := mem.OpenFile(cfg.Dir+"/"+name, 0, 0)
				require.NoError(t, err)
				require.NoError(t, f.Truncate(1200))
			}
		}
	}
	cfg.CleanShutdown = true
	l := openTest(t, cfg)
	for _, s := range *l.segments.Load() {
		require.NoError(t, s.offsets.trim())
		require.NoError(t, s.times.trim())
	}
	whole := vfs.NewMem()
	want, _ := sample(t, whole)
	for _, name := range files(t, whole, want.Dir) {
		if strings.HasSuffix(name, "index") {
			before, err := vfs.ReadFile(whole, want.Dir+"/"+name, 1<<20)
			require.NoError(t, err)
			after, err := vfs.ReadFile(mem, cfg.Dir+"/"+name, 1<<20)
			require.NoError(t, err)
			require.Equal(t, before, after, name)
		}
	}
	require.EqualValues(t, len(values), l.LogEndOffset())
}
