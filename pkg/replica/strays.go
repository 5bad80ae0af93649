package replica

import (
	"context"
	"slices"
	"strings"
	"time"

	"gregor/pkg/model"
)

// strayDelay is how long a controller gets, from its first word on, to tell
// this broker of all its partitions.
const strayDelay = 10 * time.Second

// lookForStrays starts, once, the search for logs that belong to nobody: of
// topics that were deleted, or moved away, without this broker. changes is
// held.
func (m *Manager) lookForStrays() {
	if m.strays {
		return
	}
	m.strays = m.group.Go("stray-logs", func(ctx context.Context) error {
		timer := time.NewTimer(strayDelay)
		defer timer.Stop()
		select {
		case <-timer.C:
			m.reportStrays()
		case <-ctx.Done():
		}
		return nil
	})
}

// reportStrays names the stray logs. They are kept: a topic whose znodes were
// removed by mistake can be had back.
func (m *Manager) reportStrays() {
	for _, dir := range m.options.Logs.DescribeDirs() {
		var names []string
		for _, log := range dir.Logs {
			if !log.Future && m.isStray(log.Partition) {
				names = append(names, log.Partition.String())
			}
		}
		if len(names) > 0 {
			m.log.Warnf("%sLog directory %s holds stray partitions, which the cluster does not know or has assigned to other brokers: %s. They are kept; remove their directories while the broker is stopped if nobody needs them",
				m.prefix(), dir.Dir, strings.Join(names, ", "))
		}
	}
}

// isStray reports whether no part of the cluster's state gives the partition
// to this broker.
func (m *Manager) isStray(tp model.TopicPartition) bool {
	m.mu.RLock()
	hosted := m.partitions[tp] != nil
	m.mu.RUnlock()
	if hosted {
		return false
	}
	p, known := m.options.Metadata.Snapshot().Partition(tp)
	return !known || !slices.Contains(p.Replicas, m.options.BrokerID)
}
