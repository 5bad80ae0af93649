//go:build compat

package compat

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// turns has two brokers, one of Apache Kafka's and ours, work on the same log
// directories and ZooKeeper one after the other, and knows what they
// acknowledged.
type turns struct {
	t        *testing.T
	zk       *server
	settings map[string]string
	dirs     []string
	address  string

	acked     map[string]map[int64]string // by topic: of its only partition
	latest    map[string]string           // of the compacted topic, by key
	committed int                         // records of committed transactions
	n         int
}

const (
	plainTopic   = "plain"
	txnTopic     = "txn"
	compactTopic = "compacted"
)

func newTurns(t *testing.T) *turns {
	t.Helper()
	root := t.TempDir()
	s := &turns{t: t, zk: zooKeeper(t, gregor, t.TempDir(), 0), dirs: []string{root + "/a", root + "/b"},
		address: fmt.Sprintf("127.0.0.1:%d", freePort(t)), acked: map[string]map[int64]string{}, latest: map[string]string{}}
	s.settings = map[string]string{"listeners": "PLAINTEXT://" + s.address, "log.dirs": strings.Join(s.dirs, ","), "log.segment.bytes": "16384",
		"log.cleaner.backoff.ms": "200", "log.cleaner.min.cleanable.ratio": "0.01", "log.segment.delete.delay.ms": "500",
		"transaction.state.log.num.partitions": "1", "offsets.topic.num.partitions": "1", "transactional.id.expiration.ms": "600000000"}
	return s
}

func (s *turns) client(opts ...kgo.Opt) *kgo.Client {
	s.t.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(s.address), kgo.RequiredAcks(kgo.AllISRAcks()), kgo.MetadataMinAge(20 * time.Millisecond),
		kgo.RetryBackoffFn(func(int) time.Duration { return 50 * time.Millisecond })}, opts...)...)
	require.NoError(s.t, err)
	s.t.Cleanup(client.Close)
	return client
}

func (s *turns) context() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
	s.t.Cleanup(cancel)
	return ctx
}

// create makes the topics, with a format for some.
func (s *turns) create(formats map[string]string) {
	s.t.Helper()
	admin := kadm.NewClient(s.client())
	for _, topic := range []string{plainTopic, txnTopic, compactTopic} {
		_, err := admin.CreateTopic(s.context(), 1, 1, map[string]*string{}, topic)
		require.NoError(s.t, err)
		s.acked[topic] = map[int64]string{}
	}
	_, err := admin.AlterTopicConfigs(s.context(), []kadm.AlterConfig{{Name: "cleanup.policy", Value: new("compact")}}, compactTopic)
	require.NoError(s.t, err)
	for topic, format := range formats {
		_, err := admin.CreateTopic(s.context(), 1, 1, map[string]*string{"message.format.version": &format}, topic)
		require.NoError(s.t, err)
		s.acked[topic] = map[int64]string{}
	}
}

// write appends to every topic; with transactions, which only Apache Kafka
// coordinates here, it leaves one aborted, one committed and one open.
func (s *turns) write(transactions bool) {
	s.t.Helper()
	client := s.client(kgo.ProducerBatchCompression(kgo.GzipCompression()), kgo.DisableIdempotentWrite())
	for topic := range s.acked {
		if topic == txnTopic {
			continue
		}
		var records []*kgo.Record
		for i := range 150 {
			s.n++
			key := fmt.Sprintf("key %d", i%20)
			records = append(records, &kgo.Record{Topic: topic, Key: []byte(key), Value: fmt.Appendf(nil, "value %d of turn, %0*d", s.n, i, 0)})
		}
		for _, r := range client.ProduceSync(s.context(), records...) {
			require.NoError(s.t, r.Err)
			s.acked[topic][r.Record.Offset] = string(r.Record.Value)
			if topic == compactTopic {
				s.latest[string(r.Record.Key)] = string(r.Record.Value)
			}
		}
	}
	if !transactions {
		return
	}
	for i, end := range []kgo.TransactionEndTry{kgo.TryAbort, kgo.TryCommit} {
		client := s.client(kgo.TransactionalID(fmt.Sprintf("id %d", i)), kgo.DefaultProduceTopic(txnTopic))
		require.NoError(s.t, client.BeginTransaction())
		for range 5 {
			require.NoError(s.t, client.ProduceSync(s.context(), kgo.StringRecord(fmt.Sprintf("%s of %d", map[kgo.TransactionEndTry]string{kgo.TryAbort: "aborted", kgo.TryCommit: "committed"}[end], s.n))).FirstErr())
		}
		require.NoError(s.t, client.EndTransaction(s.context(), end))
		if end == kgo.TryCommit {
			s.committed += 5
		}
	}
	open := s.client(kgo.TransactionalID(fmt.Sprintf("open %d", s.n)), kgo.DefaultProduceTopic(txnTopic), kgo.TransactionTimeout(time.Second))
	require.NoError(s.t, open.BeginTransaction())
	require.NoError(s.t, open.ProduceSync(s.context(), kgo.StringRecord("of an open transaction")).FirstErr())
}

// read returns the records of a topic from its start to its end by offset.
func (s *turns) read(topic string, opts ...kgo.Opt) []*kgo.Record {
	s.t.Helper()
	client := s.client(append(opts, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}}))...)
	var end kadm.ListedOffset
	eventually(s.t, 20*time.Second, topic+" is led", func() bool {
		ends, err := kadm.NewClient(client).ListEndOffsets(s.context(), topic)
		var found bool
		end, found = ends.Lookup(topic, 0)
		return err == nil && found && end.Err == nil
	})
	var all []*kgo.Record
	nothing := time.Now()
	for next := int64(0); next < end.Offset; {
		ctx, cancel := context.WithTimeout(s.context(), time.Second)
		fetches := client.PollFetches(ctx)
		cancel()
		// The last records may be control records, which are not shown, or have
		// been compacted away.
		if !fetches.Empty() {
			nothing = time.Now()
		} else if wait := 2 * time.Second; (topic == txnTopic || topic == compactTopic) && len(all) > 0 && time.Since(nothing) > wait || time.Since(nothing) > 10*wait {
			break
		}
		fetches.EachError(func(_ string, _ int32, err error) {
			require.True(s.t, errors.Is(err, context.DeadlineExceeded) || kerr.IsRetriable(err), "%s: %v", topic, err)
		})
		fetches.EachRecord(func(r *kgo.Record) {
			all = append(all, r)
			next = r.Offset + 1
		})
	}
	return all
}

// check finds everything that was acknowledged, where it was.
func (s *turns) check(what string) {
	s.t.Helper()
	for topic, acked := range s.acked {
		if topic == txnTopic || topic == compactTopic {
			continue
		}
		got := map[int64]string{}
		for _, r := range s.read(topic) {
			got[r.Offset] = string(r.Value)
		}
		require.Len(s.t, got, len(acked), "%s: %s", what, topic)
		for offset, value := range acked {
			require.Equal(s.t, value, got[offset], "%s: %s at %d", what, topic, offset)
		}
	}
	latest := map[string]string{}
	for _, r := range s.read(compactTopic) {
		latest[string(r.Key)] = string(r.Value)
	}
	require.Equal(s.t, s.latest, latest, what)
	committed := 0
	for _, r := range s.read(txnTopic, kgo.FetchIsolationLevel(kgo.ReadCommitted())) {
		require.True(s.t, strings.HasPrefix(string(r.Value), "committed"), "%s: %q", what, r.Value)
		committed++
	}
	require.LessOrEqual(s.t, committed, s.committed, what)
}

// take starts a broker of a kind on what the one before left, and ends it.
func (s *turns) take(k kind, turn int, kill bool) {
	s.t.Helper()
	what := fmt.Sprintf("turn %d, %s", turn, k)
	b := broker(s.t, k, 0, s.zk.Address, "", s.settings)
	if turn > 0 {
		s.check(what + ", after the start")
	} else {
		formats := map[string]string{"format-0": "0.9.0", "format-1": "0.10.2"}
		if k == kafka39 {
			formats = nil // it writes no old formats any more
		}
		s.create(formats)
	}
	s.write(k != gregor)
	s.check(what + ", written")
	if kill {
		b.kill()
		eventually(s.t, 30*time.Second, "the session of the broker that was killed ends", func() bool {
			return lastLine(script(s.t, "", "zookeeper-shell.sh", s.zk.Address, "ls", "/brokers/ids").Stdout) == "[]"
		})
		return
	}
	require.Equal(s.t, 143, b.stop(), what)
	for _, dir := range s.dirs {
		require.FileExists(s.t, filepath.Join(dir, ".kafka_cleanshutdown"), what)
	}
}

// Apache Kafka and ours take turns on the same directories, in order and
// killed, with old formats, open transactions and compaction: each finds
// everything that the other acknowledged, and Apache Kafka's tool finds no
// fault in the files.
func TestTurnsWithKafka28(t *testing.T) {
	s := newTurns(t)
	for turn, k := range []kind{kafka28, gregor, kafka28, gregor, kafka28} {
		s.take(k, turn, turn == 1 || turn == 2)
	}
	for _, dir := range s.dirs {
		requireNoFault(t, dir)
	}
}

func TestTurnsWithKafka39(t *testing.T) {
	s := newTurns(t)
	marks := map[string]string{}
	for turn, k := range []kind{kafka39, gregor, kafka39, gregor} {
		s.take(k, turn, turn == 2)
		if turn == 2 {
			continue
		}
		for _, dir := range s.dirs {
			text, err := os.ReadFile(filepath.Join(dir, ".kafka_cleanshutdown"))
			require.NoError(t, err)
			marks[fmt.Sprint(turn, filepath.Base(dir))] = string(text)
		}
	}
	theirs := marks["0a"]
	require.JSONEq(t, `{"version":0,"brokerEpoch":-1}`, theirs)
	require.Equal(t, map[string]string{"0a": theirs, "0b": theirs, "1a": theirs, "1b": theirs, "3a": "", "3b": ""}, maps.Clone(marks),
		"the mark is written in the form that was found")
}
