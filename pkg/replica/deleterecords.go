package replica

import (
	"context"
	"time"

	"gregor/pkg/kerr"
	"gregor/pkg/model"
)

// UpToHighWatermark as the offset of a Deletion asks for everything that is
// committed to be deleted.
const UpToHighWatermark int64 = -1

// Deletion asks for the records of one partition below an offset to be
// deleted (KIP-107), and holds what came of it.
type Deletion struct {
	model.TopicPartition
	Offset int64 // or UpToHighWatermark

	// LowWatermark is the smallest log start offset among the live replicas,
	// -1 when it is not known.
	LowWatermark int64
	Err          error

	required int64 // the offset that was settled upon
	settled  bool  // nothing is left to wait for
}

// DeleteRecords raises the log start offsets of partitions that this broker
// leads, and waits until every live replica has followed. What has not when
// the time is up, or ctx done, answers REQUEST_TIMED_OUT and follows later.
func (m *Manager) DeleteRecords(ctx context.Context, timeout time.Duration, deletions []Deletion) {
	for i := range deletions {
		m.deleteRecords(&deletions[i])
	}
	var keys []model.TopicPartition
	for i := range deletions {
		if d := &deletions[i]; !d.settled {
			keys = append(keys, d.TopicPartition)
		}
	}
	if len(keys) == 0 || m.deletes.Wait(ctx, keys, timeout, func() bool { return m.everywhereDeleted(deletions) }) {
		return
	}
	for i := range deletions {
		if d := &deletions[i]; !d.settled {
			d.settled, d.Err = true, kerr.RequestTimedOut
		}
	}
}

// deleteRecords raises the log start offset here.
func (m *Manager) deleteRecords(d *Deletion) {
	d.LowWatermark, d.required, d.settled = unknownOffset, d.Offset, true
	if model.IsInternalTopic(d.Topic) {
		d.Err = kerr.InvalidTopicException.With("Cannot delete records of internal topic %s", d.Topic)
		return
	}
	p, err := m.Partition(d.TopicPartition)
	if err == nil {
		d.required, d.LowWatermark, err = m.deleteAsLeader(p, d.Offset)
	}
	if d.Err = err; err == nil {
		d.settled = d.LowWatermark >= d.required
		return
	}
	switch kerr.Of(err) {
	case kerr.UnknownTopicOrPartition, kerr.NotLeaderOrFollower, kerr.OffsetOutOfRange, kerr.PolicyViolation, kerr.KafkaStorageError:
	default:
		m.log.WithError(err).Errorf("%sError processing delete records operation on partition %s", m.prefix(), d.TopicPartition)
	}
}

// deleteAsLeader is the part of it that needs the partition's leadership.
func (m *Manager) deleteAsLeader(p *Partition, offset int64) (required, low int64, err error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	log, err := p.readableLocked(model.NoLeaderEpoch, true)
	if err != nil {
		return offset, unknownOffset, err
	}
	if !log.Options().Delete {
		return offset, unknownOffset, kerr.PolicyViolation.With("Records of partition %s can not be deleted due to the configured policy", p.TopicPartition)
	}
	if offset == UpToHighWatermark {
		offset = log.HighWatermark()
	}
	if offset < 0 {
		return offset, unknownOffset, kerr.OffsetOutOfRange.With("The offset %d for partition %s is not valid", offset, p.TopicPartition)
	}
	if err := log.IncrementLogStartOffset(offset, "client delete records request"); err != nil {
		return offset, unknownOffset, err
	}
	return offset, m.lowWatermarkLocked(p), nil
}

// everywhereDeleted settles what can be settled and reports whether all is.
func (m *Manager) everywhereDeleted(deletions []Deletion) bool {
	all := true
	for i := range deletions {
		d := &deletions[i]
		if d.settled {
			continue
		}
		low, err := m.lowWatermark(d.TopicPartition)
		if err != nil || low >= d.required {
			d.settled, d.LowWatermark, d.Err = true, low, err
		}
		all = all && d.settled
	}
	return all
}

func (m *Manager) lowWatermark(tp model.TopicPartition) (int64, error) {
	p, err := m.Partition(tp)
	if err != nil {
		if kerr.Of(err) == kerr.NotLeaderOrFollower {
			err = kerr.UnknownTopicOrPartition // the replica here went away meanwhile
		}
		return unknownOffset, err
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	if _, err := p.readableLocked(model.NoLeaderEpoch, true); err != nil {
		return unknownOffset, err
	}
	return m.lowWatermarkLocked(p), nil
}

// lowWatermarkLocked is the smallest log start offset of the replicas whose
// brokers are alive, and of the copy that the log here moves to. A replica that has not fetched from this leader yet is
// not known to have followed. The partition leads, and its lock is held for
// reading.
func (m *Manager) lowWatermarkLocked(p *Partition) int64 {
	low := p.log.LogStartOffset()
	if p.future != nil {
		low = min(low, p.future.LogStartOffset())
	}
	cluster := m.options.Metadata.Snapshot()
	p.progress.Lock()
	defer p.progress.Unlock()
	for id, r := range p.remote {
		if r.logStartOffset >= low {
			continue
		}
		if _, alive := cluster.Broker(id); alive {
			low = r.logStartOffset
		}
	}
	return low
}
