package controller

import (
	"slices"

	"gregor/pkg/model"
)

// strategy is a way to choose a leader; its text is the name that Kafka puts
// into error texts.
type strategy string

const (
	electOffline            strategy = "OfflinePartitionLeaderElectionStrategy(false)"
	electOfflineUnclean     strategy = "OfflinePartitionLeaderElectionStrategy(true)"
	electReassign           strategy = "ReassignPartitionLeaderElectionStrategy"
	electPreferred          strategy = "PreferredReplicaPartitionLeaderElectionStrategy"
	electControlledShutdown strategy = "ControlledShutdownPartitionLeaderElectionStrategy"
)

// ballot is what an election is decided by.
type ballot struct {
	assigned     []model.BrokerID
	target       []model.BrokerID // of assigned, those that stay (Reassign only)
	isr          []model.BrokerID
	online       func(model.BrokerID) bool // live, directory not offline, not shutting down
	shuttingDown func(model.BrokerID) bool // would be online but for that
	unclean      bool                      // a replica outside the ISR may lead (Offline only)
}

// result is how an election went. recipients are the brokers that are told.
type result struct {
	leader     model.BrokerID
	isr        []model.BrokerID
	recipients []model.BrokerID
}

// elect chooses a leader. It reports false when no replica may lead.
//
// Offline takes the first assigned replica that is live and in the ISR, or if
// that is allowed the first live one, which then is the whole ISR. Reassign
// takes the first replica of the target that is live and in the ISR. Preferred
// takes the first assigned replica or none. ControlledShutdown takes the
// first one in the ISR whose broker is not shutting down, and takes the
// leaving ones out of the ISR.
func elect(s strategy, b ballot) (result, bool) {
	switch s {
	case electReassign:
		leader, ok := first(b.target, func(id model.BrokerID) bool { return b.online(id) && slices.Contains(b.isr, id) })
		return result{leader, b.isr, b.target}, ok
	case electPreferred:
		if len(b.assigned) == 0 || !b.online(b.assigned[0]) || !slices.Contains(b.isr, b.assigned[0]) {
			return result{}, false
		}
		return result{b.assigned[0], b.isr, b.assigned}, true
	case electControlledShutdown:
		reachable := func(id model.BrokerID) bool { return b.online(id) || b.shuttingDown(id) }
		leader, ok := first(b.assigned, func(id model.BrokerID) bool {
			return reachable(id) && slices.Contains(b.isr, id) && !b.shuttingDown(id)
		})
		return result{leader, keep(b.isr, func(id model.BrokerID) bool { return !b.shuttingDown(id) }),
			keep(b.assigned, reachable)}, ok
	default:
		return electFromOffline(b)
	}
}

func electFromOffline(b ballot) (result, bool) {
	live := keep(b.assigned, b.online)
	leader, ok := first(live, func(id model.BrokerID) bool { return slices.Contains(b.isr, id) })
	if ok {
		return result{leader, keep(b.isr, b.online), live}, true
	}
	if !b.unclean || len(live) == 0 {
		return result{}, false
	}
	return result{live[0], []model.BrokerID{live[0]}, live}, true
}

func first(ids []model.BrokerID, ok func(model.BrokerID) bool) (model.BrokerID, bool) {
	if i := slices.IndexFunc(ids, ok); i >= 0 {
		return ids[i], true
	}
	return model.NoBroker, false
}

func keep(ids []model.BrokerID, ok func(model.BrokerID) bool) []model.BrokerID {
	kept := make([]model.BrokerID, 0, len(ids))
	for _, id := range ids {
		if ok(id) {
			kept = append(kept, id)
		}
	}
	return kept
}
