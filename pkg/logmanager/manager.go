package logmanager

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"gregor/pkg/commitlog"
	"gregor/pkg/kerr"
	"gregor/pkg/lifecycle"
	"gregor/pkg/logcleaner"
	"gregor/pkg/logging"
	"gregor/pkg/model"
	"gregor/pkg/vfs"
)

// Options are a manager's settings. Zero intervals get Kafka's defaults.
type Options struct {
	Dirs           []string
	InitialOffline []string // directories known to be unusable
	FS             vfs.FS   // the real one when nil
	Loggers        *logging.Loggers

	// RecoveryThreads is num.recovery.threads.per.data.dir: how many logs of
	// one directory are opened, and closed, at a time. See Reconfigure.
	RecoveryThreads int

	RetentionCheckInterval     time.Duration // log.retention.check.interval.ms, 5 min
	FlushCheckInterval         time.Duration // log.flush.scheduler.interval.ms, never
	RecoveryCheckpointInterval time.Duration // log.flush.offset.checkpoint.interval.ms, 60 s
	LogStartCheckpointInterval time.Duration // log.flush.start.offset.checkpoint.interval.ms, 60 s
	FileDeleteDelay            time.Duration // log.segment.delete.delay.ms of the broker, 60 s; see Reconfigure

	Cleaner *logcleaner.Config // nil compacts nothing, log.cleaner.enable=false

	OpenFilesMax int // how many files of segments and indexes stay open, about; no bound when 0

	// OnDirFailure is told once of each directory that fails while the broker
	// runs, after its logs are gone from the manager. It runs on a goroutine
	// of the manager's.
	OnDirFailure func(dir string)
	// DescribeOverrides gives a topic's own settings for the log line about a
	// new log, in Java's form of a map; "{}" when nil.
	DescribeOverrides func(topic string) string
	// DiskSpace is asked for the size of a directory's disk and what is free
	// of it; vfs.DiskSpace when nil.
	DiskSpace func(dir string) (total, free uint64, err error)
}

// initialDelay is how long after Start the periodic tasks first run.
const initialDelay = 30 * time.Second

func (o *Options) fill() {
	if o.FS == nil {
		o.FS = vfs.OS
	}
	if o.Loggers == nil {
		o.Loggers = logging.Discard()
	}
	for _, d := range []struct {
		value *time.Duration
		def   time.Duration
	}{{&o.RetentionCheckInterval, 5 * time.Minute}, {&o.RecoveryCheckpointInterval, time.Minute},
		{&o.LogStartCheckpointInterval, time.Minute}, {&o.FileDeleteDelay, time.Minute}} {
		if *d.value == 0 {
			*d.value = d.def
		}
	}
	if o.OnDirFailure == nil {
		o.OnDirFailure = func(string) {}
	}
	if o.DescribeOverrides == nil {
		o.DescribeOverrides = func(string) string { return "{}" }
	}
	if o.DiskSpace == nil {
		o.DiskSpace = vfs.DiskSpace
	}
}

// Manager keeps the logs of a broker. Every method is safe for concurrent use
// after Load.
type Manager struct {
	opts     Options
	fs       vfs.FS
	log      *logrus.Entry
	group    *lifecycle.Group
	schedule *scheduler
	files    *commitlog.OpenFiles
	failures chan dirFailure
	cleaner  *logcleaner.Cleaner // nil compacts nothing
	cleaned  cleanedOffsets

	// Settings that change while the broker runs.
	recoveryThreads atomic.Int64
	deleteDelay     atomic.Int64 // a time.Duration

	fullSince map[string]time.Time // of the task that looks at the disks alone

	// creating serialises the creation of logs, which opens files.
	creating sync.Mutex

	// checkpointMu makes one writer of checkpoint files and guards checkpointed,
	// the sums of what they say, by path.
	checkpointMu sync.Mutex
	checkpointed map[string][sha256.Size]byte

	// mu guards the fields below; no file is touched while it is held.
	mu             sync.Mutex
	logs           map[model.TopicPartition]*commitlog.Log
	futures        map[model.TopicPartition]*commitlog.Log // copies that are to take the place of logs
	preferred      map[model.TopicPartition]string         // directories asked for, see PreferDir
	live           []string
	offline        []string
	loaded         map[string]bool // directories of which every log is open
	foundClean     map[string]bool // directories that had been shut down in order
	marksWithEpoch map[string]bool // the form of their clean mark
	locks          map[string]io.Closer
	highWatermarks offsets
	topicOptions   func(topic string) commitlog.Options
	stopped        bool
}

// New creates the directories that are missing. A directory that cannot be
// used is offline from the start; none that can is a FatalError.
func New(opts Options) (*Manager, error) {
	opts.fill()
	var err error
	if opts.Dirs, err = absolute(opts.Dirs); err != nil {
		return nil, err
	}
	if opts.InitialOffline, err = absolute(opts.InitialOffline); err != nil {
		return nil, err
	}
	m := &Manager{
		opts: opts, fs: opts.FS, log: opts.Loggers.Logger("kafka.log.LogManager"),
		group: lifecycle.NewGroup(context.Background()), schedule: newScheduler(), failures: make(chan dirFailure, 64),
		logs: map[model.TopicPartition]*commitlog.Log{}, futures: map[model.TopicPartition]*commitlog.Log{}, preferred: map[model.TopicPartition]string{},
		locks: map[string]io.Closer{}, loaded: map[string]bool{}, highWatermarks: offsets{},
		checkpointed: map[string][sha256.Size]byte{}, foundClean: map[string]bool{}, marksWithEpoch: map[string]bool{}, fullSince: map[string]time.Time{},
	}
	if opts.OpenFilesMax > 0 {
		m.files = commitlog.NewOpenFiles(opts.OpenFilesMax)
	}
	m.Reconfigure(opts.RecoveryThreads, opts.FileDeleteDelay)
	if opts.Cleaner != nil {
		m.cleaner = logcleaner.New(*opts.Cleaner, m, opts.Loggers)
	}
	for _, dir := range opts.Dirs {
		if slices.Contains(opts.InitialOffline, dir) || !m.usable(dir) {
			m.offline = append(m.offline, dir)
			continue
		}
		m.live = append(m.live, dir)
	}
	if len(m.live) == 0 {
		return nil, fatal("kafka.common.KafkaException", "Shutdown broker because none of the specified log dirs from %s can be created or validated", strings.Join(opts.Dirs, ", "))
	}
	m.group.Go("log-scheduler", m.schedule.run)
	m.group.Go("log-dir-failures", m.handleFailures)
	return m, nil
}

// Reconfigure changes what may change while the broker runs: how many logs of
// a directory are closed at a time, and how long the files of a deleted
// partition stay.
func (m *Manager) Reconfigure(recoveryThreads int, fileDeleteDelay time.Duration) {
	m.recoveryThreads.Store(int64(max(1, recoveryThreads)))
	m.deleteDelay.Store(int64(fileDeleteDelay))
}

func (m *Manager) fileDeleteDelay() time.Duration { return time.Duration(m.deleteDelay.Load()) }

// absolute makes the paths comparable with those of logs. The same directory
// twice is fatal.
func absolute(dirs []string) ([]string, error) {
	var paths []string
	for _, dir := range dirs {
		path, err := filepath.Abs(dir)
		if err != nil {
			return nil, err
		}
		if slices.Contains(paths, path) {
			return nil, fatal("org.apache.kafka.common.KafkaException", "Duplicate log directory found: %s", strings.Join(dirs, ", "))
		}
		paths = append(paths, path)
	}
	return paths, nil
}

// usable creates a directory if need be, and reports whether it can be read.
func (m *Manager) usable(dir string) bool {
	info, err := m.fs.Stat(dir)
	if err != nil {
		m.log.Infof("Log directory %s not found, creating it.", dir)
		if err = m.fs.MkdirAll(dir, 0o755); err == nil {
			info, err = m.fs.Stat(dir)
		}
	}
	if err == nil && !info.IsDir() {
		err = errors.New("it is no directory")
	}
	if err == nil {
		_, err = m.fs.ReadDir(dir)
	}
	if err != nil {
		m.log.Errorf("Failed to create or validate data directory %s: %s", dir, err)
	}
	return err == nil
}

// Lock takes the lock of every directory, against a second broker.
func (m *Manager) Lock() error {
	for _, dir := range m.LiveDirs() {
		lock, err := m.fs.Lock(filepath.Join(dir, ".lock"))
		if errors.Is(err, vfs.ErrLocked) {
			m.unlockAll()
			return fatal("org.apache.kafka.common.KafkaException",
				"Failed to acquire lock on file .lock in %s. A Kafka instance in another process or thread is using this directory.", dir)
		}
		if err != nil {
			m.failNow(dirFailure{dir, fmt.Errorf("locking directory: %w", err)})
			continue
		}
		m.mu.Lock()
		m.locks[dir] = lock
		m.mu.Unlock()
	}
	return nil
}

func (m *Manager) unlockAll() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for dir, lock := range m.locks {
		lock.Close()
		delete(m.locks, dir)
	}
}

// LiveDirs are the directories in use, by absolute path.
func (m *Manager) LiveDirs() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.live)
}

// OfflineDirs are the directories that have failed.
func (m *Manager) OfflineDirs() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.offline)
}

func (m *Manager) isLive(dir string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Contains(m.live, dir)
}

// isLoaded reports whether a directory is live and all its logs are open: only
// then may its checkpoints be written, and the mark of a clean shutdown.
func (m *Manager) isLoaded(dir string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Contains(m.live, dir) && m.loaded[dir]
}

// Get returns the log of a partition, nil when there is none here.
func (m *Manager) Get(tp model.TopicPartition) *commitlog.Log {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.logs[tp]
}

// Logs is every log, in order, without the copies of those that move.
func (m *Manager) Logs() []*commitlog.Log {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sortedLocked(func(l *commitlog.Log) bool { return m.logs[l.Partition()] == l })
}

// all is every log and every copy, in order.
func (m *Manager) all() []*commitlog.Log {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sortedLocked(func(*commitlog.Log) bool { return true })
}

// logsIn is every log and every copy in a directory, in order.
func (m *Manager) logsIn(dir string) []*commitlog.Log {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sortedLocked(inDir(dir))
}

func (m *Manager) sortedLocked(which func(*commitlog.Log) bool) []*commitlog.Log {
	found := make([]*commitlog.Log, 0, len(m.logs))
	for _, logs := range []map[model.TopicPartition]*commitlog.Log{m.logs, m.futures} {
		for _, l := range logs {
			if which(l) {
				found = append(found, l)
			}
		}
	}
	slices.SortFunc(found, func(a, b *commitlog.Log) int { return a.Partition().Compare(b.Partition()) })
	return found
}

// GetOrCreate returns the log of a partition and creates it when it is
// missing, in the directory that was asked for it or else in the live one with the
// fewest logs. Unless the partition is
// new none is created while a directory is offline, since it may be there. An
// id that is not zero is written into partition.metadata of a new log.
func (m *Manager) GetOrCreate(tp model.TopicPartition, isNew bool, id model.TopicID) (*commitlog.Log, error) {
	m.creating.Lock()
	defer m.creating.Unlock()
	if l := m.Get(tp); l != nil {
		return l, nil
	}
	if offline := m.OfflineDirs(); !isNew && len(offline) > 0 {
		return nil, offlineDirsError(tp, offline)
	}
	tried := m.dirsFor(tp)
	for _, dir := range tried {
		l, err := m.create(tp, filepath.Join(dir, tp.String()))
		if err == nil && !id.IsZero() {
			err = l.SetTopicID(id)
		}
		if err != nil {
			m.fail(dir, fmt.Errorf("creating log for %s: %w", tp, err))
			if left := filepath.Join(dir, tp.String()); m.fs.RemoveAll(left) != nil || vfs.Exists(m.fs, left) {
				// With another one beside it no broker would start any more.
				return nil, kerr.KafkaStorageError.With("Error while creating log for %s in dir %s", tp, dir)
			}
			continue
		}
		m.mu.Lock()
		m.logs[tp] = l
		delete(m.preferred, tp)
		m.mu.Unlock()
		m.log.Infof("Created log for partition %s in %s with properties %s", tp, l.Dir(), m.opts.DescribeOverrides(tp.Topic))
		return l, nil
	}
	return nil, kerr.KafkaStorageError.With("No log directories available. Tried %s", strings.Join(tried, ", "))
}

func offlineDirsError(tp model.TopicPartition, offline []string) error {
	return kerr.KafkaStorageError.With("Can not create log for %s because log directories %s are offline", tp, strings.Join(offline, ","))
}

func (m *Manager) create(tp model.TopicPartition, path string) (*commitlog.Log, error) {
	cfg := m.config(tp, path)
	cfg.CleanShutdown = true
	return commitlog.Open(cfg)
}

func (m *Manager) config(tp model.TopicPartition, path string) commitlog.Config {
	m.mu.Lock()
	optionsOf := m.topicOptions
	m.mu.Unlock()
	dir := filepath.Dir(path)
	return commitlog.Config{FS: m.fs, Dir: path, Partition: tp, Options: optionsOf(tp.Topic), Loggers: m.opts.Loggers, Files: m.files,
		After: m.schedule.after, OnFailure: func(err error) { m.fail(dir, err) },
		OnTruncate: func(offset int64) { m.truncated(dir, tp, offset) }}
}

// dirsFor is the directories to try for a new log: the one that was asked for,
// else the live ones, that with the fewest logs first.
func (m *Manager) dirsFor(tp model.TopicPartition) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if dir := m.preferred[tp]; slices.Contains(m.live, dir) {
		return []string{dir}
	}
	if len(m.live) == 1 {
		return slices.Clone(m.live) // without a look at thousands of logs
	}
	count := map[string]int{}
	for _, logs := range []map[model.TopicPartition]*commitlog.Log{m.logs, m.futures} {
		for _, l := range logs {
			count[l.ParentDir()]++
		}
	}
	dirs := slices.Clone(m.live)
	slices.SortStableFunc(dirs, func(a, b string) int { return count[a] - count[b] })
	return dirs
}

// UpdateTopicOptions changes the settings of all logs of a topic.
func (m *Manager) UpdateTopicOptions(topic string, opts commitlog.Options) {
	for _, l := range m.all() {
		if l.Partition().Topic == topic {
			compacted := l.Options().Compact
			l.UpdateOptions(opts)
			if compacted && !opts.Compact {
				m.abortCleaning(l.Partition())
			}
		}
	}
}

// AsyncDelete takes a partition's log out of service, renames its directory
// and has it removed after a while.
func (m *Manager) AsyncDelete(tp model.TopicPartition) error {
	m.mu.Lock()
	l := m.logs[tp]
	delete(m.logs, tp)
	delete(m.highWatermarks, tp)
	m.mu.Unlock()
	if l == nil {
		return kerr.KafkaStorageError.With("Failed to delete log for partition %s: it is not here", tp)
	}
	dir := l.ParentDir()
	m.abortCleaning(tp)
	err := m.retire(l)
	m.dropCleaned(dir, tp)
	return err
}

// retire renames the directory of a log that is out of service and has it
// removed after a while.
func (m *Manager) retire(l *commitlog.Log) error {
	tp, dir := l.Partition(), l.ParentDir()
	if err := l.RenameDir(filepath.Join(dir, deleteName(tp))); err != nil {
		return err
	}
	m.checkpointRecoveryPoints(dir)
	m.checkpointLogStarts(dir)
	m.log.Infof("Log for partition %s is renamed to %s and is scheduled for deletion", tp, l.Dir())
	m.removeLater(l)
	return nil
}

// removeLater has the files of a log removed whose directory was renamed.
func (m *Manager) removeLater(l *commitlog.Log) {
	tp := l.Partition()
	m.schedule.after(m.fileDeleteDelay(), func() {
		if err := l.Delete(); err == nil {
			m.log.Infof("Deleted log for partition %s in %s.", tp, l.Dir())
		}
	})
}
