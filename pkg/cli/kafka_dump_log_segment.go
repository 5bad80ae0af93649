package cli

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"gregor/pkg/compress"
	"gregor/pkg/record"
)

// A log file is a row of batches of formats 0, 1 and 2; in formats 0 and 1 a
// message counts as a batch. They are read one after the other, each whole
// and no more than one at a time.

const (
	// logHeaderSize is what every format begins with, up to the magic byte.
	logHeaderSize = record.Overhead + 5
	// dumpedRecordMax bounds a record, which may have been compressed.
	dumpedRecordMax = 1 << 29

	corruptRecord = "org.apache.kafka.common.errors.CorruptRecordException"
	invalidRecord = "org.apache.kafka.common.InvalidRecordException"
)

// dumpedLog is a log file that is being read.
type dumpedLog struct {
	path string // as it is shown
	file *os.File
	size int64
	buf  []byte
}

func openDumpedLog(path string) (*dumpedLog, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fileFailure(path, err)
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return nil, fileFailure(path, err)
	}
	return &dumpedLog{path: path, file: file, size: info.Size()}, nil
}

func (l *dumpedLog) close() { l.file.Close() }

// dumpedBatch is a batch in a file; its bytes are lent until the next one.
type dumpedBatch struct {
	position int64
	magic    int8
	bytes    []byte
	current  record.Batch      // format 2, at least its whole header
	old      record.OldMessage // formats 0 and 1
	oldBase  int64             // offset of the first message in old, once that was visited
}

// next reads the batch at a position; nil when no whole batch lies before
// end.
func (l *dumpedLog) next(position, end int64) (*dumpedBatch, error) {
	end = min(end, l.size)
	if position >= end-logHeaderSize {
		return nil, nil
	}
	header, err := l.read(position, logHeaderSize)
	if err != nil {
		return nil, err
	}
	size := int64(int32(binary.BigEndian.Uint32(header[8:])))
	if size < record.OldMessageMin-record.Overhead {
		return nil, exceptionf(corruptRecord, "Found record size %d smaller than minimum record overhead (%d) in file %s.",
			size, record.OldMessageMin-record.Overhead, l.path)
	}
	if position > end-record.Overhead-size {
		return nil, nil
	}
	bytes, err := l.read(position, int(size)+record.Overhead)
	if err != nil {
		return nil, err
	}
	b := &dumpedBatch{position: position, magic: int8(bytes[logHeaderSize-1]), bytes: bytes}
	switch {
	case b.magic < record.Magic:
		b.old = bytes
	case len(bytes) < record.HeaderSize:
		return nil, exceptionf(corruptRecord, "Found a batch of %d bytes, smaller than the header of a batch (%d), at position %d in file %s.",
			len(bytes), record.HeaderSize, position, l.path)
	default:
		b.current = bytes
	}
	return b, nil
}

func (l *dumpedLog) read(position int64, n int) ([]byte, error) {
	if cap(l.buf) < n {
		l.buf = make([]byte, n)
	}
	buf := l.buf[:n]
	if got, err := l.file.ReadAt(buf, position); got < n {
		if err == io.EOF {
			err = errors.New("the file has become shorter")
		}
		err = fileFailure(l.path, err)
		return nil, causedBy(err, kafkaException, "%s", describe(err))
	}
	return buf, nil
}

func (b *dumpedBatch) lastOffset() int64 {
	if b.old != nil {
		return b.old.Offset()
	}
	return b.current.LastOffset()
}

func (b *dumpedBatch) codec() (string, error) {
	codec := compress.None
	if b.old != nil {
		codec = b.old.Codec()
	} else {
		codec = b.current.Codec()
	}
	if !codec.Valid() {
		return "", exceptionf(illegalArgument, "Unknown compression type id: %d", codec)
	}
	return strings.ToUpper(codec.String()), nil
}

func (b *dumpedBatch) timestampType() string {
	switch {
	case b.old != nil && b.magic == 0:
		return "NoTimestampType"
	case b.old != nil && b.old.LogAppendTime(), b.current != nil && b.current.LogAppendTime():
		return "LogAppendTime"
	}
	return "CreateTime"
}

// dumpedRecord is a record of any format.
type dumpedRecord struct {
	record.OldRecord
	sequence int32
	headers  []record.Header
}

// records visits the records of a batch.
func (b *dumpedBatch) records(visit func(*dumpedRecord) error) error {
	if b.old != nil {
		first := true
		return b.old.Records(dumpedRecordMax, func(r record.OldRecord) error {
			if first {
				b.oldBase, first = r.Offset, false
			}
			return visit(&dumpedRecord{OldRecord: r})
		})
	}
	records := b.current.Records(dumpedRecordMax)
	defer records.Close()
	for records.Next() {
		r := records.Record()
		sequence := record.NoSequence
		if first := b.current.BaseSequence(); first >= 0 {
			sequence = record.AddSequence(first, r.OffsetDelta)
		}
		err := visit(&dumpedRecord{record.OldRecord{Offset: r.Offset, Timestamp: r.Timestamp, Key: r.Key, Value: r.Value, Valid: true}, sequence, r.Headers})
		if err != nil {
			return err
		}
	}
	return records.Err()
}

// dumpLog shows a log.
func (d *dumper) dumpLog(path string) error {
	decode, err := d.options.decoder()
	if err != nil {
		return err
	}
	start, err := baseOffsetOf(path)
	if err != nil {
		return err
	}
	fmt.Fprintf(d.out, "Starting offset: %d\n", start)
	log, err := openDumpedLog(path)
	if err != nil {
		return err
	}
	defer log.close()
	absolute, err := javaAbsolute(path)
	if err != nil {
		return err
	}
	position, last := int64(0), int64(-1)
	for {
		b, err := log.next(position, log.size)
		if err != nil {
			return err
		}
		if b == nil {
			break
		}
		if err := d.showBatch(b); err != nil {
			return err
		}
		if d.options.Has(d.options.deep) || d.options.printsRecords() {
			err := b.records(func(r *dumpedRecord) error {
				if last != -1 && r.Offset != last+1 {
					d.gaps.prepend(absolute, last, r.Offset)
				}
				last = r.Offset
				return d.showRecord(b, r, decode)
			})
			if err != nil {
				return recordFailure(log.path, b, err)
			}
		}
		position += int64(len(b.bytes))
	}
	if rest := log.size - position; rest > 0 {
		fmt.Fprintf(d.out, "Found %d invalid bytes at the end of %s\n", rest, filepath.Base(path))
	}
	return nil
}

// recordFailure tells where the records are that cannot be read.
func recordFailure(path string, b *dumpedBatch, err error) error {
	if _, ok := err.(interface{ JavaClass() string }); ok {
		return err
	}
	return exceptionf(invalidRecord, "The batch at position %d in file %s cannot be read: %s", b.position, path, err)
}

// showBatch prints the line of a batch.
func (d *dumper) showBatch(b *dumpedBatch) error {
	codec, err := b.codec()
	if err != nil {
		return err
	}
	var maxTimestamp int64
	var crc uint32
	var valid bool
	if c := b.current; c != nil {
		maxTimestamp, crc, valid = c.MaxTimestamp(), c.CRC(), c.Valid()
		fmt.Fprintf(d.out, "baseOffset: %d lastOffset: %d count: %d baseSequence: %d lastSequence: %d producerId: %d producerEpoch: %d "+
			"partitionLeaderEpoch: %d isTransactional: %t isControl: %t", c.BaseOffset(), c.LastOffset(), c.Count(), c.BaseSequence(), c.LastSequence(),
			c.ProducerID(), c.ProducerEpoch(), c.LeaderEpoch(), c.Transactional(), c.Control())
	} else {
		maxTimestamp, crc, valid = b.old.Timestamp(), b.old.CRC(), b.old.Valid()
		fmt.Fprintf(d.out, "offset: %d", b.old.Offset())
	}
	fmt.Fprintf(d.out, " position: %d %s: %d size: %d magic: %d compresscodec: %s crc: %d isvalid: %t\n",
		b.position, b.timestampType(), maxTimestamp, len(b.bytes), b.magic, codec, crc, valid)
	return nil
}

// showRecord prints the line of a record.
func (d *dumper) showRecord(b *dumpedBatch, r *dumpedRecord, decode recordDecoder) error {
	prefix := "| "
	control := b.current != nil && b.current.Control()
	if !d.options.Has(d.options.skipMetadata) {
		if err := d.showRecordMetadata(b, r); err != nil {
			return err
		}
		prefix = " "
	}
	if d.options.printsRecords() && !control {
		key, payload, err := decode(r)
		if err != nil {
			return err
		}
		if key != nil {
			d.out.WriteString(prefix + "key: " + *key)
		}
		if payload != nil {
			d.out.WriteString(" payload: " + *payload)
		}
	}
	d.out.WriteByte('\n')
	return nil
}

func (d *dumper) showRecordMetadata(b *dumpedBatch, r *dumpedRecord) error {
	codec, err := b.codec()
	if err != nil {
		return err
	}
	crc := "null"
	baseOffset := b.oldBase
	baseSequence, lastSequence, epoch, leaderEpoch := record.NoSequence, record.NoSequence, record.NoProducerEpoch, int32(-1)
	if c := b.current; c != nil {
		baseOffset, baseSequence, lastSequence = c.BaseOffset(), c.BaseSequence(), c.LastSequence()
		epoch, leaderEpoch = c.ProducerEpoch(), c.LeaderEpoch()
	} else {
		crc = fmt.Sprint(r.CRC)
	}
	fmt.Fprintf(d.out, "| offset: %d isValid: %t crc: %s keySize: %d valueSize: %d %s: %d baseOffset: %d lastOffset: %d baseSequence: %d "+
		"lastSequence: %d producerEpoch: %d partitionLeaderEpoch: %d batchSize: %d magic: %d compressType: %s position: %d",
		r.Offset, r.Valid, crc, sizeOrNull(r.Key), sizeOrNull(r.Value), b.timestampType(), r.Timestamp, baseOffset, b.lastOffset(), baseSequence,
		lastSequence, epoch, leaderEpoch, len(b.bytes), b.magic, codec, b.position)
	if b.current == nil {
		fmt.Fprintf(d.out, " crc: %s isvalid: %t", crc, r.Valid)
		return nil
	}
	keys := make([]string, len(r.headers))
	for i, h := range r.headers {
		keys[i] = javaUTF8(h.Key)
	}
	fmt.Fprintf(d.out, " sequence: %d headerKeys: [%s]", r.sequence, strings.Join(keys, ","))
	if b.current.Control() {
		return d.showControl(r)
	}
	return nil
}

// showControl prints what a control record says.
func (d *dumper) showControl(r *dumpedRecord) error {
	if len(r.Key) < 4 {
		return exceptionf(invalidRecord, "Invalid value size found for end control record key. Must have at least 4 bytes, but found only %d", len(r.Key))
	}
	kind := int16(binary.BigEndian.Uint16(r.Key[2:]))
	names := map[int16]string{int16(record.ControlAbort): "ABORT", int16(record.ControlCommit): "COMMIT", 2: "LEADER_CHANGE"}
	switch name, known := names[kind]; {
	case !known:
		fmt.Fprintf(d.out, " controlType: UNKNOWN(%d)", kind)
	case kind == 2:
		fmt.Fprintf(d.out, " controlType: %s(%d)", name, kind)
	case len(r.Value) < 6:
		return exceptionf(invalidRecord, "Invalid value size found for end transaction marker. Must have at least 6 bytes, but found only %d", len(r.Value))
	default:
		fmt.Fprintf(d.out, " endTxnMarker: %s coordinatorEpoch: %d", name, int32(binary.BigEndian.Uint32(r.Value[2:])))
	}
	return nil
}

func sizeOrNull(b []byte) int {
	if b == nil {
		return -1
	}
	return len(b)
}
