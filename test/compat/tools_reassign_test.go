//go:build compat

package compat

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const reassignClass = "kafka.admin.ReassignPartitionsCommand"

// saysAsJava is sameAsJava for tools that print stack traces on standard
// output; of standard error the first line is compared, below which help
// stands.
func saysAsJava(t *testing.T, dir, name, class string, args ...string) result {
	t.Helper()
	java := run(t, command{Path: "java", Args: javaArgs(t, kafka28, "128m", log4j(t, "WARN", "System.err"), class, args), Dir: dir})
	got := run(t, command{Path: filepath.Join(home(), "bin", name), Args: args, Dir: dir})
	first := func(text string) string { line, _, _ := strings.Cut(text, "\n"); return line }
	require.Equal(t, frames.ReplaceAllString(java.Stdout, ""), got.Stdout)
	require.Equal(t, first(java.Stderr), first(got.Stderr))
	require.Equal(t, java.Status, got.Status)
	return got
}

// The same questions about partitions of our brokers, asked with both tools;
// then each moves what the other looks after.
func TestReassignShowsWhatJavaShows(t *testing.T) {
	dir := t.TempDir()
	zk := zooKeeper(t, gregor, t.TempDir(), 0)
	var addresses []string
	for id := range 3 {
		b := broker(t, gregor, id, zk.Address, t.TempDir(), nil)
		addresses = append(addresses, b.Address)
	}
	servers := strings.Join(addresses, ",")
	r := script(t, "", "kafka-topics.sh", "--bootstrap-server", servers, "--create", "--topic", "moved", "--replica-assignment", "0:1,1:2")
	require.Zero(t, r.Status, r.Stderr)
	for name, content := range map[string]string{
		"topics":  `{"version":1,"topics":[{"topic":"moved"}]}`,
		"nothing": `{"version":1,"partitions":[]}`,
		"as-is":   `{"version":1,"partitions":[{"topic":"moved","partition":0,"replicas":[0,1]},{"topic":"moved","partition":1,"replicas":[1,2]}]}`,
		"there":   `{"version":1,"partitions":[{"topic":"moved","partition":0,"replicas":[2,0]},{"topic":"moved","partition":1,"replicas":[0,1]}]}`,
		"unknown": `{"version":1,"partitions":[{"topic":"none","partition":0,"replicas":[0]},{"topic":"moved","partition":7,"replicas":[0]}]}`,
		"broker9": `{"version":1,"partitions":[{"topic":"moved","partition":0,"replicas":[9]}]}`,
		"twice":   `{"version":1,"partitions":[{"topic":"moved","partition":0,"replicas":[0,0]}]}`,
		"dirs":    `{"version":1,"partitions":[{"topic":"moved","partition":0,"replicas":[0,1],"log_dirs":["/nowhere","any"]}]}`,
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644))
	}
	bootstrap, zookeeper := " --bootstrap-server "+servers, " --zookeeper "+zk.Address
	for _, line := range []string{
		"--list" + bootstrap, "--execute --additional --reassignment-json-file as-is" + zookeeper,
		"--generate --topics-to-move-json-file topics --broker-list 0" + bootstrap,
		"--generate --topics-to-move-json-file topics --broker-list 0,0" + bootstrap,
		"--verify --reassignment-json-file as-is" + bootstrap, "--verify --reassignment-json-file as-is" + zookeeper,
		"--verify --reassignment-json-file there" + bootstrap, "--verify --reassignment-json-file nothing" + bootstrap,
		"--verify --reassignment-json-file unknown" + bootstrap, "--cancel --reassignment-json-file as-is" + bootstrap,
		"--execute --reassignment-json-file as-is --throttle 1000000 --replica-alter-log-dirs-throttle 5" + bootstrap,
		"--execute --reassignment-json-file unknown" + bootstrap, "--execute --reassignment-json-file unknown" + zookeeper,
		"--execute --reassignment-json-file broker9" + bootstrap, "--execute --reassignment-json-file broker9" + zookeeper,
		"--execute --reassignment-json-file twice" + bootstrap, "--execute --reassignment-json-file dirs" + zookeeper,
	} {
		t.Run(line, func(t *testing.T) {
			saysAsJava(t, dir, "kafka-reassign-partitions.sh", reassignClass, strings.Fields(line)...)
		})
	}
	ours := func(args string) result {
		return run(t, command{Path: filepath.Join(home(), "bin", "kafka-reassign-partitions.sh"), Args: strings.Fields(args + bootstrap), Dir: dir})
	}
	javas := func(args string) result {
		return run(t, command{Path: "java", Args: javaArgs(t, kafka28, "128m", log4j(t, "WARN", "System.err"), reassignClass, strings.Fields(args+bootstrap)), Dir: dir})
	}
	done := "Status of partition reassignment:\nReassignment of partition moved-0 is complete.\nReassignment of partition moved-1 is complete.\n"
	require.Contains(t, javas("--execute --reassignment-json-file there").Stdout, "Successfully started partition reassignments for moved-0,moved-1\n")
	eventually(t, 20*time.Second, "the move that Java's tool began", func() bool {
		return strings.HasPrefix(ours("--verify --reassignment-json-file there").Stdout, done)
	})
	require.Contains(t, ours("--execute --reassignment-json-file as-is").Stdout, "Successfully started partition reassignments for moved-0,moved-1\n")
	eventually(t, 20*time.Second, "the move that our tool began", func() bool {
		return strings.HasPrefix(javas("--verify --reassignment-json-file as-is").Stdout, done)
	})
}

// What the tools with the younger parser say about command lines.
func TestPerformanceToolsRefuseAsJavaDoes(t *testing.T) {
	for _, line := range []string{"--topic", "--topic t --num-records 5 --throughput -1", "--num-records x", "--foo", "--p 10",
		"--topic t --num-records 5 --throughput -1 --record-size 10", "word --topic t", "--record-size 10 --payload-file x"} {
		t.Run(line, func(t *testing.T) {
			sameAsJava(t, "", "kafka-producer-perf-test.sh", "org.apache.kafka.tools.ProducerPerformance", strings.Fields(line)...)
		})
	}
}
