package api

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/compress"
	"gregor/pkg/kerr"
	"gregor/pkg/logging"
	"gregor/pkg/model"
	"gregor/pkg/record"
)

func TestProduceThenFetchEveryVersion(t *testing.T) {
	p := newDataPlane(t)
	p.lead("t", 2)
	for version := int16(0); version <= 9; version++ {
		for _, acks := range []int16{1, -1} {
			part := p.produced(produceOf(version, acks, "t", 1, batchOf("a", "b")))
			require.Zero(t, part.ErrorCode, "version %d", version)
			require.Equal(t, int64(version)*4+2*int64(1-acks)/2, part.BaseOffset)
			if version >= 2 {
				require.Equal(t, int64(-1), part.LogAppendTime)
			}
			if version >= 5 {
				require.Zero(t, part.LogStartOffset)
			}
		}
	}
	for version := int16(4); version <= 12; version++ {
		part := p.fetched(fetchOf(version, "t", 1, 36))
		require.Zero(t, part.ErrorCode)
		require.Equal(t, int64(40), part.HighWatermark)
		require.Equal(t, int64(40), part.LastStableOffset)
		require.Equal(t, []string{"a", "b", "a", "b"}, valuesOf(t, part.RecordBatches))
	}
}

func TestProduceAcksZero(t *testing.T) {
	p := newDataPlane(t)
	p.lead("t", 1)
	a := p.answer(produceOf(9, 0, "t", 0, batchOf("x")))
	require.True(t, a.None)
	require.Empty(t, a.Chunks)
	require.Equal(t, []string{"x"}, valuesOf(t, p.fetched(fetchOf(12, "t", 0, 0)).RecordBatches))
	require.True(t, p.answer(produceOf(9, 0, "t", 7, batchOf("x"))).Close, "an error closes the connection")
	require.True(t, p.answer(produceOf(3, 0, "nowhere", 0, batchOf("x"))).Close)
}

func TestProduceAcksZeroSaysWhyItCloses(t *testing.T) {
	var out bytes.Buffer
	p := newDataPlane(t)
	p.data.log = logging.New(&out).Logger("kafka.server.KafkaApis")
	p.answer(produceOf(9, 0, "nowhere", 3, batchOf("x")))
	require.Contains(t, out.String(), "INFO Closing connection due to error during produce request with correlation id 1 from client id tester with ack=0\n"+
		"Topic and partition to exceptions: nowhere-3 -> org.apache.kafka.common.errors.UnknownTopicOrPartitionException (kafka.server.KafkaApis)\n")
}

// edited is a batch with bytes of its header replaced, its CRC made good.
func edited(at int, bytes ...byte) []byte {
	b := batchOf("v")
	copy(b[at:], bytes)
	record.Batch(b).SetBaseOffset(int64(binary.BigEndian.Uint64(b)))
	return b
}

func TestProduceErrors(t *testing.T) {
	zstd := record.NewBuilder(compress.Zstd).Append(1, nil, []byte("v")).MustBuild()
	two := append(batchOf("a"), batchOf("b")...)
	broken := batchOf("v")
	broken[len(broken)-1] ^= 1
	tiny := edited(8, 0, 0, 0, 5)
	magic9 := edited(16, 9)
	v1, err := hex.DecodeString("0000000000000000000000383c28df5d010000000174876e8000000000026b31000000206161616161616161616161616161616161616161616161616161616161616161")
	require.NoError(t, err)
	transactional := edited(21, 0, 1<<4)
	none := int64(-1)
	for _, c := range []struct {
		name      string
		version   int16
		acks      int16
		topic     string
		partition int32
		records   []byte
		want      *kerr.Error // nil is success
		logStart  int64
	}{
		{"unknown topic", 9, 1, "nowhere", 0, batchOf("v"), kerr.UnknownTopicOrPartition, none},
		{"unknown partition", 9, 1, "t", 9, batchOf("v"), kerr.UnknownTopicOrPartition, none},
		{"negative partition", 9, 1, "t", -1, batchOf("v"), kerr.UnknownTopicOrPartition, none},
		{"known but elsewhere", 9, 1, "elsewhere", 0, batchOf("v"), kerr.NotLeaderOrFollower, none},
		{"acks 2", 9, 2, "t", 0, batchOf("v"), kerr.InvalidRequiredAcks, none},
		{"acks -2", 9, -2, "t", 0, batchOf("v"), kerr.InvalidRequiredAcks, none},
		{"no records", 3, 1, "t", 0, []byte{}, kerr.InvalidRecord, none},
		{"null records", 3, 1, "t", 0, nil, kerr.InvalidRecord, none},
		{"a batch cut short", 3, 1, "t", 0, batchOf("v")[:40], kerr.InvalidRecord, none},
		{"two batches", 9, 1, "t", 0, two, kerr.InvalidRecord, none},
		{"two batches in an old version", 2, 1, "t", 0, two, kerr.InvalidRecord, none},
		{"format 1 in a new version", 3, 1, "t", 0, v1, kerr.InvalidRecord, none},
		{"format 1 in an old version", 2, 1, "t", 0, v1, nil, 0},
		{"no records in an old version", 2, 1, "t", 0, []byte{}, nil, none},
		{"zstd too early", 6, 1, "t", 0, zstd, kerr.UnsupportedCompressionType, none},
		{"zstd", 7, 1, "t", 0, zstd, nil, 0},
		{"size below any format", 9, 1, "t", 0, tiny, kerr.CorruptMessage, none},
		{"magic that is none", 9, 1, "t", 0, magic9, kerr.CorruptMessage, none},
		{"two batches, the second impossible", 9, 1, "t", 0, append(batchOf("v"), tiny...), kerr.CorruptMessage, none},
		{"smaller than a header", 9, 1, "t", 0, edited(8, 0, 0, 0, 20), kerr.CorruptMessage, none},
		{"wrong CRC", 9, 1, "t", 0, broken, kerr.CorruptMessage, none},
		{"wrong CRC, all", 9, -1, "t", 0, broken, kerr.CorruptMessage, none},
		{"internal topic", 9, 1, model.GroupMetadataTopic, 0, batchOf("v"), kerr.InvalidTopicException, none},
		{"transactional without an id", 9, 1, "t", 0, transactional, kerr.TransactionalIDAuthorizationFailed, none},
		{"bytes behind the batch", 9, 1, "t", 0, append(batchOf("v"), 1, 2, 3), nil, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newDataPlane(t)
			p.lead(model.GroupMetadataTopic, 1)
			p.lead("t", 1)
			p.announceElsewhere("elsewhere")
			part := p.produced(produceOf(c.version, c.acks, c.topic, c.partition, c.records))
			require.Equal(t, kerr.Code(asError(c.want)), part.ErrorCode, "%v", kerr.ForCode(part.ErrorCode))
			if c.version >= 5 {
				require.Equal(t, c.logStart, part.LogStartOffset)
			}
			if c.want != nil {
				require.Equal(t, int64(-1), part.BaseOffset)
			}
		})
	}
}

func asError(e *kerr.Error) error {
	if e == nil {
		return nil
	}
	return e
}

// A header that cannot be refuses the whole request, with a message.
func TestProduceImpossibleHeader(t *testing.T) {
	p := newDataPlane(t)
	p.lead("t", 2)
	req := produceOf(8, 1, "t", 0, edited(8, 0, 0, 0, 5))
	req.Topics[0].Partitions = append(req.Topics[0].Partitions, kmsg.ProduceRequestTopicPartition{Partition: 1, Records: batchOf("good")})
	for _, part := range p.ask(req).(*kmsg.ProduceResponse).Topics[0].Partitions {
		require.Equal(t, kerr.CorruptMessage.Code, part.ErrorCode)
		require.Equal(t, "Record size 5 is less than the minimum record overhead (14)", *part.ErrorMessage)
	}
	require.Zero(t, p.fetched(fetchOf(12, "t", 1, 0)).HighWatermark)
}

// announceElsewhere puts a topic into the metadata that broker 2 leads.
func (p *dataPlane) announceElsewhere(topic string) {
	um := kmsg.NewPtrUpdateMetadataRequest()
	um.Version, um.ControllerID, um.ControllerEpoch, um.BrokerEpoch = 7, 1, 1, -1
	for _, b := range p.cache.Snapshot().Brokers() {
		um.LiveBrokers = append(um.LiveBrokers, kmsg.UpdateMetadataRequestLiveBroker{ID: int32(b.ID),
			Endpoints: []kmsg.UpdateMetadataRequestLiveBrokerEndpoint{{Host: b.Endpoints[0].Host, Port: b.Endpoints[0].Port, ListenerName: "PLAINTEXT"}}})
	}
	um.TopicStates = []kmsg.UpdateMetadataRequestTopicState{{Topic: topic, PartitionStates: []kmsg.UpdateMetadataRequestTopicPartition{
		{Leader: 2, ISR: []int32{2}, Replicas: []int32{2}}}}}
	require.Zero(p.t, p.ask(um).(*kmsg.UpdateMetadataResponse).ErrorCode)
}

func TestProduceInternalTopicAsAdmin(t *testing.T) {
	p := newDataPlane(t)
	p.lead(model.GroupMetadataTopic, 1)
	req := produceOf(9, 1, model.GroupMetadataTopic, 0, batchOf("v"))
	r := p.request(0, 9, req.AppendTo(nil))
	*r.ClientID = "__admin_client"
	resp := kmsg.NewPtrProduceResponse()
	resp.Version = 9
	require.NoError(t, resp.ReadFrom(collect(t, p.router.Answer(t.Context(), r))))
	require.Zero(t, resp.Topics[0].Partitions[0].ErrorCode)
}

func TestProduceMinInSyncReplicas(t *testing.T) {
	p := newDataPlane(t)
	p.settings.MinInSyncReplicas = 2
	p.lead("t", 1)
	part := p.produced(produceOf(8, -1, "t", 0, batchOf("v")))
	require.Equal(t, kerr.NotEnoughReplicas.Code, part.ErrorCode)
	require.Zero(t, part.LogStartOffset)
	require.Zero(t, p.produced(produceOf(8, 1, "t", 0, batchOf("v"))).ErrorCode)

	s := p.settings
	s.MinInSyncReplicas = 1
	p.replicas.UpdateTopicSettings("t", s)
	require.Zero(t, p.produced(produceOf(8, -1, "t", 0, batchOf("v"))).ErrorCode)
}

// With a follower in the ISR that fetches nothing, acks=all times out, the
// data stays, and consumers do not see it.
func TestProduceWaitsForASilentFollower(t *testing.T) {
	p := newDataPlane(t)
	p.assign("t", 1, 0, 1, []int32{1, 2}, []int32{1, 2})
	req := produceOf(8, -1, "t", 0, batchOf("v"))
	req.TimeoutMillis = 20
	start := time.Now()
	part := p.produced(req)
	require.GreaterOrEqual(t, time.Since(start), 20*time.Millisecond)
	require.Equal(t, kerr.RequestTimedOut.Code, part.ErrorCode)
	require.Zero(t, part.BaseOffset)
	fetched := p.fetched(fetchOf(12, "t", 0, 0))
	require.Zero(t, fetched.HighWatermark)
	require.Empty(t, fetched.RecordBatches)

	// The follower fetches from 0, and then from 1: it has what is below.
	follower := fetchOf(12, "t", 0, 0)
	follower.ReplicaID = 2
	follower.Topics[0].Partitions[0].LogStartOffset = 0
	require.Equal(t, []string{"v"}, valuesOf(t, p.fetched(follower).RecordBatches))
	follower.Topics[0].Partitions[0].FetchOffset = 1
	require.Empty(t, p.fetched(follower).RecordBatches)
	require.Equal(t, []string{"v"}, valuesOf(t, p.fetched(fetchOf(12, "t", 0, 0)).RecordBatches))

	// A stranger's fetch gets nothing and proves nothing.
	stranger := fetchOf(12, "t", 0, 0)
	stranger.ReplicaID = 5
	require.Empty(t, p.fetched(stranger).RecordBatches)
}

// A produce that waits is answered when the leader is gone.
func TestProduceWaitsAndLosesTheLeader(t *testing.T) {
	p := newDataPlane(t)
	p.assign("t", 1, 0, 1, []int32{1, 2}, []int32{1, 2})
	req := produceOf(8, -1, "t", 0, batchOf("v"))
	req.TimeoutMillis = 60000
	result := make(chan int16, 1)
	answer := func() {
		resp := kmsg.NewPtrProduceResponse()
		resp.Version = 8
		if err := resp.ReadFrom(p.answer(req).Chunks[0].Bytes); err != nil {
			result <- -99
			return
		}
		result <- resp.Topics[0].Partitions[0].ErrorCode
	}
	go answer()
	require.Eventually(t, func() bool { n, _ := p.replicas.Waiting(); return n == 1 }, 10*time.Second, time.Millisecond)
	p.assign("t", 1, 1, 2, []int32{1, 2}, []int32{1, 2})
	require.Equal(t, kerr.NotLeaderOrFollower.Code, <-result)
}

// Several topics and partitions in one request, some of them bad: each has
// its own answer, in the order of the request.
func TestProduceMixed(t *testing.T) {
	p := newDataPlane(t)
	p.lead("a", 2)
	p.lead("b", 1)
	for version := int16(3); version <= 9; version++ {
		req := kmsg.NewPtrProduceRequest()
		req.Version, req.Acks, req.TimeoutMillis = version, -1, 1000
		req.Topics = []kmsg.ProduceRequestTopic{
			{Topic: "a", Partitions: []kmsg.ProduceRequestTopicPartition{{Partition: 1, Records: batchOf("1")}, {Partition: 5, Records: batchOf("2")}, {Partition: 0, Records: batchOf("3")}}},
			{Topic: "none"},
			{Topic: "b", Partitions: []kmsg.ProduceRequestTopicPartition{{Partition: 0, Records: nil}}},
			{Topic: "b", Partitions: []kmsg.ProduceRequestTopicPartition{{Partition: 0, Records: batchOf("4")}}},
		}
		resp := p.ask(req).(*kmsg.ProduceResponse)
		var got []string
		for _, topic := range resp.Topics {
			for _, part := range topic.Partitions {
				got = append(got, fmt.Sprint(topic.Topic, part.Partition, ":", part.ErrorCode))
			}
		}
		require.Equal(t, []string{"a1:0", "a5:3", "a0:0", "b0:87", "b0:0"}, got)
	}
}

// The answers of a running 2.8 broker, apis.md 14, behind the correlation id.
func TestProduceGolden(t *testing.T) {
	p := newDataPlane(t)
	p.lead("t", 1)
	body := collect(t, p.answer(produceOf(3, 1, "t", 0, []byte{})))
	require.Equal(t, "00000001"+"000174"+"00000001"+"00000000"+"0057"+"ffffffffffffffff"+"ffffffffffffffff"+"00000000", hex.EncodeToString(body))
}

func TestProduceCutAnywhereCloses(t *testing.T) {
	p := newDataPlane(t)
	p.lead("t", 1)
	for _, version := range []int16{0, 3, 9} {
		whole := produceOf(version, 1, "t", 0, batchOf("v")).AppendTo(nil)
		for n := range whole {
			require.True(t, p.router.Answer(t.Context(), p.request(0, version, whole[:n])).Close, "cut at %d", n)
		}
	}
	// Lengths that claim more than there is, or less than nothing.
	for _, claim := range []string{"ffffffff", "7fffffff", "80000000"} {
		frame, err := hex.DecodeString("0001" + "00000001" + claim)
		require.NoError(t, err)
		require.True(t, p.router.Answer(t.Context(), p.request(0, 0, frame)).Close, claim)
	}
}

// Whatever kmsg decodes, the walk decodes to the same, and nothing panics.
func FuzzProduceRequest(f *testing.F) {
	for version := int16(0); version <= 9; version++ {
		f.Add(version, produceOf(version, -1, "topic", 3, batchOf("value")).AppendTo(nil))
	}
	f.Add(int16(9), []byte{0, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, version int16, frame []byte) {
		version = max(0, version%10)
		var req produceRequest
		ok := req.decode(version, frame)
		want := kmsg.NewPtrProduceRequest()
		want.Version = version
		if !ok || want.ReadFrom(frame) != nil {
			return // the walk is stricter about what cannot be, kmsg about nothing
		}
		i := 0
		require.Len(t, req.topics, len(want.Topics))
		require.Equal(t, want.TransactionID != nil, req.transactionalID)
		for j, topic := range req.topics {
			require.Equal(t, want.Topics[j].Topic, string(topic.name))
			require.Equal(t, len(want.Topics[j].Partitions), topic.partitions)
			for _, p := range want.Topics[j].Partitions {
				require.Equal(t, p.Partition, req.partitions[i].index)
				require.Equal(t, p.Records, req.partitions[i].records)
				i++
			}
		}
		req.refused = req.check()
		resp := kmsg.NewPtrProduceResponse()
		resp.Version = version
		if req.refused == nil {
			req.refused = kerr.CorruptMessage
		}
		require.NoError(t, resp.ReadFrom(req.answer(nil)))
	})
}

func TestProduceAllocations(t *testing.T) {
	p := newDataPlane(t)
	p.lead("t", 1)
	r := p.request(0, 9, nil)
	frame := produceOf(9, 1, "t", 0, batchOf("some value")).AppendTo(nil)
	work := make([]byte, len(frame))
	allocs := testing.AllocsPerRun(200, func() {
		copy(work, frame)
		r.Body = work
		p.router.Answer(t.Context(), r)
	})
	require.LessOrEqual(t, allocs, 4.0)
}

func BenchmarkProduce(b *testing.B) {
	p := newDataPlane(b)
	p.lead("t", 1)
	builder := record.NewBuilder(compress.None)
	for range 100 {
		builder.Append(1600000000000, nil, make([]byte, 100))
	}
	frame := produceOf(9, 1, "t", 0, builder.MustBuild()).AppendTo(nil)
	work := make([]byte, len(frame))
	r := p.request(0, 9, work)
	b.SetBytes(int64(len(frame)))
	b.ReportAllocs()
	for b.Loop() {
		copy(work, frame)
		p.router.Answer(b.Context(), r)
	}
}
