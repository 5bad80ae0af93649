package logmanager

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"gregor/pkg/commitlog"
	"gregor/pkg/kerr"
	"gregor/pkg/model"
)

// Moving a log to another directory (KIP-113): a copy is made in a directory
// that ends in -future; replica fills it. When it has everything that the log
// has, it gets the log's name, and the log's directory is deleted.
//
// What a crash leaves behind, and what the next start does about it:
//
//   - a -future directory: the copy goes on from where it was.
//   - a copy under the log's name, and the log still under its own: both are
//     whole and equal, but nobody can tell any more which one is newer. The
//     start ends with Kafka's sentence about duplicate directories. The two
//     renames follow each other directly.
//   - the log's directory ending in -delete: it is removed.

// preferredMax bounds how many directories are remembered for partitions that
// are not here.
const preferredMax = 1 << 20

// CheckMove reports why a partition cannot be in a directory: LOG_DIR_NOT_FOUND
// when it is not one of this broker's, KAFKA_STORAGE_ERROR when it is offline,
// INVALID_TOPIC_EXCEPTION when the name of a copy would be too long for a file.
func (m *Manager) CheckMove(tp model.TopicPartition, dir string) error {
	switch {
	case len(futureName(tp)) > nameMax:
		return kerr.InvalidTopicException.With("The topic name is too long.")
	case !slices.Contains(m.opts.Dirs, dir):
		return kerr.LogDirNotFound.With("Log dir %s is not found in the config.", dir)
	case !m.isLive(dir):
		return kerr.KafkaStorageError.With("Log directory %s is offline", dir)
	}
	return nil
}

// PreferDir remembers where the next log of a partition, or the copy of its
// log, is to be created, unless one is there already.
func (m *Manager) PreferDir(tp model.TopicPartition, dir string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range []*commitlog.Log{m.logs[tp], m.futures[tp]} {
		if l != nil && l.ParentDir() == dir {
			return
		}
	}
	if len(m.preferred) < preferredMax {
		m.preferred[tp] = dir
	}
}

// Future returns the copy that a partition's log is moving to, nil when it
// does not move.
func (m *Manager) Future(tp model.TopicPartition) *commitlog.Log {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.futures[tp]
}

// CreateFuture begins a copy of a partition's log, empty, in a directory. While
// there is one the log is not compacted.
func (m *Manager) CreateFuture(tp model.TopicPartition, dir string) (*commitlog.Log, error) {
	m.creating.Lock()
	defer m.creating.Unlock()
	current := m.Get(tp)
	switch {
	case current == nil:
		return nil, kerr.KafkaStorageError.With("The current replica for %s is offline", tp)
	case m.Future(tp) != nil || current.ParentDir() == dir:
		return nil, fmt.Errorf("a copy of %s cannot be made in %s: it is in %s", tp, dir, current.ParentDir())
	}
	if offline := m.OfflineDirs(); len(offline) > 0 {
		return nil, offlineDirsError(tp, offline)
	}
	future, err := m.create(tp, filepath.Join(dir, futureName(tp)))
	if err == nil && !current.TopicID().IsZero() {
		err = future.SetTopicID(current.TopicID())
	}
	if err != nil {
		m.fail(dir, fmt.Errorf("creating log for %s: %w", tp, err))
		return nil, kerr.KafkaStorageError.With("creating log for %s in %s: %s", tp, dir, err)
	}
	m.mu.Lock()
	m.futures[tp] = future
	delete(m.preferred, tp)
	m.mu.Unlock()
	m.log.Infof("Created log for partition %s in %s with properties %s", tp, future.Dir(), m.opts.DescribeOverrides(tp.Topic))
	m.pauseMoving(tp)
	return future, nil
}

// enterFuture takes a copy that was loaded into service.
func (m *Manager) enterFuture(l *commitlog.Log, state dirState) error {
	tp := l.Partition()
	l.SetHighWatermark(state.highWatermarks[tp])
	m.mu.Lock()
	other := m.futures[tp]
	if other == nil {
		m.futures[tp] = l
	}
	m.mu.Unlock()
	if other != nil {
		return fatal("java.lang.IllegalStateException", "Duplicate log directories found: %s, %s", l.Dir(), other.Dir())
	}
	m.PauseCleaning(tp)
	return nil
}

// pauseMoving and resumeMoved keep a log from being compacted as long as it
// has a copy.
func (m *Manager) pauseMoving(tp model.TopicPartition) {
	if m.cleaner != nil {
		m.PauseCleaning(tp)
		m.log.Infof("The cleaning for partition %s is aborted and paused", tp)
	}
}

func (m *Manager) resumeMoved(tp model.TopicPartition) {
	if m.cleaner != nil {
		m.ResumeCleaning(tp)
		m.log.Infof("Cleaning for partition %s is resumed", tp)
	}
}

// isFuture reports whether a log is, or was, a copy.
func isFuture(l *commitlog.Log) bool { return strings.HasSuffix(l.Dir(), futureSuffix) }

// DeleteFuture gives a copy up: its directory is renamed and removed later.
func (m *Manager) DeleteFuture(tp model.TopicPartition) error {
	m.mu.Lock()
	future := m.futures[tp]
	delete(m.futures, tp)
	m.mu.Unlock()
	if future == nil {
		return nil
	}
	m.resumeMoved(tp)
	return m.retire(future)
}

// ReplaceWithFuture puts the copy of a log in its place. The caller has made
// them equal and sees to it that neither is read or written meanwhile. Once
// that may go on, finish does the rest: it closes the log that was replaced,
// writes the checkpoints and has its files removed.
//
// With an error the log has stayed in its place.
func (m *Manager) ReplaceWithFuture(tp model.TopicPartition) (finish func(), err error) {
	m.creating.Lock()
	defer m.creating.Unlock()
	source, future := m.Get(tp), m.Future(tp)
	m.log.Infof("Attempting to replace current log %v with %v for %s", source, future, tp)
	switch {
	case source == nil:
		return nil, kerr.KafkaStorageError.With("The current replica for %s is offline", tp)
	case future == nil:
		return nil, kerr.KafkaStorageError.With("The future replica for %s is offline", tp)
	}
	from, to := source.ParentDir(), future.ParentDir()
	if err := m.renameDurably(future, filepath.Join(to, tp.String())); err != nil {
		return nil, err
	}
	if !m.promote(tp, source, future) {
		return nil, kerr.KafkaStorageError.With("a log directory of %s failed while it moved", tp)
	}
	// When this fails the directory goes offline; what is left in it is found
	// by whoever starts with it again.
	renameErr := m.renameDurably(source, filepath.Join(from, deleteName(tp)))
	return func() { m.finishMove(source, from, to, renameErr) }, nil
}

// promote makes the copy the log; it reports false when a directory failed
// meanwhile.
func (m *Manager) promote(tp model.TopicPartition, source, future *commitlog.Log) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.logs[tp] != source || m.futures[tp] != future {
		return false
	}
	delete(m.futures, tp)
	m.logs[tp] = future
	return true
}

// renameDurably renames a log's directory. The order of two such renames holds
// after a power failure.
func (m *Manager) renameDurably(l *commitlog.Log, path string) error {
	if err := l.RenameDir(path); err != nil {
		return err
	}
	dir := filepath.Dir(path)
	if err := m.fs.SyncDir(dir); err != nil {
		m.fail(dir, fmt.Errorf("renaming %s: %w", path, err))
		return kerr.KafkaStorageError.With("renaming %s: %s", path, err)
	}
	return nil
}

// finishMove winds a log up whose copy has taken its place.
func (m *Manager) finishMove(source *commitlog.Log, from, to string, renamed error) {
	tp := source.Partition()
	if renamed == nil {
		renamed = source.Close()
	}
	m.moveCleaned(tp, from, to)
	m.resumeMoved(tp)
	for _, dir := range []string{to, from} {
		m.checkpointRecoveryPoints(dir)
		m.checkpointLogStarts(dir)
	}
	if renamed != nil {
		source.MarkFailed()
		m.log.Errorf("The log of %s that was replaced cannot be removed from %s: %s", tp, from, renamed)
		return
	}
	m.removeLater(source)
	m.log.Infof("The current replica is successfully replaced with the future replica for %s", tp)
}
