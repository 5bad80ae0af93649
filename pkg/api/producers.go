package api

import (
	"context"

	"github.com/sirupsen/logrus"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Producers is the family of idempotent producers.
type Producers struct {
	IDs ProducerIDs
	Log *logrus.Entry // kafka.server.KafkaApis
}

// ProducerIDs hands out producer ids; txn.ProducerIDs does.
type ProducerIDs interface {
	Next(ctx context.Context) (int64, error)
}

// Register enters the family's handlers.
func (h *Producers) Register(r *Router) {
	r.Handle(22, Typed(kmsg.NewPtrInitProducerIDRequest, h.initProducerID))
}
