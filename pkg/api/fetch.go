package api

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kbin"

	"gregor/pkg/commitlog"
	"gregor/pkg/kerr"
	"gregor/pkg/metadata"
	"gregor/pkg/model"
	"gregor/pkg/replica"
	"gregor/pkg/wire"
)

// Fetch (key 1), versions 0 to 12: records of partitions, waiting for them if
// there are too few.
//
//	1   + throttle time in the answer
//	3   + limit for the whole answer; the first batch always comes whole
//	4   + isolation level, last stable offset, aborted transactions; format 2
//	5   + log start offset
//	7   + sessions (KIP-227), see fetch_session.go
//	9   + current leader epoch (KIP-320)
//	10  zstd
//	11  + rack, preferred read replica (KIP-392)
//	12  flexible; + last fetched epoch, diverging epoch (KIP-595)
//
// Where a fetch waits: replica.Manager.Fetch. What surprises: records never
// pass through memory, the answer is made of pieces of the header and regions
// of segment files; only what versions below 4 cannot carry is converted on the
// way out, see fetch_convert.go.
const fetchFlexible = 12

// fetchRequest is a decoded body.
type fetchRequest struct {
	version    int16
	replicaID  model.BrokerID
	maxWaitMs  int32
	minBytes   int32
	maxBytes   int32
	isolation  int8
	session    int32
	epoch      int32
	rack       string
	partitions []replica.Fetch
	forgotten  []model.TopicPartition
}

// fetchScratch is what one request needs, kept for the next.
type fetchScratch struct {
	req     fetchRequest
	session []replica.Fetch // the partitions of an incremental fetch
	include []bool
}

// fetch answers one request.
//
// Hot path: no allocation for a partition; a few for the answer.
func (d *Data) fetch(ctx context.Context, r *wire.Request) wire.Answer {
	scratch, _ := d.fetchScratch.Get().(*fetchScratch)
	if scratch == nil {
		scratch = &fetchScratch{}
	}
	defer d.putFetchScratch(scratch)
	req := &scratch.req
	if !req.decode(r.Version, r.Body, d.metadata.Snapshot().TopicNamed) {
		return wire.Answer{Close: true}
	}
	if req.epoch != initialEpoch && req.epoch != finalEpoch {
		return d.fetchIncremental(ctx, r, req, scratch)
	}
	if req.session != noSession {
		d.sessions.remove(req.session)
	}
	fetches := d.readFetches(ctx, r, req, req.partitions)
	session := noSession
	if req.epoch == initialEpoch {
		session = d.sessions.create(req.replicaID >= 0, fetches)
	}
	return encodeFetch(req.version, nil, session, fetches, nil)
}

// fetchIncremental answers a fetch within a session: with what is new.
func (d *Data) fetchIncremental(ctx context.Context, r *wire.Request, req *fetchRequest, scratch *fetchScratch) wire.Answer {
	session, fetches, err := d.sessions.open(req.session, req.epoch, req.partitions, req.forgotten, scratch.session)
	if err != nil {
		d.log.Debugf("fetch session %d epoch %d of %s: %v", req.session, req.epoch, r.ClientIDOrEmpty(), err)
		return encodeFetch(req.version, err, noSession, nil, nil)
	}
	if session == nil {
		return encodeFetch(req.version, nil, noSession, d.readFetches(ctx, r, req, req.partitions), nil)
	}
	scratch.session = fetches
	fetches = d.readFetches(ctx, r, req, fetches)
	scratch.include = slices.Grow(scratch.include[:0], len(fetches))[:len(fetches)]
	clear(scratch.include)
	if err := session.selectResults(req.epoch, fetches, scratch.include); err != nil {
		replica.Release(fetches)
		return encodeFetch(req.version, err, session.id, nil, nil)
	}
	return encodeFetch(req.version, nil, session.id, fetches, scratch.include)
}

// putFetchScratch keeps the slices and lets go of what they point to.
func (d *Data) putFetchScratch(s *fetchScratch) {
	clear(s.req.partitions)
	clear(s.req.forgotten)
	clear(s.session)
	s.req = fetchRequest{partitions: s.req.partitions[:0], forgotten: s.req.forgotten[:0]}
	s.session = s.session[:0]
	d.fetchScratch.Put(s)
}

// decode walks a body and reports whether it is whole. Names of known topics
// are not allocated again.
func (q *fetchRequest) decode(version int16, frame []byte, known func([]byte) (*metadata.Topic, bool)) bool {
	b := newBody(frame, version >= fetchFlexible)
	q.version, q.maxBytes, q.epoch = version, math.MaxInt32, finalEpoch
	q.replicaID = model.BrokerID(b.Int32())
	q.maxWaitMs = b.Int32()
	q.minBytes = b.Int32()
	if version >= 3 {
		q.maxBytes = b.Int32()
	}
	if version >= 4 {
		q.isolation = b.Int8()
	}
	if version >= 7 {
		q.session, q.epoch = b.Int32(), b.Int32()
	}
	for range b.array(2) {
		topic := topicName(b.name(), known)
		for range b.array(16) {
			q.partitions = append(q.partitions, decodeFetchPartition(&b, version, topic))
			if !b.Ok() || len(q.partitions) > elementsMax {
				return false
			}
		}
		b.tags()
		if !b.Ok() {
			return false
		}
	}
	if version >= 7 && !q.decodeForgotten(&b, known) {
		return false
	}
	if version >= 11 {
		q.rack = string(b.name())
	}
	b.tags()
	return b.Ok()
}

func decodeFetchPartition(b *body, version int16, topic string) replica.Fetch {
	f := replica.Fetch{LeaderEpoch: model.NoLeaderEpoch, LastFetchedEpoch: model.NoLeaderEpoch, LogStartOffset: -1}
	f.Topic, f.Partition = topic, b.Int32()
	if version >= 9 {
		f.LeaderEpoch = givenEpoch(b.Int32())
	}
	f.Offset = b.Int64()
	if version >= 12 {
		f.LastFetchedEpoch = givenEpoch(b.Int32())
	}
	if version >= 5 {
		f.LogStartOffset = b.Int64()
	}
	f.MaxBytes = b.Int32()
	b.tags()
	return f
}

// givenEpoch is an epoch of a fetch: every negative one means none.
func givenEpoch(epoch int32) model.LeaderEpoch {
	return model.LeaderEpoch(max(epoch, int32(model.NoLeaderEpoch)))
}

func (q *fetchRequest) decodeForgotten(b *body, known func([]byte) (*metadata.Topic, bool)) bool {
	for range b.array(2) {
		topic := topicName(b.name(), known)
		for range b.array(4) {
			q.forgotten = append(q.forgotten, model.TopicPartition{Topic: topic, Partition: b.Int32()})
			if len(q.forgotten) > elementsMax {
				return false
			}
		}
		b.tags()
		if !b.Ok() {
			return false
		}
	}
	return true
}

// topicName makes a string of a name, the one in use when the topic is known.
func topicName(name []byte, known func([]byte) (*metadata.Topic, bool)) string {
	if t, ok := known(name); ok {
		return t.Name
	}
	return string(name)
}

// readFetches reads the partitions that exist, and returns all, those that do
// not at the end.
func (d *Data) readFetches(ctx context.Context, r *wire.Request, req *fetchRequest, fetches []replica.Fetch) []replica.Fetch {
	snapshot := d.metadata.Snapshot()
	existing := len(fetches)
	for i := range fetches {
		if !snapshot.Contains(fetches[i].TopicPartition) {
			existing = splitUnknown(snapshot, fetches)
			break
		}
	}
	maxBytes := min(int(req.maxBytes), d.fetchMaxBytes)
	params := replica.FetchParams{
		ReplicaID:  req.replicaID,
		MaxWait:    time.Duration(req.maxWaitMs) * time.Millisecond,
		MinBytes:   min(int(req.minBytes), maxBytes),
		MaxBytes:   maxBytes,
		LeaderOnly: req.replicaID >= 0 || req.replicaID == replica.ConsumerID && req.version < 11,
		CutBatches: req.version <= 2,
		Isolation:  isolationOf(req.replicaID, req.isolation),
		Rack:       req.rack,
		Listener:   r.Peer.Listener,
	}
	d.replicas.Fetch(ctx, &params, fetches[:existing])
	for i := range fetches[:existing] {
		d.limitToVersion(req, &fetches[i])
	}
	return fetches
}

// splitUnknown moves the partitions that do not exist to the end, marked with
// their error, and returns how many do. The order is kept within both.
func splitUnknown(snapshot *metadata.Snapshot, fetches []replica.Fetch) int {
	var unknown []replica.Fetch
	existing := 0
	for i := range fetches {
		if snapshot.Contains(fetches[i].TopicPartition) {
			fetches[existing] = fetches[i]
			existing++
			continue
		}
		f := fetches[i]
		f.Result = replica.FetchResult{Err: kerr.UnknownTopicOrPartition, HighWatermark: -1, LastStableOffset: -1, LogStartOffset: -1}
		unknown = append(unknown, f)
	}
	copy(fetches[existing:], unknown)
	return existing
}

// isolationOf says how far a reader may read: consumers to the high watermark
// or to the last stable offset, others to the end.
func isolationOf(replicaID model.BrokerID, level int8) commitlog.Isolation {
	switch {
	case replicaID != replica.ConsumerID:
		return commitlog.LogEnd
	case level == 1:
		return commitlog.TxnCommitted
	default:
		return commitlog.HighWatermark
	}
}

// limitToVersion replaces what a client of the request's version would not
// understand.
func (d *Data) limitToVersion(req *fetchRequest, f *replica.Fetch) {
	if err := f.Result.Err; err != nil {
		if req.version <= 5 && kerr.Of(err) == kerr.KafkaStorageError {
			f.Result.Err = kerr.NotLeaderOrFollower
		}
		return
	}
	switch {
	case req.version < 10 && f.CompressionType() == "zstd":
		f.Refuse(kerr.UnsupportedCompressionType)
	case req.version < 4 && f.Result.Records.Length > 0:
		d.downgrade(req, f)
	}
}

// encodeFetch makes the answer. Its chunks take over the regions of the
// fetches. include, unless nil, says which of them are part of it.
func encodeFetch(version int16, err error, session int32, fetches []replica.Fetch, include []bool) wire.Answer {
	e := fetchEncoder{version: version, flexible: version >= fetchFlexible, fetches: fetches, include: include}
	size, regions := e.measure()
	e.dst = make([]byte, 0, size)
	e.chunks = make([]wire.Chunk, 0, 2*regions+1)
	e.regions = make([]wire.FileRegion, 0, regions)
	if version >= 1 {
		e.dst = kbin.AppendInt32(e.dst, 0) // throttle time
	}
	if version >= 7 {
		e.dst = kbin.AppendInt16(e.dst, kerr.Code(err))
		e.dst = kbin.AppendInt32(e.dst, session)
	}
	e.topics()
	e.dst = appendTags(e.dst, e.flexible)
	e.cut()
	return wire.Answer{Chunks: e.chunks}
}

// fetchEncoder writes a response in pieces: runs of dst between regions.
type fetchEncoder struct {
	version  int16
	flexible bool
	fetches  []replica.Fetch
	include  []bool
	dst      []byte
	from     int // where the present piece begins in dst
	chunks   []wire.Chunk
	regions  []wire.FileRegion
}

func (e *fetchEncoder) included(i int) bool { return e.include == nil || e.include[i] }

// measure returns about how long the pieces of memory get together and how
// many regions there are. The length is never too small, so that dst is not
// moved away from under its pieces.
func (e *fetchEncoder) measure() (size, regions int) {
	size = 32
	for i := range e.fetches {
		if !e.included(i) {
			continue
		}
		f := &e.fetches[i]
		size += 96 + len(f.Topic) + 17*len(f.Result.Aborted)
		if f.Result.Records.Length > 0 {
			regions++
		}
	}
	return size, regions
}

// topics writes the partitions; those of a topic that follow each other are
// listed together.
func (e *fetchEncoder) topics() {
	groups := 0
	for i := e.nextIncluded(0); i < len(e.fetches); i = e.endOfTopic(i) {
		groups++
	}
	e.dst = appendArrayLen(e.dst, e.flexible, groups)
	for i := e.nextIncluded(0); i < len(e.fetches); {
		end := e.endOfTopic(i)
		count := 0
		for j := i; j < end; j++ {
			if e.included(j) {
				count++
			}
		}
		e.dst = appendName(e.dst, e.flexible, e.fetches[i].Topic)
		e.dst = appendArrayLen(e.dst, e.flexible, count)
		for ; i < end; i++ {
			if e.included(i) {
				e.partition(&e.fetches[i])
			}
		}
		e.dst = appendTags(e.dst, e.flexible)
	}
}

// nextIncluded is the first fetch from i on that is part of the answer.
func (e *fetchEncoder) nextIncluded(i int) int {
	for i < len(e.fetches) && !e.included(i) {
		i++
	}
	return i
}

// endOfTopic is the first included fetch after i of another topic.
func (e *fetchEncoder) endOfTopic(i int) int {
	topic := e.fetches[i].Topic
	for i = e.nextIncluded(i + 1); i < len(e.fetches) && e.fetches[i].Topic == topic; {
		i = e.nextIncluded(i + 1)
	}
	return i
}

func (e *fetchEncoder) partition(f *replica.Fetch) {
	r := &f.Result
	e.dst = kbin.AppendInt32(e.dst, f.Partition)
	e.dst = kbin.AppendInt16(e.dst, kerr.Code(r.Err))
	e.dst = kbin.AppendInt64(e.dst, r.HighWatermark)
	if e.version >= 4 {
		e.dst = kbin.AppendInt64(e.dst, r.LastStableOffset)
	}
	if e.version >= 5 {
		e.dst = kbin.AppendInt64(e.dst, r.LogStartOffset)
	}
	if e.version >= 4 {
		e.aborted(r.Aborted)
	}
	if e.version >= 11 {
		e.dst = kbin.AppendInt32(e.dst, preferredReplica(r))
	}
	e.records(&r.Records)
	e.partitionTags(r.Diverging)
}

// preferredReplica is where a consumer should read instead, -1 for here.
func preferredReplica(r *replica.FetchResult) int32 {
	if r.Elsewhere {
		return int32(r.Preferred)
	}
	return -1
}

// aborted writes the aborted transactions; nil, which is not an empty list,
// for readers that do not care.
func (e *fetchEncoder) aborted(list []commitlog.AbortedTxn) {
	if list == nil {
		if e.flexible {
			e.dst = append(e.dst, 0)
		} else {
			e.dst = kbin.AppendInt32(e.dst, -1)
		}
		return
	}
	e.dst = appendArrayLen(e.dst, e.flexible, len(list))
	for i := range list {
		e.dst = kbin.AppendInt64(e.dst, list[i].ProducerID)
		e.dst = kbin.AppendInt64(e.dst, list[i].FirstOffset)
		e.dst = appendTags(e.dst, e.flexible)
	}
}

func (e *fetchEncoder) records(region *wire.FileRegion) {
	if e.flexible {
		e.dst = kbin.AppendUvarint(e.dst, uint32(region.Length)+1)
	} else {
		e.dst = kbin.AppendInt32(e.dst, int32(region.Length))
	}
	if region.Length == 0 {
		return
	}
	e.cut()
	e.regions = append(e.regions, *region)
	e.chunks = append(e.chunks, wire.Chunk{Region: &e.regions[len(e.regions)-1]})
	*region = wire.FileRegion{}
}

// partitionTags writes the tagged fields of a partition: the diverging epoch,
// field 0, which holds an int32, an int64 and no tags of its own.
func (e *fetchEncoder) partitionTags(diverging *replica.EpochEnd) {
	if !e.flexible {
		return
	}
	if diverging == nil {
		e.dst = append(e.dst, 0)
		return
	}
	e.dst = append(e.dst, 1, 0, 4+8+1)
	e.dst = kbin.AppendInt32(e.dst, int32(diverging.Epoch))
	e.dst = kbin.AppendInt64(e.dst, diverging.Offset)
	e.dst = append(e.dst, 0)
}

// cut ends the present piece.
func (e *fetchEncoder) cut() {
	if e.from < len(e.dst) {
		e.chunks = append(e.chunks, wire.Chunk{Bytes: e.dst[e.from:len(e.dst):len(e.dst)]})
		e.from = len(e.dst)
	}
}
