package api

// JoinGroup, key 11, v0-7.
//
//	v1: rebalance timeout (v0: the session timeout stands for it)
//	v2: throttle time   v3: throttled by the client
//	v4: a new member is given its id first, MEMBER_ID_REQUIRED (KIP-394)
//	v5: group.instance.id (KIP-345)   v6: flexible
//	v7: protocol type in the answer; the protocol is null, not "", when there
//	is none (KIP-559)
//
// What surprises: the answer waits until the group goes on, which may take as
// long as the longest rebalance timeout of its members. A client that hangs
// up meanwhile stays a member until its session ends.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/kerr"
	"gregor/pkg/wire"
)

func (h *Groups) joinGroup(ctx context.Context, r *wire.Request, req *kmsg.JoinGroupRequest) kmsg.Response {
	if req.InstanceID != nil && !h.StaticMembers {
		resp := kmsg.NewPtrJoinGroupResponse()
		resp.ErrorCode, resp.Generation = kerr.UnsupportedVersion.Code, -1
		if r.Version < 7 {
			none := ""
			resp.Protocol = &none
		}
		return resp
	}
	resp := h.Coordinator.JoinGroup(ctx, req, clientOf(r))
	if resp == nil {
		return nil // the connection is gone
	}
	return resp
}
