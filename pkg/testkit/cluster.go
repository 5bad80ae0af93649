// Package testkit is what tests share: servers in this process on free ports
// of the loopback, which end with the test. Only tests import it, from
// packages of their own (package x_test), since it imports everything.
//
//	cluster.go     a ZooKeeper and brokers in this process
//	replicated.go  several brokers that can be killed, cut off and restarted
//	processes.go   the same in processes of their own, ours or others'
//	link.go        the ways between them, on which faults happen
//	faults.go      schedules of faults, made from a seed
//	load.go        the clients of a history
//	site.go        RunHistory: faults under load, and what must hold in the end
//	history.go     what clients were told, checked; states.go what ZooKeeper says
//	clients.go     clients and conditions of single tests
//	transcript.go  commands and what they print, as books show them
//
// Every server, link and client ends with its test, and its goroutines with
// it. History, States and Link are safe for concurrent use; their locks are
// leaves.
package testkit

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gregor/pkg/broker"
	"gregor/pkg/config"
	"gregor/pkg/logging"
	"gregor/pkg/zookeeper/server"
)

// Log collects what servers log and shows it when the test fails.
type Log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// NewLog returns a log that is shown at the end of a failed test.
func NewLog(t testing.TB) *Log {
	l := &Log{}
	t.Cleanup(func() {
		if t.Failed() {
			text := l.String()
			t.Logf("log:\n%s", text[max(0, len(text)-16000):])
			keep(t, text)
		}
	})
	return l
}

// keep puts the whole of a log into the directory that GREGOR_KEEP names.
func keep(t testing.TB, text string) {
	dir := os.Getenv("GREGOR_KEEP")
	if dir == "" {
		return
	}
	f, err := os.CreateTemp(dir, "log-*.txt")
	require.NoError(t, err)
	_, err = f.WriteString(text)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	t.Logf("the whole log: %s", f.Name())
}

func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// String is everything that was logged so far.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// ZooKeeper starts the bundled ZooKeeper and returns its address.
func ZooKeeper(t testing.TB) string {
	t.Helper()
	return StartZooKeeper(t, 3*time.Second).Address
}

// ZooKeeperServer is the bundled ZooKeeper in this process.
type ZooKeeperServer struct {
	Address string

	t      testing.TB
	config server.Config
	server *server.Server // nil while it is interrupted
}

// StartZooKeeper starts one whose sessions last from 2 to 20 ticks.
func StartZooKeeper(t testing.TB, tick time.Duration) *ZooKeeperServer {
	t.Helper()
	z := &ZooKeeperServer{t: t, config: server.Config{
		DataDir: t.TempDir(), ClientPortAddress: "127.0.0.1", TickTime: tick, Loggers: logging.Discard(),
	}}
	z.Repair()
	z.Address = z.server.Addr()
	_, port, err := net.SplitHostPort(z.Address)
	require.NoError(t, err)
	z.config.ClientPort, err = strconv.Atoi(port)
	require.NoError(t, err)
	t.Cleanup(z.Interrupt)
	return z
}

// Interrupt ends the server; its data stay.
func (z *ZooKeeperServer) Interrupt() {
	z.t.Helper()
	if z.server != nil {
		require.NoError(z.t, z.server.Close())
		z.server = nil
	}
}

// Repair starts it again, on the same data and port.
func (z *ZooKeeperServer) Repair() {
	z.t.Helper()
	if z.server != nil {
		return
	}
	s, err := server.Start(context.Background(), z.config)
	require.NoError(z.t, err)
	z.server = s
}

// Broker is a broker in this process.
type Broker struct {
	*broker.Broker
	Address string // of its first listener
	Dir     string // log.dirs
	Log     *Log

	t    testing.TB
	stop sync.Once
}

// StartBroker starts a broker with a listener on a free port. properties are
// added to, and win over, what a test wants: small timeouts and one replica.
func StartBroker(t testing.TB, zooKeeper string, properties map[string]string) *Broker {
	t.Helper()
	all := map[string]string{
		"broker.id": "0", "listeners": "PLAINTEXT://127.0.0.1:0", "zookeeper.connect": zooKeeper,
		"log.segment.bytes": "1073741824", "num.partitions": "1",
		"zookeeper.session.timeout.ms": "6000", "group.initial.rebalance.delay.ms": "0",
		"offsets.topic.replication.factor": "1", "transaction.state.log.replication.factor": "1", "transaction.state.log.min.isr": "1",
	}
	maps.Copy(all, properties)
	if all["log.dirs"] == "" {
		all["log.dirs"] = t.TempDir()
	}
	parsed, _, err := config.ParseBroker(config.NewProperties(all), nil)
	require.NoError(t, err)
	b := &Broker{Dir: all["log.dirs"], Log: NewLog(t), t: t}
	b.Broker = broker.New(parsed, logging.New(b.Log))
	require.NoError(t, b.Start(context.Background()))
	t.Cleanup(b.Stop)
	first := b.Addresses()[0]
	b.Address = net.JoinHostPort(first.Host, strconv.Itoa(int(first.Port)))
	return b
}

// Stop shuts the broker down in order; a second call does nothing.
func (b *Broker) Stop() {
	b.stop.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		require.NoError(b.t, b.Shutdown(ctx))
	})
}

// abandon ends the broker without waiting for anybody; how does not matter.
func (b *Broker) abandon() {
	b.stop.Do(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = b.Shutdown(ctx) // what it leaves behind is thrown away
	})
}

// Eventually waits for a condition that must come true.
func Eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	require.Eventually(t, cond, 20*time.Second, 5*time.Millisecond, what)
}

// FreePort is a port that nothing listened on a moment ago.
func FreePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	n, err := strconv.Atoi(port)
	require.NoError(t, err)
	return n
}

// Listener is a listeners entry on a port of the loopback.
func Listener(port int) string { return fmt.Sprintf("PLAINTEXT://127.0.0.1:%d", port) }
