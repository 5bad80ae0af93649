package controller

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"gregor/pkg/kerr"
	"gregor/pkg/model"
)

// A reassignment (KIP-455) takes a partition from its replicas to a target.
// Its state is in the topic's znode, so that any controller can go on.
//
//	start   the topic's znode gets old and new replicas, and which are added
//	        and removed
//	phase A while the target is not in sync: a new leader epoch, old and new
//	        replicas are told, the added ones begin to follow
//	phase B once it is: the leader moves into the target, removed replicas are
//	        stopped and deleted, the znode gets the target alone
//
// Kafka takes partition by partition through all of it; here the partitions
// of a request, or of a leader's ISR change, go together, with the same
// writes and requests for each of them.

// startReassignments begins reassignments or changes running ones. wanted has
// the assignments on the way to the targets. It returns the errors by
// partition.
func (m *machine) startReassignments(wanted map[model.TopicPartition]Assignment) (failed map[model.TopicPartition]error, err error) {
	failed = map[model.TopicPartition]error{}
	var list []*partition
	for _, tp := range sortedPartitions(maps.Keys(wanted)) {
		p := m.c.partition(tp)
		switch {
		case m.c.toDelete[tp.Topic]:
			m.log.controller.Infof("Skipping reassignment of %s since the topic is currently being deleted", tp)
			failed[tp] = kerr.UnknownTopicOrPartition.With("The partition does not exist.")
		case p == nil || len(p.Replicas) == 0:
			failed[tp] = kerr.UnknownTopicOrPartition.With("The partition does not exist.")
		default:
			list = append(list, p)
		}
	}
	if list, err = m.refuseLoss(list, wanted, failed); err != nil {
		return nil, err
	}
	if list, err = m.applyAssignments(list, wanted, failed); err != nil {
		return nil, err
	}
	return failed, m.advanceReassignments(list, failed)
}

// refuseLoss sorts out partitions whose replicas in sync would all go with a
// target that is given up: those that were there before have fallen behind or
// died meanwhile. Kafka deletes them, and with them what only they have.
func (m *machine) refuseLoss(list []*partition, wanted map[model.TopicPartition]Assignment, failed map[model.TopicPartition]error) ([]*partition, error) {
	dropping := slices.DeleteFunc(slices.Clone(list), func(p *partition) bool { return subset(p.Replicas, wanted[p.TopicPartition].Replicas) })
	if err := m.loadStates(dropping); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(list, func(p *partition) bool {
		if !slices.Contains(dropping, p) || p.leader == nil || len(p.leader.ISR) == 0 {
			return false
		}
		if len(except(p.leader.ISR, wanted[p.TopicPartition].Replicas)) < len(p.leader.ISR) {
			return false
		}
		failed[p.TopicPartition] = kerr.InvalidReplicaAssignment.With("All replicas in sync would be removed. In sync replicas: %s, new replicas: %s",
			set("List", p.leader.ISR), set("List", wanted[p.TopicPartition].Replicas))
		m.log.controller.Warnf("The reassignment of partition %s from %s to %s is refused: all replicas in sync (%s) would be removed, and records with them",
			p, p.Assignment, wanted[p.TopicPartition], join(p.leader.ISR))
		return true
	}), nil
}

// applyAssignments writes assignments that differ from the present ones, and
// stops replicas that a former target had and the new one has not. It returns
// the partitions for which that went well.
func (m *machine) applyAssignments(list []*partition, wanted map[model.TopicPartition]Assignment, failed map[model.TopicPartition]error) ([]*partition, error) {
	before := map[*partition]Assignment{}
	for _, p := range list {
		before[p] = p.Assignment
		if next := wanted[p.TopicPartition]; !next.equal(p.Assignment) {
			m.log.controller.Debugf("Updating assignment of partition %s from %s to %s", p, p.Assignment, next)
			p.Assignment = next
		}
	}
	changed := slices.DeleteFunc(slices.Clone(list), func(p *partition) bool { return before[p].equal(p.Assignment) })
	lost, err := m.writeAssignments(changed)
	if err != nil {
		return nil, err
	}
	var unneeded []replica
	list = slices.DeleteFunc(slices.Clone(list), func(p *partition) bool {
		err := lost[p.Topic]
		if err == nil || before[p].equal(p.Assignment) {
			m.c.reassigning[p.TopicPartition] = true
			m.watchState(p.TopicPartition)
			for _, id := range except(before[p].Replicas, p.Replicas) {
				unneeded = append(unneeded, replica{p, id})
			}
			return false
		}
		p.Assignment = before[p]
		m.failReassignment(p, err, failed)
		return true
	})
	// One that leads hands over before it goes.
	var led []*partition
	for _, r := range unneeded {
		if r.partition.leader != nil && r.partition.leader.Leader == r.broker {
			led = append(led, r.partition)
		}
	}
	if _, err := m.movePartitions(led, OnlinePartition, electOffline); err != nil {
		return nil, err
	}
	return list, m.removeReplicas(unneeded, true)
}

func (m *machine) failReassignment(p *partition, err error, failed map[model.TopicPartition]error) {
	m.log.controller.Failure(err, "Error completing reassignment of partition %s", p)
	failed[p.TopicPartition] = kerr.UnknownServerError
}

// writeAssignments writes the znodes of the topics of partitions, each once.
// It returns the errors by topic.
func (m *machine) writeAssignments(list []*partition) (map[string]error, error) {
	topics := map[string]TopicAssignment{}
	for _, p := range list {
		if _, ok := topics[p.Topic]; ok {
			continue
		}
		t := m.c.topics[p.Topic]
		a := TopicAssignment{ID: t.id, Partitions: make(map[int32]Assignment, len(t.partitions))}
		for number, other := range t.partitions {
			a.Partitions[number] = other.Assignment
		}
		topics[p.Topic] = a
	}
	if len(topics) == 0 {
		return nil, nil
	}
	lost, err := m.store.UpdateTopicAssignments(topics)
	if err != nil {
		return nil, err
	}
	for _, p := range list {
		if lost[p.Topic] == nil {
			m.log.controller.Infof("Successfully updated assignment of partition %s to %s", p, p.Assignment)
		}
	}
	return lost, nil
}

// advanceReassignments takes partitions on that are being reassigned: those
// whose target is in sync are completed, the others are told how they stand.
func (m *machine) advanceReassignments(list []*partition, failed map[model.TopicPartition]error) error {
	if len(list) == 0 {
		return nil
	}
	if err := m.beginUnborn(list); err != nil {
		return err
	}
	ready, waiting, err := m.caughtUp(list)
	if err != nil {
		return err
	}
	if err := m.announceReassignments(waiting, failed); err != nil {
		return err
	}
	return m.finishReassignments(ready)
}

// beginUnborn lets partitions that never had a leader, since none of their
// replicas has been live, begin on the replicas that are added. Kafka leaves
// those for ever.
func (m *machine) beginUnborn(list []*partition) error {
	unborn := slices.DeleteFunc(slices.Clone(list), func(p *partition) bool { return p.state != NewPartition })
	if err := m.moveReplicas(unknownAdded(unborn), NewReplica); err != nil {
		return err
	}
	_, err := m.movePartitions(unborn, OnlinePartition, electOffline)
	return err
}

// unknownAdded are the added replicas of partitions that are not known yet.
// Others were told of before: this is a reassignment that goes on.
func unknownAdded(list []*partition) []replica {
	var added []replica
	for _, p := range list {
		for _, id := range p.Adding {
			if p.replicaState(id) == NonExistentReplica {
				added = append(added, replica{p, id})
			}
		}
	}
	return added
}

// caughtUp splits partitions by whether their target is in sync. A target
// that is in sync without a live replica that could lead does not count: to
// go on would take the partition from its present leader for nobody.
func (m *machine) caughtUp(list []*partition) (ready, waiting []*partition, err error) {
	running := slices.DeleteFunc(slices.Clone(list), func(p *partition) bool { return !p.InProgress() })
	if len(running) > 0 {
		if err := m.loadStates(running); err != nil {
			return nil, nil, err
		}
	}
	for _, p := range list {
		if !p.InProgress() || p.leader != nil && subset(p.target(), p.leader.ISR) && m.targetCanLead(p) {
			ready = append(ready, p)
		} else {
			waiting = append(waiting, p)
		}
	}
	return ready, waiting, nil
}

func (m *machine) targetCanLead(p *partition) bool {
	_, ok := elect(electReassign, m.ballot(p, *p.leader, false))
	return ok
}

// announceReassignments is phase A.
func (m *machine) announceReassignments(list []*partition, failed map[model.TopicPartition]error) error {
	list, err := m.raiseEpochs(list, failed)
	if err != nil {
		return err
	}
	m.tellReassigned(list)
	return m.moveReplicas(unknownAdded(list), NewReplica)
}

// tellReassigned sends partitions to their old and their added replicas. Only
// the added ones may choose a log directory freely, as new.
func (m *machine) tellReassigned(list []*partition) {
	if len(list) == 0 {
		return
	}
	b := m.newBatch()
	for _, p := range list {
		b.tellLeader(p.origin(), p, false)
		b.tellLeader(p.Adding, p, true)
	}
	b.send()
	for _, p := range list {
		m.state.Infof("Sent LeaderAndIsr request %s with new replica assignment %s to leader %d for partition being reassigned %s",
			p.leader.info(), p.Assignment, p.leader.Leader, p)
	}
}

// finishReassignments is phase B.
func (m *machine) finishReassignments(list []*partition) error {
	if len(list) == 0 {
		return nil
	}
	var added, removed []replica
	for _, p := range list {
		for _, id := range p.Adding {
			added = append(added, replica{p, id})
		}
		for _, id := range p.Removing {
			removed = append(removed, replica{p, id})
		}
	}
	if err := m.moveReplicas(added, OnlineReplica); err != nil {
		return err
	}
	for _, p := range list {
		p.Assignment = Assignment{Replicas: p.target()}
	}
	if err := m.moveLeadersIntoTarget(list); err != nil {
		return err
	}
	if err := m.removeReplicas(removed, false); err != nil {
		return err
	}
	lost, err := m.writeAssignments(list)
	if err != nil {
		return err
	}
	for _, name := range sortedKeys(lost) {
		m.log.controller.Failure(lost[name], "Failed to update assignment for topic %s", name)
	}
	return m.forgetReassignments(list)
}

// moveLeadersIntoTarget elects a leader for partitions whose leader is not in
// the target or not live; the others get a new leader epoch, which fences
// followers that are not replicas any more.
func (m *machine) moveLeadersIntoTarget(list []*partition) error {
	var elected, kept []*partition
	for _, p := range list {
		leader := model.NoBroker
		if p.leader != nil {
			leader = p.leader.Leader
		}
		text := fmt.Sprintf("Leader %d for partition %s being reassigned, ", leader, p)
		switch {
		case !slices.Contains(p.Replicas, leader):
			m.log.controller.Infof("%sis not in the new list of replicas %s. Re-electing leader", text, join(p.Replicas))
			elected = append(elected, p)
		case m.c.isOnline(leader, p.TopicPartition):
			m.log.controller.Infof("%sis already in the new list of replicas %s and is alive", text, join(p.Replicas))
			kept = append(kept, p)
		default:
			m.log.controller.Infof("%sis already in the new list of replicas %s but is dead", text, join(p.Replicas))
			elected = append(elected, p)
		}
	}
	if _, err := m.movePartitions(elected, OnlinePartition, electReassign); err != nil {
		return err
	}
	kept, err := m.raiseEpochs(kept, map[model.TopicPartition]error{})
	if err != nil {
		return err
	}
	m.tellReassigned(kept)
	return nil
}

// removeReplicas stops and deletes replicas that are no longer assigned. It
// does not wait for the brokers: one that is away keeps its files.
//
// Replicas of a target that was given up know the present leader epoch; with
// that a broker of 2.8 refuses to stop them, and Kafka leaves their files
// behind. Those are stopped anyway, that is, without an epoch.
func (m *machine) removeReplicas(list []replica, anyway bool) error {
	for _, to := range []ReplicaState{OfflineReplica, ReplicaDeletionStarted, ReplicaDeletionSuccessful, NonExistentReplica} {
		b := m.newBatch()
		b.stopAnyway = anyway
		if err := m.moveReplicasBy(b, list, to); err != nil {
			return err
		}
	}
	for _, r := range list {
		delete(r.partition.replicas, r.broker) // also where a step did not go
	}
	return nil
}

// forgetReassignments notes that partitions have arrived, and tells everybody.
func (m *machine) forgetReassignments(list []*partition) error {
	target := map[model.TopicPartition][]model.BrokerID{}
	for _, p := range list {
		target[p.TopicPartition] = p.Replicas
		m.unwatchState(p.TopicPartition)
	}
	err := m.removeFromRequest(func(tp model.TopicPartition, replicas []model.BrokerID) bool {
		t, ok := target[tp]
		return ok && slices.Equal(t, replicas)
	})
	if err != nil {
		return err
	}
	for _, p := range list {
		delete(m.c.reassigning, p.TopicPartition)
	}
	m.sendMetadata(m.c.brokerIDs(), list)
	return nil
}

// abandonReassignments ends those of a topic that is to be deleted, or gone. What
// is left of them, in the assignment as well, goes with the topic; Kafka leaves
// them in /admin/reassign_partitions, where no other can be asked for then.
func (m *machine) abandonReassignments(topic string) error {
	found := false
	for _, p := range m.c.partitionsOf(topic) {
		if m.c.reassigning[p.TopicPartition] {
			found = true
			m.unwatchState(p.TopicPartition)
		}
	}
	if !found {
		return nil
	}
	return m.removeFromRequest(func(tp model.TopicPartition, _ []model.BrokerID) bool { return tp.Topic == topic })
}

// reassignmentsCaughtUp completes those of partitions whose target is in sync
// now, after a change of their ISRs.
func (m *machine) reassignmentsCaughtUp(tps []model.TopicPartition) error {
	var list []*partition
	for _, tp := range tps {
		if p := m.c.partition(tp); p != nil && m.c.reassigning[tp] {
			list = append(list, p)
		}
	}
	if len(list) == 0 {
		return nil
	}
	ready, _, err := m.caughtUp(list)
	if err != nil {
		return err
	}
	for _, p := range ready {
		m.log.controller.Infof("Target replicas %s have all caught up with the leader for reassigning partition %s", set("ArrayBuffer", p.target()), p)
	}
	return m.finishReassignments(ready)
}

// resumeReassignments goes on with those for which resume holds.
func (m *machine) resumeReassignments(resume func(*partition) bool) error {
	var list []*partition
	for _, tp := range sortedPartitions(maps.Keys(m.c.reassigning)) {
		p := m.c.partition(tp)
		m.watchState(tp)
		if resume(p) {
			list = append(list, p)
		}
	}
	return m.advanceReassignments(list, map[model.TopicPartition]error{})
}

// raiseEpochs gives partitions a new leader epoch and leaves the rest of
// their states. It returns those for which that went well.
func (m *machine) raiseEpochs(list []*partition, failed map[model.TopicPartition]error) ([]*partition, error) {
	done := map[*partition]bool{}
	again := false
	for left := list; len(left) > 0; again = true {
		var err error
		if left, err = m.raiseEpochsOnce(left, again, done, failed); err != nil {
			return nil, err
		}
	}
	return slices.DeleteFunc(slices.Clone(list), func(p *partition) bool { return !done[p] }), nil
}

func (m *machine) raiseEpochsOnce(list []*partition, reread bool, done map[*partition]bool, failed map[model.TopicPartition]error) (again []*partition, err error) {
	current, err := m.currentStates(list, reread)
	if err != nil {
		return nil, err
	}
	updates := map[model.TopicPartition]LeaderISR{}
	for _, p := range list {
		s, ok := current[p.TopicPartition]
		switch {
		case !ok:
			m.failReassignment(p, illegalState("Cannot update leader epoch for partition %s as leaderAndIsr path is empty", p), failed)
		case s.ControllerEpoch > m.c.epoch:
			m.failReassignment(p, stateChangeFailed("Leader and isr path written by another controller. This probably means the current controller with epoch %d went through a soft failure and another controller was elected with epoch %d. Aborting state change by this controller",
				m.c.epoch, s.ControllerEpoch), failed)
		default:
			updates[p.TopicPartition] = s.next(s.Leader, s.ISR, m.c.epoch)
		}
	}
	if len(updates) == 0 {
		return nil, nil
	}
	written, err := m.store.UpdateStates(updates)
	if err != nil {
		return nil, err
	}
	for _, p := range list {
		u, ok := written[p.TopicPartition]
		switch {
		case !ok:
		case u.Conflict:
			again = append(again, p)
		case u.Err != nil:
			m.state.Errorf("Failed to send LeaderAndIsr request with new replica assignment %s to leader for partition being reassigned %s", p.Assignment, p)
			m.failReassignment(p, u.Err, failed)
		default:
			p.leader = &u.State
			done[p] = true
			m.log.controller.Infof("Updated leader epoch for partition %s to %d, zkVersion=%d", p, u.State.LeaderEpoch, u.State.ZkVersion)
		}
	}
	return again, nil
}

// describeTargets is Kafka's form of requested reassignments in log lines.
func describeTargets(targets map[model.TopicPartition][]model.BrokerID) string {
	parts := make([]string, 0, len(targets))
	for _, tp := range sortedPartitions(maps.Keys(targets)) {
		parts = append(parts, fmt.Sprintf("%s -> %s", tp, set("List", targets[tp])))
	}
	return "Map(" + strings.Join(parts, ", ") + ")"
}
