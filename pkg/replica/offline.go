package replica

import (
	"context"
	"path/filepath"
	"strings"

	"gregor/pkg/commitlog"
	"gregor/pkg/model"
)

// hold gives a partition its log without a role: its leader is not alive.
func (p *Partition) hold(log *commitlog.Log) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.log = log
	p.turns.Add(1)
}

// DirFailed says that a log directory cannot be used any more. It may be
// called from within an append or a read; the partitions go offline soon
// after.
func (m *Manager) DirFailed(dir string) {
	select {
	case m.failedDirs <- dir:
	default: // more failures than there can be directories: they repeat
	}
}

func (m *Manager) handleFailedDirs(ctx context.Context) error {
	for {
		select {
		case dir := <-m.failedDirs:
			m.takeOffline(dir)
		case <-ctx.Done():
			return nil
		}
	}
}

// takeOffline stops serving the partitions of a directory. Requests that wait
// for them are told.
func (m *Manager) takeOffline(dir string) {
	m.changes.Lock()
	defer m.changes.Unlock()
	copies := m.forgetFutures(filepath.Clean(dir))
	var names []string
	var tps []model.TopicPartition
	for _, p := range m.Partitions() {
		log := p.Log()
		if log == nil || p.offline.Load() || log.ParentDir() != filepath.Clean(dir) {
			continue
		}
		tps = append(tps, p.TopicPartition)
		names = append(names, p.TopicPartition.String())
		p.fail()
		m.wake(p.TopicPartition)
	}
	m.following.remove(tps)
	m.following.endIdle()
	m.moving.remove(tps)
	m.log.Warnf("%sStopping serving replicas in dir %s", m.prefix(), dir)
	m.log.Warnf("%sBroker %d stopped fetcher for partitions %s and stopped moving logs for partitions %s because they are in the failed log directory %s.",
		m.prefix(), m.options.BrokerID, strings.Join(names, ","), strings.Join(copies, ","), dir)
}
