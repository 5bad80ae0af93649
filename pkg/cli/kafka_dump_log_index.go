package cli

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"os"

	"gregor/pkg/commitlog"
	"gregor/pkg/record"
)

// The files beside a log. Their formats are drawn in package commitlog.

const (
	offsetEntrySize = 8
	timeEntrySize   = 12

	corruptIndex     = "kafka.log.CorruptIndexException"
	noSuchElement    = "java.util.NoSuchElementException"
	stateBytesMax    = 1 << 30 // of a snapshot or a transaction index, which are read whole
	warmIndexEntries = 8192 / offsetEntrySize
)

// dumpedIndex is an offset or time index that is being read.
type dumpedIndex struct {
	path      string // as it is shown
	absolute  string
	file      *os.File
	size      int64
	entrySize int
	base      int64
}

func openDumpedIndex(path string, entrySize int) (*dumpedIndex, error) {
	base, err := baseOffsetOf(path)
	if err != nil {
		return nil, err
	}
	absolute, err := javaAbsolute(path)
	if err != nil {
		return nil, err
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fileFailure(absolute, err)
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return nil, fileFailure(absolute, err)
	}
	return &dumpedIndex{path: path, absolute: absolute, file: file, size: info.Size(), entrySize: entrySize, base: base}, nil
}

func (x *dumpedIndex) close() { x.file.Close() }

// entries counts the entries, among which may be zeros that were allocated
// ahead.
func (x *dumpedIndex) entries() int64 { return x.size / int64(x.entrySize) }

func (x *dumpedIndex) read(i int64) ([]byte, error) {
	entry := make([]byte, x.entrySize)
	if _, err := x.file.ReadAt(entry, i*int64(x.entrySize)); err != nil {
		return nil, fileFailure(x.absolute, err)
	}
	return entry, nil
}

// offsetEntry is entry i of an offset index.
func (x *dumpedIndex) offsetEntry(i int64) (offset, position int64, err error) {
	entry, err := x.read(i)
	if err != nil {
		return 0, 0, err
	}
	return x.base + int64(int32(binary.BigEndian.Uint32(entry))), int64(int32(binary.BigEndian.Uint32(entry[4:]))), nil
}

// timeEntry is entry i of a time index.
func (x *dumpedIndex) timeEntry(i int64) (timestamp, offset int64, err error) {
	entry, err := x.read(i)
	if err != nil {
		return 0, 0, err
	}
	return int64(binary.BigEndian.Uint64(entry)), x.base + int64(int32(binary.BigEndian.Uint32(entry[8:]))), nil
}

// lookup is the position from which on an offset is to be looked for, in the
// way of a broker: the last entries first. Zeros at the end of an index may
// hide what is before them; then the search begins further ahead than it
// must.
func (x *dumpedIndex) lookup(target int64) (position int64, err error) {
	n := x.entries()
	if n == 0 {
		return 0, nil
	}
	low, high := int64(0), max(0, n-1-warmIndexEntries)
	hot, _, err := x.offsetEntry(high)
	if err != nil {
		return 0, err
	}
	if hot < target {
		low, high = high, n-1
	} else if first, _, err := x.offsetEntry(0); err != nil || first > target {
		return 0, err
	}
	for low < high {
		middle := (low + high + 1) / 2
		offset, position, err := x.offsetEntry(middle)
		switch {
		case err != nil:
			return 0, err
		case offset == target:
			return position, nil
		case offset > target:
			high = middle - 1
		default:
			low = middle
		}
	}
	_, position, err = x.offsetEntry(low)
	return position, err
}

// checkOffsets is what a broker checks of an offset index at its start.
func (x *dumpedIndex) checkOffsets() error {
	if n := x.entries(); n > 0 {
		last, _, err := x.offsetEntry(n - 1)
		if err != nil {
			return err
		}
		if last < x.base {
			return exceptionf(corruptIndex, "Corrupt index found, index file (%s) has non-zero size but the last offset is %d which is less than the base offset %d.",
				x.absolute, last, x.base)
		}
	}
	if x.size%offsetEntrySize != 0 {
		return exceptionf(corruptIndex, "Index file %s is corrupt, found %d bytes which is neither positive nor a multiple of %d.", x.absolute, x.size, offsetEntrySize)
	}
	return nil
}

// checkTimes is what a broker checks of a time index at its start.
func (x *dumpedIndex) checkTimes() error {
	if n := x.entries(); n > 0 {
		first, _, err := x.timeEntry(0)
		if err != nil {
			return err
		}
		last, offset, err := x.timeEntry(n - 1)
		switch {
		case err != nil:
			return err
		case last < first:
			return exceptionf(corruptIndex, "Corrupt time index found, time index file (%s) has non-zero size but the last timestamp is %d "+
				"which is less than the first timestamp %d", x.absolute, last, first)
		case offset < x.base:
			return exceptionf(corruptIndex, "Corrupt time index found, time index file (%s) has non-zero size but the last offset is %d "+
				"which is less than the first offset %d", x.absolute, offset, x.base)
		}
	}
	if x.size%timeEntrySize != 0 {
		return exceptionf(corruptIndex, "Time index file %s is corrupt, found %d bytes which is neither positive nor a multiple of %d.", x.absolute, x.size, timeEntrySize)
	}
	return nil
}

// openSibling opens the log of an index.
func openSibling(path string) (*dumpedLog, error) {
	log, err := sibling(path, ".log")
	if err != nil {
		return nil, err
	}
	return openDumpedLog(log)
}

// checkPosition refuses an entry that points to no place in the log.
func (l *dumpedLog) checkPosition(position int64) error {
	shown := fmt.Sprintf("FileRecords(size=%d, file=%s, start=0, end=%d)", l.size, l.path, math.MaxInt32)
	switch {
	case position < 0:
		return exceptionf(illegalArgument, "Invalid position: %d in read from %s", position, shown)
	case position > l.size:
		return exceptionf(illegalArgument, "Slice from position %d exceeds end position of %s", position, shown)
	}
	return nil
}

// dumpIndex shows an offset index and holds it against its log.
func (d *dumper) dumpIndex(path string) error {
	if _, err := baseOffsetOf(path); err != nil {
		return err
	}
	log, err := openSibling(path)
	if err != nil {
		return err
	}
	defer log.close()
	index, err := openDumpedIndex(path, offsetEntrySize)
	if err != nil {
		return err
	}
	defer index.close()
	if index.entries() == 0 {
		fmt.Fprintf(d.out, "%s is empty.\n", path)
		return nil
	}
	if d.options.Has(d.options.sanityOnly) {
		return d.sanity(path, index.checkOffsets())
	}
	sizeMax := int64(d.options.Int(d.options.maxMessageSize))
	for i := range index.entries() {
		offset, position, err := index.offsetEntry(i)
		if err != nil {
			return err
		}
		if offset == index.base && i > 0 {
			return nil // zeros that were allocated ahead
		}
		found, err := log.offsetAt(position, sizeMax)
		if err != nil {
			return err
		}
		if found != offset {
			d.indexMismatches.prepend(index.absolute, offset, found)
		}
		if !d.options.Has(d.options.verifyOnly) {
			fmt.Fprintf(d.out, "offset: %d position: %d\n", offset, position)
		}
	}
	return nil
}

// offsetAt is the last offset of the batch at a position.
func (l *dumpedLog) offsetAt(position, sizeMax int64) (int64, error) {
	if err := l.checkPosition(position); err != nil {
		return 0, err
	}
	if sizeMax < 0 {
		return 0, exceptionf(illegalArgument, "Invalid size: %d in read from FileRecords(size=%d, file=%s, start=0, end=%d)", sizeMax, l.size, l.path, math.MaxInt32)
	}
	b, err := l.next(position, position+sizeMax)
	if err != nil {
		return 0, err
	}
	if b == nil {
		return 0, exceptionf(noSuchElement, "there is no batch at position %d of %s", position, l.path)
	}
	return b.lastOffset(), nil
}

func (d *dumper) sanity(path string, err error) error {
	if err == nil {
		fmt.Fprintf(d.out, "%s passed sanity check.\n", path)
	}
	return err
}

// dumpTimeIndex shows a time index and holds it against its log, which it
// finds its way in by the offset index.
func (d *dumper) dumpTimeIndex(path string) error {
	if _, err := baseOffsetOf(path); err != nil {
		return err
	}
	log, err := openSibling(path)
	if err != nil {
		return err
	}
	defer log.close()
	offsetsPath, err := sibling(path, ".index")
	if err != nil {
		return err
	}
	offsets, err := openDumpedIndex(offsetsPath, offsetEntrySize)
	if err != nil {
		return err
	}
	defer offsets.close()
	index, err := openDumpedIndex(path, timeEntrySize)
	if err != nil {
		return err
	}
	defer index.close()
	if d.options.Has(d.options.sanityOnly) {
		return d.sanity(path, index.checkTimes())
	}
	previous := record.NoTimestamp
	for i := range index.entries() {
		timestamp, offset, err := index.timeEntry(i)
		if err != nil {
			return err
		}
		if offset == index.base && i > 0 {
			return nil // zeros that were allocated ahead
		}
		position, err := offsets.lookup(offset)
		if err != nil {
			return err
		}
		if err := d.checkTimeEntry(index, log, position, timestamp, offset, previous); err != nil {
			return err
		}
		if !d.options.Has(d.options.verifyOnly) {
			fmt.Fprintf(d.out, "timestamp: %d offset: %d\n", timestamp, offset)
		}
		previous = timestamp
	}
	return nil
}

// checkTimeEntry looks for the batch of an entry, and for its timestamp there.
func (d *dumper) checkTimeEntry(index *dumpedIndex, log *dumpedLog, position, timestamp, offset, previous int64) error {
	if err := log.checkPosition(position); err != nil {
		return err
	}
	for {
		b, err := log.next(position, log.size)
		if err != nil {
			return err
		}
		switch {
		case b == nil:
			d.notFound.add(index.absolute, offset, -1)
			return nil
		case b.lastOffset() < offset:
			position += int64(len(b.bytes))
			continue
		case b.lastOffset() > offset:
			d.notFound.add(index.absolute, offset, b.lastOffset())
			return nil
		}
		newest := record.NoTimestamp
		err = b.records(func(r *dumpedRecord) error { newest = max(newest, r.Timestamp); return nil })
		if err != nil {
			return recordFailure(log.path, b, err)
		}
		if newest != timestamp {
			d.timeMismatches.add(index.absolute, timestamp, newest)
		}
		if previous >= timestamp {
			d.timesOutOfOrder.add(index.absolute, timestamp, previous)
		}
		return nil
	}
}

// readState reads a whole file of limited size.
func readState(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err == nil && info.Size() > stateBytesMax {
		return nil, exceptionf("java.io.IOException", "%s has %d bytes, too many for such a file", path, info.Size())
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fileFailure(path, err)
	}
	return data, nil
}

// dumpTxnIndex shows the aborted transactions of a segment. There is no file
// when there were none.
func (d *dumper) dumpTxnIndex(path string) error {
	if _, err := baseOffsetOf(path); err != nil {
		return err
	}
	if _, err := os.Stat(path); os.IsNotExist(err) {
		return nil
	}
	data, err := readState(path)
	if err != nil {
		return err
	}
	absolute, err := javaAbsolute(path)
	if err != nil {
		return err
	}
	for version, txn := range commitlog.TxnIndexEntries(data) {
		if version > 0 {
			return exceptionf(kafkaException, "Unexpected aborted transaction version %d in transaction index %s, current version is 0", version, absolute)
		}
		fmt.Fprintf(d.out, "version: %d producerId: %d firstOffset: %d lastOffset: %d lastStableOffset: %d\n",
			version, txn.ProducerID, txn.FirstOffset, txn.LastOffset, txn.LastStableOffset)
	}
	return nil
}

// dumpSnapshot shows the producers of a snapshot. A broken one is told of and
// does not end the tool.
func (d *dumper) dumpSnapshot(path string) error {
	data, err := readState(path)
	if err != nil {
		return err
	}
	entries, err := commitlog.DecodeSnapshot(data)
	if err != nil {
		d.out.Flush() // its error comes back at the end
		fmt.Fprintln(d.errors, snapshotFailure(data, err))
		return nil
	}
	for _, e := range entries {
		txn := "None"
		if e.TxnFirstOffset >= 0 {
			txn = fmt.Sprintf("Some(%d)", e.TxnFirstOffset)
		}
		fmt.Fprintf(d.out, "producerId: %d producerEpoch: %d coordinatorEpoch: %d currentTxnFirstOffset: %s ", e.ProducerID, e.Epoch, e.CoordinatorEpoch, txn)
		if e.HasBatch {
			fmt.Fprintf(d.out, "firstSequence: %d lastSequence: %d lastOffset: %d offsetDelta: %d timestamp: %d",
				firstSequence(e.LastSequence, e.OffsetDelta), e.LastSequence, e.LastOffset, e.OffsetDelta, e.Timestamp)
		}
		d.out.WriteByte('\n')
	}
	return nil
}

// firstSequence counts back from a batch's last sequence; behind the largest
// comes 0.
func firstSequence(last, delta int32) int32 {
	if last < delta {
		return math.MaxInt32 - (delta - last) + 1
	}
	return last - delta
}

// snapshotFailure is Kafka's sentence for a snapshot that is none.
func snapshotFailure(data []byte, err error) string {
	if problem := snapshotShape(data); problem != "" {
		return "Snapshot failed schema validation: " + problem
	}
	if version := int16(binary.BigEndian.Uint16(data)); version != 1 {
		return fmt.Sprintf("Snapshot contained an unknown file version %d", version)
	}
	stored, computed := binary.BigEndian.Uint32(data[2:]), crc32.Checksum(data[6:], crc32.MakeTable(crc32.Castagnoli))
	if stored != computed {
		return fmt.Sprintf("Snapshot is corrupt (CRC is no longer valid). Stored crc: %d. Computed crc: %d", stored, computed)
	}
	return "Snapshot failed schema validation: " + err.Error()
}

// snapshotShape tells which field of a snapshot is not there; "" when all
// that it announces is.
func snapshotShape(data []byte) string {
	missing := func(field string) string { return "Error reading field '" + field + "': " + bufferUnderflow }
	switch {
	case len(data) < 2:
		return missing("version")
	case len(data) < 6:
		return missing("crc")
	case len(data) < 10:
		return missing("producer_entries")
	}
	count, rest := int32(binary.BigEndian.Uint32(data[6:])), len(data)-10
	switch {
	case count < 0:
		return fmt.Sprintf("Error reading field 'producer_entries': Array size %d cannot be negative", count)
	case int64(count) > int64(rest):
		return fmt.Sprintf("Error reading field 'producer_entries': Error reading array of size %d, only %d bytes available", count, rest)
	}
	fields := []struct {
		name string
		size int
	}{{"producer_id", 8}, {"epoch", 2}, {"last_sequence", 4}, {"last_offset", 8}, {"offset_delta", 4}, {"timestamp", 8},
		{"coordinator_epoch", 4}, {"current_txn_first_offset", 8}}
	for range count {
		for _, field := range fields {
			if rest -= field.size; rest < 0 {
				return "Error reading field 'producer_entries': " + missing(field.name)
			}
		}
	}
	return ""
}
