package api

import (
	"context"

	"gregor/pkg/admin"
	"gregor/pkg/model"
)

// Topics is the family of the APIs that the controller answers: CreateTopics,
// DeleteTopics, CreatePartitions, ControlledShutdown.
type Topics struct {
	Admin      *admin.Topics
	Controller ShutdownController
}

// ShutdownController moves leaders away from a broker that is about to stop.
type ShutdownController interface {
	ControlledShutdown(ctx context.Context, id model.BrokerID, epoch model.BrokerEpoch) (remaining []model.TopicPartition, err error)
}

// Register enters the family's handlers.
func (t *Topics) Register(r *Router) {
	r.Handle(7, t.controlledShutdown())
	r.Handle(19, t.createTopics())
	r.Handle(20, t.deleteTopics())
	r.Handle(37, t.createPartitions())
}
