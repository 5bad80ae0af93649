package cli

import (
	"context"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
)

// networkClient makes the connections of a kgo client the way Kafka's
// NetworkClient does: an address that could not be reached is left alone for
// a while that grows from reconnect.backoff.ms to reconnect.backoff.max.ms,
// and every failure is told of in Kafka's lines. label is the client as Kafka
// names it: "Producer clientId=x".
//
// kgo dials from several goroutines; all dials to one address share its wait.
type networkClient struct {
	label                     string
	log                       *logrus.Entry
	nodes                     []*node // of bootstrap.servers
	backoff, backoffMax       time.Duration
	connectTimeout            time.Duration
	sendBuffer, receiveBuffer int // bytes; -1 leaves it to the system

	mu    sync.Mutex
	waits map[string]*wait // by address
}

func newNetworkClient(label string, log *logrus.Entry, nodes []*node, v *clientValues) *networkClient {
	return &networkClient{label: label, log: log, nodes: nodes, waits: map[string]*wait{},
		backoff: v.ms("reconnect.backoff.ms"), backoffMax: v.ms("reconnect.backoff.max.ms"),
		connectTimeout: max(v.ms("socket.connection.setup.timeout.ms"), time.Second),
		sendBuffer:     int(v.numbers["send.buffer.bytes"]), receiveBuffer: int(v.numbers["receive.buffer.bytes"])}
}

// dial is the dialer of kgo.
func (n *networkClient) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if err := n.await(ctx, address); err != nil {
		return nil, err
	}
	dialer := net.Dialer{Timeout: n.connectTimeout}
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		if ctx.Err() == nil {
			n.failed(address)
		}
		return nil, err
	}
	n.mu.Lock()
	delete(n.waits, address)
	n.mu.Unlock()
	n.setBuffers(conn)
	return conn, nil
}

// setBuffers sets the sizes that were asked for; a system that refuses them
// keeps its own.
func (n *networkClient) setBuffers(conn net.Conn) {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return
	}
	if n.sendBuffer > 0 {
		_ = tcp.SetWriteBuffer(n.sendBuffer)
	}
	if n.receiveBuffer > 0 {
		_ = tcp.SetReadBuffer(n.receiveBuffer)
	}
}

// await returns once the address may be tried, which another dial that fails
// in the meantime puts off.
func (n *networkClient) await(ctx context.Context, address string) error {
	for {
		n.mu.Lock()
		var left time.Duration
		if w := n.waits[address]; w != nil {
			left = time.Until(w.until)
		}
		n.mu.Unlock()
		if left <= 0 {
			return ctx.Err()
		}
		if err := sleep(ctx, left); err != nil {
			return err
		}
	}
}

// failed notes and tells that an address could not be reached.
func (n *networkClient) failed(address string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	w := n.waits[address]
	if w == nil {
		w = &wait{}
		n.waits[address] = w
	}
	if time.Now().Before(w.until) {
		return // another dial has told of it
	}
	w.failures++
	w.until = time.Now().Add(reconnectPause(n.backoff, n.backoffMax, w.failures))
	for _, seed := range n.nodes {
		if seed.key() == address || net.JoinHostPort(seed.host, strconv.Itoa(int(seed.port))) == address {
			n.log.Warnf("[%s] Connection to node %d (%s) could not be established. Broker may not be available.", n.label, seed.id, seed.name())
			n.log.Warnf("[%s] Bootstrap broker %s (id: %d rack: null) disconnected", n.label, seed.key(), seed.id)
			return
		}
	}
	n.log.Warnf("[%s] Connection to node (%s) could not be established. Broker may not be available.", n.label, address)
}

// reconnectPause doubles with every failure, give or take a fifth.
func reconnectPause(least, most time.Duration, failures int) time.Duration {
	pause := least
	for range min(failures-1, 20) {
		pause = min(2*pause, max(least, most))
	}
	return time.Duration(float64(pause) * (0.8 + 0.4*rand.Float64()))
}
