package replica

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"gregor/pkg/commitlog"
	"gregor/pkg/config"
	"gregor/pkg/logging"
	"gregor/pkg/logmanager"
	"gregor/pkg/model"
	"gregor/pkg/vfs"
)

// copyMachine has a partition that moves while all that can happen to a log
// happens to it, a step of the copy at a time. In the end the copy is the log.
type copyMachine struct {
	manager *Manager
	logs    *logmanager.Manager
	fs      *vfs.Mem
	p       *Partition
	copier  *copier
	buf     []byte
	max     int
	epoch   model.LeaderEpoch
	options commitlog.Options
	serial  int
}

func newCopyMachine(t *rapid.T) *copyMachine {
	m := &copyMachine{fs: vfs.NewMem(), options: commitlog.DefaultOptions()}
	m.options.SegmentBytes = rapid.SampledFrom([]int{500, 3000, 1 << 20}).Draw(t, "segment.bytes")
	m.options.RetentionMs, m.options.IndexIntervalBytes, m.options.SegmentIndexBytes = -1, 100, 12_000
	m.max = rapid.SampledFrom([]int{1, 200, 1 << 20}).Draw(t, "max")
	m.open(t)
	m.p = m.manager.newPartition(tp(0))
	m.attach(t)
	return m
}

func (m *copyMachine) open(t *rapid.T) {
	logs, err := logmanager.New(logmanager.Options{Dirs: []string{"/a", "/b"}, FS: m.fs})
	require.NoError(t, err)
	require.NoError(t, logs.Load(t.Context(), func(string) commitlog.Options { return m.options }))
	m.logs = logs
	m.manager = New(Options{BrokerID: 1, Logs: logs, Loggers: logging.Discard(), Versions: PeerVersionsFor(config.IBP_2_8_IV1)})
}

// attach gives the partition its log, as a LeaderAndIsr does.
func (m *copyMachine) attach(t *rapid.T) {
	log, err := m.logs.GetOrCreate(tp(0), true, model.TopicID{})
	require.NoError(t, err)
	m.p = m.manager.newPartition(tp(0))
	m.p.log, m.p.leader, m.p.leaderEpoch, m.p.future = log, 2, m.epoch, m.logs.Future(tp(0))
	m.copier = &copier{manager: m.manager, partition: m.p}
}

func (m *copyMachine) Append(t *rapid.T) {
	for range rapid.IntRange(1, 5).Draw(t, "batches") {
		m.serial++
		records := batch(fmt.Sprint(m.serial), strings.Repeat("x", rapid.IntRange(0, 300).Draw(t, "bytes")))
		_, err := m.p.log.AppendAsLeader(records, m.epoch, commitlog.OriginReplication)
		require.NoError(t, err)
	}
	m.p.log.SetHighWatermark(rapid.Int64Range(m.p.log.HighWatermark(), m.p.log.LogEndOffset()).Draw(t, "high watermark"))
}

func (m *copyMachine) NextEpoch(*rapid.T) {
	m.epoch++
	m.p.leaderEpoch = m.epoch
}

func (m *copyMachine) Cut(t *rapid.T) {
	log := m.p.log
	offset := rapid.Int64Range(log.LogStartOffset(), log.LogEndOffset()).Draw(t, "cut")
	_, err := m.p.truncate(m.epoch, offset-offset%2) // batches have two records
	require.NoError(t, err)
	m.NextEpoch(t)
}

func (m *copyMachine) Restart(t *rapid.T) {
	require.NoError(t, m.p.restart(m.epoch, m.p.log.LogEndOffset()+rapid.Int64Range(0, 3).Draw(t, "gap")*2))
	m.NextEpoch(t)
}

func (m *copyMachine) DeleteRecords(t *rapid.T) {
	log := m.p.log
	require.NoError(t, log.IncrementLogStartOffset(rapid.Int64Range(log.LogStartOffset(), log.HighWatermark()).Draw(t, "start"), "client delete records request"))
}

func (m *copyMachine) Retention(t *rapid.T) {
	_, err := m.p.log.DeleteOldSegments(time.Now())
	require.NoError(t, err)
}

func (m *copyMachine) Step(t *rapid.T) {
	if m.p.future == nil {
		var err error
		m.p.future, err = m.logs.CreateFuture(tp(0), map[string]string{"/a": "/b", "/b": "/a"}[m.p.log.ParentDir()])
		require.NoError(t, err)
		m.copier = &copier{manager: m.manager, partition: m.p}
	}
	before, want := m.p.log, contents(t, m.p.log)
	done, err := m.copier.step(&m.buf, m.max)
	require.NoError(t, err)
	require.Equal(t, done.replaced, m.p.log != before)
	if done.replaced {
		m.requireEqual(t, before, want)
	}
}

// requireEqual holds the log against the one that it has replaced.
func (m *copyMachine) requireEqual(t *rapid.T, before *commitlog.Log, want []byte) {
	log := m.p.log
	require.Nil(t, m.p.future)
	require.Same(t, log, m.logs.Get(tp(0)))
	offsets := func(l *commitlog.Log) []int64 {
		return []int64{l.LogStartOffset(), l.HighWatermark(), l.LogEndOffset(), int64(l.LatestEpoch())}
	}
	require.Equal(t, offsets(before), offsets(log))
	require.True(t, bytes.Equal(want, contents(t, log)), "the records are the same")
	first, _, _ := before.EarliestEpochStart()
	for epoch := max(first, 0); epoch <= m.epoch; epoch++ {
		e1, o1 := before.EndOffsetForEpoch(epoch)
		e2, o2 := log.EndOffsetForEpoch(epoch)
		require.Equal(t, fmt.Sprint(e1, o1), fmt.Sprint(e2, o2), "end of epoch %d", epoch)
	}
}

// Reopen is a broker that stops, in order or by a crash after its checkpoints,
// and starts again.
func (m *copyMachine) Reopen(t *rapid.T) {
	m.manager.checkpointHighWatermarks()
	m.logs.CheckpointLogStarts()
	if rapid.Bool().Draw(t, "clean") {
		require.NoError(t, m.logs.Shutdown())
	} else {
		m.fs = m.fs.Clone()
		old := m.logs
		defer func() { require.NoError(t, old.Shutdown()) }()
	}
	m.open(t)
	m.attach(t)
}

func TestCopyOfALogThatChanges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newCopyMachine(t)
		defer func() { require.NoError(t, m.logs.Shutdown()) }()
		t.Repeat(map[string]func(*rapid.T){
			"append": m.Append, "step": m.Step, "step again": m.Step, "cut": m.Cut, "restart": m.Restart, "epoch": m.NextEpoch,
			"delete records": m.DeleteRecords, "retention": m.Retention, "reopen": m.Reopen,
		})
		for steps := 0; m.p.future != nil; steps++ {
			require.Less(t, steps, 10_000)
			m.Step(t)
		}
	})
}
