package api

import (
	"context"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/kerr"
	"gregor/pkg/model"
	"gregor/pkg/wire"
)

// AlterPartitionReassignments, key 45 (KIP-455).
//
//	v0  by partition the replicas that it is to have, null to cancel; flexible
//
// Only the controller answers. It answers when the reassignments have begun,
// not when they are over, so the request's timeout plays no part.
func (t *Topics) alterPartitionReassignments() Handler {
	return Typed(kmsg.NewPtrAlterPartitionAssignmentsRequest, func(ctx context.Context, _ *wire.Request, req *kmsg.AlterPartitionAssignmentsRequest) kmsg.Response {
		resp := kmsg.NewPtrAlterPartitionAssignmentsResponse()
		targets := map[model.TopicPartition][]model.BrokerID{}
		for _, topic := range req.Topics {
			for _, p := range topic.Partitions {
				targets[model.TopicPartition{Topic: topic.Topic, Partition: p.Partition}] = targetOf(p.Replicas)
			}
		}
		failed, err := t.Controller.AlterReassignments(ctx, targets)
		if err != nil {
			resp.ErrorCode, resp.ErrorMessage = kerr.Code(err), kerr.Message(err)
			return resp
		}
		for _, tp := range slices.SortedFunc(maps.Keys(targets), model.TopicPartition.Compare) {
			if n := len(resp.Topics); n == 0 || resp.Topics[n-1].Topic != tp.Topic {
				topic := kmsg.NewAlterPartitionAssignmentsResponseTopic()
				topic.Topic = tp.Topic
				resp.Topics = append(resp.Topics, topic)
			}
			one := kmsg.NewAlterPartitionAssignmentsResponseTopicPartition()
			one.Partition, one.ErrorCode, one.ErrorMessage = tp.Partition, kerr.Code(failed[tp]), kerr.Message(failed[tp])
			topic := &resp.Topics[len(resp.Topics)-1]
			topic.Partitions = append(topic.Partitions, one)
		}
		return resp
	})
}

// targetOf keeps null and an empty list apart.
func targetOf(replicas []int32) []model.BrokerID {
	if replicas == nil {
		return nil
	}
	ids := make([]model.BrokerID, len(replicas))
	for i, id := range replicas {
		ids[i] = model.BrokerID(id)
	}
	return ids
}
