package group

import (
	"encoding/binary"
	"maps"
	"slices"
	"time"

	"gregor/pkg/kerr"
	"gregor/pkg/model"
)

const noTimestamp int64 = -1

// Committed is an offset that a group has committed for a partition.
type Committed struct {
	Offset          int64
	LeaderEpoch     model.LeaderEpoch
	Metadata        string
	CommitTimestamp int64 // ms
	ExpireTimestamp int64 // ms, -1 when the retention of the broker counts

	logOffset int64 // of its record in __consumer_offsets
}

// offsetTable is what a group has committed, and what it may have.
type offsetTable struct {
	committed map[model.TopicPartition]Committed
	// inFlight counts the commits that are appended and not acknowledged.
	inFlight map[model.TopicPartition]int
	// undecided are offsets of open transactions, by producer id.
	undecided map[int64]map[model.TopicPartition]Committed
}

func newOffsetTable() offsetTable {
	return offsetTable{
		committed: map[model.TopicPartition]Committed{},
		inFlight:  map[model.TopicPartition]int{},
		undecided: map[int64]map[model.TopicPartition]Committed{},
	}
}

func (t *offsetTable) isEmpty() bool {
	return len(t.committed) == 0 && len(t.inFlight) == 0 && len(t.undecided) == 0
}

// put keeps the offset unless a later record of the log is known already.
func (t *offsetTable) put(tp model.TopicPartition, c Committed) {
	if known, ok := t.committed[tp]; !ok || known.logOffset <= c.logOffset {
		t.committed[tp] = c
	}
}

// stage notes an offset of an open transaction.
func (t *offsetTable) stage(producerID int64, tp model.TopicPartition, c Committed) {
	if t.undecided[producerID] == nil {
		t.undecided[producerID] = map[model.TopicPartition]Committed{}
	}
	t.undecided[producerID][tp] = c
}

// decide ends the producer's transaction.
func (t *offsetTable) decide(producerID int64, commit bool) {
	if commit {
		for tp, c := range t.undecided[producerID] {
			t.put(tp, c)
		}
	}
	delete(t.undecided, producerID)
}

// isUndecided tells whether an open transaction has an offset for tp.
func (t *offsetTable) isUndecided(tp model.TopicPartition) bool {
	for _, offsets := range t.undecided {
		if _, ok := offsets[tp]; ok {
			return true
		}
	}
	return false
}

// acknowledged ends a commit's time in flight. A commit whose partition was
// removed meanwhile (its topic was deleted) is forgotten.
func (t *offsetTable) acknowledged(tp model.TopicPartition, c Committed, stored bool) {
	n, ok := t.inFlight[tp]
	if !ok {
		return
	}
	if n > 1 {
		t.inFlight[tp] = n - 1
	} else {
		delete(t.inFlight, tp)
	}
	if stored {
		t.put(tp, c)
	}
}

// remove forgets a partition and tells whether an offset was committed.
func (t *offsetTable) remove(tp model.TopicPartition) bool {
	delete(t.inFlight, tp)
	for producerID, offsets := range t.undecided {
		delete(offsets, tp)
		if len(offsets) == 0 {
			delete(t.undecided, producerID)
		}
	}
	_, had := t.committed[tp]
	delete(t.committed, tp)
	return had
}

// partitions lists the committed partitions in order.
func (t *offsetTable) partitions() []model.TopicPartition {
	return slices.SortedFunc(maps.Keys(t.committed), model.TopicPartition.Compare)
}

// CheckCommit tells whether the caller may commit, and counts as a sign of
// life.
func (g *Group) CheckCommit(now time.Time, memberID string, instance *string, generation int32) (*kerr.Error, Effects) {
	var out Effects
	m := g.members[memberID]
	switch {
	case g.state == Dead:
		return kerr.CoordinatorNotAvailable, out
	case g.isFenced(memberID, instance, "commit-offsets", &out):
		return kerr.FencedInstanceID, out
	case generation < 0 && g.state == Empty:
		return nil, out // a group that only commits offsets
	case m == nil:
		return kerr.UnknownMemberID, out
	case generation != g.generation:
		return kerr.IllegalGeneration, out
	case g.state == CompletingRebalance:
		return kerr.RebalanceInProgress, out
	}
	if !m.isNew {
		m.heard(now)
	}
	return nil, out
}

// expired lists the offsets whose time is over (KIP-211).
func (g *Group) expired(now time.Time) []model.TopicPartition {
	base := func(c Committed) int64 { return c.CommitTimestamp }
	switch {
	case g.protocolType == nil:
	case g.state == Empty:
		if g.stateSince != noTimestamp {
			base = func(Committed) int64 { return g.stateSince }
		}
	case g.isConsumer() && g.state == Stable && g.subscribed != nil:
	default:
		return nil
	}
	ms, retention := now.UnixMilli(), g.opts.OffsetsRetention.Milliseconds()
	var list []model.TopicPartition
	for _, tp := range g.offsets.partitions() {
		c := g.offsets.committed[tp]
		over := ms-base(c) >= retention
		if c.ExpireTimestamp != noTimestamp {
			over = ms >= c.ExpireTimestamp
		}
		if over && !g.subscribed[tp.Topic] && g.offsets.inFlight[tp] == 0 && !g.offsets.isUndecided(tp) {
			list = append(list, tp)
		}
	}
	return list
}

// isFinished is for a group that nothing is left of.
func (g *Group) isFinished() bool {
	return g.state == Empty && g.offsets.isEmpty() && len(g.pending) == 0
}

// computeSubscribed reads the topics out of the members' subscriptions.
func (g *Group) computeSubscribed() {
	g.subscribed = nil
	if !g.isConsumer() {
		return
	}
	topics := map[string]bool{}
	for _, m := range g.members {
		if g.protocol == nil || !addTopics(topics, m.metadata(*g.protocol)) {
			return
		}
	}
	g.subscribed = topics
}

// addTopics reads a subscription of the consumer protocol. Its newer versions
// add fields at the end, so that version and topics can always be read:
//
//	version int16, topics (int32 count, strings), ...
func addTopics(topics map[string]bool, subscription []byte) bool {
	if len(subscription) < 6 {
		return false
	}
	count := int32(binary.BigEndian.Uint32(subscription[2:]))
	rest := subscription[6:]
	if int16(binary.BigEndian.Uint16(subscription)) < 0 || count < 0 || int(count) > len(rest)/2 {
		return false
	}
	for range count {
		if len(rest) < 2 {
			return false
		}
		n := int(int16(binary.BigEndian.Uint16(rest)))
		if n < 0 || len(rest) < 2+n {
			return false
		}
		topics[string(rest[2:2+n])] = true
		rest = rest[2+n:]
	}
	return true
}
