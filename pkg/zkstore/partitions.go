package zkstore

import (
	"context"
	"errors"
	"slices"

	"gregor/pkg/model"
)

// PartitionState is .../partitions/P/state: who leads and who is in sync.
type PartitionState struct {
	Leader          model.BrokerID // model.NoBroker for none
	LeaderEpoch     model.LeaderEpoch
	ISR             []model.BrokerID
	ControllerEpoch model.ControllerEpoch
	ZkVersion       model.PartitionEpoch // data version of the znode
}

type partitionStateJSON struct {
	ControllerEpoch *model.ControllerEpoch `json:"controller_epoch"`
	Leader          *model.BrokerID        `json:"leader"`
	Version         int                    `json:"version"`
	LeaderEpoch     *model.LeaderEpoch     `json:"leader_epoch"`
	ISR             *[]model.BrokerID      `json:"isr"`
}

func encodePartitionState(p PartitionState) []byte {
	isr := nonNil(p.ISR)
	return encodeJSON(partitionStateJSON{
		ControllerEpoch: &p.ControllerEpoch, Leader: &p.Leader, Version: 1, LeaderEpoch: &p.LeaderEpoch, ISR: &isr,
	})
}

func decodePartitionState(tp model.TopicPartition, data []byte) (PartitionState, error) {
	if p, ok := scanPartitionState(data); ok {
		return p, nil
	}
	return parsePartitionState(tp, data)
}

// parsePartitionState reads any JSON, as people and programs may write it.
func parsePartitionState(tp model.TopicPartition, data []byte) (PartitionState, error) {
	path := PartitionStatePath(tp)
	var j partitionStateJSON
	if err := decodeJSON(path, data, &j); err != nil {
		return PartitionState{}, err
	}
	if j.ControllerEpoch == nil || j.Leader == nil || j.LeaderEpoch == nil || j.ISR == nil {
		return PartitionState{}, badData(path, "leader, leader_epoch, controller_epoch or isr is missing in %s", quoteShort(data))
	}
	return PartitionState{
		Leader: *j.Leader, LeaderEpoch: *j.LeaderEpoch, ISR: *j.ISR, ControllerEpoch: *j.ControllerEpoch,
	}, nil
}

// PartitionStates reads the states of partitions; a partition without a znode
// is not in the answer. It returns the good ones together with an ErrBadData
// for others.
func (s *Store) PartitionStates(ctx context.Context, tps []model.TopicPartition) (map[model.TopicPartition]PartitionState, error) {
	paths := make([]string, len(tps))
	for i, tp := range tps {
		paths[i] = PartitionStatePath(tp)
	}
	results, err := s.getAll(ctx, paths)
	if err != nil {
		return nil, err
	}
	states := make(map[model.TopicPartition]PartitionState, len(tps))
	err = eachPresent(results, func(i int, r result) error {
		state, err := decodePartitionState(tps[i], r.data)
		if err != nil {
			return err
		}
		state.ZkVersion = model.PartitionEpoch(r.stat.Version)
		states[tps[i]] = state
		return nil
	})
	return states, err
}

// CreatePartitionStates makes the znodes of new partitions with their first
// state, and the nodes above them. failed has the partitions that were not
// created; err is ErrControllerMoved, a lost session or a cancelled context.
//
// The nodes of a new topic are one transaction under the fence, which costs
// one write of the ensemble's log. Where that fails, because the topic has
// partitions already or is too large for it, they go level by level.
func (s *Store) CreatePartitionStates(ctx context.Context, states map[model.TopicPartition]PartitionState, fence Fence) (failed map[model.TopicPartition]error, err error) {
	left, lossy, err := s.createWholeTopics(ctx, states, fence)
	if err != nil || len(left) == 0 {
		return nil, err
	}
	var parents, partitions []string
	for _, tp := range left {
		if p := PartitionsPath(tp.Topic); len(parents) == 0 || parents[len(parents)-1] != p {
			parents = append(parents, p)
		}
		partitions = append(partitions, PartitionPath(tp))
	}
	// Each level needs the one above; that a level exists is no failure.
	for _, level := range [][]string{parents, partitions} {
		if _, err := s.createLevel(ctx, level, nil, fence); err != nil {
			return nil, err
		}
	}
	var paths []string
	var data [][]byte
	for _, tp := range left {
		paths = append(paths, PartitionStatePath(tp))
		data = append(data, encodePartitionState(states[tp]))
	}
	results, err := s.createLevel(ctx, paths, data, fence)
	if err != nil {
		return nil, err
	}
	failed = map[model.TopicPartition]error{}
	for i, r := range results {
		if (r.lossy || lossy[left[i].Topic]) && errors.Is(r.err, ErrNodeExists) && s.holds(ctx, paths[i], data[i]) {
			continue
		}
		if r.err != nil {
			failed[left[i]] = r.err
		}
	}
	return failed, nil
}

// wholeTopicMax is the largest number of partitions that are created in one
// transaction; it keeps the request far below jute.maxbuffer.
const wholeTopicMax = 100

// createWholeTopics creates the nodes of each topic in one transaction. left
// are the partitions of topics for which that did not go, in order; lossy
// those topics whose transaction may have gone through unseen.
func (s *Store) createWholeTopics(ctx context.Context, states map[model.TopicPartition]PartitionState, fence Fence) (left []model.TopicPartition, lossy map[string]bool, err error) {
	var ops []op
	var topics [][]model.TopicPartition
	for _, tp := range sortedPartitions(states) {
		if n := len(topics); n == 0 || topics[n-1][0].Topic != tp.Topic {
			topics = append(topics, nil)
			ops = append(ops, op{kind: opMulti})
			if fence != NoFence {
				ops[n].ops = []op{{kind: opCheck, path: ControllerEpochPath, version: int32(fence)}}
			}
			ops[n].ops = append(ops[n].ops, op{kind: opCreate, path: PartitionsPath(tp.Topic)})
		}
		n := len(topics) - 1
		topics[n] = append(topics[n], tp)
		ops[n].ops = append(ops[n].ops, op{kind: opCreate, path: PartitionPath(tp)},
			op{kind: opCreate, path: PartitionStatePath(tp), data: encodePartitionState(states[tp])})
	}
	var small []op
	var ofSmall [][]model.TopicPartition
	for i, tps := range topics {
		if len(tps) > wholeTopicMax {
			left = append(left, tps...)
			continue
		}
		small, ofSmall = append(small, ops[i]), append(ofSmall, tps)
	}
	results, err := s.batch(ctx, small)
	if err != nil {
		return nil, nil, err
	}
	lossy = map[string]bool{}
	for i, r := range results {
		if r.err == nil {
			continue
		}
		if fence != NoFence && len(r.each) > 0 && errors.Is(r.each[0].err, ErrBadVersion) {
			return nil, nil, ErrControllerMoved
		}
		left = append(left, ofSmall[i]...)
		lossy[ofSmall[i][0].Topic] = r.lossy
	}
	slices.SortFunc(left, model.TopicPartition.Compare)
	return left, lossy, nil
}

// createLevel creates nodes that do not depend on each other; data may be nil
// for null everywhere.
func (s *Store) createLevel(ctx context.Context, paths []string, data [][]byte, fence Fence) ([]result, error) {
	ops := make([]op, len(paths))
	for i, path := range paths {
		ops[i] = op{kind: opCreate, path: path}
		if data != nil {
			ops[i].data = data[i]
		}
	}
	return s.writeAll(ctx, ops, fence)
}

// UpdatePartitionStates replaces states, each on condition that the znode has
// the version of the given state. updated has the written states with their
// new versions, failed the others: ErrBadVersion means that the state must be
// read again. err is ErrControllerMoved, a lost session or a cancelled
// context.
func (s *Store) UpdatePartitionStates(ctx context.Context, states map[model.TopicPartition]PartitionState, fence Fence) (updated map[model.TopicPartition]PartitionState, failed map[model.TopicPartition]error, err error) {
	tps := sortedPartitions(states)
	ops := make([]op, len(tps))
	for i, tp := range tps {
		ops[i] = op{
			kind: opSet, path: PartitionStatePath(tp),
			data: encodePartitionState(states[tp]), version: int32(states[tp].ZkVersion),
		}
	}
	results, err := s.writeAll(ctx, ops, fence)
	if err != nil {
		return nil, nil, err
	}
	updated, failed = map[model.TopicPartition]PartitionState{}, map[model.TopicPartition]error{}
	for i, r := range results {
		tp, state := tps[i], states[tps[i]]
		version, err := r.stat.Version, r.err
		if r.lossy && errors.Is(err, ErrBadVersion) {
			version, err = s.wroteAlready(ctx, PartitionStatePath(tp), encodePartitionState(state))
		}
		if err != nil {
			failed[tp] = err
			continue
		}
		state.ZkVersion = model.PartitionEpoch(version)
		updated[tp] = state
	}
	return updated, failed, nil
}

// wroteAlready looks whether a conditional write that was sent twice, and
// found another version, had succeeded the first time.
func (s *Store) wroteAlready(ctx context.Context, path string, data []byte) (version int32, err error) {
	found, stat, err := s.get(ctx, path)
	if err != nil {
		return 0, err
	}
	if string(found) != string(data) {
		return 0, &Error{Code: CodeBadVersion, Path: path}
	}
	return stat.Version, nil
}

func sortedPartitions(states map[model.TopicPartition]PartitionState) []model.TopicPartition {
	tps := make([]model.TopicPartition, 0, len(states))
	for tp := range states {
		tps = append(tps, tp)
	}
	slices.SortFunc(tps, model.TopicPartition.Compare)
	return tps
}
