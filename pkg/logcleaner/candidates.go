package logcleaner

import (
	"fmt"
	"math"

	"gregor/pkg/commitlog"
)

// Candidate is a log with a section that may be compacted.
type Candidate struct {
	Log *commitlog.Log
	// FirstDirty is the offset up to which the log was compacted before,
	// FirstUncleanable the one from which on it may not be yet.
	FirstDirty       int64
	FirstUncleanable int64
	Ratio            float64 // of the bytes that may be compacted, among those and the clean ones

	total, cleanable int64 // bytes
	delayMs          int64 // by which max.compaction.lag.ms has passed
	truncations      int64 // of the log, when it was looked at
	resetCheckpoint  bool  // it was outside the log
	seen             round // among what it was chosen
}

// round is what a selection saw of all logs.
type round struct {
	cleanable, delayed int   // logs that are due, and because of max.compaction.lag.ms
	maxDelayMs         int64 // by which the latest one is
}

// due reports whether the log should be compacted now.
func (c *Candidate) due() bool {
	return c.delayMs > 0 && c.cleanable > 0 || c.Ratio > c.Log.Options().MinCleanableDirtyRatio
}

// candidate looks what of a log may be compacted. checkpoint is its first
// dirty offset, negative when nothing is known.
func candidate(l *commitlog.Log, checkpoint, truncations, nowMs int64, warn func(format string, args ...any)) (Candidate, error) {
	c := Candidate{Log: l, truncations: truncations}
	opts := l.Options()
	c.firstDirty(checkpoint, &opts, warn)
	limit, err := c.limit(&opts, nowMs)
	if err != nil {
		return c, err
	}
	// A segment is compacted as a whole or not at all.
	active := l.ActiveBase()
	c.FirstUncleanable = active
	if nonActive := l.SegmentsBetween(limit, active); len(nonActive) > 0 {
		c.FirstUncleanable = nonActive[0].Base()
	}
	c.cleanable = sumSizes(l.SegmentsBetween(min(c.FirstDirty, c.FirstUncleanable), c.FirstUncleanable))
	c.total = c.cleanable + sumSizes(l.SegmentsBetween(-1, c.FirstDirty))
	if c.total > 0 {
		c.Ratio = float64(c.cleanable) / float64(c.total)
	}
	c.delayMs, err = c.delay(&opts, nowMs)
	return c, err
}

func (c *Candidate) firstDirty(checkpoint int64, opts *commitlog.Options, warn func(format string, args ...any)) {
	start, end := c.Log.LogStartOffset(), c.Log.LogEndOffset()
	c.FirstDirty = checkpoint
	switch {
	case checkpoint < 0:
		c.FirstDirty = start
	case checkpoint < start:
		if !opts.Delete {
			warn("Resetting first dirty offset of %s to log start offset %d since the checkpointed offset %d is invalid.", c.Log.Partition(), start, checkpoint)
		}
		c.FirstDirty, c.resetCheckpoint = start, true
	case checkpoint > end:
		warn("The last checkpoint dirty offset for partition %s is %d, which is larger than the log end offset %d. Resetting to the log start offset %d.", c.Log.Partition(), checkpoint, end, start)
		c.FirstDirty, c.resetCheckpoint = start, true
	}
}

// limit is the offset up to which nothing forbids compaction: the last
// stable offset, the active segment, the first dirty segment that is younger
// than min.compaction.lag.ms.
func (c *Candidate) limit(opts *commitlog.Options, nowMs int64) (int64, error) {
	active := c.Log.ActiveBase()
	limit := min(c.Log.LastStableOffset(), active)
	if opts.MinCompactionLagMs > 0 {
		for _, s := range c.Log.SegmentsBetween(c.FirstDirty, active) {
			largest, err := s.LargestTimestamp()
			if err != nil {
				return 0, fmt.Errorf("segment %d: %w", s.Base(), err)
			}
			if largest > nowMs-opts.MinCompactionLagMs {
				limit = min(limit, s.Base())
				break
			}
		}
	}
	return max(c.FirstDirty, limit), nil
}

// delay is for how long the oldest dirty segment has been due because of
// max.compaction.lag.ms.
func (c *Candidate) delay(opts *commitlog.Options, nowMs int64) (int64, error) {
	until := nowMs - opts.MaxCompactionLagMs
	if opts.MaxCompactionLagMs <= 0 || until <= 0 {
		return 0, nil
	}
	earliest := int64(math.MaxInt64)
	for _, s := range c.Log.SegmentsBetween(c.FirstDirty, c.Log.ActiveBase()) {
		first, err := c.Log.FirstTimestamp(s)
		if err != nil {
			return 0, fmt.Errorf("segment %d: %w", s.Base(), err)
		}
		if first > 0 {
			earliest = min(earliest, first)
		}
	}
	return max(0, until-earliest), nil
}

func sumSizes(segments []commitlog.Segment) (sum int64) {
	for _, s := range segments {
		sum += s.Size()
	}
	return sum
}
