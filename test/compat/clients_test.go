//go:build compat

package compat

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// ours starts our ZooKeeper and one broker of ours.
func ours(t *testing.T, changes map[string]string) (zk, b *server) {
	t.Helper()
	zk = zooKeeper(t, gregor, t.TempDir(), 0)
	return zk, broker(t, gregor, 0, zk.Address, t.TempDir(), changes)
}

func requireOK(t *testing.T, r result) {
	t.Helper()
	require.Zero(t, r.Status, "%s%s", r.Stdout, r.Stderr)
	last := strings.TrimSpace(r.Stdout)
	last = last[strings.LastIndexByte(last, '\n')+1:]
	require.True(t, strings.HasPrefix(last, "OK"), "%s%s", r.Stdout, r.Stderr)
}

func python(t *testing.T, environment, program string, args ...string) result {
	t.Helper()
	return run(t, command{Path: filepath.Join(cache(), "python-"+environment, "bin", "python"),
		Args: append([]string{"-W", "ignore", filepath.Join("python", program)}, args...), Limit: 3 * time.Minute})
}

func TestKafkaPython(t *testing.T) {
	_, b := ours(t, nil)
	for _, version := range []string{"kafka-python-1.4.7", "kafka-python-2.0.2", "current"} {
		t.Run(version, func(t *testing.T) { requireOK(t, python(t, version, "kafka_python.py", b.Address)) })
	}
}

func TestConfluentKafka(t *testing.T) {
	_, b := ours(t, nil)
	requireOK(t, python(t, "current", "confluent.py", b.Address))
}

func TestKazoo(t *testing.T) {
	zk := zooKeeper(t, gregor, t.TempDir(), 0)
	requireOK(t, python(t, "current", "zookeeper.py", zk.Address))
}

func TestKafkaJS(t *testing.T) {
	_, b := ours(t, nil)
	requireOK(t, run(t, command{Path: "node", Args: []string{filepath.Join("node", "kafkajs.js"), b.Address},
		Env: []string{"NODE_PATH=" + filepath.Join(cache(), "node", "node_modules"), "KAFKAJS_NO_PARTITIONER_WARNING=1"}}))
}

// A million lines there and back, by hash, with each codec.
func TestKcatRoundTrips(t *testing.T) {
	_, b := ours(t, map[string]string{"log.segment.bytes": "16777216"})
	input := lines(1_000_000, "line number %d of a million, long enough to be worth a batch")
	path := filepath.Join(t.TempDir(), "lines")
	require.NoError(t, os.WriteFile(path, []byte(input), 0o644))
	want := sha256.Sum256([]byte(input))
	for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		t.Run(codec, func(t *testing.T) {
			topic := "million-" + codec
			sent := run(t, command{Path: "kcat", Args: []string{"-P", "-b", b.Address, "-t", topic, "-z", codec, "-X", "acks=all", "-l", path}})
			require.Zero(t, sent.Status, sent.Stderr)
			got := run(t, command{Path: "kcat", Args: []string{"-C", "-q", "-b", b.Address, "-t", topic, "-o", "beginning", "-e"}})
			require.Zero(t, got.Status, got.Stderr)
			require.Equal(t, want, sha256.Sum256([]byte(got.Stdout)), "%d bytes of %d", len(got.Stdout), len(input))
		})
	}
}

func TestFranzGo(t *testing.T) {
	_, b := ours(t, map[string]string{"num.partitions": "3"})
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Address), kgo.ConsumerGroup("franz"), kgo.ConsumeTopics("franz"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit())
	require.NoError(t, err)
	defer client.Close()
	admin := kadm.NewClient(client)
	created, err := admin.CreateTopic(ctx, 3, 1, nil, "franz")
	require.NoError(t, err)
	require.NoError(t, created.Err)
	for i := range 1000 {
		client.Produce(ctx, &kgo.Record{Topic: "franz", Key: fmt.Appendf(nil, "k%d", i), Value: fmt.Appendf(nil, "v%d", i)}, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	require.NoError(t, client.Flush(ctx), "idempotent, as by default")
	seen := map[string]bool{}
	for len(seen) < 1000 {
		fetches := client.PollFetches(ctx)
		require.NoError(t, fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) { seen[string(r.Key)+string(r.Value)] = true })
	}
	require.NoError(t, client.CommitUncommittedOffsets(ctx))
	lag, err := admin.Lag(ctx, "franz")
	require.NoError(t, err)
	require.Zero(t, lag["franz"].Lag.Total())
	configs, err := admin.DescribeTopicConfigs(ctx, "franz")
	require.NoError(t, err)
	require.NotEmpty(t, configs[0].Configs)
	dirs, err := admin.DescribeAllLogDirs(ctx, nil)
	require.NoError(t, err)
	require.Len(t, dirs, 1)
	require.NoError(t, dirs[0].Error())
}
