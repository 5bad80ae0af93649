package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/kerr"
	"gregor/pkg/logmanager"
	"gregor/pkg/model"
	"gregor/pkg/wire"
)

// DescribeLogDirs (key 35), versions 0 to 2: which replicas lie in which log
// directory, and how large they are (KIP-113).
//
//	1  the client waits out a throttle
//	2  flexible
//
// What surprises: a topic of which the request names no partition is listed
// all the same, with no partitions, as Kafka does it.
func (c *Cluster) describeLogDirs(_ context.Context, _ *wire.Request, req *kmsg.DescribeLogDirsRequest) kmsg.Response {
	resp := kmsg.NewPtrDescribeLogDirsResponse()
	wanted := wantedPartitions(req)
	for _, dir := range c.Replicas.DescribeDirs() {
		answer := kmsg.NewDescribeLogDirsResponseDir()
		answer.Dir = dir.Dir
		if dir.Offline {
			answer.ErrorCode = kerr.KafkaStorageError.Code
		} else {
			answer.Topics = c.describeLogs(dir.Logs, wanted)
		}
		resp.Dirs = append(resp.Dirs, answer)
	}
	return resp
}

// wantedPartitions are those that a request names; nil for all.
func wantedPartitions(req *kmsg.DescribeLogDirsRequest) map[model.TopicPartition]bool {
	if req.Topics == nil {
		return nil
	}
	wanted := map[model.TopicPartition]bool{}
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			wanted[model.TopicPartition{Topic: t.Topic, Partition: p}] = true
		}
	}
	return wanted
}

// describeLogs groups the logs of a directory, which are in order, by topic.
func (c *Cluster) describeLogs(logs []logmanager.LogDescription, wanted map[model.TopicPartition]bool) []kmsg.DescribeLogDirsResponseDirTopic {
	var topics []kmsg.DescribeLogDirsResponseDirTopic
	for _, log := range logs {
		tp := log.Partition
		if len(topics) == 0 || topics[len(topics)-1].Topic != tp.Topic {
			topic := kmsg.NewDescribeLogDirsResponseDirTopic()
			topic.Topic = tp.Topic
			topics = append(topics, topic)
		}
		if wanted != nil && !wanted[tp] {
			continue
		}
		p := kmsg.NewDescribeLogDirsResponseDirTopicPartition()
		p.Partition, p.Size, p.OffsetLag, p.IsFuture = tp.Partition, log.Size, c.offsetLag(log), log.Future
		last := &topics[len(topics)-1]
		last.Partitions = append(last.Partitions, p)
	}
	return topics
}

// offsetLag is how far a log is behind what is committed, and a copy behind
// the log that it is to replace; -1 for a log that serves no partition.
func (c *Cluster) offsetLag(log logmanager.LogDescription) int64 {
	p, err := c.Replicas.Partition(log.Partition)
	if err != nil {
		return -1
	}
	current := p.Log()
	if current == nil {
		return -1
	}
	if log.Future {
		return current.LogEndOffset() - log.LogEnd
	}
	return max(0, current.HighWatermark()-log.LogEnd)
}
