package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/kerr"
	"gregor/pkg/model"
	"gregor/pkg/replica"
	"gregor/pkg/wire"
)

// LeaderAndIsr (key 4), versions 0 to 5: which partitions this broker leads or
// follows.
//
//	1  + which partitions are new
//	2  + broker epoch (KIP-380); partitions by topic
//	3  + replicas being added and removed (KIP-455)
//	4  flexible
//	5  + topic ids (KIP-516); the answer goes by id
func (c *ControlPlane) leaderAndIsr(_ context.Context, r *wire.Request, req *kmsg.LeaderAndISRRequest) kmsg.Response {
	resp := kmsg.NewPtrLeaderAndISRResponse()
	results, err := c.Replicas.BecomeLeaderOrFollower(req, r.CorrelationID)
	if err != nil {
		resp.ErrorCode = kerr.Code(err)
		results = refusedPartitions(req, err)
	}
	if r.Version < 5 {
		for _, result := range results {
			resp.Partitions = append(resp.Partitions, leaderAndIsrPartition(result))
		}
		return resp
	}
	for _, t := range req.TopicStates {
		topic := kmsg.NewLeaderAndISRResponseTopic()
		topic.TopicID = t.TopicID
		for range t.PartitionStates { // the results are in the order of the request
			topic.Partitions = append(topic.Partitions, leaderAndIsrPartition(results[0]))
			results = results[1:]
		}
		resp.Topics = append(resp.Topics, topic)
	}
	return resp
}

func leaderAndIsrPartition(result replica.PartitionResult) kmsg.LeaderAndISRResponseTopicPartition {
	p := kmsg.NewLeaderAndISRResponseTopicPartition()
	p.Topic, p.Partition = result.Topic, result.Partition
	p.ErrorCode = kerr.Code(result.Err)
	return p
}

// refusedPartitions gives every partition of a refused request its error.
func refusedPartitions(req *kmsg.LeaderAndISRRequest, err error) []replica.PartitionResult {
	var results []replica.PartitionResult
	add := func(topic string, partition int32) {
		results = append(results, replica.PartitionResult{TopicPartition: model.TopicPartition{Topic: topic, Partition: partition}, Err: err})
	}
	for i := range req.PartitionStates {
		add(req.PartitionStates[i].Topic, req.PartitionStates[i].Partition)
	}
	for i := range req.TopicStates {
		for j := range req.TopicStates[i].PartitionStates {
			add(req.TopicStates[i].Topic, req.TopicStates[i].PartitionStates[j].Partition)
		}
	}
	return results
}
