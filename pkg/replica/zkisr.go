package replica

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"gregor/pkg/kerr"
	"gregor/pkg/model"
	"gregor/pkg/zkstore"
)

// PartitionStates are the states of partitions in ZooKeeper, which leaders
// write themselves before 2.7-IV2; zkstore.Store has them.
type PartitionStates interface {
	PartitionStates(ctx context.Context, tps []model.TopicPartition) (map[model.TopicPartition]zkstore.PartitionState, error)
	UpdatePartitionStates(ctx context.Context, states map[model.TopicPartition]zkstore.PartitionState, fence zkstore.Fence) (
		updated map[model.TopicPartition]zkstore.PartitionState, failed map[model.TopicPartition]error, err error)
	NotifyIsrChange(ctx context.Context, tps []model.TopicPartition) error
}

// When the controller is told of ISRs that were written: at a check when
// there was no change lately, or nothing was told for long.
const (
	isrNoteCheck = 2500 * time.Millisecond
	isrNoteQuiet = 5 * time.Second
	isrNoteMax   = 60 * time.Second
)

// storeISR writes changes into the znodes of their partitions and tells the
// controller of them later, many at once.
type storeISR struct {
	manager *Manager
	store   PartitionStates

	mu         sync.Mutex // guards the fields below
	changed    map[model.TopicPartition]bool
	lastChange time.Time
	lastNote   time.Time
}

func newStoreISR(m *Manager, store PartitionStates) *storeISR {
	return &storeISR{manager: m, store: store, changed: map[model.TopicPartition]bool{}, lastNote: time.Now()}
}

func (w *storeISR) write(ctx context.Context, changes []*isrChange) ([]isrOutcome, error) {
	states := make(map[model.TopicPartition]zkstore.PartitionState, len(changes))
	for _, c := range changes {
		states[c.partition.TopicPartition] = w.wanted(c)
	}
	updated, failed, err := w.store.UpdatePartitionStates(ctx, states, zkstore.NoFence)
	if err != nil {
		return nil, err
	}
	outcomes := make([]isrOutcome, len(changes))
	for i, c := range changes {
		tp := c.partition.TopicPartition
		state, ok := updated[tp]
		if !ok {
			if state, ok = w.wroteBefore(ctx, c, failed[tp]); !ok {
				outcomes[i].err = kerr.InvalidUpdateVersion
				continue
			}
		}
		outcomes[i] = isrOutcome{leaderEpoch: c.leaderEpoch, isr: c.isr, partitionEpoch: state.ZkVersion}
		w.note(tp)
	}
	return outcomes, nil
}

func (w *storeISR) wanted(c *isrChange) zkstore.PartitionState {
	return zkstore.PartitionState{Leader: w.manager.options.BrokerID, LeaderEpoch: c.leaderEpoch, ISR: c.isr,
		ControllerEpoch: c.controllerEpoch, ZkVersion: c.partitionEpoch}
}

// wroteBefore reports whether, after a conflict of versions, the znode holds
// just what was to be written: an earlier attempt has come through.
func (w *storeISR) wroteBefore(ctx context.Context, c *isrChange, err error) (zkstore.PartitionState, bool) {
	if !errors.Is(err, zkstore.ErrBadVersion) {
		return zkstore.PartitionState{}, false
	}
	tp := c.partition.TopicPartition
	states, err := w.store.PartitionStates(ctx, []model.TopicPartition{tp})
	if err != nil {
		return zkstore.PartitionState{}, false
	}
	got, found := states[tp]
	want := w.wanted(c)
	same := found && got.Leader == want.Leader && got.LeaderEpoch == want.LeaderEpoch &&
		got.ControllerEpoch == want.ControllerEpoch && slices.Equal(got.ISR, want.ISR)
	return got, same
}

func (w *storeISR) note(tp model.TopicPartition) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.changed[tp] = true
	w.lastChange = time.Now()
}

// due takes what is to be told now, nil when it can wait.
func (w *storeISR) due(now time.Time) []model.TopicPartition {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.changed) == 0 || now.Sub(w.lastChange) <= isrNoteQuiet && now.Sub(w.lastNote) <= isrNoteMax {
		return nil
	}
	list := slices.SortedFunc(maps.Keys(w.changed), model.TopicPartition.Compare)
	clear(w.changed)
	w.lastNote = now
	return list
}

// notify tells the controller, for as long as ctx lives.
func (w *storeISR) notify(ctx context.Context) error {
	ticker := time.NewTicker(isrNoteCheck)
	defer ticker.Stop()
	for {
		select {
		case now := <-ticker.C:
			list := w.due(now)
			if len(list) == 0 {
				continue
			}
			if err := w.store.NotifyIsrChange(ctx, list); err != nil {
				w.manager.log.WithError(err).Warnf("%sthe controller could not be told of the ISRs of %d partitions", w.manager.prefix(), len(list))
				for _, tp := range list {
					w.note(tp)
				}
			}
		case <-ctx.Done():
			return nil
		}
	}
}
