package api

// SyncGroup, key 14, v0-5.
//
//	v1: throttle time   v2: throttled by the client   v3: group.instance.id
//	v4: flexible   v5: protocol type and name must be given and be the
//	group's (KIP-559)

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/kerr"
	"gregor/pkg/wire"
)

func (h *Groups) syncGroup(ctx context.Context, r *wire.Request, req *kmsg.SyncGroupRequest) kmsg.Response {
	refuse := func(err *kerr.Error) kmsg.Response {
		resp := kmsg.NewPtrSyncGroupResponse()
		resp.ErrorCode, resp.MemberAssignment = err.Code, []byte{}
		return resp
	}
	switch {
	case req.InstanceID != nil && !h.StaticMembers:
		return refuse(kerr.UnsupportedVersion)
	case r.Version >= 5 && (req.ProtocolType == nil || req.Protocol == nil):
		return refuse(kerr.InconsistentGroupProtocol)
	}
	resp := h.Coordinator.SyncGroup(ctx, req)
	if resp == nil {
		return nil // the connection is gone
	}
	return resp
}
