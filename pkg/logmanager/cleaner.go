package logmanager

import (
	"maps"
	"sync"
	"time"

	"gregor/pkg/commitlog"
	"gregor/pkg/logcleaner"
	"gregor/pkg/model"
)

// cleanedOffsets are the contents of the cleaner-offset-checkpoint files: up to
// where each log was compacted, by directory.
type cleanedOffsets struct {
	// mu guards byDir. Nothing else is taken while it is held.
	mu    sync.Mutex
	byDir map[string]offsets
}

func (c *cleanedOffsets) load(dir string, o offsets) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byDir == nil {
		c.byDir = map[string]offsets{}
	}
	c.byDir[dir] = o
}

func (c *cleanedOffsets) get(dir string, tp model.TopicPartition) (int64, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	offset, found := c.byDir[dir][tp]
	return offset, found
}

// change alters the offset of a partition; it reports false when change of
// the file is not needed.
func (c *cleanedOffsets) change(dir string, tp model.TopicPartition, to func(offset int64, found bool) (int64, bool)) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := c.byDir[dir]
	if o == nil {
		return false // the directory has failed
	}
	was, found := o[tp]
	offset, keep := to(was, found)
	switch {
	case keep:
		o[tp] = offset
	case found:
		delete(o, tp)
	}
	return keep != found || keep && offset != was
}

func (c *cleanedOffsets) copy(dir string) offsets {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.byDir[dir])
}

func (c *cleanedOffsets) forget(dir string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.byDir, dir)
}

// CleanedTo is up to where a log was compacted, for the cleaner.
func (m *Manager) CleanedTo(l *commitlog.Log) (int64, bool) {
	return m.cleaned.get(l.ParentDir(), l.Partition())
}

// SetCleanedTo keeps up to where a log was compacted.
func (m *Manager) SetCleanedTo(l *commitlog.Log, offset int64) {
	m.setCleaned(l.ParentDir(), l.Partition(), offset)
}

func (m *Manager) setCleaned(dir string, tp model.TopicPartition, offset int64) {
	if m.cleaned.change(dir, tp, func(int64, bool) (int64, bool) { return offset, true }) {
		m.writeCleaned(dir)
	}
}

// dropCleaned forgets a partition that leaves a directory.
func (m *Manager) dropCleaned(dir string, tp model.TopicPartition) {
	if m.cleaned.change(dir, tp, func(int64, bool) (int64, bool) { return 0, false }) || m.cleaner != nil {
		m.writeCleaned(dir)
	}
}

// truncated follows a log that was cut at the segment of an offset: what
// comes behind was never compacted. The log's lock is held.
func (m *Manager) truncated(dir string, tp model.TopicPartition, offset int64) {
	lowered := m.cleaned.change(dir, tp, func(was int64, found bool) (int64, bool) { return min(was, offset), found })
	if lowered {
		m.schedule.after(0, func() { m.writeCleaned(dir) })
	}
}

// moveCleaned takes over up to where a log was compacted when it moves to
// another directory.
func (m *Manager) moveCleaned(tp model.TopicPartition, from, to string) {
	offset, found := m.cleaned.get(from, tp)
	if !found {
		return
	}
	m.dropCleaned(from, tp)
	m.setCleaned(to, tp, offset)
}

// writeCleaned writes a directory's file, without the partitions that are no
// longer there.
func (m *Manager) writeCleaned(dir string) {
	m.checkpointMu.Lock()
	defer m.checkpointMu.Unlock()
	o := m.cleaned.copy(dir)
	m.mu.Lock()
	maps.DeleteFunc(o, func(tp model.TopicPartition, _ int64) bool { return m.logs[tp] == nil })
	m.mu.Unlock()
	m.writeCheckpoint(dir, cleanerFile, o)
}

func (m *Manager) startCleaner() {
	if m.cleaner != nil {
		m.cleaner.Start()
	}
}

// UpdateCleaner changes what the cleaner works with while it runs.
func (m *Manager) UpdateCleaner(cfg logcleaner.Config) {
	if m.cleaner != nil {
		m.cleaner.Reconfigure(cfg)
	}
}

// Cleaner compacts the logs; nil when log.cleaner.enable is false.
func (m *Manager) Cleaner() *logcleaner.Cleaner { return m.cleaner }

// abortCleaning stops the work on a partition that goes, or is not to be
// compacted any more.
func (m *Manager) abortCleaning(tp model.TopicPartition) {
	if m.cleaner != nil {
		m.cleaner.Abort(tp)
	}
}

// PauseCleaning keeps a partition from being compacted until ResumeCleaning,
// and waits for who is at it.
func (m *Manager) PauseCleaning(tp model.TopicPartition) {
	if m.cleaner != nil {
		m.cleaner.Pause(tp)
	}
}

// ResumeCleaning undoes a PauseCleaning.
func (m *Manager) ResumeCleaning(tp model.TopicPartition) {
	if m.cleaner != nil {
		m.cleaner.Resume(tp)
	}
}

// deleteUncompacted applies retention to the logs that are not compacted;
// those that are, are the cleaner's. The policy may change meanwhile, so the
// cleaner is held off.
func (m *Manager) deleteUncompacted(now time.Time) (total int) {
	for _, l := range m.Logs() {
		if l.Options().Compact || m.cleaner != nil && !m.cleaner.PauseIdle(l.Partition()) {
			continue
		}
		n, err := l.DeleteOldSegments(now)
		m.ResumeCleaning(l.Partition())
		total += n
		if future := m.Future(l.Partition()); future != nil && err == nil {
			n, err = future.DeleteOldSegments(now)
			total += n
		}
		if err != nil {
			m.log.Errorf("Deleting old segments of %s failed: %s", l.Partition(), err)
		}
	}
	return total
}
