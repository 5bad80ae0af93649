//go:build compat

package compat

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// distribution is a copy of what a user unpacks: bin, scripts and config. The
// shipped files keep their settings but for ports and directories, which are
// the test's own.
type distribution struct {
	Home      string
	ZooKeeper string // address
	Broker    string // address
	Data      string // log.dirs
}

func distribute(t *testing.T) distribution {
	t.Helper()
	home := filepath.Join(t.TempDir(), "gregor")
	require.NoError(t, os.CopyFS(filepath.Join(home, "bin"), os.DirFS(filepath.Join(repository(), "bin"))))
	require.NoError(t, os.CopyFS(filepath.Join(home, "scripts"), os.DirFS(filepath.Join(repository(), "scripts"))))
	require.NoError(t, os.CopyFS(filepath.Join(home, "config"), os.DirFS(filepath.Join(repository(), "config"))))
	zk, b := freePort(t), freePort(t)
	d := distribution{home, fmt.Sprintf("localhost:%d", zk), fmt.Sprintf("localhost:%d", b), filepath.Join(home, "data", "kafka-logs")}
	d.edit(t, "zookeeper.properties", "dataDir=/tmp/zookeeper", "dataDir="+filepath.Join(home, "data", "zookeeper"), "clientPort=2181", fmt.Sprintf("clientPort=%d", zk))
	d.edit(t, "server.properties", "log.dirs=/tmp/kafka-logs", "log.dirs="+d.Data, "zookeeper.connect=localhost:2181", "zookeeper.connect="+d.ZooKeeper,
		"#listeners=PLAINTEXT://:9092", fmt.Sprintf("listeners=PLAINTEXT://:%d", b))
	return d
}

// repository is the project's directory without .. in it.
func repository() string {
	path, err := filepath.Abs(home())
	if err != nil {
		panic(err)
	}
	return path
}

// edit replaces lines of a file in config/, in pairs of old and new.
func (d distribution) edit(t *testing.T, name string, pairs ...string) {
	t.Helper()
	path := filepath.Join(d.Home, "config", name)
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	for i := 0; i < len(pairs); i += 2 {
		require.Contains(t, string(text), pairs[i], name)
		text = []byte(strings.ReplaceAll(string(text), pairs[i], pairs[i+1]))
	}
	require.NoError(t, os.WriteFile(path, text, 0o644))
}

// sh runs shell commands in the distribution's directory. They see no process
// but their own, so that the stop scripts, which stop every server of the
// machine, stop those of the test only.
func (d distribution) sh(t *testing.T, commands string) result {
	t.Helper()
	args := []string{"--pid", "--fork", "--mount-proc", "sh", "-c", commands}
	if os.Geteuid() != 0 {
		args = append([]string{"--user", "--map-root-user"}, args...)
	}
	return run(t, command{Path: "unshare", Args: args, Dir: d.Home, Env: []string{"ZOOKEEPER=" + d.ZooKeeper, "BROKER=" + d.Broker}})
}

// await is a shell function: await FILE TEXT.
const await = "await() { until grep -q \"$2\" \"$1\" 2>/dev/null; do sleep 0.02; done; }\n" +
	"gone() { while pgrep gregor >/dev/null; do sleep 0.02; done; }\n"

// requireOrder finds each text in a line behind the one before.
func requireOrder(t *testing.T, output string, texts ...string) {
	t.Helper()
	rest := strings.Split(output, "\n")
next:
	for _, text := range texts {
		for i, line := range rest {
			if strings.Contains(line, text) {
				rest = rest[i+1:]
				continue next
			}
		}
		require.Fail(t, "a line is missing, or stands before its turn", "%s\nin\n%s", text, output)
	}
}

func TestServersInTheBackgroundAndTheirEnd(t *testing.T) {
	d := distribute(t)
	got := d.sh(t, await+`
bin/zookeeper-server-start.sh -daemon config/zookeeper.properties; echo "zookeeper $?"
bin/kafka-server-start.sh -daemon config/server.properties; echo "kafka $?"
await logs/kafkaServer.out 'started (kafka.server.KafkaServer)'
bin/kafka-topics.sh --create --zookeeper $ZOOKEEPER --replication-factor 1 --partitions 1 --topic test
bin/kafka-topics.sh --list --bootstrap-server $BROKER
bin/kafka-server-stop.sh; echo "stop $?"
await logs/kafkaServer.out 'shut down completed (kafka.server.KafkaServer)'
ls -A data/kafka-logs | grep -c '^.kafka_cleanshutdown$'
bin/zookeeper-server-stop.sh; echo "stop $?"
gone
bin/kafka-server-stop.sh; echo "stop $?"
bin/zookeeper-server-stop.sh; echo "stop $?"
bin/kafka-server-start.sh; echo "usage $?"
bin/zookeeper-server-start.sh; echo "usage $?"
LOG_DIR=elsewhere bin/zookeeper-server-start.sh -daemon config/zookeeper.properties; echo "zookeeper $?"
await elsewhere/zookeeper.out 'binding to port'
ls elsewhere
bin/zookeeper-server-stop.sh; gone`)
	require.Equal(t, `zookeeper 0
kafka 0
Created topic test.
test
stop 0
1
stop 0
No kafka server to stop
stop 1
No zookeeper server to stop
stop 1
USAGE: bin/kafka-server-start.sh [-daemon] server.properties [--override property=value]*
usage 1
USAGE: bin/zookeeper-server-start.sh [-daemon] zookeeper.properties
usage 1
zookeeper 0
controller.log
kafka-authorizer.log
kafka-request.log
log-cleaner.log
server.log
state-change.log
zookeeper.out
`, got.Stdout)
	require.Empty(t, got.Stderr)
	require.Zero(t, got.Status)
}

// Images and package managers link the scripts without .sh into a directory
// on the PATH, and users stand anywhere.
func TestScriptsByOtherNamesFromElsewhere(t *testing.T) {
	d := distribute(t)
	got := d.sh(t, await+`
mkdir links && for f in "$PWD"/bin/*.sh; do ln -s "$f" links/$(basename "$f" .sh); done
home=$PWD PATH=$PWD/links:$PATH; cd /
zookeeper-server-start -daemon "$home/config/zookeeper.properties"
kafka-server-start -daemon "$home/config/server.properties"
await "$home/logs/kafkaServer.out" 'started (kafka.server.KafkaServer)'
kafka-topics --bootstrap-server $BROKER --create --topic linked
kafka-topics --zookeeper $ZOOKEEPER --list
cd "$home/links" && ./kafka-topics --version
kafka-server-start
kafka-server-stop; await "$home/logs/kafkaServer.out" 'shut down completed'; zookeeper-server-stop; gone
ls "$home"
mv "$home/bin/gregor" "$home/gregor"
for tool in sh dirname readlink; do ln -s $(PATH=/usr/bin:/bin command -v $tool) "$home/tools-$tool" && mkdir -p "$home/few" && mv "$home/tools-$tool" "$home/few/$tool"; done
PATH=$home/few kafka-topics --version 2>/dev/null; PATH=$home/few "$home/bin/kafka-topics.sh" --version; echo "without Go $?"`)
	require.Equal(t, fmt.Sprintf(`Created topic linked.
linked
2.8.2 (Commit:3146c6ff4a24cc24)
USAGE: %s/links/kafka-server-start [-daemon] server.properties [--override property=value]*
bin
config
data
links
logs
scripts
without Go 1
`, d.Home), got.Stdout)
	require.Equal(t, "bin/gregor is missing, and there is no Go here to build it with: see README.md\n", got.Stderr)
}

func TestLinesOfAZooKeeperStart(t *testing.T) {
	d := distribute(t)
	_, port, _ := strings.Cut(d.ZooKeeper, ":")
	zk := start(t, "zookeeper", command{Path: "bin/zookeeper-server-start.sh", Args: []string{"config/zookeeper.properties"}, Dir: d.Home})
	zk.await("Snapshotting: 0x0 to ")
	dir := filepath.Join(d.Home, "data", "zookeeper", "version-2")
	reading := []string{
		"INFO Reading configuration from: config/zookeeper.properties (org.apache.zookeeper.server.quorum.QuorumPeerConfig)",
		"WARN config/zookeeper.properties is relative. Prepend ./ to indicate that you're sure! (org.apache.zookeeper.server.quorum.QuorumPeerConfig)",
		"INFO clientPortAddress is 0.0.0.0:" + port + " (org.apache.zookeeper.server.quorum.QuorumPeerConfig)",
		"INFO secureClientPort is not set (org.apache.zookeeper.server.quorum.QuorumPeerConfig)",
	}
	requireOrder(t, zk.output(), append(append(reading,
		"WARN Either no config or no quorum defined in config, running  in standalone mode (org.apache.zookeeper.server.quorum.QuorumPeerMain)"), append(reading,
		"INFO Starting server (org.apache.zookeeper.server.ZooKeeperServerMain)",
		"INFO Created server with tickTime 3000 minSessionTimeout 6000 maxSessionTimeout 60000 datadir "+dir+" snapdir "+dir+" (org.apache.zookeeper.server.ZooKeeperServer)",
		"INFO binding to port 0.0.0.0/0.0.0.0:"+port+" (org.apache.zookeeper.server.NIOServerCnxnFactory)",
		"INFO Snapshotting: 0x0 to "+dir+"/snapshot.0 (org.apache.zookeeper.server.persistence.FileTxnSnapLog)")...)...)
	require.FileExists(t, filepath.Join(dir, "snapshot.0"))
	require.NoFileExists(t, filepath.Join(dir, "log.1"))
	require.Zero(t, run(t, command{Path: filepath.Join(d.Home, "bin/zookeeper-shell.sh"), Args: []string{d.ZooKeeper, "create", "/a", "a"}}).Status)
	zk.await("INFO Creating new log file: log.1 (org.apache.zookeeper.server.persistence.FileTxnLog)")
	require.FileExists(t, filepath.Join(dir, "log.1"))
	before := zk.output()
	require.Equal(t, 143, zk.stop())
	require.Equal(t, before, zk.output(), "it ends without a line")
}

func TestLinesOfABrokersLife(t *testing.T) {
	d := distribute(t)
	start(t, "zookeeper", command{Path: "bin/zookeeper-server-start.sh", Args: []string{"config/zookeeper.properties"}, Dir: d.Home}).await("binding to port")
	b := start(t, "broker", command{Path: "bin/kafka-server-start.sh", Args: []string{"config/server.properties"}, Dir: d.Home})
	b.await("started (kafka.server.KafkaServer)")
	_, port, _ := strings.Cut(d.Broker, ":")
	requireOrder(t, b.output(),
		"INFO Registered kafka:type=kafka.Log4jController MBean (kafka.utils.Log4jControllerRegistration$)",
		"INFO Registered signal handlers for TERM, INT, HUP (org.apache.kafka.common.utils.LoggingSignalHandler)",
		"INFO starting (kafka.server.KafkaServer)",
		"INFO Connecting to zookeeper on "+d.ZooKeeper+" (kafka.server.KafkaServer)",
		"INFO [ZooKeeperClient Kafka server] Initializing a new session to "+d.ZooKeeper+". (kafka.zookeeper.ZooKeeperClient)",
		"INFO [ZooKeeperClient Kafka server] Connected. (kafka.zookeeper.ZooKeeperClient)",
		"INFO Feature ZK node at path: /feature does not exist (kafka.server.FinalizedFeatureChangeListener)",
		"INFO Cleared cache (kafka.server.FinalizedFeatureCache)",
		"INFO Cluster ID = ",
		"WARN No meta.properties file under dir "+d.Data+"/meta.properties (kafka.server.BrokerMetadataCheckpoint)",
		"INFO KafkaConfig values: ",
		"\tadvertised.host.name = null",
		"INFO Log directory "+d.Data+" not found, creating it. (kafka.log.LogManager)",
		"INFO Starting log cleanup with a period of 300000 ms. (kafka.log.LogManager)",
		"INFO Starting log flusher with a default period of 9223372036854775807 ms. (kafka.log.LogManager)",
		"INFO Awaiting socket connections on 0.0.0.0:"+port+". (kafka.network.Acceptor)",
		"INFO [ExpirationReaper-0-Produce]: Starting (kafka.server.DelayedOperationPurgatory$ExpiredOperationReaper)",
		"INFO [LogDirFailureHandler]: Starting (kafka.server.ReplicaManager$LogDirFailureHandler)",
		"INFO Creating /brokers/ids/0 (is it secure? false) (kafka.zk.KafkaZkClient)",
		"INFO Stat of the created znode at /brokers/ids/0 is: 25,25,",
		"INFO Registered broker 0 at path /brokers/ids/0 with addresses: PLAINTEXT://",
		"INFO [GroupCoordinator 0]: Starting up. (kafka.coordinator.group.GroupCoordinator)",
		"INFO [GroupCoordinator 0]: Startup complete. (kafka.coordinator.group.GroupCoordinator)",
		"INFO [ProducerId Manager 0]: Acquired new producerId block (brokerId:0,blockStartProducerId:0,blockEndProducerId:999) by writing to Zk with path version 1 (kafka.coordinator.transaction.ProducerIdManager)",
		"INFO [TransactionCoordinator id=0] Starting up. (kafka.coordinator.transaction.TransactionCoordinator)",
		"INFO [TransactionCoordinator id=0] Startup complete. (kafka.coordinator.transaction.TransactionCoordinator)",
		"INFO [/config/changes-event-process-thread]: Starting (kafka.common.ZkNodeChangeNotificationListener$ChangeEventProcessThread)",
		"INFO [SocketServer listenerType=ZK_BROKER, nodeId=0] Started socket server acceptors and processors (kafka.network.SocketServer)",
		"INFO Kafka version: 2.8.2 (org.apache.kafka.common.utils.AppInfoParser)",
		"INFO Kafka commitId: 3146c6ff4a24cc24 (org.apache.kafka.common.utils.AppInfoParser)",
		"INFO Kafka startTimeMs: ",
		"INFO [KafkaServer id=0] started (kafka.server.KafkaServer)")
	for _, once := range []string{
		"INFO Successfully created /controller_epoch with initial epoch 0 (kafka.zk.KafkaZkClient)",
		"INFO Feature ZK node created at path: /feature (kafka.server.FinalizedFeatureChangeListener)",
		"INFO Updated cache from existing <empty> to latest FinalizedFeaturesAndEpoch(features=Features{}, epoch=0). (kafka.server.FinalizedFeatureCache)",
	} {
		require.Equal(t, 1, strings.Count(b.output(), once), once)
	}
	require.Equal(t, 143, b.stop())
	stopped := []string{
		"INFO Terminating process due to signal SIGTERM (org.apache.kafka.common.utils.LoggingSignalHandler)",
		"INFO [KafkaServer id=0] shutting down (kafka.server.KafkaServer)",
		"INFO [KafkaServer id=0] Starting controlled shutdown (kafka.server.KafkaServer)",
		"INFO [KafkaServer id=0] Controlled shutdown succeeded (kafka.server.KafkaServer)",
		"INFO [/config/changes-event-process-thread]: Shutting down (kafka.common.ZkNodeChangeNotificationListener$ChangeEventProcessThread)",
		"INFO [GroupCoordinator 0]: Shutdown complete. (kafka.coordinator.group.GroupCoordinator)",
		"INFO [ReplicaManager broker=0] Shut down completely (kafka.server.ReplicaManager)",
		"INFO Shutdown complete. (kafka.log.LogManager)",
		"INFO [ZooKeeperClient Kafka server] Closed. (kafka.zookeeper.ZooKeeperClient)",
		"INFO App info kafka.server for 0 unregistered (org.apache.kafka.common.utils.AppInfoParser)",
		"INFO [KafkaServer id=0] shut down completed (kafka.server.KafkaServer)",
	}
	requireOrder(t, b.output(), stopped...)
	require.FileExists(t, filepath.Join(d.Data, ".kafka_cleanshutdown"))

	b = start(t, "broker", command{Path: "bin/kafka-server-start.sh", Args: []string{"config/server.properties"}, Dir: d.Home})
	b.await("started (kafka.server.KafkaServer)")
	require.Contains(t, b.output(), "INFO Updated cache from existing <empty> to latest FinalizedFeaturesAndEpoch(features=Features{}, epoch=0). (kafka.server.FinalizedFeatureCache)")
	require.NotContains(t, b.output(), "Feature ZK node")
	require.Equal(t, 130, b.end(syscall.SIGINT))
	stopped[0] = "INFO Terminating process due to signal SIGINT (org.apache.kafka.common.utils.LoggingSignalHandler)"
	requireOrder(t, b.output(), stopped...)
}

// What `make run` does, with its ports changed.
func TestQuickStart(t *testing.T) {
	d := distribute(t)
	quick := command{Path: filepath.Join(d.Home, "bin", "gregor"), Args: []string{"quickstart"}, Dir: d.Home, Env: []string{"GREGOR_HOME=" + d.Home}}
	began := time.Now()
	q := start(t, "quickstart", quick)
	q.await("Ctrl+C stops everything.")
	require.Less(t, time.Since(began), 10*time.Second)
	requireOrder(t, q.output(), "Gregor is ready: broker 0, cluster ", "  ZooKeeper  ", "  listener   PLAINTEXT://", "  data       "+d.Data, "In another terminal:",
		"  bin/kafka-topics.sh --create --topic test --partitions 1 --replication-factor 1 --bootstrap-server "+d.Broker,
		"  bin/kafka-console-producer.sh --topic test --bootstrap-server "+d.Broker,
		"  bin/kafka-console-consumer.sh --topic test --from-beginning --bootstrap-server "+d.Broker)
	bin := func(stdin, name string, args ...string) result {
		return run(t, command{Path: filepath.Join(d.Home, "bin", name), Args: args, Stdin: stdin})
	}
	require.Equal(t, "Created topic test.\n", bin("", "kafka-topics.sh", "--create", "--topic", "test", "--partitions", "1", "--replication-factor", "1", "--bootstrap-server", d.Broker).Stdout)
	require.Zero(t, bin("one\n", "kafka-console-producer.sh", "--topic", "test", "--bootstrap-server", d.Broker).Status)
	require.Equal(t, "one\n", bin("", "kafka-console-consumer.sh", "--topic", "test", "--from-beginning", "--max-messages", "1", "--bootstrap-server", d.Broker).Stdout)

	second := run(t, quick)
	require.Equal(t, 1, second.Status)
	require.Empty(t, second.Stdout)
	require.Contains(t, second.Stderr, "another ZooKeeper server is running on ")
	require.Contains(t, second.Stderr, "bin/kafka-server-stop.sh and bin/zookeeper-server-stop.sh stop what was started from here.")

	elsewhere := distribute(t)
	_, port, _ := strings.Cut(d.ZooKeeper, ":")
	_, another, _ := strings.Cut(elsewhere.ZooKeeper, ":")
	elsewhere.edit(t, "zookeeper.properties", "clientPort="+another, "clientPort="+port)
	taken := run(t, command{Path: filepath.Join(elsewhere.Home, "bin", "gregor"), Args: []string{"quickstart"}, Env: []string{"GREGOR_HOME=" + elsewhere.Home}})
	require.Equal(t, 1, taken.Status)
	require.Contains(t, taken.Stderr, "Something listens on its port already.\nbin/kafka-server-stop.sh")

	require.Equal(t, 130, q.end(syscall.SIGINT))
	require.FileExists(t, filepath.Join(d.Data, ".kafka_cleanshutdown"))
	q = start(t, "quickstart", quick)
	q.await("Ctrl+C stops everything.")
	require.Equal(t, "__consumer_offsets\ntest\n", bin("", "kafka-topics.sh", "--list", "--zookeeper", d.ZooKeeper).Stdout)
	require.Equal(t, 143, q.stop())
}

// Course 000 moves ZooKeeper to 2185; nothing is left at the port before.
func TestAnotherZooKeeperPort(t *testing.T) {
	d := distribute(t)
	before := d.ZooKeeper
	port := freePort(t)
	d.ZooKeeper = fmt.Sprintf("localhost:%d", port)
	_, old, _ := strings.Cut(before, ":")
	d.edit(t, "zookeeper.properties", "clientPort="+old, fmt.Sprintf("clientPort=%d", port))
	d.edit(t, "server.properties", "zookeeper.connect="+before, "zookeeper.connect="+d.ZooKeeper)
	zk := start(t, "zookeeper", command{Path: "bin/zookeeper-server-start.sh", Args: []string{"config/zookeeper.properties"}, Dir: d.Home})
	zk.await(fmt.Sprintf("binding to port 0.0.0.0/0.0.0.0:%d", port))
	b := start(t, "broker", command{Path: "bin/kafka-server-start.sh", Args: []string{"config/server.properties"}, Dir: d.Home})
	b.await("started (kafka.server.KafkaServer)")
	require.Contains(t, b.output(), "Connecting to zookeeper on "+d.ZooKeeper)
	require.Equal(t, "Created topic moved.\n", script(t, "", "kafka-topics.sh", "--create", "--zookeeper", d.ZooKeeper, "--replication-factor", "1", "--partitions", "1", "--topic", "moved").Stdout)
	require.Empty(t, fourLetters(before, "srvr"))
	require.Contains(t, fourLetters(d.ZooKeeper, "srvr"), "Zookeeper version: 3.5.9")
}
