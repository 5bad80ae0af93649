package zkstore

import (
	"math/rand/v2"
	"sync"
	"time"
)

// hostList hands the servers to the library as they were written, in random
// order, so that names are resolved anew with every attempt to connect.
type hostList struct {
	mu      sync.Mutex
	servers []string
	next    int
	tried   int // since the last connection

	connected time.Time // when a server last accepted the session
	flaps     int       // connections that followed one another within a second
}

// flapsMax is how many times in a row a connection may be made anew within a
// second before there is a pause: a server may accept and close for ever.
const flapsMax = 10

func newHostList(servers []string) *hostList {
	h := &hostList{servers: append([]string(nil), servers...)}
	rand.Shuffle(len(h.servers), func(i, j int) { h.servers[i], h.servers[j] = h.servers[j], h.servers[i] })
	return h
}

// Init is given the same servers once more.
func (h *hostList) Init([]string) error { return nil }

// Len is the number of servers.
func (h *hostList) Len() int { return len(h.servers) }

// Next gives the next server; retryStart makes the library pause for a
// second, once all servers were tried in vain.
func (h *hostList) Next() (server string, retryStart bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	server = h.servers[h.next]
	h.next = (h.next + 1) % len(h.servers)
	retryStart = h.tried > 0 && h.tried%len(h.servers) == 0 || h.flaps >= flapsMax
	if retryStart {
		h.flaps = 0
	}
	h.tried++
	return server, retryStart
}

// Connected is called when a server has accepted the session.
func (h *hostList) Connected() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tried = 0
	now := time.Now()
	if now.Sub(h.connected) < time.Second {
		h.flaps++
	} else {
		h.flaps = 0
	}
	h.connected = now
}
