package group

import (
	"time"

	"gregor/pkg/kerr"
)

// Join is a JoinGroup request.
type Join struct {
	Ticket           Ticket
	MemberID         string  // "" for a member that is new
	Instance         *string // group.instance.id (KIP-345)
	RequireKnownID   bool    // a new dynamic member joins in two rounds (KIP-394)
	ClientID         string
	ClientHost       string
	SessionTimeout   time.Duration
	RebalanceTimeout time.Duration
	ProtocolType     string
	Protocols        []Protocol
}

// Join handles a JoinGroup. Its answer may be among the effects, or come with
// those of a later event.
func (g *Group) Join(now time.Time, j Join) Effects {
	var out Effects
	fail := func(err *kerr.Error) { out.Joins = append(out.Joins, JoinAnswer{j.Ticket, joinError(j.MemberID, err)}) }
	switch {
	case !g.accepts(j.MemberID):
		if m := g.members[j.MemberID]; m != nil {
			g.remove(m)
		}
		out.Joins = append(out.Joins, JoinAnswer{j.Ticket, joinError("", kerr.GroupMaxSizeReached)})
	case g.state == Dead:
		fail(kerr.CoordinatorNotAvailable)
	case !g.supportsProtocols(j.ProtocolType, j.Protocols):
		fail(kerr.InconsistentGroupProtocol)
	case j.MemberID == "":
		g.joinUnknown(now, j, &out)
	default:
		g.joinKnown(now, j, fail, &out)
	}
	g.maybeCompleteJoin(now, &out)
	return out
}

// accepts applies group.max.size.
func (g *Group) accepts(memberID string) bool {
	m := g.members[memberID]
	switch g.state {
	case PreparingRebalance:
		return m != nil && m.join != 0 || g.waitingToJoin() < g.opts.MaxSize
	case CompletingRebalance, Stable:
		return m != nil || len(g.members) < g.opts.MaxSize
	default:
		return true
	}
}

// joinUnknown is for callers without a member id.
func (g *Group) joinUnknown(now time.Time, j Join, out *Effects) {
	if j.Instance != nil {
		id := g.opts.NewMemberID(*j.Instance)
		if old, known := g.static[*j.Instance]; known {
			g.replaceStatic(now, g.members[old], id, j, out)
			return
		}
		out.infof("Static Member with unknown member id joins group %s in %s state. Created a new member id %s for this member and add to the group.", g.id, g.state, id)
		g.addAndRebalance(now, id, j, out)
		return
	}
	id := g.opts.NewMemberID(j.ClientID)
	if j.RequireKnownID {
		out.debugf("Dynamic member with unknown member id joins group %s in %s state. Created a new member id %s and request the member to rejoin with this id.", g.id, g.state, id)
		g.pending[id] = now.Add(j.SessionTimeout)
		out.Joins = append(out.Joins, JoinAnswer{j.Ticket, joinError(id, kerr.MemberIDRequired)})
		return
	}
	out.infof("Dynamic Member with unknown member id joins group %s in %s state. Created a new member id %s for this member and add to the group.", g.id, g.state, id)
	g.addAndRebalance(now, id, j, out)
}

// joinKnown is for callers with a member id.
func (g *Group) joinKnown(now time.Time, j Join, fail func(*kerr.Error), out *Effects) {
	if _, pending := g.pending[j.MemberID]; pending && j.Instance == nil {
		out.debugf("Dynamic Member with specific member id %s joins group %s in %s state. Adding to the group now.", j.MemberID, g.id, g.state)
		g.addAndRebalance(now, j.MemberID, j, out)
		return
	}
	if g.isFenced(j.MemberID, j.Instance, "join-group", out) {
		fail(kerr.FencedInstanceID)
		return
	}
	m := g.members[j.MemberID]
	if m == nil || j.Instance != nil && g.static[*j.Instance] == "" {
		fail(kerr.UnknownMemberID)
		return
	}
	unchanged := sameProtocols(m.protocols, j.Protocols)
	switch g.state {
	case PreparingRebalance:
		g.update(m, j, out)
	case CompletingRebalance:
		if unchanged {
			// The answer to the first call may have been lost.
			out.Joins = append(out.Joins, JoinAnswer{j.Ticket, g.joined(m)})
			return
		}
		g.update(m, j, out)
		g.maybePrepareRebalance(now, "Updating metadata for member "+m.id+" during "+g.state.String(), out)
	case Stable:
		reason := "Updating metadata for member " + m.id + " during " + g.state.String()
		if g.leader == m.id {
			// The leader may know of changes that ask for new assignments.
			reason = "leader " + m.id + " re-joining group during " + g.state.String()
		} else if unchanged {
			answer := g.joined(m)
			answer.Members = nil
			out.Joins = append(out.Joins, JoinAnswer{j.Ticket, answer})
			return
		}
		g.update(m, j, out)
		g.maybePrepareRebalance(now, reason, out)
	default: // Empty and Dead
		out.warnf("Attempt to add rejoining member %s of group %s in unexpected group state %s", m.id, g.id, g.state)
		fail(kerr.UnknownMemberID)
	}
}

// joined is the answer of the current generation.
func (g *Group) joined(m *member) JoinResult {
	r := JoinResult{
		MemberID: m.id, Generation: g.generation,
		ProtocolType: g.protocolType, Protocol: g.protocol, LeaderID: g.leader,
	}
	if g.leader == m.id {
		r.Members = g.joinedMembers()
	}
	return r
}

func (g *Group) joinedMembers() []JoinedMember {
	var list []JoinedMember
	for _, m := range g.sorted() {
		list = append(list, JoinedMember{ID: m.id, Instance: m.instance, Metadata: m.metadata(*g.protocol)})
	}
	return list
}

func (g *Group) addAndRebalance(now time.Time, id string, j Join, out *Effects) {
	if g.state == PreparingRebalance && g.generation == 0 {
		g.newMemberAdded = true
	}
	m := &member{
		id: id, instance: j.Instance, clientID: j.ClientID, clientHost: j.ClientHost,
		sessionTimeout: j.SessionTimeout, rebalanceTimeout: j.RebalanceTimeout,
		protocolType: j.ProtocolType, protocols: j.Protocols, isNew: true,
	}
	if m.isStatic() {
		out.infof("Adding new static member %s to group %s with member id %s.", option(j.Instance), g.id, id)
	}
	g.add(m, j.Ticket)
	m.allow(now, newMemberTimeout)
	g.maybePrepareRebalance(now, "Adding new member "+id+" with group instance id "+option(j.Instance), out)
}

// update keeps the timeouts of the member's first join, as 2.8 does. A join of
// the same member that still waits is given up: its client has sent another.
func (g *Group) update(m *member, j Join, out *Effects) {
	m.protocols = j.Protocols
	if m.join != 0 {
		out.answerJoin(m, joinError(m.id, kerr.RebalanceInProgress))
	}
	m.join = j.Ticket
}

// replaceStatic gives a static member that comes back without its id a new
// one. What still waits under the old id is fenced.
func (g *Group) replaceStatic(now time.Time, m *member, id string, j Join, out *Effects) {
	out.infof("Static member %s of group %s with unknown member id rejoins, assigning new member id %s, while old member id %s will be removed.", option(j.Instance), g.id, id, m.id)
	oldLeader, oldID, oldProtocols := g.leader, m.id, m.protocols
	g.rename(m, id, out)
	m.heard(now)
	m.protocols, m.join = j.Protocols, j.Ticket
	switch g.state {
	case Stable:
		next := g.selectProtocol()
		if g.protocol == nil || *g.protocol != next {
			g.maybePrepareRebalance(now, "Group's selectedProtocol will change because static member "+id+" with instance id "+option(j.Instance)+" joined with change of protocol", out)
			return
		}
		out.infof("Static member which joins during Stable stage and doesn't affect selectProtocol will not trigger rebalance.")
		out.Store = g.record(now, storeStatic, g.assignments())
		out.Store.static = &staticChange{memberID: id, oldID: oldID, oldLeader: oldLeader, oldProtocols: oldProtocols}
	case CompletingRebalance:
		// The leader may have seen the old id already.
		g.maybePrepareRebalance(now, "Updating metadata for static member "+id+" with instance id "+option(j.Instance), out)
	}
}

// rename changes the id of a static member; requests that wait under the old
// id are fenced.
func (g *Group) rename(m *member, id string, out *Effects) {
	out.answerJoin(m, joinError(m.id, kerr.FencedInstanceID))
	out.answerSync(m, SyncResult{Err: kerr.FencedInstanceID})
	delete(g.members, m.id)
	if g.leader == m.id {
		g.leader = id
	}
	m.id = id
	g.members[id] = m
	g.static[*m.instance] = id
}

func (g *Group) assignments() map[string][]byte {
	all := map[string][]byte{}
	for id, m := range g.members {
		all[id] = m.assignment
	}
	return all
}
