package logcleaner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"

	"gregor/pkg/commitlog"
	"gregor/pkg/kerr"
	"gregor/pkg/lifecycle"
	"gregor/pkg/logging"
	"gregor/pkg/model"
)

// Config is what the threads work with. It may be changed while they run.
type Config struct {
	Threads                int
	DedupeBufferSize       int64   // bytes, over all threads
	DedupeBufferLoadFactor float64 // share of it that may be filled
	IOBufferSize           int     // bytes, over all threads
	IOBytesPerSecondMax    float64 // read and written, over all threads
	Backoff                time.Duration
}

// DefaultConfig is that of a broker without any setting.
func DefaultConfig() Config {
	return Config{Threads: 1, DedupeBufferSize: 128 << 20, DedupeBufferLoadFactor: 0.9, IOBufferSize: 512 << 10,
		IOBytesPerSecondMax: 1.7976931348623157e308, Backoff: 15 * time.Second}
}

// Logs is where the logs come from, and where it is kept up to which offset
// each was compacted. Safe for concurrent use.
type Logs interface {
	Logs() []*commitlog.Log
	// CleanedTo is the first dirty offset of a log, false when it is not known.
	CleanedTo(l *commitlog.Log) (int64, bool)
	// SetCleanedTo keeps it, in the log's directory.
	SetCleanedTo(l *commitlog.Log, offset int64)
}

// uncleanableRetry is when a log that could not be compacted is tried again.
const uncleanableRetry = time.Hour

// Cleaner compacts logs. Every method is safe for concurrent use.
type Cleaner struct {
	logs     Logs
	log      *logrus.Entry
	throttle throttle
	config   atomic.Pointer[Config]

	// life makes one who starts and stops the threads.
	life    sync.Mutex
	group   *lifecycle.Group // nil while they do not run
	stopped bool

	// mu guards the fields below.
	mu       sync.Mutex
	busy     map[model.TopicPartition]*job // being compacted, or retention is applied
	paused   map[model.TopicPartition]int  // how many want it left alone
	broken   map[brokenKey]*brokenLog
	lastRun  time.Time
	maxRatio float64          // of the last selection
	last     map[int]*lastRun // by thread
}

// job is the work on one log.
type job struct {
	cancel context.CancelFunc
	done   chan struct{}
}

type brokenKey struct {
	dir string
	tp  model.TopicPartition
}

// brokenLog is a log that could not be compacted.
type brokenLog struct {
	retry time.Time
	bytes int64 // that may not be compacted
}

// lastRun is what a thread did last, for the gauges.
type lastRun struct {
	stats      Stats
	maxDelayMs int64
}

// New returns a cleaner whose threads do not run yet.
func New(cfg Config, logs Logs, loggers *logging.Loggers) *Cleaner {
	if loggers == nil {
		loggers = logging.Discard()
	}
	c := &Cleaner{logs: logs, log: loggers.Logger("kafka.log.LogCleaner"), busy: map[model.TopicPartition]*job{},
		paused: map[model.TopicPartition]int{}, broken: map[brokenKey]*brokenLog{}, last: map[int]*lastRun{}}
	c.config.Store(&cfg)
	return c
}

// Start begins the threads.
func (c *Cleaner) Start() {
	c.life.Lock()
	defer c.life.Unlock()
	c.startLocked()
}

func (c *Cleaner) startLocked() {
	if c.stopped || c.group != nil {
		return
	}
	c.log.Info("Starting the log cleaner")
	cfg := *c.config.Load()
	c.throttle.set(cfg.IOBytesPerSecondMax)
	c.group = lifecycle.NewGroup(context.Background())
	for id := range cfg.Threads {
		c.group.Go(fmt.Sprintf("kafka-log-cleaner-thread-%d", id), func(ctx context.Context) error { return c.run(ctx, id, cfg) })
	}
}

// Shutdown ends the threads for good; what they were compacting stays as it
// was.
func (c *Cleaner) Shutdown() {
	c.life.Lock()
	defer c.life.Unlock()
	c.stopped = true
	c.stopLocked()
}

func (c *Cleaner) stopLocked() {
	if c.group == nil {
		return
	}
	c.log.Info("Shutting down the log cleaner.")
	for id := range c.config.Load().Threads {
		c.log.Infof("[kafka-log-cleaner-thread-%d]: Shutting down", id)
	}
	c.group.Close()
	for id := range c.config.Load().Threads {
		c.log.Infof("[kafka-log-cleaner-thread-%d]: Shutdown completed", id)
	}
	c.group = nil
}

// Reconfigure starts the threads again with other settings.
func (c *Cleaner) Reconfigure(cfg Config) {
	c.life.Lock()
	defer c.life.Unlock()
	running := c.group != nil
	c.stopLocked()
	c.config.Store(&cfg)
	if running {
		c.startLocked()
	}
}

// run is a thread: it compacts while there is something to compact.
func (c *Cleaner) run(ctx context.Context, id int, cfg Config) error {
	c.log.Infof("[kafka-log-cleaner-thread-%d]: Starting", id)
	defer c.log.Infof("[kafka-log-cleaner-thread-%d]: Stopped", id)
	w := newWorker(id, cfg, c.log, &c.throttle)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		cleaned := c.cleanDirtiest(ctx, w)
		c.deleteOldSegments(ctx)
		if cleaned {
			continue
		}
		w.offsets.release()
		timer.Reset(cfg.Backoff)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
	}
	return nil
}

// CleanAll compacts, on the caller's goroutine, until nothing is due.
func (c *Cleaner) CleanAll(ctx context.Context) {
	w := newWorker(0, *c.config.Load(), c.log, &c.throttle)
	for ctx.Err() == nil && c.cleanDirtiest(ctx, w) {
	}
	c.deleteOldSegments(ctx)
}

// cleanDirtiest compacts the dirtiest log that is due; false when there was
// none, or it could not be.
func (c *Cleaner) cleanDirtiest(ctx context.Context, w *worker) bool {
	found, done, ctx := c.take(ctx)
	if found == nil {
		return false
	}
	defer done()
	l, from := found.Log, found.FirstDirty
	end, stats, err := w.clean(ctx, *found)
	if err == nil && l.Truncations() != found.truncations {
		err = commitlog.ErrChanged
	}
	switch {
	case err == nil:
		// Also when it is to stop: the work is done.
	case ctx.Err() != nil:
		return false // paused or stopped
	case errors.Is(err, commitlog.ErrChanged):
		return true // it is looked at again
	default:
		c.failed(l, found, err)
		return false
	}
	c.logs.SetCleanedTo(l, end)
	c.healed(l)
	w.log.Infof("[kafka-log-cleaner-thread-%d]: %s", w.id, stats.report(w.id, l.Partition().String(), from, end))
	if seen := found.seen; seen.delayed > 0 {
		w.log.Infof("[kafka-log-cleaner-thread-%d]: \tCleanable partitions: %d, Delayed partitions: %d, max delay: %d", w.id, seen.cleanable, seen.delayed, seen.maxDelayMs)
	}
	if stats.InvalidMessages > 0 {
		w.log.Warnf("[kafka-log-cleaner-thread-%d]: \tFound %d invalid messages during compaction.", w.id, stats.InvalidMessages)
	}
	c.mu.Lock()
	c.last[w.id] = &lastRun{stats: *stats, maxDelayMs: found.seen.maxDelayMs}
	c.mu.Unlock()
	return true
}

// take chooses a log and marks it as being worked on. done ends that; the
// context it returns ends when the work must stop.
func (c *Cleaner) take(ctx context.Context) (*Candidate, func(), context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	c.lastRun, c.maxRatio = now, 0
	c.forgetGoneLocked()
	var best *Candidate
	var seen round
	for _, l := range c.logs.Logs() {
		if o := l.Options(); !o.Compact || c.leftAloneLocked(l, now) {
			continue
		}
		found, err := c.candidate(l, now)
		if err != nil {
			if !errors.Is(err, commitlog.ErrChanged) {
				c.failedLocked(l, &found, fmt.Errorf("Failed to calculate log cleaning stats for partition %s: %w", l.Partition(), err))
			}
			continue
		}
		if found.total == 0 {
			continue
		}
		if found.delayMs > 0 {
			seen.delayed++
			seen.maxDelayMs = max(seen.maxDelayMs, found.delayMs)
		}
		c.maxRatio = max(c.maxRatio, found.Ratio)
		if !found.due() {
			continue
		}
		seen.cleanable++
		if best == nil || found.Ratio > best.Ratio {
			best = &found
		}
	}
	if best == nil {
		return nil, nil, ctx
	}
	best.seen = seen
	done, ctx := c.beginLocked(ctx, best.Log.Partition())
	return best, done, ctx
}

func (c *Cleaner) candidate(l *commitlog.Log, now time.Time) (Candidate, error) {
	truncations := l.Truncations() // before the checkpoint, which a truncation lowers
	checkpoint, known := c.logs.CleanedTo(l)
	if !known {
		checkpoint = -1
	}
	found, err := candidate(l, checkpoint, truncations, now.UnixMilli(), c.log.Warnf)
	if err == nil && found.resetCheckpoint {
		c.logs.SetCleanedTo(l, found.FirstDirty)
	}
	return found, err
}

func (c *Cleaner) leftAloneLocked(l *commitlog.Log, now time.Time) bool {
	tp := l.Partition()
	if c.busy[tp] != nil || c.paused[tp] > 0 {
		return true
	}
	b := c.broken[brokenKey{l.ParentDir(), tp}]
	return b != nil && now.Before(b.retry)
}

func (c *Cleaner) beginLocked(ctx context.Context, tp model.TopicPartition) (done func(), work context.Context) {
	work, cancel := context.WithCancel(ctx)
	j := &job{cancel: cancel, done: make(chan struct{})}
	c.busy[tp] = j
	return func() {
		cancel()
		c.mu.Lock()
		delete(c.busy, tp)
		c.mu.Unlock()
		close(j.done)
	}, work
}

// deleteOldSegments applies retention to the compacted logs.
func (c *Cleaner) deleteOldSegments(ctx context.Context) {
	for _, l := range c.logs.Logs() {
		if ctx.Err() != nil {
			return
		}
		c.deleteOld(ctx, l)
	}
}

func (c *Cleaner) deleteOld(ctx context.Context, l *commitlog.Log) {
	c.mu.Lock()
	if o := l.Options(); !o.Compact || c.leftAloneLocked(l, time.Now()) {
		c.mu.Unlock()
		return
	}
	done, _ := c.beginLocked(ctx, l.Partition())
	c.mu.Unlock()
	defer done()
	if _, err := l.DeleteOldSegments(time.Now()); err != nil {
		c.failed(l, nil, err)
	}
}

// failed remembers a log that cannot be compacted, unless its disk or its
// directory is at fault, which is told of elsewhere.
func (c *Cleaner) failed(l *commitlog.Log, found *Candidate, err error) {
	var path *fs.PathError
	var errno syscall.Errno
	switch {
	case errors.Is(err, kerr.KafkaStorageError):
		return
	case errors.As(err, &path) || errors.As(err, &errno):
		l.Fail(fmt.Errorf("Failed to clean up log for %s in dir %s due to IOException: %w", l.Partition(), l.ParentDir(), err))
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failedLocked(l, found, err)
}

func (c *Cleaner) failedLocked(l *commitlog.Log, found *Candidate, err error) {
	key := brokenKey{l.ParentDir(), l.Partition()}
	b := c.broken[key]
	if b == nil {
		b = &brokenLog{}
		c.broken[key] = b
		c.log.WithError(err).Errorf("Unexpected exception thrown when cleaning log %s. Marking its partition (%s) as uncleanable", l, l.Partition())
	}
	b.retry = time.Now().Add(uncleanableRetry)
	if found != nil {
		b.bytes = found.total
	}
}

// healed forgets that a log could not be compacted.
func (c *Cleaner) healed(l *commitlog.Log) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := brokenKey{l.ParentDir(), l.Partition()}
	if c.broken[key] != nil {
		delete(c.broken, key)
		c.log.Infof("Log %s, which was uncleanable, has been cleaned", l.Partition())
	}
}

// forgetGoneLocked drops what is known of logs that were deleted or moved.
func (c *Cleaner) forgetGoneLocked() {
	if len(c.broken) == 0 {
		return
	}
	here := map[brokenKey]bool{}
	for _, l := range c.logs.Logs() {
		here[brokenKey{l.ParentDir(), l.Partition()}] = true
	}
	for key := range c.broken {
		if !here[key] {
			delete(c.broken, key)
		}
	}
}

// Uncleanable is a log that could not be compacted.
type Uncleanable struct {
	Dir       string
	Partition model.TopicPartition
	Bytes     int64
}

// Uncleanable lists the logs that are left alone because of an error, by
// directory.
func (c *Cleaner) Uncleanable() []Uncleanable {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []Uncleanable
	for key, b := range c.broken {
		all = append(all, Uncleanable{Dir: key.dir, Partition: key.tp, Bytes: b.bytes})
	}
	slices.SortFunc(all, func(a, b Uncleanable) int { return cmp.Or(cmp.Compare(a.Dir, b.Dir), a.Partition.Compare(b.Partition)) })
	return all
}
