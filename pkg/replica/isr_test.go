package replica

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/config"
	"gregor/pkg/kerr"
	"gregor/pkg/model"
	"gregor/pkg/zkstore"
)

// znodes are the states of partitions as ZooKeeper, or the controller, keeps
// them.
type znodes struct {
	mu     sync.Mutex
	states map[model.TopicPartition]zkstore.PartitionState
	fail   []error // of the next writes
	notes  [][]model.TopicPartition
	writes int
}

func (z *znodes) set(tp model.TopicPartition, s zkstore.PartitionState) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.states == nil {
		z.states = map[model.TopicPartition]zkstore.PartitionState{}
	}
	z.states[tp] = s
}

func (z *znodes) isr(tp model.TopicPartition) []model.BrokerID {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.states[tp].ISR
}

func (z *znodes) nextFailure() error {
	z.writes++
	if len(z.fail) == 0 {
		return nil
	}
	err := z.fail[0]
	z.fail = z.fail[1:]
	return err
}

func (z *znodes) PartitionStates(context.Context, []model.TopicPartition) (map[model.TopicPartition]zkstore.PartitionState, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	states := map[model.TopicPartition]zkstore.PartitionState{}
	for tp, s := range z.states {
		states[tp] = s
	}
	return states, nil
}

func (z *znodes) UpdatePartitionStates(_ context.Context, states map[model.TopicPartition]zkstore.PartitionState, _ zkstore.Fence) (
	updated map[model.TopicPartition]zkstore.PartitionState, failed map[model.TopicPartition]error, err error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if err := z.nextFailure(); err != nil {
		return nil, nil, err
	}
	updated, failed = map[model.TopicPartition]zkstore.PartitionState{}, map[model.TopicPartition]error{}
	for tp, s := range states {
		if z.states[tp].ZkVersion != s.ZkVersion {
			failed[tp] = zkstore.ErrBadVersion
			continue
		}
		s.ZkVersion++
		z.states[tp], updated[tp] = s, s
	}
	return updated, failed, nil
}

func (z *znodes) NotifyIsrChange(_ context.Context, tps []model.TopicPartition) error {
	z.mu.Lock()
	defer z.mu.Unlock()
	if err := z.nextFailure(); err != nil {
		return err
	}
	z.notes = append(z.notes, tps)
	return nil
}

// Request answers AlterIsr as the controller.
func (z *znodes) Request(_ context.Context, r kmsg.Request) (kmsg.Response, error) {
	req, ok := r.(*kmsg.AlterPartitionRequest)
	if !ok || req.Version != 0 || req.BrokerEpoch != 50 {
		return nil, fmt.Errorf("no request for a controller: %+v", r)
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	resp := kmsg.NewPtrAlterPartitionResponse()
	if err := z.nextFailure(); err != nil {
		resp.ErrorCode = kerr.Code(err)
		return resp, nil
	}
	for _, t := range req.Topics {
		topic := kmsg.AlterPartitionResponseTopic{Topic: t.Topic}
		for _, q := range t.Partitions {
			tp := model.TopicPartition{Topic: t.Topic, Partition: q.Partition}
			s := z.states[tp]
			p := kmsg.AlterPartitionResponseTopicPartition{Partition: q.Partition}
			switch {
			case model.LeaderEpoch(q.LeaderEpoch) < s.LeaderEpoch:
				p.ErrorCode = kerr.FencedLeaderEpoch.Code
			case model.PartitionEpoch(q.PartitionEpoch) != s.ZkVersion:
				p.ErrorCode = kerr.InvalidUpdateVersion.Code
			default:
				s.ISR, s.ZkVersion = brokerIDs(q.NewISR), s.ZkVersion+1
				z.states[tp] = s
				p.LeaderID, p.LeaderEpoch, p.ISR, p.PartitionEpoch = int32(s.Leader), int32(s.LeaderEpoch), q.NewISR, int32(s.ZkVersion)
			}
			topic.Partitions = append(topic.Partitions, p)
		}
		resp.Topics = append(resp.Topics, topic)
	}
	return resp, nil
}

func (*znodes) Close() error { return nil }

func (b *broker) isrOf(partition int32) []model.BrokerID {
	p, err := b.Partition(tp(partition))
	require.NoError(b.t, err)
	return p.State().ISR
}

func ids(list ...model.BrokerID) []model.BrokerID { return list }

// A follower outside the ISR joins when it has caught up, and leaves when it
// is silent; records are committed with those who are left.
func TestISRGrowsAndShrinks(t *testing.T) {
	for _, protocol := range []config.Version{config.IBP_2_8_IV1, config.IBP_2_6_IV0} {
		t.Run(protocol.String(), func(t *testing.T) {
			w, one, two := pairWithLag(t, protocol, 300*time.Millisecond)
			lead(0, one, []int32{1}, one)
			for range 5 {
				require.NoError(t, one.put(0, -1, time.Second, "a").Err)
			}
			lead(0, one, []int32{1}, two)
			require.Eventually(t, func() bool { return slices.Equal(one.isrOf(0), ids(1, 2)) }, 10*time.Second, time.Millisecond)
			require.Equal(t, ids(1, 2), w.znodes.isr(tp(0)))
			require.NoError(t, one.put(0, -1, 10*time.Second, "b").Err)
			requireSame(t, one, two)

			w.sever(1, true)
			require.NoError(t, one.put(0, -1, 10*time.Second, "c").Err, "committed when the ISR has shrunk")
			require.Eventually(t, func() bool { return slices.Equal(one.isrOf(0), ids(1)) }, 10*time.Second, time.Millisecond)
			require.Equal(t, ids(1), w.znodes.isr(tp(0)))

			w.sever(1, false)
			require.Eventually(t, func() bool { return slices.Equal(one.isrOf(0), ids(1, 2)) }, 10*time.Second, time.Millisecond)
			requireSame(t, one, two)
		})
	}
}

// While a shrink is not confirmed the member counts: what it lacks is not
// committed, whatever the state of the controller.
func TestNothingIsCommittedBeforeAShrinkIsConfirmed(t *testing.T) {
	w, one, two := pairWithLag(t, config.IBP_2_8_IV1, 100*time.Millisecond)
	lead(0, one, []int32{1, 2}, one, two)
	require.NoError(t, one.put(0, -1, 10*time.Second, "a").Err)
	requireSame(t, one, two)
	w.znodes.mu.Lock()
	w.znodes.fail = slices.Repeat([]error{kerr.NotController}, 5)
	w.znodes.mu.Unlock()
	w.sever(1, true)
	require.NoError(t, one.put(0, 1, 0, "b").Err)
	p, err := one.Partition(tp(0))
	require.NoError(t, err)
	for range 4 {
		require.Eventually(t, func() bool { p.mu.RLock(); defer p.mu.RUnlock(); return p.pending != nil }, 10*time.Second, time.Millisecond)
		require.Equal(t, int64(1), one.logs.Get(tp(0)).HighWatermark())
		require.Equal(t, ids(1, 2), p.State().ISR)
		before := w.znodes.written()
		require.Eventually(t, func() bool { return w.znodes.written() > before }, 10*time.Second, time.Millisecond, "proposed again")
	}
	require.Eventually(t, func() bool { return one.logs.Get(tp(0)).HighWatermark() == 2 }, 10*time.Second, time.Millisecond)
	require.Equal(t, ids(1), p.State().ISR)
}

func (z *znodes) written() int {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.writes
}

// A change that was made by somebody else in the meantime is refused, and the
// leader waits for the controller's word.
func TestRefusedISRChangeWaitsForTheController(t *testing.T) {
	for _, protocol := range []config.Version{config.IBP_2_8_IV1, config.IBP_2_6_IV0} {
		t.Run(protocol.String(), func(t *testing.T) {
			w, one, two := pairWithLag(t, protocol, 20*time.Millisecond)
			lead(0, one, []int32{1, 2}, one, two)
			require.NoError(t, one.put(0, -1, 10*time.Second, "a").Err)
			requireSame(t, one, two)
			w.znodes.set(tp(0), zkstore.PartitionState{Leader: 1, ISR: ids(1, 2), ZkVersion: 8})
			w.sever(1, true)
			require.NoError(t, one.put(0, 1, 0, "b").Err)
			require.Eventually(t, func() bool { return w.znodes.written() == 1 }, 10*time.Second, time.Millisecond)
			p, err := one.Partition(tp(0))
			require.NoError(t, err)
			one.shrinkOnce(time.Now().Add(time.Hour))
			require.Equal(t, ids(1, 2), p.State().ISR)
			require.Equal(t, 1, w.znodes.written())
			require.Equal(t, int64(1), one.logs.Get(tp(0)).HighWatermark())
			lead(1, one, []int32{1}, one)
			require.Equal(t, int64(2), one.logs.Get(tp(0)).HighWatermark())
		})
	}
}

func TestISRDecisions(t *testing.T) {
	b := newBroker(t)
	b.apply(leaderAndIsr(7, state{0, 1, 4, []int32{1, 2, 3}, []int32{1, 2, 3}}))
	p, err := b.Partition(tp(0))
	require.NoError(t, err)
	propose := func() *isrChange {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.proposeLocked(ids(1))
	}
	good := isrOutcome{leaderEpoch: 4, isr: ids(1), partitionEpoch: 7}
	for name, c := range map[string]struct {
		outcome isrOutcome
		again   bool
		isr     []model.BrokerID
		pending bool
	}{
		"accepted":              {good, false, ids(1), false},
		"nothing changed":       {isrOutcome{leaderEpoch: 4, isr: ids(1), partitionEpoch: 6}, false, ids(1), false},
		"of an older state":     {isrOutcome{leaderEpoch: 4, isr: ids(1), partitionEpoch: 5}, false, ids(1, 2, 3), true},
		"of another epoch":      {isrOutcome{leaderEpoch: 3, isr: ids(1), partitionEpoch: 7}, false, ids(1, 2, 3), true},
		"unknown partition":     {isrOutcome{err: kerr.UnknownTopicOrPartition}, false, ids(1, 2, 3), true},
		"fenced":                {isrOutcome{err: kerr.FencedLeaderEpoch}, false, ids(1, 2, 3), true},
		"version":               {isrOutcome{err: kerr.InvalidUpdateVersion}, false, ids(1, 2, 3), true},
		"something passes over": {isrOutcome{err: kerr.UnknownServerError}, true, ids(1, 2, 3), true},
	} {
		p.mu.Lock()
		p.isr, p.pending, p.partitionEpoch = ids(1, 2, 3), nil, 6
		p.mu.Unlock()
		require.Equal(t, c.again, p.decide(propose(), c.outcome), name)
		require.Equal(t, c.isr, p.State().ISR, name)
		require.Equal(t, c.pending, p.pending != nil, name)
	}
	old := propose()
	propose()
	p.isr = ids(1, 2, 3)
	require.False(t, p.decide(old, good), "overtaken")
	require.Equal(t, ids(1, 2, 3), p.State().ISR)
}

func TestISRLines(t *testing.T) {
	b := newBroker(t)
	b.apply(leaderAndIsr(7, state{0, 1, 0, []int32{1, 2}, []int32{1, 2}}))
	require.NoError(t, b.put(0, 1, 0, "a").Err)
	b.out.take()
	b.shrinkOnce(time.Now())
	require.Empty(t, b.out.take())
	b.shrinkOnce(time.Now().Add(31 * time.Second))
	require.Contains(t, b.out.take(), "INFO [Partition t-0 broker=1] Shrinking ISR from 1,2 to 1. Leader: (highWatermark: 0, endOffset: 1). Out of sync replicas: (brokerId: 2, endOffset: -1). (kafka.cluster.Partition)")
	p, err := b.Partition(tp(0))
	require.NoError(t, err)
	p.mu.RLock()
	pending := p.pending
	p.mu.RUnlock()
	p.decide(pending, isrOutcome{isr: ids(1), partitionEpoch: 3})
	p.mu.Lock()
	p.partitionEpoch = 2
	p.mu.Unlock()
	p.decide(pending, isrOutcome{isr: ids(1), partitionEpoch: 3})
	require.Contains(t, b.out.take(), "INFO [Partition t-0 broker=1] ISR updated to 1 and version updated to [3] (kafka.cluster.Partition)")
}

func TestNotificationsOfISRChanges(t *testing.T) {
	z := &znodes{}
	w := newStoreISR(nil, z)
	start := w.lastNote
	at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
	require.Nil(t, w.due(at(1000)), "nothing has changed")
	w.note(tp(1))
	w.note(tp(0))
	w.lastChange = at(58)
	require.Nil(t, w.due(at(60)), "more may follow")
	require.Equal(t, []model.TopicPartition{tp(0), tp(1)}, w.due(at(61)), "nothing was told for long")
	require.Nil(t, w.due(at(100)), "told already")
	w.note(tp(1))
	w.lastChange = at(100)
	require.Nil(t, w.due(at(105)))
	require.Equal(t, []model.TopicPartition{tp(1)}, w.due(at(106)), "it has become quiet")
}

func TestStoreISRAfterAConflict(t *testing.T) {
	b := newBrokerOf(t, 1, config.IBP_2_6_IV0)
	z := &znodes{}
	w := newStoreISR(b.Manager, z)
	change := &isrChange{partition: &Partition{TopicPartition: tp(0)}, isr: ids(1), leaderEpoch: 2, controllerEpoch: 4, partitionEpoch: 6}
	mine := zkstore.PartitionState{Leader: 1, LeaderEpoch: 2, ISR: ids(1), ControllerEpoch: 4, ZkVersion: 9}
	z.set(tp(0), mine)
	got, err := w.write(t.Context(), []*isrChange{change})
	require.NoError(t, err)
	require.Equal(t, []isrOutcome{{leaderEpoch: 2, isr: ids(1), partitionEpoch: 9}}, got, "written before")
	mine.LeaderEpoch = 3
	z.set(tp(0), mine)
	got, err = w.write(t.Context(), []*isrChange{change})
	require.NoError(t, err)
	require.Equal(t, []isrOutcome{{err: kerr.InvalidUpdateVersion}}, got)
	z.fail = []error{errors.New("no ZooKeeper")}
	_, err = w.write(t.Context(), []*isrChange{change})
	require.Error(t, err)
}
