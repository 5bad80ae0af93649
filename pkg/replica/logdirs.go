package replica

import (
	"errors"
	"fmt"

	"gregor/pkg/commitlog"
	"gregor/pkg/kerr"
	"gregor/pkg/model"
)

// FutureLogs is what moves between log directories need of logmanager: a log
// that moves has a copy in the directory it moves to, its future log.
type FutureLogs interface {
	// CheckMove says why a partition cannot be in a directory.
	CheckMove(tp model.TopicPartition, dir string) error
	// PreferDir remembers where a log is to be created that is not here yet.
	PreferDir(tp model.TopicPartition, dir string)
	// Future finds the copy, nil when there is none.
	Future(tp model.TopicPartition) *commitlog.Log
	// CreateFuture begins an empty one.
	CreateFuture(tp model.TopicPartition, dir string) (*commitlog.Log, error)
	// DeleteFuture gives it up; its files go later.
	DeleteFuture(tp model.TopicPartition) error
	// ReplaceWithFuture puts the copy in the log's place; finish, which is
	// to be called when the log may be used again, removes the old one.
	ReplaceWithFuture(tp model.TopicPartition) (finish func(), err error)
}

// LogDirMove asks for the replica of a partition here to be in a log directory
// (KIP-113), and holds why that cannot be.
type LogDirMove struct {
	model.TopicPartition
	Dir string // an absolute path
	Err error
}

// AlterLogDirs begins to move replicas to other log directories and returns
// without waiting for them. A move that is under way to elsewhere is given up.
// For a partition that is not here yet the directory is remembered.
func (m *Manager) AlterLogDirs(moves []LogDirMove) {
	m.changes.Lock()
	defer m.changes.Unlock()
	for i := range moves {
		move := &moves[i]
		err := m.alterLogDir(move.TopicPartition, move.Dir)
		if errors.Is(err, kerr.NotLeaderOrFollower) {
			err = kerr.ReplicaNotAvailable.With("%s", err)
		}
		if move.Err = err; err == nil {
			continue
		}
		switch kerr.Of(err) {
		case kerr.InvalidTopicException, kerr.LogDirNotFound, kerr.ReplicaNotAvailable, kerr.KafkaStorageError:
			m.log.WithError(err).Warnf("%sUnable to alter log dirs for %s", m.prefix(), move.TopicPartition)
		default:
			m.log.WithError(err).Errorf("%sError while changing replica dir for partition %s", m.prefix(), move.TopicPartition)
		}
	}
}

func (m *Manager) alterLogDir(tp model.TopicPartition, dir string) error {
	logs := m.options.Logs
	if err := logs.CheckMove(tp, dir); err != nil {
		return err
	}
	p, err := m.Partition(tp)
	switch {
	case errors.Is(err, kerr.KafkaStorageError):
		return kerr.KafkaStorageError.With("Partition %s is offline", tp)
	case err == nil:
		if future := p.Future(); future != nil && future.ParentDir() != dir {
			if err := m.cancelMove(p); err != nil {
				return err
			}
		}
	}
	logs.PreferDir(tp, dir)
	if err != nil {
		return err
	}
	current := p.Log()
	switch {
	case current == nil:
		return kerr.NotLeaderOrFollower.With("Log for partition %s is not available on broker %d", tp, m.options.BrokerID)
	case current.ParentDir() == dir:
		m.partitionLog.Infof("%sCurrent log directory %s is same as requested log dir %s. Skipping future replica creation.", p.logPrefix(), dir, dir)
		return nil
	case p.Future() != nil:
		return nil
	}
	future, err := logs.CreateFuture(tp, dir)
	if err != nil {
		return err
	}
	m.partitionLog.Infof("%sNo checkpointed highwatermark is found for partition %s", p.logPrefix(), tp)
	m.move(p, future)
	m.moving.add([]*Partition{p})
	return nil
}

// cancelMove gives the copy of a partition up. changes is held.
func (m *Manager) cancelMove(p *Partition) error {
	m.moving.remove([]model.TopicPartition{p.TopicPartition})
	p.setFuture(nil)
	return m.options.Logs.DeleteFuture(p.TopicPartition)
}

// resumeMoves goes on with the copies of partitions that have just got their
// role: found at the start, or stopped for a while. changes is held.
func (m *Manager) resumeMoves(assignments []assignment, results []PartitionResult) {
	var resumed []*Partition
	for i := range assignments {
		tp := results[i].TopicPartition
		if results[i].Err != nil {
			continue
		}
		future := m.options.Logs.Future(tp)
		if future == nil {
			continue
		}
		p, err := m.Partition(tp)
		if err != nil || p.Log() == nil {
			continue
		}
		if future.ParentDir() == p.Log().ParentDir() {
			m.log.Warnf("%sThe copy of %s in %s is given up: the partition is in the same log directory", m.prefix(), tp, future.Dir())
			if err := m.cancelMove(p); err != nil {
				m.log.WithError(err).Errorf("%sThe copy of %s cannot be removed", m.prefix(), tp)
			}
			continue
		}
		if p.Future() == nil {
			m.move(p, future)
		}
		resumed = append(resumed, p)
	}
	m.moving.add(resumed)
}

// move gives a partition the copy that is to take the place of its log.
func (m *Manager) move(p *Partition, future *commitlog.Log) {
	p.setFuture(future)
	m.partitionLog.Infof("%sLog loaded for partition %s with initial high watermark %d", p.logPrefix(), p.TopicPartition, future.HighWatermark())
}

// forgetFutures takes the copies out of service that were in a directory that
// has failed; their logs stay. It returns the names of the partitions. changes
// is held.
func (m *Manager) forgetFutures(dir string) (names []string) {
	var tps []model.TopicPartition
	var partitions []*Partition
	for _, p := range m.Partitions() {
		if future := p.Future(); future != nil && future.ParentDir() == dir {
			tps, names, partitions = append(tps, p.TopicPartition), append(names, p.TopicPartition.String()), append(partitions, p)
		}
	}
	m.moving.remove(tps)
	for _, p := range partitions {
		p.setFuture(nil)
	}
	return names
}

// Future is the copy that the partition's log is moving to, nil when it does
// not move.
func (p *Partition) Future() *commitlog.Log {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.future
}

func (p *Partition) setFuture(l *commitlog.Log) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.future = l
}

// copied is one step of a copy.
type copied struct {
	bytes    int
	replaced bool // the copy is the log now
}

// copier copies a partition's log into its future log. It belongs to one
// mover.
//
// Invariant: when aligned, and Partition.cuts is what it was then, the future
// log is a prefix of the log. A cut of the log is counted before it is made;
// so what was read while the count stood still is of before the cut.
type copier struct {
	manager   *Manager
	partition *Partition
	aligned   bool
	cuts      uint64
}

// errNotMoving says that there is no copy to fill any more.
var errNotMoving = errors.New("the partition does not move")

// tailMax is how much may be left to be copied while the partition stands
// still for the copy to take the log's place.
const tailMax = 256 << 10

// step copies what follows, up to max bytes or one batch. When little is left
// the copy takes the log's place.
func (c *copier) step(buf *[]byte, max int) (copied, error) {
	p := c.partition
	p.mu.RLock()
	log, future := p.log, p.future
	p.mu.RUnlock()
	if log == nil || future == nil {
		return copied{}, errNotMoving
	}
	cuts := p.cuts.Load()
	if !c.aligned || c.cuts != cuts {
		if err := c.align(log, future); err != nil {
			return copied{}, err
		}
		c.aligned, c.cuts = true, cuts
	}
	n, err := c.copy(log, future, buf, max)
	if err != nil || n >= min(max, tailMax) {
		return copied{bytes: n}, err
	}
	// What is durable of the log must be so of its copy.
	if future.RecoveryPoint() < log.RecoveryPoint() {
		if err := future.Flush(); err != nil {
			return copied{bytes: n}, err
		}
	}
	tail, replaced, err := c.replace(log, future, buf)
	return copied{n + tail, replaced}, err
}

// align cuts what the future log has and the log does not: it may have been
// cut while nobody copied (KIP-101). Unlike a follower, which can only ask, it
// sees the epochs of both logs.
func (c *copier) align(log, future *commitlog.Log) error {
	for {
		latest, start, known := future.LatestEpochStart()
		earliest, _, some := log.EarliestEpochStart()
		switch {
		case !known: // it is empty, or its records are of a format without epochs
			high := future.HighWatermark()
			c.manager.moving.log.Infof("%sTruncating partition %s to local high watermark %d", c.manager.moving.prefixOf(c.partition), c.partition.TopicPartition, high)
			return future.TruncateTo(high)
		case !some || latest < earliest: // all of it lies below the log
			return future.TruncateFullyAndStartAt(log.LogStartOffset())
		case latest > log.LatestEpoch():
			if err := future.TruncateTo(start); err != nil {
				return err
			}
			continue
		}
		epoch, end := log.EndOffsetForEpoch(latest)
		cut := cutFor(future, EpochEnd{epoch, end}, start)
		if cut.offset < future.LogEndOffset() {
			if err := future.TruncateTo(cut.offset); err != nil {
				return err
			}
		}
		if cut.done {
			return nil
		}
	}
}

// copy appends one run of the log to the future log and takes over what else
// is known of it. It returns 0 when there is no more, or when the log was cut
// meanwhile.
func (c *copier) copy(log, future *commitlog.Log, buf *[]byte, max int) (int, error) {
	if err := c.withinRange(log, future); err != nil {
		return 0, err
	}
	n, err := c.read(log, future.LogEndOffset(), buf, max)
	if c.partition.cuts.Load() != c.cuts {
		return 0, nil // the next step finds out from where to go on
	}
	if errors.Is(err, kerr.OffsetOutOfRange) {
		return 0, nil // the log start has passed by
	}
	if err == nil && n > 0 {
		before := future.LogEndOffset()
		if err = appendOrRestart(future, (*buf)[:n]); err == nil && future.LogEndOffset() == before {
			err = kerr.CorruptMessage.With("no whole batch at offset %d of %s", before, log.Dir())
		}
	}
	if err != nil {
		return n, err
	}
	future.SetHighWatermark(log.HighWatermark())
	if start := log.LogStartOffset(); start > future.LogStartOffset() && start <= future.HighWatermark() {
		err = future.IncrementLogStartOffset(start, "leader offset increment")
		c.manager.deletes.Wake(c.partition.TopicPartition)
	}
	return n, err
}

// withinRange brings the end of the future log into the range of the log.
func (c *copier) withinRange(log, future *commitlog.Log) error {
	tp, own := c.partition.TopicPartition, future.LogEndOffset()
	if start := log.LogStartOffset(); start > own {
		c.manager.moving.log.Warnf("%sReset fetch offset for partition %s from %d to current leader's start offset %d", c.manager.moving.prefixOf(c.partition), tp, own, start)
		return future.TruncateFullyAndStartAt(start)
	}
	if end := log.LogEndOffset(); end < own && c.partition.cuts.Load() == c.cuts {
		c.manager.moving.log.Warnf("%sReset fetch offset for partition %s from %d to current leader's latest offset %d", c.manager.moving.prefixOf(c.partition), tp, own, end)
		return future.TruncateTo(end)
	}
	return nil
}

// read reads records at an offset into the buffer, which grows to what is
// asked for.
func (c *copier) read(log *commitlog.Log, offset int64, buf *[]byte, max int) (int, error) {
	info, err := log.Read(offset, max, commitlog.LogEnd, true)
	if err != nil {
		return 0, err
	}
	region := &info.Records
	defer releaseRegion(region)
	n := int(region.Length)
	if n == 0 {
		return 0, nil
	}
	if cap(*buf) < n {
		*buf = make([]byte, n)
	}
	if _, err := region.File.ReadAt((*buf)[:n], region.Position); err != nil {
		return 0, fmt.Errorf("read %s at %d: %w", log.Dir(), offset, err)
	}
	return n, nil
}

// replace lets the partition stand still, copies the rest, and puts the future
// log in the log's place. When too much is left it changes nothing.
func (c *copier) replace(log, future *commitlog.Log, buf *[]byte) (bytes int, replaced bool, err error) {
	p := c.partition
	p.mu.Lock()
	finish, bytes, err := c.replaceLocked(log, future, buf)
	p.mu.Unlock()
	if err != nil || finish == nil {
		return bytes, false, err
	}
	finish()
	c.manager.wake(p.TopicPartition)
	return bytes, true, nil
}

func (c *copier) replaceLocked(log, future *commitlog.Log, buf *[]byte) (finish func(), bytes int, err error) {
	p := c.partition
	if p.log != log || p.future != future {
		return nil, 0, errNotMoving
	}
	if p.cuts.Load() != c.cuts {
		return nil, 0, nil
	}
	for future.LogEndOffset() != log.LogEndOffset() {
		n, err := c.copy(log, future, buf, tailMax)
		if bytes += n; err != nil || n == 0 || bytes > 2*tailMax {
			return nil, bytes, err
		}
	}
	future.SetHighWatermark(log.HighWatermark())
	// An epoch that began without a record is not in what was copied.
	if epoch, start, known := log.LatestEpochStart(); known && epoch > future.LatestEpoch() {
		if err := future.AssignEpochStart(epoch, start); err != nil {
			return nil, bytes, err
		}
	}
	finish, err = c.manager.options.Logs.ReplaceWithFuture(p.TopicPartition)
	if err != nil {
		return nil, bytes, err
	}
	p.log, p.future = future, nil
	p.turns.Add(1)
	return finish, bytes, nil
}
