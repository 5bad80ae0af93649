package txn

import (
	"bytes"
	"context"
	"errors"
	"math"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"gregor/pkg/logging"
	"gregor/pkg/model"
	"gregor/pkg/zkstore"
)

// node is /latest_producer_id_block in memory.
type node struct {
	mu      sync.Mutex
	block   zkstore.ProducerIDBlock
	found   bool
	version int32
	lose    int   // so many writes lose against another broker
	err     error // of reads
}

func (n *node) ProducerIDBlock(context.Context) (zkstore.ProducerIDBlock, bool, int32, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.block, n.found, n.version, n.err
}

func (n *node) SetProducerIDBlock(_ context.Context, b zkstore.ProducerIDBlock, version int32) (int32, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.lose > 0 {
		n.lose--
		n.block = zkstore.ProducerIDBlock{Broker: 9, Start: n.block.End + 1, End: n.block.End + blockSize}
		if !n.found {
			n.block.Start, n.block.End = 0, blockSize-1
		}
		n.found = true
		n.version++
	}
	if version != n.version {
		return 0, zkstore.ErrBadVersion
	}
	n.block, n.found = b, true
	n.version++
	return n.version, nil
}

func TestBlocksAreUsedUpOneAfterTheOther(t *testing.T) {
	var lines bytes.Buffer
	n := &node{}
	p := NewProducerIDs(0, n, logging.New(&lines))
	require.NoError(t, p.Claim(t.Context()))
	require.Contains(t, lines.String(), "INFO [ProducerId Manager 0]: Acquired new producerId block (brokerId:0,blockStartProducerId:0,blockEndProducerId:999) by writing to Zk with path version 1 (kafka.coordinator.transaction.ProducerIdManager)")
	for want := range int64(2500) {
		id, err := p.Next(t.Context())
		require.NoError(t, err)
		require.Equal(t, want, id)
	}
	require.EqualValues(t, 3, n.version)
	p.Shutdown()
	require.Contains(t, lines.String(), "[ProducerId Manager 0]: Shutdown complete: last producerId assigned 2500")

	// A restart burns what is left.
	again := NewProducerIDs(0, n, logging.Discard())
	require.NoError(t, again.Claim(t.Context()))
	id, err := again.Next(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 3000, id)
}

func TestALostWriteIsTriedAgain(t *testing.T) {
	n := &node{lose: 3}
	p := NewProducerIDs(1, n, logging.Discard())
	id, err := p.Next(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 3000, id)
	require.Equal(t, zkstore.ProducerIDBlock{Broker: 1, Start: 3000, End: 3999}, n.block)
}

func TestClaimEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p := NewProducerIDs(1, &node{lose: 1 << 30}, logging.Discard())
	_, err := p.Next(ctx)
	require.ErrorIs(t, err, context.Canceled)
}

func TestNoIDWithoutABlock(t *testing.T) {
	away := errors.New("connection loss")
	n := &node{err: away}
	p := NewProducerIDs(1, n, logging.Discard())
	_, err := p.Next(t.Context())
	require.ErrorIs(t, err, away)
	n.err = nil
	id, err := p.Next(t.Context())
	require.NoError(t, err)
	require.Zero(t, id)
}

func TestTheIDsEnd(t *testing.T) {
	n := &node{found: true, block: zkstore.ProducerIDBlock{Start: 0, End: math.MaxInt64 - 999}}
	p := NewProducerIDs(1, n, logging.Discard())
	_, err := p.Next(t.Context())
	require.ErrorContains(t, err, "used up")
}

func TestBrokersNeverShareAnID(t *testing.T) {
	n := &node{}
	var mu sync.Mutex
	seen := map[int64]model.BrokerID{}
	var all sync.WaitGroup
	for broker := range model.BrokerID(4) {
		p := NewProducerIDs(broker, n, logging.Discard())
		for range 2 {
			all.Go(func() {
				for range 1500 {
					id, err := p.Next(context.Background())
					require.NoError(t, err)
					mu.Lock()
					other, twice := seen[id]
					seen[id] = broker
					mu.Unlock()
					require.False(t, twice, "%d is of brokers %d and %d", id, other, broker)
				}
			})
		}
	}
	all.Wait()
	require.Len(t, seen, 12_000)
}
