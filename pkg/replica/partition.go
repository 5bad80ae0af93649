package replica

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"gregor/pkg/commitlog"
	"gregor/pkg/kerr"
	"gregor/pkg/model"
)

// Partition is one partition hosted by this broker.
//
// Invariant: logStart <= lastStable <= highWatermark <= logEnd, which
// commitlog keeps; leaderEpoch never falls; isr is a subset of replicas and
// empty unless this broker leads.
type Partition struct {
	model.TopicPartition
	broker   model.BrokerID
	lagMax   time.Duration
	journal  *logrus.Entry
	settings atomic.Pointer[TopicSettings]
	offline  atomic.Bool // its log directory has failed
	gone     atomic.Bool // it is hosted no more

	// turns counts what makes a waiting request look again although no
	// offset moved: a change of leadership, removal, a failed directory.
	turns atomic.Uint64

	// cuts counts how often the log was cut, each time before it is done.
	cuts atomic.Uint64

	// mu guards the fields below. It is held for reading while the log is
	// appended to or read, so that leadership does not change underneath.
	mu              sync.RWMutex
	log             *commitlog.Log // nil until the first LeaderAndIsr
	future          *commitlog.Log // the copy it moves to; nil when it does not
	leader          model.BrokerID
	leaderEpoch     model.LeaderEpoch
	leaderSince     int64  // log end offset when this broker became leader of the epoch
	tenure          uint64 // counts the times that this broker began to lead, over epochs that follow one another
	controllerEpoch model.ControllerEpoch
	partitionEpoch  model.PartitionEpoch
	replicas        []model.BrokerID
	adding          []model.BrokerID
	removing        []model.BrokerID
	isr             []model.BrokerID // the committed one
	pending         *isrChange       // proposed and not decided yet; nil when there is none

	// progress guards remote and makes the advance of the high watermark one
	// step. It is taken with mu held for reading or writing.
	progress sync.Mutex
	remote   map[model.BrokerID]*remoteReplica
}

// remoteReplica is what the leader knows of another replica.
type remoteReplica struct {
	logStartOffset int64
	logEndOffset   int64 // -1 until it has fetched from this leader
	lastCaughtUp   time.Time
	lastFetch      time.Time
	lastFetchEnd   int64 // the leader's log end offset at its last fetch
}

const unknownOffset int64 = -1

func (m *Manager) newPartition(tp model.TopicPartition) *Partition {
	p := &Partition{
		TopicPartition: tp,
		broker:         m.options.BrokerID,
		lagMax:         m.options.LagTimeMax,
		journal:        m.partitionLog,
		leader:         model.NoBroker,
		leaderEpoch:    model.NoLeaderEpoch,
		remote:         map[model.BrokerID]*remoteReplica{},
	}
	p.settings.Store(&TopicSettings{})
	return p
}

// State is a copy of a partition's state, for those who show or store it.
type State struct {
	Leader          model.BrokerID
	LeaderEpoch     model.LeaderEpoch
	ControllerEpoch model.ControllerEpoch
	PartitionEpoch  model.PartitionEpoch
	Replicas, ISR   []model.BrokerID
}

// State returns the partition's present state.
func (p *Partition) State() State {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return State{p.leader, p.leaderEpoch, p.controllerEpoch, p.partitionEpoch, p.replicas, p.isr}
}

// Settings are the topic's settings.
func (p *Partition) Settings() TopicSettings { return *p.settings.Load() }

// Log is the partition's log, nil when there is none yet.
func (p *Partition) Log() *commitlog.Log {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.log
}

// IsLeader reports whether this broker leads the partition.
func (p *Partition) IsLeader() bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.leads()
}

func (p *Partition) leads() bool { return p.leader == p.broker && p.log != nil }

// readableLocked returns the log if the caller's leader epoch is ours and,
// where it must be the leader's, this broker leads (KIP-320).
func (p *Partition) readableLocked(epoch model.LeaderEpoch, leaderOnly bool) (*commitlog.Log, error) {
	switch {
	case p.offline.Load():
		return nil, kerr.KafkaStorageError
	case epoch != model.NoLeaderEpoch && epoch < p.leaderEpoch:
		return nil, kerr.FencedLeaderEpoch
	case epoch != model.NoLeaderEpoch && epoch > p.leaderEpoch:
		return nil, kerr.UnknownLeaderEpoch
	case p.log == nil, leaderOnly && !p.leads():
		return nil, kerr.NotLeaderOrFollower
	}
	return p.log, nil
}

// assignment is one partition of a LeaderAndIsr request, in our types.
type assignment struct {
	topic           string
	partition       int32
	leader          model.BrokerID
	leaderEpoch     model.LeaderEpoch
	controllerEpoch model.ControllerEpoch
	partitionEpoch  model.PartitionEpoch
	isr             []model.BrokerID // the committed one
	replicas        []model.BrokerID
	adding          []model.BrokerID
	removing        []model.BrokerID
	isNew           bool
}

// becomeLeader takes over the assignment with this broker as the leader, and
// reports whether it was not the leader before.
func (p *Partition) becomeLeader(a *assignment, log *commitlog.Log, stateChange *logrus.Entry) (newly bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if newly = !p.leads(); newly {
		p.tenure++
	}
	end := log.LogEndOffset()
	stateChange.Infof("[Broker id=%d] Leader %s starts at leader epoch %d from offset %d with high watermark %d ISR %v addingReplicas %v removingReplicas %v. Previous leader epoch was %d.",
		p.broker, p.TopicPartition, a.leaderEpoch, end, log.HighWatermark(), commas(a.isr), commas(a.adding), commas(a.removing), p.leaderEpoch)
	// Followers may hold records of a later epoch than any of ours; they find
	// out where to cut by asking for this one (KIP-101).
	if err := log.AssignEpochStart(a.leaderEpoch, end); err != nil {
		return false, err
	}
	p.log = log
	p.takeLocked(a)
	p.isr, p.pending = a.isr, nil
	p.leaderSince = end
	p.resetRemote(newly, end, time.Now())
	p.advanceLocked(time.Now())
	return newly, nil
}

// becomeFollower takes over the assignment with another broker as the leader.
func (p *Partition) becomeFollower(a *assignment, log *commitlog.Log, stateChange *logrus.Entry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	stateChange.Infof("[Broker id=%d] Follower %s starts at leader epoch %d from offset %d with high watermark %d. Previous leader epoch was %d.",
		p.broker, p.TopicPartition, a.leaderEpoch, log.LogEndOffset(), log.HighWatermark(), p.leaderEpoch)
	p.log = log
	p.takeLocked(a)
	p.isr, p.pending = nil, nil
}

// takeLocked sets what leaders and followers have in common.
func (p *Partition) takeLocked(a *assignment) {
	p.leader, p.leaderEpoch = a.leader, a.leaderEpoch
	p.controllerEpoch, p.partitionEpoch = a.controllerEpoch, a.partitionEpoch
	p.replicas, p.adding, p.removing = a.replicas, a.adding, a.removing
	p.turns.Add(1)
}

// resetRemote starts the books on the other replicas anew: with the start of a
// leadership nothing is known of their logs, with a new epoch of the same
// leadership what they fetched still holds.
func (p *Partition) resetRemote(newly bool, end int64, now time.Time) {
	p.progress.Lock()
	defer p.progress.Unlock()
	known := p.remote
	p.remote = make(map[model.BrokerID]*remoteReplica, len(p.replicas))
	for _, id := range p.replicas {
		if id == p.broker {
			continue
		}
		r := known[id]
		if r == nil || newly {
			r = &remoteReplica{logStartOffset: unknownOffset, logEndOffset: unknownOffset}
		}
		r.lastFetch, r.lastFetchEnd, r.lastCaughtUp = now, end, time.Time{}
		if slices.Contains(p.isr, id) {
			r.lastCaughtUp = now
		}
		p.remote[id] = r
	}
}

// advanceLocked raises the high watermark to the smallest log end offset among
// the leader, the other members of the maximal ISR, and replicas that have caught up
// within the lag time and are thus about to join it. It reports whether it
// rose; it never falls here.
//
// Hot path: runs after every append.
func (p *Partition) advanceLocked(now time.Time) bool {
	p.progress.Lock()
	defer p.progress.Unlock()
	high, isr := p.log.LogEndOffset(), p.maximalLocked()
	for id, r := range p.remote {
		if r.logEndOffset < high && (now.Sub(r.lastCaughtUp) <= p.lagMax || slices.Contains(isr, id)) {
			high = r.logEndOffset
		}
	}
	if high <= p.log.HighWatermark() {
		return false
	}
	p.log.SetHighWatermark(high)
	return true
}

// followerFetch is what a follower's fetch tells of its log.
type followerFetch struct {
	offset         int64
	logStartOffset int64
	leaderEnd      int64 // the leader's log end offset then
}

// followerNews is what came of it.
type followerNews struct {
	stranger bool // it is no replica of this partition
	advanced bool // the high watermark rose
	join     bool // it should join the ISR
}

// noteFollowerLocked notes that a follower asked for what is at an offset, and
// so has everything below it.
func (p *Partition) noteFollowerLocked(id model.BrokerID, f followerFetch, now time.Time) followerNews {
	p.progress.Lock()
	r := p.remote[id]
	if r == nil || !p.leads() {
		p.progress.Unlock()
		return followerNews{stranger: true}
	}
	switch {
	case f.offset >= f.leaderEnd:
		r.lastCaughtUp = later(r.lastCaughtUp, now)
	case f.offset >= r.lastFetchEnd:
		r.lastCaughtUp = later(r.lastCaughtUp, r.lastFetch)
	}
	moved := r.logEndOffset != f.offset
	r.logEndOffset, r.logStartOffset = f.offset, f.logStartOffset
	r.lastFetch, r.lastFetchEnd = now, f.leaderEnd
	p.progress.Unlock()
	return followerNews{join: p.mayJoinLocked(id, f.offset), advanced: moved && p.advanceLocked(now)}
}

// retire ends the partition's life here: nobody reads or appends any more.
func (p *Partition) retire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.log, p.future = nil, nil
	p.leader = model.NoBroker
	p.isr, p.pending = nil, nil
	p.turns.Add(1)
}

// fail takes the partition offline after its log directory failed.
func (p *Partition) fail() {
	p.offline.Store(true)
	p.retire()
}

// logPrefix begins the partition's log lines.
func (p *Partition) logPrefix() string {
	return fmt.Sprintf("[Partition %s broker=%d] ", p.TopicPartition, p.broker)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// commas prints ids the way Kafka's log lines do: [1,2].
type commas []model.BrokerID

func (ids commas) String() string {
	text := []byte{'['}
	for i, id := range ids {
		if i > 0 {
			text = append(text, ',')
		}
		text = append(text, id.String()...)
	}
	return string(append(text, ']'))
}

// plain prints ids the way Kafka's lines about an ISR do: 1,2.
type plain []model.BrokerID

func (ids plain) String() string {
	text := commas(ids).String()
	return text[1 : len(text)-1]
}
