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
	r.Handle(4, Checked(Typed(kmsg.NewPtrLeaderAndISRRequest, c.leaderAndIsr)))
	r.Handle(5, Checked(Typed(kmsg.NewPtrStopReplicaRequest, c.stopReplica)))
	r.Handle(6, Checked(Typed(kmsg.NewPtrUpdateMetadataRequest, c.updateMetadata)))
}
