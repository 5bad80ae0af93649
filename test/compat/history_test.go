//go:build compat

package compat

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gregor/pkg/model"
	"gregor/pkg/testkit"
)

// zookeeper.session.timeout.ms of the brokers of a history; a JVM that starts
// on a busy machine needs more of it.
const (
	historySession = 1500 * time.Millisecond
	javaSession    = 4 * time.Second
)

// launch runs a broker of ours or of Apache Kafka in a history.
func launch(k kind) testkit.Launch {
	if k == gregor {
		return testkit.Binary(filepath.Join(home(), "bin", "gregor"))
	}
	return func(t testing.TB, properties string) *exec.Cmd {
		return exec.Command("java", javaArgs(t, k, "384m", log4j(t, "INFO", "System.out"), "kafka.Kafka", []string{properties})...)
	}
}

func historyZooKeeper(t testing.TB) *testkit.ProcessZooKeeper {
	t.Helper()
	return testkit.StartProcessZooKeeper(t, testkit.ZooKeeperBinary(filepath.Join(home(), "bin", "gregor")), 300*time.Millisecond)
}

// historyNodes starts brokers of some kinds, by id from 0.
func historyNodes(t testing.TB, zooKeeper string, session time.Duration, properties map[string]string, kinds ...kind) []testkit.Node {
	t.Helper()
	var nodes []testkit.Node
	for id, k := range kinds {
		nodes = append(nodes, testkit.StartNode(t, id, launch(k), zooKeeper, session, properties))
	}
	return nodes
}

// Twenty faults, with librdkafka beside franz-go. Five hundred are in
// test/soak.
func TestHistory(t *testing.T) {
	seed := testkit.Seed(t)
	zk := historyZooKeeper(t)
	nodes := historyNodes(t, zk.Address, historySession, nil, gregor, gregor, gregor)
	testkit.RunHistory(t, seed, nodes, zk, zk.Address, testkit.HistoryOptions{Faults: 20, Session: historySession, Topics: true, Clients: librdkafka(t, nodes)})
}

// The same with Java brokers in the cluster. In the protocol of 1.1 no topics
// come and go meanwhile: there a topic that was deleted under faults once stayed
// on the Java broker (GREGOR_SEED=241966449, faults of links and a lost session),
// and whose fault that is has not been found out.
func TestHistoryWithJavaBrokers(t *testing.T) {
	for _, c := range []struct {
		name  string
		ibp   string
		kinds []kind
	}{
		{"2.8.2", "2.8", []kind{kafka28, gregor, kafka28}},
		{"2.4 protocol", "2.4", []kind{kafka28, gregor, gregor}},
		{"1.1 protocol", "1.1", []kind{gregor, kafka28, gregor}},
		{"3.9.1", "2.8", []kind{gregor, kafka39, gregor}},
	} {
		t.Run(c.name, func(t *testing.T) {
			seed := testkit.Seed(t)
			zk := historyZooKeeper(t)
			nodes := historyNodes(t, zk.Address, javaSession, map[string]string{"inter.broker.protocol.version": c.ibp}, c.kinds...)
			testkit.RunHistory(t, seed, nodes, zk, zk.Address, testkit.HistoryOptions{Faults: 3, Session: javaSession, Topics: c.ibp != "1.1"})
		})
	}
}

// apacheEnsemble is three servers of Apache ZooKeeper, whose leader is what
// faults happen to.
type apacheEnsemble struct {
	t       testing.TB
	servers []*testkit.Process
	ports   []string
	down    []*testkit.Process
}

func startApacheEnsemble(t testing.TB, version string) *apacheEnsemble {
	t.Helper()
	e := &apacheEnsemble{t: t}
	common := map[string]string{"tickTime": "300", "initLimit": "20", "syncLimit": "10", "maxClientCnxns": "0", "admin.enableServer": "false", "4lw.commands.whitelist": "*"}
	for i := range 3 {
		common[fmt.Sprintf("server.%d", i+1)] = fmt.Sprintf("127.0.0.1:%d:%d", freePort(t), freePort(t))
	}
	for i := range 3 {
		dir, port := t.TempDir(), freePort(t)
		require.NoError(t, os.WriteFile(filepath.Join(dir, "myid"), fmt.Appendf(nil, "%d\n", i+1), 0o644))
		own := maps.Clone(common)
		own["dataDir"], own["clientPort"] = dir, strconv.Itoa(port)
		e.servers = append(e.servers, testkit.StartProcess(t, fmt.Sprintf("zookeeper-%d", i+1), func(t testing.TB, config string) *exec.Cmd {
			return exec.Command("java", "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dlog4j.configuration=file:"+log4j(t, "INFO", "System.out"),
				"-cp", zooKeeperJars(t, version)+"/*", "org.apache.zookeeper.server.quorum.QuorumPeerMain", config)
		}, own, "binding to port"))
		e.ports = append(e.ports, fmt.Sprintf("127.0.0.1:%d", port))
	}
	e.awaitLeader()
	return e
}

func (e *apacheEnsemble) leader() int {
	return slices.IndexFunc(e.ports, func(address string) bool { return mode(address) == "leader" })
}

func (e *apacheEnsemble) awaitLeader() {
	e.t.Helper()
	eventually(e.t, time.Minute, "the ensemble has a leader", func() bool { return e.leader() >= 0 })
}

// Interrupt kills the leader; the others elect another, unless one of them is
// down already.
func (e *apacheEnsemble) Interrupt() {
	e.t.Helper()
	if len(e.down) > 1 {
		return // there is no leader
	}
	e.awaitLeader()
	leader := e.servers[e.leader()]
	leader.End(syscall.SIGKILL)
	e.down = append(e.down, leader)
}

// Repair brings back whoever is down.
func (e *apacheEnsemble) Repair() {
	e.t.Helper()
	for _, server := range e.down {
		server.Start()
	}
	for _, server := range e.down {
		server.Await()
	}
	e.down = nil
	e.awaitLeader()
}

// On an ensemble of Apache ZooKeeper whose leader is killed again and again.
func TestHistoryOnAnApacheEnsemble(t *testing.T) {
	seed := testkit.Seed(t)
	e := startApacheEnsemble(t, "3.5.9")
	connect := strings.Join(e.ports, ",")
	nodes := historyNodes(t, connect, javaSession, nil, gregor, gregor, gregor)
	testkit.RunHistory(t, seed, nodes, e, connect, testkit.HistoryOptions{Faults: 5, Session: javaSession, Topics: true, Weights: map[string]int{
		testkit.FaultZooKeeper: 4, testkit.FaultKill: 2, testkit.FaultPause: 1, testkit.FaultIsolate: 1}})
}

// librdkafkaWriter is the number of the writer that librdkafka is.
const librdkafkaWriter = 100

// librdkafka writes and reads a history in a process of its own, which prints
// what it was told.
func librdkafka(t testing.TB, nodes []testkit.Node) func(h *testkit.History, topic string, partitions int32) func() {
	return func(h *testkit.History, topic string, partitions int32) func() {
		var seeds []string
		for _, n := range nodes {
			seeds = append(seeds, n.Seed())
		}
		cmd := exec.Command(filepath.Join(cache(), "python-current", "bin", "python"), filepath.Join(home(), "test", "compat", "python", "history.py"),
			strings.Join(seeds, ","), topic, strconv.Itoa(int(partitions)))
		stdin, err := cmd.StdinPipe()
		require.NoError(t, err)
		stdout, err := cmd.StdoutPipe()
		require.NoError(t, err)
		cmd.Stderr = os.Stderr
		require.NoError(t, cmd.Start())
		t.Cleanup(func() { _ = cmd.Process.Kill() }) // it has ended, if all went well
		h.Exact(librdkafkaWriter)
		ctx, cancel := context.WithCancel(context.Background())
		t.Cleanup(cancel)
		var parties sync.WaitGroup
		parties.Go(func() {
			defer stdin.Close()
			for seq := int64(1); ctx.Err() == nil; seq++ {
				id := testkit.RecordID{Writer: librdkafkaWriter, Seq: seq}
				if _, err := fmt.Fprintf(stdin, "%d %s\n", seq%int64(partitions), id.Payload()); err != nil {
					h.Problem("librdkafka's process: %v", err)
					return
				}
				time.Sleep(5 * time.Millisecond)
			}
		})
		acks, reads := 0, 0
		parties.Go(func() {
			lines := bufio.NewScanner(stdout)
			for lines.Scan() {
				kind, rest, _ := strings.Cut(lines.Text(), " ")
				switch kind {
				case "ack", "read":
					var tp = model.TopicPartition{Topic: topic}
					var offset int64
					var value string
					if _, err := fmt.Sscanf(rest, "%d %d %s", &tp.Partition, &offset, &value); err != nil {
						h.Problem("librdkafka's process prints %q", lines.Text())
						continue
					}
					if kind == "read" {
						reads++
						h.Read("librdkafka", tp, offset, []byte(value))
						continue
					}
					acks++
					id, err := testkit.ParsePayload([]byte(value))
					if err != nil {
						h.Problem("librdkafka's process: %v", err)
						continue
					}
					h.Acked(id, tp, offset)
				case "done":
					if rest != "0" {
						h.Problem("librdkafka: %s records are neither acknowledged nor refused", rest)
					}
				default:
					t.Logf("librdkafka: %s", lines.Text())
				}
			}
		})
		return func() {
			cancel()
			parties.Wait()
			require.NoError(t, cmd.Wait())
			t.Logf("librdkafka: %d records acknowledged, %d read", acks, reads)
			require.NotZero(t, acks)
			require.NotZero(t, reads)
		}
	}
}
