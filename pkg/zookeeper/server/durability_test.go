package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gregor/pkg/logging"
	"gregor/pkg/zookeeper/jute"
	"gregor/pkg/zookeeper/tree"
	"gregor/pkg/zookeeper/txnlog"
)

// recovered is the state that a server would start with in a copy of dir.
func recovered(t *testing.T, dir string) *txnlog.State {
	t.Helper()
	copied := filepath.Join(t.TempDir(), "version-2")
	require.NoError(t, os.Mkdir(copied, 0o755))
	// Logs last, newest last: what a kill leaves is never a newer snapshot
	// with an older log.
	for _, list := range []func(string) ([]txnlog.File, error){txnlog.Snapshots, txnlog.Logs} {
		files, err := list(filepath.Join(dir, "version-2"))
		require.NoError(t, err)
		for _, file := range files {
			b, err := os.ReadFile(file.Path)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(filepath.Join(copied, filepath.Base(file.Path)), b, 0o644))
		}
	}
	state, err := txnlog.Recover(txnlog.Options{SnapDir: copied, LogDir: copied})
	require.NoError(t, err)
	return state
}

// A copy of the directory taken at any moment is what kill -9 leaves. What
// was answered for before the copy must be in it.
func TestWhatWasAnsweredSurvivesAKillAtAnyMoment(t *testing.T) {
	dir := t.TempDir()
	s := startIn(t, dir, func(c *Config) { c.PreAllocSize = 1 << 16; c.SnapCount = 300 })
	defer func() { require.NoError(t, s.Close()) }()
	r := open(t, s, time.Minute)
	var answered atomic.Int64
	const total = 2000
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range total {
			r.send(int32(i), jute.OpCreate, create(fmt.Sprintf("/n%d", i), 0, worldAll))
		}
	}()
	go func() {
		for range total {
			if b, err := r.recv(); err != nil || len(b) < 16 {
				return
			}
			answered.Add(1)
		}
	}()
	for answered.Load() < total {
		before := answered.Load()
		state := recovered(t, dir)
		for i := range before {
			require.NotNil(t, state.Tree.Get(fmt.Sprintf("/n%d", i)), "%d of %d answered", i, before)
		}
	}
	<-done
}

func TestPipelinedRepliesComeInOrder(t *testing.T) {
	s := start(t)
	r := open(t, s, time.Minute)
	const total = 3000
	go func() {
		for i := range total {
			op, body := jute.OpCreate, create(fmt.Sprintf("/n%d", i), 0, worldAll)
			if i%3 == 1 {
				op, body = jute.OpExists, pathWatch(fmt.Sprintf("/n%d", i-1), false)
			}
			r.send(int32(i), op, body)
		}
	}()
	for i := range total {
		a := r.next()
		require.EqualValues(t, i, a.xid)
		require.Equal(t, jute.OK, a.code, "a read sees the writes before it")
	}
}

// A client that reads nothing is not read from, and nobody else notices.
func TestSlowReader(t *testing.T) {
	s := start(t)
	r, other := open(t, s, time.Minute), open(t, s, time.Minute)
	big := make([]byte, 500<<10)
	require.Equal(t, jute.OK, r.call(jute.OpCreate, create("/big", 0, worldAll)).code)
	require.Equal(t, jute.OK, r.call(jute.OpSetData, setData("/big", string(big), -1)).code)
	const total = 40
	go func() {
		for i := range total {
			r.send(int32(1000+i), jute.OpGetData, pathWatch("/big", false))
		}
	}()
	for range 50 {
		require.Equal(t, jute.OK, other.call(jute.OpSync, onlyPath("/")).code)
	}
	s.mu.Lock()
	for c := range s.conns {
		c.out.mu.Lock()
		require.Less(t, len(c.out.buf), outboxMax+len(big)+1000)
		c.out.mu.Unlock()
	}
	s.mu.Unlock()
	for i := range total {
		require.EqualValues(t, 1000+i, r.next().xid)
	}
}

func TestRestartKeepsSessionsAndTheirNodes(t *testing.T) {
	dir := t.TempDir()
	s := startIn(t, dir)
	r := open(t, s, 2*time.Second)
	require.Equal(t, jute.OK, r.call(jute.OpCreate, create("/e", 1, worldAll)).code)
	require.NoError(t, s.Close())
	r.closed()
	_, err := net.Dial("tcp", s.Addr())
	require.Error(t, err)

	s = startIn(t, dir)
	again := connectTCP(t, s)
	again.connect(0, 2*time.Second, r.session, r.password)
	require.Equal(t, r.session, again.session)
	require.Equal(t, jute.OK, again.call(jute.OpExists, pathWatch("/e", false)).code)
	fresh := open(t, s, time.Second)
	require.NotEqual(t, r.session, fresh.session)
	require.NoError(t, s.Close())

	// Nobody comes back: the session expires, counted from the start.
	s = startIn(t, dir, func(c *Config) { c.MaxSessionTimeout = 300 * time.Millisecond })
	watcher := open(t, s, time.Minute)
	await(t, "the end of the session", func() bool {
		return watcher.call(jute.OpExists, pathWatch("/e", false)).code == jute.NoNode
	})
	require.NoError(t, s.Close())
}

func TestSnapshotsUnderLoad(t *testing.T) {
	dir := t.TempDir()
	s := startIn(t, dir, func(c *Config) { c.SnapCount = 20; c.PreAllocSize = 4096 })
	r := open(t, s, time.Minute)
	for i := range 200 {
		require.Equal(t, jute.OK, r.call(jute.OpCreate, create(fmt.Sprintf("/n%d", i), int32(i%2), worldAll)).code)
		require.Equal(t, jute.OK, r.call(jute.OpSetData, setData(fmt.Sprintf("/n%d", i), "x", 0)).code)
	}
	s.mu.Lock()
	digest, zxid := s.tree.Digest(), s.zxid
	s.mu.Unlock()
	require.NoError(t, s.Close())
	snapshots, err := txnlog.Snapshots(filepath.Join(dir, "version-2"))
	require.NoError(t, err)
	require.Greater(t, len(snapshots), 3)
	logs, err := txnlog.Logs(filepath.Join(dir, "version-2"))
	require.NoError(t, err)
	require.Greater(t, len(logs), 3)

	for keep := len(snapshots); keep > 0; keep-- { // with any of the snapshots as the newest
		state := recovered(t, dir)
		require.Equal(t, digest, state.Tree.Digest())
		require.Equal(t, zxid, state.Zxid)
		require.Empty(t, state.Warnings)
		require.NoError(t, os.Remove(snapshots[keep-1].Path))
	}
}

func TestPurgeRunsAtStart(t *testing.T) {
	dir := t.TempDir()
	version2 := filepath.Join(dir, "version-2")
	require.NoError(t, os.Mkdir(version2, 0o755))
	for zxid := range int64(6) {
		_, err := txnlog.WriteSnapshot(version2, &txnlog.Snapshot{Zxid: zxid, Nodes: tree.New().View()})
		require.NoError(t, err)
	}
	s := startIn(t, dir, func(c *Config) { c.PurgeInterval = time.Hour })
	defer func() { require.NoError(t, s.Close()) }()
	await(t, "three snapshots", func() bool {
		snapshots, err := txnlog.Snapshots(version2)
		return err == nil && len(snapshots) == 3
	})
}

// A server that cannot write its log stops, and answers for nothing more.
func TestDiskFailureStopsTheServer(t *testing.T) {
	var log lines
	dir := t.TempDir()
	s := startIn(t, dir, func(c *Config) { c.Loggers = logging.New(&log) })
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "version-2")))
	r := connectTCP(t, s)
	r.frame(make([]byte, 44))
	r.closed()
	select {
	case <-s.Done():
	case <-time.After(ioTimeout):
		t.Fatal("the server goes on")
	}
	require.ErrorIs(t, s.Close(), os.ErrNotExist)
	require.ErrorIs(t, s.Err(), os.ErrNotExist)
	require.Contains(t, log.String(), "ERROR The transaction log cannot be written")
}

func TestStartErrors(t *testing.T) {
	s := start(t)
	port := s.port()
	_, err := Start(context.Background(), Config{DataDir: t.TempDir(), ClientPortAddress: "127.0.0.1", ClientPort: port})
	require.ErrorIs(t, err, syscall.EADDRINUSE)
	_, err = Start(context.Background(), Config{DataDir: s.cfg.DataDir})
	require.ErrorIs(t, err, ErrDataDir)
	require.ErrorContains(t, err, "another ZooKeeper server is running on "+s.cfg.DataDir)

	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	_, err = Start(context.Background(), Config{DataDir: file})
	require.ErrorIs(t, err, ErrDataDir)

	_, err = Start(context.Background(), Config{})
	require.ErrorContains(t, err, "dataDir is not set")
	_, err = Start(context.Background(), Config{DataDir: "x", MinSessionTimeout: time.Hour})
	require.ErrorContains(t, err, "minSessionTimeout must not be larger than maxSessionTimeout")

	// The two directories exchanged.
	data, logs := t.TempDir(), t.TempDir()
	separate := startIn(t, data, func(c *Config) { c.DataLogDir = logs })
	open(t, separate, time.Second)
	require.NoError(t, separate.Close())
	_, err = Start(context.Background(), Config{DataDir: logs, DataLogDir: data})
	require.ErrorContains(t, err, "Log directory has snapshot files")
	again := startIn(t, data, func(c *Config) { c.DataLogDir = logs })
	require.NoError(t, again.Close(), "a failed start leaves the directories free")
}

func TestContextEndsTheServer(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	s, err := Start(ctx, Config{DataDir: t.TempDir(), ClientPortAddress: "127.0.0.1"})
	require.NoError(t, err)
	r := open(t, s, time.Second)
	cancel()
	r.closed()
	require.NoError(t, s.Close())
	require.True(t, errors.Is(s.group.Context().Err(), context.Canceled))
}

func BenchmarkPipelinedSets(b *testing.B) {
	s, err := Start(context.Background(), Config{DataDir: b.TempDir(), ClientPortAddress: "127.0.0.1"})
	require.NoError(b, err)
	defer s.Close()
	benchmark(b, s, func(r *raw, i int) { r.send(int32(i), jute.OpSetData, setData("/n", "0123456789", -1)) })
}

func BenchmarkPipelinedGets(b *testing.B) {
	s, err := Start(context.Background(), Config{DataDir: b.TempDir(), ClientPortAddress: "127.0.0.1"})
	require.NoError(b, err)
	defer s.Close()
	benchmark(b, s, func(r *raw, i int) { r.send(int32(i), jute.OpGetData, pathWatch("/n", false)) })
}

func benchmark(b *testing.B, s *Server, send func(r *raw, i int)) {
	t := &testing.T{}
	nc, err := net.Dial("tcp", s.Addr())
	require.NoError(b, err)
	defer nc.Close()
	r := &raw{t: t, nc: nc}
	r.connect(0, time.Minute, 0, make([]byte, 16))
	r.call(jute.OpCreate, create("/n", 0, worldAll))
	b.ReportAllocs()
	b.ResetTimer()
	go func() {
		for i := range b.N {
			send(r, i)
		}
	}()
	for range b.N {
		if _, err := r.recv(); err != nil {
			b.Fatal(err)
		}
	}
}

// Start to serving and back, in an empty directory.
func BenchmarkStartAndClose(b *testing.B) {
	for b.Loop() {
		s, err := Start(context.Background(), Config{DataDir: b.TempDir(), ClientPortAddress: "127.0.0.1"})
		require.NoError(b, err)
		require.NoError(b, s.Close())
	}
}
