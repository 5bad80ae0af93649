package logmanager

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"gregor/pkg/commitlog"
	"gregor/pkg/lifecycle"
	"gregor/pkg/model"
	"gregor/pkg/vfs"
)

// Load opens every log of every live directory, all directories at a time,
// and recovers those of a directory that was not shut down in order. A
// directory that fails goes offline; one that holds what is not Kafka's, or a
// partition that is there twice, is a FatalError.
func (m *Manager) Load(ctx context.Context, topicOptions func(topic string) commitlog.Options) error {
	started := time.Now()
	m.mu.Lock()
	m.topicOptions = topicOptions
	m.mu.Unlock()
	dirs := m.LiveDirs()
	m.log.Infof("Loading logs from log dirs ArraySeq(%s)", strings.Join(dirs, ", "))

	p := &progress{started: started}
	reporting := lifecycle.NewGroup(ctx)
	p.report(reporting, func(line string) { m.log.Info(line) })
	errs := lifecycle.Parallel("load log directory", len(dirs), func(i int) error { return m.loadDir(ctx, dirs[i], p) })
	reporting.Close()
	for i, err := range errs {
		var foreign *FatalError
		var refused *commitlog.Refusal
		switch {
		case errors.As(err, &refused):
			m.tellRefusal(refused)
			return refused
		case errors.As(err, &foreign) || errors.Is(err, context.Canceled):
			return err
		case err != nil:
			if m.failNow(dirFailure{dirs[i], fmt.Errorf("loading logs: %w", err)}) && len(m.LiveDirs()) == 0 {
				return fatal("org.apache.kafka.common.KafkaException", "Shutdown broker because all log dirs in %s have failed", strings.Join(m.opts.Dirs, ", "))
			}
		}
	}
	m.log.Infof("Loaded %d logs in %dms.", p.done.Load(), time.Since(started).Milliseconds())
	return nil
}

// tellRefusal logs what Kafka logs of a partition that cannot be loaded.
func (m *Manager) tellRefusal(r *commitlog.Refusal) {
	if r.Err != nil && r.Class == "org.apache.kafka.common.errors.KafkaStorageException" {
		m.opts.Loggers.Logger("kafka.server.LogDirFailureChannel").Errorf("%s\njava.io.IOException: %s", r.Text, r.Err)
	}
	m.log.Errorf("There was an error in one of the threads during logs loading: %s: %s", r.Class, r.Text)
}

// dirState is what a directory's checkpoints say.
type dirState struct {
	clean          bool
	withEpoch      bool // the form of the clean mark
	recoveryPoints offsets
	logStarts      offsets
	highWatermarks offsets
}

func (m *Manager) loadDir(ctx context.Context, dir string, p *progress) error {
	state, err := m.readState(dir)
	if err != nil {
		return err
	}
	if !state.clean {
		p.unclean.Store(true)
	}
	m.mu.Lock()
	m.foundClean[dir] = state.clean
	m.marksWithEpoch[dir] = state.withEpoch
	m.mu.Unlock()
	entries, err := m.fs.ReadDir(dir)
	if err != nil {
		return err
	}
	var names []string
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		switch tp, k := parseDir(entry.Name()); k {
		case kindForeign:
			return fatal("org.apache.kafka.common.KafkaException",
				"Found directory %s, '%s' is not in the form of topic-partition or topic-partition.uniqueId-delete (if marked for deletion).\nKafka's log directories (and children) should only contain Kafka topic data.",
				filepath.Join(dir, entry.Name()), entry.Name())
		case kindLog, kindFuture:
			names = append(names, entry.Name())
		case kindDelete:
			m.deleteLater(tp, filepath.Join(dir, entry.Name()))
		}
	}
	p.total.Add(int64(len(names)))
	if err := m.loadLogs(ctx, dir, names, state, p); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.loaded[dir] = true
	return nil
}

// readState takes the mark of a clean shutdown away, so that it holds for
// this start only, and reads the checkpoints.
func (m *Manager) readState(dir string) (dirState, error) {
	var state dirState
	var err error
	if state.clean, state.withEpoch, err = takeCleanMark(m.fs, dir); err != nil {
		return state, err
	}
	if state.clean {
		m.log.Infof("Skipping recovery for all logs in %s since clean shutdown file was found", dir)
	} else {
		m.log.Infof("Attempting recovery for all logs in %s since no clean shutdown file was found", dir)
	}
	for _, name := range checkpointFiles {
		path := filepath.Join(dir, name)
		if vfs.Exists(m.fs, path) {
			continue
		}
		f, err := m.fs.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
		if errors.Is(err, syscall.ENOSPC) {
			continue // one that is missing says as much as an empty one
		}
		if err != nil {
			return state, err
		}
		if err := f.Close(); err != nil {
			return state, err
		}
	}
	// A file that cannot be read costs the directory, as in Kafka: nobody knows
	// what else was damaged with it.
	var cleaned offsets
	for _, file := range []struct {
		name string
		into *offsets
	}{{recoveryPointFile, &state.recoveryPoints}, {logStartFile, &state.logStarts}, {highWatermarkFile, &state.highWatermarks}, {cleanerFile, &cleaned}} {
		path := filepath.Join(dir, file.name)
		if *file.into, err = readOffsets(m.fs, path); err != nil {
			return state, fmt.Errorf("reading checkpoint file %s: %w", path, err)
		}
		if vfs.Exists(m.fs, path) {
			m.noteCheckpoint(path, *file.into)
		}
	}
	m.cleaned.load(dir, cleaned)
	return state, nil
}

// loadLogs opens the logs of a directory with the configured number of
// workers.
func (m *Manager) loadLogs(ctx context.Context, dir string, names []string, state dirState, p *progress) error {
	var done atomic.Int64
	return lifecycle.Shared("load logs", int(m.recoveryThreads.Load()), len(names), func(i int) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := m.loadLog(dir, names[i], state, &done, len(names), p); err != nil {
			return err
		}
		p.done.Add(1)
		return nil
	})
}

func (m *Manager) loadLog(dir, name string, state dirState, done *atomic.Int64, total int, p *progress) error {
	started := time.Now()
	tp, k := parseDir(name)
	cfg := m.config(tp, filepath.Join(dir, name))
	cfg.CleanShutdown = state.clean
	cfg.RecoveryPoint = state.recoveryPoints[tp]
	cfg.LogStartOffset = state.logStarts[tp]
	cfg.Recovered = func(bytes int64) { p.recovered.Add(bytes) }
	l, err := commitlog.Open(cfg)
	if err != nil {
		return err
	}
	l.CloseFiles()
	enter := m.enter
	if k == kindFuture {
		enter = m.enterFuture
	}
	if err := enter(l, state); err != nil {
		return err
	}
	m.log.Infof("Completed load of %s with %d segments in %dms (%d/%d loaded in %s)", l, l.Segments(), time.Since(started).Milliseconds(), done.Add(1), total, dir)
	return nil
}

// enter takes a log that was loaded into service.
func (m *Manager) enter(l *commitlog.Log, state dirState) error {
	tp := l.Partition()
	m.mu.Lock()
	defer m.mu.Unlock()
	if other := m.logs[tp]; other != nil {
		return fatal("java.lang.IllegalStateException",
			"Duplicate log directories for %s are found in both %s and %s. It is likely because log directory failure happened while broker was replacing current replica with future replica. Recover broker from this failure by manually deleting one of the two directories for this partition. It is recommended to delete the partition in the log directory that is known to have failed recently.",
			tp, l.Dir(), other.Dir())
	}
	m.logs[tp] = l
	if high, found := state.highWatermarks[tp]; found {
		m.highWatermarks[tp] = high
	}
	return nil
}

// deleteLater removes a directory that was being deleted when the broker
// stopped.
func (m *Manager) deleteLater(tp model.TopicPartition, path string) {
	dir := filepath.Dir(path)
	m.schedule.after(m.fileDeleteDelay(), func() {
		if err := m.fs.RemoveAll(path); err != nil {
			m.fail(dir, fmt.Errorf("deleting %s: %w", path, err))
			return
		}
		m.log.Infof("Deleted log for partition %s in %s.", tp, path)
	})
}
