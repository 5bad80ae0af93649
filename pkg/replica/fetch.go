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
	Ref              any // the caller's own, carried along

	// What the result was read from, to tell whether there is more now.
	partition *Partition
	log       *commitlog.Log
	turns     uint64
	end       int64
	// held says that a quota keeps the records back, stranger that the asking
	// broker has no replica of the partition.
	held, stranger bool
	hint           *Partition // see Remember
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
	m.readAll(params, fetches)
	if params.MaxWait > 0 && len(fetches) > 0 && !enough(params, fetches) {
		m.fetchLater(ctx, params, fetches)
	}
	if params.ReplicaID >= 0 {
		m.recordSent(fetches)
	}
}

// fetchLater waits until there is enough, or no time left.
func (m *Manager) fetchLater(ctx context.Context, params *FetchParams, fetches []Fetch) {
	keys, _ := m.keys.Get().(*[]model.TopicPartition)
	if keys == nil {
		keys = new([]model.TopicPartition)
	}
	*keys = slices.Grow((*keys)[:0], len(fetches))
	for i := range fetches {
		*keys = append(*keys, fetches[i].TopicPartition)
	}
	look := func() bool { return m.readMoved(params, fetches, false) && enough(params, fetches) }
	if !m.fetches.Wait(ctx, *keys, params.MaxWait, look) {
		m.readMoved(params, fetches, true)
	}
	clear(*keys)
	m.keys.Put(keys)
}

// budget is what is left of a response.
type budget struct {
	left  int  // bytes; negative if the request says so
	whole bool // the first batch may exceed the limits (KIP-74)
}

func newBudget(params *FetchParams) budget { return budget{params.MaxBytes, !params.CutBatches} }

func (b *budget) take(bytes int64) {
	if bytes > 0 {
		b.whole = false
		b.left = max(0, b.left-int(bytes))
	}
}

// readAll reads every partition, in order, until the response is full. It is
// what counts for what is known of a follower: it tells when the follower
// asked.
func (m *Manager) readAll(params *FetchParams, fetches []Fetch) {
	b, now := newBudget(params), time.Now()
	for i := range fetches {
		f := &fetches[i]
		m.read(params, f, b, now)
		b.take(f.Result.Records.Length)
	}
}

// readMoved reads again what could give something else by now, and reports
// whether there was anything. With late also what a quota held back is tried
// again.
//
// Hot path: runs at every wake; of what has not moved no file is touched.
func (m *Manager) readMoved(params *FetchParams, fetches []Fetch, late bool) (any bool) {
	b := newBudget(params)
	for i := range fetches {
		f := &fetches[i]
		if f.moved(params) || late && f.held {
			any = true
			m.read(params, f, b, time.Time{})
		}
		b.take(f.Result.Records.Length)
	}
	return any
}

// moved reports whether a new reading could give something else.
func (f *Fetch) moved(params *FetchParams) bool {
	return f.partition == nil || f.partition.turns.Load() != f.turns || bound(f.log, params.Isolation) != f.end
}

// read reads one partition. asked is when the request came; zero when this is
// not the first reading. What an earlier reading holds is released.
//
// Hot path: no allocation; nothing of the records is touched.
func (m *Manager) read(params *FetchParams, f *Fetch, b budget, asked time.Time) {
	f.release()
	f.Result = FetchResult{HighWatermark: -1, LastStableOffset: -1, LogStartOffset: -1}
	f.partition, f.log, f.held = nil, nil, false
	p, err := m.partitionOf(f)
	if err != nil {
		f.Result.Err = err
		return
	}
	news, err := m.readPartition(params, f, p, b, asked)
	if err != nil {
		f.Result.Err = err
		return
	}
	if f.stranger {
		f.release() // a broker that has no replica of it gets no records
		if !asked.IsZero() {
			m.log.Warnf("%sLeader failed to record follower %d's position %d: it is not a replica of partition %s",
				m.prefix(), params.ReplicaID, f.Offset, f.TopicPartition)
		}
	}
	if news.join {
		if change := p.expand(params.ReplicaID); change != nil {
			m.isr.add(change)
		}
	}
	if news.advanced {
		m.wake(f.TopicPartition)
	} else if !asked.IsZero() && m.deletes.Waiting() > 0 {
		m.deletes.Wake(f.TopicPartition) // a follower's log start may have moved
	}
}

// partitionOf finds the partition of a fetch; one that is asked for again and
// again is remembered.
func (m *Manager) partitionOf(f *Fetch) (*Partition, error) {
	if p := f.hint; p != nil && !p.gone.Load() && !p.offline.Load() {
		return p, nil
	}
	p, err := m.Partition(f.TopicPartition)
	f.hint = p
	return p, err
}

// readPartition reads under the lock that keeps leadership as it is, and notes
// what a follower has. Without an error the result is complete.
func (m *Manager) readPartition(params *FetchParams, f *Fetch, p *Partition, b budget, asked time.Time) (news followerNews, err error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	log, err := p.readableLocked(f.LeaderEpoch, params.LeaderOnly)
	if err != nil {
		return news, err
	}
	offsets := log.Offsets()
	f.partition, f.log, f.turns, f.end = p, log, p.turns.Load(), offsets.Bound(params.Isolation)
	result := FetchResult{HighWatermark: offsets.HighWatermark, LastStableOffset: offsets.LastStable, LogStartOffset: offsets.LogStart}
	if result.Preferred, result.Elsewhere = m.nearestLocked(p, params, f.Offset); result.Elsewhere {
		f.Result = result
		return news, nil
	}
	if f.LastFetchedEpoch != model.NoLeaderEpoch {
		if result.Diverging, err = divergence(log, f, result.LogStartOffset); err != nil {
			return news, err
		}
	}
	if result.Diverging == nil {
		if err := m.readRecordsLocked(params, f, log, &result, b); err != nil {
			return news, err
		}
		if params.ReplicaID >= 0 && !asked.IsZero() {
			news = p.noteFollowerLocked(params.ReplicaID, followerFetch{f.Offset, f.LogStartOffset, offsets.LogEnd}, asked)
			f.stranger = news.stranger
		}
	}
	f.Result = result
	return news, nil
}

// readRecordsLocked finds the records, unless a quota holds them back.
func (m *Manager) readRecordsLocked(params *FetchParams, f *Fetch, log *commitlog.Log, result *FetchResult, b budget) error {
	if params.Isolation == commitlog.TxnCommitted {
		result.Aborted = []commitlog.AbortedTxn{} // looked for, none found
	}
	if f.Offset == f.end {
		return nil
	}
	most := min(int(f.MaxBytes), b.left)
	if most < 0 && f.Offset < f.end {
		return kerr.UnknownServerError // as in Kafka, where it is an illegal argument
	}
	info, err := log.Read(f.Offset, most, params.Isolation, b.whole)
	if err != nil {
		return err
	}
	result.Records = info.Records
	if info.Aborted != nil {
		result.Aborted = info.Aborted
	}
	f.held = m.holdsBackLocked(f.partition, params.ReplicaID)
	if f.held || info.FirstEntryIncomplete && !params.CutBatches {
		releaseRegion(&result.Records)
	}
	return nil
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

// bound is the offset that a reader of the isolation may read up to.
func bound(log *commitlog.Log, isolation commitlog.Isolation) int64 {
	offsets := log.Offsets()
	return offsets.Bound(isolation)
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

// Remember takes over from a fetch of the same partition where to find it.
func (f *Fetch) Remember(answered *Fetch) { f.hint = answered.hint }

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
