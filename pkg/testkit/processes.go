package testkit

import (
	"context"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gregor/pkg/lifecycle"
)

// Launch makes the command that runs a server with a properties file, ours or
// somebody else's.
type Launch func(t testing.TB, properties string) *exec.Cmd

// Binary launches brokers from a binary of ours.
func Binary(path string) Launch {
	return func(t testing.TB, properties string) *exec.Cmd { return exec.Command(path, "kafka.Kafka", properties) }
}

// ZooKeeperBinary launches ZooKeepers from a binary of ours.
func ZooKeeperBinary(path string) Launch {
	return func(t testing.TB, properties string) *exec.Cmd {
		return exec.Command(path, "org.apache.zookeeper.server.quorum.QuorumPeerMain", properties)
	}
}

// Process is a server in a process of its own, which can be killed, stopped
// and started again. It ends with the test.
type Process struct {
	t      testing.TB
	name   string
	launch Launch
	config string // its properties file
	log    string // its output, of all its lives
	ready  string // what it prints when it is
	from   int    // where in its output this life begins
	group  *lifecycle.Group
	cmd    *exec.Cmd
	done   chan struct{}
	paused bool
}

// StartProcess starts a server and waits until it prints that it is ready.
func StartProcess(t testing.TB, name string, launch Launch, properties map[string]string, ready string) *Process {
	t.Helper()
	dir := t.TempDir()
	p := &Process{t: t, name: name, launch: launch, ready: ready, group: lifecycle.NewGroup(context.Background()), config: filepath.Join(dir, name+".properties"), log: filepath.Join(dir, name+".out")}
	var text strings.Builder
	for _, key := range slices.Sorted(maps.Keys(properties)) {
		fmt.Fprintf(&text, "%s=%s\n", key, properties[key])
	}
	require.NoError(t, os.WriteFile(p.config, []byte(text.String()), 0o644))
	t.Cleanup(func() {
		p.End(syscall.SIGKILL)
		require.NoError(t, p.group.Close())
		if t.Failed() {
			out := p.Output()
			t.Logf("%s: the end of its output:\n%s", name, out[max(0, len(out)-3000):])
			keep(t, out)
		}
	})
	p.Start()
	p.Await()
	return p
}

// Start starts it, or starts it again once it has ended, without waiting.
func (p *Process) Start() {
	p.t.Helper()
	require.True(p.t, p.cmd == nil || p.Ended(), "%s runs", p.name)
	p.from = len(p.Output())
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	require.NoError(p.t, err)
	defer out.Close()
	p.cmd = p.launch(p.t, p.config)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.Env = append(os.Environ(), "LOG_DIR="+filepath.Dir(p.log))
	require.NoError(p.t, p.cmd.Start())
	done := make(chan struct{})
	p.done = done
	cmd := p.cmd
	p.group.Go("wait", func(context.Context) error {
		defer close(done)
		_ = cmd.Wait() // how it ended does not matter
		return nil
	})
}

// Await waits until it prints that it is ready.
func (p *Process) Await() {
	p.t.Helper()
	require.Eventually(p.t, func() bool { return strings.Contains(p.Output()[p.from:], p.ready) || p.Ended() }, time.Minute, 10*time.Millisecond, "%s starts", p.name)
	life := p.Output()[p.from:]
	require.Contains(p.t, life, p.ready, "%s ended before it was ready", p.name)
}

// Ended reports whether it runs no more.
func (p *Process) Ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Output is everything that it has printed in all its lives.
func (p *Process) Output() string {
	text, err := os.ReadFile(p.log)
	if os.IsNotExist(err) {
		return ""
	}
	require.NoError(p.t, err)
	return string(text)
}

// End sends a signal and waits until it has ended.
func (p *Process) End(signal syscall.Signal) {
	p.t.Helper()
	if p.cmd == nil || p.cmd.Process == nil {
		return
	}
	if p.paused {
		p.Signal(syscall.SIGCONT)
	}
	p.Signal(signal)
	select {
	case <-p.done:
	case <-time.After(time.Minute):
		p.Signal(syscall.SIGKILL)
		<-p.done
		p.t.Errorf("%s did not end within a minute of %s", p.name, signal)
	}
}

// Signal sends a signal; it may have ended already.
func (p *Process) Signal(signal syscall.Signal) {
	_ = p.cmd.Process.Signal(signal)
	p.paused = signal == syscall.SIGSTOP
}

// ProcessNode is a broker in a process of its own, reached through links.
type ProcessNode struct {
	*Process
	Dir string // log.dirs

	network, zooKeeper *Link
}

// StartNode starts a broker with an id. properties are added to what a
// history wants. An ensemble, whose addresses are set apart by commas, is
// reached without a link.
func StartNode(t testing.TB, id int, launch Launch, zooKeeper string, session time.Duration, properties map[string]string) *ProcessNode {
	t.Helper()
	port := FreePort(t)
	first, _, many := strings.Cut(zooKeeper, ",")
	n := &ProcessNode{Dir: t.TempDir(), zooKeeper: NewLink(t, first), network: NewLink(t, fmt.Sprintf("127.0.0.1:%d", port))}
	all := n.properties(id, port, session, properties)
	if many {
		all["zookeeper.connect"] = zooKeeper
	}
	n.Process = StartProcess(t, fmt.Sprintf("broker-%d", id), launch, all, "started (kafka.server.KafkaServer)")
	return n
}

func (n *ProcessNode) properties(id, port int, session time.Duration, properties map[string]string) map[string]string {
	all := map[string]string{
		"broker.id": strconv.Itoa(id), "listeners": Listener(port), "advertised.listeners": "PLAINTEXT://" + n.network.Address, "log.dirs": n.Dir,
		"zookeeper.connect": n.zooKeeper.Address, "zookeeper.session.timeout.ms": strconv.FormatInt(session.Milliseconds(), 10), "zookeeper.connection.timeout.ms": "20000",
		"replica.lag.time.max.ms": "2000", "replica.fetch.wait.max.ms": "100", "replica.fetch.backoff.ms": "100", "replica.socket.timeout.ms": "3000",
		"controller.socket.timeout.ms": "3000", "controlled.shutdown.retry.backoff.ms": "200", "offsets.topic.num.partitions": "3",
		"offsets.topic.replication.factor": "3", "transaction.state.log.replication.factor": "1", "transaction.state.log.min.isr": "1",
		"group.initial.rebalance.delay.ms": "0", "auto.leader.rebalance.enable": "false", "log.segment.bytes": "400000",
	}
	maps.Copy(all, properties)
	return all
}

// Links are everybody's way to the broker and its own to ZooKeeper.
func (n *ProcessNode) Links() (network, zooKeeper *Link) { return n.network, n.zooKeeper }

// LogDir is log.dirs.
func (n *ProcessNode) LogDir() string { return n.Dir }

// Seed is where clients reach it.
func (n *ProcessNode) Seed() string { return n.network.Address }

// Kill is kill -9.
func (n *ProcessNode) Kill() {
	n.End(syscall.SIGKILL)
	n.network.Down()
}

// StopInOrder is TERM.
func (n *ProcessNode) StopInOrder() {
	n.End(syscall.SIGTERM)
	n.network.Down()
}

// Restart starts it on its directory and port, and waits until it is ready.
func (n *ProcessNode) Restart() {
	n.t.Helper()
	n.network.Mend()
	n.zooKeeper.Mend()
	n.Start()
	// A Java broker does not start while the registration of its former life
	// is there, which it is until that session has expired.
	for deadline := time.Now().Add(time.Minute); n.refusedForItself() && time.Now().Before(deadline); {
		n.Start()
	}
	n.Await()
}

// refusedForItself waits until the broker is ready, or has ended, and reports
// whether it ended because it is registered already.
func (n *ProcessNode) refusedForItself() bool {
	n.t.Helper()
	require.Eventually(n.t, func() bool { return strings.Contains(n.Output()[n.from:], n.ready) || n.Ended() }, time.Minute, 10*time.Millisecond, "%s starts", n.name)
	return n.Ended() && strings.Contains(n.Output()[n.from:], "NodeExists")
}

// Replace is Restart with another program.
func (n *ProcessNode) Replace(launch Launch) {
	n.t.Helper()
	n.launch = launch
	n.Restart()
}

// Pause stops the process by a signal; nothing of it goes on.
func (n *ProcessNode) Pause() { n.Signal(syscall.SIGSTOP) }

// Resume ends Pause.
func (n *ProcessNode) Resume() { n.Signal(syscall.SIGCONT) }

// ProcessZooKeeper is a ZooKeeper in a process of its own.
type ProcessZooKeeper struct {
	*Process
	Address string
}

// StartProcessZooKeeper starts one whose sessions last from 2 to 20 ticks.
func StartProcessZooKeeper(t testing.TB, launch Launch, tick time.Duration) *ProcessZooKeeper {
	t.Helper()
	port := FreePort(t)
	z := &ProcessZooKeeper{Address: fmt.Sprintf("127.0.0.1:%d", port)}
	z.Process = StartProcess(t, "zookeeper", launch, map[string]string{"dataDir": t.TempDir(), "clientPort": strconv.Itoa(port), "clientPortAddress": "127.0.0.1",
		"tickTime": strconv.FormatInt(tick.Milliseconds(), 10), "maxClientCnxns": "0", "admin.enableServer": "false"}, "binding to port")
	AwaitPort(t, z.Address)
	return z
}

// Interrupt is kill -9.
func (z *ProcessZooKeeper) Interrupt() { z.End(syscall.SIGKILL) }

// Repair starts it again.
func (z *ProcessZooKeeper) Repair() {
	z.t.Helper()
	z.Start()
	z.Await()
	AwaitPort(z.t, z.Address)
}

// AwaitPort waits until somebody listens.
func AwaitPort(t testing.TB, address string) {
	t.Helper()
	Eventually(t, "somebody listens on "+address, func() bool {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
}
