//go:build compat

package compat

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// oldClient is a client as it speaks to a broker that it takes for an old one.
type oldClient struct {
	name   string
	codecs []string
	// noOldLZ4: it cannot read the lz4 of format 0, whose headers have the
	// checksum that Kafka gave them then; format0 is what it gets everything in.
	noOldLZ4, format0 bool
	// produce sends count values "LABEL_CODEC-0" and so on for every codec.
	produce func(t *testing.T, broker, topic string, codecs []string, label string, count int) result
	consume func(t *testing.T, broker, topic string, count int) result
}

func (c *oldClient) label() string { return strings.ReplaceAll(c.name, " ", "_") }

// oldClients are clients of four makers.
func oldClients(t *testing.T) (clients []oldClient) {
	all := []string{"none", "gzip", "snappy", "lz4"}
	program := func(name string, version string, start func(t *testing.T, args ...string) result) oldClient {
		return oldClient{name: name + " as " + version, codecs: all,
			produce: func(t *testing.T, broker, topic string, codecs []string, label string, count int) result {
				return start(t, "produce", broker, topic, version, strings.Join(codecs, ","), label, fmt.Sprint(count))
			},
			consume: func(t *testing.T, broker, topic string, count int) result {
				return start(t, "consume", broker, topic, version, fmt.Sprint(count))
			}}
	}
	for _, version := range []string{"0.8.2", "0.9", "0.10", "0.11"} {
		clients = append(clients, program("kafka-python", version, func(t *testing.T, args ...string) result {
			return python(t, "old-formats", "old_formats.py", args...)
		}))
	}
	binary := buildSarama(t)
	for _, version := range []string{"0.8.2.0", "0.9.0.1", "0.10.0.1", "0.10.2.1", "0.11.0.2", "1.1.0", "2.8.0"} {
		c := program("sarama", version, func(t *testing.T, args ...string) result { return run(t, command{Path: binary, Args: args}) })
		if strings.HasPrefix(version, "0.8") || strings.HasPrefix(version, "0.9") {
			c.codecs, c.format0 = all[:3], true
		}
		c.noOldLZ4 = true
		clients = append(clients, c)
	}
	for _, version := range []string{"0.8.2.2", "0.9.0.1", "0.10.0.0"} {
		clients = append(clients, oldLibrdkafka(version, all))
	}
	return append(clients, oldJava(kafka28, "kafka.tools.ConsoleConsumer"), oldJava(kafka39, "org.apache.kafka.tools.consumer.ConsoleConsumer"))
}

// oldLibrdkafka is kcat, told not to ask which versions the broker has.
func oldLibrdkafka(version string, codecs []string) oldClient {
	as := []string{"-X", "api.version.request=false", "-X", "broker.version.fallback=" + version}
	return oldClient{name: "librdkafka as " + version, codecs: codecs,
		produce: func(t *testing.T, broker, topic string, codecs []string, label string, count int) (r result) {
			for _, codec := range codecs {
				if r = run(t, command{Path: "kcat", Args: append([]string{"-P", "-b", broker, "-t", topic, "-p", "0", "-z", codec}, as...), Stdin: lines(count, label+"_"+codec+"-%d")}); r.Status != 0 {
					break
				}
			}
			return r
		},
		consume: func(t *testing.T, broker, topic string, count int) result {
			return run(t, command{Path: "kcat", Args: append([]string{"-C", "-q", "-b", broker, "-t", topic, "-p", "0", "-o", "beginning", "-c", fmt.Sprint(count)}, as...)})
		}}
}

// oldJava is a new client of Java, which knows the newest format only.
func oldJava(version kind, consumer string) oldClient {
	return oldClient{name: "Java " + string(version), codecs: []string{"lz4"},
		produce: func(t *testing.T, broker, topic string, codecs []string, label string, count int) result {
			return java(t, version, lines(count, label+"_"+codecs[0]+"-%d"), "kafka.tools.ConsoleProducer", "--bootstrap-server", broker, "--topic", topic,
				"--producer-property", "compression.type="+codecs[0], "--producer-property", "enable.idempotence=false")
		},
		consume: func(t *testing.T, broker, topic string, count int) result {
			return java(t, version, "", consumer, "--bootstrap-server", broker, "--topic", topic, "--partition", "0", "--offset", "earliest",
				"--max-messages", fmt.Sprint(count), "--timeout-ms", "30000")
		}}
}

// buildSarama builds the program of the module beside this package.
func buildSarama(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "sarama")
	got := run(t, command{Path: "go", Args: []string{"build", "-o", binary, "."}, Dir: filepath.Join(home(), "test", "compat", "sarama"), Limit: 5 * time.Minute})
	require.Zero(t, got.Status, got.Stderr)
	return binary
}

// Each client writes to one topic, each reads what all wrote, under every
// message format. lz4 is in a topic of its own, for those who cannot read it.
func TestOldClientsOnFormat0(t *testing.T) { oldClientsOn(t, "0.9.0") }
func TestOldClientsOnFormat1(t *testing.T) { oldClientsOn(t, "0.10.2") }
func TestOldClientsOnFormat2(t *testing.T) { oldClientsOn(t, "2.8") }

func oldClientsOn(t *testing.T, format string) {
	clients := oldClients(t)
	_, b := ours(t, nil)
	for _, lz4 := range []bool{false, true} {
		topic := fmt.Sprintf("old-%s-%t", format, lz4)
		got := script(t, "", "kafka-topics.sh", "--bootstrap-server", b.Address, "--create", "--topic", topic, "--partitions", "1",
			"--replication-factor", "1", "--config", "message.format.version="+format)
		require.Zero(t, got.Status, got.Stderr)
		writeAndReadOld(t, b.Address, topic, clients, lz4, format == "0.9.0")
	}
}

func writeAndReadOld(t *testing.T, broker, topic string, clients []oldClient, lz4, format0 bool) {
	const count = 30
	var want strings.Builder
	written := 0
	for _, c := range clients {
		codecs := slices.Clone(c.codecs)
		codecs = slices.DeleteFunc(codecs, func(codec string) bool { return (codec == "lz4") != lz4 })
		if len(codecs) == 0 {
			continue
		}
		sent := c.produce(t, broker, topic, codecs, c.label(), count)
		require.Zero(t, sent.Status, "%s: %s%s", c.name, sent.Stdout, sent.Stderr)
		for _, codec := range codecs {
			want.WriteString(lines(count, c.label()+"_"+codec+"-%d"))
			written += count
		}
	}
	for _, c := range clients {
		if lz4 && c.noOldLZ4 && (format0 || c.format0) {
			continue
		}
		read := c.consume(t, broker, topic, written)
		require.Zero(t, read.Status, "%s: %s", c.name, read.Stderr)
		require.Equal(t, want.String(), read.Stdout, c.name)
	}
}
