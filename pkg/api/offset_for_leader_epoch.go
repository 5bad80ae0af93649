package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/kerr"
	"gregor/pkg/model"
	"gregor/pkg/wire"
)

// OffsetForLeaderEpoch (key 23), versions 0 to 4: where an epoch ends in the
// leader's log, for followers and consumers that look for a divergence.
//
//	1  + the epoch that was found (KIP-279)
//	2  + current leader epoch, throttle time (KIP-320)
//	3  + replica id
//	4  flexible
func (d *Data) offsetForLeaderEpoch(_ context.Context, _ *wire.Request, req *kmsg.OffsetForLeaderEpochRequest) kmsg.Response {
	resp := kmsg.NewPtrOffsetForLeaderEpochResponse()
	for _, t := range req.Topics {
		topic := kmsg.NewOffsetForLeaderEpochResponseTopic()
		topic.Topic = t.Topic
		for _, p := range t.Partitions {
			tp := model.TopicPartition{Topic: t.Topic, Partition: p.Partition}
			end, err := d.replicas.EndOfEpoch(tp, model.LeaderEpoch(p.CurrentLeaderEpoch), model.LeaderEpoch(p.LeaderEpoch))
			answer := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
			answer.Partition = p.Partition
			answer.ErrorCode = kerr.Code(err)
			answer.LeaderEpoch, answer.EndOffset = int32(end.Epoch), end.Offset
			topic.Partitions = append(topic.Partitions, answer)
		}
		resp.Topics = append(resp.Topics, topic)
	}
	return resp
}
