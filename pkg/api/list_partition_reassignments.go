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

// ListPartitionReassignments, key 46 (KIP-455).
//
//	v0  partitions by topic, null for all; flexible
//
// Only the controller answers. Partitions that are not being reassigned, or do
// not exist, are left out.
func (t *Topics) listPartitionReassignments() Handler {
	return Typed(kmsg.NewPtrListPartitionReassignmentsRequest, func(ctx context.Context, _ *wire.Request, req *kmsg.ListPartitionReassignmentsRequest) kmsg.Response {
		resp := kmsg.NewPtrListPartitionReassignmentsResponse()
		var asked []model.TopicPartition
		if req.Topics != nil {
			asked = []model.TopicPartition{}
		}
		for _, topic := range req.Topics {
			for _, p := range topic.Partitions {
				asked = append(asked, model.TopicPartition{Topic: topic.Topic, Partition: p})
			}
		}
		running, err := t.Controller.Reassignments(ctx, asked)
		resp.ErrorCode, resp.ErrorMessage = kerr.Code(err), kerr.Message(err)
		for _, tp := range slices.SortedFunc(maps.Keys(running), model.TopicPartition.Compare) {
			if n := len(resp.Topics); n == 0 || resp.Topics[n-1].Topic != tp.Topic {
				topic := kmsg.NewListPartitionReassignmentsResponseTopic()
				topic.Topic = tp.Topic
				resp.Topics = append(resp.Topics, topic)
			}
			one := kmsg.NewListPartitionReassignmentsResponseTopicPartition()
			a := running[tp]
			one.Partition, one.Replicas = tp.Partition, numbers(a.Replicas)
			one.AddingReplicas, one.RemovingReplicas = numbers(a.Adding), numbers(a.Removing)
			topic := &resp.Topics[len(resp.Topics)-1]
			topic.Partitions = append(topic.Partitions, one)
		}
		return resp
	})
}
