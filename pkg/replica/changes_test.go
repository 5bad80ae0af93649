package replica

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/kerr"
	"gregor/pkg/model"
)

func TestLeaderAndIsr(t *testing.T) {
	b := newBroker(t)
	b.live(4, 1, 2)
	require.Equal(t, "t-0=NONE t-1=NONE", b.apply(leaderAndIsr(7, alone(0, 3), state{1, 2, 3, []int32{2, 1}, []int32{2, 1}})))
	require.Equal(t, []LeadershipChange{{Leaders: []LeaderChange{{tp(0), 3}}, Followers: []LeaderChange{{tp(1), 3}}}}, b.news)
	p, err := b.Partition(tp(0))
	require.NoError(t, err)
	require.True(t, p.IsLeader())
	require.Equal(t, State{Leader: 1, LeaderEpoch: 3, ControllerEpoch: 4, PartitionEpoch: 6, Replicas: []model.BrokerID{1}, ISR: []model.BrokerID{1}}, p.State())
	p, err = b.Partition(tp(1))
	require.NoError(t, err)
	require.False(t, p.IsLeader())
	require.Empty(t, p.State().ISR, "followers know no ISR")

	require.Equal(t, "t-0=STALE_CONTROLLER_EPOCH", b.apply(leaderAndIsr(7, alone(0, 2))), "an older leader epoch")
	require.Equal(t, "t-0=STALE_CONTROLLER_EPOCH", b.apply(leaderAndIsr(7, alone(0, 3))), "the same")
	require.Equal(t, "t-0=INCONSISTENT_TOPIC_ID", b.apply(leaderAndIsr(8, alone(0, 4))))
	require.Equal(t, "t-2=UNKNOWN_TOPIC_OR_PARTITION", b.apply(leaderAndIsr(7, state{2, 2, 0, []int32{2}, []int32{2}})), "not a replica")
	_, err = b.Partition(tp(2))
	require.ErrorIs(t, err, kerr.NotLeaderOrFollower)
	_, err = b.Partition(tp(9))
	require.ErrorIs(t, err, kerr.UnknownTopicOrPartition)
	require.Equal(t, "t-0=NONE", b.apply(leaderAndIsr(0, alone(0, 4))), "without an id none is checked")
}

func TestStaleRequests(t *testing.T) {
	b := newBroker(t)
	for _, c := range []struct {
		controller int32
		broker     int64
		want       string
	}{
		{4, 49, "refused: STALE_BROKER_EPOCH"},
		{4, 50, "t-0=NONE"},
		{4, 51, "t-0=STALE_CONTROLLER_EPOCH"}, // a larger broker epoch is taken; the leader epoch is not new
		{4, -1, "t-0=STALE_CONTROLLER_EPOCH"},
		{3, 50, "refused: STALE_CONTROLLER_EPOCH"},
		{5, 50, "t-0=STALE_CONTROLLER_EPOCH"},
		{4, 50, "refused: STALE_CONTROLLER_EPOCH"},
	} {
		req := leaderAndIsr(7, alone(0, 0))
		req.ControllerEpoch, req.BrokerEpoch = c.controller, c.broker
		require.Equal(t, c.want, b.apply(req), "controller epoch %d, broker epoch %d", c.controller, c.broker)

		stop := stopReplica(4, -1, false)
		stop.ControllerEpoch, stop.BrokerEpoch = c.controller, c.broker
		results, err := b.StopReplicas(stop, 1)
		require.Equal(t, strings.HasPrefix(c.want, "refused"), err != nil)
		require.Equal(t, err != nil, results == nil)

		um := kmsg.NewPtrUpdateMetadataRequest()
		um.Version, um.ControllerEpoch, um.BrokerEpoch = 7, c.controller, c.broker
		require.Equal(t, err != nil, b.UpdateMetadata(um, 1) != nil)
	}
}

func stopReplica(partition, epoch int32, remove bool) *kmsg.StopReplicaRequest {
	req := kmsg.NewPtrStopReplicaRequest()
	req.Version, req.ControllerEpoch, req.BrokerEpoch = 3, 4, 50
	req.Topics = []kmsg.StopReplicaRequestTopic{{Topic: "t", PartitionStates: []kmsg.StopReplicaRequestTopicPartitionState{{Partition: partition, LeaderEpoch: epoch, Delete: remove}}}}
	return req
}

func TestStopReplica(t *testing.T) {
	b := newBroker(t)
	b.live(1, 1)
	require.Equal(t, "t-0=NONE", b.apply(leaderAndIsr(7, alone(0, 5))))
	require.NoError(t, b.put(0, -1, time.Second, "x").Err)
	dir := b.logs.Get(tp(0)).Dir()
	b.news = nil
	stop := func(req *kmsg.StopReplicaRequest) string {
		results, err := b.StopReplicas(req, 1)
		return outcome(results, err)
	}
	require.Equal(t, "t-0=FENCED_LEADER_EPOCH", stop(stopReplica(0, 4, true)))
	require.Equal(t, "t-0=FENCED_LEADER_EPOCH", stop(stopReplica(0, 5, true)), "2.8 refuses the same epoch as well")
	require.Equal(t, "t-0=NONE", stop(stopReplica(0, -2, false)))
	require.NoError(t, b.put(0, -1, time.Second, "y").Err, "stopped without delete: still hosted")
	require.Empty(t, b.news)
	require.Equal(t, "t-0=NONE", stop(stopReplica(0, -2, true)))
	require.Equal(t, []LeadershipChange{{Deleted: []LeaderChange{{tp(0), -1}}}}, b.news)
	require.ErrorIs(t, b.put(0, 1, 0, "z").Err, kerr.NotLeaderOrFollower, "the metadata still has it")
	require.NoDirExists(t, dir)
	renamed, err := filepath.Glob(dir + ".*-delete")
	require.NoError(t, err)
	require.Len(t, renamed, 1)
	require.Equal(t, "t-0=NONE", stop(stopReplica(0, -2, true)), "once more")

	// The older forms, and a partition that is not hosted but has a log.
	require.Equal(t, "t-1=NONE", b.apply(leaderAndIsr(7, alone(1, 0))))
	for version := int16(0); version <= 2; version++ {
		old := kmsg.NewPtrStopReplicaRequest()
		old.Version, old.ControllerEpoch, old.BrokerEpoch, old.DeletePartitions = version, 4, -1, true
		old.Topics = []kmsg.StopReplicaRequestTopic{{Topic: "t", Partition: 1, Partitions: []int32{1}}}
		require.Equal(t, "t-1=NONE", stop(old))
	}
	require.Nil(t, b.logs.Get(tp(1)))
	_, err = b.logs.GetOrCreate(tp(3), true, model.TopicID{})
	require.NoError(t, err)
	require.Equal(t, "t-3=NONE", stop(stopReplica(3, -1, true)))
	require.Nil(t, b.logs.Get(tp(3)))
}

// In 2.8 the request that makes a log does not give it the topic's id; the
// next one does, even if it changes nothing else.
func TestTopicIDIsWrittenByTheSecondRequest(t *testing.T) {
	b := newBroker(t)
	require.Equal(t, "t-0=NONE", b.apply(leaderAndIsr(7, alone(0, 0))))
	log := b.logs.Get(tp(0))
	require.True(t, log.TopicID().IsZero())
	require.NoFileExists(t, filepath.Join(log.Dir(), "partition.metadata"))
	require.Equal(t, "t-0=STALE_CONTROLLER_EPOCH", b.apply(leaderAndIsr(7, alone(0, 0))))
	require.Equal(t, model.TopicID{7}, log.TopicID())
	require.FileExists(t, filepath.Join(log.Dir(), "partition.metadata"))
}

func TestFollowerOfADeadLeader(t *testing.T) {
	b := newBroker(t)
	b.live(1, 1)
	require.Equal(t, "t-0=NONE", b.apply(leaderAndIsr(7, state{0, 2, 3, []int32{2}, []int32{2, 1}})))
	require.NotNil(t, b.logs.Get(tp(0)), "the log is made all the same")
	p, err := b.Partition(tp(0))
	require.NoError(t, err)
	require.Equal(t, model.NoLeaderEpoch, p.State().LeaderEpoch, "and the next request is awaited")
	b.live(1, 1, 2)
	require.Equal(t, "t-0=NONE", b.apply(leaderAndIsr(7, state{0, 2, 3, []int32{2}, []int32{2, 1}})))
	require.Equal(t, model.LeaderEpoch(3), p.State().LeaderEpoch)
}

func TestLinesOfANewLeader(t *testing.T) {
	b := newBroker(t)
	b.out.take()
	b.apply(leaderAndIsr(7, state{0, 1, 2, []int32{1, 2}, []int32{1, 2}}))
	got := b.out.take()
	require.Len(t, got, 7)
	require.Equal(t, "INFO [Broker id=1] Handling LeaderAndIsr request correlationId 1 from controller 9 for 1 partitions (state.change.logger)", got[0])
	require.Equal(t, "INFO [ReplicaFetcherManager on broker 1] Removed fetcher for partitions Set(t-0) (kafka.server.ReplicaFetcherManager)", got[1])
	require.Equal(t, "INFO [Broker id=1] Stopped fetchers as part of LeaderAndIsr request correlationId 1 from controller 9 epoch 4 as part of the become-leader transition for 1 partitions (state.change.logger)", got[2])
	require.Equal(t, "INFO [Partition t-0 broker=1] No checkpointed highwatermark is found for partition t-0 (kafka.cluster.Partition)", got[3])
	require.Equal(t, "INFO [Partition t-0 broker=1] Log loaded for partition t-0 with initial high watermark 0 (kafka.cluster.Partition)", got[4])
	require.Equal(t, "INFO [Broker id=1] Leader t-0 starts at leader epoch 2 from offset 0 with high watermark 0 ISR [1,2] addingReplicas [] removingReplicas []. Previous leader epoch was -1. (state.change.logger)", got[5])
	require.Regexp(t, `^INFO \[Broker id=1\] Finished LeaderAndIsr request in \d+ms correlationId 1 from controller 9 for 1 partitions \(state.change.logger\)$`, got[6])
}

func TestHighWatermarkCheckpoint(t *testing.T) {
	b := newBroker(t)
	b.apply(leaderAndIsr(7, alone(0, 0), alone(1, 0)))
	require.NoError(t, b.put(0, -1, time.Second, "a", "b").Err)
	file := func(partition int32) string {
		content, err := os.ReadFile(filepath.Join(b.logs.Get(tp(partition)).ParentDir(), "replication-offset-checkpoint"))
		require.NoError(t, err)
		return string(content)
	}
	require.Eventually(t, func() bool { return file(0) == "0\n1\nt 0 2\n" }, 10*time.Second, time.Millisecond)
	require.NotEqual(t, b.logs.Get(tp(0)).ParentDir(), b.logs.Get(tp(1)).ParentDir(), "the directory with fewer logs")
	require.Eventually(t, func() bool { return file(1) == "0\n1\nt 1 0\n" }, 10*time.Second, time.Millisecond)
	require.NoError(t, b.put(1, -1, time.Second, "a").Err)
	b.stop()
	content := file(1)
	require.Equal(t, "0\n1\nt 1 1\n", content, "written at the end")

	b.start(b.dirs)
	b.out.take()
	b.apply(leaderAndIsr(7, alone(0, 1)))
	require.Equal(t, int64(2), b.logs.Get(tp(0)).HighWatermark())
	require.Contains(t, strings.Join(b.out.take(), "\n"), "INFO [Partition t-0 broker=1] Log loaded for partition t-0 with initial high watermark 2 (kafka.cluster.Partition)")
}

func TestFailedDirectory(t *testing.T) {
	b := newBroker(t)
	b.live(2, 1)
	b.apply(leaderAndIsr(7, state{0, 1, 0, []int32{1, 2}, []int32{1, 2}}, alone(1, 0)))
	result := make(chan Append, 1)
	go func() { result <- b.put(0, -1, time.Minute, "y") }()
	require.Eventually(t, func() bool { n, _ := b.Waiting(); return n == 1 }, 10*time.Second, time.Millisecond)
	dir := b.logs.Get(tp(0)).ParentDir()
	b.DirFailed(dir)
	require.ErrorIs(t, (<-result).Err, kerr.KafkaStorageError)
	require.ErrorIs(t, b.put(0, 1, 0, "z").Err, kerr.KafkaStorageError)
	require.NoError(t, b.put(1, 1, 0, "z").Err, "the other directory goes on")
	require.Equal(t, "t-0=KAFKA_STORAGE_ERROR", b.apply(leaderAndIsr(7, alone(0, 1))))
	results, err := b.StopReplicas(stopReplica(0, -2, true), 1)
	require.Equal(t, "t-0=KAFKA_STORAGE_ERROR", outcome(results, err))
	require.Contains(t, strings.Join(b.out.take(), "\n"), "WARN [ReplicaManager broker=1] Stopping serving replicas in dir "+dir)
}

func TestUpdateMetadataTellsOfDeletions(t *testing.T) {
	b := newBroker(t)
	b.live(2, 1)
	require.Empty(t, b.deleted)
	req := kmsg.NewPtrUpdateMetadataRequest()
	req.Version, req.ControllerEpoch, req.BrokerEpoch = 7, 4, 50
	req.TopicStates = []kmsg.UpdateMetadataRequestTopicState{{Topic: "t", PartitionStates: []kmsg.UpdateMetadataRequestTopicPartition{{Partition: 1, Leader: -2, LeaderEpoch: -2}}}}
	require.NoError(t, b.UpdateMetadata(req, 1))
	require.Equal(t, []model.TopicPartition{tp(1)}, b.deleted)
}

func TestStrayLogs(t *testing.T) {
	b := newBroker(t)
	b.live(2, 1) // t-0 and t-1 are known, of no replica
	b.apply(leaderAndIsr(7, alone(0, 0)))
	for _, stray := range []model.TopicPartition{tp(1), {Topic: "gone", Partition: 3}} {
		_, err := b.logs.GetOrCreate(stray, true, model.TopicID{})
		require.NoError(t, err)
	}
	b.out.take()
	b.reportStrays()
	got := strings.Join(b.out.take(), "\n")
	require.Contains(t, got, "gone-3")
	require.Contains(t, got, "t-1")
	require.NotContains(t, got, "t-0")
}

func TestLogThatIsMissing(t *testing.T) {
	b := newBroker(t)
	req := leaderAndIsr(7, alone(0, 0))
	req.TopicStates[0].PartitionStates[0].IsNew = false
	b.apply(req)
	require.Contains(t, strings.Join(b.out.take(), "\n"), "WARN [Partition t-0 broker=1] The partition is not new but no log directory holds its log; it begins empty in ")
	b.apply(leaderAndIsr(7, alone(1, 0)))
	require.NotContains(t, strings.Join(b.out.take(), "\n"), "WARN")
}

// The settings of a new partition may come from afar: who produces to others
// does not wait for them, and a change meanwhile counts.
func TestSettingsAreAskedForWhileOthersGoOn(t *testing.T) {
	b := newBroker(t)
	b.live(2, 1)
	b.apply(leaderAndIsr(7, alone(0, 0)))
	b.asked = func(topic string) {
		produced := make(chan error, 1)
		go func() { produced <- b.put(0, 1, 0, "x").Err }()
		select {
		case err := <-produced:
			require.NoError(t, err)
		case <-time.After(5 * time.Second):
			require.Fail(t, "a produce waits for the settings of another partition")
		}
		b.UpdateTopicSettings(topic, TopicSettings{MinInSyncReplicas: 2})
	}
	require.Equal(t, "t-1=NONE", b.apply(leaderAndIsr(7, alone(1, 0))))
	p, err := b.Partition(tp(1))
	require.NoError(t, err)
	require.Equal(t, 2, p.Settings().MinInSyncReplicas)
}
