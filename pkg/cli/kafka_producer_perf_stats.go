package cli

import (
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
)

// sendStats counts records that were answered, and shows a line every five
// seconds and one at the end. Latencies are whole milliseconds, of which half
// a million samples are kept.
type sendStats struct {
	out      io.Writer
	sampling int64 // every how many records one sample is kept
	begun    time.Time

	// mu guards the fields below: refused records come from the sender, the
	// others from the client.
	mu          sync.Mutex
	samples     []int32
	all, window sendCount
	windowBegun time.Time
}

// sendCount is what was counted in a time.
type sendCount struct {
	records, bytes  int64
	latency, maxLat int64 // ms
}

const (
	latencySamples = 500_000
	statsInterval  = 5 * time.Second
	mebibyte       = 1024 * 1024
)

func newSendStats(out io.Writer, records int64) *sendStats {
	now := time.Now()
	kept := min(records, latencySamples)
	return &sendStats{out: out, sampling: records / kept, begun: now, windowBegun: now, samples: make([]int32, 0, kept)}
}

// record notes a record that was begun to be sent at a time.
//
// Hot path: no allocation.
func (s *sendStats) record(begun time.Time, size int) {
	now := time.Now()
	latency := now.UnixMilli() - begun.UnixMilli()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all.records%s.sampling == 0 && len(s.samples) < cap(s.samples) {
		s.samples = append(s.samples, int32(latency))
	}
	s.all.add(latency, size)
	s.window.add(latency, size)
	if elapsed := now.Sub(s.windowBegun); elapsed >= statsInterval {
		w := &s.window
		fmt.Fprintf(s.out, "%d records sent, %.1f records/sec (%.2f MB/sec), %.1f ms avg latency, %.1f ms max latency.\n", w.records,
			perSecond(float64(w.records), elapsed), perSecond(float64(w.bytes), elapsed)/mebibyte, float64(w.latency)/float64(w.records), float64(w.maxLat))
		s.window, s.windowBegun = sendCount{}, now
	}
}

func (c *sendCount) add(latency int64, size int) {
	c.records++
	c.bytes += int64(size)
	c.latency += latency
	c.maxLat = max(c.maxLat, latency)
}

func perSecond(n float64, elapsed time.Duration) float64 {
	return 1000 * n / float64(max(elapsed.Milliseconds(), 1))
}

// total shows the last line.
func (s *sendStats) total() {
	s.mu.Lock()
	defer s.mu.Unlock()
	elapsed, a := time.Since(s.begun), &s.all
	slices.Sort(s.samples)
	at := func(share float64) int32 {
		if len(s.samples) == 0 {
			return 0
		}
		return s.samples[min(int(share*float64(len(s.samples))), len(s.samples)-1)]
	}
	fmt.Fprintf(s.out, "%d records sent, %f records/sec (%.2f MB/sec), %.2f ms avg latency, %.2f ms max latency, %d ms 50th, %d ms 95th, %d ms 99th, %d ms 99.9th.\n",
		a.records, perSecond(float64(a.records), elapsed), perSecond(float64(a.bytes), elapsed)/mebibyte,
		float64(a.latency)/float64(max(a.records, 1)), float64(a.maxLat), at(0.5), at(0.95), at(0.99), at(0.999))
}
