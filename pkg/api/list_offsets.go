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
func (d *Data) listOffsets(ctx context.Context, r *wire.Request) wire.Answer {
	return Typed(kmsg.NewPtrListOffsetsRequest, d.answerListOffsets)(ctx, r)
}

func (d *Data) answerListOffsets(_ context.Context, r *wire.Request, req *kmsg.ListOffsetsRequest) kmsg.Response {
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
				continue
			}
			if repeated[q.TopicPartition] {
				topic.Partitions = append(topic.Partitions, offsetAnswer(q, replica.TimestampOffset{Timestamp: -1, Offset: -1, LeaderEpoch: -1}, kerr.InvalidRequest))
				continue
			}
			found, err := d.replicas.OffsetForTimestamp(q)
			if r.Version < 5 && kerr.Of(err) == kerr.OffsetNotAvailable {
				err = kerr.LeaderNotAvailable
			}
			topic.Partitions = append(topic.Partitions, offsetAnswer(q, found, err))
		}
		resp.Topics = append(resp.Topics, topic)
	}
	return resp
}

func offsetAnswer(q replica.OffsetQuery, found replica.TimestampOffset, err error) kmsg.ListOffsetsResponseTopicPartition {
	p := kmsg.NewListOffsetsResponseTopicPartition()
	p.Partition = q.Partition
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
