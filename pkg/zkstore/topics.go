package zkstore

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"

	"gregor/pkg/model"
)

// TopicAssignment is /brokers/topics/T: the topic's id and the replicas of
// each partition. The id is zero when the znode has none.
type TopicAssignment struct {
	ID         model.TopicID
	Partitions map[int32]ReplicaAssignment
	ZkVersion  int32 // data version of the znode; set by reading, ignored by writing
}

// ReplicaAssignment is the replicas of a partition; Adding and Removing are
// subsets of Replicas and only there while the partition is reassigned.
type ReplicaAssignment struct {
	Replicas, Adding, Removing []model.BrokerID
}

type topicJSON struct {
	Partitions map[string][]model.BrokerID `json:"partitions"`
	TopicID    string                      `json:"topic_id,omitempty"`
	Adding     map[string][]model.BrokerID `json:"adding_replicas"`
	Removing   map[string][]model.BrokerID `json:"removing_replicas"`
	Version    *int                        `json:"version"`
}

// topicVersion is the version that 2.8 writes. 1 has no adding and removing
// replicas, 2 no topic id.
const topicVersion = 3

func encodeTopic(a TopicAssignment) []byte {
	version := topicVersion
	j := topicJSON{
		Partitions: map[string][]model.BrokerID{}, Adding: map[string][]model.BrokerID{},
		Removing: map[string][]model.BrokerID{}, Version: &version,
	}
	if !a.ID.IsZero() {
		j.TopicID = a.ID.String()
	}
	for partition, r := range a.Partitions {
		key := strconv.Itoa(int(partition))
		j.Partitions[key] = nonNil(r.Replicas)
		if len(r.Adding) > 0 {
			j.Adding[key] = r.Adding
		}
		if len(r.Removing) > 0 {
			j.Removing[key] = r.Removing
		}
	}
	return encodeJSON(j)
}

func nonNil(ids []model.BrokerID) []model.BrokerID {
	if ids == nil {
		return []model.BrokerID{}
	}
	return ids
}

func decodeTopic(topic string, data []byte) (TopicAssignment, error) {
	path := TopicPath(topic)
	var j topicJSON
	if err := decodeJSON(path, data, &j); err != nil {
		return TopicAssignment{}, err
	}
	if j.Partitions == nil {
		return TopicAssignment{}, badData(path, "no partitions in %s", quoteShort(data))
	}
	a := TopicAssignment{Partitions: map[int32]ReplicaAssignment{}}
	if j.TopicID != "" {
		id, err := model.ParseTopicID(j.TopicID)
		if err != nil {
			return TopicAssignment{}, badData(path, "%v", err)
		}
		a.ID = id
	}
	for key, replicas := range j.Partitions {
		n, err := strconv.ParseInt(key, 10, 32)
		if err != nil || n < 0 {
			return TopicAssignment{}, badData(path, "%q is not a partition number", key)
		}
		if _, twice := a.Partitions[int32(n)]; twice {
			return TopicAssignment{}, badData(path, "partition %d is there twice", n)
		}
		a.Partitions[int32(n)] = ReplicaAssignment{Replicas: replicas, Adding: j.Adding[key], Removing: j.Removing[key]}
	}
	return a, nil
}

// Topics lists the names of all topics, sorted.
func (s *Store) Topics(ctx context.Context) ([]string, error) {
	return s.sortedChildren(ctx, TopicsPath)
}

// TopicExists reports whether the topic's znode is there.
func (s *Store) TopicExists(ctx context.Context, topic string) (bool, error) {
	return s.exists(ctx, TopicPath(topic))
}

// TopicAssignments reads the assignments of topics; a topic without a znode
// is not in the answer. It returns the good ones together with an ErrBadData
// for others.
func (s *Store) TopicAssignments(ctx context.Context, topics []string) (map[string]TopicAssignment, error) {
	paths := make([]string, len(topics))
	for i, topic := range topics {
		paths[i] = TopicPath(topic)
	}
	results, err := s.getAll(ctx, paths)
	if err != nil {
		return nil, err
	}
	assignments := make(map[string]TopicAssignment, len(topics))
	err = eachPresent(results, func(i int, r result) error {
		a, err := decodeTopic(topics[i], r.data)
		if err != nil {
			return err
		}
		a.ZkVersion = r.stat.Version
		assignments[topics[i]] = a
		return nil
	})
	return assignments, err
}

// TopicAssignment reads one topic; found is false when there is none.
func (s *Store) TopicAssignment(ctx context.Context, topic string) (a TopicAssignment, found bool, err error) {
	all, err := s.TopicAssignments(ctx, []string{topic})
	a, found = all[topic]
	return a, found, err
}

// CreateTopic writes the topic's configuration and then its assignment; the
// controller takes the topic up from the second. Both are one transaction,
// unless a node is in the way or one above is missing. ErrNodeExists when the
// topic is there already.
func (s *Store) CreateTopic(ctx context.Context, topic string, a TopicAssignment, config map[string]string) error {
	data := encodeTopic(a)
	both := s.one(ctx, op{kind: opMulti, ops: []op{
		{kind: opCreate, path: EntityPath(EntityTopics, topic), data: encodeConfig(config)},
		{kind: opCreate, path: TopicPath(topic), data: data},
	}})
	if both.err == nil || isFatal(both.err) {
		return both.err
	}
	if err := s.SetEntityConfig(ctx, EntityTopics, topic, config); err != nil {
		return err
	}
	r := s.one(ctx, op{kind: opCreate, path: TopicPath(topic), data: data})
	if errors.Is(r.err, ErrNoNode) {
		return s.createRecursive(ctx, TopicPath(topic), data)
	}
	if (r.lossy || both.lossy) && errors.Is(r.err, ErrNodeExists) && s.holds(ctx, TopicPath(topic), data) {
		return nil // made by the attempt whose answer was lost
	}
	return r.err
}

// SetTopicAssignment replaces an assignment, as for new partitions, a
// reassignment or a missing topic id.
func (s *Store) SetTopicAssignment(ctx context.Context, topic string, a TopicAssignment, fence Fence) error {
	_, err := s.set(ctx, TopicPath(topic), encodeTopic(a), anyVersion, fence)
	return err
}

// UpdateTopicAssignments writes the partitions of the assignments; others that
// a znode has stay as they are, so that partitions which were added a moment
// ago are not lost. failed has the topics that were not written, with
// ErrNoNode those that are gone; err is ErrControllerMoved, a lost session or
// a cancelled context.
func (s *Store) UpdateTopicAssignments(ctx context.Context, topics map[string]TopicAssignment, fence Fence) (failed map[string]error, err error) {
	failed = map[string]error{}
	for names := slices.Sorted(maps.Keys(topics)); len(names) > 0; {
		names, err = s.updateTopicsOnce(ctx, names, topics, fence, failed)
		if err != nil {
			return nil, err
		}
	}
	return failed, nil
}

// updateTopicsOnce returns the topics whose znode was written by another
// meanwhile.
func (s *Store) updateTopicsOnce(ctx context.Context, names []string, topics map[string]TopicAssignment, fence Fence, failed map[string]error) (again []string, err error) {
	present, err := s.TopicAssignments(ctx, names)
	if err != nil && !errors.Is(err, ErrBadData) {
		return nil, err
	}
	var known []string
	var ops []op
	for _, name := range names {
		now, ok := present[name]
		if !ok {
			if failed[name] = err; err == nil {
				failed[name] = &Error{Code: CodeNoNode, Path: TopicPath(name)}
			}
			continue
		}
		next := TopicAssignment{ID: topics[name].ID, Partitions: maps.Clone(now.Partitions)}
		maps.Copy(next.Partitions, topics[name].Partitions)
		known = append(known, name)
		ops = append(ops, op{kind: opSet, path: TopicPath(name), data: encodeTopic(next), version: now.ZkVersion})
	}
	results, err := s.writeAll(ctx, ops, fence)
	if err != nil {
		return nil, err
	}
	for i, r := range results {
		switch {
		case errors.Is(r.err, ErrBadVersion): // also after a write whose answer was lost: then it is written twice
			again = append(again, known[i])
		case r.err != nil:
			failed[known[i]] = r.err
		}
	}
	return again, nil
}

// DeleteTopicTree removes /brokers/topics/T and everything below, leaves
// first.
func (s *Store) DeleteTopicTree(ctx context.Context, topic string, fence Fence) error {
	return s.deleteRecursive(ctx, TopicPath(topic), fence)
}

// holds reports whether a node has exactly this content.
func (s *Store) holds(ctx context.Context, path string, data []byte) bool {
	found, _, err := s.get(ctx, path)
	return err == nil && string(found) == string(data)
}
