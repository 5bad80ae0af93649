//go:build bench

package bench

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// tool is the command line of a tool of a side.
func (s *side) tool(t testing.TB, name, class string, args ...string) (path string, all []string) {
	if s.name == ours {
		return script(name), args
	}
	return "java", javaArgs(t, []string{"-Xmx512M"}, class, args...)
}

// lines are short lines of text in a file.
func lines(t testing.TB, n int) string {
	t.Helper()
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, "line %d\n", i)
	}
	path := filepath.Join(t.TempDir(), "lines")
	require.NoError(t, os.WriteFile(path, b.Bytes(), 0o644))
	return path
}

func open(t testing.TB, path string) *os.File {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

// consoleTools measures tools as whole processes, each side's on its broker.
func consoleTools(t *testing.T, tb *table, p *pair) {
	list := func(s *side, runs int) float64 {
		var figures []float64
		for range runs {
			path, args := s.tool(t, "kafka-topics.sh", "kafka.admin.TopicCommand", "--bootstrap-server", s.address, "--list")
			figures = append(figures, milliseconds(run(t, nil, nil, path, args...).wall))
		}
		return median(figures)
	}
	tb.add(t, "kafka-topics.sh --list", "ms", list(p[0], 11), list(p[1], 2), goal{atMost: 60})

	const count, topic = 1_000_000, "console"
	input := lines(t, count)
	var produced, consumed, producedCPU, consumedCPU, brokerCPU [2]float64
	for i, s := range p {
		s.connect(t).create(topic, 1)
		path, args := s.tool(t, "kafka-console-producer.sh", "kafka.tools.ConsoleProducer", "--bootstrap-server", s.address, "--topic", topic)
		got := run(t, open(t, input), nil, path, args...)
		produced[i], producedCPU[i] = got.wall.Seconds(), got.cpu.Seconds()
		before := s.cpu()
		path, args = s.tool(t, "kafka-console-consumer.sh", "kafka.tools.ConsoleConsumer", "--bootstrap-server", s.address, "--topic", topic,
			"--from-beginning", "--max-messages", fmt.Sprint(count))
		var out bytes.Buffer
		got = run(t, nil, &out, path, args...)
		consumed[i], consumedCPU[i], brokerCPU[i] = got.wall.Seconds(), got.cpu.Seconds(), milliseconds(s.cpu()-before)
		require.Equal(t, count, bytes.Count(out.Bytes(), []byte("\n")))
	}
	tb.add(t, "console producer, 1M lines", "s", produced[0], produced[1], goal{})
	tb.add(t, "", "its CPU s", producedCPU[0], producedCPU[1], goal{})
	tb.add(t, "console consumer, 1M lines", "s", consumed[0], consumed[1], goal{})
	tb.add(t, "", "its CPU s", consumedCPU[0], consumedCPU[1], goal{})
	tb.add(t, "", "broker CPU ms", brokerCPU[0], brokerCPU[1], goal{})
}

// kcat measures librdkafka from end to end.
func kcat(t *testing.T, tb *table, p *pair) {
	program, err := exec.LookPath("kcat")
	if err != nil {
		t.Log("kcat is not installed: its rows are left out")
		return
	}
	const count = 1_000_000
	input := lines(t, count)
	round := 0
	var wall [2][]float64
	got := p.costs(3, func(s *side) cost {
		topic := fmt.Sprintf("kcat-%d", round)
		c := s.connect(t)
		c.create(topic, 1)
		produced := costOf(s, 1, func() { run(t, open(t, input), nil, program, "-P", "-b", s.address, "-t", topic) })
		consumed := run(t, nil, io.Discard, program, "-C", "-b", s.address, "-t", topic, "-o", "beginning", "-e", "-q")
		wall[round%2] = append(wall[round%2], consumed.wall.Seconds())
		round++
		return produced
	})
	tb.add(t, "kcat produces 1M lines", "s", 1/got[0].rate, 1/got[1].rate, goal{})
	tb.add(t, "", "broker CPU s", got[0].cpu, got[1].cpu, goal{})
	tb.add(t, "kcat consumes 1M lines", "s", median(wall[0]), median(wall[1]), goal{})
}
