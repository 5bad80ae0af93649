package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/wire"
)

// CreatePartitions, key 37 (KIP-195).
//
//	v0  topics with the new number of partitions, validateOnly
//	v2  flexible
//	v3  may be throttled (KIP-599)
//
// Only the controller answers.
func (t *Topics) createPartitions() Handler {
	return Typed(kmsg.NewPtrCreatePartitionsRequest, func(ctx context.Context, _ *wire.Request, req *kmsg.CreatePartitionsRequest) kmsg.Response {
		return t.Admin.CreatePartitions(ctx, req)
	})
}
