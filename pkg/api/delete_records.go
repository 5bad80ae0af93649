package api

import (
	"context"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/kerr"
	"gregor/pkg/model"
	"gregor/pkg/replica"
	"gregor/pkg/wire"
)

// DeleteRecords (key 21), versions 0 to 2: everything below an offset is
// deleted (KIP-107).
//
//	1  the client waits out a throttle
//	2  flexible
//
// Offset -1 is the high watermark. The answer comes when every live replica
// has followed, or the request's time is over; it tells the smallest log start
// offset among them.
//
// What surprises: of a partition that is named more than once only the last
// offset counts, and it is answered once.
func (d *Data) deleteRecords(ctx context.Context, _ *wire.Request, req *kmsg.DeleteRecordsRequest) kmsg.Response {
	deletions, refused := d.deletions(req)
	d.replicas.DeleteRecords(ctx, time.Duration(req.TimeoutMillis)*time.Millisecond, deletions)
	return deletionsAnswer(append(deletions, refused...))
}

// deletions reads the request; refused are the partitions that the cluster
// does not have.
func (d *Data) deletions(req *kmsg.DeleteRecordsRequest) (deletions, refused []replica.Deletion) {
	offsets := map[model.TopicPartition]int64{}
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			offsets[model.TopicPartition{Topic: t.Topic, Partition: p.Partition}] = p.Offset
		}
	}
	cluster := d.metadata.Snapshot()
	for tp, offset := range offsets {
		if cluster.Contains(tp) {
			deletions = append(deletions, replica.Deletion{TopicPartition: tp, Offset: offset})
		} else {
			refused = append(refused, replica.Deletion{TopicPartition: tp, LowWatermark: -1, Err: kerr.UnknownTopicOrPartition})
		}
	}
	return deletions, refused
}

func deletionsAnswer(deletions []replica.Deletion) *kmsg.DeleteRecordsResponse {
	slices.SortFunc(deletions, func(a, b replica.Deletion) int { return a.Compare(b.TopicPartition) })
	resp := kmsg.NewPtrDeleteRecordsResponse()
	for _, done := range deletions {
		if n := len(resp.Topics); n == 0 || resp.Topics[n-1].Topic != done.Topic {
			topic := kmsg.NewDeleteRecordsResponseTopic()
			topic.Topic = done.Topic
			resp.Topics = append(resp.Topics, topic)
		}
		p := kmsg.NewDeleteRecordsResponseTopicPartition()
		p.Partition, p.LowWatermark, p.ErrorCode = done.Partition, done.LowWatermark, kerr.Code(done.Err)
		last := &resp.Topics[len(resp.Topics)-1]
		last.Partitions = append(last.Partitions, p)
	}
	return resp
}
