package record

import (
	"encoding/binary"
	"fmt"

	"gregor/pkg/compress"
)

// ControlType is the kind of a control batch's one record.
type ControlType int16

const (
	ControlAbort  ControlType = 0
	ControlCommit ControlType = 1
)

// EndTxnMarker ends a transaction on one partition.
type EndTxnMarker struct {
	Type             ControlType
	CoordinatorEpoch int32
}

// controlLimit bounds a control record, which has 12 bytes of content.
const controlLimit = 4096

// EndTxnMarker reads the marker of a control batch. found is false when the
// control record is of another type, such as those of KRaft, which the log
// keeps and passes over.
func (b Batch) EndTxnMarker() (marker EndTxnMarker, found bool, err error) {
	records := b.Records(controlLimit)
	defer records.Close()
	if !records.Next() {
		return marker, false, records.Err() // compacted to nothing
	}
	key, value := records.Record().Key, records.Record().Value
	if len(key) < 4 {
		return marker, false, fmt.Errorf("control record with a key of %d bytes: %w", len(key), ErrCorrupt)
	}
	marker.Type = ControlType(binary.BigEndian.Uint16(key[2:]))
	if marker.Type != ControlAbort && marker.Type != ControlCommit {
		return marker, false, nil
	}
	if len(value) < 6 {
		return marker, false, fmt.Errorf("end transaction marker with a value of %d bytes: %w", len(value), ErrCorrupt)
	}
	marker.CoordinatorEpoch = int32(binary.BigEndian.Uint32(value[2:]))
	return marker, true, nil
}

// NewEndTxnMarker builds the control batch that ends a producer's
// transaction.
func NewEndTxnMarker(marker EndTxnMarker, producerID int64, producerEpoch int16, timestamp int64) Batch {
	b := NewBuilder(compress.None)
	b.ProducerID, b.ProducerEpoch = producerID, producerEpoch
	b.Transactional, b.Control = true, true
	key := binary.BigEndian.AppendUint16([]byte{0, 0}, uint16(marker.Type))
	value := binary.BigEndian.AppendUint32([]byte{0, 0}, uint32(marker.CoordinatorEpoch))
	return b.Append(timestamp, key, value).MustBuild()
}
