package api

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kbin"

	"gregor/pkg/commitlog"
	"gregor/pkg/kerr"
	"gregor/pkg/model"
	"gregor/pkg/replica"
	"gregor/pkg/wire"
)

// Produce (key 0), versions 0 to 9: records for partitions that this broker
// leads.
//
//	0  topics of partitions with records
//	1  + throttle time in the answer
//	2  + log append time in the answer
//	3  + transactional id; from here on exactly one batch of format 2
//	5  + log start offset in the answer
//	7  zstd
//	8  + the records that were refused, and a message, in the answer (KIP-467)
//	9  flexible
//
// What surprises: with acks 0 there is never an answer, an error closes the
// connection. Versions below 3 carry any format, several messages of the old
// ones too; the log converts them.
// The body is walked by hand; the records of a partition are a slice of the
// frame until the log has written them.
const produceFlexible = 9

// produceRequest is a decoded body. Names and records are slices of the frame.
type produceRequest struct {
	version         int16
	transactionalID bool // present
	acks            int16
	timeoutMs       int32
	topics          []produceTopic
	partitions      []producePartition // of all topics, in order
	refused         error              // why nothing of it is appended
}

type produceTopic struct {
	name       []byte
	partitions int // how many
}

type producePartition struct {
	index   int32
	records []byte
	err     error // why it is not appended
	at      int   // else its place among the appends
}

// produceScratch is what one request needs, kept for the next.
type produceScratch struct {
	req    produceRequest
	append replica.AppendRequest
}

// produce answers one request.
//
// Hot path: no allocation for a record or a topic; one for the answer.
func (d *Data) produce(ctx context.Context, r *wire.Request) wire.Answer {
	scratch, _ := d.produceScratch.Get().(*produceScratch)
	if scratch == nil {
		scratch = &produceScratch{}
	}
	defer d.putProduceScratch(scratch)
	req := &scratch.req
	if !req.decode(r.Version, r.Body) {
		return wire.Answer{Close: true}
	}
	if req.refused = req.check(); req.refused == nil {
		scratch.append = replica.AppendRequest{
			Acks:     req.acks,
			Timeout:  time.Duration(req.timeoutMs) * time.Millisecond,
			Origin:   commitlog.OriginClient,
			Internal: r.ClientIDOrEmpty() == adminClientID,
			Appends:  d.produceAppends(req, scratch.append.Appends),
		}
		d.replicas.Append(ctx, &scratch.append)
	}
	if req.acks == 0 {
		return d.produceUnanswered(r, req, scratch.append.Appends)
	}
	return wire.Bytes(req.answer(scratch.append.Appends))
}

// adminClientID may write to the internal topics; Kafka grants it that for
// tools.
const adminClientID = "__admin_client"

// putProduceScratch keeps the slices and lets go of what they point to.
func (d *Data) putProduceScratch(s *produceScratch) {
	clear(s.req.topics)
	clear(s.req.partitions)
	clear(s.append.Appends)
	s.req.topics, s.req.partitions = s.req.topics[:0], s.req.partitions[:0]
	s.append.Appends = s.append.Appends[:0]
	d.produceScratch.Put(s)
}

// decode walks a body and reports whether it is whole.
func (q *produceRequest) decode(version int16, frame []byte) bool {
	b := newBody(frame, version >= produceFlexible)
	q.version, q.transactionalID = version, false
	if version >= 3 {
		_, q.transactionalID = b.nullableName()
	}
	q.acks = b.Int16()
	q.timeoutMs = b.Int32()
	for range b.array(2) {
		topic := produceTopic{name: b.name()}
		topic.partitions = b.array(5)
		for range topic.partitions {
			p := producePartition{index: b.Int32(), records: b.records()}
			b.tags()
			if !b.Ok() || len(q.partitions) >= elementsMax {
				return false
			}
			q.partitions = append(q.partitions, p)
		}
		b.tags()
		if !b.Ok() || len(q.topics) >= elementsMax {
			return false
		}
		q.topics = append(q.topics, topic)
	}
	b.tags()
	return b.Ok()
}

// check looks at the first batch of every partition for what refuses the
// whole request: a header that cannot be, or a transaction without its id.
func (q *produceRequest) check() error {
	for i := range q.partitions {
		records := q.partitions[i].records
		size, err := firstBatch(records)
		if err != nil {
			return err
		}
		if size > 0 && !q.transactionalID && batchMagic(records) == 2 && batchAttributes(records)&transactionalBit != 0 {
			return kerr.TransactionalIDAuthorizationFailed
		}
	}
	return nil
}

// produceAppends checks every partition and lists those that go to the log.
func (d *Data) produceAppends(req *produceRequest, appends []replica.Append) []replica.Append {
	snapshot := d.metadata.Snapshot()
	next := 0
	for _, t := range req.topics {
		topic, known := snapshot.TopicNamed(t.name)
		for i := next; i < next+t.partitions; i++ {
			p := &req.partitions[i]
			if known {
				_, known := topic.Partition(p.index)
				p.err = d.checkProduce(req, p, known)
			} else {
				p.err = kerr.UnknownTopicOrPartition
			}
			if p.err == nil {
				p.at = len(appends)
				appends = append(appends, replica.Append{
					TopicPartition: model.TopicPartition{Topic: topic.Name, Partition: p.index},
					Records:        p.records,
				})
			}
		}
		next += t.partitions
	}
	return appends
}

// checkProduce refuses what never reaches the log. From version 3 on it cuts
// the records to the one batch that does.
func (d *Data) checkProduce(req *produceRequest, p *producePartition, known bool) error {
	if !known {
		return kerr.UnknownTopicOrPartition
	}
	size, err := firstBatch(p.records)
	if err != nil {
		return err
	}
	if req.version >= 3 {
		if err := checkBatch(req.version, p.records, size); err != nil {
			return err
		}
	}
	if req.acks < -1 || req.acks > 1 {
		return kerr.InvalidRequiredAcks
	}
	if req.version < 3 {
		return nil
	}
	if more, err := firstBatch(p.records[size:]); err != nil || more > 0 {
		return cmp.Or(err, error(kerr.InvalidRecord))
	}
	p.records = p.records[:size]
	return nil
}

// checkBatch holds a partition's records against what versions from 3 on
// allow: one batch of format 2, and zstd only for those who know it.
func checkBatch(version int16, records []byte, size int) error {
	switch {
	case size == 0, batchMagic(records) != 2:
		return kerr.InvalidRecord
	case version < 7 && batchAttributes(records)&codecMask == zstdCodec:
		return kerr.UnsupportedCompressionType
	}
	return nil
}

// Where the fields of a batch lie that must be looked at before the log does.
// All formats have size and magic in the same place.
const (
	batchSizeAt       = 8
	batchMagicAt      = 16
	batchAttributesAt = 21
	batchOverhead     = 12 // what the size does not count
	leastBatchSize    = 14 // the size field of an empty message of format 0
	codecMask         = 7
	zstdCodec         = 4
	transactionalBit  = 1 << 4
)

// firstBatch is the length of the first whole batch in b, 0 when there is
// none. A run of bytes that is cut short counts as none, as in Kafka; a size
// or a magic that cannot be is an error.
func firstBatch(b []byte) (int, error) {
	if len(b) < batchOverhead {
		return 0, nil
	}
	size := int32(binary.BigEndian.Uint32(b[batchSizeAt:]))
	if size < leastBatchSize {
		return 0, kerr.CorruptMessage.With("Record size %d is less than the minimum record overhead (%d)", size, leastBatchSize)
	}
	if len(b) <= batchMagicAt {
		return 0, nil
	}
	if magic := batchMagic(b); magic < 0 || magic > 2 {
		return 0, kerr.CorruptMessage.With("Invalid magic found in record: %d", magic)
	}
	if int(size) > len(b)-batchOverhead {
		return 0, nil
	}
	return int(size) + batchOverhead, nil
}

func batchMagic(b []byte) int8 { return int8(b[batchMagicAt]) }

// batchAttributes reads the attributes of a batch of format 2; b holds the
// batch, which may be too short to be valid.
func batchAttributes(b []byte) uint16 {
	if len(b) < batchAttributesAt+2 {
		return 0
	}
	return binary.BigEndian.Uint16(b[batchAttributesAt:])
}

// produceUnanswered ends a request with acks 0: an error closes the
// connection, which is all that the client learns of it.
func (d *Data) produceUnanswered(r *wire.Request, req *produceRequest, appends []replica.Append) wire.Answer {
	var failed []string
	next := 0
	for _, t := range req.topics {
		for i := next; i < next+t.partitions; i++ {
			if err := req.outcome(i, appends).Err; err != nil {
				failed = append(failed, fmt.Sprintf("%s-%d -> %s", t.name, req.partitions[i].index, kerr.Of(err).JavaClass()))
			}
		}
		next += t.partitions
	}
	if len(failed) == 0 {
		return wire.Answer{None: true}
	}
	d.log.Infof("Closing connection due to error during produce request with correlation id %d from client id %s with ack=0\nTopic and partition to exceptions: %s",
		r.CorrelationID, r.ClientIDOrEmpty(), strings.Join(failed, ", "))
	return wire.Answer{Close: true}
}

// outcome is what came of the i-th partition.
func (q *produceRequest) outcome(i int, appends []replica.Append) replica.Append {
	p := &q.partitions[i]
	if q.refused == nil && p.err == nil {
		return appends[p.at]
	}
	return replica.Append{
		Err:  cmp.Or(q.refused, p.err),
		Info: commitlog.AppendInfo{FirstOffset: -1, LogAppendTime: -1, LogStartOffset: -1},
	}
}

// answer encodes the response.
func (q *produceRequest) answer(appends []replica.Append) []byte {
	flexible := q.version >= produceFlexible
	dst := make([]byte, 0, q.answerSize())
	dst = appendArrayLen(dst, flexible, len(q.topics))
	next := 0
	for _, t := range q.topics {
		dst = appendNameBytes(dst, flexible, t.name)
		dst = appendArrayLen(dst, flexible, t.partitions)
		for i := next; i < next+t.partitions; i++ {
			dst = q.appendPartition(dst, q.partitions[i].index, q.outcome(i, appends))
		}
		next += t.partitions
		dst = appendTags(dst, flexible)
	}
	if q.version >= 1 {
		dst = kbin.AppendInt32(dst, 0) // throttle time
	}
	return appendTags(dst, flexible)
}

func (q *produceRequest) appendPartition(dst []byte, index int32, a replica.Append) []byte {
	flexible := q.version >= produceFlexible
	dst = kbin.AppendInt32(dst, index)
	dst = kbin.AppendInt16(dst, kerr.Code(a.Err))
	dst = kbin.AppendInt64(dst, a.Info.FirstOffset)
	if q.version >= 2 {
		dst = kbin.AppendInt64(dst, a.Info.LogAppendTime)
	}
	if q.version >= 5 {
		dst = kbin.AppendInt64(dst, a.Info.LogStartOffset)
	}
	if q.version >= 8 {
		records, message := q.errorDetails(a.Err)
		dst = appendArrayLen(dst, flexible, len(records))
		for i := range records {
			dst = kbin.AppendInt32(dst, records[i].BatchIndex)
			dst = appendNullableString(dst, flexible, &records[i].Message)
			dst = appendTags(dst, flexible)
		}
		dst = appendNullableString(dst, flexible, message)
	}
	return appendTags(dst, flexible)
}

// errorDetails are the refused records and the message of an error. Only an
// error about single records has them, and one of the whole request a message
// when it says more than its code.
func (q *produceRequest) errorDetails(err error) ([]commitlog.RecordError, *string) {
	if q.refused != nil {
		if text := q.refused.Error(); text != kerr.Of(q.refused).Text {
			return nil, &text
		}
		return nil, nil
	}
	records, ok := replica.RecordErrors(err)
	if !ok {
		return nil, nil
	}
	return records, kerr.Message(err)
}

// answerSize is about how long the response gets.
func (q *produceRequest) answerSize() int {
	size := 16 + 48*len(q.partitions)
	for _, t := range q.topics {
		size += 12 + len(t.name)
	}
	return size
}

// appendNameBytes is appendName for a name that is still in the frame.
func appendNameBytes(dst []byte, flexible bool, name []byte) []byte {
	if flexible {
		dst = kbin.AppendUvarint(dst, uint32(len(name)+1))
	} else {
		dst = kbin.AppendInt16(dst, int16(len(name)))
	}
	return append(dst, name...)
}
