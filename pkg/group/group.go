package group

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// State is where a group is in the life of a generation.
type State int

const (
	Empty State = iota
	PreparingRebalance
	CompletingRebalance
	Stable
	Dead
)

var stateNames = [...]string{"Empty", "PreparingRebalance", "CompletingRebalance", "Stable", "Dead"}

// String is the name that DescribeGroups and ListGroups show.
func (s State) String() string { return stateNames[s] }

// newMemberTimeout is how long a member that was never told its id may wait
// in JoinGroup: it cannot send heartbeats.
const newMemberTimeout = 5 * time.Minute

// consumerProtocol is the protocol type whose subscriptions can be read.
const consumerProtocol = "consumer"

// Ticket stands for a request that waits for its answer; 0 for none.
type Ticket uint64

// Protocol is one way of assigning that a member supports, with what the
// member tells the leader if it is chosen.
type Protocol struct {
	Name     string
	Metadata []byte
}

// member is one member of a group.
type member struct {
	id               string
	instance         *string // group.instance.id of a static member (KIP-345)
	clientID         string
	clientHost       string
	sessionTimeout   time.Duration
	rebalanceTimeout time.Duration
	protocolType     string
	protocols        []Protocol // in the order of the member's preference
	assignment       []byte

	// Invariant: join is set only in PreparingRebalance, and while a static
	// member's change of id is being stored; sync only in CompletingRebalance.
	join Ticket
	sync Ticket

	isNew    bool          // has not completed a join yet
	mustSync bool          // has not sent SyncGroup for this generation yet
	deadline time.Time     // end of the session unless it is heard of; zero while none runs
	allowed  time.Duration // what deadline was set with
}

// String is how Kafka's log lines show a member.
func (m *member) String() string {
	var names []string
	for _, p := range m.protocols {
		names = append(names, p.Name)
	}
	return fmt.Sprintf("MemberMetadata(memberId=%s, groupInstanceId=%s, clientId=%s, clientHost=%s, sessionTimeoutMs=%d, rebalanceTimeoutMs=%d, supportedProtocols=List(%s), )",
		m.id, option(m.instance), m.clientID, m.clientHost, m.sessionTimeout.Milliseconds(), m.rebalanceTimeout.Milliseconds(), strings.Join(names, ", "))
}

func (m *member) isStatic() bool { return m.instance != nil }

// isWaiting is for members whose session cannot end: they wait for an answer
// of ours.
func (m *member) isWaiting() bool { return (m.join != 0 || m.sync != 0) && !m.isNew }

func (m *member) metadata(protocol string) []byte {
	for _, p := range m.protocols {
		if p.Name == protocol {
			return p.Metadata
		}
	}
	return nil
}

func (m *member) heard(now time.Time) { m.allow(now, m.sessionTimeout) }

func (m *member) allow(now time.Time, timeout time.Duration) {
	m.deadline, m.allowed = now.Add(timeout), timeout
}

func sameProtocols(a, b []Protocol) bool {
	return slices.EqualFunc(a, b, func(x, y Protocol) bool {
		return x.Name == y.Name && string(x.Metadata) == string(y.Metadata)
	})
}

// Options are the settings of the broker that the state machine needs.
type Options struct {
	InitialRebalanceDelay time.Duration // group.initial.rebalance.delay.ms
	MaxSize               int           // group.max.size
	OffsetsRetention      time.Duration // offsets.retention.minutes
	// GroupValueVersion and OffsetValueVersion are the formats that are
	// written, by inter.broker.protocol.version: 3 from 2.3 and 2.1-IV1 on.
	GroupValueVersion  int16
	OffsetValueVersion int16
	// NewMemberID makes the id of a new member from its client id or its
	// group.instance.id.
	NewMemberID func(prefix string) string
}

// Group is one group. It is not safe for concurrent use: its shard's lock
// guards it.
type Group struct {
	id        string
	partition string // as log lines show it: "__consumer_offsets-12"
	opts      *Options

	state      State
	stateSince int64 // ms; -1 when it is not known

	// Invariants: leader is "" or a member. Every value of static is a member
	// with that instance id. No member is pending. generation never falls.
	generation   int32
	protocolType *string // nil for a group that only commits offsets
	protocol     *string
	leader       string
	members      map[string]*member
	static       map[string]string    // instance id -> member id
	pending      map[string]time.Time // ids handed out with MEMBER_ID_REQUIRED, and when they lapse

	// joinDeadline ends the waiting for joins in PreparingRebalance.
	// initialWait is above zero while that waiting is the first one of an
	// empty group, which may be extended by initialRemaining in total.
	joinDeadline     time.Time
	initialWait      time.Duration
	initialRemaining time.Duration
	newMemberAdded   bool

	// syncDeadline ends the waiting for SyncGroup of members with mustSync.
	syncDeadline time.Time

	// subscribed are the topics of a consumer group, nil when they cannot be
	// known.
	subscribed map[string]bool

	rebalances rebalanceCounter
	offsets    offsetTable
}

// NewGroup returns an empty group.
func NewGroup(id, partition string, opts *Options, now time.Time) *Group {
	return &Group{
		id: id, partition: partition, opts: opts, stateSince: now.UnixMilli(),
		members: map[string]*member{}, static: map[string]string{}, pending: map[string]time.Time{},
		offsets: newOffsetTable(),
	}
}

func (g *Group) transition(to State, now time.Time) {
	g.state, g.stateSince = to, now.UnixMilli()
}

// sorted lists the members in the order of their ids.
func (g *Group) sorted() []*member {
	return slices.SortedFunc(maps.Values(g.members), func(a, b *member) int { return cmp.Compare(a.id, b.id) })
}

func (g *Group) add(m *member, ticket Ticket) {
	if len(g.members) == 0 {
		protocolType := m.protocolType
		g.protocolType = &protocolType
	}
	g.members[m.id] = m
	if m.isStatic() {
		g.static[*m.instance] = m.id
	}
	if g.leader == "" {
		g.leader = m.id
	}
	delete(g.pending, m.id)
	m.join = ticket
}

func (g *Group) remove(m *member) {
	delete(g.members, m.id)
	if m.isStatic() && g.static[*m.instance] == m.id {
		delete(g.static, *m.instance)
	}
	if g.leader == m.id {
		g.leader = ""
		if rest := g.sorted(); len(rest) > 0 {
			g.leader = rest[0].id
		}
	}
}

// isFenced tells of a static member whose instance id is another member's by
// now.
func (g *Group) isFenced(memberID string, instance *string, operation string, out *Effects) bool {
	if instance == nil {
		return false
	}
	current, known := g.static[*instance]
	if !known || current == memberID {
		return false
	}
	out.errorf("given member.id %s is identified as a known static member %s, but not matching the expected member.id %s during %s, will respond with instance fenced error",
		memberID, *instance, current, operation)
	out.bare()
	return true
}

// rebalanceTimeout is the longest of the members.
func (g *Group) rebalanceTimeout() time.Duration {
	var longest time.Duration
	for _, m := range g.members {
		longest = max(longest, m.rebalanceTimeout)
	}
	return longest
}

func (g *Group) waitingToJoin() int {
	n := 0
	for _, m := range g.members {
		if m.join != 0 {
			n++
		}
	}
	return n
}

// candidates counts, for each protocol, the members that support it.
func (g *Group) candidates() map[string]int {
	count := map[string]int{}
	for _, m := range g.members {
		named := map[string]bool{}
		for _, p := range m.protocols {
			if !named[p.Name] {
				named[p.Name] = true
				count[p.Name]++
			}
		}
	}
	return count
}

// supportsProtocols tells whether a caller could be in the group.
func (g *Group) supportsProtocols(protocolType string, protocols []Protocol) bool {
	if g.state == Empty {
		return protocolType != "" && len(protocols) > 0
	}
	if g.protocolType == nil || *g.protocolType != protocolType {
		return false
	}
	count := g.candidates()
	return slices.ContainsFunc(protocols, func(p Protocol) bool { return count[p.Name] == len(g.members) })
}

// selectProtocol: each member votes for the first of its protocols that all
// support; most votes win, among equals the first by name.
func (g *Group) selectProtocol() string {
	count := g.candidates()
	votes := map[string]int{}
	for _, m := range g.members {
		for _, p := range m.protocols {
			if count[p.Name] == len(g.members) {
				votes[p.Name]++
				break
			}
		}
	}
	best := ""
	for _, name := range slices.Sorted(maps.Keys(votes)) {
		if best == "" || votes[name] > votes[best] {
			best = name
		}
	}
	return best
}

// NextDeadline is the earliest time at which Tick has something to do; zero
// when there is none.
func (g *Group) NextDeadline() time.Time {
	var next time.Time
	earliest := func(at time.Time) {
		if !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	earliest(g.joinDeadline)
	earliest(g.syncDeadline)
	for _, at := range g.pending {
		earliest(at)
	}
	for _, m := range g.members {
		if !m.isWaiting() {
			earliest(m.deadline)
		}
	}
	return next
}

// protocolTypeOrEmpty is the protocol type as answers show it.
func (g *Group) protocolTypeOrEmpty() string {
	if g.protocolType == nil {
		return ""
	}
	return *g.protocolType
}

// isSubscribedTo tells whether offsets of the topic are in use by a consumer
// group with members. Subscriptions that cannot be read count as all topics.
func (g *Group) isSubscribedTo(topic string) bool {
	return g.subscribed == nil || g.subscribed[topic]
}

// isConsumer is for groups whose subscriptions are those of the consumer
// protocol.
func (g *Group) isConsumer() bool { return g.protocolTypeOrEmpty() == consumerProtocol }
