//go:build compat

package compat

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"gregor/pkg/compress"
	"gregor/pkg/record"
)

// compactedTopic is a topic of the comparison: how it is written, and whether
// the files must be the same to the byte, which those that a codec has
// written anew are not.
type compactedTopic struct {
	name   string
	codec  kgo.CompressionCodec
	bytes  bool
	config map[string]string
}

var compactedTopics = []compactedTopic{
	{name: "plain", codec: kgo.NoCompression(), bytes: true},
	{name: "appended", codec: kgo.NoCompression(), bytes: true, config: map[string]string{"message.timestamp.type": "LogAppendTime"}},
	{name: "gzip", codec: kgo.GzipCompression()},
	{name: "snappy", codec: kgo.SnappyCompression()},
	{name: "lz4", codec: kgo.Lz4Compression()},
	{name: "zstd", codec: kgo.ZstdCompression()},
	{name: "transactions", codec: kgo.NoCompression(), bytes: true},
	{name: "format1", codec: kgo.NoCompression(), bytes: true, config: map[string]string{"message.format.version": "0.10.2"}},
	{name: "format1-lz4", codec: kgo.Lz4Compression(), config: map[string]string{"message.format.version": "0.10.2"}},
	{name: "format0", codec: kgo.NoCompression(), bytes: true, config: map[string]string{"message.format.version": "0.9.0"}},
	{name: "format0-gzip", codec: kgo.GzipCompression(), config: map[string]string{"message.format.version": "0.9.0"}},
}

func (c compactedTopic) settings() map[string]*string {
	all := map[string]string{"cleanup.policy": "compact", "segment.bytes": "2500", "index.interval.bytes": "200", "min.cleanable.dirty.ratio": "0.01",
		"delete.retention.ms": "60000", "file.delete.delay.ms": "1"}
	maps.Copy(all, c.config)
	pointers := map[string]*string{}
	for key, value := range all {
		pointers[key] = &value
	}
	return pointers
}

// write fills a topic with keys that come again and tombstones; every second
// transaction is aborted.
func (c compactedTopic) write(t *testing.T, ctx context.Context, address string) {
	t.Helper()
	options := []kgo.Opt{kgo.SeedBrokers(address), kgo.DefaultProduceTopic(c.name), kgo.ProducerBatchCompression(c.codec), kgo.ProducerLinger(2 * time.Millisecond)}
	transactional := c.name == "transactions"
	if transactional {
		options = append(options, kgo.TransactionalID("compaction"))
	} else if c.config != nil {
		options = append(options, kgo.DisableIdempotentWrite())
	}
	client, err := kgo.NewClient(options...)
	require.NoError(t, err)
	defer client.Close()
	for n := range 61 { // the last transaction is committed
		if transactional {
			require.NoError(t, client.BeginTransaction())
		}
		var records []*kgo.Record
		for i := range 5 {
			serial := n*5 + i
			r := &kgo.Record{Key: fmt.Appendf(nil, "key-%d", serial*7%43), Timestamp: time.UnixMilli(1600000000000 + int64(serial)*3)}
			if serial%11 != 0 {
				r.Value = fmt.Appendf(nil, "value %d of %s, and some more text", serial, c.name)
			}
			if serial%4 == 0 && c.config["message.format.version"] == "" {
				r.Headers = []kgo.RecordHeader{{Key: "h", Value: []byte("v")}}
			}
			records = append(records, r)
		}
		require.NoError(t, client.ProduceSync(ctx, records...).FirstErr(), c.name)
		if transactional {
			require.NoError(t, client.EndTransaction(ctx, kgo.TransactionEndTry(n%2 == 0)))
		}
	}
}

// compactable writes all topics through a Java broker that compacts nothing,
// and returns its directory.
func compactable(t *testing.T, zk string, settings map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	still := maps.Clone(settings)
	still["log.cleaner.enable"] = "false"
	b := broker(t, kafka28, 0, zk, dir, still)
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Address))
	require.NoError(t, err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	for _, c := range compactedTopics {
		created, err := kadm.NewClient(client).CreateTopic(ctx, 1, 1, c.settings(), c.name)
		require.NoError(t, err)
		require.NoError(t, created.Err)
		c.write(t, ctx, b.Address)
	}
	require.Equal(t, 143, b.stop())
	return dir
}

// segmentBases are the base offsets of a partition's segments.
func segmentBases(t *testing.T, dir string) (bases []int64) {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(dir, "*.log"))
	require.NoError(t, err)
	for _, log := range logs {
		base, err := strconv.ParseInt(strings.TrimSuffix(filepath.Base(log), ".log"), 10, 64)
		require.NoError(t, err)
		bases = append(bases, base)
	}
	slices.Sort(bases)
	return bases
}

// halfClean copies a directory and makes it look as if half of each log had
// been compacted long ago, the first quarter so long that tombstones may go.
func halfClean(t *testing.T, from string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	require.NoError(t, os.CopyFS(dir, os.DirFS(from)))
	checkpoint := fmt.Sprintf("0\n%d\n", len(compactedTopics))
	for _, c := range compactedTopics {
		partition := filepath.Join(dir, c.name+"-0")
		bases := segmentBases(t, partition)
		require.Greater(t, len(bases), 4, c.name)
		for i, base := range bases {
			age := time.Hour
			switch {
			case i < len(bases)/4:
				age = 10 * time.Hour
			case i < len(bases)/2:
				age = 5 * time.Hour
			}
			at := compactedOn.Add(-age)
			require.NoError(t, os.Chtimes(filepath.Join(partition, fmt.Sprintf("%020d.log", base)), at, at))
		}
		checkpoint += fmt.Sprintf("%s 0 %d\n", c.name, bases[len(bases)/2])
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "cleaner-offset-checkpoint"), []byte(checkpoint), 0o644))
	return dir
}

var compactedOn = time.Now().Truncate(time.Second)

// compact runs a broker on a directory until every log is compacted up to its
// active segment.
func compact(t *testing.T, k kind, zk, dir string, settings map[string]string) {
	t.Helper()
	want := map[string]int64{}
	for _, c := range compactedTopics {
		bases := segmentBases(t, filepath.Join(dir, c.name+"-0"))
		want[c.name] = bases[len(bases)-1]
	}
	b := broker(t, k, 0, zk, dir, settings)
	checkpoint := ""
	eventually(t, time.Minute, "every log is compacted", func() bool {
		data, err := os.ReadFile(filepath.Join(dir, "cleaner-offset-checkpoint"))
		checkpoint = string(data)
		for name, base := range want {
			if !strings.Contains(checkpoint, fmt.Sprintf("\n%s 0 %d\n", name, base)) {
				return false
			}
		}
		return err == nil
	})
	require.NotContains(t, b.output(), "uncleanable")
	require.Equal(t, 143, b.stop(), "%s: %s", k, checkpoint)
}

// describeLog writes down a log file: headers and records.
func describeLog(t *testing.T, path string) (all []string) {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	for len(data) > 0 {
		b, rest, err := record.SplitAny(data)
		require.NoError(t, err, path)
		require.True(t, b.Valid(), path)
		data = rest
		line := fmt.Sprintf("format %d, offset %d, codec %s, append time %v, max time %d", b.Magic(), b.LastOffset(), b.Codec(), b.LogAppendTime(), b.MaxTimestamp())
		if !b.IsOld() {
			v2 := record.Batch(b)
			line += fmt.Sprintf(", base %d, base time %d, epoch %d, producer %d/%d/%d, transactional %v, control %v, count %d", v2.BaseOffset(), v2.BaseTimestamp(),
				v2.LeaderEpoch(), v2.ProducerID(), v2.ProducerEpoch(), v2.BaseSequence(), v2.Transactional(), v2.Control(), v2.Count())
		}
		all = append(all, line)
		if b.Codec() != compress.None || b.IsOld() || record.Batch(b).Count() > 0 {
			require.NoError(t, b.Visit(1<<20, func(r *record.Record) error {
				all = append(all, fmt.Sprintf("  %d @%d %q=%q %v", r.Offset, r.Timestamp, r.Key, r.Value, r.Value == nil))
				return nil
			}), path)
		}
	}
	return all
}

// A Java broker and ours compact copies of one directory, with the same
// settings: the segments, headers, records, indexes and times that they leave
// are the same. Then each serves what the other has left.
func TestCompactionSideBySide(t *testing.T) {
	zk := zooKeeper(t, gregor, t.TempDir(), 0)
	settings := map[string]string{"listeners": fmt.Sprintf("PLAINTEXT://127.0.0.1:%d", freePort(t)), "log.cleaner.backoff.ms": "100",
		"log.cleaner.io.buffer.size": "4000", "transaction.state.log.num.partitions": "1", "offsets.topic.num.partitions": "1", "log.cleanup.policy": "delete"}
	written := compactable(t, zk.Address, settings)
	dirs := map[kind]string{kafka28: halfClean(t, written), gregor: halfClean(t, written)}
	for _, k := range []kind{kafka28, gregor} {
		compact(t, k, zk.Address, dirs[k], settings)
	}
	for _, c := range compactedTopics {
		theirs, ours := filepath.Join(dirs[kafka28], c.name+"-0"), filepath.Join(dirs[gregor], c.name+"-0")
		bases := segmentBases(t, theirs)
		require.Equal(t, bases, segmentBases(t, ours), c.name)
		for _, base := range bases {
			file := fmt.Sprintf("%020d", base)
			require.Equal(t, describeLog(t, filepath.Join(theirs, file+".log")), describeLog(t, filepath.Join(ours, file+".log")), "%s %s", c.name, file)
			require.Equal(t, modified(t, filepath.Join(theirs, file+".log")), modified(t, filepath.Join(ours, file+".log")), "%s %s", c.name, file)
			require.Equal(t, optional(t, filepath.Join(theirs, file+".txnindex")), optional(t, filepath.Join(ours, file+".txnindex")), "%s %s", c.name, file)
			for _, ext := range []string{".log", ".index", ".timeindex"} {
				if c.bytes {
					require.Equal(t, optional(t, filepath.Join(theirs, file+ext)), optional(t, filepath.Join(ours, file+ext)), "%s %s%s", c.name, file, ext)
				}
			}
		}
	}
	// The Java broker first: it must find no fault with our files.
	latest := map[kind]map[string]string{}
	for _, k := range []kind{kafka28, gregor} {
		from := map[kind]string{kafka28: dirs[gregor], gregor: dirs[kafka28]}[k]
		b := broker(t, k, 0, zk.Address, from, settings)
		latest[k] = latestValues(t, b.Address)
		require.NotContains(t, b.output(), "Found invalid messages")
		require.NotContains(t, b.output(), "ebuilding index")
		require.Equal(t, 143, b.stop())
	}
	require.NotEmpty(t, latest[kafka28])
	require.Equal(t, latest[kafka28], latest[gregor])
}

func modified(t *testing.T, path string) time.Time {
	t.Helper()
	info, err := os.Stat(path)
	require.NoError(t, err)
	return info.ModTime()
}

// optional reads a file that may be missing. An index of a few entries may be
// allocated ahead; zeros at the end are none.
func optional(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if !os.IsNotExist(err) {
		require.NoError(t, err)
	}
	return strings.TrimRight(string(data), "\x00")
}

// latestValues is the last committed value of each topic's keys.
func latestValues(t *testing.T, address string) map[string]string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var topics []string
	for _, c := range compactedTopics {
		topics = append(topics, c.name)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.ConsumeTopics(topics...), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	require.NoError(t, err)
	defer client.Close()
	ends := map[string]int64{}
	eventually(t, time.Minute, "the partitions are led", func() bool {
		offsets, err := kadm.NewClient(client).ListCommittedOffsets(ctx, topics...)
		offsets.Each(func(o kadm.ListedOffset) { ends[o.Topic] = o.Offset })
		return err == nil && offsets.Error() == nil && len(ends) == len(topics)
	})
	latest, reached := map[string]string{}, map[string]int64{}
	done := func() bool {
		for topic, end := range ends {
			if reached[topic] < end-3 { // markers are not shown
				return false
			}
		}
		return true
	}
	for !done() {
		fetches := client.PollFetches(ctx)
		require.NoError(t, fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) {
			reached[r.Topic] = r.Offset + 1
			if r.Value == nil {
				delete(latest, r.Topic+" "+string(r.Key))
			} else {
				latest[r.Topic+" "+string(r.Key)] = string(r.Value)
			}
		})
	}
	return latest
}
