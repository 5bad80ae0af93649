package controller

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"gregor/pkg/model"
	"gregor/pkg/zkstore"
)

// memoryStore is ZooKeeper as far as the machine sees it.
type memoryStore struct {
	w         *world
	brokers   map[model.BrokerID]model.Broker
	topics    map[string]TopicAssignment
	states    map[model.TopicPartition]LeaderISR
	unclean   map[string]bool
	marks     map[string]bool
	preferred []model.TopicPartition
	reassign  *ReassignmentRequest
	events    []model.BrokerID
	changes   []model.TopicPartition
	conflict  []model.TopicPartition // the next conditional write finds another version
	fail      []model.TopicPartition // the next write of it fails
	moved     bool                   // another controller was elected
}

func (s *memoryStore) write(format string, args ...any) error {
	if s.moved {
		return zkstore.ErrControllerMoved
	}
	s.w.printf(format, args...)
	return nil
}

func (s *memoryStore) Brokers() ([]model.Broker, error) {
	return slices.SortedFunc(maps.Values(s.brokers), func(a, b model.Broker) int { return int(a.ID - b.ID) }), nil
}

func (s *memoryStore) Topics() ([]string, error) { return sortedKeys(s.topics), nil }

func (s *memoryStore) TopicAssignments(topics []string) (map[string]TopicAssignment, error) {
	found := map[string]TopicAssignment{}
	for _, name := range topics {
		if a, ok := s.topics[name]; ok {
			found[name] = TopicAssignment{ID: a.ID, Partitions: maps.Clone(a.Partitions)}
		}
	}
	return found, nil
}

func (s *memoryStore) SetTopicAssignment(topic string, a TopicAssignment) error {
	s.topics[topic] = a
	return s.write("write topic %s id %v partitions %v", topic, !a.ID.IsZero(), sortedKeys(a.Partitions))
}

func (s *memoryStore) UpdateTopicAssignments(topics map[string]TopicAssignment) (map[string]error, error) {
	failed := map[string]error{}
	for _, name := range sortedKeys(topics) {
		now, ok := s.topics[name]
		if !ok {
			failed[name] = zkstore.ErrNoNode
			continue
		}
		partitions := maps.Clone(now.Partitions)
		maps.Copy(partitions, topics[name].Partitions)
		s.topics[name] = TopicAssignment{ID: topics[name].ID, Partitions: partitions}
		var text []string
		for _, number := range sortedKeys(partitions) {
			a := partitions[number]
			one := fmt.Sprintf("%d=%s", number, join(a.Replicas))
			if a.InProgress() {
				one += fmt.Sprintf(" (adding %s removing %s)", join(a.Adding), join(a.Removing))
			}
			text = append(text, one)
		}
		if err := s.write("write topic %s %s", name, strings.Join(text, " ")); err != nil {
			return nil, err
		}
	}
	return failed, nil
}

func (s *memoryStore) removeTree(topic string) {
	delete(s.topics, topic)
	maps.DeleteFunc(s.states, func(tp model.TopicPartition, _ LeaderISR) bool { return tp.Topic == topic })
}

func (s *memoryStore) DeleteTopic(topic string) error {
	s.removeTree(topic)
	delete(s.marks, topic)
	return s.write("remove topic %s, its config and its mark", topic)
}

func (s *memoryStore) States(tps []model.TopicPartition) (map[model.TopicPartition]LeaderISR, error) {
	found := map[model.TopicPartition]LeaderISR{}
	for _, tp := range tps {
		if st, ok := s.states[tp]; ok {
			found[tp] = st
		}
	}
	return found, nil
}

func (s *memoryStore) CreateStates(states map[model.TopicPartition]LeaderISR) (map[model.TopicPartition]error, error) {
	errs := map[model.TopicPartition]error{}
	for _, tp := range sortedPartitions(maps.Keys(states)) {
		if _, ok := s.states[tp]; ok {
			errs[tp] = zkstore.ErrNodeExists
			continue
		}
		st := states[tp]
		if err := s.write("create state %s %s", tp, st.info()); err != nil {
			return nil, err
		}
		s.states[tp] = st
	}
	return errs, nil
}

func (s *memoryStore) UpdateStates(states map[model.TopicPartition]LeaderISR) (map[model.TopicPartition]Update, error) {
	updates := map[model.TopicPartition]Update{}
	for _, tp := range sortedPartitions(maps.Keys(states)) {
		st := states[tp]
		if i := slices.Index(s.conflict, tp); i >= 0 {
			s.conflict = slices.Delete(s.conflict, i, i+1)
			s.w.printf("conflict on %s", tp)
			updates[tp] = Update{Conflict: true}
			continue
		}
		if i := slices.Index(s.fail, tp); i >= 0 {
			s.fail = slices.Delete(s.fail, i, i+1)
			updates[tp] = Update{Err: zkstore.ErrNoNode}
			continue
		}
		if s.states[tp].ZkVersion != st.ZkVersion {
			s.w.printf("conflict on %s", tp)
			updates[tp] = Update{Conflict: true}
			continue
		}
		st.ZkVersion++
		if err := s.write("write state %s %s", tp, st.info()); err != nil {
			return nil, err
		}
		s.states[tp] = st
		updates[tp] = Update{State: st}
	}
	return updates, nil
}

func (s *memoryStore) UncleanAllowed(topics []string) (map[string]bool, error) {
	s.w.printf("read unclean.leader.election.enable of %s", join(topics))
	return s.unclean, nil
}

func (s *memoryStore) TopicDeletions() ([]string, error) { return sortedKeys(s.marks), nil }

func (s *memoryStore) RemoveTopicDeletions(topics []string) error {
	for _, name := range topics {
		delete(s.marks, name)
		if err := s.write("remove mark %s", name); err != nil {
			return err
		}
	}
	return nil
}

func (s *memoryStore) PreferredElection() ([]model.TopicPartition, bool, error) {
	return s.preferred, s.preferred != nil, nil
}

func (s *memoryStore) RemovePreferredElection() error {
	if s.preferred == nil {
		return nil
	}
	s.preferred = nil
	return s.write("remove /admin/preferred_replica_election")
}

func (s *memoryStore) ReassignmentRequest() (ReassignmentRequest, bool, error) {
	if s.reassign == nil {
		return ReassignmentRequest{}, false, nil
	}
	return *s.reassign, true, nil
}

func (s *memoryStore) ShortenReassignmentRequest(left map[model.TopicPartition][]model.BrokerID) error {
	s.reassign.Targets = left
	return s.write("write /admin/reassign_partitions %s", describeTargets(left))
}

func (s *memoryStore) RemoveReassignmentRequest() error {
	s.reassign = nil
	return s.write("remove /admin/reassign_partitions")
}

func (s *memoryStore) LogDirEvents() ([]string, []model.BrokerID, error) {
	var names []string
	for i := range s.events {
		names = append(names, strconv.Itoa(i))
	}
	return names, slices.Clone(s.events), nil
}

func (s *memoryStore) RemoveLogDirEvents(names []string) error {
	if len(names) == 0 {
		return nil
	}
	s.events = nil
	return s.write("remove %d log dir events", len(names))
}

func (s *memoryStore) ISRChanges() ([]string, []model.TopicPartition, error) {
	if len(s.changes) == 0 {
		return nil, nil, nil
	}
	return []string{"isr_change_0000000000"}, s.changes, nil
}

func (s *memoryStore) RemoveISRChanges(names []string) error {
	if len(names) == 0 {
		return nil
	}
	s.changes = nil
	return s.write("remove ISR changes")
}

func (s *memoryStore) EnsureFeature(bool) (bool, error) { return false, nil }
