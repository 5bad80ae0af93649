package commitlog

import (
	"encoding/binary"
	"iter"
)

// What a tool sees that shows the files of a log without opening the log.

// ProducerEntry is a producer as a snapshot file holds it.
type ProducerEntry struct {
	ProducerID       int64
	Epoch            int16
	CoordinatorEpoch int32
	TxnFirstOffset   int64 // of the open transaction, -1 without one

	HasBatch     bool // what follows is known
	LastSequence int32
	LastOffset   int64
	OffsetDelta  int32
	Timestamp    int64
}

// DecodeSnapshot reads a snapshot file; ErrCorrupt when it is none.
func DecodeSnapshot(b []byte) ([]ProducerEntry, error) {
	producers, err := decodeSnapshot(b)
	if err != nil {
		return nil, err
	}
	entries := make([]ProducerEntry, len(producers))
	for i, p := range producers {
		entries[i] = ProducerEntry{ProducerID: p.id, Epoch: p.epoch, CoordinatorEpoch: p.coordinatorEpoch, TxnFirstOffset: p.txnFirstOffset}
		if p.kept > 0 {
			last := p.batches[p.kept-1]
			e := &entries[i]
			e.HasBatch, e.LastSequence, e.LastOffset, e.OffsetDelta, e.Timestamp = true, last.lastSequence, last.lastOffset, last.offsetDelta, last.timestamp
		}
	}
	return entries, nil
}

// TxnIndexEntries lists the entries of a .txnindex file unchecked, with their
// versions, of which Kafka looks at the first byte only; bytes behind the last
// whole entry are left out.
func TxnIndexEntries(data []byte) iter.Seq2[int8, AbortedTxn] {
	return func(yield func(int8, AbortedTxn) bool) {
		for ; len(data) >= txnEntrySize; data = data[txnEntrySize:] {
			if !yield(int8(data[0]), decodeAbortedTxn(data)) {
				return
			}
		}
	}
}

func decodeAbortedTxn(b []byte) AbortedTxn {
	return AbortedTxn{
		ProducerID:       int64(binary.BigEndian.Uint64(b[2:])),
		FirstOffset:      int64(binary.BigEndian.Uint64(b[10:])),
		LastOffset:       int64(binary.BigEndian.Uint64(b[18:])),
		LastStableOffset: int64(binary.BigEndian.Uint64(b[26:])),
	}
}
