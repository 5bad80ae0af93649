package controller

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"gregor/pkg/model"
)

// topicsChanged handles a change of the children of /brokers/topics, whoever
// made it.
func (m *machine) topicsChanged() error {
	present, err := m.store.Topics()
	if err != nil {
		return err
	}
	var added, gone []string
	there := make(map[string]bool, len(present))
	for _, name := range present {
		there[name] = true
		if m.c.topics[name] == nil {
			added = append(added, name)
		}
	}
	for name := range m.c.topics {
		if !there[name] {
			gone = append(gone, name)
		}
	}
	slices.Sort(gone)
	assignments, err := m.loadTopics(added)
	if err != nil {
		return err
	}
	var marked []string // torn out while they were being deleted: done
	for _, name := range gone {
		if m.c.toDelete[name] {
			marked = append(marked, name)
		}
		if err := m.abandonReassignments(name); err != nil {
			return err
		}
		m.unwatchTopic(name)
		m.c.forget(name)
	}
	if err := m.store.RemoveTopicDeletions(marked); err != nil {
		return err
	}
	if len(added)+len(gone) == 0 {
		return nil
	}
	m.log.controller.Infof("New topics: [%s], deleted topics: [%s], new partition replica assignment [%s]",
		set("Set", added), set("HashSet", gone), m.describeTopics(assignments))
	for _, name := range gone {
		m.log.controller.Warnf("The znode of topic %s was removed by hand: the topic is forgotten here, brokers serve it until they restart, and its files stay. Removing a topic is kafka-topics.sh --delete.", name)
	}
	loaded := sortedKeys(assignments)
	if len(loaded) == 0 {
		return nil
	}
	return m.createPartitions(m.c.partitionsOf(loaded...))
}

// loadTopics enters topics with their assignments, and gives ids to those
// that have none. A topic that is gone again is left out.
func (m *machine) loadTopics(list []string) (map[string]TopicAssignment, error) {
	if len(list) == 0 {
		return nil, nil
	}
	for _, name := range list {
		m.watchTopic(name) // before reading, so that no change is missed
	}
	assignments, err := m.store.TopicAssignments(list)
	if err != nil {
		return nil, err
	}
	for _, name := range list {
		a, ok := assignments[name]
		if !ok {
			m.unwatchTopic(name)
			continue
		}
		if a.ID.IsZero() && m.settings.Versions.TopicIDs {
			a.ID = m.newTopicID()
			if err := m.store.SetTopicAssignment(name, a); err != nil {
				return nil, err
			}
		}
		t := m.c.addTopic(name, a.ID)
		for number, assignment := range a.Partitions {
			m.c.addPartition(t, number, m.eachOnce(name, number, assignment))
		}
	}
	return assignments, nil
}

// eachOnce is an assignment without brokers that are in it twice, as it may be
// written by hand. Kafka takes it as it is, and has an empty ISR when the
// broker goes.
func (m *machine) eachOnce(topic string, number int32, a Assignment) Assignment {
	var once []model.BrokerID
	for _, id := range a.Replicas {
		if !slices.Contains(once, id) {
			once = append(once, id)
		}
	}
	if len(once) < len(a.Replicas) {
		m.log.controller.Warnf("The znode of topic %s has a broker twice among the replicas of partition %d (%s): it counts once", topic, number, join(a.Replicas))
		a.Replicas = once
	}
	return a
}

// describeTopics is Kafka's form of the new topics in its log line.
func (m *machine) describeTopics(assignments map[string]TopicAssignment) string {
	parts := make([]string, 0, len(assignments))
	for _, name := range sortedKeys(assignments) {
		a := assignments[name]
		id := "None"
		if !a.ID.IsZero() {
			id = fmt.Sprintf("Some(%s)", a.ID)
		}
		parts = append(parts, fmt.Sprintf("TopicIdReplicaAssignment(%s,%s,%s)", name, id, describeAssignment(m.c.partitionsOf(name))))
	}
	return "Set(" + strings.Join(parts, ", ") + ")"
}

func describeAssignment(list []*partition) string {
	parts := make([]string, len(list))
	for i, p := range list {
		parts[i] = fmt.Sprintf("%s -> %s", p, p.Assignment)
	}
	return "Map(" + strings.Join(parts, ", ") + ")"
}

// createPartitions takes new partitions through their states until they are
// online, or wait for a live replica.
func (m *machine) createPartitions(list []*partition) error {
	m.log.controller.Infof("New partition creation callback for %s", join(list))
	if _, err := m.movePartitions(list, NewPartition, ""); err != nil {
		return err
	}
	if err := m.moveReplicas(replicasOf(list), NewReplica); err != nil {
		return err
	}
	if _, err := m.movePartitions(list, OnlinePartition, electOffline); err != nil {
		return err
	}
	return m.moveReplicas(replicasOf(list), OnlineReplica)
}

// topicDataChanged handles a change of a topic's znode: partitions that are
// not known yet are created. Changes to known ones are not taken from here.
func (m *machine) topicDataChanged(name string) error {
	t := m.c.topics[name]
	if t == nil {
		return nil // the change of the children comes, or was there before
	}
	assignments, err := m.store.TopicAssignments([]string{name})
	if err != nil {
		return err
	}
	a := assignments[name]
	var added []int32
	for _, number := range slices.Sorted(maps.Keys(a.Partitions)) {
		if t.partitions[number] == nil {
			added = append(added, number)
		}
	}
	if m.c.toDelete[name] {
		return m.restoreAssignment(t, added)
	}
	if len(added) == 0 {
		return nil
	}
	list := make([]*partition, len(added))
	for i, number := range added {
		list[i] = m.c.addPartition(t, number, m.eachOnce(name, number, a.Partitions[number]))
	}
	m.log.controller.Infof("New partitions to be added %s", describeAssignment(list))
	return m.createPartitions(list)
}

// restoreAssignment takes back partitions that were added to a topic which is
// being deleted.
func (m *machine) restoreAssignment(t *topic, added []int32) error {
	if len(added) == 0 {
		m.log.controller.Infof("Ignoring partition change during topic deletion as no new partitions are added")
		return nil
	}
	m.log.controller.Warnf("Skipping adding partitions %s for topic %s since it is currently being deleted", join(added), t.name)
	m.log.controller.Infof("Restoring the partition replica assignment for topic %s", t.name)
	existing, err := m.store.States(names(m.c.partitionsOf(t.name)))
	if err != nil {
		return err
	}
	known := TopicAssignment{ID: t.id, Partitions: map[int32]Assignment{}}
	for tp := range existing {
		known.Partitions[tp.Partition] = t.partitions[tp.Partition].Assignment
	}
	return m.store.SetTopicAssignment(t.name, known)
}
