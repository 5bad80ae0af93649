package replica

import (
	"time"

	"gregor/pkg/model"
)

// candidate is a replica that holds what a consumer asks for, and that it can
// connect to.
type candidate struct {
	id     model.BrokerID
	leader bool
	logEnd int64
	behind time.Duration // since it had caught up
}

// better is the order in which replicas of one rack are preferred.
func (c candidate) better(than candidate) bool {
	switch {
	case c.leader != than.leader:
		return c.leader
	case c.logEnd != than.logEnd:
		return c.logEnd > than.logEnd
	case c.behind != than.behind:
		return c.behind < than.behind
	}
	return c.id > than.id
}

// nearestLocked finds the replica that a consumer should rather read from than from
// this leader (KIP-392): one in its own rack that has the offset, in sync or
// not. There is none when the consumer does not say where it is, when the
// leader is in the same rack, or when nobody else is.
func (m *Manager) nearestLocked(p *Partition, params *FetchParams, offset int64) (model.BrokerID, bool) {
	if !m.options.NearestReplica || params.Rack == "" || params.ReplicaID >= 0 || !p.leads() {
		return model.NoBroker, false
	}
	now, best := time.Now(), candidate{id: model.NoBroker}
	consider := func(c candidate) {
		if m.reachableIn(c.id, params.Rack, params.Listener) && (best.id == model.NoBroker || c.better(best)) {
			best = c
		}
	}
	consider(candidate{id: p.broker, leader: true})
	p.progress.Lock()
	defer p.progress.Unlock()
	for id, r := range p.remote {
		if r.logEndOffset >= offset && r.logStartOffset <= offset {
			consider(candidate{id: id, logEnd: r.logEndOffset, behind: now.Sub(r.lastCaughtUp)})
		}
	}
	return best.id, best.id != model.NoBroker && !best.leader
}

// reachableIn reports whether a broker is alive, in a rack, and has a
// listener.
func (m *Manager) reachableIn(id model.BrokerID, rack, listener string) bool {
	b, alive := m.options.Metadata.Snapshot().Broker(id)
	if !alive || b.Rack == nil || *b.Rack != rack {
		return false
	}
	_, listens := b.Endpoint(listener)
	return listens
}
