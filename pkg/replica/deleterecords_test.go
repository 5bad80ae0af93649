package replica

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gregor/pkg/commitlog"
	"gregor/pkg/config"
	"gregor/pkg/kerr"
	"gregor/pkg/model"
)

func deleteTo(m *Manager, ctx context.Context, timeout time.Duration, partition int32, offset int64) (low int64, err error) {
	deletions := []Deletion{{TopicPartition: tp(partition), Offset: offset}}
	m.DeleteRecords(ctx, timeout, deletions)
	return deletions[0].LowWatermark, deletions[0].Err
}

func TestDeleteRecords(t *testing.T) {
	b := newBroker(t)
	b.live(4, 1)
	b.apply(leaderAndIsr(7, alone(0, 0), alone(1, 0), state{2, 2, 0, []int32{2}, []int32{1, 2}}))
	require.NoError(t, b.put(0, -1, 0, "a", "b", "c", "d").Err)
	b.logs.UpdateTopicOptions("t", commitlog.DefaultOptions())
	for _, c := range []struct {
		what      string
		partition int32
		offset    int64
		low       int64
		err       error
	}{
		{"some", 0, 2, 2, nil},
		{"again", 0, 1, 2, nil},
		{"beyond the high watermark", 0, 5, -1, kerr.OffsetOutOfRange},
		{"negative", 0, -2, -1, kerr.OffsetOutOfRange},
		{"all", 0, UpToHighWatermark, 4, nil},
		{"nothing there", 1, UpToHighWatermark, 0, nil},
		{"elsewhere", 2, 0, -1, kerr.NotLeaderOrFollower},
		{"not hosted", 3, 0, -1, kerr.NotLeaderOrFollower},
		{"unknown", 9, 0, -1, kerr.UnknownTopicOrPartition},
	} {
		low, err := deleteTo(b.Manager, t.Context(), 0, c.partition, c.offset)
		require.ErrorIs(t, err, c.err, c.what)
		require.Equal(t, c.low, low, c.what)
	}
	internal := []Deletion{{TopicPartition: model.TopicPartition{Topic: "__consumer_offsets"}}}
	b.DeleteRecords(t.Context(), 0, internal)
	require.ErrorIs(t, internal[0].Err, kerr.InvalidTopicException)

	compacted := commitlog.DefaultOptions()
	compacted.Delete, compacted.Compact = false, true
	b.logs.UpdateTopicOptions("t", compacted)
	_, err := deleteTo(b.Manager, t.Context(), 0, 0, 0)
	require.ErrorIs(t, err, kerr.PolicyViolation)
	compacted.Delete = true
	b.logs.UpdateTopicOptions("t", compacted)
	_, err = deleteTo(b.Manager, t.Context(), 0, 0, 0)
	require.NoError(t, err)
}

// A deletion waits for the live replicas, and for those only.
func TestDeleteRecordsWaitsForReplicas(t *testing.T) {
	b := newBroker(t)
	b.live(1, 1, 2, 3)
	b.apply(leaderAndIsr(7, state{0, 1, 0, []int32{1, 2, 3}, []int32{1, 2, 3, 4}}))
	require.NoError(t, b.put(0, 1, 0, "a", "b", "c").Err)
	fetch := func(id model.BrokerID, start int64) {
		r := b.read(FetchParams{ReplicaID: id, LeaderOnly: true}, Fetch{TopicPartition: tp(0), Offset: 3, LogStartOffset: start})
		require.NoError(t, r.Err)
	}
	fetch(2, 0)
	fetch(3, 0)
	low, err := deleteTo(b.Manager, t.Context(), 5*time.Millisecond, 0, 2)
	require.ErrorIs(t, err, kerr.RequestTimedOut)
	require.Zero(t, low, "as far as it is known when the time is up")
	fetch(2, 2)
	fetch(3, 1)

	type outcome struct {
		low int64
		err error
	}
	results := make(chan outcome, 1)
	begin := func(offset int64) {
		waiting := b.deletes.Waiting()
		go func() {
			low, err := deleteTo(b.Manager, t.Context(), time.Minute, 0, offset)
			results <- outcome{low, err}
		}()
		require.Eventually(t, func() bool { return b.deletes.Waiting() > waiting }, 10*time.Second, time.Millisecond)
	}
	begin(2)
	fetch(3, 2)
	require.Equal(t, outcome{2, nil}, <-results, "4 is not alive")

	begin(3)
	b.apply(leaderAndIsr(7, state{0, 2, 1, []int32{2, 3}, []int32{1, 2, 3}}))
	got := <-results
	require.Equal(t, int64(-1), got.low)
	require.ErrorIs(t, got.err, kerr.NotLeaderOrFollower)

	b.apply(leaderAndIsr(7, state{0, 1, 2, []int32{1, 2}, []int32{1, 2}}))
	begin(3)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = deleteTo(b.Manager, ctx, time.Minute, 0, 3)
	require.ErrorIs(t, err, kerr.RequestTimedOut, "a connection that ends waits no longer")
	b.takeOffline(b.logs.Get(tp(0)).ParentDir())
	require.ErrorIs(t, (<-results).err, kerr.KafkaStorageError)
}

// A follower takes over the log start of its leader, which ends the leader's
// wait, and both keep it over a restart.
func TestFollowersFollowADeletion(t *testing.T) {
	w := &wires{}
	one, two := newBrokerOf(t, 1, config.IBP_2_8_IV1), newBrokerOf(t, 2, config.IBP_2_8_IV1)
	w.connect(one)
	w.connect(two)
	for _, b := range []*broker{one, two} {
		b.live(1, 1, 2)
		b.apply(leaderAndIsr(7, state{0, 1, 0, []int32{1, 2}, []int32{1, 2}}))
	}
	require.NoError(t, one.put(0, -1, time.Minute, "a", "b").Err)
	require.NoError(t, one.put(0, -1, time.Minute, "c", "d").Err)
	low, err := deleteTo(one.Manager, t.Context(), time.Minute, 0, 3)
	require.NoError(t, err)
	require.Equal(t, int64(3), low, "within a batch")
	for _, b := range []*broker{one, two} {
		require.Equal(t, int64(3), b.logs.Get(tp(0)).LogStartOffset())
		require.NoError(t, b.Close())
		require.NoError(t, b.logs.Shutdown())
		b.start(b.dirs)
		require.Equal(t, int64(3), b.logs.Get(tp(0)).LogStartOffset())
	}
}
