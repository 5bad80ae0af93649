package api

// DescribeGroups, key 15, v0-5.
//
//	v1: throttle time   v2: throttled by the client   v3: authorized
//	operations (KIP-430)   v4: group.instance.id   v5: flexible
//
// What surprises: a group that does not exist is "Dead", without an error.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/wire"
)

func (h *Groups) describeGroups(_ context.Context, r *wire.Request, req *kmsg.DescribeGroupsRequest) kmsg.Response {
	resp := kmsg.NewPtrDescribeGroupsResponse()
	for _, id := range req.Groups {
		row := h.Coordinator.Describe(id)
		row.AuthorizedOperations = notAskedOperations
		if req.IncludeAuthorizedOperations && row.ErrorCode == 0 {
			row.AuthorizedOperations = allGroupOperations
		}
		resp.Groups = append(resp.Groups, row)
	}
	return resp
}
