package api

// IncrementalAlterConfigs, key 44, v0-1 (KIP-339).
//
//	v1: flexible
//
// What surprises: appending to a list begins with the default when nothing is
// set; taking away the last element leaves an empty list, not the default.
// Levels of loggers change here, at once and in this process only.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/admin"
	"gregor/pkg/kerr"
	"gregor/pkg/wire"
)

func (h *Configs) incrementalAlterConfigs(ctx context.Context, _ *wire.Request, req *kmsg.IncrementalAlterConfigsRequest) kmsg.Response {
	resp := kmsg.NewPtrIncrementalAlterConfigsResponse()
	for _, r := range req.Resources {
		changes := make([]admin.ConfigChange, len(r.Configs))
		for i, c := range r.Configs {
			changes[i] = admin.ConfigChange{Name: c.Name, Value: c.Value, Op: admin.ConfigOp(c.Op)}
		}
		target := resource(r.ResourceType, r.ResourceName)
		err := kerr.InvalidRequest.With("Unexpected resource type UNKNOWN")
		if target.Type != admin.UnknownResource {
			err = h.Admin.IncrementalAlter(ctx, target, changes, req.ValidateOnly)
		}
		answer := kmsg.NewIncrementalAlterConfigsResponseResource()
		answer.ResourceType, answer.ResourceName = r.ResourceType, r.ResourceName
		answer.ErrorCode, answer.ErrorMessage = kerr.Code(err), configMessage(err)
		resp.Resources = append(resp.Resources, answer)
	}
	return resp
}
