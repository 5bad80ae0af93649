package api

// LeaveGroup, key 13, v0-4.
//
//	v1: throttle time   v2: throttled by the client
//	v3: many members, by id or by group.instance.id (KIP-345)   v4: flexible
//
// What surprises: from v3 on an unknown member is an error of that member and
// the answer as a whole has none; before, it is the error of the answer.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/wire"
)

func (h *Groups) leaveGroup(_ context.Context, _ *wire.Request, req *kmsg.LeaveGroupRequest) kmsg.Response {
	return h.Coordinator.LeaveGroup(req)
}
