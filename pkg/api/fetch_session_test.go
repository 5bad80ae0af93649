package api

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"

	"gregor/pkg/kerr"
	"gregor/pkg/model"
	"gregor/pkg/replica"
)

// inSession is a request of a session that asks for partitions of a topic at
// offsets and forgets others.
func inSession(id, epoch int32, asked map[int32]int64, forgotten ...int32) *kmsg.FetchRequest {
	req := fetchOf(12, "t", 0, 0)
	req.SessionID, req.SessionEpoch = id, epoch
	req.Topics = nil
	if len(asked) > 0 {
		topic := kmsg.FetchRequestTopic{Topic: "t"}
		for i := range int32(10) {
			if offset, ok := asked[i]; ok {
				part := kmsg.NewFetchRequestTopicPartition()
				part.Partition, part.FetchOffset, part.PartitionMaxBytes = i, offset, 1<<20
				topic.Partitions = append(topic.Partitions, part)
			}
		}
		req.Topics = append(req.Topics, topic)
	}
	if len(forgotten) > 0 {
		req.ForgottenTopics = []kmsg.FetchRequestForgottenTopic{{Topic: "t", Partitions: forgotten}}
	}
	return req
}

// told is what an answer says: "error session: partition=error/values".
func (p *dataPlane) told(req *kmsg.FetchRequest) string {
	p.t.Helper()
	resp := p.ask(req).(*kmsg.FetchResponse)
	var parts []string
	for _, topic := range resp.Topics {
		for _, part := range topic.Partitions {
			parts = append(parts, fmt.Sprintf("%d=%d/%s", part.Partition, part.ErrorCode, strings.Join(valuesOf(p.t, part.RecordBatches), "")))
		}
	}
	return fmt.Sprintf("%d: %s", resp.ErrorCode, strings.Join(parts, " "))
}

func (p *dataPlane) newSession(asked map[int32]int64) int32 {
	p.t.Helper()
	return p.ask(inSession(0, 0, asked)).(*kmsg.FetchResponse).SessionID
}

func TestFetchSessionConversation(t *testing.T) {
	p := newDataPlane(t)
	p.lead("t", 3)
	p.put("t", 0, "a")
	id := p.newSession(map[int32]int64{0: 0, 1: 0, 2: 0})
	require.Positive(t, id)

	require.Equal(t, "0: 0=0/a", p.told(inSession(id, 1, nil)), "the same position gives the data again, silent partitions are left out")
	require.Equal(t, "0: ", p.told(inSession(id, 2, map[int32]int64{0: 1})), "nothing new")
	require.Equal(t, "71: ", p.told(inSession(id, 2, nil)), "an epoch once more")
	require.Equal(t, "71: ", p.told(inSession(id, 4, nil)), "an epoch skipped")
	require.Equal(t, "70: ", p.told(inSession(id+1, 3, nil)), "no such session")
	p.put("t", 1, "b")
	p.put("t", 0, "c")
	require.Equal(t, "0: 1=0/b 0=0/c", p.told(inSession(id, 3, nil)), "who was served goes behind")
	p.put("t", 2, "d")
	require.Equal(t, "0: 2=0/d 1=0/b 0=0/c", p.told(inSession(id, 4, nil)))
	require.Equal(t, "0: 2=1/", p.told(inSession(id, 5, map[int32]int64{2: 7, 0: 2, 1: 1})), "an error")
	require.Equal(t, "0: 2=1/", p.told(inSession(id, 6, nil)), "is repeated")
	require.Equal(t, "0: 2=0/", p.told(inSession(id, 7, map[int32]int64{2: 1})), "and taken back")
	require.Equal(t, "0: ", p.told(inSession(id, 8, nil)))
	require.Equal(t, "0: 7=3/", p.told(inSession(id, 9, map[int32]int64{7: 0}, 0)), "a partition that does not exist")
	p.put("t", 0, "e")
	require.Equal(t, "0: 7=3/", p.told(inSession(id, 10, nil)), "0 is forgotten")
	require.Equal(t, "0: ", p.told(inSession(id, 11, nil, 1, 2, 7)), "forgetting the last ends it")
	require.Equal(t, "70: ", p.told(inSession(id, 12, nil)))
}

func TestFetchSessionIsClosedByFullFetches(t *testing.T) {
	p := newDataPlane(t)
	p.lead("t", 1)
	id := p.newSession(map[int32]int64{0: 0})
	require.Equal(t, "0: 0=0/", p.told(inSession(id, -1, map[int32]int64{0: 0})), "the final fetch has no session")
	require.Equal(t, "70: ", p.told(inSession(id, 1, nil)))

	id = p.newSession(map[int32]int64{0: 0})
	other := p.ask(inSession(id, 0, map[int32]int64{0: 0})).(*kmsg.FetchResponse).SessionID
	require.NotEqual(t, id, other)
	require.Equal(t, "70: ", p.told(inSession(id, 1, nil)))
	require.Equal(t, "0: ", p.told(inSession(other, 1, nil)))
	require.Equal(t, 1, p.data.sessions.size())
}

func TestFetchSessionBeforeVersionSeven(t *testing.T) {
	p := newDataPlane(t)
	p.lead("t", 1)
	p.fetched(fetchOf(6, "t", 0, 0))
	require.Zero(t, p.data.sessions.size())
}

func TestNextEpoch(t *testing.T) {
	require.Equal(t, int32(1), nextEpoch(0))
	require.Equal(t, int32(8), nextEpoch(7))
	require.Equal(t, int32(1), nextEpoch(math.MaxInt32))
}

// questions makes n fetches of partitions from zero on.
func questions(n int) []replica.Fetch {
	list := make([]replica.Fetch, n)
	for i := range list {
		list[i].TopicPartition = model.TopicPartition{Topic: "t", Partition: int32(i)}
	}
	return list
}

func TestFetchSessionEviction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFetchSessions(2)
		c.create(false, questions(1))
		c.create(false, questions(3))
		require.Zero(t, c.create(false, questions(9)), "new sessions are spared")

		c = newFetchSessions(2)
		small, large := c.create(false, questions(1)), c.create(false, questions(3))
		follower := c.create(true, questions(1))
		require.Positive(t, follower, "a follower takes the place of the least consumer")
		require.Nil(t, c.byID[small])
		require.NotNil(t, c.byID[large])

		time.Sleep(sessionIdleMax)
		keep := func(id int32) {
			_, _, err := c.open(id, c.byID[id].epoch, nil, nil, nil)
			require.NoError(t, err)
		}
		keep(large)
		keep(follower)
		time.Sleep(time.Second)
		require.Zero(t, c.create(false, questions(3)), "equal is not more")
		larger := c.create(false, questions(4))
		require.Positive(t, larger, "an old session makes room for a larger one")
		require.Nil(t, c.byID[large])
		require.Zero(t, c.create(false, questions(100)), "a consumer does not displace a follower, nor a new session")

		time.Sleep(sessionIdleMax + time.Second)
		require.Positive(t, c.create(false, questions(1)), "idle sessions go first")
		require.Equal(t, 2, c.size())
	})
}

func TestFetchSessionOvertaken(t *testing.T) {
	c := newFetchSessions(2)
	id := c.create(false, questions(1))
	s, fetches, err := c.open(id, 1, nil, nil, nil)
	require.NoError(t, err)
	_, _, err = c.open(id, 2, nil, nil, nil) // while the first still waits
	require.NoError(t, err)
	require.ErrorIs(t, s.selectResults(1, fetches, make([]bool, 1)), kerr.InvalidFetchSessionEpoch)
	require.NoError(t, s.selectResults(2, fetches, make([]bool, 1)))
}

// A session's order against a plain slice.
func TestFetchSessionModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newFetchSessions(1)
		want := []int32{0}
		id := c.create(false, questions(1))
		epoch := int32(1)
		for range rapid.IntRange(1, 40).Draw(t, "fetches") {
			added := rapid.SliceOfNDistinct(rapid.Int32Range(0, 6), 0, 3, rapid.ID).Draw(t, "added")
			gone := rapid.SliceOfNDistinct(rapid.Int32Range(0, 6), 0, 2, rapid.ID).Draw(t, "forgotten")
			var changed []replica.Fetch
			var forgotten []model.TopicPartition
			for _, i := range added {
				changed = append(changed, replica.Fetch{TopicPartition: model.TopicPartition{Topic: "t", Partition: i}, Offset: int64(epoch)})
				if !slices.Contains(want, i) {
					want = append(want, i)
				}
			}
			for _, i := range gone {
				forgotten = append(forgotten, model.TopicPartition{Topic: "t", Partition: i})
				want = slices.DeleteFunc(want, func(w int32) bool { return w == i })
			}
			s, fetches, err := c.open(id, epoch, changed, forgotten, nil)
			require.NoError(t, err)
			if len(want) == 0 {
				require.Nil(t, s)
				require.Zero(t, c.size())
				return
			}
			var got []int32
			for _, f := range fetches {
				got = append(got, f.Partition)
			}
			require.Equal(t, want, got)
			for i := range fetches {
				if rapid.Bool().Draw(t, "data") {
					fetches[i].Result.Records.Length = 1
					want = append(slices.DeleteFunc(want, func(w int32) bool { return w == fetches[i].Partition }), fetches[i].Partition)
				}
			}
			require.NoError(t, s.selectResults(epoch, fetches, make([]bool, len(fetches))))
			epoch++
		}
	})
}

// A consumer of 1000 partitions in which nothing happens.
func BenchmarkFetchIdleSession(b *testing.B) {
	p := newDataPlane(b)
	p.lead("t", 1000)
	full := kmsg.NewPtrFetchRequest()
	full.Version, full.ReplicaID, full.MaxBytes, full.MinBytes, full.SessionEpoch = 12, -1, 1<<20, 1, 0
	topic := kmsg.FetchRequestTopic{Topic: "t"}
	for i := range int32(1000) {
		part := kmsg.NewFetchRequestTopicPartition()
		part.Partition, part.PartitionMaxBytes = i, 1<<20
		topic.Partitions = append(topic.Partitions, part)
	}
	full.Topics = append(full.Topics, topic)
	id := p.ask(full).(*kmsg.FetchResponse).SessionID
	epoch := int32(1)
	b.ReportAllocs()
	for b.Loop() {
		req := fetchOf(12, "t", 0, 0)
		req.SessionID, req.SessionEpoch, req.Topics = id, epoch, nil
		a := p.answer(req)
		a.Release()
		epoch++
	}
}
