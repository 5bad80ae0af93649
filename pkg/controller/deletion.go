package controller

import (
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/kerr"
	"gregor/pkg/model"
)

// Deletion of a topic: its partitions go to NonExistentPartition, brokers
// hear that it has no leader, every live replica is stopped and then deleted
// (StopReplica with delete); when all have answered, the znodes go, the mark
// under /admin/delete_topics last. A replica that is offline or fails makes
// the topic ineligible until its broker comes back.

// reasonOffline and reasonFailed are Kafka's words for why a deletion halts.
const (
	reasonOffline = "offline replicas"
	reasonFailed  = "replica deletion failure"
)

// initDeletion takes over the marks that a failover found.
func (m *machine) initDeletion(marked []string, ineligible map[string]bool) error {
	m.log.deletion.Infof("Initializing manager with initial deletions: %s, initial ineligible deletions: %s",
		set("Set", marked), set("HashSet", sortedKeys(ineligible)))
	if !m.settings.DeleteTopicEnable {
		m.log.deletion.Infof("Removing %s since delete topic is disabled", set("Set", marked))
		return m.store.RemoveTopicDeletions(marked)
	}
	for _, name := range marked {
		if err := m.abandonReassignments(name); err != nil {
			return err
		}
		if ineligible[name] {
			m.c.ineligible[name] = reasonOffline
		}
	}
	m.c.markForDeletion(marked)
	return nil
}

// topicDeletions handles a change of /admin/delete_topics.
func (m *machine) topicDeletions() error {
	marked, err := m.store.TopicDeletions()
	if err != nil {
		return err
	}
	if len(marked) == 0 {
		return nil
	}
	m.log.controller.Debugf("Delete topics listener fired for topics %s to be deleted", strings.Join(marked, ","))
	var known, unknown []string
	for _, name := range marked {
		if m.c.topics[name] != nil {
			known = append(known, name)
		} else {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) > 0 {
		m.log.controller.Warnf("Ignoring request to delete non-existing topics %s", strings.Join(unknown, ","))
		if err := m.store.RemoveTopicDeletions(unknown); err != nil {
			return err
		}
	}
	if !m.settings.DeleteTopicEnable {
		m.log.controller.Infof("Removing %s since delete topic is disabled", set("Set", known))
		return m.store.RemoveTopicDeletions(known)
	}
	if len(known) == 0 {
		return nil
	}
	m.log.controller.Infof("Starting topic deletion for topics %s", strings.Join(known, ","))
	for _, name := range known {
		if err := m.abandonReassignments(name); err != nil {
			return err
		}
	}
	m.c.markForDeletion(known)
	return m.resumeDeletions()
}

// resumeDeletions moves every deletion on as far as it can go now.
func (m *machine) resumeDeletions() error {
	queued := sortedKeys(m.c.toDelete)
	if len(queued) == 0 {
		return nil
	}
	m.log.deletion.Infof("Handling deletion for topics %s", strings.Join(queued, ","))
	var retry, start []string
	for _, name := range queued {
		replicas := replicasOf(m.c.partitionsOf(name))
		switch {
		case len(inState(replicas, ReplicaDeletionSuccessful)) == len(replicas):
			if err := m.completeDeletion(name); err != nil {
				return err
			}
			m.log.deletion.Infof("Deletion of topic %s successfully completed", name)
			continue
		case len(inState(replicas, ReplicaDeletionStarted)) > 0:
			continue
		case len(inState(replicas, ReplicaDeletionIneligible)) > 0:
			retry = append(retry, name)
		}
		if m.c.ineligible[name] == "" {
			m.log.deletion.Infof("Deletion of topic %s (re)started", name)
			start = append(start, name)
		}
	}
	if err := m.retryDeletion(retry); err != nil {
		return err
	}
	return m.startDeletion(start)
}

// completeDeletion forgets a topic of which no replica is left. Its data is
// not watched any more before its znode goes, so that a topic made anew under
// the name is seen as new.
func (m *machine) completeDeletion(name string) error {
	m.unwatchTopic(name)
	if err := m.moveReplicas(replicasOf(m.c.partitionsOf(name)), NonExistentReplica); err != nil {
		return err
	}
	if err := m.store.DeleteTopic(name); err != nil {
		return err
	}
	m.c.forget(name)
	return nil
}

func (m *machine) retryDeletion(topics []string) error {
	if len(topics) == 0 {
		return nil
	}
	failed := inState(replicasOf(m.c.partitionsOf(topics...)), ReplicaDeletionIneligible)
	m.log.deletion.Debugf("Retrying deletion of topics %s since replicas %s were not successfully deleted", strings.Join(topics, ","), join(failed))
	return m.moveReplicas(failed, OfflineReplica)
}

func (m *machine) startDeletion(topics []string) error {
	if len(topics) == 0 {
		return nil
	}
	fresh := slices.DeleteFunc(slices.Clone(topics), func(name string) bool { return m.c.deletionBegun[name] })
	for _, to := range []PartitionState{OfflinePartition, NonExistentPartition} {
		if _, err := m.movePartitions(m.c.partitionsOf(fresh...), to, ""); err != nil {
			return err
		}
	}
	for _, name := range fresh {
		m.c.deletionBegun[name] = true
	}
	m.sendMetadata(m.c.brokerIDs(), m.c.partitionsOf(topics...))
	return m.deleteReplicas(topics)
}

// deleteReplicas stops and deletes the live replicas; dead ones make their
// topic ineligible.
func (m *machine) deleteReplicas(topics []string) error {
	var dead, alive []replica
	halted := map[string]bool{}
	for _, r := range replicasOf(m.c.partitionsOf(topics...)) {
		switch {
		case !m.c.isOnline(r.broker, r.partition.TopicPartition):
			dead = append(dead, r)
			halted[r.partition.Topic] = true
		case r.partition.replicaState(r.broker) != ReplicaDeletionSuccessful:
			alive = append(alive, r)
		}
	}
	if len(dead) > 0 {
		m.log.deletion.Debugf("Dead Replicas (%s) found for topics %s", join(dead), strings.Join(sortedKeys(halted), ","))
	}
	if err := m.moveReplicas(dead, ReplicaDeletionIneligible); err != nil {
		return err
	}
	if err := m.moveReplicas(alive, OfflineReplica); err != nil {
		return err
	}
	if err := m.moveReplicas(alive, ReplicaDeletionStarted); err != nil {
		return err
	}
	m.haltDeletion(sortedKeys(halted), reasonOffline)
	return nil
}

func (m *machine) haltDeletion(topics []string, reason string) {
	halted := slices.DeleteFunc(slices.Clone(topics), func(name string) bool { return !m.c.toDelete[name] })
	for _, name := range halted {
		m.c.ineligible[name] = reason
	}
	if len(halted) > 0 {
		m.log.deletion.Infof("Halted deletion of topics %s due to %s", strings.Join(halted, ","), reason)
	}
}

// stopReplicaAnswered takes a broker's answer for replicas that it was told
// to delete. An error of the whole request stands for all of them.
func (m *machine) stopReplicaAnswered(from model.BrokerID, asked []model.TopicPartition, resp *kmsg.StopReplicaResponse) error {
	codes := map[model.TopicPartition]int16{}
	for _, tp := range asked {
		codes[tp] = resp.ErrorCode
	}
	for _, p := range resp.Partitions {
		tp := model.TopicPartition{Topic: p.Topic, Partition: p.Partition}
		if _, ok := codes[tp]; ok && resp.ErrorCode == 0 {
			codes[tp] = p.ErrorCode
		}
	}
	m.log.controller.Debugf("Delete topic callback invoked on StopReplica response received from broker %d: request error = %s, partition errors = %s",
		from, codeName(resp.ErrorCode), describeCodes(asked, codes))
	var deleted, failed []replica
	for _, tp := range asked {
		p := m.c.partition(tp)
		if p == nil || p.replicaState(from) != ReplicaDeletionStarted {
			continue // forgotten, or given up meanwhile
		}
		if codes[tp] == 0 {
			deleted = append(deleted, replica{p, from})
		} else {
			failed = append(failed, replica{p, from})
		}
	}
	if err := m.failDeletion(failed); err != nil {
		return err
	}
	if len(deleted) == 0 {
		return nil
	}
	m.log.deletion.Debugf("Deletion successfully completed for replicas %s", join(deleted))
	if err := m.moveReplicas(deleted, ReplicaDeletionSuccessful); err != nil {
		return err
	}
	return m.resumeDeletions()
}

// failDeletion marks replicas that cannot be deleted now.
func (m *machine) failDeletion(list []replica) error {
	list = slices.DeleteFunc(list, func(r replica) bool { return r.partition.replicaState(r.broker) == ReplicaDeletionIneligible })
	if len(list) == 0 {
		return nil
	}
	topics := map[string]bool{}
	for _, r := range list {
		topics[r.partition.Topic] = true
	}
	m.log.deletion.Debugf("Deletion failed for replicas %s. Halting deletion for topics %s", join(list), set("HashSet", sortedKeys(topics)))
	if err := m.moveReplicas(list, ReplicaDeletionIneligible); err != nil {
		return err
	}
	m.haltDeletion(sortedKeys(topics), reasonFailed)
	return m.resumeDeletions()
}

// unhaltDeletion lets deletions go on that were waiting for something which
// has happened now.
func (m *machine) unhaltDeletion(topics []string) error {
	for _, name := range topics {
		delete(m.c.ineligible, name)
	}
	return m.resumeDeletions()
}

// deletionObstacles says for each topic whose deletion cannot proceed why.
func (m *machine) deletionObstacles() []string {
	var obstacles []string
	for _, name := range sortedKeys(m.c.ineligible) {
		away := map[model.BrokerID]bool{}
		for _, r := range replicasOf(m.c.partitionsOf(name)) {
			if !m.c.isOnline(r.broker, r.partition.TopicPartition) {
				away[r.broker] = true
			}
		}
		if len(away) > 0 {
			obstacles = append(obstacles, fmt.Sprintf("Topic %s is marked for deletion, which waits for replicas on brokers that are not live or have lost the log directory: %s",
				name, join(sortedKeys(away))))
		} else {
			obstacles = append(obstacles, fmt.Sprintf("Topic %s is marked for deletion, which is halted: %s", name, m.c.ineligible[name]))
		}
	}
	return obstacles
}

func codeName(code int16) string {
	if code == 0 {
		return "NONE"
	}
	return kerr.ForCode(code).Name
}

func describeCodes(order []model.TopicPartition, codes map[model.TopicPartition]int16) string {
	parts := make([]string, len(order))
	for i, tp := range order {
		parts[i] = tp.String() + " -> " + codeName(codes[tp])
	}
	return "HashMap(" + strings.Join(parts, ", ") + ")"
}
