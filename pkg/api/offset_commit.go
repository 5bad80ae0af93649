package api

// OffsetCommit, key 8, v0-8.
//
//	v1: generation and member id, commit time of each partition
//	v2: retention time instead   v3: throttle time   v4: throttled by the
//	client   v5: no retention time (KIP-211)   v6: leader epoch (KIP-320)
//	v7: group.instance.id (KIP-345)   v8: flexible
//
// What surprises: v0 writes to ZooKeeper, below /consumers, where v1 and
// later do not look, and drops the metadata; partitions that do not exist
// fail alone and the others are committed.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/kerr"
	"gregor/pkg/model"
	"gregor/pkg/wire"
)

func (h *Groups) offsetCommit(ctx context.Context, r *wire.Request, req *kmsg.OffsetCommitRequest) kmsg.Response {
	known, refused := h.splitCommit(req)
	var resp *kmsg.OffsetCommitResponse
	switch {
	case req.InstanceID != nil && !h.StaticMembers:
		resp = commitAnswer(req, func(model.TopicPartition, kmsg.OffsetCommitRequestTopicPartition) *kerr.Error {
			return kerr.UnsupportedVersion
		})
		return resp
	case len(known.Topics) == 0:
		resp = kmsg.NewPtrOffsetCommitResponse()
	case r.Version == 0:
		resp = h.commitToZooKeeper(ctx, known)
	default:
		resp = h.Coordinator.OffsetCommit(ctx, known)
	}
	return inOrderOf(req, resp, refused)
}

// splitCommit separates the partitions that exist from those that do not.
func (h *Groups) splitCommit(req *kmsg.OffsetCommitRequest) (known *kmsg.OffsetCommitRequest, refused map[model.TopicPartition]bool) {
	copied := *req
	known, refused = &copied, map[model.TopicPartition]bool{}
	known.Topics = nil
	for _, t := range req.Topics {
		topic := t
		topic.Partitions = nil
		for _, p := range t.Partitions {
			tp := model.TopicPartition{Topic: t.Topic, Partition: p.Partition}
			if h.Cluster.HasPartition(tp) {
				topic.Partitions = append(topic.Partitions, p)
			} else {
				refused[tp] = true
			}
		}
		if len(topic.Partitions) > 0 {
			known.Topics = append(known.Topics, topic)
		}
	}
	return known, refused
}

// inOrderOf puts the answers of both kinds of partitions into the order of
// the request.
func inOrderOf(req *kmsg.OffsetCommitRequest, answered *kmsg.OffsetCommitResponse, refused map[model.TopicPartition]bool) *kmsg.OffsetCommitResponse {
	codes := map[model.TopicPartition]int16{}
	for _, t := range answered.Topics {
		for _, p := range t.Partitions {
			codes[model.TopicPartition{Topic: t.Topic, Partition: p.Partition}] = p.ErrorCode
		}
	}
	return commitAnswer(req, func(tp model.TopicPartition, _ kmsg.OffsetCommitRequestTopicPartition) *kerr.Error {
		if refused[tp] {
			return kerr.UnknownTopicOrPartition
		}
		return kerr.ForCode(codes[tp])
	})
}

func commitAnswer(req *kmsg.OffsetCommitRequest, outcome func(model.TopicPartition, kmsg.OffsetCommitRequestTopicPartition) *kerr.Error) *kmsg.OffsetCommitResponse {
	resp := kmsg.NewPtrOffsetCommitResponse()
	for _, t := range req.Topics {
		topic := kmsg.NewOffsetCommitResponseTopic()
		topic.Topic = t.Topic
		for _, p := range t.Partitions {
			row := kmsg.NewOffsetCommitResponseTopicPartition()
			row.Partition = p.Partition
			if err := outcome(model.TopicPartition{Topic: t.Topic, Partition: p.Partition}, p); err != nil {
				row.ErrorCode = err.Code
			}
			topic.Partitions = append(topic.Partitions, row)
		}
		resp.Topics = append(resp.Topics, topic)
	}
	return resp
}

func (h *Groups) commitToZooKeeper(ctx context.Context, req *kmsg.OffsetCommitRequest) *kmsg.OffsetCommitResponse {
	return commitAnswer(req, func(tp model.TopicPartition, p kmsg.OffsetCommitRequestTopicPartition) *kerr.Error {
		if p.Metadata != nil && !h.Coordinator.TakesMetadata(*p.Metadata) {
			return kerr.OffsetMetadataTooLarge
		}
		return kerr.Of(h.Consumers.SetConsumerOffset(ctx, req.Group, tp, p.Offset))
	})
}
