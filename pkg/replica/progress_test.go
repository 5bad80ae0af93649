package replica

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gregor/pkg/commitlog"
	"gregor/pkg/kerr"
	"gregor/pkg/model"
)

// The high watermark is the least end among the ISR, and never falls.
func TestHighWatermarkOfAnISR(t *testing.T) {
	b := newBroker(t)
	b.apply(leaderAndIsr(7, state{0, 1, 0, []int32{1, 2, 3}, []int32{1, 2, 3}}))
	high := func() int64 {
		return b.read(FetchParams{ReplicaID: ConsumerID, Isolation: commitlog.HighWatermark}, Fetch{TopicPartition: tp(0)}).HighWatermark
	}
	follow := func(id model.BrokerID, offset int64) {
		r := b.read(FetchParams{ReplicaID: id, LeaderOnly: true}, Fetch{TopicPartition: tp(0), Offset: offset})
		require.NoError(t, r.Err)
	}
	require.NoError(t, b.put(0, 1, 0, "a", "b", "c").Err)
	require.Zero(t, high())
	follow(2, 3)
	require.Zero(t, high(), "3 has not been heard of")
	follow(3, 1)
	require.Equal(t, int64(1), high())
	follow(3, 3)
	require.Equal(t, int64(3), high())
	follow(3, 2)
	require.Equal(t, int64(3), high(), "never back")

	// A new epoch of the same leadership keeps what is known; 3 left the ISR
	// but was caught up lately, so it still counts.
	b.apply(leaderAndIsr(7, state{0, 1, 1, []int32{1, 2}, []int32{1, 2, 3}}))
	require.NoError(t, b.put(0, 1, 0, "d").Err)
	follow(2, 4)
	require.Equal(t, int64(4), high())
}

func TestReplicaThatLeftTheISRAndLagsDoesNotCount(t *testing.T) {
	p := &Partition{broker: 1, leader: 1, lagMax: 10 * time.Second, isr: []model.BrokerID{1, 2}, replicas: []model.BrokerID{1, 2, 3},
		remote: map[model.BrokerID]*remoteReplica{}}
	b := newBroker(t)
	log, err := b.logs.GetOrCreate(tp(0), true, model.TopicID{})
	require.NoError(t, err)
	_, err = log.AppendAsLeader(batch("a", "b"), 0, commitlog.OriginClient)
	require.NoError(t, err)
	p.log = log
	now := time.Now()
	p.remote[2] = &remoteReplica{logEndOffset: 2}
	p.remote[3] = &remoteReplica{logEndOffset: 1, lastCaughtUp: now.Add(-10 * time.Second)}
	require.True(t, p.advanceLocked(now))
	require.Equal(t, int64(1), log.HighWatermark(), "about to join the ISR")
	require.True(t, p.advanceLocked(now.Add(time.Millisecond)))
	require.Equal(t, int64(2), log.HighWatermark(), "too far behind")
	require.False(t, p.advanceLocked(now))
}

func TestLastCaughtUp(t *testing.T) {
	b := newBroker(t)
	b.apply(leaderAndIsr(7, state{0, 1, 0, []int32{1, 2}, []int32{1, 2}}))
	p, err := b.Partition(tp(0))
	require.NoError(t, err)
	start := p.remote[2].lastFetch
	at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
	for i, c := range []struct {
		offset, end int64
		want        time.Time
	}{
		{0, 5, at(0)}, // at the end of the beginning
		{3, 9, at(0)}, // not where the end was at the last fetch
		{9, 9, at(3)}, // at the end
		{9, 20, at(3)},
		{20, 30, at(4)}, // where the end was at the last fetch
	} {
		require.False(t, p.noteFollowerLocked(2, followerFetch{c.offset, 0, c.end}, at(i+1)).stranger)
		require.Equal(t, c.want, p.remote[2].lastCaughtUp, "fetch %d", i+1)
	}
	require.True(t, p.noteFollowerLocked(7, followerFetch{1, 0, 1}, at(9)).stranger)
}

func TestAppendWaitsForTheISR(t *testing.T) {
	b := newBroker(t)
	b.least = 2
	b.apply(leaderAndIsr(7, state{0, 1, 0, []int32{1, 2}, []int32{1, 2}}))
	a := b.put(0, -1, 5*time.Millisecond, "x")
	require.ErrorIs(t, a.Err, kerr.RequestTimedOut)
	require.Zero(t, a.Info.FirstOffset)

	result := make(chan Append, 1)
	go func() { result <- b.put(0, -1, time.Minute, "y") }()
	require.Eventually(t, func() bool { n, _ := b.Waiting(); return n == 1 }, 10*time.Second, time.Millisecond)
	b.read(FetchParams{ReplicaID: 2, LeaderOnly: true}, Fetch{TopicPartition: tp(0), Offset: 2})
	a = <-result
	require.NoError(t, a.Err)
	require.Equal(t, int64(1), a.Info.FirstOffset)

	// The ISR shrinks below the minimum while a request waits.
	go func() { result <- b.put(0, -1, time.Minute, "z") }()
	require.Eventually(t, func() bool { n, _ := b.Waiting(); return n == 1 }, 10*time.Second, time.Millisecond)
	b.apply(leaderAndIsr(7, state{0, 1, 1, []int32{1}, []int32{1}}))
	require.ErrorIs(t, (<-result).Err, kerr.NotEnoughReplicasAfterAppend)
	a = b.put(0, -1, time.Minute, "z")
	require.ErrorIs(t, a.Err, kerr.NotEnoughReplicas)
	require.Equal(t, "The size of the current ISR [1] is insufficient to satisfy the min.isr requirement of 2 for partition t-0", a.Err.Error())
}

func TestAppendEndsWithItsContext(t *testing.T) {
	b := newBroker(t)
	b.apply(leaderAndIsr(7, state{0, 1, 0, []int32{1, 2}, []int32{1, 2}}))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	req := &AppendRequest{Acks: -1, Timeout: time.Hour, Appends: []Append{{TopicPartition: tp(0), Records: batch("x")}}}
	b.Append(ctx, req)
	require.ErrorIs(t, req.Appends[0].Err, kerr.RequestTimedOut)
}

// What a follower, or somebody who says so, cannot make a leader believe.
func TestFetchesThatCountForNothing(t *testing.T) {
	b := newBroker(t)
	b.apply(leaderAndIsr(7, state{0, 1, 3, []int32{1, 2}, []int32{1, 2}}))
	require.NoError(t, b.put(0, 1, 0, "a", "b").Err)
	fetch := func(id model.BrokerID, offset int64, epoch model.LeaderEpoch) FetchResult {
		fetches := []Fetch{{TopicPartition: tp(0), Offset: offset, MaxBytes: 1 << 20, LeaderEpoch: epoch, LastFetchedEpoch: -1}}
		b.Fetch(t.Context(), &FetchParams{ReplicaID: id, LeaderOnly: true, MaxBytes: 1 << 20, Isolation: commitlog.LogEnd}, fetches)
		defer Release(fetches)
		return fetches[0].Result
	}
	for _, row := range []struct {
		what    string
		id      model.BrokerID
		offset  int64
		epoch   model.LeaderEpoch
		err     error
		records bool
	}{
		{"a broker without a replica", 7, 2, 3, nil, false},
		{"such a broker, from the start", 7, 0, 3, nil, false},
		{"the leader itself", 1, 0, 3, nil, false},
		{"a follower beyond the end", 2, 3, 3, kerr.OffsetOutOfRange, false},
		{"a follower before the start", 2, -1, 3, kerr.OffsetOutOfRange, false},
		{"a follower of the former epoch", 2, 2, 2, kerr.FencedLeaderEpoch, false},
		{"a follower that is ahead of this leader", 2, 2, 4, kerr.UnknownLeaderEpoch, false},
	} {
		r := fetch(row.id, row.offset, row.epoch)
		if row.err != nil {
			require.ErrorIs(t, r.Err, row.err, row.what)
		} else {
			require.NoError(t, r.Err, row.what)
		}
		require.Equal(t, row.records, r.Records.Length > 0, row.what)
		require.Zero(t, b.logs.Get(tp(0)).HighWatermark(), row.what)
		require.Equal(t, unknownOffset, mustPartition(t, b).remote[2].logEndOffset, row.what)
	}
	require.NoError(t, fetch(2, 2, 3).Err)
	require.Equal(t, int64(2), b.logs.Get(tp(0)).HighWatermark())
}

func mustPartition(t *testing.T, b *broker) *Partition {
	p, err := b.Partition(tp(0))
	require.NoError(t, err)
	return p
}
