package api

import (
	"context"

	"gregor/pkg/admin"
	"gregor/pkg/controller"
	"gregor/pkg/model"
)

// Topics is the family of the APIs that the controller answers: CreateTopics,
// DeleteTopics, CreatePartitions, ControlledShutdown, ElectLeaders, AlterIsr,
// AlterPartitionReassignments, ListPartitionReassignments.
type Topics struct {
	Admin      *admin.Topics
	Controller ClusterController
}

// ClusterController is what brokers and tools ask of the controller.
type ClusterController interface {
	// ControlledShutdown moves leaders away from a broker that is about to
	// stop.
	ControlledShutdown(ctx context.Context, id model.BrokerID, epoch model.BrokerEpoch) (remaining []model.TopicPartition, err error)
	// AlterISR writes the ISRs that a leader proposes.
	AlterISR(ctx context.Context, id model.BrokerID, epoch model.BrokerEpoch, changes []controller.ISRChange) ([]controller.ISRResult, error)
	// AlterReassignments starts, changes and, with nil, cancels
	// reassignments.
	AlterReassignments(ctx context.Context, targets map[model.TopicPartition][]model.BrokerID) (failed map[model.TopicPartition]error, err error)
	// Reassignments lists those that run, for nil all.
	Reassignments(ctx context.Context, of []model.TopicPartition) (map[model.TopicPartition]controller.Assignment, error)
}

// Register enters the family's handlers.
func (t *Topics) Register(r *Router) {
	r.Handle(7, t.controlledShutdown())
	r.Handle(19, t.createTopics())
	r.Handle(20, t.deleteTopics())
	r.Handle(37, t.createPartitions())
	r.Handle(43, t.electLeaders())
	r.Handle(45, t.alterPartitionReassignments())
	r.Handle(46, t.listPartitionReassignments())
	r.Handle(56, t.alterISR())
}
