package controller

import (
	"fmt"
	"slices"

	"gregor/pkg/model"
)

// resumePreferredElection finishes, at failover, an election that was asked
// for through ZooKeeper.
func (m *machine) resumePreferredElection() error {
	asked, _, err := m.store.PreferredElection()
	if err != nil {
		return err
	}
	var done, deleting, pending []*partition
	for _, tp := range asked {
		p := m.c.partition(tp)
		switch {
		case p == nil || p.leader != nil && len(p.Replicas) > 0 && p.leader.Leader == p.Replicas[0]:
			if p != nil {
				done = append(done, p)
			}
		case m.c.toDelete[tp.Topic]:
			deleting = append(deleting, p)
		default:
			pending = append(pending, p)
		}
	}
	l := m.log.controller
	l.Infof("Partitions undergoing preferred replica election: %s", join(asked))
	l.Infof("Partitions that completed preferred replica election: %s", join(done))
	l.Infof("Skipping preferred replica election for partitions due to topic deletion: %s", join(deleting))
	l.Infof("Resuming preferred replica election for partitions: %s", join(pending))
	if err := m.electPreferredFor(pending, zkTriggered); err != nil {
		return err
	}
	return m.store.RemovePreferredElection()
}

// preferredElectionRequested handles /admin/preferred_replica_election. The
// node goes whatever comes out of it.
func (m *machine) preferredElectionRequested() error {
	asked, found, err := m.store.PreferredElection()
	if err != nil || !found {
		return err
	}
	wanted, _ := m.electable(asked, false, zkTriggered)
	if err := m.electPreferredFor(wanted, zkTriggered); err != nil {
		return err
	}
	return m.store.RemovePreferredElection()
}

// electPreferredFor gives partitions back to their first replicas, where that
// is possible.
func (m *machine) electPreferredFor(list []*partition, by trigger) error {
	m.log.controller.Infof("Starting replica leader election (PREFERRED) for partitions %s triggered by %s", join(list), by)
	failed, err := m.movePartitions(list, OnlinePartition, electPreferred)
	if err != nil {
		return err
	}
	for _, p := range list {
		if err := failed[p.TopicPartition]; err != nil {
			m.log.controller.Failure(err, "Error completing replica leader election (PREFERRED) for partition %s", p)
		}
	}
	return nil
}

// rebalanceLeaders looks for brokers that lead too few of the partitions for
// which they are preferred, and gives those back to them.
func (m *machine) rebalanceLeaders() error {
	l := m.log.controller
	l.Infof("Processing automatic preferred replica leader election")
	l.Tracef("Checking need to trigger auto leader balancing")
	preferring := map[model.BrokerID][]*partition{}
	for _, p := range m.c.selectPartitions(func(p *partition) bool { return !m.c.toDelete[p.Topic] && len(p.Replicas) > 0 }) {
		preferring[p.Replicas[0]] = append(preferring[p.Replicas[0]], p)
	}
	for _, id := range sortedKeys(preferring) {
		all := preferring[id]
		away := slices.DeleteFunc(slices.Clone(all), func(p *partition) bool { return p.leader == nil || p.leader.Leader == id })
		l.Debugf("Topics not in preferred replica for broker %d %s", id, describeAway(away))
		ratio := float64(len(away)) / float64(len(all))
		l.Tracef("Leader imbalance ratio for broker %d is %s", id, scalaDouble(ratio))
		if ratio <= float64(m.settings.ImbalancePercentage)/100 {
			continue
		}
		possible := slices.DeleteFunc(away, func(p *partition) bool {
			_, ok := elect(electPreferred, m.ballot(p, *p.leader, false))
			return !ok || len(m.c.reassigning) > 0
		})
		if err := m.electPreferredFor(possible, autoTriggered); err != nil {
			return err
		}
	}
	return nil
}

func describeAway(list []*partition) string {
	text := "Map("
	for i, p := range list {
		if i > 0 {
			text += ", "
		}
		text += fmt.Sprintf("%s -> %s", p, set("List", p.Replicas))
	}
	return text + ")"
}

// scalaDouble writes a number as Scala does: 0.0, 0.5, 1.0.
func scalaDouble(f float64) string {
	if f == float64(int(f)) {
		return fmt.Sprintf("%.1f", f)
	}
	return fmt.Sprint(f)
}
