package api

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/kerr"
	"gregor/pkg/logmanager"
	"gregor/pkg/model"
)

func TestAlterReplicaLogDirs(t *testing.T) {
	offline := t.TempDir()
	p := newDataPlane(t, offline)
	p.lead("t", 2)
	p.put("t", 0, "a", "b")
	here := p.logs.LiveDirs()[0]
	dirs := func(dir string, topics ...kmsg.AlterReplicaLogDirsRequestDirTopic) kmsg.AlterReplicaLogDirsRequestDir {
		return kmsg.AlterReplicaLogDirsRequestDir{Dir: dir, Topics: topics}
	}
	of := func(topic string, partitions ...int32) kmsg.AlterReplicaLogDirsRequestDirTopic {
		return kmsg.AlterReplicaLogDirsRequestDirTopic{Topic: topic, Partitions: partitions}
	}
	for version := int16(0); version <= 2; version++ {
		req := kmsg.NewPtrAlterReplicaLogDirsRequest()
		req.Version = version
		req.Dirs = []kmsg.AlterReplicaLogDirsRequestDir{
			dirs("/nowhere", of("t", 0, 1), of("u", 0)),
			dirs(offline, of("t", 1)), // the last one counts
			dirs(here, of("t", 0), of("nowhere", 0)),
		}
		require.Equal(t, []kmsg.AlterReplicaLogDirsResponseTopic{
			{Topic: "nowhere", Partitions: []kmsg.AlterReplicaLogDirsResponseTopicPartition{{Partition: 0, ErrorCode: kerr.UnknownTopicOrPartition.Code}}},
			{Topic: "t", Partitions: []kmsg.AlterReplicaLogDirsResponseTopicPartition{{Partition: 0}, {Partition: 1, ErrorCode: kerr.KafkaStorageError.Code}}},
			{Topic: "u", Partitions: []kmsg.AlterReplicaLogDirsResponseTopicPartition{{Partition: 0, ErrorCode: kerr.LogDirNotFound.Code}}},
		}, p.ask(req).(*kmsg.AlterReplicaLogDirsResponse).Topics)
		req.Dirs = nil
		require.Empty(t, p.ask(req).(*kmsg.AlterReplicaLogDirsResponse).Topics)
	}
}

// What a copy lacks is counted to the end of its log, what a log lacks to the
// high watermark.
func TestOffsetLag(t *testing.T) {
	p := newDataPlane(t)
	p.lead("t", 1)
	p.put("t", 0, "a", "b", "c")
	lag := func(topic string, end int64, future bool) int64 {
		return p.cluster.offsetLag(logmanager.LogDescription{Partition: model.TopicPartition{Topic: topic}, LogEnd: end, Future: future})
	}
	require.Equal(t, []int64{3, 0, -1}, []int64{lag("t", 0, true), lag("t", 3, true), lag("t", 4, true)})
	require.Equal(t, []int64{3, 0, 0}, []int64{lag("t", 0, false), lag("t", 3, false), lag("t", 4, false)})
	require.Equal(t, []int64{-1, -1}, []int64{lag("nowhere", 0, true), lag("nowhere", 0, false)})
}
