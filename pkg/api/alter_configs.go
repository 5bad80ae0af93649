package api

// AlterConfigs, key 33, v0-2.
//
//	v1: throttled by the client   v2: flexible
//
// What surprises: the settings of the request replace all others of the
// resource, so that what is not named goes back to its default. Levels of
// loggers are for IncrementalAlterConfigs.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/admin"
	"gregor/pkg/kerr"
	"gregor/pkg/wire"
)

func (h *Configs) alterConfigs(ctx context.Context, _ *wire.Request, req *kmsg.AlterConfigsRequest) kmsg.Response {
	resp := kmsg.NewPtrAlterConfigsResponse()
	for _, r := range req.Resources {
		changes := make([]admin.ConfigChange, len(r.Configs))
		for i, c := range r.Configs {
			changes[i] = admin.ConfigChange{Name: c.Name, Value: c.Value}
		}
		var err error
		switch target := resource(r.ResourceType, r.ResourceName); target.Type {
		case admin.LoggerResource:
			err = kerr.InvalidRequest.With("AlterConfigs is deprecated and does not support the resource type BROKER_LOGGER")
		case admin.UnknownResource:
			err = kerr.InvalidRequest.With("Unexpected resource type UNKNOWN")
		default:
			err = h.Admin.Alter(ctx, target, changes, req.ValidateOnly)
		}
		answer := kmsg.NewAlterConfigsResponseResource()
		answer.ResourceType, answer.ResourceName = r.ResourceType, r.ResourceName
		answer.ErrorCode, answer.ErrorMessage = kerr.Code(err), configMessage(err)
		resp.Resources = append(resp.Resources, answer)
	}
	return resp
}
