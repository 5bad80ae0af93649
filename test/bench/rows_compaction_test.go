//go:build bench

package bench

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gregor/pkg/commitlog"
	"gregor/pkg/compress"
	"gregor/pkg/model"
	"gregor/pkg/record"
)

// TestCompaction measures what compacting a log costs. It prints a table of its
// own. GREGOR_BENCH_COMPACTION_MB changes how large the log is.
func TestCompaction(t *testing.T) {
	tb := &table{}
	defer tb.print()
	megabytes := 1000
	if text := os.Getenv("GREGOR_BENCH_COMPACTION_MB"); text != "" {
		var err error
		megabytes, err = strconv.Atoi(text)
		require.NoError(t, err)
	}
	zk := zooKeeper(t)
	for _, codec := range []compress.Codec{compress.None, compress.LZ4} {
		t.Run(codec.String(), func(t *testing.T) { compaction(t, tb, zk, codec, megabytes) })
	}
}

// dirtyLog writes a log of a million keys as a broker does, and returns its
// directory and how many records it has.
func dirtyLog(t *testing.T, codec compress.Codec, megabytes int) (dir string, records int64) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "compacted-0")
	options := commitlog.DefaultOptions()
	options.SegmentBytes = 256 << 20
	l, err := commitlog.Open(commitlog.Config{Dir: dir, Partition: model.TopicPartition{Topic: "compacted"}, Options: options, CleanShutdown: true})
	require.NoError(t, err)
	random := rand.New(rand.NewPCG(1, 2))
	value, key := make([]byte, 80), make([]byte, 0, 20)
	for written := int64(0); written < int64(megabytes)*mega; {
		b := record.NewBuilder(codec)
		for i := range 150 {
			binary.BigEndian.PutUint64(value, random.Uint64())
			key = fmt.Appendf(key[:0], "key-%09d", random.IntN(mega))
			b.Append(time.Now().UnixMilli()-int64(i), key, value)
		}
		batch := b.MustBuild()
		written += int64(len(batch))
		_, err := l.AppendAsLeader(batch, 0, commitlog.OriginClient)
		require.NoError(t, err)
	}
	require.NoError(t, l.Roll())
	records = l.LogEndOffset()
	require.NoError(t, l.Flush())
	require.NoError(t, l.Close())
	return dir, records
}

// compaction lets both brokers compact a copy of one log. The threshold that
// lets them begin is changed when they have started and rest.
func compaction(t *testing.T, tb *table, zk string, codec compress.Codec, megabytes int) {
	source, records := dirtyLog(t, codec, megabytes)
	var cpu, rate, resident [2]float64
	var left [2]int64
	for i, name := range []string{ours, theirs} {
		dir := t.TempDir()
		chroot := fmt.Sprintf("/compaction-%s-%s", codec, name)
		settings := map[string]string{"log.dirs": dir, "log.cleanup.policy": "compact", "log.cleaner.min.cleanable.ratio": "1", "log.cleaner.backoff.ms": "200"}
		s := broker(t, name, zk, chroot, settings)
		c := s.connect(t)
		c.awaitBroker()
		c.create("compacted", 1)
		s.stop()
		partition := filepath.Join(dir, "compacted-0")
		require.NoError(t, os.RemoveAll(partition))
		require.NoError(t, os.CopyFS(partition, os.DirFS(source)))

		s = broker(t, name, zk, chroot, settings)
		c = s.connect(t)
		c.awaitBroker()
		require.Eventually(t, func() bool { return c.led("compacted", 1) }, time.Minute, 50*time.Millisecond)
		require.Equal(t, records, c.end("compacted"))
		used, began := s.cpu(), time.Now()
		run(t, nil, nil, script("kafka-configs.sh"), "--bootstrap-server", s.address, "--alter", "--entity-type", "brokers", "--entity-default",
			"--add-config", "log.cleaner.min.cleanable.ratio=0.01")
		want := fmt.Sprintf("\ncompacted 0 %d\n", records)
		require.Eventually(t, func() bool {
			data, err := os.ReadFile(filepath.Join(dir, "cleaner-offset-checkpoint"))
			return err == nil && strings.Contains(string(data), want)
		}, 20*time.Minute, 10*time.Millisecond)
		cpu[i] = (s.cpu() - used).Seconds() / float64(megabytes) * 1000
		rate[i] = float64(megabytes) / time.Since(began).Seconds()
		resident[i] = s.status("VmHWM:")
		logs, err := filepath.Glob(filepath.Join(partition, "*.log"))
		require.NoError(t, err)
		for _, log := range logs {
			info, err := os.Stat(log)
			require.NoError(t, err)
			left[i] += info.Size()
		}
		s.stop()
		require.NoError(t, os.RemoveAll(partition))
	}
	require.InEpsilon(t, left[1], left[0], 0.1, "bytes that stay")
	what := fmt.Sprintf("compaction of %d MB of 1M keys, %d records, %s", megabytes, records, codec)
	tb.add(t, what, "CPU s / GB", cpu[0], cpu[1], goal{ratioAtMost: 1 / 1.5})
	tb.add(t, "", "MB/s", rate[0], rate[1], goal{})
	tb.add(t, "", "MB resident at most", resident[0], resident[1], goal{})
}
