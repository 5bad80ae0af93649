package record

import (
	"fmt"

	"gregor/pkg/compress"
)

// Downgrade writes batches in an older format, piece by piece, for readers
// that know no newer one:
//
//	d := NewDowngrade(1, fetchOffset, limit)
//	err := d.Begin(batch)
//	for piece, err := d.Next(); len(piece) > 0; piece, err = d.Next() { send(piece) }
//
// As in Kafka: a batch that is old enough stays as it is, headers and
// producers' ids are lost, markers are left out, and so are the records of an
// uncompressed batch of format 2 that lie below the offset that was asked for;
// zstd cannot be carried over (ErrZstd). Memory: a piece of about pieceSize or
// one record of an uncompressed batch, the compressed form of any other.
type Downgrade struct {
	to    int8
	from  int64
	limit int

	batch   Any      // what Next has still to write; nil when nothing
	records *Records // of it, when it is written record by record
	builder *OldBuilder
	piece   []byte
}

// pieceSize is about how much Next gives at a time.
const pieceSize = 64 << 10

// ErrZstd means a batch that no older format can carry.
var ErrZstd = fmt.Errorf("zstd cannot be carried over to an older format")

// NewDowngrade returns a converter to format 0 or 1 for a reader that asked
// for the records from an offset on. No record may be larger than limit.
func NewDowngrade(to int8, from int64, limit int) *Downgrade {
	return &Downgrade{to: to, from: from, limit: limit, builder: NewOldBuilder(to, compress.None)}
}

// Needs reports whether a batch must be converted.
func (d *Downgrade) Needs(b Any) bool { return b.Magic() > d.to }

// Begin starts on a batch, which must stay as it is until its last piece.
func (d *Downgrade) Begin(b Any) error {
	d.Close()
	switch {
	case b.Control():
		return nil
	case b.Codec() == compress.Zstd:
		return ErrZstd
	}
	d.batch = b
	if !b.IsOld() && b.Codec() == compress.None {
		d.records = Batch(b).Records(max(d.limit, len(b)))
	}
	return nil
}

// Close gives up what is left of the batch.
func (d *Downgrade) Close() {
	if d.records != nil {
		d.records.Close()
	}
	d.batch, d.records = nil, nil
}

// Next returns the next bytes of the batch, valid until the next call; none
// at its end.
func (d *Downgrade) Next() ([]byte, error) {
	if d.records != nil {
		return d.someRecords()
	}
	if d.batch == nil {
		return nil, nil
	}
	b := d.batch
	d.batch = nil
	if !d.Needs(b) {
		return b, nil
	}
	d.builder.Reset(d.to, b.Codec())
	if b.LogAppendTime() {
		d.builder.SetLogAppendTime(b.MaxTimestamp())
	}
	err := b.Visit(d.limit, func(r *Record) error {
		d.builder.Append(r.Offset, r.Timestamp, r.Key, r.Value)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return d.builder.Build()
}

func (d *Downgrade) someRecords() ([]byte, error) {
	d.piece = d.piece[:0]
	for len(d.piece) < pieceSize {
		if !d.records.Next() {
			err := d.records.Err()
			d.Close()
			return d.piece, err
		}
		if r := d.records.Record(); r.Offset >= d.from {
			d.piece = appendOldMessage(d.piece, d.to, r.Offset, r.Timestamp, Batch(d.batch).LogAppendTime(), r.Key, r.Value)
		}
	}
	return d.piece, nil
}

// PlainSize is how many bytes an uncompressed batch of format 2 becomes; ok
// is false for any other, which only conversion tells.
func (d *Downgrade) PlainSize(b Any) (size int64, ok bool, err error) {
	if b.IsOld() || b.Codec() != compress.None || b.Control() {
		return 0, false, nil
	}
	overhead, base := int64(oldHeaderSize(d.to)), b.BaseOffset()
	err = Batch(b).Walk(func(s Shape) error {
		if base+int64(s.OffsetDelta) >= d.from {
			size += overhead + int64(max(0, s.KeySize)) + int64(max(0, s.ValueSize))
		}
		return nil
	})
	return size, true, err
}
