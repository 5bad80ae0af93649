package group

import (
	"fmt"
	"time"

	"gregor/pkg/kerr"
)

// Heartbeat handles a Heartbeat: nil, or the error of the answer.
func (g *Group) Heartbeat(now time.Time, memberID string, instance *string, generation int32) (*kerr.Error, Effects) {
	var out Effects
	m := g.members[memberID]
	switch {
	case g.state == Dead:
		return kerr.CoordinatorNotAvailable, out
	case g.isFenced(memberID, instance, "heartbeat", &out):
		return kerr.FencedInstanceID, out
	case m == nil:
		return kerr.UnknownMemberID, out
	case generation != g.generation:
		return kerr.IllegalGeneration, out
	}
	if !m.isNew { // a new member has more time than its session
		m.heard(now)
	}
	if g.state == PreparingRebalance {
		return kerr.RebalanceInProgress, out
	}
	return nil, out
}

// Leave is one member of a LeaveGroup request.
type Leave struct {
	MemberID string // "" to remove a static member by its instance id
	Instance *string
}

// Leave handles one member's part of a LeaveGroup. The group is not Dead.
func (g *Group) Leave(now time.Time, l Leave) (*kerr.Error, Effects) {
	var out Effects
	if l.MemberID != "" && g.isFenced(l.MemberID, l.Instance, "leave-group", &out) {
		return kerr.FencedInstanceID, out
	}
	if _, pending := g.pending[l.MemberID]; pending {
		out.infof("Pending member %s is leaving group %s.", l.MemberID, g.id)
		delete(g.pending, l.MemberID)
		g.maybeCompleteJoin(now, &out)
		return nil, out
	}
	m := g.members[l.MemberID]
	if l.Instance != nil {
		if id, known := g.static[*l.Instance]; known {
			m = g.members[id]
		}
	}
	if m == nil {
		return kerr.UnknownMemberID, out
	}
	out.infof("Member[group.instance.id %s, member.id %s] in group %s has left, removing it from the group", option(m.instance), m.id, g.id)
	g.removeAndRebalance(now, m, "removing member "+l.MemberID+" on LeaveGroup", &out)
	return nil, out
}

// removeWaiting takes the member out and answers what it waits for.
func (g *Group) removeWaiting(m *member, out *Effects) {
	out.answerJoin(m, joinError("", kerr.UnknownMemberID))
	out.answerSync(m, SyncResult{Err: kerr.UnknownMemberID})
	g.remove(m)
}

func (g *Group) removeAndRebalance(now time.Time, m *member, reason string, out *Effects) {
	g.removeWaiting(m, out)
	g.maybePrepareRebalance(now, reason, out)
	g.maybeCompleteJoin(now, out)
}

// Tick handles whatever is due: lapsed ids, ended sessions, and the ends of
// the waiting for joins and syncs. It handles one of them for each call, so
// that each has its own effects; after it NextDeadline is later, or Tick is to
// be called again.
func (g *Group) Tick(now time.Time) Effects {
	var out Effects
	due := func(at time.Time) bool { return !at.IsZero() && !at.After(now) }
	if g.state == Dead {
		g.joinDeadline, g.syncDeadline = time.Time{}, time.Time{}
		clear(g.members)
		clear(g.pending)
		return out
	}
	for id, at := range g.pending {
		if due(at) {
			out.infof("Pending member %s in group %s has been removed after session timeout expiration.", id, g.id)
			delete(g.pending, id)
			g.maybeCompleteJoin(now, &out)
			return out
		}
	}
	for _, m := range g.sorted() {
		if due(m.deadline) && !m.isWaiting() {
			g.expire(now, m, &out)
			return out
		}
	}
	switch {
	case due(g.joinDeadline):
		g.joinTimeout(now, &out)
	case due(g.syncDeadline):
		g.syncTimeout(now, &out)
	}
	return out
}

// expire removes a member whose session has ended.
func (g *Group) expire(now time.Time, m *member, out *Effects) {
	out.infof("Member %s in group %s has failed, removing it from the group", m.id, g.id)
	out.infof("Group %s: member %s (client id %s) at %s missed session timeout %d ms by %d ms",
		g.id, m.id, m.clientID, m.clientHost, m.allowed.Milliseconds(), now.Sub(m.deadline).Milliseconds())
	g.removeAndRebalance(now, m, "removing member "+m.id+" on heartbeat expiration", out)
}

// Unload answers everybody who waits, as the group goes to another
// coordinator.
func (g *Group) Unload(now time.Time) Effects {
	var out Effects
	for _, m := range g.sorted() {
		out.answerJoin(m, joinError("", kerr.NotCoordinator))
		out.answerSync(m, SyncResult{Err: kerr.NotCoordinator})
	}
	g.transition(Dead, now)
	return out
}

// Loaded starts what runs by time in a group that was read from the log.
func (g *Group) Loaded(now time.Time) Effects {
	var out Effects
	for _, m := range g.sorted() {
		m.heard(now)
	}
	if g.state == Stable && len(g.members) > g.opts.MaxSize {
		g.prepareRebalance(now, fmt.Sprintf("Freshly-loaded group is over capacity (%d). Rebalacing in order to give a chance for consumers to commit offsets", g.opts.MaxSize), &out)
	}
	return out
}
