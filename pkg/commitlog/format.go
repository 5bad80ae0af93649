package commitlog

import (
	"gregor/pkg/record"
)

// followFormat makes the epochs fit the log's message format: only format 2
// has them. Kafka deletes the file as well, so that a leader that knows
// nothing of epochs is followed by high watermark.
func (l *Log) followFormat() error {
	magic := l.options.Load().Magic()
	if magic == record.Magic {
		return l.epochs.switchOn()
	}
	had, err := l.epochs.switchOff()
	if had {
		l.warn("Deleting non-empty leader epoch cache due to incompatible message format V%d", magic)
	}
	return err
}

// changeFormat is followFormat for a log that is open.
func (l *Log) changeFormat(from, to int8) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if to < from {
		l.warn("Record format version has been downgraded from V%d to V%d.", from, to)
	}
	if l.usable() != nil {
		return
	}
	// A failure takes the directory offline, which everybody hears of.
	_ = l.failOn(l.followFormat())
}
