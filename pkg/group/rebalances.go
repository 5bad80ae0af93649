package group

import "time"

const (
	rebalancesKept   = 50 // of each group, for the console
	rebalancesMany   = 5  // in a minute: more than this is a storm
	rebalancesSpan   = time.Minute
	rebalancesAdvice = "usual causes: processing between two polls takes longer than max.poll.interval.ms, session.timeout.ms is too short for pauses of the client, clients restart in a loop, or members of one group subscribe to different topics"
)

// Rebalance is one rebalance of a group and why it began.
type Rebalance struct {
	At     time.Time
	Reason string
}

// rebalanceCounter remembers the last rebalances of a group and warns of
// storms, once for each.
type rebalanceCounter struct {
	last   []Rebalance // oldest first
	warned time.Time
}

func (c *rebalanceCounter) note(now time.Time, group, reason string, out *Effects) {
	if len(c.last) == rebalancesKept {
		c.last = append(c.last[:0], c.last[1:]...)
	}
	c.last = append(c.last, Rebalance{now, reason})
	recent := 0
	for _, r := range c.last {
		if now.Sub(r.At) < rebalancesSpan {
			recent++
		}
	}
	if recent > rebalancesMany && now.Sub(c.warned) >= rebalancesSpan {
		c.warned = now
		out.warnf("Group %s has rebalanced %d times within a minute, last because of: %s; %s", group, recent, reason, rebalancesAdvice)
	}
}
