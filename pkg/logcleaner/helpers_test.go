package logcleaner

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gregor/pkg/commitlog"
	"gregor/pkg/compress"
	"gregor/pkg/logging"
	"gregor/pkg/model"
	"gregor/pkg/record"
	"gregor/pkg/vfs"
)

const baseTime = int64(1600000000000)

var testPartition = model.TopicPartition{Topic: "t", Partition: 0}

// shelf is the logs of a test with their checkpoints.
type shelf struct {
	mu      sync.Mutex
	logs    []*commitlog.Log
	cleaned map[model.TopicPartition]int64
}

func newShelf(logs ...*commitlog.Log) *shelf {
	return &shelf{logs: logs, cleaned: map[model.TopicPartition]int64{}}
}

func (s *shelf) Logs() []*commitlog.Log {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*commitlog.Log(nil), s.logs...)
}

func (s *shelf) CleanedTo(l *commitlog.Log) (int64, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	offset, found := s.cleaned[l.Partition()]
	return offset, found
}

func (s *shelf) SetCleanedTo(l *commitlog.Log, offset int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cleaned[l.Partition()] = offset
}

// testOptions are those of a compacted topic that is always due.
func testOptions() commitlog.Options {
	o := commitlog.DefaultOptions()
	o.Delete, o.Compact, o.MinCleanableDirtyRatio = false, true, 0
	o.RetentionMs, o.SegmentIndexBytes = -1, 12000
	return o
}

func testLogConfig(fs vfs.FS) commitlog.Config {
	return commitlog.Config{FS: fs, Dir: "/data/t-0", Partition: testPartition, Options: testOptions(), CleanShutdown: true}
}

func openLog(t require.TestingT, cfg commitlog.Config) *commitlog.Log {
	l, err := commitlog.Open(cfg)
	require.NoError(t, err)
	return l
}

func memLog(t testing.TB, change func(*commitlog.Options)) *commitlog.Log {
	t.Helper()
	fs := vfs.NewMem()
	require.NoError(t, fs.MkdirAll("/data", 0o755))
	cfg := testLogConfig(fs)
	if change != nil {
		change(&cfg.Options)
	}
	return openLog(t, cfg)
}

// kv is a record to append; a nil value is a tombstone.
type kv struct {
	key   string
	value any
}

func bytesOf(v any) []byte {
	if v == nil {
		return nil
	}
	return []byte(fmt.Sprint(v))
}

func batchOf(codec compress.Codec, timestamp int64, records ...kv) *record.Builder {
	b := record.NewBuilder(codec)
	for i, r := range records {
		b.Append(timestamp+int64(i), []byte(r.key), bytesOf(r.value))
	}
	return b
}

func put(t require.TestingT, l *commitlog.Log, records ...kv) {
	add(t, l, commitlog.OriginClient, batchOf(compress.None, baseTime, records...).MustBuild())
}

func add(t require.TestingT, l *commitlog.Log, origin commitlog.Origin, b record.Batch) {
	_, err := l.AppendAsLeader(b, 0, origin)
	require.NoError(t, err)
	l.SetHighWatermark(l.LogEndOffset())
}

func roll(t require.TestingT, l *commitlog.Log) { require.NoError(t, l.Roll()) }

// testConfig has small buffers, so that segments are read in pieces.
func testConfig() Config {
	return Config{Threads: 1, DedupeBufferSize: 1 << 20, DedupeBufferLoadFactor: 0.9, IOBufferSize: 512, Backoff: time.Millisecond}
}

func cleanNow(t testing.TB, s *shelf) *Cleaner {
	t.Helper()
	c := New(testConfig(), s, logging.Discard())
	c.CleanAll(context.Background())
	require.Empty(t, c.Uncleanable())
	return c
}

// batchesOf reads every batch of a log.
func batchesOf(t require.TestingT, l *commitlog.Log) (all []record.Batch) {
	for offset := l.LogStartOffset(); offset < l.LogEndOffset(); {
		info, err := l.Read(offset, 1<<20, commitlog.LogEnd, true)
		require.NoError(t, err)
		if info.Records.Length == 0 {
			return all
		}
		data := make([]byte, info.Records.Length)
		_, err = info.Records.File.ReadAt(data, info.Records.Position)
		require.NoError(t, err)
		info.Records.Release()
		for len(data) > 0 {
			b, rest, err := record.Split(data)
			require.NoError(t, err)
			require.True(t, b.Valid())
			data, offset = rest, b.NextOffset()
			all = append(all, b)
		}
	}
	return all
}

// contents are the records of a log's data batches: "offset key=value".
func contents(t require.TestingT, l *commitlog.Log) (all []string) {
	for _, b := range batchesOf(t, l) {
		records := b.Records(1 << 20)
		for records.Next() {
			r := records.Record()
			switch {
			case b.Control():
				marker, _, err := b.EndTxnMarker()
				require.NoError(t, err)
				all = append(all, fmt.Sprintf("%d marker %d", r.Offset, marker.Type))
			case r.Value == nil:
				all = append(all, fmt.Sprintf("%d %s gone", r.Offset, r.Key))
			default:
				all = append(all, fmt.Sprintf("%d %s=%s", r.Offset, r.Key, r.Value))
			}
		}
		require.NoError(t, records.Err())
		records.Close()
		if b.Count() == 0 {
			all = append(all, fmt.Sprintf("%d empty", b.LastOffset()))
		}
	}
	return all
}
