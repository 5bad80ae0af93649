package commitlog

import (
	"cmp"
	"slices"

	"gregor/pkg/kerr"
	"gregor/pkg/record"
)

// batchesKept is how many batches of a producer are remembered to recognise
// one that is sent again.
const batchesKept = 5

// producer is what the log knows of one idempotent producer.
type producer struct {
	id               int64
	epoch            int16
	coordinatorEpoch int32 // of the last marker, -1 none
	lastTimestamp    int64
	txnFirstOffset   int64 // of the open transaction, -1 none
	batches          [batchesKept]producedBatch
	kept             int // of batches, oldest first
}

type producedBatch struct {
	lastSequence int32
	lastOffset   int64
	offsetDelta  int32
	timestamp    int64
}

func (b producedBatch) firstOffset() int64 { return b.lastOffset - int64(b.offsetDelta) }

// firstSequence undoes the wrap of sequence numbers.
func (b producedBatch) firstSequence() int32 {
	if b.lastSequence < b.offsetDelta {
		return int32(int64(b.lastSequence) - int64(b.offsetDelta) + 1<<31)
	}
	return b.lastSequence - b.offsetDelta
}

func (p *producer) lastSequence() int32 {
	if p.kept == 0 {
		return record.NoSequence
	}
	return p.batches[p.kept-1].lastSequence
}

// setEpoch begins a new epoch, of which no batch is known yet.
func (p *producer) setEpoch(epoch int16) {
	if p.epoch != epoch {
		p.epoch, p.kept = epoch, 0
	}
}

func (p *producer) addBatch(b producedBatch) {
	if p.kept == batchesKept {
		copy(p.batches[:], p.batches[1:])
		p.kept--
	}
	p.batches[p.kept] = b
	p.kept++
}

// duplicate finds the stored batch that the batch is a repetition of.
func (p *producer) duplicate(b record.Batch) (producedBatch, bool) {
	if b.ProducerEpoch() != p.epoch {
		return producedBatch{}, false
	}
	for _, known := range p.batches[:p.kept] {
		if known.firstSequence() == b.BaseSequence() && known.lastSequence == b.LastSequence() {
			return known, true
		}
	}
	return producedBatch{}, false
}

// openTxn is a transaction without marker, or one whose marker is not yet
// below the high watermark (last is then the marker's offset).
type openTxn struct {
	producerID int64
	first      OffsetMetadata
	last       int64
}

// endedTxn is a transaction that a marker ended.
type endedTxn struct {
	producerID int64
	first      int64
	last       int64 // the marker
	aborted    bool
}

// producers is the state of all producers of one log, up to mapEnd. Log.mu
// guards it.
type producers struct {
	byID         map[int64]*producer
	ongoing      []openTxn // by first offset
	unreplicated []openTxn // ended, marker not yet below the high watermark
	mapEnd       int64
	lastSnapshot int64
}

func newProducers() *producers { return &producers{byID: map[int64]*producer{}} }

// check says whether a batch that is about to be appended continues its
// producer's sequence (KIP-98, KIP-360). A repetition gives the stored batch.
//
// Hot path: every batch of an idempotent producer; no allocation unless it is
// refused.
func (ps *producers) check(b record.Batch, origin Origin) (dup producedBatch, repeated bool, err error) {
	p := ps.byID[b.ProducerID()]
	if p == nil {
		return dup, false, nil
	}
	if origin == OriginClient && !b.Control() {
		if dup, repeated = p.duplicate(b); repeated {
			return dup, true, nil
		}
	}
	if b.ProducerEpoch() < p.epoch {
		return dup, false, kerr.InvalidProducerEpoch.With("Producer's epoch at offset %d is %d, which is smaller than the last seen epoch %d",
			b.BaseOffset(), b.ProducerEpoch(), p.epoch)
	}
	if b.Control() {
		return dup, false, p.checkMarker(b)
	}
	if origin == OriginClient {
		if err := p.checkSequence(b); err != nil {
			return dup, false, err
		}
	}
	if p.txnFirstOffset >= 0 && !b.Transactional() {
		return dup, false, kerr.InvalidTxnState.With("Expected transactional write from producer %d at offset %d", p.id, b.BaseOffset())
	}
	return dup, false, nil
}

func (p *producer) checkMarker(b record.Batch) error {
	marker, found, err := b.EndTxnMarker()
	if err != nil {
		return kerr.InvalidRecord.With("%s", err)
	}
	if found && p.coordinatorEpoch > marker.CoordinatorEpoch {
		return kerr.TransactionCoordinatorFenced.With("Invalid coordinator epoch for producerId %d at offset %d: %d (zombie), %d (current)",
			p.id, b.BaseOffset(), marker.CoordinatorEpoch, p.coordinatorEpoch)
	}
	return nil
}

func (p *producer) checkSequence(b record.Batch) error {
	first := b.BaseSequence()
	if b.ProducerEpoch() != p.epoch {
		if first == 0 || p.epoch == record.NoProducerEpoch {
			return nil
		}
		return kerr.OutOfOrderSequenceNumber.With("Invalid sequence number for new epoch of producer %d at offset %d: %d (request epoch), %d (seq. number), %d (current producer epoch)",
			p.id, b.BaseOffset(), b.ProducerEpoch(), first, p.epoch)
	}
	last := p.lastSequence()
	if int64(first) == int64(last)+1 || first == 0 && last == 1<<31-1 {
		return nil
	}
	return kerr.OutOfOrderSequenceNumber.With("Out of order sequence number for producer %d at offset %d: %d (incoming seq. number), %d (current end sequence number)",
		p.id, b.BaseOffset(), first, last)
}

// apply notes a batch that is in the log. position is where it is; an ended
// transaction comes back.
func (ps *producers) apply(b record.Batch, segmentBase, position int64) (ended endedTxn, found bool) {
	if !b.HasProducerID() {
		return ended, false
	}
	if b.Control() {
		return ps.applyMarker(b)
	}
	p := ps.get(b.ProducerID())
	p.setEpoch(b.ProducerEpoch())
	p.addBatch(producedBatch{lastSequence: b.LastSequence(), lastOffset: b.LastOffset(), offsetDelta: b.LastOffsetDelta(), timestamp: b.MaxTimestamp()})
	p.lastTimestamp = b.MaxTimestamp()
	if p.txnFirstOffset < 0 && b.Transactional() {
		p.txnFirstOffset = b.BaseOffset()
		ps.ongoing = append(ps.ongoing, openTxn{producerID: p.id, last: -1,
			first: OffsetMetadata{Offset: b.BaseOffset(), SegmentBase: segmentBase, Position: int(position)}})
	}
	return ended, false
}

func (ps *producers) get(id int64) *producer {
	p := ps.byID[id]
	if p == nil {
		p = &producer{id: id, epoch: record.NoProducerEpoch, coordinatorEpoch: -1, txnFirstOffset: -1, lastTimestamp: record.NoTimestamp}
		ps.byID[id] = p
	}
	return p
}

func (ps *producers) applyMarker(b record.Batch) (ended endedTxn, found bool) {
	marker, isMarker, err := b.EndTxnMarker()
	if err != nil || !isMarker {
		return ended, false // compacted away, or not of a transaction
	}
	p := ps.get(b.ProducerID())
	p.setEpoch(b.ProducerEpoch())
	if p.txnFirstOffset >= 0 {
		ended = endedTxn{producerID: p.id, first: p.txnFirstOffset, last: b.LastOffset(), aborted: marker.Type == record.ControlAbort}
		found = true
	}
	p.txnFirstOffset = -1
	p.coordinatorEpoch = marker.CoordinatorEpoch
	p.lastTimestamp = b.MaxTimestamp()
	return ended, found
}

// stableOffsetBehind is the last stable offset once t is complete: where the
// first other open transaction begins, else behind the marker.
func (ps *producers) stableOffsetBehind(t endedTxn) int64 {
	for _, open := range ps.ongoing {
		if open.producerID != t.producerID {
			return open.first.Offset
		}
	}
	return t.last + 1
}

// complete moves a transaction from the open ones to those that wait for the
// high watermark.
func (ps *producers) complete(t endedTxn) {
	for i, open := range ps.ongoing {
		if open.first.Offset == t.first {
			open.last = t.last
			ps.ongoing = slices.Delete(ps.ongoing, i, i+1)
			at, _ := slices.BinarySearchFunc(ps.unreplicated, open, func(a, b openTxn) int { return cmp.Compare(a.first.Offset, b.first.Offset) })
			ps.unreplicated = slices.Insert(ps.unreplicated, at, open)
			return
		}
	}
}

// replicated drops the ended transactions below the high watermark.
func (ps *producers) replicated(highWatermark int64) {
	n := 0
	for n < len(ps.unreplicated) && ps.unreplicated[n].last < highWatermark {
		n++
	}
	ps.unreplicated = slices.Delete(ps.unreplicated, 0, n)
}

// firstUnstable is where the oldest undecided transaction begins.
func (ps *producers) firstUnstable() (OffsetMetadata, bool) {
	switch {
	case len(ps.unreplicated) == 0 && len(ps.ongoing) == 0:
		return OffsetMetadata{}, false
	case len(ps.ongoing) == 0 || len(ps.unreplicated) > 0 && ps.unreplicated[0].first.Offset < ps.ongoing[0].first.Offset:
		return ps.unreplicated[0].first, true
	default:
		return ps.ongoing[0].first, true
	}
}

// expire forgets the producers without an open transaction that have been
// silent for long enough.
func (ps *producers) expire(nowMs, expirationMs int64) {
	for id, p := range ps.byID {
		if p.expired(nowMs, expirationMs) {
			delete(ps.byID, id)
		}
	}
}

func (p *producer) expired(nowMs, expirationMs int64) bool {
	return p.txnFirstOffset < 0 && nowMs-p.lastTimestamp >= expirationMs
}

// startRaised follows an increment of the log start offset.
func (ps *producers) startRaised(logStart int64) {
	ps.replicated(logStart)
	ps.mapEnd = max(ps.mapEnd, logStart)
}

// clear forgets everything; the state begins again at offset.
func (ps *producers) clear(offset int64) {
	clear(ps.byID)
	ps.ongoing, ps.unreplicated = nil, nil
	ps.mapEnd, ps.lastSnapshot = offset, offset
}
