// Package txn hands out producer ids, in blocks that the brokers of a cluster
// claim from ZooKeeper.
//
// ProducerIDs is its one type; api calls it for InitProducerId. It is safe for
// concurrent use and owns no goroutine. Its lock is held while a block is
// claimed, so that a burst of producers waits for one claim instead of making
// many. Transactions are not here.
package txn

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"gregor/pkg/logging"
	"gregor/pkg/model"
	"gregor/pkg/zkstore"
)

// blockSize is how many ids a broker claims at a time.
const blockSize = 1000

// claimBackoff separates attempts that lost against another broker.
const claimBackoff = 10 * time.Millisecond

// BlockStore keeps the latest block of the cluster; zkstore.Store does.
type BlockStore interface {
	ProducerIDBlock(ctx context.Context) (block zkstore.ProducerIDBlock, found bool, version int32, err error)
	// SetProducerIDBlock fails with zkstore.ErrBadVersion when the version is
	// another by now.
	SetProducerIDBlock(ctx context.Context, block zkstore.ProducerIDBlock, version int32) (newVersion int32, err error)
}

// ProducerIDs hands out ids that no other broker hands out. Safe for
// concurrent use.
type ProducerIDs struct {
	broker model.BrokerID
	store  BlockStore
	log    *logrus.Entry

	// mu guards the fields below. It is held while a block is claimed.
	// Invariant: next-1 <= block.End; the ids from next on are ours to hand out.
	mu    sync.Mutex
	block zkstore.ProducerIDBlock
	next  int64
}

// NewProducerIDs returns a manager without a block; the first is claimed by
// Claim, or when it is needed.
func NewProducerIDs(broker model.BrokerID, store BlockStore, loggers *logging.Loggers) *ProducerIDs {
	return &ProducerIDs{
		broker: broker, store: store,
		log:   loggers.Logger("kafka.coordinator.transaction.ProducerIdManager"),
		block: zkstore.ProducerIDBlock{Start: 0, End: -1},
	}
}

// Claim gives up what is left of the current block and claims the next, as
// every start of a broker does.
func (p *ProducerIDs) Claim(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.claimLocked(ctx)
}

// Next hands out an id.
func (p *ProducerIDs) Next(ctx context.Context) (int64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next > p.block.End {
		if err := p.claimLocked(ctx); err != nil {
			return 0, err
		}
	}
	id := p.next
	p.next++
	return id, nil
}

// Shutdown logs the last id that was handed out.
func (p *ProducerIDs) Shutdown() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.log.Infof("[ProducerId Manager %s]: Shutdown complete: last producerId assigned %d", p.broker, p.next)
}

// claimLocked takes the block behind the latest, unless another broker is
// faster; then it tries again.
func (p *ProducerIDs) claimLocked(ctx context.Context) error {
	for {
		latest, found, version, err := p.store.ProducerIDBlock(ctx)
		if err != nil {
			return fmt.Errorf("read the latest block of producer ids: %w", err)
		}
		next := zkstore.ProducerIDBlock{Broker: p.broker, Start: 0, End: blockSize - 1}
		if found {
			if latest.End > math.MaxInt64-blockSize {
				return fmt.Errorf("all producer ids are used up: the latest block ends at %d", latest.End)
			}
			next.Start, next.End = latest.End+1, latest.End+blockSize
		}
		version, err = p.store.SetProducerIDBlock(ctx, next, version)
		if err == nil {
			p.block, p.next = next, next.Start
			p.log.Infof("[ProducerId Manager %s]: Acquired new producerId block (brokerId:%s,blockStartProducerId:%d,blockEndProducerId:%d) by writing to Zk with path version %d",
				p.broker, p.broker, next.Start, next.End, version)
			return nil
		}
		if !errors.Is(err, zkstore.ErrBadVersion) {
			return fmt.Errorf("claim producer ids %d to %d: %w", next.Start, next.End, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(claimBackoff):
		}
	}
}
