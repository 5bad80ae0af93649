package controller

import (
	"context"
	"errors"
	"maps"
	"slices"

	"gregor/pkg/kerr"
	"gregor/pkg/model"
	"gregor/pkg/zkstore"
)

// ISRChange is the ISR that the leader of a partition proposes (KIP-497).
type ISRChange struct {
	model.TopicPartition
	LeaderEpoch model.LeaderEpoch
	ISR         []model.BrokerID
	Version     model.PartitionEpoch // of the state that the leader knows
}

// ISRResult is what became of a change: the state of the partition as it is
// now, or why it was refused.
type ISRResult struct {
	model.TopicPartition
	State LeaderISR
	Err   error
}

// AlterISR writes the ISRs that a leader proposes, and announces them to all
// brokers. Of two changes for one partition the later counts; results are
// ordered by partition.
//
// Errors: NOT_CONTROLLER; STALE_BROKER_EPOCH when the leader is not registered
// with exactly this epoch. Of a partition: UNKNOWN_TOPIC_OR_PARTITION,
// FENCED_LEADER_EPOCH, INVALID_UPDATE_VERSION when the znode has another
// version. Two more refuse what no sound leader asks for: INVALID_REQUEST for
// an ISR that is not a set of replicas with the leader among them, and
// NOT_CONTROLLER for a leader epoch that this controller has not given out.
func (c *Controller) AlterISR(ctx context.Context, id model.BrokerID, epoch model.BrokerEpoch, changes []ISRChange) ([]ISRResult, error) {
	var results []ISRResult
	err := c.ask(ctx, "AlterIsr", func(m *machine) error {
		var err error
		results, err = m.alterISR(id, epoch, changes)
		return err
	})
	if errors.Is(err, zkstore.ErrControllerMoved) {
		err = kerr.NotController
	}
	return results, err
}

func (m *machine) alterISR(id model.BrokerID, epoch model.BrokerEpoch, changes []ISRChange) ([]ISRResult, error) {
	known, ok := m.c.brokers[id]
	switch {
	case !ok:
		m.log.controller.Infof("Ignoring AlterIsr due to unknown broker %d", id)
		return nil, kerr.StaleBrokerEpoch
	case known.Epoch != epoch:
		m.log.controller.Infof("Ignoring AlterIsr due to stale broker epoch %d for broker %d", epoch, id)
		return nil, kerr.StaleBrokerEpoch
	}
	asked := make(map[model.TopicPartition]ISRChange, len(changes))
	for _, change := range changes {
		asked[change.TopicPartition] = change
	}
	results := make(map[model.TopicPartition]ISRResult, len(asked))
	proposed := map[model.TopicPartition]LeaderISR{}
	for tp, change := range asked {
		result, write := m.judgeISR(id, change)
		if write {
			proposed[tp] = LeaderISR{Leader: id, LeaderEpoch: change.LeaderEpoch, ISR: change.ISR, ControllerEpoch: m.c.epoch, ZkVersion: change.Version}
			continue
		}
		results[tp] = result
	}
	m.log.controller.Debugf("Updating ISRs for partitions: %s.", set("Set", sortedPartitions(maps.Keys(proposed))))
	if err := m.writeISRs(proposed, results); err != nil {
		return nil, err
	}
	order := sortedPartitions(maps.Keys(asked))
	m.announceISRs(order)
	if err := m.expelOffline(id, proposed, results); err != nil {
		return nil, err
	}
	m.finishReassignmentsSoon(order, results)
	list := make([]ISRResult, len(order))
	for i, tp := range order {
		list[i] = results[tp]
		list[i].TopicPartition = tp
	}
	return list, nil
}

// judgeISR decides on a change by what is in memory: it is to be written, or
// the result stands already.
func (m *machine) judgeISR(id model.BrokerID, change ISRChange) (result ISRResult, write bool) {
	p := m.c.partition(change.TopicPartition)
	if p == nil || p.leader == nil {
		return ISRResult{Err: kerr.UnknownTopicOrPartition}, false
	}
	now := *p.leader
	switch {
	case change.LeaderEpoch < now.LeaderEpoch, change.LeaderEpoch == now.LeaderEpoch && now.Leader != id:
		return ISRResult{Err: kerr.FencedLeaderEpoch}, false
	case change.LeaderEpoch > now.LeaderEpoch:
		return ISRResult{Err: kerr.NotController}, false
	case slices.Equal(change.ISR, now.ISR):
		return ISRResult{State: now}, false
	case !soundISR(change.ISR, id, p.Replicas):
		return ISRResult{Err: kerr.InvalidRequest}, false
	}
	return ISRResult{}, true
}

// soundISR reports whether an ISR has the leader, no broker twice, and none
// that is not a replica.
func soundISR(isr []model.BrokerID, leader model.BrokerID, replicas []model.BrokerID) bool {
	for i, id := range isr {
		if !slices.Contains(replicas, id) || slices.Contains(isr[:i], id) {
			return false
		}
	}
	return slices.Contains(isr, leader)
}

// writeISRs writes the proposed states, each on the condition of its version.
func (m *machine) writeISRs(proposed map[model.TopicPartition]LeaderISR, results map[model.TopicPartition]ISRResult) error {
	if len(proposed) == 0 {
		return nil
	}
	written, err := m.store.UpdateStates(proposed)
	if err != nil {
		return err
	}
	var conflicts []model.TopicPartition
	for _, tp := range sortedPartitions(maps.Keys(proposed)) {
		switch u := written[tp]; {
		case u.Conflict:
			conflicts = append(conflicts, tp)
		case u.Err != nil:
			m.log.controller.Trouble(u.Err, "Failed to update ISR for partition %s", tp)
			results[tp] = ISRResult{Err: u.Err}
		default:
			m.log.controller.Debugf("ISR for partition %s updated to [%s] and zkVersion updated to [%d]", tp, join(u.State.ISR), u.State.ZkVersion)
			m.c.partition(tp).leader = &u.State
			results[tp] = ISRResult{State: u.State}
		}
	}
	return m.settleConflicts(conflicts, proposed, results)
}

// settleConflicts looks at partitions whose znode had another version. One
// that holds just what was to be written was written before, by a request
// whose answer was lost; the others are refused.
func (m *machine) settleConflicts(conflicts []model.TopicPartition, proposed map[model.TopicPartition]LeaderISR, results map[model.TopicPartition]ISRResult) error {
	if len(conflicts) == 0 {
		return nil
	}
	found, err := m.store.States(conflicts)
	if err != nil {
		return err
	}
	for _, tp := range conflicts {
		want, have := proposed[tp], found[tp]
		if want.Leader == have.Leader && want.LeaderEpoch == have.LeaderEpoch && slices.Equal(want.ISR, have.ISR) {
			m.c.partition(tp).leader = &have
			results[tp] = ISRResult{State: have}
			continue
		}
		m.log.controller.Debugf("Failed to update ISR for partition %s, bad ZK version", tp)
		results[tp] = ISRResult{Err: kerr.InvalidUpdateVersion}
	}
	return nil
}

// announceISRs tells all brokers how the partitions of a request stand,
// changed or not: who asked in vain needs to know.
func (m *machine) announceISRs(tps []model.TopicPartition) {
	var list []*partition
	for _, tp := range tps {
		if p := m.c.partition(tp); p != nil {
			list = append(list, p)
		} else {
			m.log.batch.Infof("Leader not yet assigned for partition %s. Skip sending UpdateMetadataRequest.", tp)
		}
	}
	m.sendMetadata(m.c.brokerIDs(), list)
}

// finishReassignmentsSoon looks, after the leader has its answer, whether the
// targets of partitions are in sync now.
func (m *machine) finishReassignmentsSoon(order []model.TopicPartition, results map[model.TopicPartition]ISRResult) {
	changed := slices.DeleteFunc(slices.Clone(order), func(tp model.TopicPartition) bool {
		return results[tp].Err != nil || !m.c.reassigning[tp]
	})
	if len(changed) > 0 {
		m.post("PartitionReassignmentIsrChange", func() error { return m.reassignmentsCaughtUp(changed) })
	}
}

// expelOffline takes replicas out again that came into an ISR although they
// are gone or about to go: the leader had decided before it knew. To refuse
// the change would not do, since a leader of 2.8 keeps what it proposed until
// it is told anew, and waits for the replica that is gone; Kafka leaves it to
// the leader to find out, which takes replica.lag.time.max.ms.
func (m *machine) expelOffline(leader model.BrokerID, proposed map[model.TopicPartition]LeaderISR, results map[model.TopicPartition]ISRResult) error {
	var gone []replica
	for _, tp := range sortedPartitions(maps.Keys(proposed)) {
		p := m.c.partition(tp)
		if results[tp].Err != nil || m.c.toDelete[tp.Topic] {
			continue
		}
		for _, id := range p.leader.ISR {
			if id != leader && !m.c.isOnline(id, tp) {
				gone = append(gone, replica{p, id})
			}
		}
	}
	return m.moveReplicas(gone, OfflineReplica)
}
