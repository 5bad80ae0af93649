package api

import (
	"encoding/hex"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/compress"
	"gregor/pkg/record"
)

func offsetsOf(version int16, replicaID int32, topic string, timestamp int64) *kmsg.ListOffsetsRequest {
	req := kmsg.NewPtrListOffsetsRequest()
	req.Version, req.ReplicaID = version, replicaID
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.Timestamp, p.MaxNumOffsets = timestamp, 5
	req.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: topic, Partitions: []kmsg.ListOffsetsRequestTopicPartition{p}}}
	return req
}

// listed is "error offset timestamp epoch", for version 0 "error [offsets]".
func (p *dataPlane) listed(req *kmsg.ListOffsetsRequest) string {
	p.t.Helper()
	part := p.ask(req).(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0]
	if req.Version == 0 {
		return fmt.Sprint(part.ErrorCode, part.OldStyleOffsets)
	}
	return fmt.Sprint(part.ErrorCode, part.Offset, part.Timestamp, part.LeaderEpoch)
}

func TestListOffsets(t *testing.T) {
	p := newDataPlane(t)
	p.assign("t", 1, 3, 1, []int32{1}, []int32{1})
	b := record.NewBuilder(compress.None).Append(1000, nil, []byte("a")).Append(3000, nil, []byte("b")).Append(2000, nil, []byte("c")).MustBuild()
	require.Zero(t, p.produced(produceOf(9, -1, "t", 0, b)).ErrorCode)
	for version := int16(1); version <= 6; version++ {
		epoch := -1
		if version >= 4 {
			epoch = 3
		}
		for timestamp, want := range map[int64]string{
			-1:   fmt.Sprint("0 3 -1 ", epoch),
			-2:   fmt.Sprint("0 0 -1 ", epoch),
			-3:   fmt.Sprint("0 0 1000 ", epoch), // a plain search
			0:    fmt.Sprint("0 0 1000 ", epoch),
			1000: fmt.Sprint("0 0 1000 ", epoch),
			1001: fmt.Sprint("0 1 3000 ", epoch),
			3000: fmt.Sprint("0 1 3000 ", epoch),
			3001: "0 -1 -1 -1",
		} {
			require.Equal(t, want, p.listed(offsetsOf(version, -1, "t", timestamp)), "version %d timestamp %d", version, timestamp)
		}
		require.Equal(t, "3 -1 -1 -1", p.listed(offsetsOf(version, -1, "none", -1)))
		twice := offsetsOf(version, -1, "t", -1)
		twice.Topics[0].Partitions = append(twice.Topics[0].Partitions, twice.Topics[0].Partitions[0])
		require.Equal(t, "42 -1 -1 -1", p.listed(twice))
	}
	require.Equal(t, "0 [3 0]", p.listed(offsetsOf(0, -1, "t", -1)))
	require.Equal(t, "0 [0]", p.listed(offsetsOf(0, -1, "t", -2)))
	require.Equal(t, "0 []", p.listed(offsetsOf(0, -1, "t", 0)))
	require.Equal(t, "3 []", p.listed(offsetsOf(0, -1, "none", 0)))

	fenced := offsetsOf(6, -1, "t", -1)
	fenced.Topics[0].Partitions[0].CurrentLeaderEpoch = 2
	require.Equal(t, "74 -1 -1 -1", p.listed(fenced))
	fenced.Topics[0].Partitions[0].CurrentLeaderEpoch = 4
	require.Equal(t, "75 -1 -1 -1", p.listed(fenced))
}

// A new leader that does not know yet how much its predecessor committed says
// so to consumers (KIP-207).
func TestListOffsetsOfALeaderThatLags(t *testing.T) {
	p := newDataPlane(t)
	p.assign("t", 1, 0, 1, []int32{1, 2}, []int32{1, 2})
	p.put1("t", "x")
	require.Equal(t, "0 0 -1 0", p.listed(offsetsOf(5, -1, "t", -1)), "consumers see the high watermark")
	require.Equal(t, "0 1 -1 0", p.listed(offsetsOf(5, 2, "t", -1)), "followers the end")
	require.Equal(t, "0 -1 -1 -1", p.listed(offsetsOf(5, -1, "t", 5)), "nothing below the high watermark")
	p.assign("t", 1, 1, 1, []int32{1, 2}, []int32{1, 2})
	require.Equal(t, "78 -1 -1 -1", p.listed(offsetsOf(5, -1, "t", -1)))
	require.Equal(t, "5 -1 -1 -1", p.listed(offsetsOf(4, -1, "t", -1)))
	require.Equal(t, "78 -1 -1 -1", p.listed(offsetsOf(5, -1, "t", 5)))
	require.Equal(t, "0 0 -1 0", p.listed(offsetsOf(5, -1, "t", -2)))
	require.Equal(t, "0 1 -1 1", p.listed(offsetsOf(5, -2, "t", -1)))

	p.assign("t", 1, 2, 2, []int32{1, 2}, []int32{1, 2})
	require.Equal(t, "6 -1 -1 -1", p.listed(offsetsOf(5, -1, "t", -1)))
	require.Equal(t, "0 1 -1 2", p.listed(offsetsOf(5, -2, "t", -1)), "a debugging consumer asks anybody")
}

func TestOffsetForLeaderEpoch(t *testing.T) {
	p := newDataPlane(t)
	p.assign("t", 1, 0, 1, []int32{1}, []int32{1})
	p.put("t", 0, "a", "b")
	p.assign("t", 1, 2, 1, []int32{1}, []int32{1})
	p.put("t", 0, "c")
	ask := func(version int16, topic string, current, epoch int32) string {
		req := kmsg.NewPtrOffsetForLeaderEpochRequest()
		req.Version = version
		part := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
		part.CurrentLeaderEpoch, part.LeaderEpoch = current, epoch
		req.Topics = []kmsg.OffsetForLeaderEpochRequestTopic{{Topic: topic, Partitions: []kmsg.OffsetForLeaderEpochRequestTopicPartition{part}}}
		answer := p.ask(req).(*kmsg.OffsetForLeaderEpochResponse).Topics[0].Partitions[0]
		return fmt.Sprint(answer.ErrorCode, answer.LeaderEpoch, answer.EndOffset)
	}
	for version := int16(1); version <= 4; version++ {
		require.Equal(t, "0 -1 -1", ask(version, "t", -1, -1))
		require.Equal(t, "0 0 2", ask(version, "t", -1, 0))
		require.Equal(t, "0 0 2", ask(version, "t", -1, 1))
		require.Equal(t, "0 2 3", ask(version, "t", -1, 2))
		require.Equal(t, "0 -1 -1", ask(version, "t", -1, 5))
		require.Equal(t, "3 -1 -1", ask(version, "none", -1, 5))
	}
	require.Equal(t, "74 -1 -1", ask(2, "t", 1, 0))
	require.Equal(t, "75 -1 -1", ask(2, "t", 3, 0))
	require.Equal(t, "0 0 2", ask(2, "t", 2, 0))
	p.assign("t", 1, 3, 2, []int32{2}, []int32{1, 2})
	require.Equal(t, "6 -1 -1", ask(4, "t", -1, 0))
}

// The answers of a running 2.8 broker, apis.md 14: current epoch 0, end 42.
func TestOffsetsGolden(t *testing.T) {
	p := newDataPlane(t)
	p.lead("t", 1)
	for range 42 {
		p.put("t", 0, "x")
	}
	epoch := func(version int16, e int32) string {
		req := kmsg.NewPtrOffsetForLeaderEpochRequest()
		req.Version = version
		req.Topics = []kmsg.OffsetForLeaderEpochRequestTopic{{Topic: "t", Partitions: []kmsg.OffsetForLeaderEpochRequestTopicPartition{{LeaderEpoch: e}}}}
		return hex.EncodeToString(collect(t, p.answer(req)))
	}
	head := "00000001" + "000174" + "00000001"
	require.Equal(t, head+"0000"+"00000000"+"000000000000002a", epoch(0, 0))
	require.Equal(t, head+"0000"+"00000000"+"ffffffff"+"ffffffffffffffff", epoch(1, 5))
	latest := offsetsOf(0, -1, "t", -1)
	latest.Topics[0].Partitions[0].MaxNumOffsets = 1
	require.Equal(t, head+"00000000"+"0000"+"00000001"+"000000000000002a", hex.EncodeToString(collect(t, p.answer(latest))))
}
