package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/kerr"
	"gregor/pkg/wire"
)

// UpdateMetadata (key 6), versions 0 to 7: the controller's view of the
// cluster.
//
//	1  + several endpoints for a broker
//	2  + racks
//	3  + listener names (KIP-103)
//	4  + offline replicas (KIP-112)
//	5  + broker epoch (KIP-380); partitions by topic
//	6  flexible
//	7  + topic ids (KIP-516)
func (c *ControlPlane) updateMetadata(_ context.Context, r *wire.Request, req *kmsg.UpdateMetadataRequest) kmsg.Response {
	resp := kmsg.NewPtrUpdateMetadataResponse()
	resp.ErrorCode = kerr.Code(c.Replicas.UpdateMetadata(req, r.CorrelationID))
	return resp
}
