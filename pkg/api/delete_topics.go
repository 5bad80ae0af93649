package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/wire"
)

// DeleteTopics, key 20.
//
//	v0  names, timeout
//	v1  throttle time
//	v3  TOPIC_DELETION_DISABLED, which was INVALID_REQUEST before
//	v4  flexible
//	v5  error messages, which Kafka leaves empty; may be throttled (KIP-599)
//	v6  topics by name or by id (KIP-516)
//
// Only the controller answers. A topic that is being deleted already is
// waited for like the others.
func (t *Topics) deleteTopics() Handler {
	return Typed(kmsg.NewPtrDeleteTopicsRequest, func(ctx context.Context, _ *wire.Request, req *kmsg.DeleteTopicsRequest) kmsg.Response {
		return t.Admin.DeleteTopics(ctx, req)
	})
}
