package logcleaner

import (
	"fmt"

	"gregor/pkg/commitlog"
	"gregor/pkg/compress"
	"gregor/pkg/record"
)

// filter decides what stays of a segment and writes that down.
type filter struct {
	offsets     *OffsetMap
	txns        *transactions
	lastRecords map[int64]commitlog.LastRecord
	// retainDeletes keeps tombstones and markers, for a segment that was
	// written too recently.
	retainDeletes bool

	out      []byte // what stays of the chunk at hand
	appended commitlog.Appended
	stats    *Stats

	block    block
	old      *record.OldBuilder
	inner    []byte // the records of a compressed batch
	rewrite  []byte // those of them that stay
	retained []bool // by place in the batch
}

func (f *filter) beginChunk() {
	f.out = f.out[:0]
	f.appended = commitlog.Appended{LastOffset: -1, MaxTimestamp: record.NoTimestamp, OffsetOfMaxTimestamp: -1}
}

// add puts what stays of a batch of any format behind what stayed before.
func (f *filter) add(b record.Any) error {
	if b.IsOld() {
		return f.addOld(record.OldMessage(b))
	}
	return f.addBatch(record.Batch(b))
}

func (f *filter) addBatch(b record.Batch) error {
	discard, err := f.discards(b)
	if err != nil {
		return err
	}
	keepEmpty := b.HasProducerID() && f.isLastOfProducer(b)
	if discard && !keepEmpty {
		return nil
	}
	if b.Control() && !discard && b.Count() > 0 {
		f.stats.MessagesRead += int64(b.Count())
		f.keepWhole(b, int(b.Count()))
		return nil
	}
	kept, err := f.keepRecords(b, discard)
	if err != nil {
		return fmt.Errorf("batch from offset %d: %w", b.BaseOffset(), err)
	}
	if kept == 0 && keepEmpty {
		f.out = b.AppendEmpty(f.out)
		f.note(b.MaxTimestamp(), b.LastOffset(), b.LastOffset(), 0, record.HeaderSize)
	}
	return nil
}

// discards reports whether all records of a batch go at once: those of an
// aborted transaction, and a marker that nothing needs.
func (f *filter) discards(b record.Batch) (bool, error) {
	if !b.Control() {
		return f.txns.data(b), nil
	}
	unneeded, err := f.txns.marker(b)
	return unneeded && !f.retainDeletes, err
}

// isLastOfProducer reports whether a batch holds a producer's last sequence,
// or, of one that has only markers, its epoch.
func (f *filter) isLastOfProducer(b record.Batch) bool {
	last, found := f.lastRecords[b.ProducerID()]
	if !found {
		return false
	}
	if last.DataOffset >= 0 {
		return b.LastOffset() == last.DataOffset
	}
	return b.Control() && b.ProducerEpoch() == last.Epoch
}

// retains is the rule of compaction: what is behind the map, and of each key
// the last record, unless that deletes the key and has been seen for long
// enough. Records without a key go.
func (f *filter) retains(hasKey bool, hash keyHash, hasValue bool, offset int64) bool {
	if offset > f.offsets.latest {
		return true
	}
	if !hasKey {
		f.stats.InvalidMessages++
		return false
	}
	return offset >= f.offsets.get(hash) && (hasValue || f.retainDeletes)
}

// keepRecords writes the batch with those of its records that stay, and
// returns how many these are. discard lets none stay.
//
// Hot path: every batch of a log that is compacted; nothing is allocated for
// a record.
func (f *filter) keepRecords(b record.Batch, discard bool) (kept int, err error) {
	if b.Count() == 0 {
		return 0, nil // emptied before
	}
	var records []byte
	if records, f.inner, err = plain(b, f.inner); err != nil {
		return 0, err
	}
	f.retained = f.retained[:0]
	rest := records
	for left := int(b.Count()); left > 0; left -= blockRecords {
		n := min(left, blockRecords)
		if rest, err = f.block.fill(n, rest, f.offsets); err != nil {
			return 0, err
		}
		for i := range n {
			r := &f.block.records[i]
			stays := !discard && f.retains(r.key != nil, f.block.hashes[i], r.hasValue, b.BaseOffset()+int64(r.offsetDelta))
			f.retained = append(f.retained, stays)
			if stays {
				kept++
			}
		}
	}
	if len(rest) > 0 {
		return 0, errRecord
	}
	f.stats.MessagesRead += int64(b.Count())
	switch {
	case kept == 0:
		return 0, nil
	case kept == len(f.retained):
		f.keepWhole(b, kept)
		return kept, nil
	}
	return kept, f.keepSome(b, records, kept)
}

func (f *filter) keepWhole(b record.Batch, records int) { f.keep(record.Any(b), records) }

func (f *filter) keep(b record.Any, records int) {
	f.out = append(f.out, b...)
	f.note(b.MaxTimestamp(), b.LastOffset(), b.LastOffset(), records, len(b))
}

// keepSome writes the batch anew with the retained ones of its records, whose
// offsets stay; the timestamps count from the first of them.
func (f *filter) keepSome(b record.Batch, records []byte, kept int) (err error) {
	start := len(f.out)
	f.out = append(f.out, b[:record.HeaderSize]...)
	dst := f.out
	compressed := b.Codec() != compress.None
	if compressed {
		dst = f.rewrite[:0]
	}
	base, maxTimestamp, lastOffset, first := int64(0), record.NoTimestamp, int64(-1), true
	for _, stays := range f.retained {
		var r rawRecord
		if r, records, err = nextRecord(records); err != nil {
			return err
		}
		if !stays {
			continue
		}
		timestamp := b.RecordTimestamp(record.Shape{TimestampDelta: r.timestampDelta})
		if first {
			base, first = timestamp, false
		}
		dst = r.appendTo(dst, timestamp-base)
		maxTimestamp = max(maxTimestamp, timestamp)
		lastOffset = max(lastOffset, b.BaseOffset()+int64(r.offsetDelta))
	}
	if compressed {
		f.rewrite = dst
		if f.out, err = compress.Compress(b.Codec(), f.out, dst); err != nil {
			return err
		}
	} else {
		f.out = dst
	}
	written := record.Batch(f.out[start:])
	written.FinishCompacted(base, maxTimestamp, int32(kept))
	f.note(maxTimestamp, b.LastOffset(), lastOffset, kept, len(written))
	return nil
}

// note counts what was written of a batch.
func (f *filter) note(maxTimestamp, offsetOfMax, lastOffset int64, records, bytes int) {
	if maxTimestamp > f.appended.MaxTimestamp {
		f.appended.MaxTimestamp, f.appended.OffsetOfMaxTimestamp = maxTimestamp, offsetOfMax
	}
	f.appended.LastOffset = max(f.appended.LastOffset, lastOffset)
	f.stats.MessagesWritten += int64(records)
	f.stats.BytesWritten += int64(bytes)
}
