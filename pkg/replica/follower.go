package replica

import (
	"errors"
	"fmt"

	"gregor/pkg/commitlog"
	"gregor/pkg/model"
	"gregor/pkg/record"
)

// errNotFollowing says that the partition no longer follows the leader of the
// epoch that something came from; it is dropped.
var errNotFollowing = errors.New("the partition does not follow this leader any more")

// followingLocked is the log, if the partition follows in that epoch.
func (p *Partition) followingLocked(epoch model.LeaderEpoch) (*commitlog.Log, error) {
	if p.log == nil || p.leader == p.broker || p.leaderEpoch != epoch || p.offline.Load() {
		return nil, errNotFollowing
	}
	return p.log, nil
}

// fetched is what a leader sent for a partition.
type fetched struct {
	offset         int64 // asked for
	records        []byte
	highWatermark  int64
	logStartOffset int64
}

// appendFromLeader appends what was fetched, as it is, and takes over the
// leader's high watermark and log start. It reports whether readers here can
// see more now.
//
// Hot path of a follower: the records go from the buffer of the connection to
// the file.
func (p *Partition) appendFromLeader(epoch model.LeaderEpoch, f fetched) (more bool, err error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	log, err := p.followingLocked(epoch)
	if err != nil {
		return false, err
	}
	if end := log.LogEndOffset(); end != f.offset {
		return false, fmt.Errorf("offset mismatch for partition %s: fetched offset = %d, log end offset = %d", p.TopicPartition, f.offset, end)
	}
	if len(f.records) > 0 {
		if err := appendOrRestart(log, f.records); err != nil {
			return false, err
		}
	}
	before := log.HighWatermark()
	log.SetHighWatermark(f.highWatermark)
	if f.logStartOffset > log.LogStartOffset() {
		if err := log.IncrementLogStartOffset(f.logStartOffset, "leader offset increment"); err != nil {
			return false, err
		}
	}
	return log.HighWatermark() != before, nil
}

// appendOrRestart appends a leader's batches. When the leader's log begins
// within a batch, as it may after DeleteRecords, an empty log begins anew
// where the batch does.
func appendOrRestart(log *commitlog.Log, records []byte) error {
	_, err := log.AppendAsFollower(records)
	if !errors.Is(err, commitlog.ErrUnexpectedOffset) {
		return err
	}
	first, _, splitErr := record.Split(records)
	end := log.LogEndOffset()
	if splitErr != nil || log.LogStartOffset() != end || first.BaseOffset() >= end || first.LastOffset() < end {
		return err
	}
	if err := log.TruncateFullyAndStartAt(first.BaseOffset()); err != nil {
		return err
	}
	_, err = log.AppendAsFollower(records)
	return err
}

// cut is how far a follower drops what its leader does not have.
type cut struct {
	offset int64
	done   bool // it is known to be far enough; else the leader is asked again
}

// cutFor compares where an epoch ends at the leader with the own log
// (KIP-101, KIP-279). start is where the follower began to follow.
func cutFor(log *commitlog.Log, answer EpochEnd, start int64) cut {
	end := log.LogEndOffset()
	switch {
	case answer.Offset == unknownOffset:
		return cut{min(start, end), true}
	case answer.Epoch == model.NoLeaderEpoch: // version 0 does not tell
		return cut{min(answer.Offset, end), true}
	}
	own, ownEnd := log.EndOffsetForEpoch(answer.Epoch)
	switch {
	case own == model.NoLeaderEpoch || ownEnd == unknownOffset:
		return cut{min(answer.Offset, end), true}
	case own != answer.Epoch:
		return cut{min(ownEnd, end), false}
	default:
		return cut{min(ownEnd, answer.Offset, end), true}
	}
}

// truncate drops what lies at and behind an offset, and reports whether there
// was something.
func (p *Partition) truncate(epoch model.LeaderEpoch, offset int64) (did bool, err error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	log, err := p.followingLocked(epoch)
	if err != nil {
		return false, err
	}
	if high := log.HighWatermark(); offset < high {
		p.journal.Warnf("%sTruncating %s to offset %d below high watermark %d", p.logPrefix(), p.TopicPartition, offset, high)
	}
	did = offset < log.LogEndOffset()
	p.turns.Add(1)
	p.cuts.Add(1)
	return did, log.TruncateTo(offset)
}

// restart drops the whole log, which begins anew at an offset.
func (p *Partition) restart(epoch model.LeaderEpoch, offset int64) error {
	p.mu.RLock()
	defer p.mu.RUnlock()
	log, err := p.followingLocked(epoch)
	if err != nil {
		return err
	}
	p.turns.Add(1)
	p.cuts.Add(1)
	return log.TruncateFullyAndStartAt(offset)
}

// initialOffset is where following begins: at the log end where each fetch
// tells the last epoch, so that the leader notices a divergence, else at the
// high watermark, which no leader can lack.
func (p *Partition) initialOffset(truncateOnFetch bool) int64 {
	p.mu.RLock()
	defer p.mu.RUnlock()
	switch {
	case p.log == nil:
		return 0
	case truncateOnFetch && p.log.LatestEpoch() != model.NoLeaderEpoch:
		return p.log.LogEndOffset()
	default:
		return p.log.HighWatermark()
	}
}
