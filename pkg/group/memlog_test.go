package group

import (
	"bytes"
	"context"
	"sync"

	"gregor/pkg/coordinator"
	"gregor/pkg/record"
)

// memLog is the topic's partitions in memory.
type memLog struct {
	mu   sync.Mutex
	logs map[int32][]byte
	ends map[int32]int64
	// fail, when set, is asked before each append.
	fail func(partition int32) error
	// await, when set, is what appends wait for.
	await func(ctx context.Context) error
}

func newMemLog() *memLog { return &memLog{logs: map[int32][]byte{}, ends: map[int32]int64{}} }

func (l *memLog) Append(partition int32, batch []byte, acks int16) (coordinator.Appended, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail != nil {
		if err := l.fail(partition); err != nil {
			return coordinator.Appended{}, err
		}
	}
	b := record.Batch(bytes.Clone(batch))
	b.SetBaseOffset(l.ends[partition])
	l.ends[partition] = b.NextOffset()
	l.logs[partition] = append(l.logs[partition], b...)
	appended := coordinator.Appended{Offset: b.BaseOffset()}
	if acks == -1 {
		appended.Await = l.await
	}
	return appended, nil
}

func (l *memLog) Read(_ context.Context, partition int32, visit func([]byte) error) error {
	l.mu.Lock()
	data := bytes.Clone(l.logs[partition])
	l.mu.Unlock()
	// In pieces of a batch, as a bounded reader would give them.
	for len(data) > 0 {
		b, rest, err := record.Split(data)
		if err != nil {
			return visit(data) // the reader of a log does not look inside
		}
		if err := visit(b); err != nil {
			return err
		}
		data = rest
	}
	return nil
}

func (l *memLog) bytes(partition int32) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Clone(l.logs[partition])
}

func (l *memLog) setFail(f func(int32) error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fail = f
}
