package api

// Heartbeat, key 12, v0-4.
//
//	v1: throttle time   v2: throttled by the client   v3: group.instance.id
//	v4: flexible
//
// What surprises: REBALANCE_IN_PROGRESS tells the member to join again, only
// while the group waits for joins; and a coordinator that is still loading
// answers NONE, so that members keep calm.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/kerr"
	"gregor/pkg/wire"
)

func (h *Groups) heartbeat(_ context.Context, _ *wire.Request, req *kmsg.HeartbeatRequest) kmsg.Response {
	if req.InstanceID != nil && !h.StaticMembers {
		resp := kmsg.NewPtrHeartbeatResponse()
		resp.ErrorCode = kerr.UnsupportedVersion.Code
		return resp
	}
	return h.Coordinator.Heartbeat(req)
}
