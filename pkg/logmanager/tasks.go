package logmanager

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"gregor/pkg/commitlog"
	"gregor/pkg/lifecycle"
)

const (
	idleFilesInterval            = time.Minute
	producerExpiryInterval       = 10 * time.Minute
	intervalMax                  = 365 * 24 * time.Hour // beyond it a task never runs
	neverMs                int64 = math.MaxInt64
)

// Start begins the periodic tasks.
func (m *Manager) Start() {
	m.log.Infof("Starting log cleanup with a period of %d ms.", m.opts.RetentionCheckInterval.Milliseconds())
	m.every("log-retention", m.opts.RetentionCheckInterval, m.DeleteOldSegments)
	flushMs := neverMs
	if m.opts.FlushCheckInterval > 0 && m.opts.FlushCheckInterval < intervalMax {
		flushMs = m.opts.FlushCheckInterval.Milliseconds()
		m.every("log-flusher", m.opts.FlushCheckInterval, m.flushDirtyLogs)
	}
	m.log.Infof("Starting log flusher with a default period of %d ms.", flushMs)
	m.every("log-recovery-point-checkpoint", m.opts.RecoveryCheckpointInterval, m.CheckpointRecoveryPoints)
	m.every("log-start-offset-checkpoint", m.opts.LogStartCheckpointInterval, m.CheckpointLogStarts)
	m.every("log-idle-files", idleFilesInterval, m.closeIdleFiles)
	m.every("disk-space", diskCheckInterval, func() { m.warnOfFullDisks(time.Now()) })
	m.every("producer-expiry", producerExpiryInterval, m.expireProducers)
	m.startCleaner()
}

// every runs a task after the initial delay and then each period.
func (m *Manager) every(name string, period time.Duration, task func()) {
	m.group.Go(name, func(ctx context.Context) error {
		timer := time.NewTimer(initialDelay)
		defer timer.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-timer.C:
				task()
				timer.Reset(period)
			}
		}
	})
}

// DeleteOldSegments applies retention to every log that is not compacted.
func (m *Manager) DeleteOldSegments() {
	m.log.Debug("Beginning log cleanup...")
	started := time.Now()
	total := m.deleteUncompacted(started)
	m.log.Debugf("Log cleanup completed. %d files deleted in %d seconds", total, int(time.Since(started).Seconds()))
}

// flushDirtyLogs flushes the logs that have not been for flush.ms.
func (m *Manager) flushDirtyLogs() {
	for _, l := range m.all() {
		if o := l.Options(); time.Since(l.LastFlush()).Milliseconds() >= o.FlushMs {
			if err := l.Flush(); err != nil {
				m.log.Errorf("Error flushing topic %s: %s", l.Partition().Topic, err)
			}
		}
	}
}

func (m *Manager) closeIdleFiles() {
	for _, l := range m.all() {
		l.CloseIdleFiles()
	}
}

func (m *Manager) expireProducers() {
	for _, l := range m.all() {
		l.ExpireProducers(time.Now())
	}
}

// Shutdown ends the tasks, flushes and closes every log, writes the
// checkpoints and marks the directories that went without an error as clean.
// It may be called without Load having been.
func (m *Manager) Shutdown() error {
	m.mu.Lock()
	twice := m.stopped
	m.stopped = true
	m.mu.Unlock()
	if twice {
		return nil
	}
	m.log.Info("Shutting down.")
	if m.cleaner != nil {
		m.cleaner.Shutdown()
	}
	err := m.group.Close()
	dirs := m.LiveDirs()
	err = errors.Join(append(lifecycle.Parallel("close log directory", len(dirs), func(i int) error { return m.closeDir(dirs[i]) }), err)...)
	m.unlockAll()
	m.log.Info("Shutdown complete.")
	return err
}

func (m *Manager) closeDir(dir string) error {
	logs := m.logsIn(dir)
	err := lifecycle.Shared("close logs", int(m.recoveryThreads.Load()), len(logs), func(i int) error { return flushAndClose(logs[i]) })
	m.checkpointRecoveryPoints(dir)
	m.checkpointLogStarts(dir)
	if err != nil {
		return fmt.Errorf("directory %s is not marked clean: %w", dir, err)
	}
	return m.markClean(dir)
}

func flushAndClose(l *commitlog.Log) error {
	if err := l.Flush(); err != nil {
		return err
	}
	return l.Close()
}

// markClean marks a directory all of whose logs were flushed and closed. One
// that was clean and of which a refused start has opened some logs gets its
// mark back: the others are as they were.
func (m *Manager) markClean(dir string) error {
	m.mu.Lock()
	clean, withEpoch := m.loaded[dir] || m.foundClean[dir], m.marksWithEpoch[dir]
	m.mu.Unlock()
	if !clean {
		return nil
	}
	m.log.Debugf("Writing clean shutdown marker at %s", dir)
	return writeCleanMark(m.fs, dir, withEpoch)
}
