package api

import (
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"gregor/pkg/commitlog"
	"gregor/pkg/model"
)

// testLogs are real logs in one directory, without what logmanager does in
// the background.
type testLogs struct {
	t   testing.TB
	dir string

	mu   sync.Mutex
	logs map[model.TopicPartition]*commitlog.Log
}

func newTestLogs(t testing.TB) *testLogs {
	l := &testLogs{t: t, dir: t.TempDir(), logs: map[model.TopicPartition]*commitlog.Log{}}
	t.Cleanup(func() {
		for _, log := range l.logs {
			require.NoError(t, log.Close())
		}
	})
	return l
}

func (l *testLogs) Get(tp model.TopicPartition) *commitlog.Log {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.logs[tp]
}

func (l *testLogs) GetOrCreate(tp model.TopicPartition, _ bool, _ model.TopicID) (*commitlog.Log, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if log := l.logs[tp]; log != nil {
		return log, nil
	}
	log, err := commitlog.Open(commitlog.Config{Dir: filepath.Join(l.dir, tp.String()), Partition: tp, Options: commitlog.DefaultOptions(), CleanShutdown: true})
	if err == nil {
		l.logs[tp] = log
	}
	return log, err
}

func (l *testLogs) AsyncDelete(tp model.TopicPartition) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	log := l.logs[tp]
	delete(l.logs, tp)
	return log.Close()
}

func (l *testLogs) HighWatermark(model.TopicPartition) (int64, bool) { return 0, false }

func (l *testLogs) CheckpointHighWatermarks(map[string]map[model.TopicPartition]int64) {}
