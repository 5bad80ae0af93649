//go:build compat

package compat

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/compress"
	"gregor/pkg/record"
)

// accepted are the differences that are known and meant: a regular expression
// over "API case [versions] path" each, with the reason.
var accepted = []struct{ pattern, reason string }{
	{`^ApiVersions .* ApiKeys(\[(2[4-9]|3[018]|39|4[013568]|49|5[0167]|61)\]\.ApiKey)?$`, "APIs that are not served yet are not advertised"},
	{`^(Fetch|ListOffsets) isolation (2|3|-1)`, "an unknown level counts as read_uncommitted; the original fails inside"},
	{`^(Fetch|OffsetCommit|OffsetFetch) .*(twice|another session)`, "what a request names twice is answered twice; the original keeps one of the two"},
	{`^(Produce|OffsetCommit|OffsetFetch) .*no partitions`, "a topic without partitions is answered as such; the original leaves it out"},
	{`^IncrementalAlterConfigs twice`, "each is answered; the original keeps one of the two"},
	{`^Produce codec [57] .*LogStartOffset$`, "beside the code"},
	{`Documentation$`, "texts of our own"},
	{`^DescribeConfigs .*\[(process.roles|node.id|initial.broker.registration.timeout.ms|broker.(heartbeat.interval|session.timeout).ms|metadata.log.dir|controller.(listener.names|quorum.+)|sasl.mechanism.controller.protocol)\]`, "keys of a mode without ZooKeeper"},
	{`^DescribeConfigs .* Resources\[BROKER,0\]\.Configs$`, "the number of keys, for the same reason"},
	{`^DescribeConfigs .* Resources\[BROKER_LOGGER,0\].*Value$`, "the two run with different log4j files"},
	{`^(JoinGroup|SyncGroup) .* Protocol$`, "a tie between protocols goes to either"},
	{`^Produce .*time too (old|new) .*ErrorMessage$`, "names the clock"},
	{`^ListOffsets max offsets -1`, "counts as none; the original fails inside"},
	{`^LeaderAndISR not a replica`, "the original answers the second such request by what the first left behind"},
}

// TestProtocolAgainstTheOriginal holds every API, in every version that both
// sides serve, against Apache Kafka 2.8.2, with good and with bad arguments.
func TestProtocolAgainstTheOriginal(t *testing.T) {
	sides := pair(t, map[string]string{"log.message.timestamp.type": "CreateTime", "offsets.topic.num.partitions": "3"})
	began := time.Now()
	hold(t, sides, prepare)
	for _, part := range []struct {
		name   string
		script func(*conv)
	}{{"handshake", handshakeScript}, {"topics", topicsScript}, {"configs", configsScript}, {"produce", produceScript}, {"fetch", fetchScript},
		{"offsets", offsetsScript}, {"metadata", metadataScript}, {"groups", groupScript}, {"commits", offsetCommitScript}, {"producer ids", producerScript}, {"control", controlScript}} {
		hold(t, sides, part.script)
		t.Logf("%s: through", part.name)
	}
	t.Logf("%d answers of each side in %s", len(sides[0].order), time.Since(began).Round(time.Millisecond))
	require.Greater(t, len(sides[0].order), 1000)

	var table strings.Builder
	unexpected := 0
	for _, d := range differences(sides) {
		if acceptedBecause(d) == "" {
			unexpected++
			fmt.Fprintf(&table, "%s v%s | %s | %s | %s | %s\n", d.API, strings.Join(d.Versions, ","), d.Case, shorten(d.Path), shorten(d.Ours), shorten(d.Theirs))
		}
	}
	if unexpected > 0 {
		t.Errorf("%d differences (ours, then the original's):\n%s", unexpected, &table)
	}
}

func acceptedBecause(d difference) string {
	text := fmt.Sprintf("%s %s [%s] %s", d.API, d.Case, strings.Join(d.Versions, ","), strings.ReplaceAll(d.Path, "·", "."))
	if d.Theirs == "-1" && strings.HasSuffix(d.Path, "ErrorCode") && d.Ours != "0" && d.Ours != "(absent)" || d.Theirs == "null" && strings.HasSuffix(d.Path, "ErrorMessage") {
		return "we say what is wrong where the original only says UNKNOWN_SERVER_ERROR"
	}
	for _, a := range accepted {
		if regexp.MustCompile(a.pattern).MatchString(text) {
			return a.reason
		}
	}
	return ""
}

// shorten makes a text fit a line of the table.
func shorten(s string) string {
	s = strings.Trim(strconv.QuoteToASCII(s), `"`)
	if len(s) > 240 {
		return s[:160] + "..." + s[len(s)-60:]
	}
	return s
}

// stamp is the time of the first record of every batch that scripts produce.
const stamp = int64(1600000000000)

// batch is a plain batch with n records; make changes it before it is built.
func batch(n int, change ...func(*record.Builder)) record.Batch {
	b := record.NewBuilder(compress.None)
	for _, f := range change {
		f(b)
	}
	for i := range n {
		b.Append(stamp+int64(i), []byte(fmt.Sprintf("k%d", i)), []byte(fmt.Sprintf("value-%d", i)))
	}
	return b.MustBuild()
}

func producing(topic string, partition int32, acks int16, records []byte) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = acks, 5000
	rt, rp := kmsg.NewProduceRequestTopic(), kmsg.NewProduceRequestTopicPartition()
	rp.Partition, rp.Records = partition, records
	rt.Topic, rt.Partitions = topic, append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	return req
}

// creating is a request that creates a topic with its partitions on broker 0.
func creating(topic string, partitions int32, configs ...string) *kmsg.CreateTopicsRequest {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = 10000
	rt := kmsg.NewCreateTopicsRequestTopic()
	rt.Topic, rt.NumPartitions, rt.ReplicationFactor = topic, partitions, 1
	for i := 0; i < len(configs); i += 2 {
		rt.Configs = append(rt.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: configs[i], Value: &configs[i+1]})
	}
	req.Topics = append(req.Topics, rt)
	return req
}

// prepare brings a side to the state that the scripts start from.
func prepare(c *conv) {
	registered(c)
	for _, req := range []*kmsg.CreateTopicsRequest{creating("plain", 1), creating("multi", 3), creating("written", 1),
		creating("compacted", 1, "cleanup.policy", "compact"), creating("stamped", 1, "message.timestamp.type", "LogAppendTime"),
		creating("strict", 1, "min.insync.replicas", "2"), creating("narrow", 1, "max.message.bytes", "200"),
		creating("timely", 1, "message.timestamp.difference.max.ms", "3600000"), creating("zipped", 1, "compression.type", "gzip"),
		creating("zstd", 1, "compression.type", "zstd"), creating("small", 1, "segment.bytes", "200")} {
		ask[*kmsg.CreateTopicsResponse](c, "prepare "+req.Topics[0].Topic, 4, req)
	}
	for i := range 5 {
		ask[*kmsg.ProduceResponse](c, fmt.Sprint("prepare ", i), 8, producing("plain", 0, -1, batch(3)))
		ask[*kmsg.ProduceResponse](c, fmt.Sprint("prepare small ", i), 8, producing("small", 0, -1, batch(3)))
	}
	coordinator(c)
}

// registered waits until the broker knows of itself.
func registered(c *conv) {
	eventually(c.t, time.Minute, "the broker in its own metadata", func() bool {
		resp, ok := c.send(1, &kmsg.MetadataRequest{Topics: []kmsg.MetadataRequestTopic{}}).(*kmsg.MetadataResponse)
		return ok && len(resp.Brokers) == 1 && resp.ControllerID == 0
	})
}

// coordinator waits until groups can be used.
func coordinator(c *conv) {
	eventually(c.t, time.Minute, "a coordinator", func() bool {
		req := kmsg.NewPtrFindCoordinatorRequest()
		req.CoordinatorKey = "any"
		resp, ok := c.send(1, req).(*kmsg.FindCoordinatorResponse)
		return ok && resp.ErrorCode == 0
	})
	for _, group := range []string{"a", "b", "c", "d"} {
		eventually(c.t, time.Minute, "a loaded coordinator", func() bool {
			req := kmsg.NewPtrDescribeGroupsRequest()
			req.Groups = []string{group}
			resp, ok := c.send(0, req).(*kmsg.DescribeGroupsResponse)
			return ok && resp.Groups[0].ErrorCode == 0
		})
	}
}
