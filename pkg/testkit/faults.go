package testkit

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// Node is a broker that faults can happen to: a Member, or a process.
type Node interface {
	Kill()
	Restart()
	StopInOrder() // TERM, which moves leaderships away first
	// Pause stops the process without ending it. A Member, which cannot be
	// stopped, is cut off instead, and its requests wait.
	Pause()
	Resume()
	Links() (network, zooKeeper *Link)
	LogDir() string
	Output() string // of all its lives
	Seed() string   // where clients reach it
}

// ZooKeeperNode is what the brokers are coordinated by.
type ZooKeeperNode interface {
	Interrupt() // it goes, or an ensemble's leader does
	Repair()    // it is back
}

// Fault is something that happens to a cluster and passes. It needs nothing
// of the cluster but its parts, so that a schedule can be made from a seed.
type Fault struct {
	Kind   string
	Nodes  []int         // whom it happens to
	Lasts  time.Duration // until it is taken back
	Before time.Duration // the pause before it
	Beside bool          // it begins before the former one has been taken back
}

func (f Fault) String() string {
	text := fmt.Sprintf("%s %v for %d ms", f.Kind, f.Nodes, f.Lasts.Milliseconds())
	if f.Beside {
		text += ", beside the former"
	}
	return text
}

// Kinds of faults.
const (
	FaultKill        = "kill"          // kill -9
	FaultKillAll     = "kill all"      // kill -9 of every broker
	FaultPause       = "pause"         // SIGSTOP, later SIGCONT
	FaultStop        = "stop"          // a controlled shutdown
	FaultIsolate     = "isolate"       // no broker hears of it, clients and ZooKeeper do
	FaultCutOneWay   = "cut one way"   // what the second sends to the first is lost
	FaultCutBothWays = "cut both ways" // between two brokers
	FaultHold        = "hold"          // between two brokers everything is late
	FaultHoldAnswers = "hold answers"  // what the first answers the second is late
	FaultExpire      = "expire"        // its way to ZooKeeper is cut until the session is gone
	FaultLateZK      = "late zookeeper"
	FaultZooKeeper   = "zookeeper" // a restart of it
	FaultPreferred   = "preferred" // an election of preferred leaders
	FaultReassign    = "reassign"  // the topic's replicas change places
)

// Schedule makes faults from a seed: the same seed, the same schedule. weights
// says how often each kind occurs. Faults that last up to a session timeout
// and more are both there.
func Schedule(seed uint64, faults, nodes int, session time.Duration, weights map[string]int) []Fault {
	r := rand.New(rand.NewPCG(seed, 1))
	var kinds []string
	for kind, weight := range weights {
		for range weight {
			kinds = append(kinds, kind)
		}
	}
	slices.Sort(kinds) // the order of a map is not to be in it
	list := make([]Fault, faults)
	for i := range list {
		f := Fault{Kind: kinds[r.IntN(len(kinds))], Nodes: r.Perm(nodes)[:min(2, nodes)],
			Lasts: time.Duration(r.Int64N(int64(session))), Before: time.Duration(r.Int64N(int64(session / 2))), Beside: i > 0 && !list[i-1].Beside && r.IntN(3) == 0}
		if r.IntN(2) == 0 {
			f.Lasts += session * 5 / 4
		}
		if f.Kind == FaultExpire {
			f.Lasts = session*5/4 + f.Lasts/2
		}
		list[i] = f
	}
	return list
}

// DefaultWeights is how often each kind of fault occurs where nothing else is
// wanted.
func DefaultWeights() map[string]int {
	return map[string]int{FaultKill: 5, FaultKillAll: 1, FaultPause: 4, FaultStop: 2, FaultIsolate: 3, FaultCutOneWay: 2, FaultCutBothWays: 2,
		FaultHold: 3, FaultHoldAnswers: 2, FaultExpire: 3, FaultLateZK: 2, FaultZooKeeper: 2, FaultPreferred: 1, FaultReassign: 2}
}

// apply lets a fault happen and returns what takes it back.
func (s *site) apply(f Fault) (undo func()) {
	first, second := f.Nodes[0], f.Nodes[len(f.Nodes)-1]
	node := s.nodes[first]
	network, zooKeeper := node.Links()
	otherNetwork, _ := s.nodes[second].Links()
	let := func(l *Link, source int, p Passage) func() {
		l.Let(source, p)
		return func() { l.Let(source, Open) }
	}
	switch f.Kind {
	case FaultKill:
		return s.down(Node.Kill, Node.Restart, first)
	case FaultKillAll:
		return s.down(Node.Kill, Node.Restart, s.everybody()...)
	case FaultStop:
		return s.down(Node.StopInOrder, Node.Restart, first)
	case FaultPause:
		return s.down(Node.Pause, Node.Resume, first)
	case FaultIsolate:
		return s.isolate(first)
	case FaultCutOneWay:
		return let(network, second, Closed)
	case FaultCutBothWays:
		return both(let(network, second, Closed), let(otherNetwork, first, Closed))
	case FaultHold:
		return both(let(network, second, Held), let(otherNetwork, first, Held))
	case FaultHoldAnswers:
		return let(network, second, AnswersHeld)
	case FaultExpire:
		return let(zooKeeper, Anybody, Closed)
	case FaultLateZK:
		return let(zooKeeper, Anybody, Held)
	case FaultZooKeeper:
		s.zooKeeper.Interrupt()
		return s.zooKeeper.Repair
	case FaultPreferred:
		s.electPreferred()
		return func() {}
	case FaultReassign:
		s.reassign(f)
		return func() {}
	}
	panic("no such fault: " + f.Kind)
}

func both(a, b func()) func() {
	return func() {
		a()
		b()
	}
}

func (s *site) everybody() []int {
	all := make([]int, len(s.nodes))
	for i := range all {
		all[i] = i
	}
	return all
}

// down takes nodes down that are up, and returns what brings those back.
func (s *site) down(take, bring func(Node), ids ...int) func() {
	var taken []int
	for _, id := range ids {
		if !s.isDown[id] {
			s.isDown[id] = true
			take(s.nodes[id])
			taken = append(taken, id)
		}
	}
	return func() {
		for _, id := range taken {
			bring(s.nodes[id])
			s.isDown[id] = false
		}
	}
}

// isolate cuts a node off from the other brokers, in both directions.
func (s *site) isolate(id int) func() {
	undo := func() {}
	for other := range s.nodes {
		if other == id {
			continue
		}
		own, _ := s.nodes[id].Links()
		its, _ := s.nodes[other].Links()
		own.Let(other, Closed)
		its.Let(id, Closed)
		undo = both(undo, func() {
			own.Let(other, Open)
			its.Let(id, Open)
		})
	}
	return undo
}
