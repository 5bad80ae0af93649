//go:build bench

package bench

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// rates measures how fast records go in: from the Java producer and librdkafka,
// which take most of the machine themselves, and from prepared requests, which
// take nearly none of it.
func rates(t *testing.T, tb *table, p *pair) {
	javaRate(t, tb, p)
	librdkafkaRate(t, tb, p)
	for _, connections := range []int{1, 4} {
		replayRate(t, tb, p, connections)
	}
}

// javaRate is kafka-producer-perf-test.sh of Apache Kafka on both.
func javaRate(t *testing.T, tb *table, p *pair) {
	const count, size = 3_000_000, 100
	round := 0
	got := p.costs(3, func(s *side) cost {
		topic := fmt.Sprintf("java-rate-%d", round)
		round++
		c := s.connect(t)
		defer c.close()
		c.create(topic, 1)
		defer c.remove(topic)
		args := javaArgs(t, []string{"-Xmx512M"}, "org.apache.kafka.tools.ProducerPerformance", "--topic", topic, "--num-records", fmt.Sprint(count),
			"--record-size", fmt.Sprint(size), "--throughput", "-1", "--producer-props", "bootstrap.servers="+s.address, "acks=1")
		before := s.cpu()
		rate := recordsPerSecond(t, run(t, nil, nil, "java", args...).stdout)
		return cost{cpu: (s.cpu() - before).Seconds(), rate: rate / mega}
	})
	tb.add(t, "Java producer, 100 B", "1M records/s", got[0].rate, got[1].rate, goal{ratioAtLeast: 1.25})
	tb.add(t, "", "broker CPU s / 1M records", got[0].cpu*mega/count, got[1].cpu*mega/count, goal{})
}

// recordsPerSecond reads the last line of a perf test: "N records sent, R
// records/sec (...".
func recordsPerSecond(t *testing.T, output string) float64 {
	t.Helper()
	all := strings.Split(strings.TrimSpace(output), "\n")
	_, rest, found := strings.Cut(all[len(all)-1], "records sent, ")
	require.True(t, found, output)
	number, _, found := strings.Cut(rest, " records/sec")
	require.True(t, found, output)
	rate, err := strconv.ParseFloat(number, 64)
	require.NoError(t, err, output)
	return rate
}

// librdkafkaRate is kcat with records of 1 KiB.
func librdkafkaRate(t *testing.T, tb *table, p *pair) {
	program, err := exec.LookPath("kcat")
	if err != nil {
		t.Log("kcat is not installed: its rows are left out")
		return
	}
	const count = 600_000
	input := filepath.Join(t.TempDir(), "records")
	line := append(bytes.Repeat([]byte("x"), 1023), '\n')
	require.NoError(t, os.WriteFile(input, bytes.Repeat(line, count), 0o644))
	round := 0
	got := p.costs(5, func(s *side) cost {
		topic := fmt.Sprintf("librdkafka-rate-%d", round)
		round++
		c := s.connect(t)
		defer c.close()
		c.create(topic, 1)
		defer c.remove(topic)
		return costOf(s, count/mega, func() {
			run(t, nil, nil, program, "-P", "-b", s.address, "-t", topic, "-l", "-X", "acks=1,queue.buffering.max.kbytes=1000000", input)
		})
	})
	tb.add(t, "librdkafka (kcat), 1 KiB", "1M records/s", got[0].rate, got[1].rate, goal{ratioAtLeast: 1.35})
	tb.add(t, "", "broker CPU s / 1M records", got[0].cpu, got[1].cpu, goal{})
}

// replayRate is the ceiling: prepared requests of 64 KiB, each connection into
// a partition of its own.
func replayRate(t *testing.T, tb *table, p *pair, connections int) {
	const records, size = 600, 100
	times := 300 * mega / (records * size) / connections
	one := batch(t, records, size)
	round := 0
	replay := func(s *side, topics []string) cost {
		var clients []*client
		for range topics {
			clients = append(clients, s.connect(t))
		}
		return costOf(s, float64(connections*times*records)/mega, func() {
			var all sync.WaitGroup
			for i, c := range clients {
				all.Go(func() { c.produce(produceFrame(topics[i], one), times) })
			}
			all.Wait()
			for _, c := range clients {
				c.close()
			}
		})
	}
	measure := func(s *side) cost {
		c := s.connect(t)
		defer c.close()
		var topics []string
		for i := range connections {
			topics = append(topics, fmt.Sprintf("replay-%d-%d-%d", connections, round, i))
			c.create(topics[i], 1)
		}
		round++
		got := replay(s, topics)
		for _, topic := range topics {
			c.remove(topic)
		}
		return got
	}
	floor := bare(t)
	var bareRates []float64
	measure(p[0])
	measure(p[1])
	got := p.costs(5, func(s *side) cost {
		if s == p[0] {
			bareRates = append(bareRates, replay(floor, make([]string, connections)).rate)
		}
		return measure(s)
	})
	what := "replay by 64 KiB, one connection"
	if connections > 1 {
		what = fmt.Sprintf("replay by 64 KiB, %d connections", connections)
	}
	tb.add(t, what, "1M records/s", got[0].rate, got[1].rate, goal{ratioAtLeast: 2})
	tb.add(t, "", "x a bare server", got[0].rate/median(bareRates), got[1].rate/median(bareRates), goal{})
	tb.add(t, "", "CPU s / 1M records", got[0].cpu, got[1].cpu, goal{})
}
