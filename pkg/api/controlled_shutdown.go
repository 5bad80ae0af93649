package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/kerr"
	"gregor/pkg/model"
	"gregor/pkg/wire"
)

// ControlledShutdown, key 7, from a broker that is about to stop.
//
//	v0  broker id; its header has no client id
//	v2  broker epoch (KIP-380), -1 before
//	v3  flexible
//
// The answer names the partitions that the broker still leads although they
// have other replicas; the broker asks again until there are none. A broker
// that is not the controller answers STALE_CONTROLLER_EPOCH.
func (t *Topics) controlledShutdown() Handler {
	return Typed(kmsg.NewPtrControlledShutdownRequest, func(ctx context.Context, _ *wire.Request, req *kmsg.ControlledShutdownRequest) kmsg.Response {
		resp := kmsg.NewPtrControlledShutdownResponse()
		epoch := model.BrokerEpoch(req.BrokerEpoch)
		if req.Version < 2 {
			epoch = model.NoBrokerEpoch
		}
		remaining, err := t.Controller.ControlledShutdown(ctx, model.BrokerID(req.BrokerID), epoch)
		resp.ErrorCode = kerr.Code(err)
		for _, tp := range remaining {
			one := kmsg.NewControlledShutdownResponsePartitionsRemaining()
			one.Topic, one.Partition = tp.Topic, tp.Partition
			resp.PartitionsRemaining = append(resp.PartitionsRemaining, one)
		}
		return resp
	})
}
