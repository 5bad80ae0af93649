package cli

import (
	"context"
	"sync"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"gregor/pkg/kerr"
)

// positions are the next offsets of the partitions that a group member has.
// kgo's rebalance callbacks and the polling loop share them.
type positions struct {
	mu   sync.Mutex
	next map[string]map[int32]kgo.EpochOffset
}

// begin enters partitions with the offset at which they begin.
func (p *positions) begin(offsets map[string]map[int32]kgo.Offset) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next == nil {
		p.next = map[string]map[int32]kgo.EpochOffset{}
	}
	for topic, partitions := range offsets {
		if p.next[topic] == nil {
			p.next[topic] = map[int32]kgo.EpochOffset{}
		}
		for partition, offset := range partitions {
			p.next[topic][partition] = kgo.EpochOffset{Epoch: -1, Offset: offset.EpochOffset().Offset}
		}
	}
}

// passed moves the position of a partition behind a record.
func (p *positions) passed(r *kgo.Record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if partitions := p.next[r.Topic]; partitions != nil {
		partitions[r.Partition] = kgo.EpochOffset{Epoch: r.LeaderEpoch, Offset: r.Offset + 1}
	}
}

// drop forgets partitions.
func (p *positions) drop(gone map[string][]int32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for topic, partitions := range gone {
		for _, partition := range partitions {
			delete(p.next[topic], partition)
		}
	}
}

// offsets is a copy of the positions: of all partitions, or of those listed.
func (p *positions) offsets(only map[string][]int32) map[string]map[int32]kgo.EpochOffset {
	p.mu.Lock()
	defer p.mu.Unlock()
	found := map[string]map[int32]kgo.EpochOffset{}
	add := func(topic string, partition int32) {
		offset, ok := p.next[topic][partition]
		if !ok {
			return
		}
		if found[topic] == nil {
			found[topic] = map[int32]kgo.EpochOffset{}
		}
		found[topic][partition] = offset
	}
	if only == nil {
		for topic, partitions := range p.next {
			for partition := range partitions {
				add(topic, partition)
			}
		}
	}
	for topic, partitions := range only {
		for _, partition := range partitions {
			add(topic, partition)
		}
	}
	return found
}

// resolveOffsets turns "at the start" and "at the end" into numbers.
func resolveOffsets(ctx context.Context, client *kgo.Client, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	admin := kadm.NewClient(client)
	var starts, ends kadm.ListedOffsets
	resolved := map[string]map[int32]kgo.Offset{}
	for topic, partitions := range offsets {
		resolved[topic] = map[int32]kgo.Offset{}
		for partition, offset := range partitions {
			at := offset.EpochOffset().Offset
			var listed kadm.ListedOffset
			var err error
			switch at {
			case -2:
				listed, starts, err = lookUp(ctx, starts, admin.ListStartOffsets, offsets, topic, partition)
			case -1:
				listed, ends, err = lookUp(ctx, ends, admin.ListEndOffsets, offsets, topic, partition)
			default:
				resolved[topic][partition] = offset
				continue
			}
			if err != nil {
				return nil, err
			}
			resolved[topic][partition] = kgo.NewOffset().At(listed.Offset)
		}
	}
	return resolved, nil
}

// lookUp finds a partition in a listing, which is made when it is needed
// first.
func lookUp(ctx context.Context, listing kadm.ListedOffsets, list func(context.Context, ...string) (kadm.ListedOffsets, error),
	offsets map[string]map[int32]kgo.Offset, topic string, partition int32) (kadm.ListedOffset, kadm.ListedOffsets, error) {
	if listing == nil {
		var err error
		if listing, err = list(ctx, sortedTopics(offsets)...); err != nil {
			return kadm.ListedOffset{}, nil, err
		}
	}
	found, ok := listing.Lookup(topic, partition)
	if !ok {
		return kadm.ListedOffset{}, listing, kerr.UnknownTopicOrPartition
	}
	return found, listing, found.Err
}
