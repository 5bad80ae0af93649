package replica

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/commitlog"
	"gregor/pkg/config"
	"gregor/pkg/kerr"
	"gregor/pkg/model"
	"gregor/pkg/zkstore"
)

// wires connects brokers of a test without a network: what one asks another is
// answered by that one's Manager.
type wires struct {
	mu      sync.Mutex
	brokers map[model.BrokerID]*broker
	cut     map[model.BrokerID]bool
	asked   []string // kinds of requests, in order
	znodes  znodes
}

// sever cuts or mends the way to a broker.
func (w *wires) sever(id model.BrokerID, cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut[id] = cut
}

func (w *wires) connect(b *broker) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.brokers == nil {
		w.brokers, w.cut = map[model.BrokerID]*broker{}, map[model.BrokerID]bool{}
	}
	w.brokers[b.id] = b
	b.dialer.Store(&w)
	b.nodes = &w.znodes
}

func (w *wires) dial(to model.BrokerID) (peer, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if to == 9 {
		return &w.znodes, nil
	}
	if b := w.brokers[to]; b != nil && !w.cut[to] {
		return &wiredPeer{w, b}, nil
	}
	return nil, fmt.Errorf("no way to broker %d", to)
}

func (w *wires) isCut(id model.BrokerID) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cut[id]
}

// count is how many requests of a kind were sent.
func (w *wires) count(kind string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, a := range w.asked {
		if a == kind {
			n++
		}
	}
	return n
}

type wiredPeer struct {
	wires *wires
	to    *broker
}

func (*wiredPeer) Close() error { return nil }

func (p *wiredPeer) Request(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
	p.wires.mu.Lock()
	p.wires.asked = append(p.wires.asked, kmsg.NameForKey(req.Key()))
	p.wires.mu.Unlock()
	if p.wires.isCut(p.to.id) {
		return nil, fmt.Errorf("broker %d went away", p.to.id)
	}
	switch req := req.(type) {
	case *kmsg.FetchRequest:
		resp := p.fetch(ctx, req)
		if p.wires.isCut(p.to.id) {
			return nil, fmt.Errorf("broker %d went away", p.to.id)
		}
		return resp, nil
	case *kmsg.OffsetForLeaderEpochRequest:
		return p.epochs(req), nil
	case *kmsg.ListOffsetsRequest:
		return p.offsets(req), nil
	}
	return nil, fmt.Errorf("nobody answers %T", req)
}

// fetch answers without a session, as a leader does whose slots are taken.
func (p *wiredPeer) fetch(ctx context.Context, req *kmsg.FetchRequest) *kmsg.FetchResponse {
	var fetches []Fetch
	for _, t := range req.Topics {
		for _, q := range t.Partitions {
			f := Fetch{Offset: q.FetchOffset, LogStartOffset: q.LogStartOffset, MaxBytes: q.PartitionMaxBytes,
				LeaderEpoch: model.LeaderEpoch(q.CurrentLeaderEpoch), LastFetchedEpoch: -1}
			if req.Version >= 12 {
				f.LastFetchedEpoch = model.LeaderEpoch(q.LastFetchedEpoch)
			}
			f.Topic, f.Partition = t.Topic, q.Partition
			fetches = append(fetches, f)
		}
	}
	p.to.Fetch(ctx, &FetchParams{ReplicaID: model.BrokerID(req.ReplicaID), MaxWait: time.Duration(req.MaxWaitMillis) * time.Millisecond,
		MinBytes: 1, MaxBytes: int(req.MaxBytes), LeaderOnly: true, Isolation: commitlog.LogEnd}, fetches)
	defer Release(fetches)
	resp := kmsg.NewPtrFetchResponse()
	resp.Version = req.Version
	for i := range fetches {
		r := &fetches[i].Result
		part := kmsg.NewFetchResponseTopicPartition()
		part.Partition, part.ErrorCode = fetches[i].Partition, kerr.Code(r.Err)
		part.HighWatermark, part.LogStartOffset = r.HighWatermark, r.LogStartOffset
		if r.Diverging != nil {
			part.DivergingEpoch.Epoch, part.DivergingEpoch.EndOffset = int32(r.Diverging.Epoch), r.Diverging.Offset
		}
		if r.Records.Length > 0 {
			part.RecordBatches = make([]byte, r.Records.Length)
			if _, err := r.Records.File.ReadAt(part.RecordBatches, r.Records.Position); err != nil {
				p.to.t.Error(err)
			}
		}
		resp.Topics = append(resp.Topics, kmsg.FetchResponseTopic{Topic: fetches[i].Topic, Partitions: []kmsg.FetchResponseTopicPartition{part}})
	}
	return resp
}

func (p *wiredPeer) epochs(req *kmsg.OffsetForLeaderEpochRequest) *kmsg.OffsetForLeaderEpochResponse {
	resp := kmsg.NewPtrOffsetForLeaderEpochResponse()
	for _, t := range req.Topics {
		for _, q := range t.Partitions {
			end, err := p.to.EndOfEpoch(model.TopicPartition{Topic: t.Topic, Partition: q.Partition}, model.LeaderEpoch(q.CurrentLeaderEpoch), model.LeaderEpoch(q.LeaderEpoch))
			part := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
			part.Partition, part.ErrorCode, part.LeaderEpoch, part.EndOffset = q.Partition, kerr.Code(err), int32(end.Epoch), end.Offset
			resp.Topics = append(resp.Topics, kmsg.OffsetForLeaderEpochResponseTopic{Topic: t.Topic, Partitions: []kmsg.OffsetForLeaderEpochResponseTopicPartition{part}})
		}
	}
	return resp
}

func (p *wiredPeer) offsets(req *kmsg.ListOffsetsRequest) *kmsg.ListOffsetsResponse {
	resp := kmsg.NewPtrListOffsetsResponse()
	q := req.Topics[0].Partitions[0]
	found, err := p.to.OffsetForTimestamp(OffsetQuery{TopicPartition: model.TopicPartition{Topic: req.Topics[0].Topic, Partition: q.Partition},
		Timestamp: q.Timestamp, LeaderEpoch: model.LeaderEpoch(q.CurrentLeaderEpoch), LeaderOnly: true})
	part := kmsg.NewListOffsetsResponseTopicPartition()
	part.Partition, part.ErrorCode, part.Offset = q.Partition, kerr.Code(err), found.Offset
	resp.Topics = append(resp.Topics, kmsg.ListOffsetsResponseTopic{Topic: req.Topics[0].Topic, Partitions: []kmsg.ListOffsetsResponseTopicPartition{part}})
	return resp
}

// pair is a leader and a follower that replicate t-0.
func pair(t *testing.T, protocol config.Version) (w *wires, one, two *broker) {
	return pairWithLag(t, protocol, 30*time.Second)
}

func pairWithLag(t *testing.T, protocol config.Version, lagMax time.Duration) (w *wires, one, two *broker) {
	w = &wires{}
	one, two = newBrokerWith(t, 1, protocol, lagMax, &w.znodes), newBrokerWith(t, 2, protocol, lagMax, &w.znodes)
	for _, b := range []*broker{one, two} {
		w.connect(b)
		b.live(1, 1, 2)
	}
	return w, one, two
}

// lead makes a broker the leader of an epoch and the other its follower.
func lead(epoch int32, leader *broker, isr []int32, brokers ...*broker) {
	leader.nodes.set(tp(0), zkstore.PartitionState{Leader: leader.id, LeaderEpoch: model.LeaderEpoch(epoch), ISR: brokerIDs(isr), ControllerEpoch: 4, ZkVersion: 6})
	for _, b := range brokers {
		require.Equal(b.t, "t-0=NONE", b.apply(leaderAndIsr(7, state{0, int32(leader.id), epoch, isr, []int32{1, 2}})))
	}
}

// data is the bytes of all segments of t-0.
func (b *broker) data() []byte {
	files, err := filepath.Glob(filepath.Join(b.logs.Get(tp(0)).Dir(), "*.log"))
	require.NoError(b.t, err)
	var all []byte
	for _, name := range files {
		content, err := os.ReadFile(name)
		require.NoError(b.t, err)
		all = append(all, content...)
	}
	return all
}

// requireSame waits until both have the same log and high watermark.
func requireSame(t *testing.T, one, two *broker) {
	t.Helper()
	require.Eventually(t, func() bool {
		a, b := one.logs.Get(tp(0)), two.logs.Get(tp(0))
		return a.LogEndOffset() == b.LogEndOffset() && a.HighWatermark() == a.LogEndOffset() && b.HighWatermark() == a.HighWatermark() &&
			a.LogStartOffset() == b.LogStartOffset() && a.LatestEpoch() == b.LatestEpoch()
	}, 10*time.Second, time.Millisecond, "the replicas agree")
	require.True(t, bytes.Equal(one.data(), two.data()), "the files are the same")
}

var protocols = []config.Version{config.IBP_2_8_IV1, config.IBP_2_4_IV1, config.IBP_1_0_IV0}

func TestFollowerCopiesTheLeader(t *testing.T) {
	for _, protocol := range protocols {
		t.Run(protocol.String(), func(t *testing.T) {
			_, one, two := pair(t, protocol)
			lead(0, one, []int32{1, 2}, one, two)
			for range 20 {
				require.NoError(t, one.put(0, -1, 10*time.Second, "a", "b", "c").Err)
			}
			requireSame(t, one, two)
			require.Equal(t, int64(60), two.logs.Get(tp(0)).HighWatermark())
			require.Equal(t, []fetcherKey{{1, 0}}, two.following.list())

			// Nothing is fetched any more after the roles have changed.
			lead(1, two, []int32{1, 2}, two, one)
			require.Empty(t, two.following.list())
			require.NoError(t, two.put(0, -1, 10*time.Second, "d").Err)
			requireSame(t, one, two)
		})
	}
}

// The old leader has records that nobody else got; it comes back as a
// follower and gives them up.
func TestFollowerDropsWhatTheNewLeaderLacks(t *testing.T) {
	for _, protocol := range protocols {
		t.Run(protocol.String(), func(t *testing.T) {
			w, one, two := pair(t, protocol)
			lead(0, one, []int32{1, 2}, one, two)
			require.NoError(t, one.put(0, -1, 10*time.Second, "a", "b").Err)
			require.Eventually(t, func() bool { return two.logs.Get(tp(0)).HighWatermark() == 2 }, 10*time.Second, time.Millisecond)
			w.sever(1, true)
			require.NoError(t, one.put(0, 1, 0, "lost", "lost").Err)
			require.NoError(t, one.put(0, 1, 0, "lost").Err)
			lead(1, two, []int32{2}, two)
			require.NoError(t, two.put(0, -1, time.Second, "kept").Err)
			lead(1, two, []int32{2}, one)
			requireSame(t, one, two)
			require.Equal(t, int64(3), one.logs.Get(tp(0)).LogEndOffset())

			// And twice more, each with a tail of its own (KIP-279).
			require.NoError(t, two.put(0, 1, 0, "x").Err)
			w.sever(1, false)
			w.sever(2, true)
			lead(2, one, []int32{1}, one)
			require.NoError(t, one.put(0, 1, 0, "y", "y", "y").Err)
			lead(2, one, []int32{1}, two)
			requireSame(t, one, two)
		})
	}
}

func TestFollowerOutsideTheLeadersRange(t *testing.T) {
	for _, protocol := range protocols {
		t.Run(protocol.String(), func(t *testing.T) {
			_, one, two := pair(t, protocol)
			lead(0, one, []int32{1}, one)
			for range 10 {
				require.NoError(t, one.put(0, -1, time.Second, "a").Err)
			}
			require.NoError(t, one.logs.Get(tp(0)).IncrementLogStartOffset(7, "a test"))
			lead(0, one, []int32{1}, two)
			require.Eventually(t, func() bool { return two.logs.Get(tp(0)).HighWatermark() == 10 }, 10*time.Second, time.Millisecond)
			require.Equal(t, int64(7), two.logs.Get(tp(0)).LogStartOffset())

			// An unclean election: the leader has nothing of what is here.
			require.NoError(t, one.logs.Get(tp(0)).TruncateFullyAndStartAt(3))
			lead(5, one, []int32{1}, one, two)
			require.NoError(t, one.put(0, -1, time.Second, "b").Err)
			require.Eventually(t, func() bool { return two.logs.Get(tp(0)).LogEndOffset() == 4 }, 10*time.Second, time.Millisecond)
		})
	}
}

func TestFollowerErrors(t *testing.T) {
	w, one, two := pair(t, config.IBP_2_8_IV1)
	lead(3, one, []int32{1, 2}, two) // before the leader knows
	require.Eventually(t, func() bool { return w.count("Fetch") >= 3 }, 10*time.Second, time.Millisecond, "asks again")
	lead(3, one, []int32{1, 2}, one)
	require.NoError(t, one.put(0, -1, 10*time.Second, "a").Err)
	requireSame(t, one, two)

	// The leader is ahead of what this follower knows: it waits to be told.
	lead(4, one, []int32{1, 2}, one)
	require.Eventually(t, func() bool { return two.following.byKey[fetcherKey{1, 0}].idle() }, 10*time.Second, time.Millisecond)
	lead(4, one, []int32{1, 2}, two)
	require.NoError(t, one.put(0, -1, 10*time.Second, "b").Err)
	requireSame(t, one, two)

	// The connection breaks, and is made again.
	w.sever(1, true)
	require.NoError(t, one.put(0, 1, 0, "c").Err)
	require.Eventually(t, func() bool { return two.following.byKey[fetcherKey{1, 0}].isDown() }, 10*time.Second, time.Millisecond)
	w.sever(1, false)
	requireSame(t, one, two)
}

// isDown reports whether every partition waits after an error.
func (f *fetcher) isDown() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.states {
		if s.notBefore.IsZero() {
			return false
		}
	}
	return true
}

func TestStopReplicaEndsFetching(t *testing.T) {
	_, one, two := pair(t, config.IBP_2_8_IV1)
	lead(0, one, []int32{1, 2}, one, two)
	require.NoError(t, one.put(0, -1, 10*time.Second, "a").Err)
	requireSame(t, one, two)
	stop := kmsg.NewPtrStopReplicaRequest()
	stop.Version, stop.ControllerID, stop.ControllerEpoch, stop.BrokerEpoch = 3, 9, 4, 50
	stop.Topics = []kmsg.StopReplicaRequestTopic{{Topic: "t", PartitionStates: []kmsg.StopReplicaRequestTopicPartitionState{{Partition: 0, LeaderEpoch: 1}}}}
	require.Equal(t, "t-0=NONE", outcome(two.StopReplicas(stop, 9)))
	require.Empty(t, two.following.list())
	require.NoError(t, one.put(0, 1, 0, "b").Err)
	require.Equal(t, int64(1), two.logs.Get(tp(0)).LogEndOffset())
	lead(2, one, []int32{1}, one, two)
	require.Eventually(t, func() bool { return two.logs.Get(tp(0)).LogEndOffset() == 2 }, 10*time.Second, time.Millisecond)
}

// TestALeavingBrokerFollowsNothingNew: it would come back into ISRs that it
// was just taken out of.
func TestALeavingBrokerFollowsNothingNew(t *testing.T) {
	w, one, two := pair(t, config.IBP_2_8_IV1)
	two.Leave()
	lead(3, one, []int32{1, 2}, one, two)
	require.NoError(t, one.put(0, 1, time.Second, "a").Err)
	require.Empty(t, two.following.byKey)
	require.Zero(t, w.count("Fetch"))
}
