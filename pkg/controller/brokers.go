package controller

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/kerr"
	"gregor/pkg/model"
)

// brokersChanged handles a change of the children of /brokers/ids.
func (m *machine) brokersChanged() error {
	list, err := m.store.Brokers()
	if err != nil {
		return err
	}
	present := map[model.BrokerID]model.Broker{}
	for _, b := range list {
		present[b.ID] = b
	}
	var added, bounced, gone []model.BrokerID
	for _, id := range sortedKeys(present) {
		old, known := m.c.brokers[id]
		switch {
		case !known:
			added = append(added, id)
		case present[id].Epoch > old.Epoch:
			bounced = append(bounced, id)
		}
	}
	for _, id := range m.c.brokerIDs() {
		if _, ok := present[id]; !ok {
			gone = append(gone, id)
		}
	}
	if len(added)+len(bounced)+len(gone) == 0 {
		return nil
	}
	m.log.controller.Infof("Newly added brokers: %s, deleted brokers: %s, bounced brokers: %s, all live brokers: %s",
		join(added), join(gone), join(bounced), join(sortedKeys(present)))
	for _, id := range append(append([]model.BrokerID(nil), bounced...), gone...) {
		m.sender.Remove(id)
	}
	for _, id := range append(append([]model.BrokerID(nil), added...), bounced...) {
		m.sender.Add(present[id])
	}
	if err := m.brokersUp(added, present); err != nil {
		return err
	}
	if err := m.brokersDown(bounced); err != nil {
		return err
	}
	if err := m.brokersUp(bounced, present); err != nil {
		return err
	}
	if err := m.brokersDown(gone); err != nil {
		return err
	}
	m.log.controller.Infof("Updated broker epochs cache: %s", m.describeEpochs())
	return nil
}

func (m *machine) describeEpochs() string {
	var parts []string
	for _, id := range m.c.brokerIDs() {
		parts = append(parts, fmt.Sprintf("%d -> %d", id, m.c.brokers[id].Epoch))
	}
	return "HashMap(" + strings.Join(parts, ", ") + ")"
}

func (m *machine) brokersUp(ids []model.BrokerID, from map[model.BrokerID]model.Broker) error {
	if len(ids) == 0 {
		return nil
	}
	existing := m.c.brokerIDs()
	for _, id := range ids {
		m.c.brokers[id] = from[id]
		delete(m.c.offlineDirs, id)
	}
	m.log.controller.Infof("New broker startup callback for %s", join(ids))
	// The others hear of the new brokers, the new ones of all partitions.
	m.sendMetadata(existing, nil)
	m.sendMetadata(ids, m.c.selectPartitions(func(p *partition) bool { return p.leader != nil && !m.c.toDelete[p.Topic] }))
	replicas := m.c.replicasOn(ids...)
	if err := m.moveReplicas(replicas, OnlineReplica); err != nil {
		return err
	}
	if err := m.tryOnline(); err != nil {
		return err
	}
	err := m.resumeReassignments(func(p *partition) bool {
		return slices.ContainsFunc(p.target(), func(id model.BrokerID) bool { return slices.Contains(ids, id) })
	})
	if err != nil {
		return err
	}
	waiting := map[string]bool{}
	for _, r := range replicas {
		if m.c.toDelete[r.partition.Topic] {
			waiting[r.partition.Topic] = true
		}
	}
	if len(waiting) > 0 {
		m.log.controller.Infof("Some replicas for topics scheduled for deletion %s are on the newly restarted brokers %s. Signaling restart of topic deletion for these topics",
			strings.Join(sortedKeys(waiting), ","), join(ids))
		if err := m.unhaltDeletion(sortedKeys(waiting)); err != nil {
			return err
		}
	}
	m.log.controller.Debugf("Register BrokerModifications handler for %s", set("List", ids))
	for _, id := range ids {
		m.watchBroker(id)
	}
	return nil
}

func (m *machine) brokersDown(ids []model.BrokerID) error {
	if len(ids) == 0 {
		return nil
	}
	m.log.controller.Infof("Broker failure callback for %s", join(ids))
	var wereLeaving []model.BrokerID
	for _, id := range ids {
		delete(m.c.brokers, id)
		delete(m.c.offlineDirs, id)
		if m.c.shuttingDown[id] {
			delete(m.c.shuttingDown, id)
			wereLeaving = append(wereLeaving, id)
		}
	}
	if len(wereLeaving) > 0 {
		m.log.controller.Infof("Removed %s from list of shutting down brokers.", join(wereLeaving))
	}
	if err := m.replicasOffline(m.c.replicasOn(ids...)); err != nil {
		return err
	}
	m.log.controller.Debugf("Unregister BrokerModifications handler for %s", set("List", ids))
	for _, id := range ids {
		m.unwatchBroker(id)
	}
	return nil
}

// replicasOffline handles replicas whose broker or log directory went away.
func (m *machine) replicasOffline(list []replica) error {
	var deleting, rest []replica
	for _, r := range list {
		if m.c.toDelete[r.partition.Topic] {
			deleting = append(deleting, r)
		} else {
			rest = append(rest, r)
		}
	}
	leaderless := m.c.selectPartitions(func(p *partition) bool {
		return p.leader != nil && !m.c.isOnline(p.leader.Leader, p.TopicPartition) && !m.c.toDelete[p.Topic]
	})
	if _, err := m.movePartitions(leaderless, OfflinePartition, ""); err != nil {
		return err
	}
	if err := m.tryOnline(); err != nil {
		return err
	}
	if err := m.moveReplicas(rest, OfflineReplica); err != nil {
		return err
	}
	if err := m.failDeletion(deleting); err != nil {
		return err
	}
	if len(leaderless) == 0 {
		m.sendMetadata(m.c.brokerIDs(), nil)
	}
	return nil
}

// brokerDataChanged handles a registration that was written anew: other
// endpoints or another rack are announced to all brokers.
func (m *machine) brokerDataChanged(id model.BrokerID) error {
	old, known := m.c.brokers[id]
	if !known {
		return nil
	}
	list, err := m.store.Brokers()
	if err != nil {
		return err
	}
	for _, b := range list {
		if b.ID != id || b.Epoch != old.Epoch || fmt.Sprint(b.Endpoints) == fmt.Sprint(old.Endpoints) {
			continue
		}
		m.log.controller.Infof("Updated broker metadata: %s -> %s", endpoints(old), endpoints(b))
		m.c.brokers[id] = b
		m.sender.Remove(id)
		m.sender.Add(b)
		m.sendMetadata(m.c.brokerIDs(), nil)
	}
	return nil
}

func endpoints(b model.Broker) string {
	return fmt.Sprintf("%d : %s", b.ID, set("", b.Endpoints))
}

// leaderAndISRAnswered learns from a broker which of its replicas have their
// log directory and which lost it.
func (m *machine) leaderAndISRAnswered(from model.BrokerID, resp *kmsg.LeaderAndISRResponse) error {
	if resp.ErrorCode != 0 {
		m.state.Errorf("Received error in LeaderAndIsr response %s from broker %d", codeName(resp.ErrorCode), from)
		return nil
	}
	if _, live := m.c.brokers[from]; !live {
		return nil
	}
	var offline []model.TopicPartition
	codes := m.leaderAndISRCodes(resp)
	for _, tp := range sortedPartitions(maps.Keys(codes)) {
		switch code, known := codes[tp], m.c.offlineDirs[from][tp]; {
		case code == kerr.KafkaStorageError.Code && !known:
			offline = append(offline, tp)
		case code == 0 && known:
			delete(m.c.offlineDirs[from], tp)
		}
	}
	if len(offline) == 0 {
		return nil
	}
	if m.c.offlineDirs[from] == nil {
		m.c.offlineDirs[from] = map[model.TopicPartition]bool{}
	}
	var replicas []replica
	for _, tp := range offline {
		m.c.offlineDirs[from][tp] = true
		if p := m.c.partition(tp); p != nil {
			replicas = append(replicas, replica{p, from})
		}
	}
	m.state.Infof("Mark replicas %s on broker %d as offline", join(offline), from)
	return m.replicasOffline(replicas)
}

// leaderAndISRCodes reads the errors by partition; version 5 groups them by
// topic id.
func (m *machine) leaderAndISRCodes(resp *kmsg.LeaderAndISRResponse) map[model.TopicPartition]int16 {
	codes := map[model.TopicPartition]int16{}
	for _, p := range resp.Partitions {
		codes[model.TopicPartition{Topic: p.Topic, Partition: p.Partition}] = p.ErrorCode
	}
	for _, t := range resp.Topics {
		name, ok := m.c.names[t.TopicID]
		if !ok {
			continue
		}
		for _, p := range t.Partitions {
			codes[model.TopicPartition{Topic: name, Partition: p.Partition}] = p.ErrorCode
		}
	}
	return codes
}
