package api

// OffsetDelete, key 47, v0 (KIP-496).
//
// What surprises: offsets of topics that a member is subscribed to stay,
// GROUP_SUBSCRIBED_TO_TOPIC; partitions that do not exist are answered
// UNKNOWN_TOPIC_OR_PARTITION, and deleting an offset that is not there
// succeeds.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/kerr"
	"gregor/pkg/model"
	"gregor/pkg/wire"
)

func (h *Groups) offsetDelete(_ context.Context, _ *wire.Request, req *kmsg.OffsetDeleteRequest) kmsg.Response {
	known := *req
	known.Topics = nil
	var unknown []kmsg.OffsetDeleteResponseTopic
	for _, t := range req.Topics {
		there, missing := t, kmsg.NewOffsetDeleteResponseTopic()
		there.Partitions, missing.Topic = nil, t.Topic
		for _, p := range t.Partitions {
			if h.Cluster.HasPartition(model.TopicPartition{Topic: t.Topic, Partition: p.Partition}) {
				there.Partitions = append(there.Partitions, p)
				continue
			}
			row := kmsg.NewOffsetDeleteResponseTopicPartition()
			row.Partition, row.ErrorCode = p.Partition, kerr.UnknownTopicOrPartition.Code
			missing.Partitions = append(missing.Partitions, row)
		}
		if len(there.Partitions) > 0 {
			known.Topics = append(known.Topics, there)
		}
		if len(missing.Partitions) > 0 {
			unknown = append(unknown, missing)
		}
	}
	resp := h.Coordinator.OffsetDelete(&known)
	if resp.ErrorCode == 0 {
		resp.Topics = append(resp.Topics, unknown...)
	}
	return resp
}
