package logmanager

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"gregor/pkg/commitlog"
	"gregor/pkg/model"
	"gregor/pkg/vfs"
)

// Checkpoint files of a log directory: a line of topic, partition and offset
// for each partition.
const (
	recoveryPointFile = "recovery-point-offset-checkpoint"
	logStartFile      = "log-start-offset-checkpoint"
	highWatermarkFile = "replication-offset-checkpoint"
	cleanerFile       = "cleaner-offset-checkpoint"
)

var checkpointFiles = []string{recoveryPointFile, logStartFile, highWatermarkFile, cleanerFile}

type offsets map[model.TopicPartition]int64

// readOffsets reads a checkpoint file; a missing one is empty.
func readOffsets(fsys vfs.FS, path string) (offsets, error) {
	lines, err := commitlog.ReadCheckpoint(fsys, path)
	if errors.Is(err, fs.ErrNotExist) {
		return offsets{}, nil
	}
	if err != nil {
		return nil, err
	}
	return parseOffsets(path, lines)
}

func parseOffsets(path string, lines []string) (offsets, error) {
	found := offsets{}
	for _, line := range lines {
		fields := strings.Fields(line)
		if len(fields) != 3 {
			return nil, commitlog.MalformedLine(path, line)
		}
		partition, err1 := strconv.ParseInt(fields[1], 10, 32)
		offset, err2 := strconv.ParseInt(fields[2], 10, 64)
		if err1 != nil || err2 != nil {
			return nil, commitlog.MalformedLine(path, line)
		}
		found[model.TopicPartition{Topic: fields[0], Partition: int32(partition)}] = offset
	}
	return found, nil
}

// lines are the entries in the order in which we write them.
func (o offsets) lines() []byte {
	partitions := make([]model.TopicPartition, 0, len(o))
	for tp := range o {
		partitions = append(partitions, tp)
	}
	slices.SortFunc(partitions, model.TopicPartition.Compare)
	var lines bytes.Buffer
	for _, tp := range partitions {
		fmt.Fprintf(&lines, "%s %d %d\n", tp.Topic, tp.Partition, o[tp])
	}
	return lines.Bytes()
}

// HighWatermark is the checkpointed high watermark of a partition.
func (m *Manager) HighWatermark(tp model.TopicPartition) (int64, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	offset, found := m.highWatermarks[tp]
	return offset, found
}

// CheckpointHighWatermarks writes the high watermarks of all partitions, by
// the log directory that they are in.
func (m *Manager) CheckpointHighWatermarks(byDir map[string]map[model.TopicPartition]int64) {
	m.checkpointMu.Lock()
	defer m.checkpointMu.Unlock()
	m.mu.Lock()
	for dir, all := range byDir {
		for tp, offset := range all {
			if future := m.futures[tp]; future == nil || future.ParentDir() != dir {
				m.highWatermarks[tp] = offset
			}
		}
	}
	m.mu.Unlock()
	for dir, all := range byDir {
		m.writeCheckpoint(dir, highWatermarkFile, all)
	}
}

// CheckpointRecoveryPoints writes up to where every log is on disk.
func (m *Manager) CheckpointRecoveryPoints() {
	for _, dir := range m.LiveDirs() {
		m.checkpointRecoveryPoints(dir)
	}
}

func (m *Manager) checkpointRecoveryPoints(dir string) {
	m.checkpointMu.Lock()
	defer m.checkpointMu.Unlock()
	o := offsets{}
	for _, l := range m.logsIn(dir) {
		o[l.Partition()] = l.RecoveryPoint()
	}
	m.writeCheckpoint(dir, recoveryPointFile, o)
}

// CheckpointLogStarts writes the log starts that cannot be told from the
// first segment's name.
func (m *Manager) CheckpointLogStarts() {
	for _, dir := range m.LiveDirs() {
		m.checkpointLogStarts(dir)
	}
}

func (m *Manager) checkpointLogStarts(dir string) {
	m.checkpointMu.Lock()
	defer m.checkpointMu.Unlock()
	o := offsets{}
	for _, l := range m.logsIn(dir) {
		if start := l.LogStartOffset(); start > l.FirstSegmentBase() {
			o[l.Partition()] = start
		}
	}
	m.writeCheckpoint(dir, logStartFile, o)
}

// writeCheckpoint reports a directory that cannot be written. A file that says
// the same already stays: most of the time nothing has changed, and on a full
// disk nothing needs to. checkpointMu is held.
func (m *Manager) writeCheckpoint(dir, file string, o offsets) {
	if !m.isLoaded(dir) {
		return
	}
	path := filepath.Join(dir, file)
	lines := o.lines()
	sum := sha256.Sum256(lines)
	if known, found := m.checkpointed[path]; found && known == sum {
		return
	}
	delete(m.checkpointed, path)
	if err := commitlog.WriteCheckpoint(m.fs, path, len(o), lines); err != nil {
		m.fail(dir, fmt.Errorf("writing to checkpoint file %s: %w", path, err))
		return
	}
	m.checkpointed[path] = sum
}

// noteCheckpoint remembers what a file says that was read.
func (m *Manager) noteCheckpoint(path string, o offsets) {
	m.checkpointMu.Lock()
	defer m.checkpointMu.Unlock()
	m.checkpointed[path] = sha256.Sum256(o.lines())
}
