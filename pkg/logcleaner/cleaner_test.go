package logcleaner

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"gregor/pkg/commitlog"
	"gregor/pkg/compress"
	"gregor/pkg/logging"
	"gregor/pkg/record"
	"gregor/pkg/vfs"
)

// damage flips a bit of a log file.
func damage(t *testing.T, fs vfs.FS, path string, at int64) {
	t.Helper()
	f, err := fs.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	var b [1]byte
	_, err = f.ReadAt(b[:], at)
	require.NoError(t, err)
	b[0] ^= 1
	_, err = f.WriteAt(b[:], at)
	require.NoError(t, err)
}

// A log with an error in it is named once, left alone for an hour, tried
// again, and does not keep the others from being compacted.
func TestALogThatCannotBeCompacted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		require.NoError(t, fs.MkdirAll("/data", 0o755))
		cfg := testLogConfig(fs)
		broken := openLog(t, cfg)
		put(t, broken, kv{"a", 1})
		put(t, broken, kv{"a", 2})
		roll(t, broken)
		damage(t, fs, "/data/t-0/00000000000000000000.log", record.HeaderSize+3)
		cfg.Dir, cfg.Partition.Topic = "/data/good-0", "good"
		good := openLog(t, cfg)
		put(t, good, kv{"a", 1}, kv{"a", 2})
		roll(t, good)

		var out bytes.Buffer
		s := newShelf(broken, good)
		c := New(testConfig(), s, logging.New(&out))
		for range 3 {
			c.CleanAll(t.Context())
			c.CleanAll(t.Context())
			time.Sleep(50 * time.Minute)
		}
		require.Equal(t, []string{"1 a=2"}, contents(t, good))
		require.Len(t, batchesOfFile(t, fs), 2, "what is broken is left as it is")
		require.Equal(t, 1, strings.Count(out.String(), "ERROR"))
		require.Contains(t, out.String(), "ERROR Unexpected exception thrown when cleaning log Log(dir=/data/t-0, topic=t, partition=0,")
		require.Contains(t, out.String(), "Marking its partition (t-0) as uncleanable (kafka.log.LogCleaner)")
		require.Equal(t, 2, strings.Count(out.String(), "Beginning cleaning of log t-0."), "at once, and when an hour had passed")
		require.Equal(t, []Uncleanable{{Dir: "/data", Partition: testPartition, Bytes: broken.Size()}}, c.Uncleanable())

		damage(t, fs, "/data/t-0/00000000000000000000.log", record.HeaderSize+3)
		time.Sleep(time.Hour)
		c.CleanAll(t.Context())
		require.Equal(t, []string{"1 a=2"}, contents(t, broken))
		require.Empty(t, c.Uncleanable())
		require.NoError(t, broken.Close())
		require.NoError(t, good.Close())
	})
}

func batchesOfFile(t *testing.T, fs vfs.FS) (all []record.Batch) {
	t.Helper()
	data, err := vfs.ReadFile(fs, "/data/t-0/00000000000000000000.log", 1<<20)
	require.NoError(t, err)
	for b, rest, err := record.Split(data); err == nil; b, rest, err = record.Split(rest) {
		all = append(all, b)
	}
	return all
}

func TestWhatIsGoneIsNotUncleanable(t *testing.T) {
	l := memLog(t, nil)
	s := newShelf(l)
	c := New(testConfig(), s, nil)
	c.failed(l, nil, errors.New("x"))
	require.Len(t, c.Uncleanable(), 1)
	s.logs = nil
	c.CleanAll(t.Context())
	require.Empty(t, c.Uncleanable())
}

// The dirtiest log comes first; one that is paused does not come at all.
func TestTheDirtiestLogComesFirst(t *testing.T) {
	fs := vfs.NewMem()
	require.NoError(t, fs.MkdirAll("/data", 0o755))
	var logs []*commitlog.Log
	for p := range int32(3) {
		cfg := testLogConfig(fs)
		cfg.Partition.Partition, cfg.Dir = p, fmt.Sprintf("/data/t-%d", p)
		l := openLog(t, cfg)
		put(t, l, kv{"a", 1})
		roll(t, l)
		for range p {
			put(t, l, kv{"a", 2})
		}
		roll2(t, l)
		logs = append(logs, l)
	}
	s := newShelf(logs...)
	for _, l := range logs {
		s.SetCleanedTo(l, 1)
	}
	c := New(testConfig(), s, nil)
	found, done, _ := c.take(t.Context())
	require.Equal(t, logs[2], found.Log)
	done()
	c.Pause(logs[2].Partition())
	found, done, ctx := c.take(t.Context())
	require.Equal(t, logs[1], found.Log)
	require.False(t, c.PauseIdle(logs[1].Partition()))
	found, _, _ = c.take(t.Context())
	require.Nil(t, found)
	stopped := make(chan struct{})
	go func() { c.Abort(logs[1].Partition()); close(stopped) }()
	<-ctx.Done()
	done()
	<-stopped
	require.True(t, c.PauseIdle(logs[1].Partition()))
	c.Resume(logs[1].Partition())
	found, done, _ = c.take(t.Context())
	require.Equal(t, logs[1], found.Log)
	done()
}

func roll2(t *testing.T, l *commitlog.Log) {
	t.Helper()
	if l.ActiveBase() < l.LogEndOffset() {
		roll(t, l)
	}
}

func TestThreadsRunAndAreReconfigured(t *testing.T) {
	l := memLog(t, nil)
	put(t, l, kv{"a", 1}, kv{"a", 2})
	roll(t, l)
	var out safeBuffer
	c := New(testConfig(), newShelf(l), logging.New(&out))
	c.Start()
	await(t, func() bool { return l.Size() > 0 && len(contents(t, l)) == 1 })
	cfg := testConfig()
	cfg.Threads = 2
	c.Reconfigure(cfg)
	put(t, l, kv{"a", 3}, kv{"a", 4})
	roll(t, l)
	await(t, func() bool { return len(contents(t, l)) == 1 })
	c.Shutdown()
	c.Start()
	c.Reconfigure(cfg)
	var lines []string
	for line := range strings.Lines(out.String()) {
		if _, text, ok := strings.Cut(line, "] INFO "); ok && !strings.Contains(text, "Cleaner 0:") && !strings.Contains(text, "Cleaner 1:") && strings.Contains(text, "LogCleaner)") {
			lines = append(lines, strings.TrimSuffix(text, " (kafka.log.LogCleaner)\n"))
		}
	}
	require.Equal(t, "Starting the log cleaner", lines[0])
	require.Equal(t, "[kafka-log-cleaner-thread-0]: Starting", lines[1])
	require.Equal(t, []string{"Shutting down the log cleaner.", "[kafka-log-cleaner-thread-0]: Shutting down", "[kafka-log-cleaner-thread-0]: Stopped",
		"[kafka-log-cleaner-thread-0]: Shutdown completed", "Starting the log cleaner"}, lines[2:7])
	require.Contains(t, lines, "[kafka-log-cleaner-thread-1]: Shutdown completed")
	require.Equal(t, 2, strings.Count(out.String(), "Starting the log cleaner"), "a cleaner that was shut down stays so")
	require.Contains(t, out.String(), "Log cleaner thread 0 cleaned log t-0 (dirty section = [0, 2])")
}

type safeBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func await(t *testing.T, cond func() bool) {
	t.Helper()
	require.Eventually(t, cond, 20*time.Second, time.Millisecond)
}

func TestTheThrottleKeepsTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var th throttle
		th.set(1000)
		began := time.Now()
		for range 100 {
			require.NoError(t, th.observe(t.Context(), 100))
			time.Sleep(10 * time.Millisecond)
		}
		require.InDelta(t, 10, time.Since(began).Seconds(), 1)
		th.set(1e300)
		began = time.Now()
		for range 1000 {
			require.NoError(t, th.observe(t.Context(), 1<<20))
			time.Sleep(time.Millisecond)
		}
		require.Equal(t, time.Second, time.Since(began))
		ctx, cancel := context.WithCancel(t.Context())
		th.set(1)
		time.Sleep(time.Second)
		time.AfterFunc(time.Second, cancel)
		began = time.Now()
		require.ErrorIs(t, th.observe(ctx, 1<<20), context.Canceled)
		require.Equal(t, time.Second, time.Since(began))
	})
}

// The buffer grows for a batch that does not fit, also one that is larger
// than the log takes today.
func TestLargeBatches(t *testing.T) {
	l := memLog(t, nil)
	large := strings.Repeat("x", 50_000)
	for i := range 3 {
		put(t, l, kv{"a", i}, kv{"large", large}, kv{"b", i})
	}
	roll(t, l)
	for _, limit := range []int{1 << 20, 1000, 0} {
		o := l.Options()
		o.MaxMessageBytes = limit
		l.UpdateOptions(o)
		cleanNow(t, newShelf(l))
		require.Len(t, contents(t, l), 3)
	}
	require.EqualValues(t, 9, l.LogEndOffset())
}

// A length that lies ends the reading before memory is taken for it.
func TestALyingLength(t *testing.T) {
	fs := vfs.NewMem()
	require.NoError(t, fs.MkdirAll("/data", 0o755))
	l := openLog(t, testLogConfig(fs))
	put(t, l, kv{"a", 1})
	put(t, l, kv{"a", 2})
	roll(t, l)
	f, err := fs.OpenFile("/data/t-0/00000000000000000000.log", os.O_RDWR, 0)
	require.NoError(t, err)
	for _, length := range []uint32{1 << 31, 1<<31 - 1, 5, 1 << 20} {
		_, err = f.WriteAt(binary.BigEndian.AppendUint32(nil, length), 8)
		require.NoError(t, err)
		c := New(testConfig(), newShelf(l), nil)
		c.CleanAll(t.Context())
		require.Len(t, c.Uncleanable(), 1, "%x", length)
	}
}

// Readers go on while the segments that they read are replaced.
func TestReadersDuringCompaction(t *testing.T) {
	fs := vfs.OS
	cfg := testLogConfig(fs)
	cfg.Dir = t.TempDir() + "/t-0"
	cfg.Options.SegmentBytes, cfg.Options.IndexIntervalBytes, cfg.Options.FileDeleteDelayMs = 800, 50, 0
	l := openLog(t, cfg)
	put(t, l, kv{"first", 1})
	s := newShelf(l)
	c := New(testConfig(), s, nil)
	ctx, cancel := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	for range 2 {
		wait.Go(func() {
			for offset := int64(0); ctx.Err() == nil; offset = (offset + 7) % l.HighWatermark() {
				info, err := l.Read(offset, 2000, commitlog.TxnCommitted, true)
				if err != nil || info.Records.Length == 0 {
					panic(fmt.Sprint("offset ", offset, " of ", l.LogEndOffset(), ": ", err))
				}
				data := make([]byte, info.Records.Length)
				if _, err := info.Records.File.ReadAt(data, info.Records.Position); err != nil {
					panic(err)
				}
				info.Records.Release()
				if b, _, err := record.Split(data); err == nil && (!b.Valid() || b.LastOffset() < offset) {
					panic(fmt.Sprint("wrong batch for offset ", offset))
				}
				if _, _, _, _, err := l.OffsetForTimestamp(baseTime + offset); err != nil {
					panic(err)
				}
			}
		})
	}
	for i := range 15 {
		for k := range 20 {
			add(t, l, commitlog.OriginClient, batchOf(compress.Codec(k%2), baseTime+int64(i*20+k), kv{fmt.Sprint("key", k%9), i}).MustBuild())
		}
		c.CleanAll(ctx)
	}
	cancel()
	wait.Wait()
	require.Empty(t, c.Uncleanable())
	require.NoError(t, l.Close())
}

func TestAnErrorOfTheDiskIsReported(t *testing.T) {
	mem := vfs.NewMem()
	require.NoError(t, mem.MkdirAll("/data", 0o755))
	cfg := testLogConfig(mem)
	armed := false
	cfg.FS = vfs.Faulty(mem, func(op vfs.Op, name string) error {
		if armed && op == vfs.OpRead && strings.HasSuffix(name, ".log") {
			return &os.PathError{Op: "read", Path: name, Err: syscall.EIO}
		}
		return nil
	})
	var reported error
	cfg.OnFailure = func(err error) { reported = err }
	l := openLog(t, cfg)
	put(t, l, kv{"a", 1}, kv{"a", 2})
	roll(t, l)
	armed = true
	c := New(testConfig(), newShelf(l), nil)
	c.CleanAll(t.Context())
	require.ErrorIs(t, reported, syscall.EIO)
	require.ErrorContains(t, reported, "Failed to clean up log for t-0 in dir /data due to IOException")
	require.Empty(t, c.Uncleanable())
}

func TestOffsetMap(t *testing.T) {
	m := NewOffsetMap(1000*slotBytes, 0.9)
	require.EqualValues(t, 1000, m.slots)
	m.reset(1 << 40)
	require.Len(t, m.table, 1000)
	for i := range 900 {
		require.False(t, m.full())
		m.put(hashOf(fmt.Appendf(nil, "key %d", i)), int64(i))
		m.put(hashOf(fmt.Appendf(nil, "key %d", i)), int64(i)+1000)
	}
	require.True(t, m.full())
	for i := range 2000 {
		want := int64(-1)
		if i < 900 {
			want = int64(i) + 1000
		}
		require.Equal(t, want, m.get(hashOf(fmt.Appendf(nil, "key %d", i))))
	}
	require.InDelta(t, 0.9, m.utilization(), 1e-9)
	m.reset(10)
	require.Less(t, len(m.table), 100)
	require.EqualValues(t, -1, m.get(hashOf([]byte("key 1"))))
	require.Zero(t, testing.AllocsPerRun(100, func() { m.put(hashOf([]byte("k")), 1); m.get(hashOf([]byte("k"))) }))
}

func TestGroups(t *testing.T) {
	l := memLog(t, nil)
	for i := range 6 {
		put(t, l, kv{"a", i})
		roll(t, l)
	}
	size := int(l.Size()) / 6
	segments := l.SegmentsBetween(0, 6)
	require.Len(t, segments, 6)
	count := func(change func(o *commitlog.Options), end int64) (sizes []int) {
		o := testOptions()
		change(&o)
		groups, err := groupSegments(segments, &o, end)
		require.NoError(t, err)
		for _, g := range groups {
			sizes = append(sizes, len(g))
		}
		return sizes
	}
	require.Equal(t, []int{6}, count(func(*commitlog.Options) {}, 6))
	require.Equal(t, []int{2, 2, 2}, count(func(o *commitlog.Options) { o.SegmentBytes = 2 * size }, 6))
	require.Equal(t, []int{1, 1, 1, 1, 1, 1}, count(func(o *commitlog.Options) { o.SegmentBytes = 1 }, 6))
	require.Equal(t, []int{2, 2, 2}, count(func(o *commitlog.Options) { o.SegmentIndexBytes = 24 }, 6), "an entry of 12 bytes in each time index")
	require.Equal(t, []int{5, 1}, count(func(*commitlog.Options) {}, 1<<31+1))
}

func TestReport(t *testing.T) {
	began := time.UnixMilli(0)
	s := Stats{Started: began, Indexed: began.Add(time.Second), Ended: began.Add(4 * time.Second), MapBytesRead: 1 << 30, BytesRead: 2 << 30,
		MessagesRead: 1234567, BytesWritten: 1 << 20, MessagesWritten: 1000, BufferUtilization: 0.25}
	require.Equal(t, "\n\tLog cleaner thread 1 cleaned log t-0 (dirty section = [5, 1234572])\n"+
		"\t2,048.0 MB of log processed in 4.0 seconds (512.0 MB/sec).\n"+
		"\tIndexed 1,024.0 MB in 1.0 seconds (1,024.0 Mb/sec, 25.0% of total time)\n"+
		"\tBuffer utilization: 25.0%\n"+
		"\tCleaned 2,048.0 MB in 3.0 seconds (682.7 Mb/sec, 75.0% of total time)\n"+
		"\tStart size: 2,048.0 MB (1,234,567 messages)\n"+
		"\tEnd size: 1.0 MB (1,000 messages)\n"+
		"\t100.0% size reduction (99.9% fewer messages)\n", s.report(1, "t-0", 5, 1234572))
	empty := Stats{Started: began, Indexed: began, Ended: began}
	require.Contains(t, empty.report(0, "t-0", 0, 0), "processed in 0.0 seconds (NaN MB/sec)")
}

// FuzzFilter feeds the filter with the records of a batch that has a right
// checksum: no panic, and what comes out can be read.
func FuzzFilter(f *testing.F) {
	f.Add([]byte(batchOf(compress.None, baseTime, kv{"a", 1}, kv{"b", nil}, kv{"a", 2}).MustBuild()[record.HeaderSize:]), int32(3))
	f.Add([]byte{0, 0, 0}, int32(1))
	f.Fuzz(func(t *testing.T, records []byte, count int32) {
		b := batchOf(compress.None, baseTime).MustBuild()
		b = append(b, records...)
		b.FinishCompacted(baseTime, baseTime, count)
		m := NewOffsetMap(1000, 0.5)
		m.reset(10)
		builder := &mapBuilder{offsets: m, txns: newTransactions(), stats: &Stats{}}
		if _, err := builder.add(record.Any(b)); err != nil {
			require.ErrorIs(t, err, record.ErrCorrupt)
			return
		}
		m.readTo(1 << 40)
		fl := &filter{offsets: m, txns: newTransactions(), stats: &Stats{}, retainDeletes: true}
		fl.beginChunk()
		require.NoError(t, fl.add(record.Any(b)))
		if len(fl.out) > 0 {
			out, rest, err := record.Split(fl.out)
			require.NoError(t, err)
			require.Empty(t, rest)
			require.True(t, out.Valid())
		}
	})
}
