package broker_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/testkit"
)

// logsOf lists the segments of a partition with their sizes.
func logsOf(t *testing.T, dir string) (sizes []int64) {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(dir, "*.log"))
	require.NoError(t, err)
	for _, name := range logs {
		info, err := os.Stat(name)
		require.NoError(t, err)
		sizes = append(sizes, info.Size())
	}
	return sizes
}

// Settings of the log take effect while the broker runs, those of a topic and
// those of all brokers under them.
func TestLogSettingsChangeWhileTheBrokerRuns(t *testing.T) {
	b := testkit.StartBroker(t, testkit.ZooKeeper(t), nil)
	client := clientOf(t, b.Address, kgo.ProducerBatchCompression(kgo.NoCompression()))
	admin := kadm.NewClient(client)
	fill := func() {
		for range 10 {
			require.NoError(t, client.ProduceSync(deadline(t), &kgo.Record{Topic: "t", Value: make([]byte, 500)}).FirstErr())
		}
	}
	fill()
	partition := filepath.Join(b.Dir, "t-0")
	require.Len(t, logsOf(t, partition), 1)

	ofBroker := func(name, value string) {
		t.Helper()
		altered, err := admin.AlterBrokerConfigs(deadline(t), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: name, Value: &value}})
		require.NoError(t, err)
		require.NoError(t, altered[0].Err, name)
	}
	ofTopic := func(name, value string) {
		t.Helper()
		altered, err := admin.AlterTopicConfigs(deadline(t), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: name, Value: &value}}, "t")
		require.NoError(t, err)
		require.NoError(t, altered[0].Err, name)
	}
	ofBroker("log.segment.bytes", "2000")
	testkit.Eventually(t, "segments are smaller", func() bool { fill(); return len(logsOf(t, partition)) > 3 })
	ofTopic("preallocate", "true")
	ofTopic("segment.bytes", "1500")
	testkit.Eventually(t, "segments are allocated ahead", func() bool {
		fill()
		sizes := logsOf(t, partition)
		return sizes[len(sizes)-1] == 1500
	})
	ofBroker("log.preallocate", "false") // the topic's own goes before it
	fill()
	sizes := logsOf(t, partition)
	require.EqualValues(t, 1500, sizes[len(sizes)-1])
	require.Less(t, sizes[len(sizes)-2], int64(1500), "what was allocated too much was cut off by the roll")

	ofBroker("num.recovery.threads.per.data.dir", "2")
	ofBroker("log.segment.delete.delay.ms", "100")
	testkit.Eventually(t, "the broker has heard of it", func() bool {
		configs, err := admin.DescribeBrokerConfigs(deadline(t), 0)
		if err != nil || len(configs) == 0 {
			return false
		}
		for _, c := range configs[0].Configs {
			if c.Key == "log.segment.delete.delay.ms" && c.Value != nil && *c.Value == "100" {
				return true
			}
		}
		return false
	})
	deleted, err := admin.DeleteTopics(deadline(t), "t")
	require.NoError(t, err)
	require.NoError(t, deleted["t"].Err)
	testkit.Eventually(t, "the files are removed soon", func() bool {
		left, err := filepath.Glob(filepath.Join(b.Dir, "t-0*"))
		return err == nil && len(left) == 0
	})
}

// fetchError asks for a partition at an offset and returns how many bytes of
// records come, and the error.
func fetchError(t *testing.T, client *kgo.Client, topic string, partition int32, offset int64) (size int, err error) {
	t.Helper()
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.MaxBytes, req.MaxWaitMillis, req.SessionEpoch = 11, 1<<20, 100, -1
	of, p := kmsg.NewFetchRequestTopic(), kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes, p.CurrentLeaderEpoch = partition, offset, 1<<20, -1
	of.Topic, of.Partitions = topic, append(of.Partitions, p)
	req.Topics = append(req.Topics, of)
	resp, err := client.Broker(0).Request(deadline(t), req)
	require.NoError(t, err)
	answer := resp.(*kmsg.FetchResponse).Topics[0].Partitions[0]
	return len(answer.RecordBatches), kerr.ErrorForCode(answer.ErrorCode)
}

// A bit of an old segment was lost while the broker was down: whoever asks for
// that batch gets CORRUPT_MESSAGE, one line tells where it is, and everything
// else is served.
func TestADamagedBatchIsRefused(t *testing.T) {
	zooKeeper, dir := testkit.ZooKeeper(t), t.TempDir()
	settings := map[string]string{"log.dirs": dir, "log.segment.bytes": "1000", "num.partitions": "2"}
	b := testkit.StartBroker(t, zooKeeper, settings)
	client := clientOf(t, b.Address, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(kgo.NoCompression()))
	for n := range 20 {
		for p := range int32(2) {
			require.NoError(t, client.ProduceSync(deadline(t), &kgo.Record{Topic: "t", Partition: p, Value: fmt.Appendf(nil, "value %050d", n)}).FirstErr())
		}
	}
	b.Stop()
	path := filepath.Join(dir, "t-0", "00000000000000000000.log")
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	batch := len(data) / strings.Count(string(data), "value") // all are of one size
	data[3*batch+strings.Index(string(data), "value")+20] ^= 1
	require.NoError(t, os.WriteFile(path, data, 0o644))

	b = testkit.StartBroker(t, zooKeeper, settings)
	client = clientOf(t, b.Address)
	testkit.Eventually(t, "the partitions are led", func() bool {
		topics, err := kadm.NewClient(client).ListTopics(context.Background(), "t")
		return err == nil && len(topics["t"].Partitions) == 2 && topics["t"].Partitions[0].Leader == 0 && topics["t"].Partitions[1].Leader == 0
	})
	for range 5 {
		n, err := fetchError(t, client, "t", 0, 3)
		require.ErrorIs(t, err, kerr.CorruptMessage)
		require.Zero(t, n)
		for _, sound := range []struct {
			partition int32
			offset    int64
		}{{0, 0}, {0, 4}, {0, 19}, {1, 3}} {
			n, err := fetchError(t, client, "t", sound.partition, sound.offset)
			require.NoError(t, err, "%v", sound)
			require.Positive(t, n, "%v", sound)
		}
	}
	require.Equal(t, 1, strings.Count(b.Log.String(), " is damaged: "))
	require.Contains(t, b.Log.String(), path+" is damaged: the batch at position ")
	require.NotContains(t, b.Log.String(), "Stopping serving logs in dir")
}
