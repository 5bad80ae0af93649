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

// The releases of Apache ZooKeeper that a broker must work with.
var apacheZooKeepers = []string{"3.4.14", "3.5.9", "3.8.4"}

// zooKeeperJars is the directory with the jars of one release, fetched by
// Maven once.
func zooKeeperJars(t testing.TB, version string) string {
	t.Helper()
	dir := filepath.Join(cache(), "zookeeper-"+version)
	complete := filepath.Join(dir, "complete")
	if _, err := os.Stat(complete); err == nil {
		return filepath.Join(dir, "libs")
	}
	require.NoError(t, os.MkdirAll(dir, 0o755))
	var pom strings.Builder
	pom.WriteString("<project><modelVersion>4.0.0</modelVersion><groupId>gregor</groupId><artifactId>compat-zookeeper</artifactId><version>1</version><packaging>pom</packaging><dependencies>")
	artifacts := [][3]string{{"org.apache.zookeeper", "zookeeper", version}}
	if strings.HasPrefix(version, "3.8") { // it asks for these and does not bring them
		artifacts = append(artifacts, [3]string{"io.dropwizard.metrics", "metrics-core", "4.1.12.1"}, [3]string{"org.xerial.snappy", "snappy-java", "1.1.10.5"})
	}
	for _, a := range artifacts {
		fmt.Fprintf(&pom, "<dependency><groupId>%s</groupId><artifactId>%s</artifactId><version>%s</version></dependency>", a[0], a[1], a[2])
	}
	pom.WriteString("</dependencies></project>\n")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "pom.xml"), []byte(pom.String()), 0o644))
	got := run(t, command{Path: "mvn", Args: []string{"-q", "-B", "-f", filepath.Join(dir, "pom.xml"), "dependency:copy-dependencies",
		"-DoutputDirectory=" + filepath.Join(dir, "libs"), "-DincludeScope=runtime"}, Limit: 10 * time.Minute})
	require.Zero(t, got.Status, "Maven: %s%s", got.Stdout, got.Stderr)
	require.NoError(t, os.WriteFile(complete, nil, 0o644))
	return filepath.Join(dir, "libs")
}

// ensembleMember is one server of an ensemble, or the only one.
type ensembleMember struct {
	*process
	address string
}

// startMember starts a server of Apache ZooKeeper from its configuration.
func startMember(t testing.TB, version, config string) *process {
	return start(t, "zookeeper-"+version, command{Path: "java", Args: []string{"-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
		"-Dzookeeper.admin.enableServer=false", "-Dlog4j.configuration=file:" + log4j(t, "INFO", "System.out"),
		"-cp", zooKeeperJars(t, version) + "/*", "org.apache.zookeeper.server.quorum.QuorumPeerMain", config}})
}

// ensemble starts size servers that serve together.
func ensemble(t testing.TB, version string, size int) []*ensembleMember {
	t.Helper()
	var members []*ensembleMember
	var servers strings.Builder
	for i := range size {
		fmt.Fprintf(&servers, "server.%d=127.0.0.1:%d:%d\n", i+1, freePort(t), freePort(t))
	}
	for i := range size {
		dir, port := t.TempDir(), freePort(t)
		m, config := &ensembleMember{address: fmt.Sprintf("127.0.0.1:%d", port)}, filepath.Join(t.TempDir(), "zoo.cfg")
		text := fmt.Sprintf("tickTime=500\ninitLimit=20\nsyncLimit=10\nminSessionTimeout=1000\nmaxSessionTimeout=60000\ndataDir=%s\nclientPort=%d\nmaxClientCnxns=0\n4lw.commands.whitelist=*\n", dir, port)
		if size > 1 {
			text += servers.String()
			require.NoError(t, os.WriteFile(filepath.Join(dir, "myid"), fmt.Appendf(nil, "%d\n", i+1), 0o644))
		}
		require.NoError(t, os.WriteFile(config, []byte(text), 0o644))
		m.process = startMember(t, version, config)
		members = append(members, m)
	}
	for _, m := range members {
		eventually(t, time.Minute, m.address+" serves", func() bool { return mode(m.address) != "" })
	}
	return members
}

// mode is leader, follower or standalone; empty while a server does not serve.
func mode(address string) string {
	for line := range strings.Lines(fourLetters(address, "srvr")) {
		if rest, ok := strings.CutPrefix(line, "Mode: "); ok {
			return strings.TrimSpace(rest)
		}
	}
	return ""
}

// useCluster makes, fills, reads and deletes a topic by both ways.
func useCluster(t testing.TB, zk, b, prefix string) {
	t.Helper()
	tool := func(name string, args ...string) string {
		t.Helper()
		got := script(t, "", name, args...)
		require.Zero(t, got.Status, "%s %v: %s%s", name, args, got.Stdout, got.Stderr)
		return got.Stdout
	}
	one, two := prefix+"-one", prefix+"-two"
	require.Equal(t, "Created topic "+one+".\n", tool("kafka-topics.sh", "--create", "--zookeeper", zk, "--replication-factor", "1", "--partitions", "2", "--topic", one))
	require.Equal(t, "Created topic "+two+".\n", tool("kafka-topics.sh", "--create", "--bootstrap-server", b, "--replication-factor", "1", "--partitions", "2", "--topic", two))
	tool("kafka-configs.sh", "--zookeeper", zk, "--entity-type", "topics", "--entity-name", one, "--alter", "--add-config", "retention.ms=3600000")
	tool("kafka-topics.sh", "--zookeeper", zk, "--alter", "--topic", one, "--partitions", "3")
	for _, topic := range []string{one, two} {
		kcatProduce(t, b, topic, "a\n")
		require.Equal(t, "a\n", kcatConsume(t, b, topic))
	}
	require.Equal(t, `{"version":1,"config":{"retention.ms":"3600000"}}`, lastLine(tool("zookeeper-shell.sh", zk, "get", "/config/topics/"+one)))
	tool("kafka-topics.sh", "--delete", "--zookeeper", zk, "--topic", one)
	tool("kafka-topics.sh", "--delete", "--bootstrap-server", b, "--topic", two)
	eventually(t, 20*time.Second, "the topics are gone", func() bool {
		return !strings.Contains(tool("kafka-topics.sh", "--list", "--zookeeper", zk), prefix)
	})
}

func TestBrokerOnApacheZooKeepers(t *testing.T) {
	for _, version := range apacheZooKeepers {
		t.Run(version, func(t *testing.T) {
			zk := ensemble(t, version, 1)[0]
			require.Equal(t, "standalone", mode(zk.address))
			dir := t.TempDir()
			b := broker(t, gregor, 0, zk.address, dir, nil)
			useCluster(t, zk.address, b.Address, "first")
			b.kill()
			began := time.Now()
			b = broker(t, gregor, 0, zk.address, dir, map[string]string{"listeners": "PLAINTEXT://" + b.Address})
			require.Less(t, time.Since(began), 4*time.Second, "the former session is not waited for")
			useCluster(t, zk.address, b.Address, "killed")
			require.Equal(t, 143, b.stop())
			require.Equal(t, "[]", lastLine(script(t, "", "zookeeper-shell.sh", zk.address, "ls", "/brokers/ids").Stdout))
		})
	}
}

// Three servers, of which the leader is killed while two brokers run.
func TestBrokersOnAnApacheEnsemble(t *testing.T) {
	for _, version := range apacheZooKeepers {
		t.Run(version, func(t *testing.T) {
			members := ensemble(t, version, 3)
			connect := members[0].address + "," + members[1].address + "," + members[2].address + "/kafka/course"
			b := broker(t, gregor, 0, connect, t.TempDir(), nil)
			other := broker(t, gregor, 1, connect, t.TempDir(), nil)
			useCluster(t, connect, b.Address, "first")
			require.Zero(t, script(t, "", "kafka-topics.sh", "--create", "--bootstrap-server", b.Address, "--topic", "load", "--partitions", "2").Status)
			l := startLoad(t, b.Address, "load")
			l.awaitMore(t, 500)
			for _, m := range members {
				if mode(m.address) == "leader" {
					m.kill()
					break
				}
			}
			eventually(t, time.Minute, "another server leads", func() bool {
				for _, m := range members {
					if mode(m.address) == "leader" {
						return true
					}
				}
				return false
			})
			eventually(t, 30*time.Second, "both brokers are there", func() bool {
				return lastLine(script(t, "", "zookeeper-shell.sh", connect, "ls", "/brokers/ids").Stdout) == "[0, 1]"
			})
			useCluster(t, connect, other.Address, "second")
			l.awaitMore(t, 500)
			l.stop()
			l.check(t, b.Address, "load")
			require.Equal(t, 143, b.stop())
			require.Equal(t, 143, other.stop())
		})
	}
}
