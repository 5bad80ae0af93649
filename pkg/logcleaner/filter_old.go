package logcleaner

import (
	"fmt"

	"gregor/pkg/record"
)

// addOld is add for a message of format 0 or 1, which may wrap others. A
// wrapper of which some messages go is written anew, with the offsets that
// its messages have; so is one whose messages are of another format than it
// says, as early brokers left them.
func (f *filter) addOld(m record.OldMessage) error {
	f.retained = f.retained[:0]
	kept, whole := 0, true
	err := m.Deep(decompressedMax, func(inner record.OldMessage, offset, _ int64) error {
		key, value, err := inner.KeyValue()
		if err != nil {
			return err
		}
		stays := f.retains(key != nil, hashOf(key), value != nil, offset)
		f.retained = append(f.retained, stays)
		if stays {
			kept++
		}
		whole = whole && stays && inner.Magic() == m.Magic()
		return nil
	})
	if err != nil {
		return fmt.Errorf("message set up to offset %d: %w", m.Offset(), err)
	}
	f.stats.MessagesRead += int64(len(f.retained))
	switch {
	case kept == 0:
		return nil
	case whole:
		f.keep(record.Any(m), kept)
		return nil
	}
	return f.keepSomeOld(m, kept)
}

func (f *filter) keepSomeOld(m record.OldMessage, kept int) error {
	if f.old == nil {
		f.old = record.NewOldBuilder(m.Magic(), m.Codec())
	} else {
		f.old.Reset(m.Magic(), m.Codec())
	}
	if m.LogAppendTime() {
		f.old.SetLogAppendTime(m.Timestamp())
	}
	i := 0
	err := m.Deep(decompressedMax, func(inner record.OldMessage, offset, timestamp int64) error {
		i++
		if !f.retained[i-1] {
			return nil
		}
		key, value, err := inner.KeyValue()
		if err == nil {
			f.old.Append(offset, timestamp, key, value)
		}
		return err
	})
	if err != nil {
		return err
	}
	set, err := f.old.Build()
	if err != nil {
		return fmt.Errorf("message set up to offset %d: %w", m.Offset(), err)
	}
	f.out = append(f.out, set...)
	maxTimestamp, offsetOfMax := f.old.MaxTimestamp()
	f.note(maxTimestamp, offsetOfMax, f.old.LastOffset(), kept, len(set))
	return nil
}
