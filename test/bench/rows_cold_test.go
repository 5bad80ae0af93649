//go:build bench

package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// cold measures a consumer that reads what the page cache has no longer, and
// what a consumer at the end of another partition feels of it.
func cold(t *testing.T, tb *table, p *pair) {
	const records, size, times = 62, 1024, 16000
	one := batch(t, records, size)
	for _, s := range p {
		c := s.connect(t)
		c.create("cold", 1)
		c.create("hot", 1)
		c.produce(produceFrame("cold", one), times)
		c.close()
	}
	total := float64(times * len(one))
	read := func(s *side) cost {
		s.dropCache(t, "cold")
		c := s.connect(t)
		defer c.close()
		return costOf(s, total/giga, func() { c.catchUp("cold", records*times) })
	}
	got := p.costs(3, read)
	tb.add(t, "catch-up fetch from cold files", "CPU s / GB", got[0].cpu, got[1].cpu, goal{ratioAtMost: 0.8})
	tb.add(t, "", "GB/s", got[0].rate, got[1].rate, goal{})

	var alone, beside [2][]float64
	for range 3 {
		for i, s := range p {
			alone[i] = append(alone[i], s.hotLatency(t))
			var reader sync.WaitGroup
			s.dropCache(t, "cold")
			c := s.connect(t)
			reader.Go(func() { c.catchUp("cold", records*times) })
			beside[i] = append(beside[i], s.hotLatency(t))
			reader.Wait()
			c.close()
		}
	}
	tb.add(t, "end to end p99, alone", "ms", median(alone[0]), median(alone[1]), goal{})
	tb.add(t, "end to end p99, beside a cold reader", "ms", median(beside[0]), median(beside[1]), goal{atMost: 1.2 * median(alone[0])})
	for _, s := range p {
		c := s.connect(t)
		c.remove("cold")
		c.remove("hot")
		c.close()
	}
}

// dropCache writes a topic's files to the disk and drops them from the page
// cache.
func (s *side) dropCache(t *testing.T, topic string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(s.dir, topic+"-*", "*.log"))
	require.NoError(t, err)
	require.NotEmpty(t, names)
	for _, name := range names {
		f, err := os.Open(name)
		require.NoError(t, err)
		require.NoError(t, f.Sync())
		require.NoError(t, unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED))
		require.NoError(t, f.Close())
	}
}

// hotLatency is the 99th percentile, in milliseconds, of what passes from a
// produce request to its record in the answer to a fetch that waits for it.
func (s *side) hotLatency(t *testing.T) float64 {
	t.Helper()
	const count = 400
	producer, consumer := s.connect(t), s.connect(t)
	defer producer.close()
	defer consumer.close()
	offset := consumer.end("hot")
	var sent time.Time
	arrived := make(chan time.Time)
	go func() {
		defer close(arrived)
		for n := range int64(count) {
			consumer.catchUpTo("hot", offset+n, offset+n+1)
			arrived <- time.Now()
		}
	}()
	request := produceFrame("hot", batch(t, 1, 100))
	var took []float64
	for range count {
		sent = time.Now()
		producer.produce(request, 1)
		at, ok := <-arrived
		require.True(t, ok, fmt.Sprintf("the consumer stopped behind %d records", len(took)))
		took = append(took, milliseconds(at.Sub(sent)))
		time.Sleep(time.Millisecond) // a rate that is far from the ceiling
	}
	slices.Sort(took)
	return took[count*99/100]
}
