//go:build compat

package compat

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// classes of the Java tools by version; 3.9 has moved some.
func topicCommand(v kind) string {
	if v == kafka39 {
		return "org.apache.kafka.tools.TopicCommand"
	}
	return "kafka.admin.TopicCommand"
}

func consoleConsumer(v kind) string {
	if v == kafka39 {
		return "org.apache.kafka.tools.consumer.ConsoleConsumer"
	}
	return "kafka.tools.ConsoleConsumer"
}

func consumerGroupCommand(v kind) string {
	if v == kafka39 {
		return "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"
	}
	return "kafka.admin.ConsumerGroupCommand"
}

// lines joins lines as a file or a pipe has them.
func lines(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format+"\n", i)
	}
	return b.String()
}

func TestJavaToolsAgainstOurBroker(t *testing.T) {
	for _, v := range []kind{kafka28, kafka39} {
		t.Run(string(v), func(t *testing.T) {
			zk := zooKeeper(t, gregor, t.TempDir(), 0)
			b := broker(t, gregor, 0, zk.Address, t.TempDir(), nil)
			got := java(t, v, "", topicCommand(v), "--bootstrap-server", b.Address, "--create", "--topic", "java", "--partitions", "2", "--replication-factor", "1")
			require.Equal(t, "Created topic java.\n", got.Stdout, got.Stderr)
			got = java(t, v, "", topicCommand(v), "--bootstrap-server", b.Address, "--describe", "--topic", "java")
			require.Contains(t, got.Stdout, "PartitionCount: 2\tReplicationFactor: 1")
			require.Contains(t, got.Stdout, "Leader: 0\tReplicas: 0\tIsr: 0")

			input := lines(1000, "line %d")
			got = java(t, v, input, "kafka.tools.ConsoleProducer", "--bootstrap-server", b.Address, "--topic", "java")
			require.Zero(t, got.Status, got.Stderr)
			got = java(t, v, "", consoleConsumer(v), "--bootstrap-server", b.Address, "--topic", "java", "--group", "g", "--from-beginning", "--max-messages", "1000")
			require.ElementsMatch(t, strings.Split(input, "\n"), strings.Split(got.Stdout, "\n"))

			got = java(t, v, "", consumerGroupCommand(v), "--bootstrap-server", b.Address, "--describe", "--group", "g")
			require.Contains(t, got.Stdout, "java")
			require.Equal(t, 1000, sumColumn(t, got.Stdout, "CURRENT-OFFSET"))
			got = java(t, v, "", consumerGroupCommand(v), "--bootstrap-server", b.Address, "--list")
			require.Contains(t, got.Stdout, "g\n")

			got = java(t, v, "", topicCommand(v), "--bootstrap-server", b.Address, "--delete", "--topic", "java")
			require.Zero(t, got.Status, got.Stderr)
			eventually(t, 10*time.Second, "the topic is gone", func() bool {
				return !strings.Contains(script(t, "", "kafka-topics.sh", "--list", "--zookeeper", zk.Address).Stdout, "java")
			})
		})
	}
}

// sumColumn adds the numbers of a column of a tool's table.
func sumColumn(t *testing.T, table, column string) int {
	t.Helper()
	at, sum := -1, 0
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		for i, field := range fields {
			if field == column {
				at = i
			}
		}
		if at >= 0 && len(fields) > at && fields[at] != column {
			var n int
			_, err := fmt.Sscan(fields[at], &n)
			require.NoError(t, err, line)
			sum += n
		}
	}
	require.GreaterOrEqual(t, at, 0, "no column %s in %s", column, table)
	return sum
}

func TestJavaZooKeeperToolsAgainstOurCluster(t *testing.T) {
	zk := zooKeeper(t, gregor, t.TempDir(), 0)
	b := broker(t, gregor, 0, zk.Address, t.TempDir(), nil)
	got := java(t, kafka28, "", "kafka.admin.TopicCommand", "--zookeeper", zk.Address, "--create", "--topic", "old", "--partitions", "3", "--replication-factor", "1")
	require.Equal(t, "Created topic old.\n", got.Stdout, got.Stderr)
	eventually(t, 10*time.Second, "our controller makes it", func() bool {
		return strings.Contains(script(t, "", "kafka-topics.sh", "--describe", "--bootstrap-server", b.Address, "--topic", "old").Stdout, "Partition: 2\tLeader: 0")
	})
	got = java(t, kafka28, "", "kafka.admin.ConfigCommand", "--zookeeper", zk.Address, "--alter", "--entity-type", "topics", "--entity-name", "old", "--add-config", "retention.ms=60000")
	require.Zero(t, got.Status, got.Stderr)
	eventually(t, 10*time.Second, "our broker applies it", func() bool {
		return strings.Contains(script(t, "", "kafka-configs.sh", "--bootstrap-server", b.Address, "--describe", "--entity-type", "topics", "--entity-name", "old").Stdout, "retention.ms=60000")
	})
	got = java(t, kafka28, "", "kafka.admin.TopicCommand", "--zookeeper", zk.Address, "--delete", "--topic", "old")
	require.Zero(t, got.Status, got.Stderr)
	eventually(t, 10*time.Second, "our controller deletes it", func() bool {
		return strings.TrimSpace(java(t, kafka28, "", "kafka.admin.TopicCommand", "--zookeeper", zk.Address, "--list").Stdout) == ""
	})
	got = java(t, kafka28, "", "org.apache.zookeeper.ZooKeeperMainWithTlsSupportForKafka", "-server", zk.Address, "ls", "/brokers/ids")
	require.Contains(t, got.Stdout, "[0]")
}

func TestOurBrokerOnApacheZooKeeper(t *testing.T) {
	for _, v := range []kind{kafka28, kafka39} {
		t.Run(string(v), func(t *testing.T) {
			zk := zooKeeper(t, v, t.TempDir(), 0)
			b := broker(t, gregor, 0, zk.Address+"/some/chroot", t.TempDir(), nil)
			require.Equal(t, "Created topic t.\n", script(t, "", "kafka-topics.sh", "--create", "--zookeeper", zk.Address+"/some/chroot", "--topic", "t", "--partitions", "1", "--replication-factor", "1").Stdout)
			produced := script(t, lines(10, "%d"), "kafka-console-producer.sh", "--bootstrap-server", b.Address, "--topic", "t")
			require.Zero(t, produced.Status, produced.Stderr)
			got := script(t, "", "kafka-console-consumer.sh", "--bootstrap-server", b.Address, "--topic", "t", "--from-beginning", "--max-messages", "10")
			require.Equal(t, lines(10, "%d"), got.Stdout)
		})
	}
}

func TestApacheZooKeeperTakesOverOurDataAndBack(t *testing.T) {
	for _, v := range []kind{kafka28, kafka39} {
		t.Run(string(v), func(t *testing.T) {
			dir, port := t.TempDir(), freePort(t)
			read := func(address string) string {
				return script(t, "", "zookeeper-shell.sh", address, "get", "/kept").Stdout
			}
			ours := zooKeeper(t, gregor, dir, port)
			script(t, "", "zookeeper-shell.sh", ours.Address, "create", "/kept", "by-gregor")
			ours.kill()
			theirs := zooKeeper(t, v, dir, port)
			require.Contains(t, read(theirs.Address), "by-gregor")
			script(t, "", "zookeeper-shell.sh", theirs.Address, "set", "/kept", "by-java")
			theirs.kill()
			ours = zooKeeper(t, gregor, dir, port)
			require.Contains(t, read(ours.Address), "by-java")
		})
	}
}

func TestDumpLogSegmentsReadsOurFiles(t *testing.T) {
	zk := zooKeeper(t, gregor, t.TempDir(), 0)
	dir := t.TempDir()
	b := broker(t, gregor, 0, zk.Address, dir, map[string]string{"log.segment.bytes": "40000", "log.index.interval.bytes": "500"})
	for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		got := java(t, kafka28, lines(2000, "a line that repeats itself, number %d"), "kafka.tools.ConsoleProducer", "--bootstrap-server", b.Address, "--topic", "dump",
			"--compression-codec", codec, "--max-partition-memory-bytes", "4000")
		require.Zero(t, got.Status, got.Stderr)
	}
	require.Equal(t, 143, b.stop())
	logs, err := filepath.Glob(filepath.Join(dir, "dump-0", "*.log"))
	require.NoError(t, err)
	require.Greater(t, len(logs), 2, "several segments")
	records := 0
	for _, log := range logs {
		base := strings.TrimSuffix(log, ".log")
		got := java(t, kafka28, "", "kafka.tools.DumpLogSegments", "--deep-iteration", "--print-data-log", "--files", log+","+base+".index")
		require.Zero(t, got.Status)
		require.Empty(t, got.Stderr)
		require.NotContains(t, got.Stdout, "isvalid: false")
		require.NotContains(t, strings.ToLower(got.Stdout), "mismatch")
		records += strings.Count(got.Stdout, "payload: a line that repeats itself")
		// A time index names the record with the largest timestamp; where that
		// is not the last of an uncompressed batch, the full check complains of
		// the original's files just the same.
		got = java(t, kafka28, "", "kafka.tools.DumpLogSegments", "--index-sanity-check", "--files", base+".timeindex")
		require.Zero(t, got.Status)
		require.Contains(t, got.Stdout, "passed sanity check", got.Stderr)
	}
	require.Equal(t, 10000, records)
	snapshots, err := filepath.Glob(filepath.Join(dir, "dump-0", "*.snapshot"))
	require.NoError(t, err)
	for _, snapshot := range snapshots {
		got := java(t, kafka28, "", "kafka.tools.DumpLogSegments", "--files", snapshot)
		require.Zero(t, got.Status, got.Stderr)
	}
}

// A Java broker on the directories that ours has left, and ours on the Java
// broker's.
func TestLogDirectoriesTravel(t *testing.T) {
	zk := zooKeeper(t, gregor, t.TempDir(), 0)
	dir := t.TempDir()
	properties := map[string]string{"listeners": fmt.Sprintf("PLAINTEXT://127.0.0.1:%d", freePort(t))}
	want := ""
	for i, k := range []kind{gregor, kafka28, gregor, kafka28} {
		b := broker(t, k, 0, zk.Address, dir, properties)
		more := fmt.Sprintf("written under %s in round %d\n", k, i)
		got := script(t, more, "kafka-console-producer.sh", "--bootstrap-server", b.Address, "--topic", "t")
		require.Zero(t, got.Status, got.Stderr)
		want += more
		read := script(t, "", "kafka-console-consumer.sh", "--bootstrap-server", b.Address, "--topic", "t", "--from-beginning", "--max-messages", fmt.Sprint(i+1))
		require.Equal(t, want, read.Stdout, read.Stderr)
		if i%2 == 0 {
			require.Equal(t, 143, b.stop())
			_, err := os.Stat(filepath.Join(dir, ".kafka_cleanshutdown"))
			require.NoError(t, err, "the clean mark")
		} else {
			b.kill()
			eventually(t, 30*time.Second, "the registration expires", func() bool {
				return !strings.Contains(script(t, "", "zookeeper-shell.sh", zk.Address, "ls", "/brokers/ids").Stdout, "[0]")
			})
		}
	}
}

// One cluster of a Java broker and ours, replication factor 1: topics made
// through either are led by either and read through either.
func TestAMixedCluster(t *testing.T) {
	for _, first := range []kind{gregor, kafka28} {
		t.Run(string(first)+" is the controller", func(t *testing.T) {
			second := kafka28
			if first == kafka28 {
				second = gregor
			}
			zk := zooKeeper(t, gregor, t.TempDir(), 0)
			a := broker(t, first, 0, zk.Address, t.TempDir(), nil)
			b := broker(t, second, 1, zk.Address, t.TempDir(), nil)
			both := a.Address + "," + b.Address
			require.Contains(t, script(t, "", "zookeeper-shell.sh", zk.Address, "get", "/controller").Stdout, `"brokerid":0`)
			for _, maker := range []string{a.Address, b.Address} {
				topic := "made-through-" + maker[strings.LastIndexByte(maker, ':')+1:]
				got := script(t, "", "kafka-topics.sh", "--create", "--bootstrap-server", maker, "--topic", topic, "--partitions", "4", "--replication-factor", "1")
				require.Equal(t, "Created topic "+topic+".\n", got.Stdout, got.Stderr)
				described := java(t, kafka28, "", "kafka.admin.TopicCommand", "--bootstrap-server", both, "--describe", "--topic", topic).Stdout
				require.Equal(t, 2, strings.Count(described, "Leader: 0"), described)
				require.Equal(t, 2, strings.Count(described, "Leader: 1"), described)
				input := lines(100, "k%[1]d:v%[1]d")
				produced := script(t, input, "kafka-console-producer.sh", "--bootstrap-server", both, "--topic", topic, "--property", "parse.key=true", "--property", "key.separator=:")
				require.Zero(t, produced.Status, produced.Stderr)
				read := java(t, kafka28, "", "kafka.tools.ConsoleConsumer", "--bootstrap-server", both, "--topic", topic, "--from-beginning", "--max-messages", "100",
					"--property", "print.key=true", "--property", "key.separator=:")
				require.ElementsMatch(t, strings.Split(input, "\n"), strings.Split(read.Stdout, "\n"))
			}
			// The controller goes; the other one takes over.
			a.stop()
			eventually(t, 30*time.Second, "the other broker is the controller", func() bool {
				return strings.Contains(script(t, "", "zookeeper-shell.sh", zk.Address, "get", "/controller").Stdout, `"brokerid":1`)
			})
			got := script(t, "", "kafka-topics.sh", "--create", "--bootstrap-server", b.Address, "--topic", "after", "--partitions", "2", "--replication-factor", "1")
			require.Equal(t, "Created topic after.\n", got.Stdout, got.Stderr)
		})
	}
}
