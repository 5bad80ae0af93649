package record

import "encoding/binary"

// AppendEmpty appends what compaction leaves of a batch that must stay
// without any record: the header, which holds a producer's sequence or epoch.
func (b Batch) AppendEmpty(dst []byte) []byte {
	dst = append(dst, b[:HeaderSize]...)
	empty := Batch(dst[len(dst)-HeaderSize:])
	empty.finishCompacted(b.attributes()&^codecBits, NoTimestamp, b.MaxTimestamp(), 0)
	return dst
}

// FinishCompacted makes a batch whole that compaction has put together from
// the header of another one and some of its records. Offsets, leader epoch
// and the producer's fields stay; a delete horizon does not, since the
// records' timestamps count from the first of them again. The batch is as
// long as its records reach.
func (b Batch) FinishCompacted(baseTimestamp, maxTimestamp int64, count int32) {
	b.finishCompacted(b.attributes(), baseTimestamp, maxTimestamp, count)
}

func (b Batch) finishCompacted(attributes uint16, baseTimestamp, maxTimestamp int64, count int32) {
	binary.BigEndian.PutUint32(b[lengthAt:], uint32(len(b)-Overhead))
	binary.BigEndian.PutUint16(b[attributesAt:], attributes&(codecBits|logAppendTimeBit|transactionalBit|controlBit))
	binary.BigEndian.PutUint64(b[baseTimestampAt:], uint64(baseTimestamp))
	binary.BigEndian.PutUint64(b[maxTimestampAt:], uint64(maxTimestamp))
	binary.BigEndian.PutUint32(b[countAt:], uint32(count))
	b.setCRC()
}
