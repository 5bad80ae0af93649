//go:build bench

package bench

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// load is one kind of produce requests.
type load struct {
	what    string
	records int // in a batch
	size    int // of a record
	total   int // bytes of values in a run
	goal    goal
}

// produce measures prepared requests: the records of a batch are as many as
// the named client puts into one when it has more to send than it can.
func produce(t *testing.T, tb *table, p *pair) {
	for _, l := range []load{
		{"100 B, batches of 16 KiB (Java)", 150, 100, 150 * mega, goal{}},
		{"100 B, batches of 64 KiB", 600, 100, 200 * mega, goal{ratioAtMost: 0.4}},
		{"100 B, batches of 1 MB (librdkafka)", 9000, 100, 300 * mega, goal{ratioAtMost: 0.4}},
		{"1 KiB, batches of 64 KiB", 62, 1024, 400 * mega, goal{ratioAtMost: 0.4}},
		{"1 KiB, batches of 1 MB (librdkafka)", 950, 1024, 600 * mega, goal{ratioAtMost: 0.4}},
	} {
		run := 0
		records := batch(t, l.records, l.size)
		times := l.total / (l.records * l.size)
		measure := func(s *side) (cpu, rate float64) {
			c := s.connect(t)
			defer c.close()
			topic := fmt.Sprintf("produce-%d-%d-%d", l.records, l.size, run)
			run++
			c.create(topic, 1)
			request := produceFrame(topic, records)
			before, began := s.cpu(), time.Now()
			c.produce(request, times)
			took := time.Since(began)
			cpu = (s.cpu() - before).Seconds()
			c.remove(topic)
			n := float64(times * l.records)
			return cpu / n * mega, n / took.Seconds() / kilo
		}
		measure(p[0])
		measure(p[1]) // the virtual machine compiles what is hot
		cpu, rate := p.turns2(5, measure)
		tb.add(t, "produce "+l.what, "CPU s / 1M records", cpu[0], cpu[1], l.goal)
		tb.add(t, "", "1,000 records/s", rate[0], rate[1], goal{})
	}
}

// catchUp measures a consumer that reads what was written before, 1 MiB at a
// time.
func catchUp(t *testing.T, tb *table, p *pair) {
	const topic, records, size, times = "catch-up", 62, 1024, 8000
	one := batch(t, records, size)
	for _, s := range p {
		c := s.connect(t)
		c.create(topic, 1)
		c.produce(produceFrame(topic, one), times)
	}
	measure := func(s *side) (cpu, rate float64) {
		c := s.connect(t)
		defer c.close()
		before, began := s.cpu(), time.Now()
		bytes := c.catchUp(topic, records*times)
		bytes += c.catchUp(topic, records*times)
		took := time.Since(began)
		require.EqualValues(t, 2*times*len(one), bytes)
		return (s.cpu() - before).Seconds() / float64(bytes) * giga, float64(bytes) / took.Seconds() / mega
	}
	measure(p[0])
	measure(p[1])
	cpu, rate := p.turns2(5, measure)
	tb.add(t, "catch-up fetch by 1 MiB", "CPU s / GB", cpu[0], cpu[1], goal{ratioAtMost: 0.8})
	tb.add(t, "", "MB/s", rate[0], rate[1], goal{})
	for _, s := range p {
		c := s.connect(t)
		c.remove(topic)
	}
}

// topics measures creations one by one, each awaited.
func topics(t *testing.T, tb *table, p *pair) {
	run := 0
	measure := func(s *side) (rate, cpu float64) {
		c := s.connect(t)
		defer c.close()
		before, began, n := s.cpu(), time.Now(), 0
		for ; time.Since(began) < 1500*time.Millisecond; n++ {
			c.create(fmt.Sprintf("created-%d-%d", run, n), 1)
		}
		took := time.Since(began)
		run++
		return float64(n) / took.Seconds(), milliseconds(s.cpu()-before) / float64(n)
	}
	rate, cpu := p.turns2(3, measure)
	tb.add(t, "topics created one by one", "1/s", rate[0], rate[1], goal{ratioAtLeast: 4})
	tb.add(t, "", "CPU ms each", cpu[0], cpu[1], goal{})
}
