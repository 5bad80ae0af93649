package api

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/commitlog"
	"gregor/pkg/compress"
	"gregor/pkg/kerr"
	"gregor/pkg/metadata"
	"gregor/pkg/model"
	"gregor/pkg/record"
	"gregor/pkg/replica"
)

func TestFetchErrors(t *testing.T) {
	for _, c := range []struct {
		name    string
		version int16
		change  func(*kmsg.FetchRequestTopicPartition)
		topic   string
		want    *kerr.Error
	}{
		{"unknown topic", 12, nil, "nowhere", kerr.UnknownTopicOrPartition},
		{"unknown partition", 12, func(p *kmsg.FetchRequestTopicPartition) { p.Partition = 9 }, "t", kerr.UnknownTopicOrPartition},
		{"elsewhere", 12, nil, "elsewhere", kerr.NotLeaderOrFollower},
		{"before the start", 12, func(p *kmsg.FetchRequestTopicPartition) { p.FetchOffset = -1 }, "t", kerr.OffsetOutOfRange},
		{"behind the end", 12, func(p *kmsg.FetchRequestTopicPartition) { p.FetchOffset = 4 }, "t", kerr.OffsetOutOfRange},
		{"at the end", 12, func(p *kmsg.FetchRequestTopicPartition) { p.FetchOffset = 3 }, "t", nil},
		{"older leader epoch", 9, func(p *kmsg.FetchRequestTopicPartition) { p.CurrentLeaderEpoch = 4 }, "t", kerr.FencedLeaderEpoch},
		{"newer leader epoch", 9, func(p *kmsg.FetchRequestTopicPartition) { p.CurrentLeaderEpoch = 6 }, "t", kerr.UnknownLeaderEpoch},
		{"the leader epoch", 9, func(p *kmsg.FetchRequestTopicPartition) { p.CurrentLeaderEpoch = 5 }, "t", nil},
		{"a negative leader epoch is none", 9, func(p *kmsg.FetchRequestTopicPartition) { p.CurrentLeaderEpoch = -2 }, "t", nil},
		{"a negative last fetched epoch is none", 12, func(p *kmsg.FetchRequestTopicPartition) { p.LastFetchedEpoch = -9 }, "t", nil},
		{"last fetched epoch too new", 12, func(p *kmsg.FetchRequestTopicPartition) { p.LastFetchedEpoch = 8 }, "t", kerr.OffsetOutOfRange},
		{"a negative limit", 12, func(p *kmsg.FetchRequestTopicPartition) { p.PartitionMaxBytes = -1 }, "t", kerr.UnknownServerError},
		{"nothing to read in version 0", 0, func(p *kmsg.FetchRequestTopicPartition) { p.FetchOffset = 3 }, "t", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newDataPlane(t)
			p.assign("t", 1, 5, 1, []int32{1}, []int32{1})
			p.announceElsewhere("elsewhere")
			p.put("t", 0, "a", "b", "c")
			req := fetchOf(c.version, c.topic, 0, 0)
			req.MaxWaitMillis = 1
			if c.change != nil {
				c.change(&req.Topics[0].Partitions[0])
			}
			part := p.fetched(req)
			require.Equal(t, kerr.Code(asError(c.want)), part.ErrorCode)
			if c.want != nil {
				require.Equal(t, int64(-1), part.HighWatermark)
				require.Empty(t, part.RecordBatches)
				require.Nil(t, part.AbortedTransactions)
			} else {
				require.Equal(t, int64(3), part.HighWatermark)
			}
		})
	}
}

func TestFetchDivergingEpoch(t *testing.T) {
	p := newDataPlane(t)
	p.assign("t", 1, 0, 1, []int32{1}, []int32{1})
	p.put("t", 0, "a", "b")
	p.assign("t", 1, 2, 1, []int32{1}, []int32{1})
	p.put("t", 0, "c")
	req := fetchOf(12, "t", 0, 3)
	req.MaxWaitMillis = 60000
	req.Topics[0].Partitions[0].LastFetchedEpoch = 1
	part := p.fetched(req) // at once
	require.Zero(t, part.ErrorCode)
	require.Equal(t, int32(0), part.DivergingEpoch.Epoch)
	require.Equal(t, int64(2), part.DivergingEpoch.EndOffset)
	require.Empty(t, part.RecordBatches)

	req = fetchOf(12, "t", 0, 2)
	req.Topics[0].Partitions[0].LastFetchedEpoch = 0
	part = p.fetched(req)
	require.Equal(t, int32(-1), part.DivergingEpoch.Epoch)
	require.Equal(t, []string{"c"}, valuesOf(t, part.RecordBatches))
}

// The first batch comes whole, however small the limits; the others only as
// far as they fit.
func TestFetchLimits(t *testing.T) {
	p := newDataPlane(t)
	p.lead("t", 3)
	for i := range int32(3) {
		p.put("t", i, "x")
		p.put("t", i, "y")
	}
	size := len(batchOf("x"))
	for _, c := range []struct {
		partition, total int
		want             string
	}{
		{1, 1, "70 0 0"},
		{1, 1 << 20, "70 0 0"},
		{size + 3, 1 << 20, "73 73 73"}, // a cut batch behind a whole one; clients drop it
		{1 << 20, 1, "70 0 0"},
		{1 << 20, 2*size + 5, "140 0 0"},
		{1 << 20, 1 << 20, "140 140 140"},
		{0, 0, "70 0 0"},
	} {
		req := fetchOf(12, "t", 0, 0)
		req.MaxBytes = int32(c.total)
		req.Topics[0].Partitions = nil
		for i := range int32(3) {
			part := kmsg.NewFetchRequestTopicPartition()
			part.Partition, part.PartitionMaxBytes = i, int32(c.partition)
			req.Topics[0].Partitions = append(req.Topics[0].Partitions, part)
		}
		resp := p.ask(req).(*kmsg.FetchResponse)
		got := ""
		for _, part := range resp.Topics[0].Partitions {
			got += fmt.Sprint(len(part.RecordBatches), " ")
		}
		require.Equal(t, c.want+" ", got, "partition %d total %d, a batch has %d", c.partition, c.total, size)
	}
}

func TestFetchIsolation(t *testing.T) {
	p := newDataPlane(t)
	p.lead("t", 1)
	p.put("t", 0, "x")
	req := fetchOf(4, "t", 0, 0)
	require.Nil(t, p.fetched(req).AbortedTransactions)
	req.IsolationLevel = 1
	part := p.fetched(req)
	require.NotNil(t, part.AbortedTransactions)
	require.Empty(t, part.AbortedTransactions)
	require.Equal(t, []string{"x"}, valuesOf(t, part.RecordBatches))
}

func TestFetchZstdBeforeVersionTen(t *testing.T) {
	p := newDataPlane(t)
	p.settings.CompressionType = "zstd"
	p.lead("t", 1)
	require.Equal(t, kerr.UnsupportedCompressionType.Code, p.fetched(fetchOf(9, "t", 0, 0)).ErrorCode)
	require.Zero(t, p.fetched(fetchOf(10, "t", 0, 0)).ErrorCode)
}

func TestFetchFollowerRole(t *testing.T) {
	p := newDataPlane(t)
	p.assign("t", 1, 0, 1, []int32{1, 2}, []int32{1, 2})
	p.put1("t", "x")
	p.assign("t", 1, 1, 2, []int32{1, 2}, []int32{1, 2})
	require.Equal(t, kerr.NotLeaderOrFollower.Code, p.fetched(fetchOf(10, "t", 0, 0)).ErrorCode, "before version 11 only leaders")
	part := p.fetched(fetchOf(11, "t", 0, 0))
	require.Zero(t, part.ErrorCode)
	require.Zero(t, part.HighWatermark)
	debug := fetchOf(4, "t", 0, 0)
	debug.ReplicaID = -2
	require.Equal(t, []string{"x"}, valuesOf(t, p.fetched(debug).RecordBatches), "up to the log's end, from any replica")
	follower := fetchOf(12, "t", 0, 0)
	follower.ReplicaID = 2
	require.Equal(t, kerr.NotLeaderOrFollower.Code, p.fetched(follower).ErrorCode)
}

// put1 appends with acks=1.
func (p *dataPlane) put1(topic, value string) {
	p.t.Helper()
	require.Zero(p.t, p.produced(produceOf(9, 1, topic, 0, batchOf(value))).ErrorCode)
}

// waiting asks and returns the channel of the values that come.
func (p *dataPlane) waiting(req *kmsg.FetchRequest) chan []string {
	result := make(chan []string, 1)
	frame := p.request(1, req.Version, req.AppendTo(nil))
	go func() {
		resp := req.ResponseKind().(*kmsg.FetchResponse)
		if err := resp.ReadFrom(collect(p.t, p.router.Answer(p.t.Context(), frame))); err != nil {
			panic(err)
		}
		values := []string{}
		for _, topic := range resp.Topics {
			for _, part := range topic.Partitions {
				if part.ErrorCode != 0 {
					values = append(values, kerr.ForCode(part.ErrorCode).Name)
				}
				values = append(values, valuesOf(p.t, part.RecordBatches)...)
			}
		}
		result <- values
	}()
	require.Eventually(p.t, func() bool { _, n := p.replicas.Waiting(); return n > 0 }, 10*time.Second, time.Millisecond)
	return result
}

func TestFetchLongPoll(t *testing.T) {
	p := newDataPlane(t)
	p.lead("t", 2)
	req := fetchOf(12, "t", 0, 0)
	req.MaxWaitMillis = 60000
	result := p.waiting(req)
	p.put("t", 1, "other partition")
	p.put("t", 0, "x")
	require.Equal(t, []string{"x"}, <-result)

	req.Topics[0].Partitions[0].FetchOffset = 1
	req.MinBytes = int32(2 * len(batchOf("x")))
	result = p.waiting(req)
	p.put("t", 0, "y")
	require.Never(t, func() bool { return len(result) > 0 }, 20*time.Millisecond, time.Millisecond, "too little")
	p.put("t", 0, "z")
	require.Equal(t, []string{"y", "z"}, <-result)

	req.Topics[0].Partitions[0].FetchOffset = 2
	req.MinBytes, req.MaxWaitMillis = 1<<20, 30
	start := time.Now()
	require.Equal(t, []string{"z"}, valuesOf(t, p.fetched(req).RecordBatches), "what there is when the time is up")
	require.GreaterOrEqual(t, time.Since(start), 30*time.Millisecond)

	req.MinBytes = math.MaxInt32 // never more than the answer may hold
	req.MaxBytes = 10
	req.MaxWaitMillis = 60000
	require.Equal(t, []string{"z"}, valuesOf(t, p.fetched(req).RecordBatches))
}

func TestFetchWaitsAndLosesThePartition(t *testing.T) {
	p := newDataPlane(t)
	p.lead("t", 1)
	req := fetchOf(10, "t", 0, 0)
	req.MaxWaitMillis = 60000
	result := p.waiting(req)
	p.assign("t", 1, 1, 2, []int32{2}, []int32{1, 2})
	require.Equal(t, []string{"NOT_LEADER_OR_FOLLOWER"}, <-result)

	p.assign("t", 1, 2, 1, []int32{1}, []int32{1, 2})
	result = p.waiting(req)
	stop := kmsg.NewPtrStopReplicaRequest()
	stop.Version, stop.ControllerEpoch, stop.BrokerEpoch = 3, 1, -1
	stop.Topics = []kmsg.StopReplicaRequestTopic{{Topic: "t", PartitionStates: []kmsg.StopReplicaRequestTopicPartitionState{{LeaderEpoch: -2, Delete: true}}}}
	require.Zero(t, p.ask(stop).(*kmsg.StopReplicaResponse).Partitions[0].ErrorCode)
	require.Equal(t, []string{"NOT_LEADER_OR_FOLLOWER"}, <-result)
}

// Every version's answer, also with several topics, errors and aborted
// transactions, is the one that kmsg would write.
func TestFetchEncodingEveryVersion(t *testing.T) {
	for version := int16(0); version <= 12; version++ {
		fetches := []replica.Fetch{
			{TopicPartition: model.TopicPartition{Topic: "a", Partition: 1}, Result: replica.FetchResult{HighWatermark: 9, LastStableOffset: 8, LogStartOffset: 7,
				Aborted: []commitlog.AbortedTxn{{ProducerID: 5, FirstOffset: 6}}}},
			{TopicPartition: model.TopicPartition{Topic: "a", Partition: 2}, Result: replica.FetchResult{Err: kerr.OffsetOutOfRange, HighWatermark: -1}},
			{TopicPartition: model.TopicPartition{Topic: "skipped", Partition: 2}},
			{TopicPartition: model.TopicPartition{Topic: "b", Partition: 3}, Result: replica.FetchResult{Diverging: &replica.EpochEnd{Epoch: 3, Offset: 4}}},
			{TopicPartition: model.TopicPartition{Topic: "a", Partition: 3}, Result: replica.FetchResult{Aborted: []commitlog.AbortedTxn{}}},
		}
		body := collect(t, encodeFetch(version, nil, 77, fetches, []bool{true, true, false, true, true}))
		resp := kmsg.NewPtrFetchResponse()
		resp.Version = version
		require.NoError(t, resp.ReadFrom(body))
		require.Equal(t, body, resp.AppendTo(nil))
		require.Len(t, resp.Topics, 3)
		require.Len(t, resp.Topics[0].Partitions, 2)
		if version >= 7 {
			require.Equal(t, int32(77), resp.SessionID)
		}
		if version >= 12 {
			require.Equal(t, int64(4), resp.Topics[1].Partitions[0].DivergingEpoch.EndOffset)
		}
	}
}

func TestFetchCutAnywhereCloses(t *testing.T) {
	p := newDataPlane(t)
	for _, version := range []int16{0, 7, 12} {
		req := fetchOf(version, "t", 0, 0)
		req.ForgottenTopics = []kmsg.FetchRequestForgottenTopic{{Topic: "f", Partitions: []int32{1}}}
		whole := req.AppendTo(nil)
		for n := range whole {
			require.True(t, p.router.Answer(t.Context(), p.request(1, version, whole[:n])).Close, "version %d cut at %d", version, n)
		}
	}
}

// Whatever kmsg decodes, the walk decodes to the same, and nothing panics.
func FuzzFetchRequest(f *testing.F) {
	for version := int16(0); version <= 12; version++ {
		req := fetchOf(version, "topic", 3, 4)
		req.ForgottenTopics = []kmsg.FetchRequestForgottenTopic{{Topic: "f", Partitions: []int32{1, 2}}}
		f.Add(version, req.AppendTo(nil))
	}
	unknown := func([]byte) (*metadata.Topic, bool) { return nil, false }
	f.Fuzz(func(t *testing.T, version int16, frame []byte) {
		version = max(0, version%13)
		var req fetchRequest
		ok := req.decode(version, frame, unknown)
		want := kmsg.NewPtrFetchRequest()
		want.Version = version
		if !ok || want.ReadFrom(frame) != nil {
			return
		}
		require.Equal(t, want.MaxWaitMillis, req.maxWaitMs)
		require.Equal(t, want.SessionEpoch, req.epoch)
		i := 0
		for _, topic := range want.Topics {
			for _, p := range topic.Partitions {
				require.Equal(t, model.TopicPartition{Topic: topic.Topic, Partition: p.Partition}, req.partitions[i].TopicPartition)
				require.Equal(t, p.FetchOffset, req.partitions[i].Offset)
				require.Equal(t, p.PartitionMaxBytes, req.partitions[i].MaxBytes)
				i++
			}
		}
		require.Len(t, req.partitions, i)
		body := collect(t, encodeFetch(version, nil, 1, req.partitions, nil))
		resp := kmsg.NewPtrFetchResponse()
		resp.Version = version
		require.NoError(t, resp.ReadFrom(body))
	})
}

func TestFetchAllocations(t *testing.T) {
	p := newDataPlane(t)
	p.lead("t", 1)
	p.put("t", 0, "x")
	r := p.request(1, 12, fetchOf(12, "t", 0, 0).AppendTo(nil))
	allocs := testing.AllocsPerRun(200, func() {
		a := p.router.Answer(t.Context(), r)
		a.Release()
	})
	require.LessOrEqual(t, allocs, 5.0)
}

func BenchmarkFetch(b *testing.B) {
	p := newDataPlane(b)
	p.lead("t", 1)
	builder := record.NewBuilder(compress.None)
	for range 100 {
		builder.Append(1600000000000, nil, make([]byte, 100))
	}
	batch := builder.MustBuild()
	for range 100 {
		p.produced(produceOf(9, 1, "t", 0, batch))
	}
	r := p.request(1, 12, fetchOf(12, "t", 0, 0).AppendTo(nil))
	b.ReportAllocs()
	for b.Loop() {
		a := p.router.Answer(b.Context(), r)
		a.Release()
	}
}
