package group

import (
	"slices"
	"strings"
	"time"

	"gregor/pkg/kerr"
)

// maybePrepareRebalance begins a rebalance unless the group waits for joins
// already.
func (g *Group) maybePrepareRebalance(now time.Time, reason string, out *Effects) {
	switch g.state {
	case Stable, CompletingRebalance, Empty:
		g.prepareRebalance(now, reason, out)
	}
}

func (g *Group) prepareRebalance(now time.Time, reason string, out *Effects) {
	if g.state == CompletingRebalance {
		g.resetAssignments(now, kerr.RebalanceInProgress, out)
	}
	g.endSyncPhase()
	g.initialWait, g.initialRemaining, g.newMemberAdded = 0, 0, false
	wait := g.rebalanceTimeout()
	if g.state == Empty {
		g.initialRemaining = max(wait-g.opts.InitialRebalanceDelay, 0)
		wait = g.opts.InitialRebalanceDelay
		g.initialWait = max(wait, 1)
	}
	g.joinDeadline = now.Add(wait)
	g.transition(PreparingRebalance, now)
	out.infof("Preparing to rebalance group %s in state %s with old generation %d (%s) (reason: %s)", g.id, g.state, g.generation, g.partition, reason)
	g.rebalances.note(now, g.id, reason, out)
	g.maybeCompleteJoin(now, out)
}

// maybeCompleteJoin ends the waiting for joins early when everybody is there.
// The first waiting of an empty group never ends early.
func (g *Group) maybeCompleteJoin(now time.Time, out *Effects) {
	if g.state == PreparingRebalance && g.initialWait == 0 &&
		g.waitingToJoin() == len(g.members) && len(g.pending) == 0 {
		g.completeJoin(now, out)
	}
}

// joinTimeout is the end of the waiting for joins by time.
func (g *Group) joinTimeout(now time.Time, out *Effects) {
	if g.initialWait > 0 && g.newMemberAdded && g.initialRemaining > 0 {
		g.newMemberAdded = false
		wait := min(g.opts.InitialRebalanceDelay, g.initialRemaining)
		g.initialRemaining = max(g.initialRemaining-wait, 0)
		g.joinDeadline = now.Add(wait)
		return
	}
	g.completeJoin(now, out)
}

// completeJoin makes the next generation of those who have joined.
func (g *Group) completeJoin(now time.Time, out *Effects) {
	g.joinDeadline, g.initialWait, g.initialRemaining = time.Time{}, 0, 0
	var gone []string
	for _, m := range g.sorted() {
		if m.join == 0 && !m.isStatic() {
			g.remove(m)
			gone = append(gone, m.id)
		}
	}
	if len(gone) > 0 {
		out.infof("Group %s removed dynamic members who haven't joined: %s", g.id, set(gone))
	}
	if len(g.members) > 0 && !g.electJoinedLeader(out) {
		// Only static members are left and none has come back: wait for their
		// sessions to end.
		out.errorf("Group %s could not complete rebalance because no members rejoined", g.id)
		g.joinDeadline = now.Add(max(g.rebalanceTimeout(), time.Millisecond))
		return
	}
	g.generation++
	if len(g.members) == 0 {
		g.protocol, g.leader = nil, ""
		g.computeSubscribed()
		g.transition(Empty, now)
		out.infof("Group %s with generation %d is now empty (%s)", g.id, g.generation, g.partition)
		out.Store = g.record(now, storeEmpty, nil)
		return
	}
	protocol := g.selectProtocol()
	g.protocol = &protocol
	g.computeSubscribed()
	g.transition(CompletingRebalance, now)
	out.infof("Stabilized group %s generation %d (%s) with %d members", g.id, g.generation, g.partition, len(g.members))
	for _, m := range g.sorted() {
		out.answerJoin(m, g.joined(m))
		m.heard(now)
		m.isNew, m.mustSync = false, true
	}
	g.syncDeadline = now.Add(g.rebalanceTimeout())
}

// electJoinedLeader replaces a leader that did not come back. It reports
// false when nobody has joined.
func (g *Group) electJoinedLeader(out *Effects) bool {
	old := g.members[g.leader]
	if old != nil && old.join != 0 {
		return true
	}
	name := func(m *member) string {
		if m == nil {
			return "Group leader [member.id: , group.instance.id: None]"
		}
		return "Group leader [member.id: " + m.id + ", group.instance.id: " + option(m.instance) + "]"
	}
	for _, m := range g.sorted() {
		if m.join != 0 {
			g.leader = m.id
			out.infof("%s failed to join before rebalance timeout, while new leader %s was elected.", name(old), m)
			out.bare()
			return true
		}
	}
	out.infof("%s failed to join before rebalance timeout, and the group couldn't proceed to next generation because no member joined.", name(old))
	out.bare()
	return false
}

// syncTimeout removes the members that have joined and then not asked for
// their assignment.
func (g *Group) syncTimeout(now time.Time, out *Effects) {
	var gone []string
	for _, m := range g.sorted() {
		if m.mustSync {
			g.removeWaiting(m, out)
			gone = append(gone, m.id)
		}
	}
	g.endSyncPhase()
	out.debugf("Group %s removed members who haven't sent their sync request: %s", g.id, set(gone))
	g.maybePrepareRebalance(now, "Removing "+set(gone)+" on pending sync request expiration", out)
}

func (g *Group) endSyncPhase() {
	g.syncDeadline = time.Time{}
	for _, m := range g.members {
		m.mustSync = false
	}
}

// synced notes that the member has asked for its assignment.
func (g *Group) synced(m *member) {
	m.mustSync = false
	for _, other := range g.members {
		if other.mustSync {
			return
		}
	}
	g.syncDeadline = time.Time{}
}

// resetAssignments forgets what was assigned and tells those who wait why.
func (g *Group) resetAssignments(now time.Time, err *kerr.Error, out *Effects) {
	for _, m := range g.sorted() {
		m.assignment = nil
		if out.answerSync(m, SyncResult{Err: err}) {
			m.heard(now)
		}
	}
}

// set is how Kafka's log lines show a set of ids.
func set(ids []string) string {
	slices.Sort(ids)
	return "Set(" + strings.Join(ids, ", ") + ")"
}
