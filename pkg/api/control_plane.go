package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/replica"
)

// ControlPlane is the family of the APIs by which the controller directs this
// broker: LeaderAndIsr, StopReplica, UpdateMetadata.
type ControlPlane struct {
	Replicas *replica.Manager
}

// Register enters the family's handlers.
func (c *ControlPlane) Register(r *Router) {
	r.Handle(4, Typed(kmsg.NewPtrLeaderAndISRRequest, c.leaderAndIsr))
	r.Handle(5, Typed(kmsg.NewPtrStopReplicaRequest, c.stopReplica))
	r.Handle(6, Typed(kmsg.NewPtrUpdateMetadataRequest, c.updateMetadata))
}
