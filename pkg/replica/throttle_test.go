package replica

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"gregor/pkg/commitlog"
	"gregor/pkg/compress"
	"gregor/pkg/config"
	"gregor/pkg/model"
	"gregor/pkg/quota"
	"gregor/pkg/record"
)

// fill puts that many records of 100 KB into t-0, young enough to stay.
func (b *broker) fill(records int) {
	value := bytes.Repeat([]byte("x"), 100_000)
	for range records {
		builder := record.NewBuilder(compress.None)
		builder.Append(time.Now().UnixMilli(), nil, value)
		req := &AppendRequest{Acks: 1, Appends: []Append{{TopicPartition: tp(0), Records: builder.MustBuild()}}}
		b.Append(b.t.Context(), req)
		require.NoError(b.t, req.Appends[0].Err)
	}
}

// A follower that lags behind gets a megabyte a second, whichever side holds
// it to that, and joins the ISR when it has caught up.
func TestThrottledFollowerCatchesUpAtItsRate(t *testing.T) {
	for name, throttle := range map[string]func(leader, follower *broker) *quota.Replication{
		"by the leader":   func(leader, _ *broker) *quota.Replication { return leader.options.Quotas.Leader },
		"by the follower": func(_, follower *broker) *quota.Replication { return follower.options.Quotas.Follower },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, one, two := pair(t, config.IBP_2_8_IV1)
				q := throttle(one, two)
				q.SetLimit(1_000_000)
				q.Throttle("t", quota.AllPartitions)
				lead(0, one, []int32{1}, one)
				one.fill(300)
				lead(0, one, []int32{1}, two)
				began := time.Now()
				for _, at := range []time.Duration{10 * time.Second, 15 * time.Second, 20 * time.Second} {
					time.Sleep(at - time.Since(began))
					require.InEpsilon(t, at.Seconds()*10, two.logs.Get(tp(0)).LogEndOffset(), 0.15, "records after %v", at)
					require.NotContains(t, isrOf(one), model.BrokerID(2))
				}
				time.Sleep(15 * time.Second)
				requireSame(t, one, two)
				require.Contains(t, isrOf(one), model.BrokerID(2))

				// In sync, nothing holds it up.
				began = time.Now()
				require.NoError(t, one.put(0, -1, time.Minute, strings.Repeat("y", 900_000)).Err)
				require.NoError(t, one.put(0, -1, time.Minute, strings.Repeat("y", 900_000)).Err)
				require.Less(t, time.Since(began), time.Second)
			})
		})
	}
}

// A partition that is not throttled goes on beside one that is, and a limit
// that is taken away lets the other go at once.
func TestOnlyThrottledReplicasWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, one, two := pair(t, config.IBP_2_8_IV1)
		one.live(2, 1, 2)
		two.live(2, 1, 2)
		q := one.options.Quotas.Leader
		q.SetLimit(1000)
		only, err := quota.ParsePartitions([]string{"0:1"}, 1)
		require.NoError(t, err)
		q.Throttle("t", only)
		lead(0, one, []int32{1}, one)
		one.fill(20)
		lead(0, one, []int32{1}, two)
		time.Sleep(5 * time.Second)
		held := two.logs.Get(tp(0)).LogEndOffset()
		require.Less(t, held, int64(20))

		for _, b := range []*broker{one, two} {
			require.Equal(t, "t-1=NONE", b.apply(leaderAndIsr(7, state{1, 1, 0, []int32{1}, []int32{1, 2}})))
		}
		for range 20 {
			require.NoError(t, one.put(1, 1, 0, "free").Err)
		}
		time.Sleep(time.Second)
		require.Equal(t, int64(20), two.logs.Get(tp(1)).LogEndOffset())
		require.Equal(t, held, two.logs.Get(tp(0)).LogEndOffset())

		q.SetLimit(quota.Unlimited)
		time.Sleep(time.Second)
		require.Equal(t, int64(20), two.logs.Get(tp(0)).LogEndOffset())
	})
}

func isrOf(b *broker) []model.BrokerID {
	p, err := b.Partition(tp(0))
	require.NoError(b.t, err)
	return p.State().ISR
}

// Neither side of replication takes memory for the records that go through.
func TestReplicationAllocations(t *testing.T) {
	b := newBroker(t)
	b.apply(leaderAndIsr(7, state{0, 1, 0, []int32{1, 2}, []int32{1, 2}}))
	b.options.Quotas.Leader.SetLimit(1 << 40)
	b.options.Quotas.Leader.Throttle("t", quota.AllPartitions)
	const records = 1000
	many := make([]string, records)
	require.NoError(t, b.put(0, 1, 0, many...).Err)
	fetches := []Fetch{{TopicPartition: tp(0), MaxBytes: 1 << 20, LeaderEpoch: 0, LastFetchedEpoch: -1}}
	params := &FetchParams{ReplicaID: 2, LeaderOnly: true, MaxBytes: 1 << 20, Isolation: commitlog.LogEnd}
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() {
		b.Fetch(t.Context(), params, fetches)
		Release(fetches)
	}), 1.0, "the leader")

	follower := newBroker(t)
	follower.live(1, 1, 2)
	follower.apply(leaderAndIsr(7, state{0, 2, 0, []int32{1, 2}, []int32{1, 2}}))
	p := mustPartition(t, follower)
	builder := record.NewBuilder(compress.None)
	for range records {
		builder.Append(time.Now().UnixMilli(), nil, []byte("x"))
	}
	batch, end := builder.MustBuild(), int64(0)
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() {
		binary.BigEndian.PutUint64(batch, uint64(end)) // the base offset, which no checksum covers
		_, err := p.appendFromLeader(0, fetched{offset: end, records: batch, highWatermark: end})
		if err != nil {
			t.Error(err)
		}
		end += records
	}), 3.0, "the follower")
}
