//go:build compat

package compat

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/compress"
	"gregor/pkg/record"
)

// formatTopic is a topic of the comparison with what its settings do to the
// bytes: compressors differ, and so does the clock.
type formatTopic struct {
	name        string
	configs     []string
	compression string // compression.type
	appendTime  bool
	magic       int8
	pure        bool // nothing that must be compressed again is sent
}

// rewritten reports whether the broker itself compresses in the topic.
func (f formatTopic) rewritten() bool { return f.compression != "uncompressed" && !f.pure }

func formatTopics() (topics []formatTopic) {
	for magic, version := range []string{"0.9.0", "0.10.2", "2.8"} {
		for _, compression := range []string{"producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"} {
			for _, kind := range []string{"CreateTime", "LogAppendTime"} {
				if kind == "LogAppendTime" && compression != "producer" && compression != "lz4" {
					continue
				}
				name := fmt.Sprintf("f%d-%s-%s", magic, compression, kind)
				topics = append(topics, formatTopic{name, []string{"message.format.version", version, "message.timestamp.type", kind, "compression.type", compression,
					"segment.bytes", "40000", "index.interval.bytes", "500", "max.message.bytes", "20000", "retention.ms", "-1"}, compression, kind == "LogAppendTime", int8(magic), false})
			}
		}
		topics = append(topics, formatTopic{fmt.Sprintf("pure%d", magic), []string{"message.format.version", version, "segment.bytes", "20000", "index.interval.bytes", "300",
			"retention.ms", "-1"}, "producer", false, int8(magic), true})
	}
	return append(topics,
		formatTopic{"compacting", []string{"message.format.version", "0.10.0", "cleanup.policy", "compact", "retention.ms", "-1"}, "producer", false, 1, false},
		formatTopic{"timely", []string{"message.format.version", "0.10.0", "message.timestamp.difference.max.ms", "1000", "retention.ms", "-1"}, "producer", false, 1, false},
		formatTopic{"changing", []string{"retention.ms", "-1", "index.interval.bytes", "500"}, "producer", false, 2, false})
}

// formatRequest is one produce request of the script.
type formatRequest struct {
	version int16
	topic   string
	records []byte
	what    string
}

// odds are what is odd about a set.
var odds = []string{"wrong crc", "cut", "trailing", "time bit", "mixed", "twice", "sparse", "no time", "codec", "nested", "headers", "producer", "huge", "inner crc", "null wrapper"}

// randomSet is a set of records in a format, often with something odd.
func randomSet(r *rand.Rand, topic formatTopic) (magic int8, set []byte, what string) {
	magic = int8(r.IntN(3))
	codec := compress.Codec(r.IntN(4 + int(magic)/2))
	count := 1 + r.IntN(20)
	odd := ""
	if r.IntN(3) == 0 {
		odd = odds[r.IntN(len(odds))]
	}
	if topic.pure && (magic != topic.magic || magic == 0 || odd == "sparse" || odd == "mixed") {
		codec = compress.None
	}
	if topic.pure && odd == "mixed" {
		odd = ""
	}
	if magic == record.Magic {
		set = randomBatch(r, codec, count, odd)
	} else {
		set = randomMessages(r, magic, codec, count, odd)
	}
	switch odd {
	case "wrong crc":
		set[len(set)-1] ^= 1
	case "cut":
		set = set[:len(set)-1-r.IntN(min(20, len(set)-1))]
	case "trailing":
		set = append(set, make([]byte, r.IntN(12))...)
	case "mixed":
		_, more, _ := randomSet(r, topic)
		set = append(set, more...)
	case "twice":
		set = append(set, bytes.Clone(set)...)
	}
	return magic, set, fmt.Sprintf("magic %d %s x%d %s", magic, codec, count, odd)
}

func randomField(r *rand.Rand, most int) []byte {
	switch r.IntN(6) {
	case 0:
		return nil
	case 1:
		return []byte{}
	}
	return bytes.Repeat([]byte(fmt.Sprintf("%08x", r.Uint32())), 1+r.IntN(1+most/8))
}

const formatTime = int64(1600000000000)

func randomBatch(r *rand.Rand, codec compress.Codec, count int, odd string) []byte {
	b := record.NewBuilder(codec)
	switch odd {
	case "producer":
		b.ProducerID, b.ProducerEpoch, b.BaseSequence = int64(r.IntN(1<<30)), 0, 0
	case "time bit":
		b.SetLogAppendTime(formatTime)
	}
	for i := range count {
		timestamp := formatTime + int64(i*10+r.IntN(30))
		if odd == "no time" {
			timestamp = -1
		}
		var headers []record.Header
		if odd == "headers" {
			headers = []record.Header{{Key: []byte("h"), Value: []byte("v")}}
		}
		size := 200
		if odd == "huge" {
			size = 3000
		}
		key, value := randomField(r, 20), randomField(r, size)
		delta := int32(i)
		if odd == "sparse" && codec != compress.None {
			delta += int32(i)
		}
		b.AppendAt(delta, timestamp, key, value, headers...)
	}
	batch := slices.Clone(b.MustBuild())
	if odd == "sparse" && codec != compress.None {
		batch = changed(batch, 23, binary.BigEndian.AppendUint32(nil, uint32(count-1))...)
	}
	if odd == "codec" {
		batch = changed(batch, 22, byte(5+r.IntN(3)))
	}
	return batch
}

func randomMessages(r *rand.Rand, magic int8, codec compress.Codec, count int, odd string) []byte {
	inner := record.NewOldBuilder(magic, compress.None)
	if odd == "time bit" {
		inner.SetLogAppendTime(formatTime)
	}
	maxTime := int64(-1)
	for i := range count {
		timestamp, offset := formatTime+int64(i*10+r.IntN(30)), int64(i)
		switch odd {
		case "no time":
			timestamp = -1
		case "sparse":
			offset = int64(i * (1 + r.IntN(2)))
		}
		size := 200
		if odd == "huge" {
			size = 3000
		}
		maxTime = max(maxTime, timestamp)
		inner.Append(offset, timestamp, randomField(r, 20), randomField(r, size))
	}
	set, err := inner.Build()
	if err != nil {
		panic(err)
	}
	set = slices.Clone(set)
	if codec == compress.None {
		return set
	}
	if odd == "nested" {
		set = wrapped(magic, compress.Gzip, 0, maxTime, set)
	}
	if odd == "inner crc" {
		set[13] ^= 1
	}
	last := []int64{0, int64(count - 1)}[r.IntN(2)]
	m := wrapped(magic, codec, last, maxTime, set)
	switch {
	case odd == "codec":
		m = oldChanged(m, 17, byte(4+r.IntN(4)))
	case odd == "time bit" && magic == 1:
		m = oldChanged(m, 17, byte(codec)|8)
	case odd == "null wrapper":
		null := record.NewOldBuilder(magic, compress.None).Append(last, maxTime, nil, nil)
		set, err := null.Build()
		if err != nil {
			panic(err)
		}
		m = oldChanged(slices.Clone(set), 17, byte(codec))
	}
	return m
}

// wrapped is a message that wraps a set.
func wrapped(magic int8, codec compress.Codec, offset, timestamp int64, set []byte) []byte {
	packed, err := compress.Compress(codec, nil, set)
	if err != nil {
		panic(err)
	}
	if magic == 0 && codec == compress.LZ4 {
		compress.WrongLZ4Header(packed)
	}
	m, err := record.NewOldBuilder(magic, compress.None).Append(offset, timestamp, nil, packed).Build()
	if err != nil {
		panic(err)
	}
	return oldChanged(slices.Clone(m), 17, byte(codec))
}

// oldChanged sets a byte and makes the checksum right.
func oldChanged(m []byte, at int, value byte) []byte {
	m[at] = value
	binary.BigEndian.PutUint32(m[12:], crc32.ChecksumIEEE(m[16:]))
	return m
}

// formatSides are the two brokers with what it takes to stop them.
type formatSides struct {
	sides   [2]*side
	servers [2]*server
}

func formatPair(t *testing.T, changes map[string]string) *formatSides {
	f := &formatSides{}
	var wg sync.WaitGroup
	for i, k := range []kind{gregor, kafka28} {
		zkDir, logDir := t.TempDir(), t.TempDir()
		wg.Add(1)
		go func() {
			defer wg.Done()
			zk := zooKeeper(t, k, zkDir, 0)
			b := broker(t, k, 0, zk.Address, logDir, changes)
			_, port, err := net.SplitHostPort(b.Address)
			if err != nil {
				panic(err) // an address of ours
			}
			f.servers[i] = b
			f.sides[i] = &side{t: t, name: string(k), pid: b.cmd.Process.Pid, address: b.Address, answers: map[string][]string{},
				scrub: strings.NewReplacer(logDir, "<dir>", b.Address, "<address>", port, "<port>")}
			f.sides[i].ranges = f.sides[i].versions()
		}()
	}
	wg.Wait()
	require.NotNil(t, f.sides[0], "our side did not start")
	require.NotNil(t, f.sides[1], "the original did not start")
	return f
}

// TestFormatsAgainstTheOriginal sends the same random produce requests, of all
// formats and codecs, sound and odd, to topics of all formats, and compares
// answers, what every version of Fetch and ListOffsets gives, and the files.
func TestFormatsAgainstTheOriginal(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("GREGOR_COMPAT_SEED"); text != "" {
		_, err := fmt.Sscan(text, &seed)
		require.NoError(t, err)
	}
	t.Logf("GREGOR_COMPAT_SEED=%d", seed)
	f := formatPair(t, nil)
	topics := formatTopics()
	requests := formatRequests(rand.New(rand.NewPCG(seed, 1)), topics)
	hold(t, f.sides, func(c *conv) {
		registered(c)
		for _, topic := range topics {
			ask[*kmsg.CreateTopicsResponse](c, "create "+topic.name, 4, creating(topic.name, 1, topic.configs...))
		}
		for i, q := range requests {
			if q.version < 0 {
				c.changeFormat(q.topic, q.what)
				continue
			}
			ask[*kmsg.ProduceResponse](c, fmt.Sprintf("%d %s %s", i, q.topic, q.what), q.version, producing(q.topic, 0, -1, bytes.Clone(q.records)))
		}
		for _, topic := range topics {
			for version := range c.both(2) {
				for _, at := range []int64{-1, -2, formatTime, formatTime + 55, formatTime + 1<<40} {
					if topic.appendTime && at >= 0 || version == 0 && at >= 0 {
						continue
					}
					req := kmsg.NewPtrListOffsetsRequest()
					req.ReplicaID = -1
					rt, rp := kmsg.NewListOffsetsRequestTopic(), kmsg.NewListOffsetsRequestTopicPartition()
					rp.Timestamp, rp.MaxNumOffsets = at, 5
					rt.Topic, rt.Partitions = topic.name, append(rt.Partitions, rp)
					req.Topics = append(req.Topics, rt)
					ask[*kmsg.ListOffsetsResponse](c, fmt.Sprintf("%s at %d", topic.name, at), version, req)
				}
			}
		}
	})
	if found := formatDifferences(f.sides); found != "" {
		t.Errorf("answers (ours, then the original's):\n%s", found)
	}
	compareFetches(t, f, topics, rand.New(rand.NewPCG(seed, 2)))
	for _, s := range f.servers {
		s.stop()
	}
	for _, topic := range topics {
		compareFiles(t, topic, filepath.Join(f.servers[0].Dir, topic.name+"-0"), filepath.Join(f.servers[1].Dir, topic.name+"-0"))
	}
}

// formatRequests is the script. A negative version is a change of the topic's
// format to the one in what.
func formatRequests(r *rand.Rand, topics []formatTopic) (requests []formatRequest) {
	for _, topic := range topics {
		for i := range 40 {
			if topic.name == "changing" && i%10 == 9 {
				requests = append(requests, formatRequest{version: -1, topic: topic.name, what: []string{"0.9.0", "2.8", "0.10.2", "0.11.0"}[i/10]})
			}
			magic, set, what := randomSet(r, topic)
			version := int16(r.IntN(3))
			if magic == record.Magic && r.IntN(3) > 0 {
				version = 3 + int16(r.IntN(7))
			}
			requests = append(requests, formatRequest{version, topic.name, set, what})
		}
	}
	return requests
}

// changeFormat changes message.format.version and waits until it is in force:
// idempotent records are taken by format 2 only, times found from 1 on.
func (c *conv) changeFormat(topic, version string) {
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	res := kmsg.NewIncrementalAlterConfigsRequestResource()
	res.ResourceType, res.ResourceName = kmsg.ConfigResourceTypeTopic, topic
	res.Configs = append(res.Configs, kmsg.IncrementalAlterConfigsRequestResourceConfig{Name: "message.format.version", Value: &version})
	req.Resources = append(req.Resources, res)
	ask[*kmsg.IncrementalAlterConfigsResponse](c, "format "+version, 0, req)
	magic := map[string]int8{"0.9.0": 0, "0.10.2": 1}[version]
	if _, old := map[string]int8{"0.9.0": 0, "0.10.2": 1}[version]; !old {
		magic = 2
	}
	eventually(c.t, 20*time.Second, "format "+version+" at "+c.name, func() bool {
		list := kmsg.NewPtrListOffsetsRequest()
		list.ReplicaID = -1
		rt, rp := kmsg.NewListOffsetsRequestTopic(), kmsg.NewListOffsetsRequestTopicPartition()
		rp.Timestamp = 1
		rt.Topic, rt.Partitions = topic, append(rt.Partitions, rp)
		list.Topics = append(list.Topics, rt)
		found, ok := c.send(1, list).(*kmsg.ListOffsetsResponse)
		if !ok || (found.Topics[0].Partitions[0].ErrorCode == 43) != (magic == 0) {
			return false
		}
		b := batch(1, idempotent(4711, 0, 0))
		taken, ok := c.send(8, producing(topic, 0, -1, b)).(*kmsg.ProduceResponse)
		return ok && (taken.Topics[0].Partitions[0].ErrorCode == 43) == (magic < 2)
	})
}

// formatDifferences are the answers that differ and must not.
func formatDifferences(sides [2]*side) string {
	var table strings.Builder
	for _, d := range differences(sides) {
		clock := func(s string) string { return regexp.MustCompile(`within \[\d+, \d+\]`).ReplaceAllString(s, "") }
		refused := strings.HasSuffix(d.Path, "LogStartOffset") && d.Theirs == "-1" && strings.HasSuffix(d.Case, " codec")
		if acceptedBecause(d) == "" && !refused && clock(d.Ours) != clock(d.Theirs) {
			fmt.Fprintf(&table, "%s v%s | %s | %s | %s | %s\n", d.API, strings.Join(d.Versions, ","), d.Case, shorten(d.Path), shorten(d.Ours), shorten(d.Theirs))
		}
	}
	return table.String()
}

// compareFetches reads every topic with every version of Fetch from both, with
// several limits and offsets.
func compareFetches(t *testing.T, f *formatSides, topics []formatTopic, r *rand.Rand) {
	conns := [2]*conv{f.sides[0].open(), f.sides[1].open()}
	defer conns[0].close()
	defer conns[1].close()
	for _, topic := range topics {
		end := lastOffset(t, conns[1], topic.name)
		for version := int16(0); version <= 12; version++ {
			for _, limit := range []int32{1 << 20, 5000, int32(100 + r.IntN(3000)), 1} {
				offset := int64(0)
				if limit != 1<<20 && end > 0 {
					offset = r.Int64N(end)
				}
				req := fetchingOld(topic.name, offset, limit)
				var answers [2]*kmsg.FetchResponseTopicPartition
				for i, c := range conns {
					resp, ok := c.send(version, req).(*kmsg.FetchResponse)
					require.True(t, ok, "%s: fetch v%d of %s", c.name, version, topic.name)
					answers[i] = &resp.Topics[0].Partitions[0]
				}
				what := fmt.Sprintf("fetch v%d of %s at %d limit %d", version, topic.name, offset, limit)
				compareFetch(t, what, topic, version, answers)
			}
		}
	}
}

func compareFetch(t *testing.T, what string, topic formatTopic, version int16, answers [2]*kmsg.FetchResponseTopicPartition) {
	ours, theirs := answers[0], answers[1]
	require.Equal(t, theirs.ErrorCode, ours.ErrorCode, what)
	require.Equal(t, theirs.HighWatermark, ours.HighWatermark, what)
	converted := version <= 3
	if !topic.rewritten() && !topic.appendTime && !converted {
		require.True(t, bytes.Equal(theirs.RecordBatches, ours.RecordBatches), what)
		return
	}
	a, b := fetchedRecords(t, what, topic, ours.RecordBatches), fetchedRecords(t, what, topic, theirs.RecordBatches)
	if len(a) > len(b) {
		a, b = b, a
	}
	require.True(t, slices.Equal(b[:len(a)], a), "%s\n%s\n%s", what, strings.Join(a, "\n"), strings.Join(b, "\n"))
	require.Equal(t, len(b) > 0, len(a) > 0, "%s: %d and %d records", what, len(a), len(b))
}

// fetchedRecords is a set as lines, as far as it is whole.
func fetchedRecords(t *testing.T, what string, topic formatTopic, set []byte) (lines []string) {
	for {
		b, rest, err := record.SplitAny(set)
		if err != nil {
			require.ErrorIs(t, err, record.ErrShort, what)
			return lines
		}
		require.True(t, b.Valid(), what)
		require.NoError(t, b.Visit(1<<30, func(r *record.Record) error {
			timestamp := r.Timestamp
			if topic.appendTime && timestamp >= 0 {
				timestamp = 0
			}
			lines = append(lines, fmt.Sprintf("%d %s %v %d %d %q %t %q %t %v", b.Magic(), b.Codec(), b.LogAppendTime(), r.Offset, timestamp, r.Key, r.Key == nil, r.Value, r.Value == nil, r.Headers))
			return nil
		}), what)
		set = rest
	}
}

func fetchingOld(topic string, offset int64, limit int32) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.ReplicaID, req.MinBytes, req.MaxBytes, req.SessionEpoch = -1, 0, 1<<20, -1
	rt, rp := kmsg.NewFetchRequestTopic(), kmsg.NewFetchRequestTopicPartition()
	rp.FetchOffset, rp.PartitionMaxBytes = offset, limit
	rt.Topic, rt.Partitions = topic, append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	return req
}

func lastOffset(t *testing.T, c *conv, topic string) int64 {
	resp, ok := c.send(12, fetchingOld(topic, 0, 1)).(*kmsg.FetchResponse)
	require.True(t, ok)
	return resp.Topics[0].Partitions[0].HighWatermark
}

// compareFiles compares two partition directories after clean shutdowns: byte
// by byte, or, where compressor or clock must differ, by what they say.
func compareFiles(t *testing.T, topic formatTopic, ours, theirs string) {
	names := func(dir string) (names []string) {
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		for _, e := range entries {
			info, err := e.Info()
			require.NoError(t, err)
			// An index without entries is there once somebody has read.
			if e.Name() != "partition.metadata" && (info.Size() > 0 || !strings.HasSuffix(e.Name(), "index")) {
				names = append(names, e.Name())
			}
		}
		return names
	}
	sized := topic.rewritten() // sizes differ, and with them where segments end
	if !sized {
		require.Equal(t, names(theirs), names(ours), topic.name)
	} else {
		require.Equal(t, slices.Contains(names(theirs), "leader-epoch-checkpoint"), slices.Contains(names(ours), "leader-epoch-checkpoint"), topic.name)
		require.Equal(t, logRecords(t, topic, theirs), logRecords(t, topic, ours), topic.name)
	}
	for _, name := range names(theirs) {
		if sized && name != "leader-epoch-checkpoint" {
			continue
		}
		a, err := os.ReadFile(filepath.Join(ours, name))
		require.NoError(t, err)
		b, err := os.ReadFile(filepath.Join(theirs, name))
		require.NoError(t, err)
		if topic.appendTime && strings.HasSuffix(name, ".log") {
			require.Equal(t, fetchedRecords(t, name, topic, b), fetchedRecords(t, name, topic, a), topic.name)
		} else if topic.appendTime && strings.HasSuffix(name, "index") {
			require.Equal(t, len(b), len(a), "%s/%s", topic.name, name)
		} else {
			require.True(t, bytes.Equal(b, a), "%s/%s: %d bytes, the original has %d", topic.name, name, len(a), len(b))
		}
	}
}

func logRecords(t *testing.T, topic formatTopic, dir string) (lines []string) {
	logs, err := filepath.Glob(filepath.Join(dir, "*.log"))
	require.NoError(t, err)
	for _, path := range slices.Sorted(slices.Values(logs)) {
		set, err := os.ReadFile(path)
		require.NoError(t, err)
		lines = append(lines, fetchedRecords(t, path, topic, set)...)
	}
	return lines
}
