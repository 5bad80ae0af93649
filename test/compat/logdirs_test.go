//go:build compat

package compat

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/record"
)

// Records are deleted by our tool and Java's, with the same words; then a
// Java broker finds the log as far as it is left.
func TestDeleteRecordsAsJavaDoes(t *testing.T) {
	zk, dir := zooKeeper(t, gregor, t.TempDir(), 0), t.TempDir()
	b := broker(t, gregor, 0, zk.Address, dir, nil)
	for _, topic := range []string{"one --partitions 7", "two", "kept --config cleanup.policy=compact"} {
		r := script(t, "", "kafka-topics.sh", append([]string{"--bootstrap-server", b.Address, "--create", "--topic"}, strings.Fields(topic)...)...)
		require.Zero(t, r.Status, r.Stderr)
	}
	r := script(t, "a\nb\nc\nd\n", "kafka-console-producer.sh", "--bootstrap-server", b.Address, "--topic", "two")
	require.Zero(t, r.Status, r.Stderr)
	files := map[string]string{
		"empty file":  "",
		"no JSON":     "{",
		"empty list":  `{"partitions":[],"version":1}`,
		"old version": `{"partitions":[],"version":0}`,
		"text":        `"text"`,
		"null":        `{"partitions":null}`,
		"float":       `{"partitions":[{"topic":"two","partition":0,"offset":1.0}]}`,
		"huge":        `{"partitions":[{"topic":"two","partition":0,"offset":99999999999999999999}]}`,
		"no topic":    `{"partitions":[{"partition":0,"offset":1}]}`,
		"twice": `{"partitions":[{"topic":"two","partition":0,"offset":1},{"topic":"one","partition":3,"offset":1},{"topic":"one","partition":1,"offset":1},
			{"topic":"two","partition":0,"offset":2},{"topic":"one","partition":3,"offset":1}]}`,
		"some": `{"partitions":[{"topic":"two","partition":0,"offset":2}]}`,
		"many": `{"version":1,"partitions":[{"topic":"one","partition":0,"offset":0},{"topic":"one","partition":1,"offset":1},{"topic":"one","partition":2,"offset":-1},
			{"topic":"one","partition":3,"offset":-2},{"topic":"one","partition":4,"offset":0},{"topic":"one","partition":99,"offset":0},
			{"topic":"two","partition":0,"offset":3},{"topic":"kept","partition":0,"offset":0},{"topic":"nowhere","partition":0,"offset":0}]}`,
	}
	at := t.TempDir()
	for name, content := range files {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, os.WriteFile(filepath.Join(at, "offsets"), []byte(content), 0o644))
			sameAsJava(t, at, "kafka-delete-records.sh", "kafka.admin.DeleteRecordsCommand", "--bootstrap-server", b.Address, "--offset-json-file", "offsets")
		})
	}
	require.Equal(t, 143, b.stop(), "TERM")
	text, err := os.ReadFile(filepath.Join(dir, "log-start-offset-checkpoint"))
	require.NoError(t, err)
	require.Equal(t, "0\n1\ntwo 0 3\n", string(text))
	b = broker(t, kafka28, 0, zk.Address, dir, nil)
	r = script(t, "", "kafka-console-consumer.sh", "--bootstrap-server", b.Address, "--topic", "two", "--from-beginning", "--max-messages", "1")
	require.Equal(t, "d\n", r.Stdout, r.Stderr)
}

// pairWithDirs starts the two sides, each with three log directories, d1 to d3
// below a directory of its own.
func pairWithDirs(t *testing.T) (sides [2]*side, home map[string]string) {
	home = map[string]string{}
	for i, k := range []kind{gregor, kafka28} {
		zk, base := zooKeeper(t, kafka28, t.TempDir(), 0), t.TempDir()
		home[string(k)] = base
		var dirs []string
		for n := range 3 {
			dirs = append(dirs, fmt.Sprintf("%s/d%d", base, n+1))
		}
		b := broker(t, k, 0, zk.Address, strings.Join(dirs, ","), nil)
		sides[i] = &side{t: t, name: string(k), pid: b.cmd.Process.Pid, address: b.Address, answers: map[string][]string{},
			scrub: strings.NewReplacer(base, "<dir>", zk.Address, "<zookeeper>", b.Address, "<address>")}
		sides[i].ranges = sides[i].versions()
	}
	return sides, home
}

// DeleteRecords, AlterReplicaLogDirs and DescribeLogDirs, in all versions,
// against the original: what is wrong with a request, and how a move looks while
// it is throttled, when it is called off and when it is done.
func TestLogDirRequestsAgainstTheOriginal(t *testing.T) {
	sides, home := pairWithDirs(t)
	hold(t, sides, func(c *conv) {
		registered(c)
		for _, req := range []*kmsg.CreateTopicsRequest{creating("plain", 1), creating("multi", 3), creating("big", 1), creating("kept", 1, "cleanup.policy", "compact")} {
			ask[*kmsg.CreateTopicsResponse](c, "prepare "+req.Topics[0].Topic, 4, req)
		}
		coordinator(c)
		for i := range 5 {
			ask[*kmsg.ProduceResponse](c, fmt.Sprint("prepare ", i), 8, producing("plain", 0, -1, batch(3)))
		}
		for i := range 30 {
			large := batch(1, func(b *record.Builder) { b.Append(stamp, nil, bytes.Repeat([]byte("x"), 100_000)) })
			ask[*kmsg.ProduceResponse](c, fmt.Sprint("prepare big ", i), 8, producing("big", 0, -1, large))
		}
		c.recordDeletions()
		c.moves(home[c.name])
	})
	for _, key := range []int16{21, 34, 35} {
		require.Equal(t, sides[1].ranges[key], sides[0].ranges[key])
	}
	require.Greater(t, len(sides[0].order), 200)
	for _, d := range differences(sides) {
		if acceptedBecause(d) == "" {
			t.Errorf("%s v%s | %s | %s | %s | %s", d.API, strings.Join(d.Versions, ","), d.Case, d.Path, d.Ours, d.Theirs)
		}
	}
}

func (c *conv) recordDeletions() {
	type part = kmsg.DeleteRecordsRequestTopicPartition
	for _, d := range []struct {
		what, topic string
		parts       []part
		timeout     int32
	}{
		{"nothing", "plain", []part{{Offset: 0}}, 1000},
		{"within a batch", "plain", []part{{Offset: 4}}, 1000},
		{"no time", "plain", []part{{Offset: 5}}, 0},
		{"negative time", "plain", []part{{Offset: 6}}, -1},
		{"back", "plain", []part{{Offset: 1}}, 1000},
		{"beyond the end", "plain", []part{{Offset: 99}}, 1000},
		{"negative", "plain", []part{{Offset: -2}}, 1000},
		{"least", "plain", []part{{Offset: math.MinInt64}}, 1000},
		{"several", "multi", []part{{Partition: 2, Offset: 0}, {Partition: 0, Offset: -1}, {Partition: 1, Offset: 1}}, 1000},
		{"twice, the last counts", "plain", []part{{Offset: 99}, {Offset: 7}}, 1000},
		{"unknown topic", "nowhere", []part{{Offset: 0}}, 1000},
		{"unknown partition", "plain", []part{{Partition: 7}, {Partition: -1}}, 1000},
		{"compacted", "kept", []part{{Offset: 0}}, 1000},
		{"internal", "__consumer_offsets", []part{{Offset: 0}}, 1000},
		{"no partitions", "plain", nil, 1000},
		{"all", "plain", []part{{Offset: -1}}, 1000},
	} {
		c.each(d.what, func(int16) kmsg.Request {
			req := kmsg.NewPtrDeleteRecordsRequest()
			req.TimeoutMillis = d.timeout
			req.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: d.topic, Partitions: d.parts}}
			return req
		})
		start := kmsg.NewPtrListOffsetsRequest()
		start.ReplicaID = -1
		start.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: "plain", Partitions: []kmsg.ListOffsetsRequestTopicPartition{{Timestamp: -2, CurrentLeaderEpoch: -1}}}}
		ask[*kmsg.ListOffsetsResponse](c, "start after "+d.what, 5, start)
	}
	c.each("no topics", func(int16) kmsg.Request { return kmsg.NewPtrDeleteRecordsRequest() })
}

func altering(dir, topic string, partitions ...int32) *kmsg.AlterReplicaLogDirsRequest {
	req := kmsg.NewPtrAlterReplicaLogDirsRequest()
	req.Dirs = []kmsg.AlterReplicaLogDirsRequestDir{{Dir: dir, Topics: []kmsg.AlterReplicaLogDirsRequestDirTopic{{Topic: topic, Partitions: partitions}}}}
	return req
}

// settled waits until none of a topic's partitions moves.
func (c *conv) settled(topic string) {
	eventually(c.t, time.Minute, topic+" does not move", func() bool {
		resp, ok := c.send(1, kmsg.NewPtrDescribeLogDirsRequest()).(*kmsg.DescribeLogDirsResponse)
		found := 0
		for _, d := range resp.Dirs {
			for _, t := range d.Topics {
				for _, p := range t.Partitions {
					if t.Topic == topic {
						found++
					}
					ok = ok && (t.Topic != topic || !p.IsFuture)
				}
			}
		}
		return ok && found > 0
	})
}

func (c *conv) moves(home string) {
	for _, m := range []struct {
		what, dir, topic string
		partitions       []int32
	}{
		{"no such directory", home + "/d4", "plain", []int32{0}},
		{"no directory", "", "plain", []int32{0}},
		{"a relative directory", "d1", "plain", []int32{0}},
		{"a slash at the end", home + "/d1/", "plain", []int32{0}},
		{"unknown topic", home + "/d1", "nowhere", []int32{0}},
		{"unknown topic and directory", "/nowhere", "nowhere", []int32{0}},
		{"unknown partitions", home + "/d1", "plain", []int32{7, -1}},
		{"a long name", home + "/d1", strings.Repeat("x", 249), []int32{0}},
		{"the longest name", home + "/d1", strings.Repeat("x", 212), []int32{0}},
		{"a name that is too long by one", home + "/d1", strings.Repeat("x", 214), []int32{0}},
		{"no partitions", home + "/d1", "plain", nil},
	} {
		c.each(m.what, func(int16) kmsg.Request { return altering(m.dir, m.topic, m.partitions...) })
	}
	c.each("nothing", func(int16) kmsg.Request { return kmsg.NewPtrAlterReplicaLogDirsRequest() })
	describe := func(what, topic string) {
		c.each(what, func(int16) kmsg.Request {
			req := kmsg.NewPtrDescribeLogDirsRequest()
			req.Topics = []kmsg.DescribeLogDirsRequestTopic{{Topic: topic, Partitions: []int32{0}}}
			return req
		})
	}
	// Where a partition lies at first is anybody's guess.
	for _, topic := range []string{"plain", "multi", "kept", "big", "__consumer_offsets"} {
		partitions := make([]int32, map[string]int{"multi": 3, "__consumer_offsets": 50}[topic])
		for i := range partitions {
			partitions[i] = int32(i)
		}
		if len(partitions) == 0 {
			partitions = []int32{0}
		}
		for _, dir := range []string{"d2", "d1", "d2", "d3"} {
			ask[*kmsg.AlterReplicaLogDirsResponse](c, topic+" to "+dir, 2, altering(home+"/"+dir, topic, partitions...))
			c.settled(topic)
			describe(topic+" in "+dir, topic)
		}
	}
	// What comes later goes where it was asked to be.
	for i, dir := range []string{"d1", "d2", "d3"} {
		topic := fmt.Sprint("later", i)
		ask[*kmsg.AlterReplicaLogDirsResponse](c, topic+" to "+dir, 1, altering(home+"/"+dir, topic, 0))
		ask[*kmsg.CreateTopicsResponse](c, "create "+topic, 4, creating(topic, 1))
		describe(topic, topic)
	}
	const limited = "replica.alter.log.dirs.io.max.bytes.per.second"
	limit := kmsg.NewPtrIncrementalAlterConfigsRequest()
	limit.Resources = []kmsg.IncrementalAlterConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeBroker, ResourceName: "0",
		Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: limited, Value: kmsg.StringPtr("1")}}}}
	ask[*kmsg.IncrementalAlterConfigsResponse](c, "throttle", 1, limit)
	eventually(c.t, time.Minute, "the throttle", func() bool {
		req := kmsg.NewPtrDescribeConfigsRequest()
		req.Resources = []kmsg.DescribeConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeBroker, ResourceName: "0", ConfigNames: []string{limited}}}
		resp, ok := c.send(1, req).(*kmsg.DescribeConfigsResponse)
		return ok && len(resp.Resources[0].Configs) == 1 && resp.Resources[0].Configs[0].Source == kmsg.ConfigSourceDynamicBrokerConfig
	})
	ask[*kmsg.AlterReplicaLogDirsResponse](c, "throttled", 2, altering(home+"/d1", "big", 0))
	eventually(c.t, time.Minute, "a first step", func() bool {
		resp, _ := c.send(1, kmsg.NewPtrDescribeLogDirsRequest()).(*kmsg.DescribeLogDirsResponse)
		for _, d := range resp.Dirs {
			for _, t := range d.Topics {
				if t.Topic == "big" && t.Partitions[0].IsFuture && t.Partitions[0].Size > 0 {
					return true
				}
			}
		}
		return false
	})
	describe("throttled", "big")
	c.each("throttled, once more", func(int16) kmsg.Request { return altering(home+"/d1", "big", 0) })
	c.each("throttled, called off", func(int16) kmsg.Request { return altering(home+"/d3", "big", 0) })
	describe("called off", "big")
}

// tempDirs are n directories, as paths and as log.dirs has them.
func tempDirs(t *testing.T, n int) (list []string, joined string) {
	for range n {
		list = append(list, t.TempDir())
	}
	return list, strings.Join(list, ",")
}

func TestPythonMovesAndDeletes(t *testing.T) {
	dirs, joined := tempDirs(t, 3)
	zk := zooKeeper(t, gregor, t.TempDir(), 0)
	b := broker(t, gregor, 0, zk.Address, joined, nil)
	requireOK(t, python(t, "current", "logdirs.py", append([]string{b.Address}, dirs...)...))
}

// Java's kafka-reassign-partitions moves a partition between our directories;
// both kafka-log-dirs show a throttled move with the same words; a Java broker
// goes on with the copy where ours stopped, and ours where that one did.
func TestReassignBetweenDirectories(t *testing.T) {
	dirs, joined := tempDirs(t, 3)
	zk := zooKeeper(t, gregor, t.TempDir(), 0)
	port := freePort(t)
	listen := map[string]string{"listeners": fmt.Sprintf("PLAINTEXT://127.0.0.1:%d", port)}
	b := broker(t, gregor, 0, zk.Address, joined, listen)
	r := script(t, "", "kafka-topics.sh", "--bootstrap-server", b.Address, "--create", "--topic", "t", "--config", "segment.bytes=1500000")
	require.Zero(t, r.Status, r.Stderr)
	var lines strings.Builder
	for i := range 30_000 {
		fmt.Fprintf(&lines, "%d %s\n", i, strings.Repeat("z", 100))
	}
	r = script(t, lines.String(), "kafka-console-producer.sh", "--bootstrap-server", b.Address, "--topic", "t")
	require.Zero(t, r.Status, r.Stderr)
	at := func() (dir int) {
		dir = -1
		for i := range dirs {
			if _, err := os.Stat(filepath.Join(dirs[i], "t-0")); err == nil {
				require.Equal(t, -1, dir, "in one directory")
				dir = i
			}
		}
		return dir
	}
	plan := filepath.Join(t.TempDir(), "plan.json")
	reassign := func(args ...string) string {
		t.Helper()
		r := java(t, kafka28, "", "kafka.admin.ReassignPartitionsCommand", append([]string{"--bootstrap-server", b.Address, "--reassignment-json-file", plan}, args...)...)
		require.Zero(t, r.Status, r.Stdout+r.Stderr)
		return r.Stdout
	}
	planTo := func(dir int) {
		text := fmt.Sprintf(`{"version":1,"partitions":[{"topic":"t","partition":0,"replicas":[0],"log_dirs":[%q]}]}`, dirs[dir])
		require.NoError(t, os.WriteFile(plan, []byte(text), 0o644))
	}
	verified := func() {
		t.Helper()
		eventually(t, time.Minute, "the move is verified", func() bool {
			return strings.Contains(reassign("--verify"), "Reassignment of replica t-0-0 completed successfully.")
		})
	}

	from := at()
	to := (from + 1) % 3
	planTo(to)
	out := reassign("--execute")
	require.Contains(t, out, "Successfully started partition reassignment for t-0\nSuccessfully started log directory move for: t-0-0\n")
	verified()
	require.Equal(t, to, at())

	// The tool's own throttle may take effect a moment after the move began.
	r = script(t, "", "kafka-configs.sh", "--bootstrap-server", b.Address, "--alter", "--entity-type", "brokers", "--entity-name", "0",
		"--add-config", "replica.alter.log.dirs.io.max.bytes.per.second=20000")
	require.Zero(t, r.Status, r.Stderr)
	b.await("replica.alter.log.dirs.io.max.bytes.per.second -> 20000")
	b.await("KafkaConfig values:")
	from, to = to, (to+1)%3
	planTo(to)
	out = reassign("--execute", "--replica-alter-log-dirs-throttle", "20000")
	require.Contains(t, out, "The replica-alter-dir throttle limit was set to 20000 B/s\n")
	eventually(t, time.Minute, "a first step", func() bool {
		copies, err := filepath.Glob(filepath.Join(dirs[to], "t-0.*-future", "00000000000000000000.log"))
		require.NoError(t, err)
		if len(copies) == 0 {
			return false
		}
		info, err := os.Stat(copies[0])
		return err == nil && info.Size() > 0
	})
	// The step fills the throttle's windows, so that both find the same.
	sameAsJava(t, "", "kafka-log-dirs.sh", "kafka.admin.LogDirsCommand", "--bootstrap-server", b.Address, "--describe", "--topic-list", "t")
	require.Contains(t, reassign("--verify", "--preserve-throttles"), "Reassignment of replica t-0-0 is still in progress.")
	require.Equal(t, 143, b.stop(), "TERM")
	require.Equal(t, from, at())
	b = broker(t, kafka28, 0, zk.Address, joined, listen)
	require.Contains(t, b.output(), "-future, topic=t, partition=0")
	require.Contains(t, reassign("--verify", "--preserve-throttles"), "Reassignment of replica t-0-0 is still in progress.")
	b.stop()
	b = broker(t, gregor, 0, zk.Address, joined, listen)
	require.Equal(t, from, at())
	r = script(t, "", "kafka-configs.sh", "--bootstrap-server", b.Address, "--alter", "--entity-type", "brokers", "--entity-name", "0",
		"--delete-config", "replica.alter.log.dirs.io.max.bytes.per.second")
	require.Zero(t, r.Status, r.Stderr)
	verified()
	require.Equal(t, to, at())
	r = java(t, kafka28, "", "kafka.tools.ConsoleConsumer", "--bootstrap-server", b.Address, "--topic", "t", "--from-beginning", "--max-messages", "30000")
	require.Equal(t, lines.String(), r.Stdout)
	b.stop()
	logs, err := filepath.Glob(filepath.Join(dirs[to], "t-0", "*.log"))
	require.NoError(t, err)
	dump := java(t, kafka28, "", "kafka.tools.DumpLogSegments", "--files", strings.Join(logs, ","), "--deep-iteration")
	require.Zero(t, dump.Status, dump.Stderr)
	require.NotContains(t, dump.Stdout, "isvalid: false")
}
