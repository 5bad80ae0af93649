//go:build bench

package bench

import (
	"fmt"
	"testing"

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
	floor := bare(t)
	for _, l := range []load{
		{"100 B, batches of 16 KiB (Java)", 150, 100, 80 * mega, goal{}},
		{"100 B, batches of 64 KiB", 600, 100, 100 * mega, goal{ratioAtMost: 0.4}},
		{"100 B, batches of 1 MB (librdkafka)", 9000, 100, 150 * mega, goal{ratioAtMost: 0.4}},
		{"1 KiB, batches of 64 KiB", 62, 1024, 150 * mega, goal{ratioAtMost: 0.4}},
		{"1 KiB, batches of 1 MB (librdkafka)", 950, 1024, 200 * mega, goal{ratioAtMost: 0.4}},
	} {
		l.measure(t, tb, p, floor)
	}
	tb.add(t, "memory, after that", "MB", p[0].resident()/mega, p[1].resident()/mega, goal{})
}

func (l *load) measure(t *testing.T, tb *table, p *pair, floor *side) {
	records := batch(t, l.records, l.size)
	times := l.total / (l.records * l.size)
	run := 0
	var least []float64
	measureBare := func() {
		c := floor.connect(t)
		defer c.close()
		request := produceFrame("produce", records)
		least = append(least, costOf(floor, float64(times*l.records)/mega, func() { c.produce(request, times) }).cpu)
	}
	measure := func(s *side) cost {
		if s == p[0] {
			measureBare()
		}
		c := s.connect(t)
		defer c.close()
		topic := fmt.Sprintf("produce-%d-%d-%d", l.records, l.size, run)
		run++
		c.create(topic, 1)
		request := produceFrame(topic, records)
		got := costOf(s, float64(times*l.records)/mega, func() { c.produce(request, times) })
		c.remove(topic) // or its pages would be written to the disk in the middle of another run
		return got
	}
	measure(p[0])
	measure(p[1]) // the virtual machine compiles what is hot
	got := p.costs(7, measure)
	tb.add(t, "produce "+l.what, "CPU s / 1M records", got[0].cpu, got[1].cpu, l.goal)
	tb.add(t, "", "of it user", got[0].user, got[1].user, goal{})
	tb.add(t, "", "x a bare server", got[0].cpu/median(least), got[1].cpu/median(least), goal{})
	tb.add(t, "", "1M records/s", got[0].rate, got[1].rate, goal{})
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
	measure := func(s *side) cost {
		c := s.connect(t)
		defer c.close()
		total := 2 * times * len(one)
		return costOf(s, float64(total)/giga, func() {
			bytes := c.catchUp(topic, records*times)
			bytes += c.catchUp(topic, records*times)
			require.EqualValues(t, total, bytes)
		})
	}
	measure(p[0])
	measure(p[1])
	got := p.costs(5, measure)
	tb.add(t, "catch-up fetch by 1 MiB", "CPU s / GB", got[0].cpu, got[1].cpu, goal{ratioAtMost: 0.8})
	tb.add(t, "", "of it user", got[0].user, got[1].user, goal{})
	tb.add(t, "", "GB/s", got[0].rate, got[1].rate, goal{})
	for _, s := range p {
		s.connect(t).remove(topic)
	}
}

// topics measures creations one by one, each awaited.
func topics(t *testing.T, tb *table, p *pair) {
	const each = 150
	run := 0
	got := p.costs(3, func(s *side) cost {
		c := s.connect(t)
		defer c.close()
		run++
		return costOf(s, each, func() {
			for n := range each {
				c.create(fmt.Sprintf("created-%d-%d", run, n), 1)
			}
		})
	})
	tb.add(t, "topics created one by one", "1/s", got[0].rate, got[1].rate, goal{ratioAtLeast: 4})
	tb.add(t, "", "CPU ms each", got[0].cpu*kilo, got[1].cpu*kilo, goal{})
}
