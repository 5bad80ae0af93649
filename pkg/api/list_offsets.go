package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/kerr"
	"gregor/pkg/model"
	"gregor/pkg/replica"
	"gregor/pkg/wire"
)

// ListOffsets (key 2), versions 0 to 6: offsets by time.
//
//	0  a list of offsets, segment by segment
//	1  one offset, and the timestamp found there (KIP-79)
//	2  + isolation level, throttle time in the answer
//	4  + leader epochs (KIP-320)
//	5  OFFSET_NOT_AVAILABLE instead of LEADER_NOT_AVAILABLE (KIP-207)
//	6  flexible
//
// Timestamp -1 asks for the end, -2 for the start; any other negative one is
// a plain search, which finds the first record. Nothing found is offset -1
// without an error.
func (d *Data) listOffsets(_ context.Context, r *wire.Request, req *kmsg.ListOffsetsRequest) kmsg.Response {
	resp := kmsg.NewPtrListOffsetsResponse()
	repeated := repeatedOffsets(req)
	for _, t := range req.Topics {
		topic := kmsg.NewListOffsetsResponseTopic()
		topic.Topic = t.Topic
		for _, p := range t.Partitions {
			q := replica.OffsetQuery{
				TopicPartition: model.TopicPartition{Topic: t.Topic, Partition: p.Partition},
				Timestamp:      p.Timestamp,
				LeaderEpoch:    model.LeaderEpoch(p.CurrentLeaderEpoch),
				LeaderOnly:     model.BrokerID(req.ReplicaID) != replica.DebugID,
				Client:         model.BrokerID(req.ReplicaID) == replica.ConsumerID,
				Isolation:      isolationOf(replica.ConsumerID, req.IsolationLevel),
			}
			if r.Version == 0 {
				topic.Partitions = append(topic.Partitions, d.legacyOffsets(q, int(p.MaxNumOffsets)))
			} else {
				topic.Partitions = append(topic.Partitions, d.offset(r.Version, q, repeated[q.TopicPartition]))
			}
		}
		resp.Topics = append(resp.Topics, topic)
	}
	return resp
}

// offset answers for one partition, from version 1 on.
func (d *Data) offset(version int16, q replica.OffsetQuery, repeated bool) kmsg.ListOffsetsResponseTopicPartition {
	p := kmsg.NewListOffsetsResponseTopicPartition()
	p.Partition = q.Partition
	if repeated {
		p.ErrorCode = kerr.InvalidRequest.Code
		return p
	}
	found, err := d.replicas.OffsetForTimestamp(q)
	if version < 5 && kerr.Of(err) == kerr.OffsetNotAvailable {
		err = kerr.LeaderNotAvailable
	}
	p.ErrorCode = kerr.Code(err)
	p.Timestamp, p.Offset, p.LeaderEpoch = found.Timestamp, found.Offset, int32(found.LeaderEpoch)
	return p
}

func (d *Data) legacyOffsets(q replica.OffsetQuery, limit int) kmsg.ListOffsetsResponseTopicPartition {
	q.LeaderEpoch = model.NoLeaderEpoch
	offsets, err := d.replicas.LegacyOffsets(q, max(0, limit))
	p := kmsg.NewListOffsetsResponseTopicPartition()
	p.Partition = q.Partition
	p.ErrorCode = kerr.Code(err)
	p.OldStyleOffsets = offsets
	return p
}

// repeatedOffsets finds the partitions that a request names more than once.
func repeatedOffsets(req *kmsg.ListOffsetsRequest) map[model.TopicPartition]bool {
	named := map[model.TopicPartition]bool{} // true when named again
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			tp := model.TopicPartition{Topic: t.Topic, Partition: p.Partition}
			_, again := named[tp]
			named[tp] = again
		}
	}
	return named
}
