package api

// DeleteGroups, key 42, v0-2.
//
//	v1: throttled by the client   v2: flexible
//
// What surprises: a group that is named twice is answered once.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/wire"
)

func (h *Groups) deleteGroups(_ context.Context, _ *wire.Request, req *kmsg.DeleteGroupsRequest) kmsg.Response {
	return h.Coordinator.DeleteGroups(req)
}
