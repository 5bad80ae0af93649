package api

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/kerr"
	"gregor/pkg/model"
	"gregor/pkg/replica"
	"gregor/pkg/wire"
)

// AlterReplicaLogDirs (key 34), versions 0 to 2: replicas of this broker move
// to other log directories of it (KIP-113).
//
//	1  the client waits out a throttle
//	2  flexible
//
// The answer does not wait for the moves; DescribeLogDirs shows how far they
// are. For a partition that is not here yet the answer is
// REPLICA_NOT_AVAILABLE, and the directory is remembered for when it comes.
//
// What surprises: of a partition that is named more than once only the last
// directory counts.
func (c *Cluster) alterReplicaLogDirs(_ context.Context, _ *wire.Request, req *kmsg.AlterReplicaLogDirsRequest) kmsg.Response {
	dirs := map[model.TopicPartition]string{}
	for _, d := range req.Dirs {
		for _, t := range d.Topics {
			for _, p := range t.Partitions {
				dirs[model.TopicPartition{Topic: t.Topic, Partition: p}] = d.Dir
			}
		}
	}
	moves := make([]replica.LogDirMove, 0, len(dirs))
	for tp, dir := range dirs {
		moves = append(moves, replica.LogDirMove{TopicPartition: tp, Dir: dir})
	}
	slices.SortFunc(moves, func(a, b replica.LogDirMove) int { return a.Compare(b.TopicPartition) })
	c.Replicas.AlterLogDirs(moves)

	resp := kmsg.NewPtrAlterReplicaLogDirsResponse()
	for _, move := range moves {
		if n := len(resp.Topics); n == 0 || resp.Topics[n-1].Topic != move.Topic {
			topic := kmsg.NewAlterReplicaLogDirsResponseTopic()
			topic.Topic = move.Topic
			resp.Topics = append(resp.Topics, topic)
		}
		p := kmsg.NewAlterReplicaLogDirsResponseTopicPartition()
		p.Partition, p.ErrorCode = move.Partition, kerr.Code(move.Err)
		last := &resp.Topics[len(resp.Topics)-1]
		last.Partitions = append(last.Partitions, p)
	}
	return resp
}
