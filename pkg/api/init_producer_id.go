package api

// InitProducerId, key 22, v0-4.
//
//	v1: throttled by the client   v2: flexible   v3: the producer's current
//	id and epoch (KIP-360)   v4: PRODUCER_FENCED may be answered
//
// What surprises: without a transactional id every call gives a new id with
// epoch 0, whatever id the caller had. There is no transaction coordinator: a
// transactional id is refused with UNSUPPORTED_VERSION, which no client
// retries (see FindCoordinator, which such a client asks first).

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/kerr"
	"gregor/pkg/wire"
)

func (h *Producers) initProducerID(ctx context.Context, r *wire.Request, req *kmsg.InitProducerIDRequest) kmsg.Response {
	resp := kmsg.NewPtrInitProducerIDResponse()
	id, err := h.newProducer(ctx, r.Version, req)
	if err != nil {
		resp.ErrorCode, resp.ProducerID, resp.ProducerEpoch = err.Code, -1, -1
		return resp
	}
	resp.ProducerID, resp.ProducerEpoch = id, 0
	return resp
}

func (h *Producers) newProducer(ctx context.Context, version int16, req *kmsg.InitProducerIDRequest) (int64, *kerr.Error) {
	if version >= 3 && (req.ProducerID == -1) != (req.ProducerEpoch == -1) {
		return 0, kerr.InvalidRequest
	}
	if req.TransactionalID != nil {
		switch {
		case *req.TransactionalID == "":
			return 0, kerr.InvalidRequest
		case req.TransactionTimeoutMillis <= 0:
			return 0, kerr.InvalidTransactionTimeout
		}
		return 0, kerr.Of(noTransactions)
	}
	id, err := h.IDs.Next(ctx)
	if err != nil {
		// ZooKeeper may be back soon: a code that producers retry.
		h.Log.Warnf("No producer id for a producer: %v", err)
		return 0, kerr.CoordinatorNotAvailable
	}
	return id, nil
}
