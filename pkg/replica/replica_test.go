package replica

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/commitlog"
	"gregor/pkg/compress"
	"gregor/pkg/config"
	"gregor/pkg/kerr"
	"gregor/pkg/logging"
	"gregor/pkg/logmanager"
	"gregor/pkg/metadata"
	"gregor/pkg/model"
	"gregor/pkg/quota"
	"gregor/pkg/record"
	"gregor/pkg/vfs"
)

var _ Logs = (*logmanager.Manager)(nil)

// lines collects log output of several goroutines.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// take returns what was logged since the last call, without the times.
func (l *lines) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var list []string
	for _, line := range strings.Split(strings.TrimSpace(l.b.String()), "\n") {
		if _, rest, ok := strings.Cut(line, "] "); ok {
			list = append(list, rest)
		}
	}
	l.b.Reset()
	return list
}

// broker is broker 1 with real logs in two directories.
type broker struct {
	*Manager
	t       testing.TB
	id      model.BrokerID
	out     *lines
	logs    *logmanager.Manager
	cache   *metadata.Cache
	dirs    []string
	news    []LeadershipChange
	deleted []model.TopicPartition
	least   int                // min.insync.replicas
	asked   func(topic string) // when settings are asked for; may be nil
	request int32

	protocol config.Version
	lagMax   time.Duration
	nodes    *znodes
	dialer   atomic.Pointer[*wires] // nil while nobody can be reached
	fs       vfs.FS                 // the real one when nil
	moves    *quota.Replication     // between log directories; without limit when nil
}

func newBroker(t testing.TB) *broker {
	return newBrokerOf(t, 1, config.IBP_2_8_IV1)
}

func newBrokerOf(t testing.TB, id model.BrokerID, protocol config.Version) *broker {
	return newBrokerWith(t, id, protocol, 30*time.Second, &znodes{})
}

func newBrokerWith(t testing.TB, id model.BrokerID, protocol config.Version, lagMax time.Duration, states *znodes) *broker {
	b := &broker{t: t, id: id, out: &lines{}, least: 1, dirs: []string{t.TempDir(), t.TempDir()}, protocol: protocol, lagMax: lagMax, nodes: states}
	b.start(b.dirs)
	t.Cleanup(b.stop)
	return b
}

func (b *broker) start(dirs []string) {
	loggers := logging.New(b.out)
	logs, err := logmanager.New(logmanager.Options{Dirs: dirs, FS: b.fs, Loggers: logging.Discard(), OnDirFailure: func(dir string) { b.DirFailed(dir) }})
	require.NoError(b.t, err)
	require.NoError(b.t, logs.Lock())
	require.NoError(b.t, logs.Load(b.t.Context(), func(string) commitlog.Options { return commitlog.DefaultOptions() }))
	b.logs = logs
	b.cache = metadata.New(b.id, "cluster", logging.Discard())
	b.Manager = New(Options{
		BrokerID: b.id, Logs: logs, Metadata: b.cache, TopicIDs: true, Loggers: loggers,
		BrokerEpoch: func() model.BrokerEpoch { return 50 },
		Settings: func(topic string) TopicSettings {
			settings := TopicSettings{MinInSyncReplicas: b.least}
			if b.asked != nil {
				b.asked(topic)
			}
			return settings
		},
		CheckpointInterval: 20 * time.Millisecond,
		LagTimeMax:         b.lagMax,
		Listener:           "PLAINTEXT",
		Versions:           PeerVersionsFor(b.protocol),
		States:             b.nodes,
		Fetching: FetchingOptions{Fetchers: func() int { return 1 }, MaxWait: 20 * time.Millisecond, MinBytes: 1,
			ResponseMaxBytes: 1 << 20, PartitionMaxBytes: 1 << 20, Backoff: 5 * time.Millisecond, SocketTimeout: 10 * time.Second},
		Quotas:       Quotas{Leader: quota.NewReplication(secondsOfTen), Follower: quota.NewReplication(secondsOfTen), LogDirs: b.moves},
		Movers:       2,
		OnLeadership: func(c LeadershipChange) { b.news = append(b.news, c) },
		OnDeleted:    func(d []model.TopicPartition) { b.deleted = append(b.deleted, d...) },
	})
	b.Manager.dial = func(_ context.Context, to model.BrokerID, _, _ string) (peer, error) {
		if w := b.dialer.Load(); w != nil {
			return (*w).dial(to)
		}
		return nil, errors.New("nobody can be reached")
	}
	b.Manager.Start()
	logs.Start()
}

// secondsOfTen are the windows of Kafka's quotas.
var secondsOfTen = quota.Windows{Samples: 11, Size: time.Second}

func (b *broker) stop() {
	require.NoError(b.t, b.Close())
	require.NoError(b.t, b.logs.Shutdown())
}

// state is one partition of a LeaderAndIsr request.
type state struct {
	partition, leader, epoch int32
	isr, replicas            []int32
}

func alone(partition, epoch int32) state {
	return state{partition, 1, epoch, []int32{1}, []int32{1}}
}

func leaderAndIsr(id byte, states ...state) *kmsg.LeaderAndISRRequest {
	req := kmsg.NewPtrLeaderAndISRRequest()
	req.Version, req.ControllerID, req.ControllerEpoch, req.BrokerEpoch = 5, 9, 4, 50
	topic := kmsg.LeaderAndISRRequestTopicState{Topic: "t", TopicID: [16]byte{id}}
	for _, s := range states {
		topic.PartitionStates = append(topic.PartitionStates, kmsg.LeaderAndISRRequestTopicPartition{Partition: s.partition, ControllerEpoch: 4,
			Leader: s.leader, LeaderEpoch: s.epoch, ISR: s.isr, Replicas: s.replicas, ZKVersion: 6, IsNew: true})
	}
	req.TopicStates = append(req.TopicStates, topic)
	return req
}

// apply carries out a LeaderAndIsr and returns its errors as names.
func (b *broker) apply(req *kmsg.LeaderAndISRRequest) string {
	b.request++
	results, err := b.BecomeLeaderOrFollower(req, b.request)
	return outcome(results, err)
}

func outcome(results []PartitionResult, err error) string {
	if err != nil {
		return "refused: " + kerr.Of(err).Name
	}
	var names []string
	for _, r := range results {
		name := "NONE"
		if r.Err != nil {
			name = kerr.Of(r.Err).Name
		}
		names = append(names, fmt.Sprint(r.TopicPartition, "=", name))
	}
	return strings.Join(names, " ")
}

// live tells the broker which brokers live and which partitions of t exist.
func (b *broker) live(partitions int, ids ...int32) {
	req := kmsg.NewPtrUpdateMetadataRequest()
	req.Version, req.ControllerID, req.ControllerEpoch, req.BrokerEpoch = 7, 9, 4, 50
	for _, id := range ids {
		req.LiveBrokers = append(req.LiveBrokers, kmsg.UpdateMetadataRequestLiveBroker{ID: id})
	}
	topic := kmsg.UpdateMetadataRequestTopicState{Topic: "t"}
	for i := range partitions {
		topic.PartitionStates = append(topic.PartitionStates, kmsg.UpdateMetadataRequestTopicPartition{Partition: int32(i), Leader: 1})
	}
	req.TopicStates = append(req.TopicStates, topic)
	require.NoError(b.t, b.UpdateMetadata(req, 1))
}

func tp(partition int32) model.TopicPartition {
	return model.TopicPartition{Topic: "t", Partition: partition}
}

func batch(values ...string) []byte {
	builder := record.NewBuilder(compress.None)
	for _, v := range values {
		builder.Append(1, nil, []byte(v))
	}
	return builder.MustBuild()
}

func (b *broker) put(partition int32, acks int16, timeout time.Duration, values ...string) Append {
	req := &AppendRequest{Acks: acks, Timeout: timeout, Appends: []Append{{TopicPartition: tp(partition), Records: batch(values...)}}}
	b.Append(b.t.Context(), req)
	return req.Appends[0]
}

// read fetches one partition without waiting and gives its result, with the
// length of the records only.
func (b *broker) read(params FetchParams, f Fetch) FetchResult {
	fetches := []Fetch{f}
	params.MaxBytes = 1 << 20
	fetches[0].MaxBytes = 1 << 20
	fetches[0].LeaderEpoch, fetches[0].LastFetchedEpoch = -1, -1
	b.Fetch(b.t.Context(), &params, fetches)
	defer Release(fetches)
	return fetches[0].Result
}

func TestCapOffsets(t *testing.T) {
	require.Equal(t, []int64{5, 3, 0}, capOffsets([]int64{9, 7, 3, 0}, 5))
	require.Equal(t, []int64{5, 3, 0}, capOffsets([]int64{5, 3, 0}, 5))
	require.Equal(t, []int64{2}, capOffsets([]int64{9, 7}, 2))
	require.Empty(t, capOffsets(nil, 2))
}

// Appends, fetches, epochs and deletions at once: nothing is lost that was
// acknowledged, and a consumer sees every record once and in order.
func TestConcurrentUse(t *testing.T) {
	b := newBroker(t)
	b.live(1, 1)
	b.apply(leaderAndIsr(7, alone(0, 0)))
	const producers, each = 4, 50
	var group sync.WaitGroup
	for range producers {
		group.Go(func() {
			for range each {
				if a := b.put(0, -1, time.Minute, "v"); a.Err != nil {
					t.Error(a.Err)
				}
			}
		})
	}
	group.Go(func() {
		for epoch := int32(1); epoch < 20; epoch++ {
			b.apply(leaderAndIsr(7, alone(0, epoch)))
		}
	})
	group.Go(func() {
		for offset := int64(0); offset < producers*each; {
			fetches := []Fetch{{TopicPartition: tp(0), Offset: offset, MaxBytes: 1 << 20, LeaderEpoch: -1, LastFetchedEpoch: -1}}
			b.Fetch(t.Context(), &FetchParams{ReplicaID: ConsumerID, MaxWait: time.Minute, MinBytes: 1, MaxBytes: 1 << 20, Isolation: commitlog.HighWatermark}, fetches)
			r := fetches[0].Result
			if r.Err != nil || r.Records.Length == 0 {
				t.Errorf("offset %d: %v, %d bytes", offset, r.Err, r.Records.Length)
				return
			}
			data := make([]byte, r.Records.Length)
			if _, err := r.Records.File.ReadAt(data, r.Records.Position); err != nil {
				t.Error(err)
			}
			Release(fetches)
			for len(data) > 0 {
				got, rest, err := record.Split(data)
				if err != nil || got.BaseOffset() != offset {
					t.Errorf("offset %d: %v", offset, err)
					return
				}
				offset, data = got.NextOffset(), rest
			}
		}
	})
	group.Wait()
	require.Equal(t, int64(producers*each), b.logs.Get(tp(0)).HighWatermark())
}

func BenchmarkAppend(b *testing.B) {
	br := newBroker(b)
	br.apply(leaderAndIsr(7, alone(0, 0)))
	fresh := batch("some value")
	records := bytes.Clone(fresh)
	req := &AppendRequest{Acks: -1, Timeout: time.Second, Appends: make([]Append, 1)}
	b.ReportAllocs()
	for b.Loop() {
		copy(records, fresh) // the log has stamped it
		req.Appends[0] = Append{TopicPartition: tp(0), Records: records}
		br.Append(b.Context(), req)
	}
	require.NoError(b, req.Appends[0].Err)
}

func TestAppendAllocations(t *testing.T) {
	b := newBroker(t)
	b.apply(leaderAndIsr(7, alone(0, 0)))
	fresh := batch("some value")
	records := bytes.Clone(fresh)
	req := &AppendRequest{Acks: -1, Timeout: time.Second, Appends: make([]Append, 1)}
	require.LessOrEqual(t, testing.AllocsPerRun(200, func() {
		copy(records, fresh) // the log has stamped it
		req.Appends[0] = Append{TopicPartition: tp(0), Records: records}
		b.Append(t.Context(), req)
	}), 1.0)
	require.NoError(t, req.Appends[0].Err)
}
