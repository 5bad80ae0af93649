package controller

import (
	"cmp"
	"maps"
	"slices"

	"gregor/pkg/model"
)

// moveReplicas makes replicas enter a state, broker by broker, and tells the
// brokers. Those that may not enter it from where they are are logged.
func (m *machine) moveReplicas(list []replica, to ReplicaState) error {
	return m.moveReplicasBy(m.newBatch(), list, to)
}

// moveReplicasBy is moveReplicas with a batch of the caller's.
func (m *machine) moveReplicasBy(b *batch, list []replica, to ReplicaState) error {
	if len(list) == 0 {
		return nil
	}
	byBroker := map[model.BrokerID][]replica{}
	for _, r := range list {
		byBroker[r.broker] = append(byBroker[r.broker], r)
	}
	for _, id := range sortedKeys(byBroker) {
		if err := m.moveReplicasOf(id, m.validReplicas(byBroker[id], to), to, b); err != nil {
			return err
		}
	}
	b.send()
	return nil
}

func (m *machine) validReplicas(list []replica, to ReplicaState) []replica {
	var valid []replica
	for _, r := range list {
		now := r.partition.replicaState(r.broker)
		if contains(replicaMayBecome[to], now) {
			valid = append(valid, r)
			continue
		}
		m.failedReplica(r, to, illegalState("Replica %s should be in the %s states before moving to %s state. Instead it is in %s state",
			r, join(replicaMayBecome[to]), to, now))
	}
	return valid
}

func (m *machine) failedReplica(r replica, to ReplicaState, err error) {
	m.state.Failure(err, "Controller %d epoch %d initiated state change of replica %d for partition %s from %s to %s failed",
		m.settings.ID, m.c.epoch, r.broker, r.partition, r.partition.replicaState(r.broker), to)
}

func (m *machine) moveReplicasOf(id model.BrokerID, list []replica, to ReplicaState, b *batch) error {
	switch to {
	case NewReplica:
		for _, r := range list {
			m.newReplica(r, b)
		}
	case OnlineReplica:
		for _, r := range list {
			m.onlineReplica(r, b)
		}
	case OfflineReplica:
		return m.offlineReplicas(id, list, b)
	case NonExistentReplica:
		for _, r := range list {
			r.partition.Assignment = r.partition.without(id)
			m.enter(r, to)
			delete(r.partition.replicas, id)
		}
	default:
		for _, r := range list {
			if to == ReplicaDeletionStarted {
				b.stop(id, r.partition, true)
			}
			m.enter(r, to)
		}
	}
	return nil
}

// enter notes the state and logs the change.
func (m *machine) enter(r replica, to ReplicaState) {
	m.state.Tracef("Changed state of replica %d for partition %s from %s to %s", r.broker, r.partition, r.partition.replicaState(r.broker), to)
	r.partition.replicas[r.broker] = to
}

// newReplica tells a replica of a partition that has a leader already.
func (m *machine) newReplica(r replica, b *batch) {
	if leader := r.partition.leader; leader != nil {
		if leader.Leader == r.broker {
			m.failedReplica(r, NewReplica, stateChangeFailed("Replica %d for partition %s cannot be moved to NewReplica state as it is being requested to become leader", r.broker, r.partition))
			return
		}
		b.tellLeader([]model.BrokerID{r.broker}, r.partition, true)
	}
	m.enter(r, NewReplica)
}

// onlineReplica tells a replica that returns where its partition stands; a
// new one was told when its partition came online.
func (m *machine) onlineReplica(r replica, b *batch) {
	if r.partition.replicaState(r.broker) != NewReplica && r.partition.leader != nil {
		b.tellLeader([]model.BrokerID{r.broker}, r.partition, false)
	}
	m.enter(r, OnlineReplica)
}

// offlineReplicas stops the replicas of one broker and takes them out of the
// ISR; the other replicas are told, unless the topic is going to be deleted.
func (m *machine) offlineReplicas(id model.BrokerID, list []replica, b *batch) error {
	var led []replica
	for _, r := range list {
		b.stop(id, r.partition, false)
		if r.partition.leader != nil {
			led = append(led, r)
		}
	}
	shrunk, err := m.removeFromISR(id, led)
	if err != nil {
		return err
	}
	for _, r := range led {
		p := r.partition
		if !shrunk[p.TopicPartition] {
			continue
		}
		m.state.Infof("Partition %s state changed to %s after removing replica %d from the ISR as part of transition to %s",
			p, p.leader.info(), id, OfflineReplica)
		if !m.c.toDelete[p.Topic] {
			b.tellLeader(keep(p.Replicas, func(other model.BrokerID) bool { return other != id }), p, false)
		}
		m.enter(r, OfflineReplica)
	}
	for _, r := range list {
		if r.partition.leader == nil {
			m.enter(r, OfflineReplica)
			b.tellMetadata(m.c.brokerIDs(), r.partition)
		}
	}
	return nil
}

// removeFromISR takes a broker out of the ISR of partitions; a leader becomes
// -1, and the last member of an ISR is never removed. It returns the
// partitions whose state is now known to be without the broker, or with it
// alone. A partition whose state znode is gone counts as such when its topic
// is being deleted.
func (m *machine) removeFromISR(id model.BrokerID, list []replica) (map[model.TopicPartition]bool, error) {
	done := map[model.TopicPartition]bool{}
	for again := false; len(list) > 0; again = true {
		left, err := m.removeFromISROnce(id, list, again, done)
		if err != nil {
			return nil, err
		}
		list = left
	}
	return done, nil
}

func (m *machine) removeFromISROnce(id model.BrokerID, list []replica, reread bool, done map[model.TopicPartition]bool) (again []replica, err error) {
	partitions := make([]*partition, len(list))
	for i, r := range list {
		partitions[i] = r.partition
	}
	current, err := m.currentStates(partitions, reread)
	if err != nil {
		return nil, err
	}
	updates := map[model.TopicPartition]LeaderISR{}
	for _, r := range list {
		p := r.partition
		s, ok := current[p.TopicPartition]
		switch {
		case !ok && m.c.toDelete[p.Topic]:
			done[p.TopicPartition] = true
		case !ok:
			m.failedReplica(r, OfflineReplica, stateChangeFailed("Failed to change state of replica %d for partition %s since the leader and isr path in zookeeper is empty", id, p))
		case s.ControllerEpoch > m.c.epoch:
			m.failedReplica(r, OfflineReplica, stateChangeFailed("Leader and isr path written by another controller. This probably means the current controller with epoch %d went through a soft failure and another controller was elected with epoch %d. Aborting state change by this controller", m.c.epoch, s.ControllerEpoch))
		case !slices.Contains(s.ISR, id):
			s.ControllerEpoch = m.c.epoch
			p.leader = &s
			done[p.TopicPartition] = true
		default:
			leader, isr := s.Leader, s.ISR
			if leader == id {
				leader = model.NoBroker
			}
			if rest := except(isr, []model.BrokerID{id}); len(rest) > 0 {
				isr = rest
			}
			updates[p.TopicPartition] = s.next(leader, isr, m.c.epoch)
		}
	}
	if len(updates) == 0 {
		return nil, nil
	}
	written, err := m.store.UpdateStates(updates)
	if err != nil {
		return nil, err
	}
	for _, r := range list {
		u, ok := written[r.partition.TopicPartition]
		switch {
		case !ok:
		case u.Conflict:
			again = append(again, r)
		case u.Err != nil:
			m.failedReplica(r, OfflineReplica, u.Err)
		default:
			r.partition.leader = &u.State
			done[r.partition.TopicPartition] = true
		}
	}
	return again, nil
}

func names(list []*partition) []model.TopicPartition {
	tps := make([]model.TopicPartition, len(list))
	for i, p := range list {
		tps[i] = p.TopicPartition
	}
	return tps
}

func contains[S comparable](list []S, s S) bool { return slices.Contains(list, s) }

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
