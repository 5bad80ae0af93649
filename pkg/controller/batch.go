package controller

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/sirupsen/logrus"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/model"
)

// Sender delivers requests to brokers. Requests to one broker are delivered
// in the order of Send, each until it is answered or the broker removed.
type Sender interface {
	Add(b model.Broker)
	Remove(id model.BrokerID)
	// Send queues a request; answered is called from another goroutine.
	Send(to model.BrokerID, req kmsg.Request, answered func(kmsg.Response))
	Close()
}

// batch collects what one step has to tell the brokers, and sends it in
// Kafka's order: LeaderAndIsr to all, UpdateMetadata to all, StopReplica to
// all. A partition that is in a LeaderAndIsr is in the UpdateMetadata of
// every broker too.
type batch struct {
	m             *machine
	leaderAndISR  map[model.BrokerID]map[model.TopicPartition]leaderAndISR
	updateBrokers map[model.BrokerID]bool
	updates       map[*partition]bool
	ids           []model.BrokerID // of all brokers, when they are asked for
	stops         map[model.BrokerID]map[model.TopicPartition]stopReplica
	stopAnyway    bool // replicas are stopped whatever leader epoch they know
}

// leaderAndISR is a partition's part of a LeaderAndIsr request.
type leaderAndISR struct {
	LeaderISR
	Assignment
	isNew bool
}

// metadataUpdate is a partition's part of an UpdateMetadata request.
type metadataUpdate struct {
	LeaderISR
	replicas, offline []model.BrokerID
}

// stopReplica is a partition's part of a StopReplica request.
type stopReplica struct {
	epoch model.LeaderEpoch
	del   bool
}

func (m *machine) newBatch() *batch {
	return &batch{
		m:             m,
		leaderAndISR:  map[model.BrokerID]map[model.TopicPartition]leaderAndISR{},
		updateBrokers: map[model.BrokerID]bool{},
		updates:       map[*partition]bool{},
		stops:         map[model.BrokerID]map[model.TopicPartition]stopReplica{},
	}
}

// tellLeader adds a partition's leader and ISR for the given brokers. isNew
// stays once it was set for a partition.
func (b *batch) tellLeader(to []model.BrokerID, p *partition, isNew bool) {
	for _, id := range to {
		if id < 0 {
			continue
		}
		if b.leaderAndISR[id] == nil {
			b.leaderAndISR[id] = map[model.TopicPartition]leaderAndISR{}
		}
		before := b.leaderAndISR[id][p.TopicPartition]
		b.leaderAndISR[id][p.TopicPartition] = leaderAndISR{*p.leader, p.Assignment, isNew || before.isNew}
	}
	if b.updates[p] && len(b.updateBrokers) == len(b.m.c.brokers) {
		return // everybody hears of it already
	}
	if b.ids == nil {
		b.ids = b.m.c.brokerIDs()
	}
	b.tellMetadata(b.ids, p)
}

// tellMetadata adds partitions to the UpdateMetadata for the given brokers, as
// they are when the batch is sent; without partitions it announces the live
// brokers only.
func (b *batch) tellMetadata(to []model.BrokerID, partitions ...*partition) {
	for _, id := range to {
		b.updateBrokers[id] = true
	}
	for _, p := range partitions {
		if p.leader == nil {
			b.m.log.batch.Infof("Leader not yet assigned for partition %s. Skip sending UpdateMetadataRequest.", p)
			continue
		}
		b.updates[p] = true
	}
}

// metadata is a partition's part of an UpdateMetadata request.
func (b *batch) metadata(p *partition) metadataUpdate {
	u := metadataUpdate{LeaderISR: *p.leader, replicas: p.Replicas}
	for _, id := range p.Replicas {
		if !b.m.c.isOnline(id, p.TopicPartition) {
			u.offline = append(u.offline, id)
		}
	}
	if b.m.c.toDelete[p.Topic] {
		u.Leader, u.LeaderEpoch, u.ZkVersion = model.LeaderDuringDelete, 0, 0
	}
	return u
}

// stop adds a replica that its broker is to stop; del stays once it was set.
func (b *batch) stop(to model.BrokerID, p *partition, del bool) {
	if b.stops[to] == nil {
		b.stops[to] = map[model.TopicPartition]stopReplica{}
	}
	epoch := model.NoLeaderEpoch
	switch {
	case b.m.c.toDelete[p.Topic]:
		epoch = model.EpochDuringDelete
	case b.stopAnyway:
	case p.leader != nil:
		epoch = p.leader.LeaderEpoch
	}
	before := b.stops[to][p.TopicPartition]
	b.stops[to][p.TopicPartition] = stopReplica{epoch, del || before.del}
}

// send hands everything to the sender. Brokers that are gone are left out.
func (b *batch) send() {
	for _, id := range b.known(maps.Keys(b.leaderAndISR)) {
		b.sendLeaderAndISR(id)
	}
	b.sendUpdateMetadata()
	for _, id := range b.known(maps.Keys(b.stops)) {
		b.sendStopReplica(id)
	}
}

// known filters for brokers that are live or shutting down, in order.
func (b *batch) known(ids func(func(model.BrokerID) bool)) []model.BrokerID {
	sorted := slices.Sorted(ids)
	return slices.DeleteFunc(sorted, func(id model.BrokerID) bool {
		_, ok := b.m.c.brokers[id]
		return !ok
	})
}

func (b *batch) sendLeaderAndISR(to model.BrokerID) {
	states := b.leaderAndISR[to]
	order := sortedPartitions(maps.Keys(states))
	leaders := map[model.BrokerID]bool{}
	leading := 0
	for _, tp := range order {
		s := states[tp]
		leaders[s.Leader] = true
		kind := "become-follower"
		if s.Leader == to {
			leading++
			kind = "become-leader"
		}
		if b.m.state.on(logrus.TraceLevel) {
			b.m.state.Tracef("Sending %s LeaderAndIsr request %s to broker %d for partition %s", kind, s.describe(tp), to, tp)
		}
	}
	b.m.state.Infof("Sending LeaderAndIsr request to broker %d with %d become-leader and %d become-follower partitions",
		to, leading, len(order)-leading)

	req := kmsg.NewPtrLeaderAndISRRequest()
	req.SetVersion(b.m.settings.Versions.LeaderAndISR)
	req.ControllerID, req.ControllerEpoch = int32(b.m.settings.ID), int32(b.m.c.epoch)
	req.BrokerEpoch = int64(b.m.c.brokers[to].Epoch)
	for _, tp := range order {
		one := states[tp].message(tp)
		if req.Version < 2 {
			req.PartitionStates = append(req.PartitionStates, one)
			continue
		}
		if n := len(req.TopicStates); n == 0 || req.TopicStates[n-1].Topic != tp.Topic {
			t := kmsg.NewLeaderAndISRRequestTopicState()
			t.Topic, t.TopicID = tp.Topic, b.m.topicID(tp.Topic)
			req.TopicStates = append(req.TopicStates, t)
		}
		t := &req.TopicStates[len(req.TopicStates)-1]
		t.PartitionStates = append(t.PartitionStates, one)
	}
	for _, id := range b.known(maps.Keys(leaders)) {
		if e, ok := b.m.c.brokers[id].Endpoint(b.m.settings.InterBrokerListener); ok {
			l := kmsg.NewLeaderAndISRRequestLiveLeader()
			l.BrokerID, l.Host, l.Port = int32(id), e.Host, e.Port
			req.LiveLeaders = append(req.LiveLeaders, l)
		}
	}
	m := b.m
	m.sender.Send(to, req, func(resp kmsg.Response) {
		m.post("LeaderAndIsrResponseReceived", func() error { return m.leaderAndISRAnswered(to, resp.(*kmsg.LeaderAndISRResponse)) })
	})
}

func (s leaderAndISR) message(tp model.TopicPartition) kmsg.LeaderAndISRRequestTopicPartition {
	one := kmsg.NewLeaderAndISRRequestTopicPartition()
	one.Topic, one.Partition = tp.Topic, tp.Partition
	one.ControllerEpoch, one.Leader, one.LeaderEpoch = int32(s.ControllerEpoch), int32(s.Leader), int32(s.LeaderEpoch)
	one.ISR, one.ZKVersion = numbers(s.ISR), int32(s.ZkVersion)
	one.Replicas, one.AddingReplicas, one.RemovingReplicas = numbers(s.Replicas), numbers(s.Adding), numbers(s.Removing)
	one.IsNew = s.isNew
	return one
}

// describe is Kafka's form of the request's partition in log lines.
func (s leaderAndISR) describe(tp model.TopicPartition) string {
	return fmt.Sprintf("LeaderAndIsrPartitionState(topicName='%s', partitionIndex=%d, controllerEpoch=%d, leader=%d, leaderEpoch=%d, "+
		"isr=%s, zkVersion=%d, replicas=%s, addingReplicas=%s, removingReplicas=%s, isNew=%t)",
		tp.Topic, tp.Partition, s.ControllerEpoch, s.Leader, s.LeaderEpoch, brackets(s.ISR), s.ZkVersion,
		brackets(s.Replicas), brackets(s.Adding), brackets(s.Removing), s.isNew)
}

func (b *batch) sendUpdateMetadata() {
	to := b.known(maps.Keys(b.updateBrokers))
	b.m.state.Infof("Sending UpdateMetadata request to brokers %s for %d partitions", set("HashSet", to), len(b.updates))
	if len(to) == 0 {
		return
	}
	order := slices.SortedFunc(maps.Keys(b.updates), comparePartitions)
	brokers := b.liveBrokers()
	var topics []kmsg.UpdateMetadataRequestTopicState
	var partitions []kmsg.UpdateMetadataRequestTopicPartition
	if b.m.settings.Versions.UpdateMetadata < 5 {
		partitions = b.updatedPartitions(order)
	} else {
		topics = b.updatedTopics(order)
	}
	for _, id := range to {
		req := kmsg.NewPtrUpdateMetadataRequest()
		req.SetVersion(b.m.settings.Versions.UpdateMetadata)
		req.ControllerID, req.ControllerEpoch = int32(b.m.settings.ID), int32(b.m.c.epoch)
		req.BrokerEpoch = int64(b.m.c.brokers[id].Epoch)
		req.LiveBrokers, req.TopicStates, req.PartitionStates = brokers, topics, partitions
		b.m.sender.Send(id, req, nil)
	}
}

func (b *batch) updatedTopics(order []*partition) []kmsg.UpdateMetadataRequestTopicState {
	var topics []kmsg.UpdateMetadataRequestTopicState
	for len(order) > 0 {
		n := slices.IndexFunc(order, func(p *partition) bool { return p.Topic != order[0].Topic })
		if n < 0 {
			n = len(order)
		}
		t := kmsg.NewUpdateMetadataRequestTopicState()
		t.Topic, t.TopicID = order[0].Topic, b.m.topicID(order[0].Topic)
		t.PartitionStates = b.updatedPartitions(order[:n])
		topics, order = append(topics, t), order[n:]
	}
	return topics
}

func (b *batch) updatedPartitions(order []*partition) []kmsg.UpdateMetadataRequestTopicPartition {
	list := make([]kmsg.UpdateMetadataRequestTopicPartition, 0, len(order))
	for _, p := range order {
		u := b.metadata(p)
		one := kmsg.NewUpdateMetadataRequestTopicPartition()
		one.Topic, one.Partition = p.Topic, p.Partition
		one.ControllerEpoch, one.Leader, one.LeaderEpoch = int32(u.ControllerEpoch), int32(u.Leader), int32(u.LeaderEpoch)
		one.ISR, one.ZKVersion = numbers(u.ISR), int32(u.ZkVersion)
		one.Replicas, one.OfflineReplicas = numbers(u.replicas), numbers(u.offline)
		list = append(list, one)
	}
	return list
}

// liveBrokers describes all brokers, live and shutting down. Host and port
// beside the id are those of version 0, which knows PLAINTEXT only.
func (b *batch) liveBrokers() []kmsg.UpdateMetadataRequestLiveBroker {
	var all []kmsg.UpdateMetadataRequestLiveBroker
	for _, id := range b.m.c.brokerIDs() {
		broker := b.m.c.brokers[id]
		one := kmsg.NewUpdateMetadataRequestLiveBroker()
		one.ID, one.Rack = int32(id), broker.Rack
		for _, e := range broker.Endpoints {
			if one.Host == "" && e.SecurityProtocol == model.Plaintext {
				one.Host, one.Port = e.Host, e.Port
			}
			endpoint := kmsg.NewUpdateMetadataRequestLiveBrokerEndpoint()
			endpoint.Host, endpoint.Port = e.Host, e.Port
			endpoint.ListenerName, endpoint.SecurityProtocol = e.Listener, int16(e.SecurityProtocol)
			one.Endpoints = append(one.Endpoints, endpoint)
		}
		all = append(all, one)
	}
	return all
}

// sendStopReplica sends one request, or below version 3, where deleting is a
// property of the whole request, one for each kind.
func (b *batch) sendStopReplica(to model.BrokerID) {
	stops := b.stops[to]
	order := sortedPartitions(maps.Keys(stops))
	if b.m.settings.Versions.StopReplica >= 3 {
		for _, tp := range order {
			b.m.state.Tracef("Sending StopReplica request StopReplicaPartitionState(partitionIndex=%d, leaderEpoch=%d, deletePartition=%t) to broker %d for partition %s",
				tp.Partition, stops[tp].epoch, stops[tp].del, to, tp)
		}
		b.m.state.Infof("Sending StopReplica request for %d replicas to broker %d", len(order), to)
		b.stopRequest(to, order, false)
		return
	}
	for _, del := range []bool{false, true} {
		kind := slices.DeleteFunc(slices.Clone(order), func(tp model.TopicPartition) bool { return stops[tp].del != del })
		if len(kind) > 0 {
			b.m.state.Infof("Sending StopReplica request (delete = %t) for %d replicas to broker %d", del, len(kind), to)
			b.stopRequest(to, kind, del)
		}
	}
}

func (b *batch) stopRequest(to model.BrokerID, order []model.TopicPartition, del bool) {
	req := kmsg.NewPtrStopReplicaRequest()
	req.SetVersion(b.m.settings.Versions.StopReplica)
	req.ControllerID, req.ControllerEpoch = int32(b.m.settings.ID), int32(b.m.c.epoch)
	req.BrokerEpoch, req.DeletePartitions = int64(b.m.c.brokers[to].Epoch), del
	var deleted []model.TopicPartition
	for _, tp := range order {
		s := b.stops[to][tp]
		if s.del {
			deleted = append(deleted, tp)
		}
		if n := len(req.Topics); n == 0 || req.Topics[n-1].Topic != tp.Topic || req.Version == 0 {
			t := kmsg.NewStopReplicaRequestTopic()
			t.Topic, t.Partition = tp.Topic, tp.Partition
			req.Topics = append(req.Topics, t)
		}
		t := &req.Topics[len(req.Topics)-1]
		t.Partitions = append(t.Partitions, tp.Partition)
		one := kmsg.NewStopReplicaRequestTopicPartitionState()
		one.Partition, one.LeaderEpoch, one.Delete = tp.Partition, int32(s.epoch), s.del
		t.PartitionStates = append(t.PartitionStates, one)
	}
	if len(deleted) == 0 {
		b.m.sender.Send(to, req, nil)
		return
	}
	m := b.m
	m.sender.Send(to, req, func(resp kmsg.Response) {
		m.post("TopicDeletionStopReplicaResponseReceived", func() error {
			return m.stopReplicaAnswered(to, deleted, resp.(*kmsg.StopReplicaResponse))
		})
	})
}

func numbers(ids []model.BrokerID) []int32 {
	out := make([]int32, len(ids))
	for i, id := range ids {
		out[i] = int32(id)
	}
	return out
}

func sortedPartitions(tps func(func(model.TopicPartition) bool)) []model.TopicPartition {
	return slices.SortedFunc(tps, func(a, b model.TopicPartition) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
}
