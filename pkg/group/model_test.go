package group

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"gregor/pkg/kerr"
)

// checkInvariants holds a group against what is written at its fields.
func checkInvariants(t require.TestingT, g *Group) {
	if g.leader != "" {
		require.Contains(t, g.members, g.leader)
	}
	for id, m := range g.members {
		require.Equal(t, id, m.id)
		require.NotContains(t, g.pending, id)
		if m.sync != 0 {
			require.Equal(t, CompletingRebalance, g.state, "%s waits for an assignment", id)
		}
		if m.join != 0 {
			require.True(t, g.state == PreparingRebalance || g.state == Stable && m.isStatic(), "%s waits to join in %s", id, g.state)
		}
	}
	for instance, id := range g.static {
		require.Contains(t, g.members, id)
		require.Equal(t, instance, *g.members[id].instance)
	}
	switch g.state {
	case Empty:
		require.Empty(t, g.members)
	case CompletingRebalance, Stable:
		require.NotEmpty(t, g.members)
		require.NotNil(t, g.protocol)
	}
}

// walk drives one group with random events and knows what must come of them.
type walk struct {
	t    *rapid.T
	g    *Group
	opts *Options
	now  time.Time

	joining map[Ticket]bool // asked and not answered
	syncing map[Ticket]bool
	stores  []*Store
	ticket  Ticket
	ids     []string // every id that was ever handed out

	generation int32
	leaders    map[int32]string // who was told to lead, by generation
}

// TestModel checks, for random members, requests, failures and times: every
// request is answered exactly once and in the end, the generation never falls,
// each generation has one leader, and only members are given assignments.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newWalk(t)
		t.Repeat(map[string]func(*rapid.T){
			"":          func(*rapid.T) { m.check() },
			"join":      m.join,
			"rejoin":    m.rejoin,
			"sync":      m.sync,
			"heartbeat": m.heartbeat,
			"leave":     m.leave,
			"stored":    m.stored,
			"wait":      func(t *rapid.T) { m.pass(time.Duration(rapid.IntRange(0, 20_000).Draw(t, "ms")) * time.Millisecond) },
			"reload":    m.reload,
		})
		m.end()
	})
}

func newWalk(t *rapid.T) *walk {
	m := &walk{t: t, now: time.UnixMilli(1_000_000), joining: map[Ticket]bool{}, syncing: map[Ticket]bool{}, leaders: map[int32]string{}}
	m.opts = &Options{
		InitialRebalanceDelay: time.Duration(rapid.SampledFrom([]int{0, 3}).Draw(t, "delay")) * time.Second,
		MaxSize:               rapid.SampledFrom([]int{2, 100}).Draw(t, "max size"),
		OffsetsRetention:      time.Hour, GroupValueVersion: 3, OffsetValueVersion: 3,
		NewMemberID: func(prefix string) string {
			id := fmt.Sprintf("%s-%d", prefix, len(m.ids))
			m.ids = append(m.ids, id)
			return id
		},
	}
	m.g = NewGroup("g", "p", m.opts, m.now)
	return m
}

func (m *walk) newTicket() Ticket { m.ticket++; return m.ticket }

func (m *walk) someID(t *rapid.T) string {
	if len(m.ids) == 0 {
		return "ghost"
	}
	return rapid.SampledFrom(m.ids[max(0, len(m.ids)-6):]).Draw(t, "id")
}

// instanceOf is nil, or an instance id with a member id that may be of another.
func (m *walk) instanceOf(id string) *string {
	if member := m.g.members[id]; member != nil {
		return member.instance
	}
	return nil
}

func (m *walk) request(t *rapid.T, id string, instance *string) Join {
	protocols := rapid.SampledFrom([][]Protocol{{{"range", []byte("x")}}, {{"range", []byte("x")}, {"sticky", []byte("y")}}, {{"sticky", []byte("z")}, {"range", nil}}}).Draw(t, "protocols")
	ticket := m.newTicket()
	m.joining[ticket] = true
	return Join{
		Ticket: ticket, MemberID: id, Instance: instance, RequireKnownID: rapid.Bool().Draw(t, "two rounds"),
		ClientID: "c", ClientHost: "/h", SessionTimeout: 10 * time.Second,
		RebalanceTimeout: time.Duration(rapid.SampledFrom([]int{0, 5, 30}).Draw(t, "rebalance timeout")) * time.Second,
		ProtocolType:     "consumer", Protocols: protocols,
	}
}

func (m *walk) join(t *rapid.T) {
	var instance *string
	if n := rapid.IntRange(0, 4).Draw(t, "instance"); n < 2 {
		instance = new(string)
		*instance = fmt.Sprintf("i%d", n)
	}
	m.apply(m.g.Join(m.now, m.request(t, "", instance)))
}

func (m *walk) rejoin(t *rapid.T) {
	id := m.someID(t)
	m.apply(m.g.Join(m.now, m.request(t, id, m.instanceOf(id))))
}

func (m *walk) sync(t *rapid.T) {
	id := m.someID(t)
	ticket := m.newTicket()
	m.syncing[ticket] = true
	assignments := map[string][]byte{}
	for _, other := range append(slices.Clone(m.ids), "ghost") {
		if rapid.Bool().Draw(t, "assigned") {
			assignments[other] = fmt.Appendf(nil, "%s@%d", other, m.g.generation)
		}
	}
	generation := m.g.generation - int32(rapid.SampledFrom([]int{0, 0, 0, 1}).Draw(t, "late"))
	m.apply(m.g.Sync(m.now, Sync{Ticket: ticket, MemberID: id, Instance: m.instanceOf(id), Generation: generation, Assignments: assignments}))
}

func (m *walk) heartbeat(t *rapid.T) {
	id := m.someID(t)
	err, out := m.g.Heartbeat(m.now, id, m.instanceOf(id), m.g.generation)
	if m.g.members[id] == nil {
		require.Equal(t, kerr.UnknownMemberID, err)
	}
	m.apply(out)
}

func (m *walk) leave(t *rapid.T) {
	id := m.someID(t)
	_, out := m.g.Leave(m.now, Leave{MemberID: id, Instance: m.instanceOf(id)})
	m.apply(out)
	require.NotContains(t, m.g.members, id)
	require.NotContains(t, m.g.pending, id)
}

func (m *walk) stored(t *rapid.T) {
	if len(m.stores) == 0 {
		t.Skip("nothing is on its way")
	}
	first := m.stores[0]
	m.stores = m.stores[1:]
	err := rapid.SampledFrom([]*kerr.Error{nil, nil, nil, kerr.NotCoordinator}).Draw(t, "outcome")
	m.apply(m.g.Stored(m.now, first, err))
}

// reload moves the group: what waits is answered, and what the log has is
// what the next coordinator knows. Records on their way are in the log.
func (m *walk) reload(t *rapid.T) {
	if m.g.protocolType == nil || m.g.state != Stable && m.g.state != Empty {
		t.Skip("the log has an older generation")
	}
	st := m.g.record(m.now, storeAssignments, m.g.assignments())
	m.apply(m.g.Unload(m.now))
	require.Empty(t, m.joining, "nobody waits at a coordinator that has gone")
	require.Empty(t, m.syncing)
	m.stores = nil
	m.g = NewGroup("g", "p", m.opts, m.now)
	require.NoError(t, m.g.restore(st.Value))
	m.apply(m.g.Loaded(m.now))
}

// pass lets time go on, with everything that becomes due.
func (m *walk) pass(d time.Duration) {
	end := m.now.Add(d)
	for range 100_000 {
		next := m.g.NextDeadline()
		if next.IsZero() || next.After(end) {
			m.now = end
			return
		}
		if next.After(m.now) {
			m.now = next
		}
		m.apply(m.g.Tick(m.now))
		m.check()
	}
	require.Fail(m.t, "time stands still")
}

func (m *walk) apply(out Effects) {
	for _, a := range out.Joins {
		require.True(m.t, m.joining[a.Ticket], "answered twice")
		delete(m.joining, a.Ticket)
		if a.Err == nil {
			m.joined(a)
		}
	}
	for _, a := range out.Syncs {
		require.True(m.t, m.syncing[a.Ticket], "answered twice")
		delete(m.syncing, a.Ticket)
		if a.Err == nil {
			require.Equal(m.t, Stable, m.g.state)
		}
	}
	if out.Store != nil {
		for id := range out.Store.assignments {
			require.Contains(m.t, m.g.members, id, "only members are assigned something")
		}
		m.stores = append(m.stores, out.Store)
	}
}

func (m *walk) joined(a JoinAnswer) {
	require.Contains(m.t, m.g.members, a.MemberID)
	require.Equal(m.t, m.g.generation, a.Generation)
	if a.LeaderID != a.MemberID {
		require.Empty(m.t, a.Members)
		return
	}
	if a.Members == nil {
		return // a follower's answer in Stable has none either
	}
	if before, told := m.leaders[a.Generation]; told {
		require.Equal(m.t, before, a.LeaderID, "a generation has one leader")
	}
	m.leaders[a.Generation] = a.LeaderID
	require.Len(m.t, a.Members, len(m.g.members))
}

func (m *walk) check() {
	checkInvariants(m.t, m.g)
	require.GreaterOrEqual(m.t, m.g.generation, m.generation, "the generation falls")
	m.generation = m.g.generation
	waiting := 0
	for _, member := range m.g.members {
		if member.join != 0 {
			require.True(m.t, m.joining[member.join])
			waiting++
		}
		if member.sync != 0 {
			require.True(m.t, m.syncing[member.sync])
			waiting++
		}
	}
	require.Equal(m.t, len(m.joining)+len(m.syncing), waiting, "somebody waits who will not be answered")
	if waiting > 0 && len(m.stores) == 0 {
		require.False(m.t, m.g.NextDeadline().IsZero(), "somebody waits and nothing will happen")
	}
}

// end lets everything come to an end: nobody waits and nobody is left.
func (m *walk) end() {
	for len(m.stores) > 0 || !m.g.NextDeadline().IsZero() {
		for len(m.stores) > 0 {
			first := m.stores[0]
			m.stores = m.stores[1:]
			m.apply(m.g.Stored(m.now, first, nil))
		}
		m.pass(time.Minute)
		m.check()
	}
	require.Empty(m.t, slices.Collect(maps.Keys(m.joining)))
	require.Empty(m.t, slices.Collect(maps.Keys(m.syncing)))
	require.Equal(m.t, Empty, m.g.state)
}
