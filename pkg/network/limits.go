package network

import (
	"context"
	"sync"
)

// limits counts connections: all together, and those of one address. The
// listeners of brokers and controllers are never held up by the total when
// there are others beside them, so that clients cannot shut brokers out.
type limits struct {
	separate   bool // there is more than one listener
	slotsFreed chan struct{}

	// mu guards the fields below and is held for no I/O.
	mu        sync.Mutex
	total     int
	perIP     int
	overrides map[string]int
	open      map[*connection]struct{}
	byHost    map[string]int
	counted   int // connections that count against total
}

func newLimits(o Options) *limits {
	l := &limits{
		total: o.MaxConnections, perIP: o.MaxConnectionsPerIP, overrides: o.PerIPOverrides,
		separate:   len(o.Listeners) > 1,
		slotsFreed: make(chan struct{}, 1),
		open:       map[*connection]struct{}{},
		byHost:     map[string]int{},
	}
	return l
}

// set changes the limits.
func (l *limits) set(total, perIP int, overrides map[string]int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total, l.perIP, l.overrides = total, perIP, overrides
	l.wake()
}

// add enters a connection. It waits while the total is reached (as Kafka's
// acceptor does) and reports false, with the limit, when the address has its
// maximum already, or when ctx ends.
func (l *limits) add(ctx context.Context, c *connection, host string, brokers bool) (limit int, ok bool) {
	exempt := brokers && l.separate
	for {
		l.mu.Lock()
		if exempt || l.total <= 0 || l.counted < l.total {
			break
		}
		l.mu.Unlock()
		select {
		case <-ctx.Done():
			return 0, false
		case <-l.slotsFreed:
		}
	}
	defer l.mu.Unlock()
	limit = l.perIP
	if o, ok := l.overrides[host]; ok {
		limit = o
	}
	if limit >= 0 && l.byHost[host] >= limit {
		l.wake()
		return limit, false
	}
	l.byHost[host]++
	l.open[c] = struct{}{}
	c.counted = !exempt
	if c.counted {
		l.counted++
	}
	return limit, true
}

func (l *limits) remove(c *connection, host string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.open[c]; !ok {
		return
	}
	delete(l.open, c)
	if l.byHost[host]--; l.byHost[host] == 0 {
		delete(l.byHost, host)
	}
	if c.counted {
		l.counted--
	}
	l.wake()
}

// wake lets one waiting acceptor look again.
func (l *limits) wake() {
	select {
	case l.slotsFreed <- struct{}{}:
	default:
	}
}

// closeAll closes every socket, which ends the goroutines that read them.
func (l *limits) closeAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.open {
		c.tcp.Close()
	}
}
