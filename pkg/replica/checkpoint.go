package replica

import (
	"context"
	"maps"
	"time"

	"gregor/pkg/commitlog"
	"gregor/pkg/model"
)

// checkpointer remembers what the high watermark files hold, so that idle
// partitions cost no writes.
type checkpointer struct {
	written map[string]map[model.TopicPartition]int64 // by log directory
}

// startCheckpointing starts the timer with the first LeaderAndIsr: before it,
// the high watermarks in memory are not yet those of the files. changes is
// held.
func (m *Manager) startCheckpointing() {
	if m.checkpointing {
		return
	}
	m.checkpointing = m.group.Go("high-watermark-checkpoint", func(ctx context.Context) error {
		ticker := time.NewTicker(m.options.CheckpointInterval)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				m.checkpointHighWatermarks()
			case <-ctx.Done():
				return nil
			}
		}
	})
}

// checkpointHighWatermarks writes the high watermarks of every directory in
// which one moved. It is called by one goroutine at a time.
func (m *Manager) checkpointHighWatermarks() {
	marks := map[string]map[model.TopicPartition]int64{}
	for _, p := range m.Partitions() {
		log := p.Log()
		if log == nil || p.offline.Load() {
			continue
		}
		for _, l := range []*commitlog.Log{log, p.Future()} {
			if l == nil {
				continue
			}
			dir := l.ParentDir()
			if marks[dir] == nil {
				marks[dir] = map[model.TopicPartition]int64{}
			}
			marks[dir][p.TopicPartition] = l.HighWatermark()
		}
	}
	changed := map[string]map[model.TopicPartition]int64{}
	for dir, of := range marks {
		if !maps.Equal(of, m.checkpoint.written[dir]) {
			changed[dir] = of
		}
	}
	if len(changed) > 0 {
		m.options.Logs.CheckpointHighWatermarks(changed)
	}
	m.checkpoint.written = marks
}
