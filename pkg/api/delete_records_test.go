package api

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/kerr"
)

func TestDeleteRecords(t *testing.T) {
	p := newDataPlane(t)
	p.lead("t", 2)
	p.put("t", 0, "a", "b", "c")
	ask := func(version int16, topic string, partitions ...kmsg.DeleteRecordsRequestTopicPartition) []kmsg.DeleteRecordsResponseTopic {
		req := kmsg.NewPtrDeleteRecordsRequest()
		req.Version = version
		req.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: topic, Partitions: partitions}, {Topic: "nowhere", Partitions: partitions[:1]}}
		return p.ask(req).(*kmsg.DeleteRecordsResponse).Topics
	}
	for version := int16(0); version <= 2; version++ {
		got := ask(version, "t",
			kmsg.DeleteRecordsRequestTopicPartition{Partition: 1, Offset: 1},
			kmsg.DeleteRecordsRequestTopicPartition{Partition: 0, Offset: 99},
			kmsg.DeleteRecordsRequestTopicPartition{Partition: 0, Offset: int64(version) + 1}, // the last one counts
			kmsg.DeleteRecordsRequestTopicPartition{Partition: 7, Offset: 0})
		require.Equal(t, []kmsg.DeleteRecordsResponseTopic{
			{Topic: "nowhere", Partitions: []kmsg.DeleteRecordsResponseTopicPartition{{Partition: 1, LowWatermark: -1, ErrorCode: kerr.UnknownTopicOrPartition.Code}}},
			{Topic: "t", Partitions: []kmsg.DeleteRecordsResponseTopicPartition{
				{Partition: 0, LowWatermark: int64(version) + 1},
				{Partition: 1, LowWatermark: -1, ErrorCode: kerr.OffsetOutOfRange.Code},
				{Partition: 7, LowWatermark: -1, ErrorCode: kerr.UnknownTopicOrPartition.Code},
			}},
		}, got)
	}
	require.Equal(t, kerr.OffsetOutOfRange.Code, p.fetched(fetchOf(12, "t", 0, 2)).ErrorCode)
	got := p.fetched(fetchOf(12, "t", 0, 3))
	require.Equal(t, int64(3), got.LogStartOffset)
	empty := kmsg.NewPtrDeleteRecordsRequest()
	empty.Version = 2
	require.Empty(t, p.ask(empty).(*kmsg.DeleteRecordsResponse).Topics)
}
