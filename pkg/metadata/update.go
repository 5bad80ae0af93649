package metadata

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/model"
)

// Update applies an UpdateMetadata request of any version from 0 to 7 and
// returns the partitions that it removed. The live brokers and the controller
// are replaced by those of the request; of the partitions, those that it lists
// are replaced or, where the leader is model.LeaderDuringDelete, removed. The
// caller has checked the epochs.
func (c *Cache) Update(req *kmsg.UpdateMetadataRequest, correlationID int32) (deleted []model.TopicPartition) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.current.Load()
	next := &Snapshot{
		clusterID:    old.clusterID,
		controllerID: model.BrokerID(req.ControllerID),
		told:         true,
		brokers:      liveBrokers(req),
		topics:       old.topics,
		names:        old.names,
		deleted:      old.deleted,
		superseded:   make(chan struct{}),
	}
	if req.ControllerID < 0 {
		next.controllerID = model.NoBroker
	}
	c.checkListeners(next.brokers)
	if changes := partitionChanges(req); len(changes) > 0 {
		var added int
		added, deleted = next.apply(changes)
		c.stateChange.Infof("[Broker id=%d] Add %d partitions and deleted %d partitions from metadata cache in response to UpdateMetadata request sent by controller %d epoch %d with correlation id %d",
			c.brokerID, added, len(deleted), req.ControllerID, req.ControllerEpoch, correlationID)
	}
	c.current.Store(next)
	close(old.superseded)
	return deleted
}

// topicChange is what one request says about one topic.
type topicChange struct {
	topic      string
	id         model.TopicID
	partitions []Partition
}

// partitionChanges gathers the partitions of a request by topic, in which
// version 5 and later send them.
func partitionChanges(req *kmsg.UpdateMetadataRequest) []topicChange {
	if req.Version >= 5 {
		changes := make([]topicChange, 0, len(req.TopicStates))
		for i := range req.TopicStates {
			t := &req.TopicStates[i]
			change := topicChange{topic: t.Topic, id: t.TopicID, partitions: make([]Partition, 0, len(t.PartitionStates))}
			for j := range t.PartitionStates {
				change.partitions = append(change.partitions, partitionOf(&t.PartitionStates[j]))
			}
			changes = append(changes, change)
		}
		return changes
	}
	var changes []topicChange
	at := map[string]int{}
	for i := range req.PartitionStates {
		p := &req.PartitionStates[i]
		index, ok := at[p.Topic]
		if !ok {
			index = len(changes)
			at[p.Topic] = index
			changes = append(changes, topicChange{topic: p.Topic})
		}
		changes[index].partitions = append(changes[index].partitions, partitionOf(p))
	}
	return changes
}

func partitionOf(p *kmsg.UpdateMetadataRequestTopicPartition) Partition {
	return Partition{
		Index:           p.Partition,
		Leader:          model.BrokerID(p.Leader),
		LeaderEpoch:     model.LeaderEpoch(p.LeaderEpoch),
		ControllerEpoch: model.ControllerEpoch(p.ControllerEpoch),
		PartitionEpoch:  model.PartitionEpoch(p.ZKVersion),
		ISR:             brokerIDs(p.ISR),
		Replicas:        brokerIDs(p.Replicas),
		OfflineReplicas: brokerIDs(p.OfflineReplicas),
	}
}

func brokerIDs(ids []int32) []model.BrokerID {
	list := make([]model.BrokerID, len(ids))
	for i, id := range ids {
		list[i] = model.BrokerID(id)
	}
	return list
}

// apply puts the changes into s, whose maps are still those of the snapshot
// before it, and reports how many partitions were set and which were removed.
func (s *Snapshot) apply(changes []topicChange) (added int, deleted []model.TopicPartition) {
	s.topics, s.names, s.deleted = cloned(s.topics), cloned(s.names), cloned(s.deleted)
	maps.DeleteFunc(s.deleted, func(_ string, at time.Time) bool { return time.Since(at) >= DeletionMemory })
	for _, change := range changes {
		topic := &Topic{Name: change.topic, ID: change.id}
		if before, ok := s.topics[change.topic]; ok {
			topic.Partitions = slices.Clone(before.Partitions)
			if topic.ID.IsZero() {
				topic.ID = before.ID
			} else if topic.ID != before.ID {
				delete(s.names, before.ID)
			}
		}
		for _, p := range change.partitions {
			if p.Leader != model.LeaderDuringDelete {
				topic.set(p)
				added++
				continue
			}
			topic.remove(p.Index)
			deleted = append(deleted, model.TopicPartition{Topic: change.topic, Partition: p.Index})
		}
		s.put(topic)
	}
	return added, deleted
}

func (s *Snapshot) put(t *Topic) {
	if len(t.Partitions) == 0 {
		if _, was := s.topics[t.Name]; was {
			s.deleted[t.Name] = time.Now()
		}
		delete(s.topics, t.Name)
		delete(s.names, t.ID)
		return
	}
	delete(s.deleted, t.Name)
	s.topics[t.Name] = t
	if !t.ID.IsZero() {
		s.names[t.ID] = t.Name
	}
}

func (t *Topic) set(p Partition) {
	at, ok := slices.BinarySearchFunc(t.Partitions, p.Index, func(q Partition, i int32) int { return int(q.Index) - int(i) })
	if ok {
		t.Partitions[at] = p
		return
	}
	t.Partitions = slices.Insert(t.Partitions, at, p)
}

func (t *Topic) remove(index int32) {
	t.Partitions = slices.DeleteFunc(t.Partitions, func(p Partition) bool { return p.Index == index })
}

// cloned is maps.Clone that never gives nil.
func cloned[K comparable, V any](m map[K]V) map[K]V {
	if m == nil {
		return map[K]V{}
	}
	return maps.Clone(m)
}

// liveBrokers reads the brokers of a request. Version 0 knows one plaintext
// endpoint for each, versions 1 and 2 know no listener names: there a listener
// is called like its protocol.
func liveBrokers(req *kmsg.UpdateMetadataRequest) map[model.BrokerID]model.Broker {
	brokers := make(map[model.BrokerID]model.Broker, len(req.LiveBrokers))
	for i := range req.LiveBrokers {
		b := &req.LiveBrokers[i]
		broker := model.Broker{ID: model.BrokerID(b.ID), Epoch: model.NoBrokerEpoch, Rack: b.Rack}
		if req.Version == 0 {
			broker.Endpoints = []model.Endpoint{{Listener: model.Plaintext.String(), Host: b.Host, Port: b.Port}}
		}
		for _, e := range b.Endpoints {
			endpoint := model.Endpoint{
				Listener:         e.ListenerName,
				SecurityProtocol: model.SecurityProtocol(e.SecurityProtocol),
				Host:             e.Host,
				Port:             e.Port,
			}
			if req.Version < 3 {
				endpoint.Listener = endpoint.SecurityProtocol.String()
			}
			broker.Endpoints = append(broker.Endpoints, endpoint)
		}
		brokers[broker.ID] = broker
	}
	return brokers
}

// checkListeners complains when a live broker lacks a listener that this one
// has, or the other way round: clients there would find some leaders missing.
func (c *Cache) checkListeners(brokers map[model.BrokerID]model.Broker) {
	own, ok := brokers[c.brokerID]
	if !ok {
		return
	}
	names := listenerNames(own)
	for _, b := range brokers {
		if !slices.Equal(names, listenerNames(b)) {
			var all []string
			for _, id := range slices.Sorted(maps.Keys(brokers)) {
				all = append(all, fmt.Sprintf("broker %d: %s", id, strings.Join(listenerNames(brokers[id]), ", ")))
			}
			c.log.Errorf("[MetadataCache brokerId=%d] Listeners are not identical across brokers: %s", c.brokerID, strings.Join(all, "; "))
			return
		}
	}
}

func listenerNames(b model.Broker) []string {
	names := make([]string, len(b.Endpoints))
	for i, e := range b.Endpoints {
		names[i] = e.Listener
	}
	slices.Sort(names)
	return names
}
