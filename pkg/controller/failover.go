package controller

import (
	"slices"
	"strings"

	"gregor/pkg/model"
)

// failover makes this broker work as the controller, after it was elected and
// its watches were set: it loads the cluster and brings it to where it should
// be. The order is Kafka's.
func (m *machine) failover() error {
	if err := m.clearNotifications(); err != nil {
		return err
	}
	if err := m.loadCluster(); err != nil {
		return err
	}
	m.log.controller.Infof("Fetching topic deletions in progress")
	marked, err := m.store.TopicDeletions()
	if err != nil {
		return err
	}
	ineligible := m.topicsWithOfflineReplicas()
	m.log.controller.Infof("List of topics to be deleted: %s", strings.Join(marked, ","))
	m.log.controller.Infof("List of topics ineligible for deletion: %s", strings.Join(sortedKeys(ineligible), ","))
	m.log.controller.Infof("Initializing topic deletion manager")
	if err := m.initDeletion(marked, ineligible); err != nil {
		return err
	}
	// Brokers learn of the live brokers before any LeaderAndIsr: a follower
	// does not fetch from a leader that it does not know.
	m.log.controller.Infof("Sending update metadata request")
	m.sendMetadata(m.c.brokerIDs(), nil)
	if err := m.startReplicas(); err != nil {
		return err
	}
	if err := m.startPartitions(); err != nil {
		return err
	}
	m.log.controller.Infof("Ready to serve as the new controller with epoch %d", m.c.epoch)
	requested, err := m.reassignmentRequested()
	if err != nil {
		return err
	}
	if err := m.resumeReassignments(func(p *partition) bool { return !requested[p.TopicPartition] }); err != nil {
		return err
	}
	if err := m.resumeDeletions(); err != nil {
		return err
	}
	return m.resumePreferredElection()
}

// clearNotifications drops what was announced to former controllers; loading
// the cluster sees all of it.
func (m *machine) clearNotifications() error {
	m.log.controller.Infof("Deleting log dir event notifications")
	events, _, err := m.store.LogDirEvents()
	if err != nil {
		return err
	}
	if err := m.store.RemoveLogDirEvents(events); err != nil {
		return err
	}
	m.log.controller.Infof("Deleting isr change notifications")
	changes, _, err := m.store.ISRChanges()
	if err != nil {
		return err
	}
	return m.store.RemoveISRChanges(changes)
}

func (m *machine) loadCluster() error {
	m.log.controller.Infof("Initializing controller context")
	brokers, err := m.store.Brokers()
	if err != nil {
		return err
	}
	for _, b := range brokers {
		m.c.brokers[b.ID] = b
	}
	m.log.controller.Infof("Initialized broker epochs cache: %s", m.describeEpochs())
	topics, err := m.store.Topics()
	if err != nil {
		return err
	}
	if _, err := m.loadTopics(topics); err != nil {
		return err
	}
	if err := m.loadStates(m.c.selectPartitions(func(*partition) bool { return true })); err != nil {
		return err
	}
	ids := m.c.brokerIDs()
	m.log.controller.Debugf("Register BrokerModifications handler for %s", set("Set", ids))
	for _, id := range ids {
		m.watchBroker(id)
		m.sender.Add(m.c.brokers[id])
	}
	m.log.controller.Infof("Currently active brokers in the cluster: %s", set("Set", ids))
	m.log.controller.Infof("Currently shutting brokers in the cluster: HashSet()")
	m.log.controller.Infof("Current list of topics in the cluster: %s", set("HashSet", sortedKeys(m.c.topics)))
	return nil
}

// loadStates reads the state znodes of partitions.
func (m *machine) loadStates(list []*partition) error {
	if len(list) == 0 {
		return nil
	}
	states, err := m.store.States(names(list))
	if err != nil {
		return err
	}
	for _, p := range list {
		if s, ok := states[p.TopicPartition]; ok {
			p.leader = &s
		}
	}
	return nil
}

func (m *machine) topicsWithOfflineReplicas() map[string]bool {
	found := map[string]bool{}
	for _, r := range replicasOf(m.c.selectPartitions(func(*partition) bool { return true })) {
		if !m.c.isOnline(r.broker, r.partition.TopicPartition) {
			found[r.partition.Topic] = true
		}
	}
	return found
}

func (m *machine) startReplicas() error {
	m.log.replicas.Infof("Initializing replica state")
	var online, offline []replica
	for _, r := range replicasOf(m.c.selectPartitions(func(*partition) bool { return true })) {
		if m.c.isOnline(r.broker, r.partition.TopicPartition) {
			r.partition.replicas[r.broker] = OnlineReplica
			online = append(online, r)
		} else {
			r.partition.replicas[r.broker] = ReplicaDeletionIneligible
			offline = append(offline, r)
		}
	}
	m.log.replicas.Infof("Triggering online replica state changes")
	if err := m.moveReplicas(online, OnlineReplica); err != nil {
		return err
	}
	m.log.replicas.Infof("Triggering offline replica state changes")
	return m.moveReplicas(offline, OfflineReplica)
}

func (m *machine) startPartitions() error {
	m.log.partitions.Infof("Initializing partition state")
	for _, p := range m.c.selectPartitions(func(*partition) bool { return true }) {
		switch {
		case p.leader == nil:
			p.state = NewPartition
		case m.c.isOnline(p.leader.Leader, p.TopicPartition):
			p.state = OnlinePartition
		default:
			p.state = OfflinePartition
		}
	}
	m.log.partitions.Infof("Triggering online partition state changes")
	return m.tryOnline()
}

// logDirsFailed handles notifications of brokers that lost a log directory:
// the answer to a LeaderAndIsr for all their replicas tells which ones.
func (m *machine) logDirsFailed() error {
	events, brokers, err := m.store.LogDirEvents()
	if err != nil || len(events) == 0 {
		return err
	}
	slices.Sort(brokers)
	brokers = slices.Compact(brokers)
	m.log.controller.Infof("Handling log directory failure for brokers %s", join(brokers))
	replicas := m.c.replicasOn(brokers...)
	replicas = slices.DeleteFunc(replicas, func(r replica) bool {
		return !contains(replicaMayBecome[OnlineReplica], r.partition.replicaState(r.broker)) || m.c.toDelete[r.partition.Topic]
	})
	if err := m.moveReplicas(replicas, OnlineReplica); err != nil {
		return err
	}
	return m.store.RemoveLogDirEvents(events)
}

// isrChanged handles notifications of leaders that changed an ISR themselves,
// as brokers do below inter.broker.protocol.version 2.7-IV2.
func (m *machine) isrChanged() error {
	changes, tps, err := m.store.ISRChanges()
	if err != nil || len(changes) == 0 {
		return err
	}
	m.leadersWrite = true
	var list []*partition
	for _, tp := range tps {
		if p := m.c.partition(tp); p != nil && !slices.Contains(list, p) {
			list = append(list, p)
		}
	}
	if len(list) > 0 {
		if err := m.loadStates(list); err != nil {
			return err
		}
		m.log.controller.Debugf("Sending MetadataRequest to Brokers: %s for TopicAndPartitions: %s", join(m.c.brokerIDs()), join(list))
		m.sendMetadata(m.c.brokerIDs(), list)
		if err := m.reassignmentsCaughtUp(names(list)); err != nil {
			return err
		}
	}
	return m.store.RemoveISRChanges(changes)
}

// brokerLeaves handles a broker's wish to shut down: its leaderships move to
// other replicas in sync, and it leaves the ISRs. It returns the partitions
// that it still leads although they have other replicas.
func (m *machine) brokerLeaves(id model.BrokerID) ([]model.TopicPartition, error) {
	m.c.shuttingDown[id] = true
	m.log.controller.Debugf("All shutting down brokers: %s", join(sortedKeys(m.c.shuttingDown)))
	m.log.controller.Debugf("Live brokers: %s", join(m.c.liveIDs()))
	replicated := func(p *partition) bool {
		return len(p.Replicas) > 1 && p.leader != nil && !m.c.toDelete[p.Topic] && slices.Contains(p.Replicas, id)
	}
	led := m.c.selectPartitions(func(p *partition) bool { return replicated(p) && p.leader.Leader == id })
	followed := m.c.selectPartitions(func(p *partition) bool { return replicated(p) && p.leader.Leader != id })
	if _, err := m.movePartitions(led, OnlinePartition, electControlledShutdown); err != nil {
		return nil, err
	}
	// The broker stops to follow before its ISR membership is taken away, so
	// that its leaders do not take it in again.
	b := m.newBatch()
	var replicas []replica
	for _, p := range followed {
		b.stop(id, p, false)
		replicas = append(replicas, replica{p, id})
	}
	b.send()
	if err := m.moveReplicas(replicas, OfflineReplica); err != nil {
		return nil, err
	}
	return names(m.c.selectPartitions(func(p *partition) bool { return replicated(p) && p.leader.Leader == id })), nil
}
