package controller

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"gregor/pkg/model"
)

// PartitionState is where a partition stands in its life. The numbers are
// Kafka's.
type PartitionState int8

const (
	NewPartition PartitionState = iota
	OnlinePartition
	OfflinePartition
	NonExistentPartition
)

func (s PartitionState) String() string {
	return [...]string{"NewPartition", "OnlinePartition", "OfflinePartition", "NonExistentPartition"}[s]
}

// partitionMayBecome lists, for each state, the states it may be entered
// from.
var partitionMayBecome = map[PartitionState][]PartitionState{
	NewPartition:         {NonExistentPartition},
	OnlinePartition:      {NewPartition, OnlinePartition, OfflinePartition},
	OfflinePartition:     {NewPartition, OnlinePartition, OfflinePartition},
	NonExistentPartition: {OfflinePartition},
}

// ReplicaState is where one replica of a partition stands. The numbers are
// Kafka's.
type ReplicaState int8

const (
	NewReplica ReplicaState = iota + 1
	OnlineReplica
	OfflineReplica
	ReplicaDeletionStarted
	ReplicaDeletionSuccessful
	ReplicaDeletionIneligible
	NonExistentReplica
)

func (s ReplicaState) String() string {
	return [...]string{"", "NewReplica", "OnlineReplica", "OfflineReplica", "ReplicaDeletionStarted",
		"ReplicaDeletionSuccessful", "ReplicaDeletionIneligible", "NonExistentReplica"}[s]
}

// replicaMayBecome lists, for each state, the states it may be entered from.
var replicaMayBecome = map[ReplicaState][]ReplicaState{
	NewReplica:                {NonExistentReplica},
	OnlineReplica:             {NewReplica, OnlineReplica, OfflineReplica, ReplicaDeletionIneligible},
	OfflineReplica:            {NewReplica, OnlineReplica, OfflineReplica, ReplicaDeletionIneligible},
	ReplicaDeletionStarted:    {OfflineReplica},
	ReplicaDeletionSuccessful: {ReplicaDeletionStarted},
	ReplicaDeletionIneligible: {OfflineReplica, ReplicaDeletionStarted},
	NonExistentReplica:        {ReplicaDeletionSuccessful},
}

// LeaderISR is who leads a partition and who is in sync: the content of its
// state znode with the znode's version.
type LeaderISR struct {
	Leader          model.BrokerID
	LeaderEpoch     model.LeaderEpoch
	ISR             []model.BrokerID
	ControllerEpoch model.ControllerEpoch
	ZkVersion       model.PartitionEpoch
}

// next is the state after a change by a controller: one leader epoch higher.
func (l LeaderISR) next(leader model.BrokerID, isr []model.BrokerID, by model.ControllerEpoch) LeaderISR {
	l.Leader, l.ISR, l.ControllerEpoch = leader, isr, by
	l.LeaderEpoch++
	return l
}

// String is Kafka's form where it speaks of the partition's state.
func (l LeaderISR) String() string {
	return fmt.Sprintf("LeaderAndIsr(leader=%d, leaderEpoch=%d, isr=List(%s), zkVersion=%d)",
		l.Leader, l.LeaderEpoch, strings.ReplaceAll(join(l.ISR), ",", ", "), l.ZkVersion)
}

// info is Kafka's form where it speaks of a change by this controller.
func (l LeaderISR) info() string {
	return fmt.Sprintf("(Leader:%d,ISR:%s,LeaderEpoch:%d,ZkVersion:%d,ControllerEpoch:%d)",
		l.Leader, join(l.ISR), l.LeaderEpoch, l.ZkVersion, l.ControllerEpoch)
}

// partition is what the controller knows of one partition.
type partition struct {
	model.TopicPartition
	Assignment
	state    PartitionState
	leader   *LeaderISR // nil until a state znode was read or written
	replicas map[model.BrokerID]ReplicaState
}

// String is the name of the partition: "topic-0".
func (p *partition) String() string { return p.TopicPartition.String() }

func (p *partition) replicaState(id model.BrokerID) ReplicaState {
	if s, ok := p.replicas[id]; ok {
		return s
	}
	return NonExistentReplica
}

// topic is what the controller knows of one topic.
type topic struct {
	name       string
	id         model.TopicID // zero below inter.broker.protocol.version 2.8
	partitions map[int32]*partition
}

// replica names one replica of one partition.
type replica struct {
	partition *partition
	broker    model.BrokerID
}

// String is Kafka's form in log lines.
func (r replica) String() string {
	return fmt.Sprintf("[Topic=%s,Partition=%d,Replica=%d]", r.partition.Topic, r.partition.Partition, r.broker)
}

// cluster is everything an active controller holds in memory. It belongs to
// the event loop.
//
// Invariants: ineligible and deletionBegun hold only topics of toDelete; names
// has exactly the ids of topics; reassigning holds the partitions of topics that
// have adding or removing replicas, but for topics of toDelete.
type cluster struct {
	epoch        model.ControllerEpoch
	brokers      map[model.BrokerID]model.Broker // live and shutting down
	shuttingDown map[model.BrokerID]bool
	topics       map[string]*topic
	names        map[model.TopicID]string // of the topics that have an id
	offlineDirs  map[model.BrokerID]map[model.TopicPartition]bool
	reassigning  map[model.TopicPartition]bool

	toDelete      map[string]bool
	deletionBegun map[string]bool
	ineligible    map[string]string // topic to the reason, in words for the log
}

func newCluster() *cluster {
	return &cluster{
		brokers:       map[model.BrokerID]model.Broker{},
		shuttingDown:  map[model.BrokerID]bool{},
		topics:        map[string]*topic{},
		names:         map[model.TopicID]string{},
		offlineDirs:   map[model.BrokerID]map[model.TopicPartition]bool{},
		reassigning:   map[model.TopicPartition]bool{},
		toDelete:      map[string]bool{},
		deletionBegun: map[string]bool{},
		ineligible:    map[string]string{},
	}
}

// brokerIDs are the ids of all brokers, live and shutting down, in order.
func (c *cluster) brokerIDs() []model.BrokerID { return slices.Sorted(maps.Keys(c.brokers)) }

// liveIDs are the ids of the brokers that are not shutting down.
func (c *cluster) liveIDs() []model.BrokerID {
	return slices.DeleteFunc(c.brokerIDs(), func(id model.BrokerID) bool { return c.shuttingDown[id] })
}

// isOnline reports whether a replica can serve: its broker is live and its
// log directory is not offline.
func (c *cluster) isOnline(id model.BrokerID, tp model.TopicPartition) bool {
	return !c.shuttingDown[id] && c.isOnlineOrShuttingDown(id, tp)
}

func (c *cluster) isOnlineOrShuttingDown(id model.BrokerID, tp model.TopicPartition) bool {
	_, live := c.brokers[id]
	return live && !c.offlineDirs[id][tp]
}

func (c *cluster) partition(tp model.TopicPartition) *partition {
	if t := c.topics[tp.Topic]; t != nil {
		return t.partitions[tp.Partition]
	}
	return nil
}

// addPartition enters a partition, or gives a known one another assignment.
func (c *cluster) addPartition(t *topic, number int32, a Assignment) *partition {
	p := t.partitions[number]
	if p == nil {
		p = &partition{TopicPartition: model.TopicPartition{Topic: t.name, Partition: number},
			state: NonExistentPartition, replicas: map[model.BrokerID]ReplicaState{}}
		t.partitions[number] = p
	}
	p.Assignment = a
	if a.InProgress() {
		c.reassigning[p.TopicPartition] = true
	}
	return p
}

// markForDeletion notes that topics are to go. Their reassignments are over
// with that.
func (c *cluster) markForDeletion(topics []string) {
	for _, name := range topics {
		c.toDelete[name] = true
		for _, p := range c.partitionsOf(name) {
			delete(c.reassigning, p.TopicPartition)
		}
	}
}

// addTopic enters a topic without partitions.
func (c *cluster) addTopic(name string, id model.TopicID) *topic {
	t := &topic{name: name, id: id, partitions: map[int32]*partition{}}
	c.topics[name] = t
	if !id.IsZero() {
		c.names[id] = name
	}
	return t
}

// forget drops a topic and all that is noted about it.
func (c *cluster) forget(name string) {
	if t := c.topics[name]; t != nil {
		delete(c.names, t.id)
		for number := range t.partitions {
			delete(c.reassigning, model.TopicPartition{Topic: name, Partition: number})
		}
	}
	delete(c.topics, name)
	delete(c.toDelete, name)
	delete(c.deletionBegun, name)
	delete(c.ineligible, name)
}

// selectPartitions returns the partitions for which keep holds, ordered by topic and
// number.
func (c *cluster) selectPartitions(keep func(*partition) bool) []*partition {
	var found []*partition
	for _, t := range c.topics {
		for _, p := range t.partitions {
			if keep(p) {
				found = append(found, p)
			}
		}
	}
	slices.SortFunc(found, comparePartitions)
	return found
}

func comparePartitions(a, b *partition) int { return a.Compare(b.TopicPartition) }

// partitionsOf returns the partitions of topics, in order.
func (c *cluster) partitionsOf(names ...string) []*partition {
	var found []*partition
	for _, name := range names {
		if t := c.topics[name]; t != nil {
			found = slices.AppendSeq(found, maps.Values(t.partitions))
		}
	}
	slices.SortFunc(found, comparePartitions)
	return found
}

// replicasOf lists the assigned replicas of partitions.
func replicasOf(partitions []*partition) []replica {
	var all []replica
	for _, p := range partitions {
		for _, id := range p.Replicas {
			all = append(all, replica{p, id})
		}
	}
	return all
}

// replicasOn lists the assigned replicas that live on the given brokers.
func (c *cluster) replicasOn(ids ...model.BrokerID) []replica {
	all := replicasOf(c.selectPartitions(func(p *partition) bool { return true }))
	return slices.DeleteFunc(all, func(r replica) bool { return !slices.Contains(ids, r.broker) })
}

// inState filters replicas by their state.
func inState(replicas []replica, s ReplicaState) []replica {
	var found []replica
	for _, r := range replicas {
		if r.partition.replicaState(r.broker) == s {
			found = append(found, r)
		}
	}
	return found
}

// join writes numbers or names with commas between them.
func join[T any](list []T) string {
	var b strings.Builder
	for i, v := range list {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprint(&b, v)
	}
	return b.String()
}

// set is Scala's form of a set in log lines.
func set[T any](kind string, list []T) string {
	return kind + "(" + strings.ReplaceAll(join(list), ",", ", ") + ")"
}

// brackets is Java's form of a list in log lines.
func brackets(list []model.BrokerID) string {
	return "[" + strings.ReplaceAll(join(list), ",", ", ") + "]"
}
