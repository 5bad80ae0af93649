package api

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/kerr"
	"gregor/pkg/model"
	"gregor/pkg/replica"
)

// leaderAndIsrOf leads partition 0 of a topic, in the form of a version.
func leaderAndIsrOf(version int16, topic string, epoch int32) *kmsg.LeaderAndISRRequest {
	req := kmsg.NewPtrLeaderAndISRRequest()
	req.Version, req.ControllerID, req.ControllerEpoch, req.BrokerEpoch = version, 1, 1, 100
	state := kmsg.LeaderAndISRRequestTopicPartition{Topic: topic, ControllerEpoch: 1, Leader: 1, LeaderEpoch: epoch, ISR: []int32{1}, Replicas: []int32{1}, IsNew: true}
	if version < 2 {
		req.PartitionStates = []kmsg.LeaderAndISRRequestTopicPartition{state}
	} else {
		req.TopicStates = []kmsg.LeaderAndISRRequestTopicState{{Topic: topic, TopicID: [16]byte{5}, PartitionStates: []kmsg.LeaderAndISRRequestTopicPartition{state}}}
	}
	return req
}

// outcome is "error: topic-partition=error ...".
func leaderAndIsrOutcome(resp *kmsg.LeaderAndISRResponse) string {
	s := fmt.Sprintf("%d:", resp.ErrorCode)
	for _, p := range resp.Partitions {
		s += fmt.Sprintf(" %s-%d=%d", p.Topic, p.Partition, p.ErrorCode)
	}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			s += fmt.Sprintf(" %x-%d=%d", t.TopicID[:1], p.Partition, p.ErrorCode)
		}
	}
	return s
}

func TestLeaderAndIsrEveryVersion(t *testing.T) {
	for version := int16(0); version <= 5; version++ {
		p := newDataPlane(t)
		topic, name := "t", "t"
		if version == 5 {
			name = "05"
		}
		req := leaderAndIsrOf(version, topic, 3)
		require.Equal(t, "0: "+name+"-0=0", leaderAndIsrOutcome(p.ask(req).(*kmsg.LeaderAndISRResponse)), "version %d", version)
		require.Contains(t, p.changes, replica.LeadershipChange{Leaders: []replica.LeaderChange{{TopicPartition: model.TopicPartition{Topic: "t"}, Epoch: 3}}})
		require.Equal(t, "0: "+name+"-0=11", leaderAndIsrOutcome(p.ask(req).(*kmsg.LeaderAndISRResponse)), "the same leader epoch")

		stale := leaderAndIsrOf(version, topic, 4)
		stale.ControllerEpoch = 0
		require.Equal(t, "11: "+name+"-0=11", leaderAndIsrOutcome(p.ask(stale).(*kmsg.LeaderAndISRResponse)), "an old controller")
		if version >= 2 {
			stale = leaderAndIsrOf(version, topic, 4)
			stale.BrokerEpoch = 99
			require.Equal(t, "77: "+name+"-0=77", leaderAndIsrOutcome(p.ask(stale).(*kmsg.LeaderAndISRResponse)), "for an earlier registration")
		}
	}
}

func TestStopReplicaEveryVersion(t *testing.T) {
	for version := int16(0); version <= 3; version++ {
		p := newDataPlane(t)
		p.lead("t", 2)
		req := kmsg.NewPtrStopReplicaRequest()
		req.Version, req.ControllerID, req.ControllerEpoch, req.BrokerEpoch, req.DeletePartitions = version, 1, 1, 100, true
		req.Topics = []kmsg.StopReplicaRequestTopic{{Topic: "t", Partition: 1, Partitions: []int32{1},
			PartitionStates: []kmsg.StopReplicaRequestTopicPartitionState{{Partition: 1, LeaderEpoch: -2, Delete: true}}}}
		resp := p.ask(req).(*kmsg.StopReplicaResponse)
		require.Zero(t, resp.ErrorCode)
		require.Len(t, resp.Partitions, 1)
		require.Equal(t, "t", resp.Partitions[0].Topic)
		require.Equal(t, int32(1), resp.Partitions[0].Partition)
		require.Zero(t, resp.Partitions[0].ErrorCode)
		require.Equal(t, kerr.NotLeaderOrFollower.Code, p.fetched(fetchOf(12, "t", 1, 0)).ErrorCode)
		require.Zero(t, p.fetched(fetchOf(12, "t", 0, 0)).ErrorCode)

		req.ControllerEpoch = 0
		resp = p.ask(req).(*kmsg.StopReplicaResponse)
		require.Equal(t, kerr.StaleControllerEpoch.Code, resp.ErrorCode)
		require.Empty(t, resp.Partitions)
	}
}

func TestUpdateMetadataRefusals(t *testing.T) {
	p := newDataPlane(t)
	p.lead("t", 1)
	um := kmsg.NewPtrUpdateMetadataRequest()
	um.Version, um.ControllerEpoch, um.BrokerEpoch = 7, 1, 99
	require.Equal(t, kerr.StaleBrokerEpoch.Code, p.ask(um).(*kmsg.UpdateMetadataResponse).ErrorCode)
	um.BrokerEpoch, um.ControllerEpoch = 100, 0
	require.Equal(t, kerr.StaleControllerEpoch.Code, p.ask(um).(*kmsg.UpdateMetadataResponse).ErrorCode)
	require.Equal(t, []string{"t"}, p.cache.Snapshot().Topics())
	require.Len(t, p.cache.Snapshot().Brokers(), 2)
}

func TestBodiesThatAreCutClose(t *testing.T) {
	p := newDataPlane(t)
	for _, req := range []kmsg.Request{leaderAndIsrOf(5, "t", 1), offsetsOf(6, -1, "t", 0), metadataOf(11, "t"), kmsg.NewPtrDescribeLogDirsRequest()} {
		if r, ok := req.(*kmsg.DescribeLogDirsRequest); ok {
			r.Version, r.Topics = 2, []kmsg.DescribeLogDirsRequestTopic{{Topic: "t"}}
		}
		whole := req.AppendTo(nil)
		for n := range whole {
			require.True(t, p.router.Answer(t.Context(), p.request(req.Key(), req.GetVersion(), whole[:n])).Close, "key %d cut at %d", req.Key(), n)
		}
	}
}
