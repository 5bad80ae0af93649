//go:build compat

package compat

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// sent is how many bytes a process has written, to files and sockets.
func (p *process) sent() int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", p.cmd.Process.Pid))
	require.NoError(p.t, err)
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "wchar: "); ok {
			n, err := strconv.Atoi(strings.TrimSpace(value))
			require.NoError(p.t, err)
			return n
		}
	}
	require.Fail(p.t, "no wchar")
	return 0
}

// Consumers that say where they are read from the replica that is there,
// whoever leads: ours from ours, and across a cluster of ours and Java's.
func TestOtherPeoplesConsumersReadFromTheNearestReplica(t *testing.T) {
	const records, size = 4000, 1000
	rackAware := func(rack string) map[string]string {
		return map[string]string{"broker.rack": rack, "replica.selector.class": "org.apache.kafka.common.replica.RackAwareReplicaSelector"}
	}
	count := fmt.Sprint(records)
	readers := map[string]func(t *testing.T, address, topic, rack string) result{
		"Java 2.8.2": func(t *testing.T, address, topic, rack string) result {
			return java(t, kafka28, "", "kafka.tools.ConsoleConsumer", "--bootstrap-server", address, "--topic", topic, "--from-beginning",
				"--max-messages", count, "--consumer-property", "client.rack="+rack)
		},
		"Java 3.9.1": func(t *testing.T, address, topic, rack string) result {
			return java(t, kafka39, "", consoleConsumer(kafka39), "--bootstrap-server", address, "--topic", topic, "--from-beginning",
				"--max-messages", count, "--consumer-property", "client.rack="+rack)
		},
		"librdkafka": func(t *testing.T, address, topic, rack string) result {
			return run(t, command{Path: "kcat", Args: []string{"-C", "-b", address, "-t", topic, "-o", "beginning", "-c", count, "-q", "-X", "client.rack=" + rack}})
		},
	}
	for _, kinds := range [][]kind{{gregor, gregor}, {gregor, kafka28}} {
		t.Run(fmt.Sprint(kinds), func(t *testing.T) {
			zk := zooKeeper(t, gregor, t.TempDir(), 0)
			brokers := []*server{broker(t, kinds[0], 0, zk.Address, t.TempDir(), rackAware("a")), broker(t, kinds[1], 1, zk.Address, t.TempDir(), rackAware("b"))}
			both := brokers[0].Address + "," + brokers[1].Address
			for leader := range brokers {
				follower := 1 - leader
				topic := fmt.Sprintf("led-by-%d", leader)
				assign(t, []string{brokers[0].Address, brokers[1].Address}, topic, [][]int32{{int32(leader), int32(follower)}})
				awaitReplicas(t, brokers[leader].Address, topic, 2, int32(leader))
				line := strings.Repeat("x", size) + "\n"
				got := run(t, command{Path: "kcat", Args: []string{"-P", "-b", both, "-t", topic, "-X", "acks=all"}, Stdin: strings.Repeat(line, records)})
				require.Zero(t, got.Status, got.Stderr)
				for name, read := range readers {
					before := []int{brokers[leader].sent(), brokers[follower].sent()}
					got := read(t, both, topic, string(rune('a'+follower)))
					require.Zero(t, got.Status, "%s: %s", name, got.Stderr)
					require.Equal(t, records, bytes.Count([]byte(got.Stdout), []byte(line)), name)
					require.Less(t, brokers[leader].sent()-before[0], records*size/2, "%s read from the leader", name)
					require.Greater(t, brokers[follower].sent()-before[1], records*size, "%s did not read from the follower", name)
				}
			}
		})
	}
}
