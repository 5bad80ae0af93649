package api

// ListGroups, key 16, v0-4.
//
//	v1: throttle time   v2: throttled by the client   v3: flexible
//	v4: filter by state, and the state in the answer (KIP-518)
//
// What surprises: a broker lists the groups that it coordinates, so a client
// asks all brokers; the names of states are case-sensitive.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/wire"
)

func (h *Groups) listGroups(_ context.Context, _ *wire.Request, req *kmsg.ListGroupsRequest) kmsg.Response {
	return h.Coordinator.ListGroups(req)
}
