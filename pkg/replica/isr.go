package replica

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"gregor/pkg/kerr"
	"gregor/pkg/model"
)

// isrChange is an ISR that this broker, as the leader, proposes. Until it is
// decided the partition keeps the ISR before as the committed one; the
// maximal ISR is the larger of both, and what the high watermark waits for.
type isrChange struct {
	partition       *Partition
	isr             []model.BrokerID
	leaderEpoch     model.LeaderEpoch
	controllerEpoch model.ControllerEpoch
	partitionEpoch  model.PartitionEpoch // that the change is based on
}

// isrOutcome is what became of a change: the state in force, or why it was
// refused.
type isrOutcome struct {
	err            *kerr.Error
	leaderEpoch    model.LeaderEpoch
	isr            []model.BrokerID
	partitionEpoch model.PartitionEpoch
}

// isrWriter takes changes to where the cluster's state is kept: to the
// controller, or to ZooKeeper before 2.7-IV2. An error means that nothing is
// known of any of them; otherwise there is an outcome for each, in order.
type isrWriter interface {
	write(ctx context.Context, changes []*isrChange) ([]isrOutcome, error)
}

// maximalLocked is the ISR with those who are about to join it.
func (p *Partition) maximalLocked() []model.BrokerID {
	if p.pending != nil && len(p.pending.isr) > len(p.isr) {
		return p.pending.isr
	}
	return p.isr
}

// inISRLocked reports whether a replica is in the committed ISR.
func (p *Partition) inISRLocked(id model.BrokerID) bool { return slices.Contains(p.isr, id) }

// mayJoinLocked reports whether a replica with this log end belongs in the
// ISR but is not in it: it has all that is committed, and all that this
// leader began its epoch with.
func (p *Partition) mayJoinLocked(id model.BrokerID, logEnd int64) bool {
	return p.pending == nil && !p.inISRLocked(id) && logEnd >= p.log.HighWatermark() && logEnd >= p.leaderSince
}

// expand proposes an ISR with one more member. It returns nil when, by now,
// there is no reason to.
func (p *Partition) expand(id model.BrokerID) *isrChange {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.leads() || p.offline.Load() {
		return nil
	}
	p.progress.Lock()
	r := p.remote[id]
	end := unknownOffset
	if r != nil {
		end = r.logEndOffset
	}
	p.progress.Unlock()
	if r == nil || !p.mayJoinLocked(id, end) {
		return nil
	}
	isr := append(slices.Clone(p.isr), id)
	p.journal.Debugf("%sExpanding ISR from %s to %s", p.logPrefix(), plain(p.isr), plain(isr))
	return p.proposeLocked(isr)
}

// shrink proposes an ISR without the members that have fallen behind for too
// long, and reports whether the high watermark rose. It returns nil when all
// keep up.
func (p *Partition) shrink(now time.Time) (change *isrChange, advanced bool) {
	if !p.laggards(now) {
		return nil, false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.leads() || p.pending != nil || p.offline.Load() {
		return nil, false
	}
	stay, lines := p.inSyncLocked(now)
	if len(stay) == len(p.isr) {
		return nil, false
	}
	p.journal.Infof("%sShrinking ISR from %s to %s. Leader: (highWatermark: %d, endOffset: %d). Out of sync replicas: %s.",
		p.logPrefix(), plain(p.isr), plain(stay), p.log.HighWatermark(), p.log.LogEndOffset(), strings.Join(lines, " "))
	change = p.proposeLocked(stay)
	return change, p.advanceLocked(now)
}

// laggards reports, without keeping the partition from being used, whether a
// member has fallen behind for too long.
func (p *Partition) laggards(now time.Time) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if !p.leads() || p.pending != nil || p.offline.Load() {
		return false
	}
	stay, _ := p.inSyncLocked(now)
	return len(stay) < len(p.isr)
}

// inSyncLocked lists the members that keep up, and describes the others.
func (p *Partition) inSyncLocked(now time.Time) (stay []model.BrokerID, others []string) {
	end := p.log.LogEndOffset()
	p.progress.Lock()
	defer p.progress.Unlock()
	for _, id := range p.isr {
		r := p.remote[id]
		if id != p.broker && r != nil && r.logEndOffset != end && now.Sub(r.lastCaughtUp) > p.lagMax {
			others = append(others, "(brokerId: "+id.String()+", endOffset: "+strconv.FormatInt(r.logEndOffset, 10)+")")
			continue
		}
		stay = append(stay, id)
	}
	return stay, others
}

func (p *Partition) proposeLocked(isr []model.BrokerID) *isrChange {
	p.pending = &isrChange{partition: p, isr: isr, leaderEpoch: p.leaderEpoch, controllerEpoch: p.controllerEpoch, partitionEpoch: p.partitionEpoch}
	return p.pending
}

// decide takes the outcome of a change. It reports whether the change must be
// proposed again.
//
// A change that was refused for good stays pending: the partition has newer
// state, which the controller is about to send, and until then no member may
// be taken to have left.
func (p *Partition) decide(c *isrChange, o isrOutcome) (again bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pending != c || !p.leads() {
		return false // overtaken by a LeaderAndIsr
	}
	switch o.err {
	case nil:
	case kerr.UnknownTopicOrPartition, kerr.FencedLeaderEpoch, kerr.InvalidUpdateVersion:
		p.journal.Debugf("%sFailed to update ISR to %s due to %s. Giving up.", p.logPrefix(), plain(c.isr), o.err.Name)
		return false
	default:
		p.journal.Debugf("%sFailed to update ISR to %s due to %s. Retrying.", p.logPrefix(), plain(c.isr), o.err.Name)
		return true
	}
	if o.leaderEpoch != p.leaderEpoch || o.partitionEpoch < p.partitionEpoch {
		p.journal.Debugf("%sIgnoring ISR %s of leader epoch %d and version %d", p.logPrefix(), plain(o.isr), o.leaderEpoch, o.partitionEpoch)
		return false
	}
	p.isr, p.partitionEpoch, p.pending = o.isr, o.partitionEpoch, nil
	p.journal.Infof("%sISR updated to %s and version updated to [%d]", p.logPrefix(), plain(p.isr), p.partitionEpoch)
	p.advanceLocked(time.Now())
	return false
}

// isrRetryPause is how long a change waits that could not be delivered.
const isrRetryPause = 50 * time.Millisecond

// isrQueue holds the changes that are to be written, at most one of a
// partition.
type isrQueue struct {
	wake chan struct{}

	mu      sync.Mutex // guards waiting; nothing else is taken while it is held
	waiting map[model.TopicPartition]*isrChange
}

func newISRQueue() *isrQueue {
	return &isrQueue{wake: make(chan struct{}, 1), waiting: map[model.TopicPartition]*isrChange{}}
}

// add enters a change. One of the same partition that still waits is of an
// earlier state.
func (q *isrQueue) add(c *isrChange) {
	q.mu.Lock()
	q.waiting[c.partition.TopicPartition] = c
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// addAgain enters a change that was tried before, unless there is a newer one.
func (q *isrQueue) addAgain(c *isrChange) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.waiting[c.partition.TopicPartition] == nil {
		q.waiting[c.partition.TopicPartition] = c
	}
}

// forget drops the change of a partition whose state the controller sent.
func (q *isrQueue) forget(tp model.TopicPartition) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.waiting, tp)
}

// take empties the queue, in order of partitions.
func (q *isrQueue) take() []*isrChange {
	q.mu.Lock()
	defer q.mu.Unlock()
	list := make([]*isrChange, 0, len(q.waiting))
	for _, c := range q.waiting {
		list = append(list, c)
	}
	clear(q.waiting)
	slices.SortFunc(list, func(a, b *isrChange) int {
		return a.partition.TopicPartition.Compare(b.partition.TopicPartition)
	})
	return list
}

// writeISRs delivers changes, all that wait at once, one delivery at a time.
func (m *Manager) writeISRs(ctx context.Context) error {
	for {
		changes := m.isr.take()
		if len(changes) == 0 {
			select {
			case <-m.isr.wake:
				continue
			case <-ctx.Done():
				return nil
			}
		}
		if m.deliver(ctx, changes) {
			continue
		}
		if !pause(ctx, isrRetryPause) {
			return nil
		}
	}
}

// deliver reports false when changes are left to be delivered again.
func (m *Manager) deliver(ctx context.Context, changes []*isrChange) bool {
	outcomes, err := m.isrWriter.write(ctx, changes)
	if err != nil {
		if ctx.Err() == nil {
			m.log.Debugf("%sISR changes of %d partitions could not be delivered: %v", m.prefix(), len(changes), err)
		}
		for _, c := range changes {
			m.isr.addAgain(c)
		}
		return false
	}
	delivered := true
	for i, c := range changes {
		if c.partition.decide(c, outcomes[i]) {
			m.isr.addAgain(c)
			delivered = false
		}
		m.wake(c.partition.TopicPartition)
	}
	return delivered
}

// shrinkISRs looks at every partition now and then for members that have
// fallen behind.
func (m *Manager) shrinkISRs(ctx context.Context) error {
	ticker := time.NewTicker(max(m.options.LagTimeMax/2, time.Millisecond))
	defer ticker.Stop()
	for {
		select {
		case now := <-ticker.C:
			m.shrinkOnce(now)
		case <-ctx.Done():
			return nil
		}
	}
}

func (m *Manager) shrinkOnce(now time.Time) {
	for _, p := range m.Partitions() {
		change, advanced := p.shrink(now)
		if change != nil {
			m.isr.add(change)
		}
		if advanced {
			m.wake(p.TopicPartition)
		}
	}
}

// pause waits and reports false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
