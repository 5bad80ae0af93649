package api

// OffsetFetch, key 9, v0-7.
//
//	v1: from __consumer_offsets instead of ZooKeeper   v2: all partitions
//	(no topics), error of the whole   v3: throttle time   v4: throttled by
//	the client   v5: leader epoch (KIP-320)   v6: flexible   v7: require
//	stable offsets (KIP-447)
//
// What surprises: a partition without an offset is answered with -1 and no
// error, only v0 says UNKNOWN_TOPIC_OR_PARTITION; nobody checks that the
// partition exists, except v0.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/kerr"
	"gregor/pkg/model"
	"gregor/pkg/wire"
)

func (h *Groups) offsetFetch(ctx context.Context, r *wire.Request, req *kmsg.OffsetFetchRequest) kmsg.Response {
	if r.Version == 0 {
		return h.fetchFromZooKeeper(ctx, req)
	}
	return h.Coordinator.OffsetFetch(req)
}

func (h *Groups) fetchFromZooKeeper(ctx context.Context, req *kmsg.OffsetFetchRequest) *kmsg.OffsetFetchResponse {
	resp := kmsg.NewPtrOffsetFetchResponse()
	for _, t := range req.Topics {
		topic := kmsg.NewOffsetFetchResponseTopic()
		topic.Topic = t.Topic
		for _, p := range t.Partitions {
			topic.Partitions = append(topic.Partitions, h.fetchOldOffset(ctx, req.Group, model.TopicPartition{Topic: t.Topic, Partition: p}))
		}
		resp.Topics = append(resp.Topics, topic)
	}
	return resp
}

func (h *Groups) fetchOldOffset(ctx context.Context, groupID string, tp model.TopicPartition) kmsg.OffsetFetchResponseTopicPartition {
	row := kmsg.NewOffsetFetchResponseTopicPartition()
	none := ""
	row.Partition, row.Offset, row.Metadata = tp.Partition, -1, &none
	if !h.Cluster.HasPartition(tp) {
		row.ErrorCode = kerr.UnknownTopicOrPartition.Code
		return row
	}
	offset, found, err := h.Consumers.ConsumerOffset(ctx, groupID, tp)
	switch {
	case err != nil:
		row.ErrorCode = kerr.Code(err)
	case !found:
		row.ErrorCode = kerr.UnknownTopicOrPartition.Code
	default:
		row.Offset = offset
	}
	return row
}
