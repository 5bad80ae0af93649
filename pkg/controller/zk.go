package controller

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"

	"gregor/pkg/model"
	"gregor/pkg/zkstore"
)

// zkStore is the Store over ZooKeeper, fenced by one controller's epoch.
// Znodes whose content cannot be understood are logged and passed over, so
// that one of them does not stop the whole cluster.
type zkStore struct {
	ctx     context.Context // ends with the controller
	zk      *zkstore.Store
	fence   zkstore.Fence
	unclean func() bool // the broker's default at this moment
	log     line
}

var _ Store = (*zkStore)(nil)

// usable drops ErrBadData, which comes together with what is good.
func (s *zkStore) usable(err error) error {
	if errors.Is(err, zkstore.ErrBadData) {
		s.log.Errorf("Passing over what cannot be understood: %v", err)
		return nil
	}
	return err
}

func (s *zkStore) Brokers() ([]model.Broker, error) {
	infos, err := s.zk.Brokers(s.ctx)
	if err := s.usable(err); err != nil {
		return nil, err
	}
	brokers := make([]model.Broker, len(infos))
	for i, info := range infos {
		brokers[i] = info.Broker
	}
	return brokers, nil
}

func (s *zkStore) Topics() ([]string, error) { return s.zk.Topics(s.ctx) }

func (s *zkStore) TopicAssignments(topics []string) (map[string]TopicAssignment, error) {
	found, err := s.zk.TopicAssignments(s.ctx, topics)
	if err := s.usable(err); err != nil {
		return nil, err
	}
	assignments := make(map[string]TopicAssignment, len(found))
	for name, a := range found {
		one := TopicAssignment{ID: a.ID, Partitions: make(map[int32]Assignment, len(a.Partitions))}
		for number, r := range a.Partitions {
			one.Partitions[number] = Assignment(r)
		}
		assignments[name] = one
	}
	return assignments, nil
}

func (s *zkStore) SetTopicAssignment(topic string, a TopicAssignment) error {
	return s.zk.SetTopicAssignment(s.ctx, topic, a.stored(), s.fence)
}

func (s *zkStore) UpdateTopicAssignments(topics map[string]TopicAssignment) (map[string]error, error) {
	all := make(map[string]zkstore.TopicAssignment, len(topics))
	for name, a := range topics {
		all[name] = a.stored()
	}
	return s.zk.UpdateTopicAssignments(s.ctx, all, s.fence)
}

// stored is the form in which zkstore takes it.
func (a TopicAssignment) stored() zkstore.TopicAssignment {
	one := zkstore.TopicAssignment{ID: a.ID, Partitions: make(map[int32]zkstore.ReplicaAssignment, len(a.Partitions))}
	for number, r := range a.Partitions {
		one.Partitions[number] = zkstore.ReplicaAssignment(r)
	}
	return one
}

func (s *zkStore) DeleteTopic(topic string) error {
	if err := s.zk.DeleteTopicTree(s.ctx, topic, s.fence); err != nil && !errors.Is(err, zkstore.ErrNoNode) {
		return err
	}
	if err := s.zk.DeleteTopicConfig(s.ctx, topic, s.fence); err != nil && !errors.Is(err, zkstore.ErrNoNode) {
		return err
	}
	return s.RemoveTopicDeletions([]string{topic})
}

func (s *zkStore) States(tps []model.TopicPartition) (map[model.TopicPartition]LeaderISR, error) {
	found, err := s.zk.PartitionStates(s.ctx, tps)
	if err := s.usable(err); err != nil {
		return nil, err
	}
	states := make(map[model.TopicPartition]LeaderISR, len(found))
	for tp, p := range found {
		states[tp] = LeaderISR(p)
	}
	return states, nil
}

func stored(states map[model.TopicPartition]LeaderISR) map[model.TopicPartition]zkstore.PartitionState {
	out := make(map[model.TopicPartition]zkstore.PartitionState, len(states))
	for tp, l := range states {
		out[tp] = zkstore.PartitionState(l)
	}
	return out
}

func (s *zkStore) CreateStates(states map[model.TopicPartition]LeaderISR) (map[model.TopicPartition]error, error) {
	return s.zk.CreatePartitionStates(s.ctx, stored(states), s.fence)
}

func (s *zkStore) UpdateStates(states map[model.TopicPartition]LeaderISR) (map[model.TopicPartition]Update, error) {
	written, failed, err := s.zk.UpdatePartitionStates(s.ctx, stored(states), s.fence)
	if err != nil {
		return nil, err
	}
	updates := make(map[model.TopicPartition]Update, len(states))
	for tp, p := range written {
		updates[tp] = Update{State: LeaderISR(p)}
	}
	for tp, err := range failed {
		if errors.Is(err, zkstore.ErrBadVersion) || errors.Is(err, zkstore.ErrNoNode) {
			updates[tp] = Update{Conflict: true}
		} else {
			updates[tp] = Update{Err: err}
		}
	}
	return updates, nil
}

func (s *zkStore) UncleanAllowed(topics []string) (map[string]bool, error) {
	configs, err := s.zk.EntityConfigs(s.ctx, zkstore.EntityTopics, topics)
	if err := s.usable(err); err != nil {
		return nil, err
	}
	allowed := map[string]bool{}
	for _, name := range topics {
		allowed[name] = s.unclean()
		if text, ok := configs[name]["unclean.leader.election.enable"]; ok {
			allowed[name], _ = strconv.ParseBool(text)
		}
	}
	return allowed, nil
}

func (s *zkStore) TopicDeletions() ([]string, error) { return s.zk.TopicDeletions(s.ctx) }

func (s *zkStore) RemoveTopicDeletions(topics []string) error {
	if len(topics) == 0 {
		return nil
	}
	return s.zk.RemoveTopicDeletions(s.ctx, topics, s.fence)
}

func (s *zkStore) PreferredElection() ([]model.TopicPartition, bool, error) {
	tps, found, err := s.zk.PreferredElection(s.ctx)
	if errors.Is(err, zkstore.ErrBadData) {
		return nil, true, s.usable(err)
	}
	return tps, found, err
}

func (s *zkStore) RemovePreferredElection() error {
	return s.zk.DeletePreferredElection(s.ctx, s.fence)
}

func (s *zkStore) ReassignmentRequest() (ReassignmentRequest, bool, error) {
	request, found, err := s.zk.ReassignRequest(s.ctx)
	return ReassignmentRequest(request), found, s.usable(err)
}

func (s *zkStore) ShortenReassignmentRequest(left map[model.TopicPartition][]model.BrokerID) error {
	return s.zk.SetReassignPartitions(s.ctx, left, s.fence)
}

func (s *zkStore) RemoveReassignmentRequest() error {
	return s.zk.DeleteReassignPartitions(s.ctx, s.fence)
}

func (s *zkStore) LogDirEvents() ([]string, []model.BrokerID, error) {
	events, err := s.zk.LogDirEvents(s.ctx)
	var names []string
	var brokers []model.BrokerID
	for _, e := range events {
		names = append(names, e.Name)
		if s.usable(e.Err) == nil && e.Err == nil {
			brokers = append(brokers, e.Broker)
		}
	}
	return names, brokers, err
}

func (s *zkStore) RemoveLogDirEvents(names []string) error {
	if len(names) == 0 {
		return nil
	}
	return s.zk.DeleteLogDirEvents(s.ctx, names, s.fence)
}

func (s *zkStore) ISRChanges() ([]string, []model.TopicPartition, error) {
	changes, err := s.zk.IsrChanges(s.ctx)
	var names []string
	changed := map[model.TopicPartition]bool{}
	for _, c := range changes {
		names = append(names, c.Name)
		s.usable(c.Err) //nolint:errcheck // logged; the notification is dropped
		for _, tp := range c.Partitions {
			changed[tp] = true
		}
	}
	return names, slices.Collect(maps.Keys(changed)), err
}

func (s *zkStore) RemoveISRChanges(names []string) error {
	if len(names) == 0 {
		return nil
	}
	return s.zk.DeleteIsrChanges(s.ctx, names, s.fence)
}

// EnsureFeature creates /feature, or flips its status. Enabled features stay
// as they are; disabled ones are emptied.
func (s *zkStore) EnsureFeature(enabled bool) (bool, error) {
	want := zkstore.FeatureNode{Status: zkstore.FeaturesDisabled}
	if enabled {
		want.Status = zkstore.FeaturesEnabled
	}
	have, found, err := s.zk.Feature(s.ctx)
	switch {
	case err != nil:
		return false, s.usable(err)
	case !found:
		err := s.zk.CreateFeature(s.ctx, want)
		if errors.Is(err, zkstore.ErrNodeExists) {
			return false, nil
		}
		return err == nil, err
	case have.Status == want.Status && (enabled || len(have.Features) == 0):
		return false, nil
	}
	_, err = s.zk.UpdateFeature(s.ctx, want)
	return false, err
}
