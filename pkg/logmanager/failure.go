package logmanager

import (
	"context"
	"slices"
	"strings"

	"gregor/pkg/commitlog"
	"gregor/pkg/model"
)

// dirFailure is an input or output error in a directory.
type dirFailure struct {
	dir string
	err error
}

// fail reports a directory. It does not block and may be called by a log with
// its lock held; when the queue is full the directory is known already, or
// its next error will tell.
func (m *Manager) fail(dir string, err error) {
	select {
	case m.failures <- dirFailure{dir, err}:
	default:
	}
}

func (m *Manager) handleFailures(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case f := <-m.failures:
			if m.failNow(f) {
				m.opts.OnDirFailure(f.dir)
			}
		}
	}
}

// failNow takes a directory and its logs out of service. It reports false
// when that was done before.
func (m *Manager) failNow(f dirFailure) bool {
	m.mu.Lock()
	i := slices.Index(m.live, f.dir)
	if i < 0 {
		m.mu.Unlock()
		return false
	}
	m.live = slices.Delete(m.live, i, i+1)
	m.offline = append(m.offline, f.dir)
	lost := m.sortedLocked(inDir(f.dir))
	for _, l := range lost {
		for _, logs := range []map[model.TopicPartition]*commitlog.Log{m.logs, m.futures} {
			if logs[l.Partition()] == l {
				delete(logs, l.Partition())
			}
		}
	}
	if lock := m.locks[f.dir]; lock != nil {
		lock.Close()
		delete(m.locks, f.dir)
	}
	none := len(m.live) == 0
	m.mu.Unlock()
	m.cleaned.forget(f.dir)

	m.opts.Loggers.Logger("kafka.server.LogDirFailureChannel").Errorf("Error while using log directory in dir %s: %s", f.dir, f.err)
	m.log.Warnf("Stopping serving logs in dir %s", f.dir)
	var names, copies []string
	for _, l := range lost {
		l.MarkFailed()
		if isFuture(l) {
			copies = append(copies, l.Partition().String())
			m.resumeMoved(l.Partition())
		} else {
			names = append(names, l.Partition().String())
		}
	}
	m.log.Warnf("Logs for partitions %s are offline and logs for future partitions %s are offline due to failure on log directory %s",
		strings.Join(names, ","), strings.Join(copies, ","), f.dir)
	if none {
		m.log.Errorf("Shutdown broker because all log dirs in %s have failed", strings.Join(m.opts.Dirs, ", "))
	}
	return true
}

// LogDescription is one log as DescribeLogDirs gives it.
type LogDescription struct {
	Partition model.TopicPartition
	Size      int64
	LogEnd    int64
	Future    bool // a copy that is to take the log's place
}

// DirDescription is one log directory.
type DirDescription struct {
	Dir     string
	Offline bool
	Logs    []LogDescription
}

// DescribeDirs lists the directories, in configured order, with their logs.
func (m *Manager) DescribeDirs() []DirDescription {
	var all []DirDescription
	for _, dir := range m.opts.Dirs {
		d := DirDescription{Dir: dir, Offline: !m.isLive(dir)}
		for _, l := range m.logsIn(dir) {
			d.Logs = append(d.Logs, LogDescription{Partition: l.Partition(), Size: l.Size(), LogEnd: l.LogEndOffset(), Future: isFuture(l)})
		}
		all = append(all, d)
	}
	return all
}

func inDir(dir string) func(*commitlog.Log) bool {
	return func(l *commitlog.Log) bool { return l.ParentDir() == dir }
}
