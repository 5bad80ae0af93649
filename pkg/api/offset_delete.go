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
	for _, t := range req.Topics {
		there := t
		there.Partitions = nil
		for _, p := range t.Partitions {
			if h.Cluster.HasPartition(model.TopicPartition{Topic: t.Topic, Partition: p.Partition}) {
				there.Partitions = append(there.Partitions, p)
			}
		}
		if len(there.Partitions) > 0 {
			known.Topics = append(known.Topics, there)
		}
	}
	resp := h.Coordinator.OffsetDelete(&known)
	if resp.ErrorCode == 0 {
		resp.Topics = deleteAnswers(req, resp.Topics)
	}
	return resp
}

// deleteAnswers adds the partitions that do not exist, in the order of the
// request.
func deleteAnswers(req *kmsg.OffsetDeleteRequest, answered []kmsg.OffsetDeleteResponseTopic) []kmsg.OffsetDeleteResponseTopic {
	codes := map[model.TopicPartition]int16{}
	for _, t := range answered {
		for _, p := range t.Partitions {
			codes[model.TopicPartition{Topic: t.Topic, Partition: p.Partition}] = p.ErrorCode
		}
	}
	var all []kmsg.OffsetDeleteResponseTopic
	for _, t := range req.Topics {
		topic := kmsg.NewOffsetDeleteResponseTopic()
		topic.Topic = t.Topic
		for _, p := range t.Partitions {
			row := kmsg.NewOffsetDeleteResponseTopicPartition()
			row.Partition, row.ErrorCode = p.Partition, kerr.UnknownTopicOrPartition.Code
			if code, known := codes[model.TopicPartition{Topic: t.Topic, Partition: p.Partition}]; known {
				row.ErrorCode = code
			}
			topic.Partitions = append(topic.Partitions, row)
		}
		all = append(all, topic)
	}
	return all
}
