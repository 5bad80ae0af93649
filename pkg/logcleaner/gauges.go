package logcleaner

import "time"

// Gauges is what Kafka shows of its cleaner (kafka.log:type=LogCleaner and
// LogCleanerManager).
type Gauges struct {
	MaxBufferUtilizationPercent int           // of the last cleanings of all threads
	RecopyPercent               int           // bytes written by them to bytes read
	MaxCleanTime                time.Duration // the longest of them
	MaxCompactionDelay          time.Duration
	MaxDirtyPercent             int // of the dirtiest log when one was last chosen
	SinceLastRun                time.Duration
}

// Gauges may be asked at any time.
func (c *Cleaner) Gauges() Gauges {
	c.mu.Lock()
	defer c.mu.Unlock()
	g := Gauges{MaxDirtyPercent: int(100 * c.maxRatio)}
	if !c.lastRun.IsZero() {
		g.SinceLastRun = time.Since(c.lastRun)
	}
	var read, written int64
	for _, run := range c.last {
		s := &run.stats
		read, written = read+s.BytesRead, written+s.BytesWritten
		g.MaxBufferUtilizationPercent = max(g.MaxBufferUtilizationPercent, int(100*s.BufferUtilization))
		g.MaxCleanTime = max(g.MaxCleanTime, s.Ended.Sub(s.Started))
		g.MaxCompactionDelay = max(g.MaxCompactionDelay, time.Duration(run.maxDelayMs)*time.Millisecond)
	}
	g.RecopyPercent = int(100 * float64(written) / float64(max(1, read)))
	return g
}
