package config

import (
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestDynamicLayers(t *testing.T) {
	b := parse(t, "log.retention.hours=5", "log.segment.bytes=100", "max.connections=7")
	next, err := b.WithDynamic(map[string]string{"log.retention.ms": "1000", "log.segment.bytes": "200"}, map[string]string{"log.segment.bytes": "300"})
	require.NoError(t, err)
	require.EqualValues(t, 1000, next.LogRetentionMs())
	require.Equal(t, 300, next.Int("log.segment.bytes"))
	require.EqualValues(t, 5*3600_000, b.LogRetentionMs(), "the view before is as it was")

	entries := map[string]Entry{}
	for _, e := range next.Describe() {
		entries[e.Name] = e
	}
	require.Equal(t, "log.segment.bytes=300 src=2 ro=false sens=false type=3 syn=[2:log.segment.bytes=300 3:log.segment.bytes=200 4:log.segment.bytes=100 5:log.segment.bytes=1073741824 ]", entryLine(entries["log.segment.bytes"]))
	require.NotContains(t, entries, "process.roles", "internal settings are not shown")

	// A dynamic setting in milliseconds hides the one in hours, and goes away
	// as a whole.
	require.Equal(t, "log.retention.hours=168 src=4 ro=true sens=false type=3 syn=[4:log.retention.hours=5 5:log.retention.hours=168 ]", entryLine(entries["log.retention.hours"]))
	back, err := next.WithDynamic(nil, nil)
	require.NoError(t, err)
	require.EqualValues(t, 5*3600_000, back.LogRetentionMs())
	require.Empty(t, back.DescribeClusterDefault())
}

func TestSettingsThatAreOnlyDynamic(t *testing.T) {
	const name = "leader.replication.throttled.rate"
	b := parse(t)
	for _, row := range []struct {
		clusterDefault, own map[string]string
		want                int64
	}{
		{nil, nil, math.MaxInt64},
		{map[string]string{name: "5"}, nil, 5},
		{map[string]string{name: "5"}, map[string]string{name: "7"}, 7},
		{map[string]string{name: "5"}, map[string]string{name: "x"}, 5},
	} {
		next, err := b.WithDynamic(row.clusterDefault, row.own)
		require.NoError(t, err)
		require.Equal(t, row.want, next.DynamicLong(name))
	}
	require.Panics(t, func() { b.DynamicLong("broker.rack") })
}

func TestValidateDynamic(t *testing.T) {
	b := parse(t, "num.io.threads=8", "log.cleaner.threads=4", "log.cleaner.dedupe.buffer.size=134217728")
	for _, row := range []struct {
		setting   string
		perBroker bool
		want      string
	}{
		{"message.max.bytes=5", true, ""},
		{"message.max.bytes=5", false, ""},
		{"plug.in=5", false, ""},
		{"listener.name.plaintext.max.connections=5", false, ""},
		{"listener.name.plaintext.max.connections=x", false, "Invalid value x for configuration max.connections: Not a number of type INT"},
		{"listener.name.plaintext.ssl.client.auth=none", true, ""},
		{"listener.name.plaintext.ssl.client.auth=none", false, "Cannot update these configs at default cluster level, broker id must be specified: Set(listener.name.plaintext.ssl.client.auth)"},
		{"broker.rack=a", true, "Cannot update these configs dynamically: Set(broker.rack)"},
		{"ssl.key.password=a", true, "These security configs can be dynamically updated only per-listener using the listener prefix: HashSet(ssl.key.password)"},
		{"follower.replication.throttled.rate=-1", true, "Invalid value -1 for configuration follower.replication.throttled.rate: Value must be at least 0"},
		{"compression.type=x", false, "requirement failed: compression.type : x is not valid. Valid options are uncompressed,zstd,lz4,snappy,gzip,producer"},
		{"num.io.threads=17", false, "Invalid value org.apache.kafka.common.config.ConfigException: Dynamic thread count update validation failed for num.io.threads=17, value should not be greater than double the current value 8 for configuration Invalid dynamic configuration"},
		{"num.io.threads=3", false, "Invalid value org.apache.kafka.common.config.ConfigException: Dynamic thread count update validation failed for num.io.threads=3, value should be at least half the current value 8 for configuration Invalid dynamic configuration"},
		{"num.io.threads=16", false, ""},
		{"log.cleaner.threads=9", false, "Invalid value org.apache.kafka.common.config.ConfigException: Log cleaner threads cannot be increased to more than double the current value 4 for configuration Invalid dynamic configuration"},
		{"log.cleaner.threads=1", false, "Invalid value org.apache.kafka.common.config.ConfigException: Log cleaner threads cannot be reduced to less than half the current value 4 for configuration Invalid dynamic configuration"},
		{"log.cleaner.threads=2", false, ""},
	} {
		t.Run(row.setting, func(t *testing.T) {
			name, value, _ := strings.Cut(row.setting, "=")
			next, err := b.ValidateDynamic(map[string]string{name: value}, row.perBroker)
			if row.want == "" {
				require.NoError(t, err)
				text, _ := next.Original(name)
				require.Equal(t, value, text)
				return
			}
			require.EqualError(t, err, row.want)
		})
	}
}

func TestCleanDynamic(t *testing.T) {
	clean, complaints := CleanDynamic(map[string]string{"message.max.bytes": "x", "broker.id": "4", "log.retention.ms": "7", "listeners": "PLAINTEXT://:1",
		"listener.name.a.ssl.keystore.password": "cipher", "ssl.keystore.type": "JKS", "plug.in": "1"}, false)
	require.Equal(t, map[string]string{"log.retention.ms": "7", "plug.in": "1"}, clean)
	require.Equal(t, []string{
		"Dynamic password config listener.name.a.ssl.keystore.password could not be decoded, ignoring.",
		"Dynamic default cluster config contains invalid values: Map(message.max.bytes -> x), these configs will be ignored",
		"Non-dynamic configs configured in ZooKeeper will be ignored: Set(broker.id)",
		"Security configs can be dynamically updated only using listener prefix, base configs will be ignored: Set(ssl.keystore.type)",
		"Per-broker configs defined at default cluster level will be ignored: Set(listeners)",
	}, complaints)
	clean, complaints = CleanDynamic(map[string]string{"listeners": "PLAINTEXT://:1"}, true)
	require.Len(t, clean, 1)
	require.Empty(t, complaints)
}

func TestTopic(t *testing.T) {
	b := parse(t, "log.retention.minutes=5", "log.roll.hours=2", "inter.broker.protocol.version=2.4", "log.message.format.version=2.4", "log.cleanup.policy=compact , delete")
	topic, err := ParseTopic(b, map[string]string{"segment.bytes": "1000", "no.such": "x", "min.cleanable.dirty.ratio": "0.1"})
	require.NoError(t, err)
	require.Equal(t, 1000, topic.Int("segment.bytes"))
	require.EqualValues(t, 300_000, topic.Long("retention.ms"))
	require.EqualValues(t, 7200_000, topic.Long("segment.ms"))
	require.EqualValues(t, 1<<63-1, topic.Long("flush.ms"))
	require.Equal(t, "2.4-IV1", topic.String("message.format.version"))
	require.Equal(t, []string{"compact", "delete"}, topic.List("cleanup.policy"))
	require.Equal(t, 0.1, topic.Double("min.cleanable.dirty.ratio"))
	require.False(t, topic.Bool("preallocate"))
	require.Len(t, topic.Overrides(), 3)
	require.Panics(t, func() { topic.Int("broker.id") })

	entries := map[string]Entry{}
	for _, e := range topic.Describe() {
		entries[e.Name] = e
	}
	require.Equal(t, "no.such=<nil> src=1 ro=false sens=true type=0 syn=[1:no.such=<nil> ]", entryLine(entries["no.such"]))
	require.Equal(t, "message.format.version=2.4-IV1 src=4 ro=false sens=false type=2 syn=[4:log.message.format.version=2.4 5:log.message.format.version=2.8-IV1 ]", entryLine(entries["message.format.version"]))

	_, err = ParseTopic(b, map[string]string{"segment.bytes": "x"})
	require.EqualError(t, err, "Invalid value x for configuration segment.bytes: Not a number of type INT")
}

func TestValidateTopic(t *testing.T) {
	for settings, want := range map[string]string{
		"":                              "",
		"retention.ms=-1":               "",
		"retention.bytes=-5":            "",
		"cleanup.policy=compact,delete": "",
		"leader.replication.throttled.replicas=*":    "",
		"leader.replication.throttled.replicas=":     "",
		"follower.replication.throttled.replicas=0:": "Invalid value [0:] for configuration follower.replication.throttled.replicas: follower.replication.throttled.replicas must be the literal '*' or a list of replicas in the following format: [partitionId]:[brokerId],[partitionId]:[brokerId],...",
		"no.such=1":                                       "Unknown topic config name: no.such",
		"retention.ms=-2":                                 "Invalid value -2 for configuration retention.ms: Value must be at least -1",
		"max.message.bytes=64k":                           "Invalid value 64k for configuration max.message.bytes: Not a number of type INT",
		"min.cleanable.dirty.ratio=-1":                    "Invalid value -1.0 for configuration min.cleanable.dirty.ratio: Value must be at least 0",
		"message.timestamp.type=Now":                      "Invalid value Now for configuration message.timestamp.type: String must be one of: CreateTime, LogAppendTime",
		"preallocate=yes":                                 "Invalid value yes for configuration preallocate: Expected value to be either true or false",
		"compression.type=zip":                            "Invalid value zip for configuration compression.type: String must be one of: uncompressed, zstd, lz4, snappy, gzip, producer",
		"min.compaction.lag.ms=9;max.compaction.lag.ms=5": "conflict topic config setting min.compaction.lag.ms (9) > max.compaction.lag.ms (5)",
	} {
		t.Run(settings, func(t *testing.T) {
			overrides := map[string]string{}
			for _, setting := range strings.Split(settings, ";") {
				if name, value, ok := strings.Cut(setting, "="); ok {
					overrides[name] = value
				}
			}
			err := ValidateTopic(overrides)
			if want == "" {
				require.NoError(t, err)
				return
			}
			require.EqualError(t, err, want)
		})
	}
}

// TestVersions compares with what 2.8.2 reads.
func TestVersions(t *testing.T) {
	text, err := os.ReadFile("testdata/versions.txt")
	require.NoError(t, err)
	for _, line := range strings.Split(strings.TrimRight(string(text), "\n"), "\n") {
		name, want, _ := strings.Cut(line, "|")
		v, err := ParseVersion(name)
		got := v.String()
		if err != nil {
			got = err.Error()
		}
		require.Equal(t, want, got, name)
	}
	require.Less(t, IBP_2_7_IV2, IBP_2_8_IV0)
	require.Equal(t, "2.8", IBP_2_8_IV1.Release())
	require.Len(t, versionNames, int(IBP_2_8_IV1)+1)
	for v, magic := range map[Version]int8{IBP_0_9_0: 0, IBP_0_10_0_IV0: 1, IBP_0_10_2_IV0: 1, IBP_0_11_0_IV0: 2, IBP_2_8_IV1: 2} {
		require.Equal(t, magic, v.RecordMagic())
	}
	for v := IBP_0_8_0; v <= IBP_2_8_IV1; v++ {
		back, err := ParseVersion(v.String())
		require.NoError(t, err)
		require.Equal(t, v, back)
	}
}

// TestLayersModel sets and takes away settings at random and compares with
// three maps that are looked up one after another.
func TestLayersModel(t *testing.T) {
	names := []string{"log.retention.bytes", "log.retention.ms", "message.max.bytes", "log.segment.bytes", "max.connections"}
	rapid.Check(t, func(t *rapid.T) {
		settings := rapid.MapOf(rapid.SampledFrom(names), rapid.Map(rapid.IntRange(20, 99), strconv.Itoa))
		file, clusterDefault, own := settings.Draw(t, "file"), settings.Draw(t, "cluster default"), settings.Draw(t, "own")
		static := maps.Clone(file)
		static["zookeeper.connect"] = "a"
		b, _, err := ParseBroker(NewProperties(static), nil)
		require.NoError(t, err)
		b, err = b.WithDynamic(clusterDefault, own)
		require.NoError(t, err)
		for _, e := range b.Describe() {
			var want []Synonym
			for _, layer := range []struct {
				settings map[string]string
				source   Source
			}{{own, SourceBroker}, {clusterDefault, SourceClusterDefault}, {file, SourceFile}} {
				if text, ok := layer.settings[e.Name]; ok {
					want = append(want, Synonym{Name: e.Name, Value: &text, Source: layer.source})
				}
			}
			if !slices.Contains(names, e.Name) || len(want) == 0 {
				continue
			}
			require.Equal(t, want[0].Value, e.Value, e.Name)
			require.Equal(t, want, e.Synonyms[:len(want)], e.Name)
			require.Equal(t, want[0].Source, e.Source)
		}
	})
}
