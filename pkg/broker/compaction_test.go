package broker_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"gregor/pkg/testkit"
)

// bytesOfLog is the size of a partition's log files.
func bytesOfLog(t *testing.T, dir, partition string) (size int64) {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(dir, partition, "*.log"))
	require.NoError(t, err)
	for _, log := range logs {
		info, err := os.Stat(log)
		if os.IsNotExist(err) {
			return 1 << 40 // it is being replaced: look again
		}
		require.NoError(t, err)
		size += info.Size()
	}
	return size
}

// A topic with cleanup.policy=compact, and the offsets of groups, are
// compacted while the broker runs; what they say stays, also behind a
// restart.
func TestTopicsAreCompacted(t *testing.T) {
	zooKeeper, dir := testkit.ZooKeeper(t), t.TempDir()
	properties := map[string]string{"log.dirs": dir, "offsets.topic.num.partitions": "1", "offsets.topic.segment.bytes": "2000",
		"log.cleaner.backoff.ms": "20", "log.cleaner.min.cleanable.ratio": "0.01", "log.segment.delete.delay.ms": "0"}
	b := testkit.StartBroker(t, zooKeeper, properties)
	client := clientOf(t, b.Address)
	admin := kadm.NewClient(client)
	policy, segment := "compact", "1000"
	created, err := admin.CreateTopic(deadline(t), 1, 1, map[string]*string{"cleanup.policy": &policy, "segment.bytes": &segment}, "t")
	require.NoError(t, err)
	require.NoError(t, created.Err)
	const rounds = 100
	for i := range rounds {
		record := &kgo.Record{Topic: "t", Key: fmt.Appendf(nil, "key %d", i%5), Value: fmt.Appendf(nil, "value %d", i)}
		require.NoError(t, client.ProduceSync(deadline(t), record).FirstErr())
		offsets := kadm.Offsets{}
		offsets.AddOffset("t", 0, int64(i), -1)
		require.NoError(t, admin.CommitAllOffsets(deadline(t), "g", offsets))
	}
	check := func(address string) {
		testkit.Eventually(t, "old values and offsets are gone", func() bool {
			return bytesOfLog(t, dir, "t-0") < 2000 && bytesOfLog(t, dir, "__consumer_offsets-0") < 4500
		})
		reader := clientOf(t, address, kgo.ConsumeTopics("t"))
		latest := map[string]string{}
		for last := int64(-1); last < rounds-1; {
			fetches := reader.PollFetches(deadline(t))
			require.NoError(t, fetches.Err())
			fetches.EachRecord(func(r *kgo.Record) {
				require.Greater(t, r.Offset, last)
				last, latest[string(r.Key)] = r.Offset, string(r.Value)
			})
		}
		require.Equal(t, map[string]string{"key 0": "value 95", "key 1": "value 96", "key 2": "value 97", "key 3": "value 98", "key 4": "value 99"}, latest)
		testkit.Eventually(t, "the last offset is there", func() bool {
			offsets, err := kadm.NewClient(reader).FetchOffsets(deadline(t), "g")
			if err != nil {
				return false
			}
			o, ok := offsets.Lookup("t", 0)
			return ok && o.At == rounds-1
		})
	}
	check(b.Address)
	b.Stop()
	b = testkit.StartBroker(t, zooKeeper, properties)
	check(b.Address)
}
