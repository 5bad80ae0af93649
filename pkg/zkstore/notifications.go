package zkstore

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"gregor/pkg/model"
)

// Notification is a sequential node that tells of a change. Numbers grow and
// never repeat below one parent.
type Notification struct {
	Name    string // config_change_0000000007
	Number  int64
	Data    []byte
	Created time.Time // by the server's clock
}

// NotificationMaxAge is the age at which notifications are purged.
const NotificationMaxAge = 15 * time.Minute

// notificationNumber reads the number at the end of a node's name. The server
// prints it with ten digits, and a minus when the counter has run over.
func notificationNumber(name, prefix string) (int64, bool) {
	digits, ok := strings.CutPrefix(name, prefix)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	return n, err == nil
}

// notifications reads the nodes below parent whose number is above after, in
// order of names. Nodes that vanish meanwhile, and nodes with other names,
// are left out.
func (s *Store) notifications(ctx context.Context, parent, prefix string, after int64) ([]Notification, error) {
	names, err := s.sortedChildren(ctx, parent)
	if err != nil {
		return nil, err
	}
	var (
		found []Notification
		paths []string
	)
	for _, name := range names {
		if number, ok := notificationNumber(name, prefix); ok && number > after {
			found = append(found, Notification{Name: name, Number: number})
			paths = append(paths, parent+"/"+name)
		}
	}
	results, err := s.getAll(ctx, paths)
	if err != nil {
		return nil, err
	}
	kept := found[:0]
	for i, r := range results {
		if errors.Is(r.err, ErrNoNode) {
			continue
		}
		if r.err != nil {
			return nil, r.err
		}
		found[i].Data, found[i].Created = r.data, time.UnixMilli(r.stat.Ctime)
		kept = append(kept, found[i])
	}
	return kept, nil
}

// PurgeConfigChanges removes configuration changes that are older than
// maxAge at the time now.
func (s *Store) PurgeConfigChanges(ctx context.Context, now time.Time, maxAge time.Duration) error {
	notes, err := s.notifications(ctx, ConfigChangesPath, configChangePrefix, -1)
	if err != nil {
		return err
	}
	var old []string
	for _, n := range notes {
		if now.Sub(n.Created) > maxAge {
			old = append(old, ConfigChangesPath+"/"+n.Name)
		}
	}
	return s.deleteAll(ctx, old, NoFence)
}

// IsrChange is a notification below /isr_change_notification: partitions
// whose state their leader has written itself.
type IsrChange struct {
	Notification
	Partitions []model.TopicPartition
	Err        error // ErrBadData when the content cannot be understood
}

const isrChangePrefix = "isr_change_"

// IsrChanges reads all of them, in order.
func (s *Store) IsrChanges(ctx context.Context) ([]IsrChange, error) {
	notes, err := s.notifications(ctx, IsrChangesPath, isrChangePrefix, -1)
	if err != nil {
		return nil, err
	}
	var changes []IsrChange
	for _, n := range notes {
		tps, err := decodePartitions(IsrChangesPath+"/"+n.Name, n.Data)
		changes = append(changes, IsrChange{Notification: n, Partitions: tps, Err: err})
	}
	return changes, nil
}

// NotifyIsrChange tells the controller of partitions whose state this broker
// wrote.
func (s *Store) NotifyIsrChange(ctx context.Context, tps []model.TopicPartition) error {
	_, err := s.createSequential(ctx, IsrChangesPath+"/"+isrChangePrefix, encodePartitions(tps))
	return err
}

// DeleteIsrChanges removes notifications by their names.
func (s *Store) DeleteIsrChanges(ctx context.Context, names []string, fence Fence) error {
	return s.deleteAll(ctx, below(IsrChangesPath, names), fence)
}

// DeleteAllIsrChanges removes every one, as a new controller does.
func (s *Store) DeleteAllIsrChanges(ctx context.Context, fence Fence) error {
	names, err := s.sortedChildren(ctx, IsrChangesPath)
	if err != nil {
		return err
	}
	return s.DeleteIsrChanges(ctx, names, fence)
}

// LogDirEvent is a notification below /log_dir_event_notification: a broker
// lost a log directory.
type LogDirEvent struct {
	Notification
	Broker model.BrokerID
	Err    error // ErrBadData when the content cannot be understood
}

const (
	logDirEventPrefix  = "log_dir_event_"
	logDirEventFailure = 1
)

type logDirEventJSON struct {
	Version int             `json:"version"`
	Broker  *model.BrokerID `json:"broker"`
	Event   int             `json:"event"`
}

func encodeLogDirEvent(id model.BrokerID) []byte {
	return encodeJSON(logDirEventJSON{Version: 1, Broker: &id, Event: logDirEventFailure})
}

func decodeLogDirEvent(path string, data []byte) (model.BrokerID, error) {
	var j logDirEventJSON
	if err := decodeJSON(path, data, &j); err != nil {
		return model.NoBroker, err
	}
	if j.Broker == nil {
		return model.NoBroker, badData(path, "no broker in %s", quoteShort(data))
	}
	return *j.Broker, nil
}

// LogDirEvents reads all of them, in order.
func (s *Store) LogDirEvents(ctx context.Context) ([]LogDirEvent, error) {
	notes, err := s.notifications(ctx, LogDirEventsPath, logDirEventPrefix, -1)
	if err != nil {
		return nil, err
	}
	var events []LogDirEvent
	for _, n := range notes {
		id, err := decodeLogDirEvent(LogDirEventsPath+"/"+n.Name, n.Data)
		events = append(events, LogDirEvent{Notification: n, Broker: id, Err: err})
	}
	return events, nil
}

// NotifyLogDirEvent tells the controller that a log directory of the broker
// is offline.
func (s *Store) NotifyLogDirEvent(ctx context.Context, id model.BrokerID) error {
	_, err := s.createSequential(ctx, LogDirEventsPath+"/"+logDirEventPrefix, encodeLogDirEvent(id))
	return err
}

// DeleteLogDirEvents removes notifications by their names.
func (s *Store) DeleteLogDirEvents(ctx context.Context, names []string, fence Fence) error {
	return s.deleteAll(ctx, below(LogDirEventsPath, names), fence)
}

// DeleteAllLogDirEvents removes every one, as a new controller does.
func (s *Store) DeleteAllLogDirEvents(ctx context.Context, fence Fence) error {
	names, err := s.sortedChildren(ctx, LogDirEventsPath)
	if err != nil {
		return err
	}
	return s.DeleteLogDirEvents(ctx, names, fence)
}

func below(parent string, names []string) []string {
	paths := slices.Clone(names)
	for i, name := range paths {
		paths[i] = parent + "/" + name
	}
	return paths
}
