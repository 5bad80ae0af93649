//go:build compat

package compat

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// three starts three brokers as course 000 has them, with the old keys.
func three(t *testing.T, zk string) (brokers []*server, settings []map[string]string, dirs []string) {
	t.Helper()
	for id := range 3 {
		port, dir := freePort(t), t.TempDir()
		s := map[string]string{"listeners": fmt.Sprintf("PLAINTEXT://127.0.0.1:%d", port)}
		brokers = append(brokers, broker(t, gregor, id, zk, dir, s))
		settings, dirs = append(settings, s), append(dirs, dir)
	}
	return brokers, settings, dirs
}

func describe(t testing.TB, b *server, topic string) string {
	t.Helper()
	return script(t, "", "kafka-topics.sh", "--describe", "--bootstrap-server", b.Address, "--topic", topic).Stdout
}

func TestSeveralBrokersOnOneMachine(t *testing.T) {
	zk := zooKeeper(t, gregor, t.TempDir(), 0)
	brokers, settings, dirs := three(t, zk.Address)
	shell := func(args ...string) string {
		return lastLine(script(t, "", "zookeeper-shell.sh", append([]string{zk.Address}, args...)...).Stdout)
	}
	require.Equal(t, "[0, 1, 2]", shell("ls", "/brokers/ids"))
	require.Equal(t, "Created topic spread.\n", script(t, "", "kafka-topics.sh", "--create", "--zookeeper", zk.Address, "--replication-factor", "1", "--partitions", "6", "--topic", "spread").Stdout)
	leaders := map[string]int{}
	eventually(t, 10*time.Second, "all partitions are led", func() bool {
		clear(leaders)
		for _, m := range regexp.MustCompile(`Leader: (\d)`).FindAllStringSubmatch(describe(t, brokers[2], "spread"), -1) {
			leaders[m[1]]++
		}
		return len(leaders) == 3
	})
	require.Equal(t, map[string]int{"0": 2, "1": 2, "2": 2}, leaders)
	for _, dir := range dirs {
		found, err := filepath.Glob(filepath.Join(dir, "spread-*"))
		require.NoError(t, err)
		require.Len(t, found, 2, "a broker has its own partitions and no others")
	}
	too := script(t, "", "kafka-topics.sh", "--zookeeper", zk.Address, "--create", "--replication-factor", "4", "--partitions", "1", "--topic", "four")
	require.Equal(t, 1, too.Status)
	require.Equal(t, "Error while executing topic command : Replication factor: 4 larger than available brokers: 3.\n", too.Stdout)

	input := lines(1000, "line %d")
	kcatProduce(t, brokers[0].Address, "spread", input)

	// A broker that is killed and comes back at once takes its own node over.
	brokers[1].kill()
	began := time.Now()
	brokers[1] = broker(t, gregor, 1, zk.Address, dirs[1], settings[1])
	require.Less(t, time.Since(began), 4*time.Second)
	eventually(t, 10*time.Second, "its partitions are led by it", func() bool {
		return strings.Count(describe(t, brokers[0], "spread"), "Leader: 1") == 2
	})
	require.Equal(t, sorted(input), sorted(kcatConsume(t, brokers[2].Address, "spread")))

	// The controller is killed: another takes over when its session ends, and
	// its partitions have no leader until it is back.
	controller := regexp.MustCompile(`"brokerid":(\d)`).FindStringSubmatch(shell("get", "/controller"))[1]
	epoch := shell("get", "/controller_epoch")
	dead := int(controller[0] - '0')
	brokers[dead].kill()
	living := brokers[(dead+1)%3]
	eventually(t, 20*time.Second, "another controller", func() bool {
		text := shell("get", "/controller")
		return strings.HasPrefix(text, "{") && !strings.Contains(text, `"brokerid":`+controller)
	})
	require.NotEqual(t, epoch, shell("get", "/controller_epoch"))
	eventually(t, 10*time.Second, "the dead broker's partitions are offline", func() bool {
		return strings.Count(describe(t, living, "spread"), "\tLeader: none\tReplicas: "+controller+"\tIsr: "+controller) == 2
	})
	unavailable := script(t, "", "kafka-topics.sh", "--describe", "--bootstrap-server", living.Address, "--unavailable-partitions").Stdout
	require.Equal(t, 2, strings.Count(unavailable, "Topic: spread"), unavailable)
	require.Equal(t, "Created topic meanwhile.\n", script(t, "", "kafka-topics.sh", "--create", "--bootstrap-server", living.Address, "--partitions", "2", "--topic", "meanwhile").Stdout)
	brokers[dead] = broker(t, gregor, dead, zk.Address, dirs[dead], settings[dead])
	eventually(t, 10*time.Second, "they are led again", func() bool {
		return strings.Count(describe(t, living, "spread"), "Leader: "+controller) == 2
	})
	require.Equal(t, sorted(input), sorted(kcatConsume(t, living.Address, "spread")))
	for _, b := range brokers {
		require.Equal(t, 143, b.stop())
	}
}

func sorted(text string) map[string]int {
	count := map[string]int{}
	for line := range strings.Lines(text) {
		count[line]++
	}
	return count
}

func TestOldKeysAndGeneratedIDs(t *testing.T) {
	zk := zooKeeper(t, gregor, t.TempDir(), 0)
	for want := 1001; want <= 1002; want++ {
		port, dir := freePort(t), t.TempDir()
		config := filepath.Join(t.TempDir(), "server.properties")
		properties(t, config, map[string]string{"broker.id": "-1", "port": fmt.Sprint(port), "host.name": "127.0.0.1", "log.dir": dir, "zookeeper.connect": zk.Address}, nil)
		for range 2 { // the number is kept
			b := start(t, "generated", command{Path: filepath.Join(home(), "bin", "kafka-server-start.sh"), Args: []string{config}, Env: []string{"LOG_DIR=" + t.TempDir()}})
			b.await(fmt.Sprintf("INFO [KafkaServer id=%d] started (kafka.server.KafkaServer)", want))
			require.Contains(t, b.output(), fmt.Sprintf("Awaiting socket connections on 127.0.0.1:%d.", port))
			meta, err := os.ReadFile(filepath.Join(dir, "meta.properties"))
			require.NoError(t, err)
			require.Regexp(t, fmt.Sprintf(`^#\n#\w{3} \w{3} \d\d \d\d:\d\d:\d\d \w+ \d{4}\nbroker\.id=%d\nversion=0\ncluster\.id=[\w-]{22}\n$`, want), string(meta))
			require.Equal(t, 143, b.stop())
		}
	}
}

// rmr of a topic under a running broker: the controller forgets it, the
// brokers keep it, and the directory stays.
func TestTopicRemovedByHandUnderARunningBroker(t *testing.T) {
	zk := zooKeeper(t, gregor, t.TempDir(), 0)
	logs := t.TempDir()
	dir := t.TempDir()
	config := filepath.Join(t.TempDir(), "server.properties")
	address := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	properties(t, config, map[string]string{"broker.id": "0", "listeners": "PLAINTEXT://" + address, "log.dirs": dir, "zookeeper.connect": zk.Address}, nil)
	server := command{Path: filepath.Join(home(), "bin", "kafka-server-start.sh"), Args: []string{config}, Env: []string{"LOG_DIR=" + logs}}
	b := start(t, "broker", server)
	b.await("started (kafka.server.KafkaServer)")
	require.Zero(t, script(t, "", "kafka-topics.sh", "--create", "--bootstrap-server", address, "--topic", "live").Status)
	kcatProduce(t, address, "live", "one\n")
	got := script(t, "", "zookeeper-shell.sh", zk.Address, "rmr", "/brokers/topics/live")
	require.Zero(t, got.Status)
	require.Equal(t, "The command 'rmr' has been deprecated. Please use 'deleteall' instead.\n", got.Stderr)
	eventually(t, 10*time.Second, "the controller notices", func() bool {
		text, err := os.ReadFile(filepath.Join(logs, "controller.log"))
		return err == nil && strings.Contains(string(text), "New topics: [Set()], deleted topics: [HashSet(live)]")
	})
	require.Empty(t, script(t, "", "kafka-topics.sh", "--list", "--zookeeper", zk.Address).Stdout)
	require.Equal(t, "live\n", script(t, "", "kafka-topics.sh", "--list", "--bootstrap-server", address).Stdout)
	require.DirExists(t, filepath.Join(dir, "live-0"))
	require.Equal(t, 143, b.stop())
	b = start(t, "broker", server)
	b.await("started (kafka.server.KafkaServer)")
	require.Equal(t, "\n", script(t, "", "kafka-topics.sh", "--list", "--bootstrap-server", address).Stdout)
	require.DirExists(t, filepath.Join(dir, "live-0"), "what no topic claims is kept")
}

// Files on disk, as section 7 of the courses shows them.
func TestFilesOnDisk(t *testing.T) {
	zk := zooKeeper(t, gregor, t.TempDir(), 0)
	dir := t.TempDir()
	settings := map[string]string{"replica.high.watermark.checkpoint.interval.ms": "200", "listeners": fmt.Sprintf("PLAINTEXT://127.0.0.1:%d", freePort(t))}
	b := broker(t, gregor, 0, zk.Address, dir, settings)
	require.Zero(t, script(t, "", "kafka-topics.sh", "--create", "--bootstrap-server", b.Address, "--topic", "test").Status)
	read := func(name string) string {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		return string(text)
	}
	names := func(of string) (names []string) {
		t.Helper()
		entries, err := os.ReadDir(filepath.Join(dir, of))
		require.NoError(t, err)
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return names
	}
	require.Subset(t, names("."), []string{".lock", "cleaner-offset-checkpoint", "log-start-offset-checkpoint", "meta.properties", "recovery-point-offset-checkpoint", "replication-offset-checkpoint", "test-0"})
	require.Equal(t, "0\n1\n0 0\n", read("test-0/leader-epoch-checkpoint"), "the leader has entered its epoch before anything was written")
	kcatProduce(t, b.Address, "test", "hello I am producer\nthis is the second msg\n")
	kcatProduce(t, b.Address, "test", "late\n")
	eventually(t, 10*time.Second, "the high watermark is kept", func() bool { return read("replication-offset-checkpoint") == "0\n1\ntest 0 3\n" })
	require.Equal(t, "0\n1\n0 0\n", read("test-0/leader-epoch-checkpoint"))
	size := func(name string) int64 {
		info, err := os.Stat(filepath.Join(dir, name))
		require.NoError(t, err)
		return info.Size()
	}
	require.EqualValues(t, 10485760, size("test-0/00000000000000000000.index"))
	require.EqualValues(t, 10485756, size("test-0/00000000000000000000.timeindex"))
	require.EqualValues(t, 188, size("test-0/00000000000000000000.log"))
	require.Equal(t, 143, b.stop())
	require.EqualValues(t, 0, size("test-0/00000000000000000000.index"), "a clean stop cuts the indexes to what they hold")
	require.Contains(t, names("test-0"), "00000000000000000003.snapshot")
	require.EqualValues(t, 10, size("test-0/00000000000000000003.snapshot"))
	require.Contains(t, names("."), ".kafka_cleanshutdown")
}

// What each script says to no arguments, --help and --version, by status and
// first line; the helps themselves are our own words.
func TestFirstAnswersOfEveryScript(t *testing.T) {
	const version = "2.8.2 (Commit:3146c6ff4a24cc24)"
	for name, want := range map[string][3]string{ // none, --help, --version
		"kafka-topics.sh":              {"1 Create, delete, describe, or change a topic.", "1 This tool helps to create, delete, describe, or change a topic.", "0 " + version},
		"kafka-configs.sh":             {"1 This tool helps to manipulate and describe entity config for a topic, client, user, broker or ip", "1 This tool helps to manipulate and describe entity config for a topic, client, user, broker or ip", "0 " + version},
		"kafka-console-consumer.sh":    {"1 This tool helps to read data from Kafka topics and outputs it to standard output.", "1 This tool helps to read data from Kafka topics and outputs it to standard output.", "0 " + version},
		"kafka-console-producer.sh":    {"1 Missing required option(s) [bootstrap-server]", "1 This tool helps to read data from standard input and publish it to Kafka.", "0 " + version},
		"kafka-consumer-groups.sh":     {`1 Missing required argument "[bootstrap-server]"`, `1 Missing required argument "[bootstrap-server]"`, `1 Missing required argument "[bootstrap-server]"`},
		"kafka-broker-api-versions.sh": {"1 This tool helps to retrieve broker version information.", "1 This tool helps to retrieve broker version information.", "0 " + version},
		"kafka-run-class.sh":           {"1 USAGE: bin/kafka-run-class.sh [-daemon] [-name servicename] [-loggc] classname [opts]", "1 Error: Could not find or load main class --help", "1 Error: Could not find or load main class --version"},
		"kafka-server-start.sh":        {"1 USAGE: bin/kafka-server-start.sh [-daemon] server.properties [--override property=value]*", "1 USAGE: java [options] kafka.Kafka server.properties [--override property=value]*", "0 " + version},
		"zookeeper-server-start.sh":    {"1 USAGE: bin/zookeeper-server-start.sh [-daemon] zookeeper.properties", "2 Invalid config, exiting abnormally", "2 Invalid config, exiting abnormally"},
	} {
		for i, args := range [][]string{nil, {"--help"}, {"--version"}} {
			got := run(t, command{Path: "bin/" + name, Args: args, Dir: home(), Env: []string{"LOG_DIR=" + t.TempDir()}})
			first := ""
			for line := range strings.Lines(got.Stdout + got.Stderr) {
				if !strings.HasPrefix(line, "[20") && !strings.HasPrefix(line, "org.") && !strings.HasPrefix(line, "Caused by") { // log lines and exceptions
					first = strings.TrimSpace(line)
					break
				}
			}
			require.Equal(t, want[i], fmt.Sprintf("%d %s", got.Status, first), "%s %v", name, args)
		}
	}
	scripts, err := filepath.Glob(filepath.Join(home(), "bin", "*.sh"))
	require.NoError(t, err)
	for _, path := range scripts {
		if strings.HasSuffix(path, "-stop.sh") {
			continue // they would stop every server of this machine
		}
		got := run(t, command{Path: path, Args: []string{"--help"}, Env: []string{"LOG_DIR=" + t.TempDir()}, Limit: 20 * time.Second})
		require.NotContains(t, got.Stderr, "there is no command", path)
	}
}
