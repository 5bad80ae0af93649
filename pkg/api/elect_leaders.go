package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/wire"
)

// ElectLeaders, key 43 (KIP-183, KIP-460).
//
//	v0  preferred leaders of the given partitions, or of all for null
//	v1  election type: 0 preferred, 1 unclean; error of the whole request
//	v2  flexible
//
// Only the controller elects. The answer comes when this broker's metadata
// show the new leaders, or the request's time is over. For null it leaves out
// the partitions for which nothing had to be done.
func (t *Topics) electLeaders() Handler {
	return Typed(kmsg.NewPtrElectLeadersRequest, func(ctx context.Context, _ *wire.Request, req *kmsg.ElectLeadersRequest) kmsg.Response {
		return t.Admin.ElectLeaders(ctx, req)
	})
}
