//go:build compat

package compat

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// failedStart starts a broker that must end by itself, with status 1.
func failedStart(t *testing.T, zk string, settings ...string) string {
	t.Helper()
	config := filepath.Join(t.TempDir(), "server.properties")
	properties(t, config, map[string]string{"broker.id": "0", "listeners": fmt.Sprintf("PLAINTEXT://127.0.0.1:%d", freePort(t)), "zookeeper.connect": zk,
		"log.dirs": t.TempDir(), "zookeeper.connection.timeout.ms": "1000"}, nil)
	args := []string{config}
	for _, setting := range settings {
		args = append(args, "--override", setting)
	}
	got := run(t, command{Path: filepath.Join(home(), "bin", "kafka-server-start.sh"), Args: args, Env: []string{"LOG_DIR=" + t.TempDir()}})
	require.Equal(t, 1, got.Status, "%s%s", got.Stdout, got.Stderr)
	require.NotContains(t, got.Stdout+got.Stderr, "goroutine ")
	return got.Stdout
}

func TestWrongValues(t *testing.T) {
	for _, row := range []struct{ setting, exception string }{
		{"num.partitions=-1", "org.apache.kafka.common.config.ConfigException: Invalid value -1 for configuration num.partitions: Value must be at least 1"},
		{"auto.create.topics.enable=ture", "org.apache.kafka.common.config.ConfigException: Invalid value ture for configuration auto.create.topics.enable: Expected value to be either true or false"},
		{"socket.send.buffer.bytes=100*1024", "org.apache.kafka.common.config.ConfigException: Invalid value 100*1024 for configuration socket.send.buffer.bytes: Not a number of type INT"},
		{"log.retention.hours=7days", "org.apache.kafka.common.config.ConfigException: Invalid value 7days for configuration log.retention.hours: Not a number of type INT"},
		{"listeners=foo", "java.lang.IllegalArgumentException: Error creating broker listeners from 'foo': Unable to parse foo to a broker endpoint"},
		{"log.dirs=", "java.lang.IllegalArgumentException: requirement failed: At least one log directory must be defined via log.dirs or log.dir."},
	} {
		t.Run(row.setting, func(t *testing.T) {
			requireOrder(t, failedStart(t, "127.0.0.1:1", row.setting), "ERROR Exiting Kafka due to fatal exception (kafka.Kafka$)", row.exception)
		})
	}
	got := run(t, command{Path: "bin/kafka-server-start.sh", Args: []string{"config/none.properties"}, Dir: home(), Env: []string{"LOG_DIR=" + t.TempDir()}})
	require.Equal(t, 1, got.Status)
	requireOrder(t, got.Stdout, "ERROR Exiting Kafka due to fatal exception (kafka.Kafka$)", "java.nio.file.NoSuchFileException: config/none.properties")
}

func TestStartsThatFail(t *testing.T) {
	zk := zooKeeper(t, gregor, t.TempDir(), 0)
	b := broker(t, gregor, 0, zk.Address, t.TempDir(), nil)
	const fatal, exiting = "Fatal error during KafkaServer startup. Prepare to shutdown (kafka.server.KafkaServer)", "ERROR Exiting Kafka. (kafka.Kafka$)"
	unregistered := []string{"broker.id=7"}

	t.Run("no ZooKeeper", func(t *testing.T) {
		text := failedStart(t, "127.0.0.1:1")
		requireOrder(t, text, "] ERROR "+fatal, "kafka.zookeeper.ZooKeeperClientTimeoutException: Timed out waiting for connection while in state: CONNECTING", exiting)
		require.Contains(t, text, "INFO Socket error occurred: 127.0.0.1/127.0.0.1:1: Connection refused (org.apache.zookeeper.ClientCnxn)")
	})
	t.Run("no such host", func(t *testing.T) {
		text := failedStart(t, "nohost.invalid:2181")
		requireOrder(t, text, "] ERROR "+fatal, "kafka.zookeeper.ZooKeeperClientTimeoutException: Timed out waiting for connection while in state: CONNECTING", exiting)
		require.Contains(t, text, "ERROR Unable to resolve address: nohost.invalid/<unresolved>:2181 (org.apache.zookeeper.client.StaticHostProvider)\njava.net.UnknownHostException: nohost.invalid: ")
	})
	t.Run("another broker's directory", func(t *testing.T) {
		requireOrder(t, failedStart(t, zk.Address, "broker.id=1", "log.dirs="+b.Dir), "] ERROR "+fatal, "kafka.common.InconsistentBrokerIdException: Configured broker.id 1 doesn't match stored broker.id Some(0) in meta.properties. If you moved your data, make sure your configured broker.id matches. If you intend to create a new broker, you should remove all data in your data directories (log.dirs).", exiting)
	})
	t.Run("a directory in use", func(t *testing.T) {
		requireOrder(t, failedStart(t, zk.Address, "log.dirs="+b.Dir), "] ERROR [KafkaServer id=0] "+fatal, "org.apache.kafka.common.KafkaException: Failed to acquire lock on file .lock in "+b.Dir+". A Kafka instance in another process or thread is using this directory.", exiting)
	})
	t.Run("an id in use", func(t *testing.T) {
		requireOrder(t, failedStart(t, zk.Address, "broker.id=0"), "ERROR Error while creating ephemeral at /brokers/ids/0, node already exists and owner '", "] ERROR [KafkaServer id=0] "+fatal, "org.apache.zookeeper.KeeperException$NodeExistsException: KeeperErrorCode = NodeExists", exiting)
	})
	t.Run("a port in use", func(t *testing.T) {
		requireOrder(t, failedStart(t, zk.Address, append(unregistered, "listeners=PLAINTEXT://"+b.Address)...), "] ERROR [KafkaServer id=7] "+fatal, "org.apache.kafka.common.KafkaException: Socket server failed to bind to "+b.Address+": Address already in use.", exiting)
	})
	t.Run("advertised by another", func(t *testing.T) {
		requireOrder(t, failedStart(t, zk.Address, append(unregistered, "advertised.listeners=PLAINTEXT://"+b.Address)...), "] ERROR [KafkaServer id=7] "+fatal, "java.lang.IllegalArgumentException: requirement failed: Configured end points "+b.Address+" in advertised listeners are already registered by broker 0", exiting)
	})
	t.Run("a file for a directory", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "file")
		require.NoError(t, os.WriteFile(file, []byte("mine"), 0o644))
		text := failedStart(t, zk.Address, append(unregistered, "log.dirs="+file)...)
		requireOrder(t, text, "ERROR Failed to read "+file+"/meta.properties (kafka.server.BrokerMetadataCheckpoint$)", "not a directory", "ERROR Failed to create or validate data directory "+file+" (kafka.server.LogDirFailureChannel)",
			fatal, "Shutdown broker because none of the specified log dirs from "+file+" can be created or validated", exiting)
	})
	t.Run("a directory that cannot be made", func(t *testing.T) {
		text := failedStart(t, zk.Address, append(unregistered, "log.dirs=/proc/none")...)
		requireOrder(t, text, "ERROR Failed to create or validate data directory /proc/none", fatal, "Shutdown broker because none of the specified log dirs from /proc/none can be created or validated", exiting)
	})
	require.Equal(t, "[0]", lastLine(script(t, "", "zookeeper-shell.sh", zk.Address, "ls", "/brokers/ids").Stdout), "the broker that ran goes on")
}

func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndexByte(text, '\n')+1:]
}

// One directory that cannot be used does not keep the others from serving.
func TestOneOfTwoDirectoriesUnusable(t *testing.T) {
	zk := zooKeeper(t, gregor, t.TempDir(), 0)
	file, good := filepath.Join(t.TempDir(), "file"), t.TempDir()
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	b := broker(t, gregor, 0, zk.Address, file+","+good, nil)
	requireOrder(t, b.output(), "ERROR Failed to read "+file+"/meta.properties (kafka.server.BrokerMetadataCheckpoint$)", "not a directory", "INFO Loading logs from log dirs ArraySeq("+good+")")
	kcatProduce(t, b.Address, "t", "one\ntwo\n")
	require.Equal(t, "one\ntwo\n", kcatConsume(t, b.Address, "t"))
	require.DirExists(t, filepath.Join(good, "t-0"))
}

func kcatProduce(t testing.TB, address, topic, lines string) {
	t.Helper()
	got := run(t, command{Path: "kcat", Args: []string{"-P", "-b", address, "-t", topic, "-X", "acks=all"}, Stdin: lines})
	require.Zero(t, got.Status, got.Stderr)
}

func kcatConsume(t testing.TB, address, topic string) string {
	t.Helper()
	got := run(t, command{Path: "kcat", Args: []string{"-C", "-q", "-e", "-b", address, "-t", topic, "-o", "beginning"}})
	require.Zero(t, got.Status, got.Stderr)
	return got.Stdout
}

// ZooKeeper's own refusals, with its statuses.
func TestZooKeeperStartsThatFail(t *testing.T) {
	zk := zooKeeper(t, gregor, t.TempDir(), 0)
	_, port, err := net.SplitHostPort(zk.Address)
	require.NoError(t, err)
	free := fmt.Sprint(freePort(t))
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	const invalid = "ERROR Invalid config, exiting abnormally (org.apache.zookeeper.server.quorum.QuorumPeerMain)"
	for _, row := range []struct {
		name     string
		settings map[string]string
		status   int
		lines    []string
	}{
		{"port in use", map[string]string{"dataDir": t.TempDir(), "clientPort": port, "clientPortAddress": "127.0.0.1"}, 1,
			[]string{"ERROR Unexpected exception, exiting abnormally (org.apache.zookeeper.server.ZooKeeperServerMain)", "java.net.BindException: Address already in use"}},
		{"directory in use", map[string]string{"dataDir": zk.Dir, "clientPort": free}, 3, []string{"another ZooKeeper server is running on " + zk.Dir}},
		{"a file for a directory", map[string]string{"dataDir": file, "clientPort": free}, 3, []string{"ERROR Unable to access datadir, exiting abnormally", file}},
		{"no directory", map[string]string{"clientPort": free}, 2, []string{invalid, "java.lang.IllegalArgumentException: dataDir is not set"}},
		{"port not a number", map[string]string{"dataDir": t.TempDir(), "clientPort": "abc"}, 2, []string{invalid, `java.lang.NumberFormatException: For input string: "abc"`}},
	} {
		t.Run(row.name, func(t *testing.T) {
			config := filepath.Join(t.TempDir(), "zookeeper.properties")
			properties(t, config, row.settings, nil)
			got := run(t, command{Path: filepath.Join(home(), "bin", "zookeeper-server-start.sh"), Args: []string{config}, Env: []string{"LOG_DIR=" + t.TempDir()}})
			require.Equal(t, row.status, got.Status, got.Stdout)
			requireOrder(t, got.Stdout, row.lines...)
		})
	}
	got := script(t, "", "zookeeper-server-start.sh", filepath.Join(t.TempDir(), "none"))
	require.Equal(t, 2, got.Status)
	require.Equal(t, "Invalid config, exiting abnormally\n", got.Stderr)
}
