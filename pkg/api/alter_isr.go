package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/controller"
	"gregor/pkg/kerr"
	"gregor/pkg/model"
	"gregor/pkg/wire"
)

// AlterIsr, key 56 (KIP-497), from a leader that wants its ISR changed. Later
// releases call it AlterPartition.
//
//	v0  broker id and epoch; by partition the leader epoch, the new ISR and
//	    the version of the state that the leader knows; flexible
//
// Only the controller answers. A partition's answer has the state as it is
// then, also when nothing had to be changed.
func (t *Topics) alterISR() Handler {
	return Typed(kmsg.NewPtrAlterPartitionRequest, func(ctx context.Context, _ *wire.Request, req *kmsg.AlterPartitionRequest) kmsg.Response {
		resp := kmsg.NewPtrAlterPartitionResponse()
		results, err := t.Controller.AlterISR(ctx, model.BrokerID(req.BrokerID), model.BrokerEpoch(req.BrokerEpoch), isrChanges(req))
		resp.ErrorCode = kerr.Code(err)
		for _, r := range results {
			if n := len(resp.Topics); n == 0 || resp.Topics[n-1].Topic != r.Topic {
				topic := kmsg.NewAlterPartitionResponseTopic()
				topic.Topic = r.Topic
				resp.Topics = append(resp.Topics, topic)
			}
			topic := &resp.Topics[len(resp.Topics)-1]
			topic.Partitions = append(topic.Partitions, isrAnswer(r))
		}
		return resp
	})
}

func isrChanges(req *kmsg.AlterPartitionRequest) []controller.ISRChange {
	var changes []controller.ISRChange
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			isr := make([]model.BrokerID, len(p.NewISR))
			for i, id := range p.NewISR {
				isr[i] = model.BrokerID(id)
			}
			changes = append(changes, controller.ISRChange{
				TopicPartition: model.TopicPartition{Topic: t.Topic, Partition: p.Partition},
				LeaderEpoch:    model.LeaderEpoch(p.LeaderEpoch), ISR: isr, Version: model.PartitionEpoch(p.PartitionEpoch)})
		}
	}
	return changes
}

func isrAnswer(r controller.ISRResult) kmsg.AlterPartitionResponseTopicPartition {
	one := kmsg.NewAlterPartitionResponseTopicPartition()
	one.Partition, one.ErrorCode = r.Partition, kerr.Code(r.Err)
	if r.Err != nil {
		return one
	}
	one.LeaderID, one.LeaderEpoch, one.PartitionEpoch = int32(r.State.Leader), int32(r.State.LeaderEpoch), int32(r.State.ZkVersion)
	one.ISR = make([]int32, len(r.State.ISR))
	for i, id := range r.State.ISR {
		one.ISR[i] = int32(id)
	}
	return one
}
