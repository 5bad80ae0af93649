package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/wire"
)

// DescribeCluster (key 60), version 0: the cluster part of Metadata by itself
// (KIP-700). The controller is -1 when it has no endpoint on the client's
// listener.
func (c *Cluster) describeCluster(_ context.Context, r *wire.Request, req *kmsg.DescribeClusterRequest) kmsg.Response {
	snapshot := c.Metadata.Snapshot()
	resp := kmsg.NewPtrDescribeClusterResponse()
	resp.ClusterID = snapshot.ClusterID()
	resp.ControllerID = -1
	resp.ClusterAuthorizedOperations = notAskedOperations
	if req.IncludeClusterAuthorizedOperations {
		resp.ClusterAuthorizedOperations = allClusterOperations
	}
	for _, b := range c.metadataBrokers(r, snapshot) {
		broker := kmsg.NewDescribeClusterResponseBroker()
		broker.NodeID, broker.Host, broker.Port, broker.Rack = b.NodeID, b.Host, b.Port, b.Rack
		resp.Brokers = append(resp.Brokers, broker)
		if b.NodeID == int32(snapshot.ControllerID()) {
			resp.ControllerID = b.NodeID
		}
	}
	return resp
}
