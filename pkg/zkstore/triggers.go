package zkstore

import (
	"context"
	"errors"
	"slices"

	"gregor/pkg/model"
)

// TopicDeletions lists the topics that are marked for deletion, sorted.
func (s *Store) TopicDeletions(ctx context.Context) ([]string, error) {
	return s.sortedChildren(ctx, DeleteTopicsPath)
}

// MarkTopicForDeletion asks the controller to delete a topic. ErrNodeExists
// when it is marked already.
func (s *Store) MarkTopicForDeletion(ctx context.Context, topic string) error {
	r := s.one(ctx, op{kind: opCreate, path: DeleteTopicPath(topic)})
	switch {
	case errors.Is(r.err, ErrNoNode):
		return s.createRecursive(ctx, DeleteTopicPath(topic), nil)
	case r.lossy && errors.Is(r.err, ErrNodeExists):
		return nil // marked by the attempt whose answer was lost, or just now by another
	}
	return r.err
}

// IsMarkedForDeletion reports whether a topic is marked for deletion.
func (s *Store) IsMarkedForDeletion(ctx context.Context, topic string) (bool, error) {
	return s.exists(ctx, DeleteTopicPath(topic))
}

// RemoveTopicDeletions takes marks away.
func (s *Store) RemoveTopicDeletions(ctx context.Context, topics []string, fence Fence) error {
	return s.deleteAll(ctx, below(DeleteTopicsPath, topics), fence)
}

type reassignJSON struct {
	Version    int                     `json:"version"`
	Partitions []reassignPartitionJSON `json:"partitions"`
}

type reassignPartitionJSON struct {
	partitionJSON
	Replicas *[]model.BrokerID `json:"replicas"`
}

func encodeReassign(targets map[model.TopicPartition][]model.BrokerID) []byte {
	j := reassignJSON{Version: 1, Partitions: []reassignPartitionJSON{}}
	tps := make([]model.TopicPartition, 0, len(targets))
	for tp := range targets {
		tps = append(tps, tp)
	}
	slices.SortFunc(tps, model.TopicPartition.Compare)
	for _, tp := range tps {
		replicas := nonNil(targets[tp])
		j.Partitions = append(j.Partitions, reassignPartitionJSON{partitionJSON{&tp.Topic, &tp.Partition}, &replicas})
	}
	return encodeJSON(j)
}

func decodeReassign(data []byte) (map[model.TopicPartition][]model.BrokerID, error) {
	var j reassignJSON
	if err := decodeJSON(ReassignPath, data, &j); err != nil {
		return nil, err
	}
	if j.Partitions == nil {
		return nil, badData(ReassignPath, "no partitions in %s", quoteShort(data))
	}
	targets := map[model.TopicPartition][]model.BrokerID{}
	for i, p := range j.Partitions {
		tp, err := p.decode(ReassignPath, i)
		if err != nil {
			return nil, err
		}
		if p.Replicas == nil {
			return nil, badData(ReassignPath, "partitions[%d] has no replicas", i)
		}
		targets[tp] = *p.Replicas
	}
	return targets, nil
}

// ReassignRequest is the node by which a tool asks for reassignments.
type ReassignRequest struct {
	ID      int64 // czxid of the node
	Targets map[model.TopicPartition][]model.BrokerID
}

// ReassignRequest reads the node; found is false when it is absent, true
// also together with an ErrBadData.
func (s *Store) ReassignRequest(ctx context.Context) (request ReassignRequest, found bool, err error) {
	data, stat, err := s.get(ctx, ReassignPath)
	if errors.Is(err, ErrNoNode) {
		return ReassignRequest{}, false, nil
	}
	if err != nil {
		return ReassignRequest{}, false, err
	}
	request.ID = stat.Czxid
	request.Targets, err = decodeReassign(data)
	return request, true, err
}

// ReassignPartitions reads the reassignments that a tool asked for through
// ZooKeeper; found is false when the node is absent.
func (s *Store) ReassignPartitions(ctx context.Context) (targets map[model.TopicPartition][]model.BrokerID, found bool, err error) {
	request, found, err := s.ReassignRequest(ctx)
	return request.Targets, found, err
}

// SetReassignPartitions writes what is left to reassign; the node is created
// when there is none.
func (s *Store) SetReassignPartitions(ctx context.Context, targets map[model.TopicPartition][]model.BrokerID, fence Fence) error {
	data := encodeReassign(targets)
	_, err := s.set(ctx, ReassignPath, data, anyVersion, fence)
	if !errors.Is(err, ErrNoNode) {
		return err
	}
	return unfenced(fence, s.one(ctx, fenced(fence, op{kind: opCreate, path: ReassignPath, data: data}))).err
}

// CreateReassignPartitions asks for reassignments, as the tools did up to
// 2.3. ErrNodeExists while one runs.
func (s *Store) CreateReassignPartitions(ctx context.Context, targets map[model.TopicPartition][]model.BrokerID) error {
	return s.createRecursive(ctx, ReassignPath, encodeReassign(targets))
}

// DeleteReassignPartitions removes the node; that it is gone is no error.
func (s *Store) DeleteReassignPartitions(ctx context.Context, fence Fence) error {
	return s.deleteAll(ctx, []string{ReassignPath}, fence)
}

// PreferredElection reads the partitions for which a tool asked for the
// preferred leader through ZooKeeper; found is false when the node is absent.
func (s *Store) PreferredElection(ctx context.Context) (tps []model.TopicPartition, found bool, err error) {
	data, _, err := s.get(ctx, PreferredElectionPath)
	if errors.Is(err, ErrNoNode) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	tps, err = decodePartitions(PreferredElectionPath, data)
	return tps, true, err
}

// CreatePreferredElection asks for preferred leaders. ErrNodeExists while an
// election runs.
func (s *Store) CreatePreferredElection(ctx context.Context, tps []model.TopicPartition) error {
	return s.createRecursive(ctx, PreferredElectionPath, encodePartitions(tps))
}

// DeletePreferredElection removes the node; that it is gone is no error.
func (s *Store) DeletePreferredElection(ctx context.Context, fence Fence) error {
	return s.deleteAll(ctx, []string{PreferredElectionPath}, fence)
}
