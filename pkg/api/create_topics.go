package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/wire"
)

// CreateTopics, key 19.
//
//	v0  topics, timeout
//	v1  validateOnly; error messages
//	v2  throttle time
//	v4  -1 partitions and replicas are the broker's defaults (KIP-464); taken
//	    in every version
//	v5  flexible; partitions, replicas and settings in the answer (KIP-525)
//	v6  may be throttled (KIP-599)
//	v7  topic ids
//
// Only the controller answers. With a timeout of 0 a topic is created and the
// answer is REQUEST_TIMED_OUT all the same.
func (t *Topics) createTopics() Handler {
	return Typed(kmsg.NewPtrCreateTopicsRequest, func(ctx context.Context, _ *wire.Request, req *kmsg.CreateTopicsRequest) kmsg.Response {
		return t.Admin.CreateTopics(ctx, req)
	})
}
