package replica

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"gregor/pkg/commitlog"
	"gregor/pkg/kerr"
	"gregor/pkg/model"
)

// movers copy logs into other log directories; there are
// num.replica.alter.log.dirs.threads of them at most, each with its share of
// the partitions. One that has nothing to do ends.
type movers struct {
	manager    *Manager
	log        *logrus.Entry // kafka.server.ReplicaAlterLogDirsThread
	managerLog *logrus.Entry // kafka.server.ReplicaAlterLogDirsManager

	mu   sync.Mutex // guards byID; mover.mu is below
	byID map[int]*mover
}

// mover copies one partition after the other, so that each is done soon.
type mover struct {
	movers *movers
	id     int
	wake   chan struct{}
	buf    []byte // of the goroutine alone

	// mu guards the fields below. It is held during a step, so that nothing
	// is copied any more once a partition is removed.
	mu      sync.Mutex
	moves   map[model.TopicPartition]*moveState
	subject *moveState // the move that is under way, nil between two
}

// moveState is a partition that moves.
type moveState struct {
	copier
	notBefore time.Time // after an error
}

func newMovers(m *Manager) *movers {
	return &movers{manager: m, byID: map[int]*mover{},
		log:        m.options.Loggers.Logger("kafka.server.ReplicaAlterLogDirsThread"),
		managerLog: m.options.Loggers.Logger("kafka.server.ReplicaAlterLogDirsManager"),
	}
}

func (v *movers) idOf(tp model.TopicPartition) int { return fetcherID(tp, v.manager.options.Movers) }

// prefixOf begins the log lines about a partition.
func (v *movers) prefixOf(p *Partition) string { return moverPrefix(v.idOf(p.TopicPartition)) }

func moverPrefix(id int) string { return fmt.Sprintf("[ReplicaAlterLogDirsThread-%d]: ", id) }

// add begins, or goes on, to copy partitions that have a future log.
func (v *movers) add(partitions []*Partition) {
	if len(partitions) == 0 {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	states := make([]string, len(partitions))
	for i, p := range partitions {
		id := v.idOf(p.TopicPartition)
		one := v.byID[id]
		if one == nil {
			one = &mover{movers: v, id: id, wake: make(chan struct{}, 1), moves: map[model.TopicPartition]*moveState{}}
			v.byID[id] = one
			one.add(p)
			one.start()
		} else {
			one.add(p)
		}
		states[i] = fmt.Sprintf("%s -> InitialFetchState(BrokerEndPoint(id=%d, host=localhost:-1),%d,%d)", p.TopicPartition, p.broker, p.State().LeaderEpoch, futureHighWatermark(p))
	}
	v.managerLog.Infof("[ReplicaAlterLogDirsManager on broker %d] Added log dir fetcher for partitions with initial offsets Map(%s)",
		v.manager.options.BrokerID, strings.Join(states, ", "))
}

func futureHighWatermark(p *Partition) int64 {
	if future := p.Future(); future != nil {
		return future.HighWatermark()
	}
	return 0
}

// remove stops copying partitions: when it returns nothing more is copied, and
// no copy takes the place of its log.
func (v *movers) remove(tps []model.TopicPartition) {
	v.mu.Lock()
	defer v.mu.Unlock()
	var names []string
	for _, tp := range tps {
		if one := v.byID[v.idOf(tp)]; one != nil && one.remove(tp) {
			names = append(names, tp.String())
		}
	}
	if len(names) > 0 {
		v.managerLog.Infof("[ReplicaAlterLogDirsManager on broker %d] Removed fetcher for partitions Set(%s)", v.manager.options.BrokerID, joined(names))
	}
}

// endIdle takes a mover out of service that has nothing to do.
func (v *movers) endIdle(one *mover) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	one.mu.Lock()
	defer one.mu.Unlock()
	if len(one.moves) > 0 {
		return false
	}
	delete(v.byID, one.id)
	return true
}

func (v *mover) add(p *Partition) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.moves[p.TopicPartition] == nil {
		v.moves[p.TopicPartition] = &moveState{copier: copier{manager: v.movers.manager, partition: p}}
	}
	select {
	case v.wake <- struct{}{}:
	default:
	}
}

func (v *mover) remove(tp model.TopicPartition) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	_, found := v.moves[tp]
	v.dropLocked(tp)
	return found
}

func (v *mover) dropLocked(tp model.TopicPartition) {
	if v.subject == v.moves[tp] {
		v.subject = nil
	}
	delete(v.moves, tp)
}

func (v *mover) start() {
	prefix, log := moverPrefix(v.id), v.movers.log
	v.movers.manager.group.Go(fmt.Sprintf("log-dir-mover-%d", v.id), func(ctx context.Context) error {
		log.Infof("%sStarting", prefix)
		v.run(ctx)
		for _, line := range []string{"Shutting down", "Stopped", "Shutdown completed"} {
			log.Info(prefix + line)
		}
		return nil
	})
}

// throttlePause is how long a mover waits before it asks the quota again.
const throttlePause = 100 * time.Millisecond

func (v *mover) run(ctx context.Context) {
	quota := v.movers.manager.options.Quotas.LogDirs
	for ctx.Err() == nil && !v.movers.endIdle(v) {
		now := time.Now()
		if quota.Exceeded(now) {
			v.rest(ctx, throttlePause)
			continue
		}
		if !v.step(now) {
			v.rest(ctx, max(v.movers.manager.options.Fetching.Backoff, restMin))
		}
	}
}

// rest waits for new moves, or until the time has passed.
func (v *mover) rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-v.wake:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// step does one step of the move under way, or of the first one that is ready.
// It reports false when none is.
func (v *mover) step(now time.Time) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.nextLocked(now)
	if s == nil {
		return false
	}
	tp := s.partition.TopicPartition
	done, err := s.step(&v.buf, v.movers.manager.options.Fetching.PartitionMaxBytes)
	if done.bytes > 0 {
		v.movers.manager.options.Quotas.LogDirs.Record(done.bytes, now)
	}
	switch {
	case err != nil:
		v.failedLocked(tp, s, err, now)
	case done.replaced:
		v.dropLocked(tp)
	}
	return true
}

// nextLocked chooses what to copy: the same partition until it has moved,
// then the first by name.
func (v *mover) nextLocked(now time.Time) *moveState {
	if v.subject != nil && !v.subject.notBefore.After(now) {
		return v.subject
	}
	v.subject = nil
	for tp, s := range v.moves {
		if !s.notBefore.After(now) && (v.subject == nil || tp.Compare(v.subject.partition.TopicPartition) < 0) {
			v.subject = s
		}
	}
	if v.subject != nil {
		tp, offset := v.subject.partition.TopicPartition, int64(0)
		if future := v.subject.partition.Future(); future != nil {
			offset = future.LogEndOffset()
		}
		v.movers.log.Infof("%sBeginning/resuming copy of partition %s from offset %d. Including this partition, there are %d remaining partitions to copy by this thread.",
			moverPrefix(v.id), tp, offset, len(v.moves))
	}
	return v.subject
}

// failedLocked deals with a step that failed. What is broken in the log is
// tried again, since another replica may mend it; anything else waits for the
// next LeaderAndIsr, or for another move to be asked for.
func (v *mover) failedLocked(tp model.TopicPartition, s *moveState, err error, now time.Time) {
	prefix, log := moverPrefix(v.id), v.movers.log
	switch {
	case errors.Is(err, errNotMoving):
		v.dropLocked(tp)
	case kerr.Of(err) == kerr.CorruptMessage:
		log.Errorf("%sFound invalid messages during fetch for partition %s: %v", prefix, tp, err)
		s.notBefore = now.Add(max(v.movers.manager.options.Fetching.Backoff, restMin))
	case errors.Is(err, commitlog.ErrClosed), kerr.Of(err) == kerr.KafkaStorageError:
		log.Warnf("%sPartition %s marked as failed: %v", prefix, tp, err)
		v.dropLocked(tp)
	default:
		log.WithError(err).Errorf("%sUnexpected error occurred while processing data for partition %s", prefix, tp)
		log.Warnf("%sPartition %s marked as failed", prefix, tp)
		v.dropLocked(tp)
	}
}
