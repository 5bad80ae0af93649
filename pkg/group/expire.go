package group

import (
	"context"
	"maps"
	"slices"
	"time"

	"gregor/pkg/model"
	"gregor/pkg/record"
)

// expireOffsets removes what is too old, again and again.
func (c *Coordinator) expireOffsets(ctx context.Context) error {
	ticker := time.NewTicker(c.config.RetentionInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
			c.expireOnce()
		}
	}
}

// expireOnce removes expired offsets, and groups that nothing is left of.
func (c *Coordinator) expireOnce() {
	begun := time.Now()
	total := 0
	// Partitions that are loading have their turn the next time.
	_ = c.runtime.Each(func(s *shard) {
		for _, id := range slices.Sorted(maps.Keys(s.groups)) {
			g := s.groups[id]
			removed := c.removeOffsets(s, g, g.expired(begun))
			total += len(removed)
			if len(removed) > 0 {
				c.storage.Infof("%s Group %s: %d committed offsets have expired after %s: %s", c.storagePrefix(), id, len(removed), c.opts.OffsetsRetention, names(removed))
			}
		}
	})
	if total > 0 {
		c.storage.Infof("%s Removed %d expired offsets in %d milliseconds.", c.storagePrefix(), total, time.Since(begun).Milliseconds())
	}
}

// removeOffsets forgets the offsets of the partitions, and the group when
// nothing is left of it, with tombstones for what was in the log. It returns
// those partitions that had an offset. Tombstones are appended without waiting;
// one that is lost is made again after the next load.
func (c *Coordinator) removeOffsets(s *shard, g *Group, partitions []model.TopicPartition) []model.TopicPartition {
	now := time.Now()
	b := record.NewBuilder(c.config.Codec)
	var removed []model.TopicPartition
	for _, tp := range partitions {
		if g.offsets.remove(tp) {
			removed = append(removed, tp)
			b.Append(now.UnixMilli(), offsetKey(g.id, tp), nil)
		}
	}
	if g.isFinished() {
		g.transition(Dead, now)
	}
	if g.state == Dead {
		if g.generation > 0 {
			b.Append(now.UnixMilli(), groupKey(g.id), nil)
		}
		delete(s.groups, g.id)
		c.runtime.SetTimer(s.partition, g.id, time.Time{})
		c.storage.Infof("%s Group %s transitioned to Dead in generation %d", c.storagePrefix(), g.id, g.generation)
	}
	if b.Count() > 0 {
		if _, err := c.append(s.partition, b, 0); err != nil {
			c.storage.Errorf("%s Failed to append %d tombstones to %s for expired/deleted offsets and/or metadata for group %s: %v", c.storagePrefix(), b.Count(), partitionName(s.partition), g.id, err)
		}
	}
	return removed
}
