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
