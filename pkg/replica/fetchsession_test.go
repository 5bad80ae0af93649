package replica

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/config"
	"gregor/pkg/kerr"
	"gregor/pkg/model"
)

// ask fills a request for t-0.. with these offsets and prints it; -1 leaves a
// partition out.
func (s *fetchSession) ask(offsets ...int64) string {
	var wanted []askedPartition
	for i, offset := range offsets {
		if offset >= 0 {
			wanted = append(wanted, askedPartition{TopicPartition: tp(int32(i)), asked: asked{offset: offset}})
		}
	}
	req := kmsg.NewPtrFetchRequest()
	s.fill(req, wanted, 1000)
	var parts []string
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			parts = append(parts, fmt.Sprintf("%d@%d", p.Partition, p.FetchOffset))
		}
	}
	for _, f := range req.ForgottenTopics {
		for _, p := range f.Partitions {
			parts = append(parts, fmt.Sprintf("-%d", p))
		}
	}
	return fmt.Sprintf("%d/%d %s", req.SessionID, req.SessionEpoch, strings.Join(parts, " "))
}

func (s *fetchSession) hear(id int32, err *kerr.Error) *kerr.Error {
	resp := kmsg.NewPtrFetchResponse()
	resp.SessionID = id
	if err != nil {
		resp.ErrorCode = err.Code
	}
	return s.answered(resp)
}

func TestFetchSession(t *testing.T) {
	s := newFetchSession(12)
	require.Equal(t, "0/0 0@5 1@6", s.ask(5, 6))
	require.Nil(t, s.hear(77, nil))
	require.Equal(t, "77/1 ", s.ask(5, 6), "nothing is new")
	require.Nil(t, s.hear(77, nil))
	require.Equal(t, "77/2 1@9 2@0", s.ask(5, 9, 0))
	require.Nil(t, s.hear(77, nil))
	require.Equal(t, "77/3 -1", s.ask(5, -1, 0))
	require.Nil(t, s.hear(77, nil))
	require.Equal(t, "77/4 1@9", s.ask(5, 9, 0), "once forgotten it is told anew")

	s.broken()
	require.Equal(t, "77/0 0@5 1@9", s.ask(5, 9), "everything, and the old session ends")
	require.Nil(t, s.hear(78, nil))
	require.Equal(t, kerr.InvalidFetchSessionEpoch, s.hear(0, kerr.InvalidFetchSessionEpoch))
	require.Equal(t, "78/0 0@5", s.ask(5))
	require.Equal(t, kerr.FetchSessionIDNotFound, s.hear(0, kerr.FetchSessionIDNotFound))
	require.Equal(t, "0/0 0@5", s.ask(5))
	require.Nil(t, s.hear(0, nil), "the leader keeps no session")
	require.Equal(t, "0/0 0@5", s.ask(5))

	require.Nil(t, s.hear(5, nil))
	s.epoch = math.MaxInt32
	require.Nil(t, s.hear(5, nil))
	require.Equal(t, int32(1), s.epoch, "the epoch of a new session is not used again")
}

func TestFetchWithoutSessions(t *testing.T) {
	s := newFetchSession(6)
	for range 3 {
		require.Equal(t, "0/-1 0@5 1@6", s.ask(5, 6))
		require.Nil(t, s.hear(0, nil))
	}
	s.broken()
	require.Equal(t, "0/-1 0@5", s.ask(5))
}

func TestFetchOrderIsFair(t *testing.T) {
	f := &fetcher{states: map[model.TopicPartition]*fetchState{}, stale: true}
	for partition, turn := range []uint64{9, 2, 0, 0} {
		at := tp(int32(partition))
		f.states[at] = &fetchState{partition: &Partition{TopicPartition: at}, turn: turn}
	}
	order := func() (list []int32) {
		for _, s := range f.orderedLocked() {
			list = append(list, s.partition.Partition)
		}
		return list
	}
	require.Equal(t, []int32{2, 3, 1, 0}, order(), "who got records last comes last")
	f.states[tp(2)].turn, f.turned = 10, true
	require.Equal(t, []int32{3, 1, 0, 2}, order())
	f.dropLocked(tp(1))
	require.Equal(t, []int32{3, 0, 2}, order())
}

// A follower of many partitions to which nothing happens says nothing of them
// and takes no memory for them.
func TestFollowerAtRestAllocations(t *testing.T) {
	const partitions = 200
	b := newBroker(t)
	b.live(partitions, 1, 2)
	states := make([]state, partitions)
	for i := range states {
		states[i] = state{int32(i), 2, 0, []int32{2}, []int32{1, 2}}
	}
	b.apply(leaderAndIsr(7, states...))
	var all []model.TopicPartition
	for _, p := range b.Partitions() {
		all = append(all, p.TopicPartition)
	}
	b.following.remove(all)
	b.following.endIdle() // or it would be counted too
	f := b.newFetcher(fetcherKey{leader: 2, id: 1})
	for _, p := range b.Partitions() {
		f.add([]following{{p, 2, 0, 0}})
		f.states[p.TopicPartition].phase = phaseFetching
	}
	now := time.Now()
	require.Len(t, f.nextFetch(now).Topics[0].Partitions, partitions)
	require.Nil(t, f.session.answered(&kmsg.FetchResponse{SessionID: 5}))
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() {
		if req := f.nextFetch(now); len(req.Topics) > 0 {
			t.Error("nothing is new")
		}
	}), partitions/2.0, "far below one for each, whatever else the broker does meanwhile")
}

func TestPeerVersions(t *testing.T) {
	for text, want := range map[string]PeerVersions{
		"2.8":     {12, 4, 6, true, true, true},
		"2.7-IV1": {12, 3, 5, true, true, false},
		"2.7-IV0": {11, 3, 5, false, true, false},
		"2.4":     {11, 3, 5, false, true, false},
		"2.1-IV1": {8, 2, 4, false, true, false},
		"2.0":     {8, 1, 3, false, true, false},
		"1.1":     {7, 0, 2, false, true, false},
		"0.11.0":  {5, 0, 2, false, true, false},
		"0.10.2":  {3, 0, 1, false, false, false},
		"0.9.0":   {1, 0, 0, false, false, false},
	} {
		v, err := config.ParseVersion(text)
		require.NoError(t, err)
		require.Equal(t, want, PeerVersionsFor(v), text)
	}
}

func TestFetcherID(t *testing.T) {
	require.Zero(t, fetcherID(tp(3), 0))
	seen := map[int]bool{}
	for i := range int32(8) {
		seen[fetcherID(tp(i), 4)] = true
	}
	require.Len(t, seen, 4)
	require.Equal(t, (31*116+5)%7, fetcherID(tp(5), 7), "the hash of t is 116")
}

func TestConnectTimeoutsGrow(t *testing.T) {
	o := FetchingOptions{SocketTimeout: 7 * time.Second}
	require.Equal(t, 7*time.Second, o.connectTimeout(3))
	o.ConnectTimeout, o.ConnectTimeoutMax = 10*time.Second, 30*time.Second
	for failures, want := range []time.Duration{10 * time.Second, 20 * time.Second, 30 * time.Second, 30 * time.Second} {
		for range 100 {
			require.InDelta(t, want.Seconds(), o.connectTimeout(failures).Seconds(), want.Seconds()/5+0.001)
		}
	}
	o.ConnectTimeout, o.ConnectTimeoutMax = math.MaxInt64, -1
	require.Positive(t, o.connectTimeout(1000))
}
