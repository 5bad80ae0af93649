package group

import (
	"time"

	"gregor/pkg/kerr"
)

// Sync is a SyncGroup request. ProtocolType and Protocol are checked when
// they are set (v5, KIP-559).
type Sync struct {
	Ticket       Ticket
	MemberID     string
	Instance     *string
	Generation   int32
	ProtocolType *string
	Protocol     *string
	Assignments  map[string][]byte // from the leader
}

// Sync handles a SyncGroup.
func (g *Group) Sync(now time.Time, s Sync) Effects {
	var out Effects
	answer := func(r SyncResult) { out.Syncs = append(out.Syncs, SyncAnswer{s.Ticket, r}) }
	if err := g.checkSync(s, &out); err != nil {
		answer(SyncResult{Err: err})
		return out
	}
	m := g.members[s.MemberID]
	switch g.state {
	case PreparingRebalance:
		answer(SyncResult{Err: kerr.RebalanceInProgress})
	case CompletingRebalance:
		// A call of the member that still waits was given up by its client.
		out.answerSync(m, SyncResult{Err: kerr.RebalanceInProgress})
		m.sync = s.Ticket
		g.synced(m)
		if g.leader == m.id {
			g.assign(now, s.Assignments, &out)
		}
	case Stable:
		g.synced(m)
		answer(g.syncResult(m))
		m.heard(now)
	default: // Empty
		answer(SyncResult{Err: kerr.UnknownMemberID})
	}
	return out
}

func (g *Group) checkSync(s Sync, out *Effects) *kerr.Error {
	differs := func(mine, given *string) bool { return given != nil && (mine == nil || *mine != *given) }
	switch {
	case g.state == Dead:
		return kerr.CoordinatorNotAvailable
	case g.isFenced(s.MemberID, s.Instance, "sync-group", out):
		return kerr.FencedInstanceID
	case g.members[s.MemberID] == nil:
		return kerr.UnknownMemberID
	case s.Generation != g.generation:
		return kerr.IllegalGeneration
	case differs(g.protocolType, s.ProtocolType) || differs(g.protocol, s.Protocol):
		return kerr.InconsistentGroupProtocol
	}
	return nil
}

func (g *Group) syncResult(m *member) SyncResult {
	return SyncResult{ProtocolType: g.protocolType, Protocol: g.protocol, Assignment: m.assignment}
}

// assign stores what the leader has decided; the answers come when it is in
// the log.
func (g *Group) assign(now time.Time, assignments map[string][]byte, out *Effects) {
	out.infof("Assignment received from leader for group %s for generation %d. The group has %d members, %d of which are static.",
		g.id, g.generation, len(g.members), len(g.static))
	complete := map[string][]byte{}
	var missing []string
	for _, m := range g.sorted() {
		bytes, given := assignments[m.id]
		if !given {
			missing = append(missing, m.id)
		}
		complete[m.id] = bytes
	}
	if len(missing) > 0 {
		out.warnf("Setting empty assignments for members %s of %s for generation %d", set(missing), g.id, g.generation)
	}
	out.Store = g.record(now, storeAssignments, complete)
}

// Stored is the outcome of the append that Effects.Store asked for.
func (g *Group) Stored(now time.Time, s *Store, err *kerr.Error) Effects {
	var out Effects
	switch s.kind {
	case storeEmpty:
		if err != nil {
			out.warnf("Failed to write empty metadata for group %s: %s", g.id, err.Text)
		}
	case storeAssignments:
		// Another rebalance may have begun meanwhile.
		if g.state == CompletingRebalance && g.generation == s.generation {
			g.assigned(now, s, err, &out)
		}
	case storeStatic:
		g.staticStored(now, s, err, &out)
	}
	g.maybeCompleteJoin(now, &out)
	return out
}

func (g *Group) assigned(now time.Time, s *Store, err *kerr.Error, out *Effects) {
	if err != nil {
		g.resetAssignments(now, err, out)
		g.maybePrepareRebalance(now, "error when storing group assignment during SyncGroup (member: "+s.leader+")", out)
		return
	}
	for _, m := range g.sorted() {
		m.assignment = s.assignments[m.id]
		if m.sync != 0 && len(m.assignment) == 0 {
			out.warnf("Sending empty assignment to member %s of %s for generation %d with no errors", m.id, g.id, g.generation)
		}
		if out.answerSync(m, g.syncResult(m)) {
			m.heard(now)
		}
	}
	g.transition(Stable, now)
}

// staticChange is what a static member was before it came back under a new
// id.
type staticChange struct {
	memberID     string
	oldID        string
	oldLeader    string
	oldProtocols []Protocol
}

func (g *Group) staticStored(now time.Time, s *Store, err *kerr.Error, out *Effects) {
	m := g.members[s.static.memberID]
	if m == nil || m.join == 0 {
		return // answered meanwhile, by a rebalance or because it was removed
	}
	if err == nil {
		if g.state != Stable || g.generation != s.generation {
			return // a rebalance has begun and will answer
		}
		// The old leader's id keeps a leader that came back from computing
		// assignments that nobody would ask for.
		out.answerJoin(m, JoinResult{
			MemberID: m.id, Generation: g.generation, ProtocolType: g.protocolType, Protocol: g.protocol,
			LeaderID: s.static.oldLeader,
		})
		return
	}
	out.warnf("Failed to persist metadata for group %s: %s", g.id, err.Text)
	out.answerJoin(m, JoinResult{
		Err: err, Generation: g.generation, ProtocolType: g.protocolType, Protocol: g.protocol,
		LeaderID: s.static.oldLeader,
	})
	m.protocols = s.static.oldProtocols
	g.rename(m, s.static.oldID, out)
	m.heard(now)
}
