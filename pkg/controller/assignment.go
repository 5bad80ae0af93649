package controller

import (
	"fmt"
	"slices"

	"gregor/pkg/model"
)

// Assignment is where a partition is to live. While it is reassigned
// (KIP-455), Replicas has the old and the new ones: the target first, in its
// order, then those that will go.
type Assignment struct {
	Replicas, Adding, Removing []model.BrokerID
}

// String is Kafka's form in log lines.
func (a Assignment) String() string {
	return fmt.Sprintf("ReplicaAssignment(replicas=%s, addingReplicas=%s, removingReplicas=%s)",
		join(a.Replicas), join(a.Adding), join(a.Removing))
}

// InProgress reports whether the partition is being reassigned.
func (a Assignment) InProgress() bool { return len(a.Adding)+len(a.Removing) > 0 }

// origin are the replicas that were there before.
func (a Assignment) origin() []model.BrokerID { return except(a.Replicas, a.Adding) }

// target are the replicas that will be there afterwards.
func (a Assignment) target() []model.BrokerID { return except(a.Replicas, a.Removing) }

// reassignTo is the assignment on the way to a target, which has no broker
// twice. One that runs already is replaced: its origin stays the origin.
func (a Assignment) reassignTo(target []model.BrokerID) Assignment {
	origin := a.origin()
	all := append(slices.Clone(target), except(origin, target)...)
	return Assignment{Replicas: all, Adding: except(all, origin), Removing: except(all, target)}
}

// without is the assignment after a replica has gone.
func (a Assignment) without(id model.BrokerID) Assignment {
	gone := []model.BrokerID{id}
	return Assignment{Replicas: except(a.Replicas, gone), Adding: except(a.Adding, gone), Removing: except(a.Removing, gone)}
}

func (a Assignment) equal(b Assignment) bool {
	return slices.Equal(a.Replicas, b.Replicas) && slices.Equal(a.Adding, b.Adding) && slices.Equal(a.Removing, b.Removing)
}

// except are the ids that are not among others, in order.
func except(ids, others []model.BrokerID) []model.BrokerID {
	return keep(ids, func(id model.BrokerID) bool { return !slices.Contains(others, id) })
}

// subset reports whether all ids are among others.
func subset(ids, others []model.BrokerID) bool {
	return len(except(ids, others)) == 0
}
