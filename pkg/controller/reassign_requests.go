package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"gregor/pkg/kerr"
	"gregor/pkg/model"
	"gregor/pkg/zkstore"
)

// AlterReassignments starts, changes and cancels reassignments (KIP-455). A
// nil target cancels: the replicas that were there before stay. It returns
// the error of each partition that was refused; of the others the
// reassignment has begun, or is done where no data had to move.
//
// Errors: NOT_CONTROLLER. Of a partition: INVALID_REPLICA_ASSIGNMENT for a
// target that is empty, has a broker twice, a negative id or a new broker
// that is not live; NO_REASSIGNMENT_IN_PROGRESS where there is nothing to
// cancel; UNKNOWN_TOPIC_OR_PARTITION, also while the topic is being deleted;
// UNKNOWN_SERVER_ERROR when the partition cannot be told, as one that never
// had a leader.
func (c *Controller) AlterReassignments(ctx context.Context, targets map[model.TopicPartition][]model.BrokerID) (failed map[model.TopicPartition]error, err error) {
	err = c.ask(ctx, "ApiPartitionReassignment", func(m *machine) error {
		var err error
		failed, err = m.alterReassignments(targets)
		return err
	})
	if errors.Is(err, zkstore.ErrControllerMoved) {
		err = kerr.NotController
	}
	return failed, err
}

// Reassignments lists the reassignments that run: those of the given
// partitions, or all for nil. It fails with NOT_CONTROLLER.
func (c *Controller) Reassignments(ctx context.Context, of []model.TopicPartition) (running map[model.TopicPartition]Assignment, err error) {
	err = c.ask(ctx, "ListPartitionReassignments", func(m *machine) error {
		running = m.reassignments(of)
		return nil
	})
	return running, err
}

func (m *machine) reassignments(of []model.TopicPartition) map[model.TopicPartition]Assignment {
	if of == nil {
		of = slices.Collect(maps.Keys(m.c.reassigning))
	}
	running := map[model.TopicPartition]Assignment{}
	for _, tp := range of {
		if p := m.c.partition(tp); p != nil && p.InProgress() {
			running[tp] = p.Assignment
		}
	}
	return running
}

func (m *machine) alterReassignments(targets map[model.TopicPartition][]model.BrokerID) (map[model.TopicPartition]error, error) {
	failed := map[model.TopicPartition]error{}
	wanted := map[model.TopicPartition]Assignment{}
	for tp, target := range targets {
		now := m.assignment(tp)
		if target == nil {
			if !now.InProgress() {
				failed[tp] = kerr.NoReassignmentInProgress
				continue
			}
			wanted[tp] = now.reassignTo(now.origin())
			continue
		}
		if err := soundTarget(target); err != nil {
			failed[tp] = err
			continue
		}
		next := now.reassignTo(target)
		if live := m.c.liveIDs(); !subset(next.Adding, live) {
			failed[tp] = kerr.InvalidReplicaAssignment.With("Replica assignment has brokers that are not alive. Replica list: %s, live broker list: %s",
				set("ArrayBuffer", next.Adding), set("Set", live))
			continue
		}
		wanted[tp] = next
	}
	// The latest wish counts, wherever it comes from.
	err := m.removeFromRequest(func(tp model.TopicPartition, _ []model.BrokerID) bool { _, ok := wanted[tp]; return ok })
	if err != nil {
		return nil, err
	}
	started, err := m.startReassignments(wanted)
	maps.Copy(failed, started)
	return failed, err
}

// assignment is that of a partition, empty for an unknown one.
func (m *machine) assignment(tp model.TopicPartition) Assignment {
	if p := m.c.partition(tp); p != nil {
		return p.Assignment
	}
	return Assignment{}
}

// soundTarget refuses targets that no partition can have.
func soundTarget(target []model.BrokerID) error {
	switch {
	case len(target) == 0:
		return kerr.InvalidReplicaAssignment.With("Empty replica list specified in partition reassignment.")
	case len(slices.Compact(slices.Sorted(slices.Values(target)))) != len(target):
		return kerr.InvalidReplicaAssignment.With("Duplicate replica ids in partition reassignment replica list: %s", set("ArrayBuffer", target))
	case slices.Min(target) < 0:
		return kerr.InvalidReplicaAssignment.With("Invalid broker id in replica list: %s", set("ArrayBuffer", target))
	}
	return nil
}

// reassignmentRequested handles /admin/reassign_partitions, as it is written
// by hand, by consoles and by tools up to 2.3. The node counts when it is
// created; what is written into it later does not. Partitions that cannot be
// reassigned are taken out at once, the others when they have arrived. It
// returns those that were started.
//
// Brokers that are not live are taken, as in Kafka: the reassignment waits
// for them. Kafka also takes an empty list, which deletes all replicas, and
// one with a broker twice, which never ends; these are refused here.
func (m *machine) reassignmentRequested() (map[model.TopicPartition]bool, error) {
	request, found, err := m.store.ReassignmentRequest()
	if err != nil || !found || request.ID == m.reassignRequest {
		return nil, err
	}
	m.reassignRequest = request.ID
	wanted := map[model.TopicPartition]Assignment{}
	failed := map[model.TopicPartition]error{}
	for tp, target := range request.Targets {
		if err := soundTarget(target); err != nil {
			failed[tp] = err
			continue
		}
		wanted[tp] = m.assignment(tp).reassignTo(target)
	}
	refused, err := m.startReassignments(wanted)
	if err != nil {
		return nil, err
	}
	maps.Copy(failed, refused)
	started := map[model.TopicPartition]bool{}
	for tp := range wanted {
		started[tp] = failed[tp] == nil
	}
	if len(failed) == 0 {
		return started, nil
	}
	m.log.controller.Warnf("Failed reassignment through zk with the following errors: %s", describeErrors(failed))
	return started, m.removeFromRequest(func(tp model.TopicPartition, _ []model.BrokerID) bool { return failed[tp] != nil })
}

// removeFromRequest takes partitions out of /admin/reassign_partitions; the
// node goes with the last one.
func (m *machine) removeFromRequest(remove func(model.TopicPartition, []model.BrokerID) bool) error {
	request, found, err := m.store.ReassignmentRequest()
	if err != nil || !found {
		return err
	}
	removed, left := map[model.TopicPartition][]model.BrokerID{}, map[model.TopicPartition][]model.BrokerID{}
	for tp, target := range request.Targets {
		if remove(tp, target) {
			removed[tp] = target
		} else {
			left[tp] = target
		}
	}
	m.log.controller.Infof("Removing partitions %s from the list of reassigned partitions in zookeeper", describeTargets(removed))
	if len(left) == 0 {
		m.log.controller.Infof("No more partitions need to be reassigned. Deleting zk path %s", zkstore.ReassignPath)
		return m.store.RemoveReassignmentRequest()
	}
	if len(removed) == 0 {
		return nil
	}
	return m.store.ShortenReassignmentRequest(left)
}

// describeErrors is Kafka's form of errors by partition in log lines.
func describeErrors(failed map[model.TopicPartition]error) string {
	parts := make([]string, 0, len(failed))
	for _, tp := range sortedPartitions(maps.Keys(failed)) {
		message := ""
		if text := kerr.Message(failed[tp]); text != nil {
			message = *text
		}
		parts = append(parts, fmt.Sprintf("%s -> ApiError(error=%s, message=%s)", tp, kerr.Of(failed[tp]).Name, message))
	}
	return "Map(" + strings.Join(parts, ", ") + ")"
}
