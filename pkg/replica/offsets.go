package replica

import (
	"gregor/pkg/commitlog"
	"gregor/pkg/kerr"
	"gregor/pkg/model"
)

// Timestamps of a ListOffsets request that are none.
const (
	LatestTimestamp   = commitlog.LatestTimestamp
	EarliestTimestamp = commitlog.EarliestTimestamp
)

// OffsetQuery asks for an offset of a partition by time.
type OffsetQuery struct {
	model.TopicPartition
	Timestamp   int64
	LeaderEpoch model.LeaderEpoch
	LeaderOnly  bool
	// Client is whether a consumer asks, which sees the log up to Isolation;
	// others see it to its end.
	Client    bool
	Isolation commitlog.Isolation
}

// TimestampOffset is what was found. Offset is -1 when nothing was.
type TimestampOffset struct {
	Timestamp   int64
	Offset      int64
	LeaderEpoch model.LeaderEpoch
}

// OffsetForTimestamp finds the first record at or after a time, the start or
// the end of the log. While a new leader has not caught up with what its
// predecessor committed, consumers are told OFFSET_NOT_AVAILABLE instead of an
// end that could go back (KIP-207).
func (m *Manager) OffsetForTimestamp(q OffsetQuery) (TimestampOffset, error) {
	none := TimestampOffset{Timestamp: -1, Offset: -1, LeaderEpoch: model.NoLeaderEpoch}
	p, err := m.Partition(q.TopicPartition)
	if err != nil {
		return none, err
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	log, err := p.readableLocked(q.LeaderEpoch, q.LeaderOnly)
	if err != nil {
		return none, err
	}
	isolation := commitlog.LogEnd
	if q.Client {
		isolation = q.Isolation
	}
	end := bound(log, isolation)
	lagging := q.Client && p.leads() && p.leaderSince > log.HighWatermark()
	if q.Timestamp == LatestTimestamp {
		if lagging {
			return none, kerr.OffsetNotAvailable
		}
		return TimestampOffset{-1, end, p.leaderEpoch}, nil
	}
	if q.Timestamp == EarliestTimestamp {
		return TimestampOffset{-1, log.LogStartOffset(), epochOfStart(log)}, nil
	}
	timestamp, offset, epoch, found, err := log.OffsetForTimestamp(q.Timestamp)
	switch {
	case err != nil:
		return none, err
	case found && offset < end:
		return TimestampOffset{timestamp, offset, epoch}, nil
	case lagging:
		return none, kerr.OffsetNotAvailable
	}
	return none, nil
}

// epochOfStart is the leader epoch of the first record, if the epochs known
// reach back so far.
func epochOfStart(log *commitlog.Log) model.LeaderEpoch {
	epoch, start, found := log.EarliestEpochStart()
	if !found || start > log.LogStartOffset() {
		return model.NoLeaderEpoch
	}
	return epoch
}

// LegacyOffsets is ListOffsets of version 0: the starts of segments that are
// old enough, the newest first, at most limit of them. For clients none lies
// above the high watermark.
func (m *Manager) LegacyOffsets(q OffsetQuery, limit int) ([]int64, error) {
	p, err := m.Partition(q.TopicPartition)
	if err != nil {
		return nil, err
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	log, err := p.readableLocked(q.LeaderEpoch, q.LeaderOnly)
	if err != nil {
		return nil, err
	}
	offsets := log.LegacyOffsetsBefore(q.Timestamp, limit)
	if !q.Client {
		return offsets, nil
	}
	return capOffsets(offsets, log.HighWatermark()), nil
}

// capOffsets replaces the offsets above high, which lead the list, by high.
func capOffsets(offsets []int64, high int64) []int64 {
	for i, o := range offsets {
		if o <= high {
			if i == 0 {
				return offsets
			}
			return append([]int64{high}, offsets[i:]...)
		}
	}
	if len(offsets) == 0 {
		return offsets
	}
	return []int64{high}
}

// EndOfEpoch finds where an epoch, or the largest known one below it, ends in
// the log. Both are -1 when that is not known.
func (m *Manager) EndOfEpoch(tp model.TopicPartition, current, epoch model.LeaderEpoch) (EpochEnd, error) {
	none := EpochEnd{model.NoLeaderEpoch, unknownOffset}
	p, err := m.Partition(tp)
	if err != nil {
		return none, err
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	log, err := p.readableLocked(current, true)
	if err != nil {
		return none, err
	}
	found, end := log.EndOffsetForEpoch(epoch)
	return EpochEnd{found, end}, nil
}
