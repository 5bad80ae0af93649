package replica

import (
	"context"
	"math"
	"slices"
	"time"

	"gregor/pkg/commitlog"
	"gregor/pkg/kerr"
	"gregor/pkg/model"
	"gregor/pkg/record"
	"gregor/pkg/wire"
)

// Replica ids of a fetch that are no broker.
const (
	ConsumerID model.BrokerID = -1
	DebugID    model.BrokerID = -2 // reads from any replica up to the log's end
)

// FetchParams are what holds for a whole fetch request.
type FetchParams struct {
	ReplicaID  model.BrokerID // of the follower that fetches, or ConsumerID
	MaxWait    time.Duration
	MinBytes   int
	MaxBytes   int
	LeaderOnly bool // other replicas must not answer
	// CutBatches is for versions below 3: the limits hold even for the first
	// batch, which then comes incomplete.
	CutBatches bool
	Isolation  commitlog.Isolation
	// Rack is where a consumer says it is, and Listener what it is connected
	// to. With a rack it may be sent to another replica (KIP-392).
	Rack, Listener string
}

// Fetch is the fetch of one partition: what is asked and what came of it.
type Fetch struct {
	model.TopicPartition
	Offset           int64
	LogStartOffset   int64 // of the follower that asks
	MaxBytes         int32
	LeaderEpoch      model.LeaderEpoch // KIP-320
	LastFetchedEpoch model.LeaderEpoch // KIP-595
	Result           FetchResult

	// What the result was read from, to tell whether there is more now.
	partition *Partition
	log       *commitlog.Log
	turns     uint64
	end       int64
	// held says that a quota keeps the records back, stranger that the asking
	// broker has no replica of the partition.
	held, stranger bool
}

// FetchResult is the answer for one partition. With an error the offsets are
// -1. Who takes the results owns the region: it is to be given to a connection
// or released.
type FetchResult struct {
	Err              error
	HighWatermark    int64
	LastStableOffset int64
	LogStartOffset   int64
	Records          wire.FileRegion
	Aborted          []commitlog.AbortedTxn
	// Diverging says that the asking log is not a prefix of ours: it ends, at
	// the latest, at this offset in this epoch. Nil when it does not diverge.
	Diverging *EpochEnd
	// Elsewhere says that the client should read from the replica Preferred
	// instead; there are no records then.
	Elsewhere bool
	Preferred model.BrokerID
}

// EpochEnd is where an epoch of the log ends.
type EpochEnd struct {
	Epoch  model.LeaderEpoch
	Offset int64
}

// Fetch reads the partitions in order, waiting up to MaxWait while there are
// fewer than MinBytes to read. It answers at once when a partition has an
// error, diverges, or is to be read elsewhere. The results are in fetches.
func (m *Manager) Fetch(ctx context.Context, params *FetchParams, fetches []Fetch) {
	m.readAll(params, fetches, true)
	if params.MaxWait > 0 && len(fetches) > 0 && !enough(params, fetches) {
		m.fetchLater(ctx, params, fetches)
	}
	if params.ReplicaID >= 0 {
		m.recordSent(fetches)
	}
}

// fetchLater waits until there is enough, or no time left.
func (m *Manager) fetchLater(ctx context.Context, params *FetchParams, fetches []Fetch) {
	keys := make([]model.TopicPartition, len(fetches))
	for i := range fetches {
		keys[i] = fetches[i].TopicPartition
	}
	look := func() bool {
		if !anyMoved(params, fetches) {
			return false
		}
		m.readAll(params, fetches, false)
		return enough(params, fetches)
	}
	if !m.fetches.Wait(ctx, keys, params.MaxWait, look) && (anyMoved(params, fetches) || anyHeld(fetches)) {
		m.readAll(params, fetches, false)
	}
}

// readAll reads every partition, in order, until the response is full. What
// an earlier reading holds is released. The first reading is the one that
// counts for what is known of a follower: it tells when the follower asked.
func (m *Manager) readAll(params *FetchParams, fetches []Fetch, first bool) {
	left := params.MaxBytes     // negative if the request says so
	whole := !params.CutBatches // the first batch may exceed the limits (KIP-74)
	for i := range fetches {
		f := &fetches[i]
		f.release()
		leaderEnd := m.read(params, f, left, whole)
		if first && params.ReplicaID >= 0 && f.Result.Err == nil && f.Result.Diverging == nil {
			m.noteFollower(params, f, leaderEnd)
		}
		if f.stranger {
			f.release()
		}
		if n := int(f.Result.Records.Length); n > 0 {
			whole = false
			left = max(0, left-n)
		}
	}
}

// noteFollower keeps the books on a follower's fetch. One that is not a
// replica of the partition gets no records.
func (m *Manager) noteFollower(params *FetchParams, f *Fetch, leaderEnd int64) {
	assigned, advanced, join := f.partition.recordFollowerFetch(params.ReplicaID, followerFetch{f.turns, f.Offset, f.LogStartOffset, leaderEnd}, time.Now())
	if !assigned {
		m.log.Warnf("%sLeader failed to record follower %d's position %d: it is not a replica of partition %s",
			m.prefix(), params.ReplicaID, f.Offset, f.TopicPartition)
		f.stranger = true
	}
	if join {
		if change := f.partition.expand(params.ReplicaID); change != nil {
			m.isr.add(change)
		}
	}
	if advanced {
		m.wake(f.TopicPartition)
	} else if m.deletes.Waiting() > 0 {
		m.deletes.Wake(f.TopicPartition) // its log start may have moved
	}
}

// read reads one partition and returns the log end offset before the read.
//
// Hot path: no allocation; nothing of the records is touched.
func (m *Manager) read(params *FetchParams, f *Fetch, limit int, whole bool) (logEnd int64) {
	f.Result = FetchResult{HighWatermark: -1, LastStableOffset: -1, LogStartOffset: -1}
	f.partition, f.log, f.held = nil, nil, false
	p, err := m.Partition(f.TopicPartition)
	if err != nil {
		f.Result.Err = err
		return -1
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	log, err := p.readableLocked(f.LeaderEpoch, params.LeaderOnly)
	if err != nil {
		f.Result.Err = err
		return -1
	}
	f.partition, f.log, f.turns = p, log, p.turns.Load()
	f.end = bound(log, params.Isolation)
	logEnd = log.LogEndOffset()
	result := FetchResult{
		HighWatermark:    log.HighWatermark(),
		LastStableOffset: log.LastStableOffset(),
		LogStartOffset:   log.LogStartOffset(),
	}
	if result.Preferred, result.Elsewhere = m.nearestLocked(p, params, f.Offset); result.Elsewhere {
		f.Result = result
		return logEnd
	}
	if f.LastFetchedEpoch != model.NoLeaderEpoch {
		if result.Diverging, err = divergence(log, f, result.LogStartOffset); err != nil {
			f.Result.Err = err
			return logEnd
		}
	}
	if result.Diverging == nil {
		most := min(int(f.MaxBytes), limit)
		if most < 0 && f.Offset < f.end {
			f.Result.Err = kerr.UnknownServerError // as in Kafka, where it is an illegal argument
			return logEnd
		}
		info, err := log.Read(f.Offset, most, params.Isolation, whole)
		if err != nil {
			f.Result.Err = err
			return logEnd
		}
		result.Records, result.Aborted = info.Records, info.Aborted
		if result.Aborted == nil && params.Isolation == commitlog.TxnCommitted {
			result.Aborted = []commitlog.AbortedTxn{} // looked for, none found
		}
		f.held = m.holdsBackLocked(p, params.ReplicaID)
		if f.held || info.FirstEntryIncomplete && !params.CutBatches {
			releaseRegion(&result.Records)
		}
	}
	f.Result = result
	return logEnd
}

// divergence compares the epoch of the last record that the asking replica
// holds with our log (KIP-595). Nil means that it is a prefix of ours.
func divergence(log *commitlog.Log, f *Fetch, logStart int64) (*EpochEnd, error) {
	epoch, end := log.EndOffsetForEpoch(f.LastFetchedEpoch)
	switch {
	case epoch == model.NoLeaderEpoch || end == unknownOffset:
		return nil, kerr.OffsetOutOfRange.With("Could not determine the end offset of the last fetched epoch %d from the request", f.LastFetchedEpoch)
	case f.Offset < logStart:
		return nil, kerr.OffsetOutOfRange
	case epoch < f.LastFetchedEpoch || end < f.Offset:
		return &EpochEnd{epoch, end}, nil
	}
	return nil, nil
}

// enough reports whether the answer is worth sending.
func enough(params *FetchParams, fetches []Fetch) bool {
	bytes := 0
	for i := range fetches {
		r := &fetches[i].Result
		if r.Err != nil || r.Diverging != nil || r.Elsewhere {
			return true
		}
		bytes += int(r.Records.Length)
	}
	return bytes >= params.MinBytes
}

// anyMoved reports whether a new reading could give something else.
//
// Hot path: asked at every wake; no allocation, no file is touched.
func anyMoved(params *FetchParams, fetches []Fetch) bool {
	for i := range fetches {
		f := &fetches[i]
		if f.partition == nil || f.partition.turns.Load() != f.turns || bound(f.log, params.Isolation) != f.end {
			return true
		}
	}
	return false
}

// anyHeld reports whether a quota kept something back, which may have let go
// of it by now.
func anyHeld(fetches []Fetch) bool {
	return slices.ContainsFunc(fetches, func(f Fetch) bool { return f.held })
}

// bound is the offset that a reader of the isolation may read up to.
func bound(log *commitlog.Log, isolation commitlog.Isolation) int64 {
	switch isolation {
	case commitlog.HighWatermark:
		return log.HighWatermark()
	case commitlog.TxnCommitted:
		return log.LastStableOffset()
	default:
		return log.LogEndOffset()
	}
}

// release gives the region of the last reading back.
func (f *Fetch) release() { releaseRegion(&f.Result.Records) }

func releaseRegion(r *wire.FileRegion) {
	if r.Release != nil {
		r.Release()
	}
	*r = wire.FileRegion{}
}

// Release gives back the regions of fetches that are not answered with.
func Release(fetches []Fetch) {
	for i := range fetches {
		fetches[i].release()
	}
}

// Question is the fetch without its result, to be asked again.
func (f *Fetch) Question() Fetch {
	q := *f
	q.Result = FetchResult{}
	q.partition, q.log, q.held, q.stranger = nil, nil, false, false
	return q
}

// Refuse replaces the result by an error.
func (f *Fetch) Refuse(err error) {
	f.release()
	f.Result = FetchResult{Err: err, HighWatermark: -1, LastStableOffset: -1, LogStartOffset: -1}
}

// RefusesOldReaders reports whether consumers of older formats get an error
// from the topic that was read.
func (f *Fetch) RefusesOldReaders() bool {
	return f.partition != nil && f.partition.settings.Load().RefuseOldReaders
}

// Magic is the message format that the log which was read is kept in; older
// and newer batches may lie in it.
func (f *Fetch) Magic() int8 {
	if f.log == nil {
		return record.Magic
	}
	return f.log.Magic()
}

// RecordMax bounds the records that are unpacked for a reader.
func (f *Fetch) RecordMax() int {
	if f.log == nil {
		return 0
	}
	opts := f.log.Options()
	return min(2*opts.MaxMessageBytes+8<<20, math.MaxInt32)
}

// CompressionType is compression.type of the topic that was read, "" when the
// fetch found no partition.
func (f *Fetch) CompressionType() string {
	if f.partition == nil {
		return ""
	}
	return f.partition.settings.Load().CompressionType
}
