package coordinator

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"gregor/pkg/kerr"
	"gregor/pkg/lifecycle"
	"gregor/pkg/model"
)

// Options are what a kind of coordinator plugs into its Runtime. All
// functions but New and Replay are called with the shard's lock held.
type Options[S any] struct {
	Log Log
	// New makes the state of a partition whose log is about to be read.
	New func(partition int32) S
	// Replay applies a chunk of batches to a state that nobody else sees yet.
	Replay func(state S, batches []byte) error
	// Loaded is called when the partition becomes owned.
	Loaded func(state S, load Load)
	// Unloaded is called when it is owned no longer; it answers who waits.
	Unloaded func(state S, unload Unload)
	// Fire is called when a timer of the partition is due.
	Fire func(state S, key string)
}

// Load tells how a partition was loaded.
type Load struct {
	Partition int32
	Epoch     model.LeaderEpoch
	Queued    time.Duration // until the loader took it up
	Total     time.Duration // with Queued
	Err       error         // why reading ended early
}

// Unload tells why a partition is unloaded.
type Unload struct {
	Epoch   model.LeaderEpoch // of the resignation
	Closing bool              // the broker goes down, nobody has resigned
}

// Election is what became of a call to Elect.
type Election int

const (
	Scheduled Election = iota // the partition will be loaded
	Already                   // it is loading or owned; only the epoch is noted
	Stale                     // the epoch is older than one seen
)

// Runtime owns the shards. Safe for concurrent use.
type Runtime[S any] struct {
	opts   Options[S]
	group  *lifecycle.Group
	timers *timers
	wake   chan struct{} // has room for one: the loader looks at queue

	mu     sync.Mutex
	active bool
	// Invariant: a partition of shards has an epoch in epochs. queue holds
	// shards that are loading, each once.
	shards map[int32]*shard[S]
	epochs map[int32]model.LeaderEpoch
	queue  []*shard[S]
}

// shard is one partition while this broker leads it.
type shard[S any] struct {
	partition int32
	elected   time.Time

	// owned and epoch are guarded by Runtime.mu.
	owned bool
	epoch model.LeaderEpoch

	// mu guards the fields below; see the package comment for its order.
	mu       sync.Mutex
	unloaded bool
	state    S
}

// New returns a runtime that is not active yet.
func New[S any](opts Options[S]) *Runtime[S] {
	r := &Runtime[S]{
		opts:   opts,
		group:  lifecycle.NewGroup(context.Background()),
		wake:   make(chan struct{}, 1),
		shards: map[int32]*shard[S]{},
		epochs: map[int32]model.LeaderEpoch{},
	}
	r.timers = newTimers(r.fire)
	return r
}

// Start begins to load and to answer. Elections from before are kept.
func (r *Runtime[S]) Start() {
	r.mu.Lock()
	r.active = true
	r.mu.Unlock()
	r.group.Go("coordinator-loader", r.load)
	r.group.Go("coordinator-timers", r.timers.run)
}

// Close unloads every partition and ends the goroutines.
func (r *Runtime[S]) Close() error {
	r.mu.Lock()
	r.active = false
	shards := slices.Collect(maps.Values(r.shards))
	clear(r.shards)
	r.queue = nil
	r.mu.Unlock()
	for _, s := range shards {
		r.unload(s, Unload{Epoch: model.NoLeaderEpoch, Closing: true})
	}
	return r.group.Close()
}

// Go runs f in a goroutine of the runtime and reports whether it could: not
// once Close has begun.
func (r *Runtime[S]) Go(name string, f func(ctx context.Context) error) bool {
	return r.group.Go(name, f)
}

// Elect makes this broker the coordinator of the partition: it begins to load.
func (r *Runtime[S]) Elect(partition int32, epoch model.LeaderEpoch) Election {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.advanceEpochLocked(partition, epoch) {
		return Stale
	}
	if s := r.shards[partition]; s != nil {
		s.epoch = epoch
		return Already
	}
	s := &shard[S]{partition: partition, epoch: epoch, elected: time.Now(), state: r.opts.New(partition)}
	r.shards[partition] = s
	r.queue = append(r.queue, s)
	select {
	case r.wake <- struct{}{}:
	default:
	}
	return Scheduled
}

// Resign ends the ownership of the partition. With NoLeaderEpoch the epoch is
// not checked, as for a replica that is stopped. It reports false for an epoch
// older than one seen.
func (r *Runtime[S]) Resign(partition int32, epoch model.LeaderEpoch) bool {
	r.mu.Lock()
	if epoch != model.NoLeaderEpoch && !r.advanceEpochLocked(partition, epoch) {
		r.mu.Unlock()
		return false
	}
	s := r.shards[partition]
	delete(r.shards, partition)
	r.queue = slices.DeleteFunc(r.queue, func(q *shard[S]) bool { return q == s })
	r.mu.Unlock()
	if s != nil {
		r.unload(s, Unload{Epoch: epoch})
	}
	return true
}

func (r *Runtime[S]) advanceEpochLocked(partition int32, epoch model.LeaderEpoch) bool {
	if seen, ok := r.epochs[partition]; ok && epoch < seen {
		return false
	}
	r.epochs[partition] = epoch
	return true
}

// Epoch is the highest leader epoch seen for the partition.
func (r *Runtime[S]) Epoch(partition int32) (model.LeaderEpoch, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	epoch, ok := r.epochs[partition]
	return epoch, ok
}

// With runs f on the partition's state, alone. It fails with
// CoordinatorNotAvailable, CoordinatorLoadInProgress or NotCoordinator, in
// this order, and then f is not run.
func (r *Runtime[S]) With(partition int32, f func(state S)) error {
	s, err := r.find(partition)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unloaded {
		return kerr.NotCoordinator
	}
	f(s.state)
	return nil
}

func (r *Runtime[S]) find(partition int32) (*shard[S], error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.shards[partition]
	switch {
	case !r.active:
		return nil, kerr.CoordinatorNotAvailable
	case s == nil:
		return nil, kerr.NotCoordinator
	case !s.owned:
		return nil, kerr.CoordinatorLoadInProgress
	}
	return s, nil
}

// Each runs f on the state of every owned partition, in the order of their
// numbers, and fails with CoordinatorNotAvailable, or CoordinatorLoadInProgress
// after having visited those that are not loading.
func (r *Runtime[S]) Each(f func(state S)) error {
	r.mu.Lock()
	if !r.active {
		r.mu.Unlock()
		return kerr.CoordinatorNotAvailable
	}
	var err error
	partitions := slices.Sorted(maps.Keys(r.shards))
	for _, s := range r.shards {
		if !s.owned {
			err = kerr.CoordinatorLoadInProgress
		}
	}
	r.mu.Unlock()
	for _, p := range partitions {
		// A partition that moved or is loading meanwhile is not ours to show.
		_ = r.With(p, f)
	}
	return err
}

// SetTimer lets Fire be called for the key at the time, instead of a time set
// before. The zero time sets none.
func (r *Runtime[S]) SetTimer(partition int32, key string, at time.Time) {
	r.timers.set(timerKey{partition, key}, at)
}

func (r *Runtime[S]) fire(k timerKey) {
	// Timers of partitions that were unloaded are dropped here.
	_ = r.With(k.partition, func(state S) { r.opts.Fire(state, k.key) })
}

// load is the loader: it reads the queued partitions one after the other.
func (r *Runtime[S]) load(ctx context.Context) error {
	for {
		s := r.next()
		if s == nil {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-r.wake:
				continue
			}
		}
		r.loadShard(ctx, s)
	}
}

func (r *Runtime[S]) next() *shard[S] {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.queue) == 0 {
		return nil
	}
	s := r.queue[0]
	r.queue = r.queue[1:]
	return s
}

func (r *Runtime[S]) loadShard(ctx context.Context, s *shard[S]) {
	begun := time.Now()
	err := r.opts.Log.Read(ctx, s.partition, func(batches []byte) error {
		if !r.isCurrent(s) {
			return kerr.NotCoordinator // resigned while reading
		}
		return r.opts.Replay(s.state, batches)
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	r.mu.Lock()
	current, epoch := r.shards[s.partition] == s, s.epoch
	s.owned = current
	r.mu.Unlock()
	if current {
		r.opts.Loaded(s.state, Load{
			Partition: s.partition, Epoch: epoch, Err: err,
			Queued: begun.Sub(s.elected), Total: time.Since(s.elected),
		})
	}
}

func (r *Runtime[S]) isCurrent(s *shard[S]) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.shards[s.partition] == s
}

// unload tells the owner of a shard that was owned; one that was still
// loading has nobody waiting and a loader that will drop it.
func (r *Runtime[S]) unload(s *shard[S], why Unload) {
	r.mu.Lock()
	owned := s.owned
	r.mu.Unlock()
	if !owned {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unloaded = true
	r.opts.Unloaded(s.state, why)
}
