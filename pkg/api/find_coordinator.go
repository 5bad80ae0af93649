package api

// FindCoordinator, key 10, v0-3.
//
//	v1: the type of the key (0 group, 1 transaction), error message,
//	throttle time   v2: throttled by the client   v3: flexible
//
// What surprises: the first call creates __consumer_offsets, and is answered
// with COORDINATOR_NOT_AVAILABLE, which clients retry; a call that succeeds
// carries the error message "NONE". There is no transaction coordinator: type
// 1 is refused with UNSUPPORTED_VERSION, which no client retries, and a text
// that the Java client shows. COORDINATOR_NOT_AVAILABLE would be retried for
// ever.

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/group"
	"gregor/pkg/kerr"
	"gregor/pkg/model"
	"gregor/pkg/wire"
)

const (
	coordinatorOfGroup       int8 = 0
	coordinatorOfTransaction int8 = 1
)

// noTransactions is the answer to whoever wants a transaction.
var noTransactions = kerr.UnsupportedVersion.With("This broker does not support transactions.")

func (h *Groups) findCoordinator(ctx context.Context, r *wire.Request, req *kmsg.FindCoordinatorRequest) kmsg.Response {
	resp := kmsg.NewPtrFindCoordinatorResponse()
	broker, endpoint, err := h.coordinatorFor(ctx, r.Peer.Listener, req)
	if err != nil {
		resp.NodeID, resp.Host, resp.Port = -1, "", -1
		resp.ErrorCode, resp.ErrorMessage = kerr.Code(err), kerr.Message(err)
		return resp
	}
	none := "NONE"
	resp.ErrorMessage = &none
	resp.NodeID, resp.Host, resp.Port = int32(broker), endpoint.Host, endpoint.Port
	return resp
}

func (h *Groups) coordinatorFor(ctx context.Context, listener string, req *kmsg.FindCoordinatorRequest) (model.BrokerID, model.Endpoint, error) {
	switch req.CoordinatorType {
	case coordinatorOfGroup:
	case coordinatorOfTransaction:
		return model.NoBroker, model.Endpoint{}, noTransactions
	default:
		return model.NoBroker, model.Endpoint{}, kerr.InvalidRequest
	}
	if !h.Cluster.HasTopic(group.Topic) {
		h.createOffsetsTopic(ctx)
		return model.NoBroker, model.Endpoint{}, kerr.CoordinatorNotAvailable
	}
	tp := model.TopicPartition{Topic: group.Topic, Partition: h.Coordinator.PartitionFor(req.CoordinatorKey)}
	broker, endpoint, ok := h.Cluster.Leader(tp, listener)
	if !ok {
		return model.NoBroker, model.Endpoint{}, kerr.CoordinatorNotAvailable
	}
	return broker, endpoint, nil
}

func (h *Groups) createOffsetsTopic(ctx context.Context) {
	err := h.Topics.CreateInternal(ctx, group.Topic)
	if err != nil && !errors.Is(err, kerr.InvalidReplicationFactor) {
		h.Log.Warnf("Topic %s could not be created: %v", group.Topic, err)
	}
}
