package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/kerr"
	"gregor/pkg/wire"
)

// StopReplica (key 5), versions 0 to 3: stop to serve replicas, and delete
// them.
//
//	1  + broker epoch (KIP-380); partitions by topic
//	2  flexible
//	3  + leader epoch and delete flag for each partition (KIP-570)
func (c *ControlPlane) stopReplica(_ context.Context, r *wire.Request, req *kmsg.StopReplicaRequest) kmsg.Response {
	resp := kmsg.NewPtrStopReplicaResponse()
	results, err := c.Replicas.StopReplicas(req, r.CorrelationID)
	resp.ErrorCode = kerr.Code(err)
	for _, result := range results {
		p := kmsg.NewStopReplicaResponsePartition()
		p.Topic, p.Partition = result.Topic, result.Partition
		p.ErrorCode = kerr.Code(result.Err)
		resp.Partitions = append(resp.Partitions, p)
	}
	return resp
}
