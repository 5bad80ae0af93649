package testkit

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"gregor/pkg/model"
)

// RecordID names a record of a history: the Seq-th that a writer sent, from 1.
type RecordID struct {
	Writer int
	Seq    int64
}

func (id RecordID) String() string { return fmt.Sprintf("w%d-%d", id.Writer, id.Seq) }

// Payload is the record's value, which can be made again from its name.
func (id RecordID) Payload() []byte {
	r := rand.New(rand.NewPCG(uint64(id.Writer), uint64(id.Seq)))
	b := append([]byte(id.String()), '|')
	for range r.IntN(300) {
		b = append(b, byte('a'+r.IntN(26)))
	}
	return b
}

// ParsePayload finds a record's name in its value. It fails when the value is
// not the one that was written.
func ParsePayload(value []byte) (RecordID, error) {
	name, _, found := bytes.Cut(value, []byte{'|'})
	writer, seq, dash := strings.Cut(strings.TrimPrefix(string(name), "w"), "-")
	var id RecordID
	var err, err2 error
	id.Writer, err = strconv.Atoi(writer)
	id.Seq, err2 = strconv.ParseInt(seq, 10, 64)
	if !found || !dash || err != nil || err2 != nil {
		return RecordID{}, fmt.Errorf("%.40q is no record of this history", value)
	}
	if !bytes.Equal(value, id.Payload()) {
		return RecordID{}, fmt.Errorf("record %s was changed: %.60q", id, value)
	}
	return id, nil
}

// History is what clients of a cluster were told: which records were
// acknowledged at which offsets, what readers saw where, which ends of logs
// and which committed offsets. It is checked while it grows and, by Check, at
// the end. Safe for concurrent use.
type History struct {
	began time.Time

	mu         sync.Mutex
	problems   []string
	partitions map[model.TopicPartition]*partitionHistory
	exact      map[int]bool // writers whose records are there once and in order
	positions  map[readerOf]int64
	ends       map[readerOf]endSeen
	commits    map[readerOf]commitSeen
}

// readerOf is one client's view of one partition.
type readerOf struct {
	name string
	tp   model.TopicPartition
}

// partitionHistory is what is known of the records of one partition.
type partitionHistory struct {
	at    []claim // by offset; a claim without a witness is none
	acked int
	final []written // as read at the end

	somewhere []RecordID // acknowledged, at offsets that were not told
}

// written is a record as it is in the log. A producer that was told by a
// leader of the past that it is out of order takes another id or epoch and
// sends again what is not acknowledged: only within one is it exact.
type written struct {
	id       RecordID
	producer producer
}

type producer struct {
	id    int64
	epoch int16
}

// claim says who told first that a record is at an offset.
type claim struct {
	id      RecordID
	witness string
	acked   bool
}

type endSeen struct {
	epoch model.LeaderEpoch
	end   int64
}

type commitSeen struct{ acked, tried int64 }

// NewHistory returns an empty history.
func NewHistory() *History {
	return &History{began: time.Now(), partitions: map[model.TopicPartition]*partitionHistory{}, exact: map[int]bool{},
		positions: map[readerOf]int64{}, ends: map[readerOf]endSeen{}, commits: map[readerOf]commitSeen{}}
}

// problemsMax bounds how many problems are kept: one fault shows in many.
const problemsMax = 50

// Problem enters what must not be.
func (h *History) Problem(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.problemLocked(format, args...)
}

func (h *History) problemLocked(format string, args ...any) {
	if len(h.problems) < problemsMax {
		h.problems = append(h.problems, fmt.Sprintf("%s (+%.3f s): %s", time.Now().Format("15:04:05.000"), time.Since(h.began).Seconds(), fmt.Sprintf(format, args...)))
	}
}

// Failed reports whether there is a problem already.
func (h *History) Failed() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.problems) > 0
}

// Exact says that a writer is idempotent: each of its records is there at
// most once and in the order in which they were sent, as long as it keeps its
// producer id.
func (h *History) Exact(writer int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.exact[writer] = true
}

// Acked enters that a record was acknowledged with an offset, -1 when it was
// acknowledged as a duplicate of one whose offset is forgotten.
func (h *History) Acked(id RecordID, tp model.TopicPartition, offset int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if offset < 0 {
		p := h.partitionLocked(tp)
		p.somewhere = append(p.somewhere, id)
		return
	}
	h.claimLocked(fmt.Sprintf("the acknowledgement to writer %d", id.Writer), id, tp, offset, true)
}

// Read enters that a reader, which reads on from offset to offset, saw a
// value.
func (h *History) Read(reader string, tp model.TopicPartition, offset int64, value []byte) {
	id, err := ParsePayload(value)
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil {
		h.problemLocked("%s at offset %d of %s: %v", reader, offset, tp, err)
		return
	}
	key := readerOf{reader, tp}
	if last, some := h.positions[key]; some && offset != last+1 {
		h.problemLocked("%s of %s came from offset %d to %d", reader, tp, last, offset)
	}
	h.positions[key] = offset
	h.claimLocked(reader, id, tp, offset, false)
}

func (h *History) claimLocked(witness string, id RecordID, tp model.TopicPartition, offset int64, acked bool) {
	p := h.partitionLocked(tp)
	for int64(len(p.at)) <= offset {
		p.at = append(p.at, claim{})
	}
	c := &p.at[offset]
	if c.witness == "" {
		*c = claim{id: id, witness: witness}
	} else if c.id != id {
		h.problemLocked("offset %d of %s: %s to %s, %s to %s", offset, tp, c.id, c.witness, id, witness)
	}
	if acked && !c.acked {
		c.acked = true
		p.acked++
	}
}

func (h *History) partitionLocked(tp model.TopicPartition) *partitionHistory {
	p := h.partitions[tp]
	if p == nil {
		p = &partitionHistory{}
		h.partitions[tp] = p
	}
	return p
}

// End enters the end of a partition's log as a client was told it by the
// leader of an epoch. It does not go back, unless a leader of the past tells.
func (h *History) End(client string, tp model.TopicPartition, epoch model.LeaderEpoch, end int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	key := readerOf{client, tp}
	last, some := h.ends[key]
	if some && epoch < last.epoch {
		return
	}
	if some && end < last.end {
		h.problemLocked("the end of %s went back from %d (epoch %d) to %d (epoch %d), as told to %s", tp, last.end, last.epoch, end, epoch, client)
	}
	h.ends[key] = endSeen{epoch, end}
}

// Committing and Committed enter that a group's offset, which only rises, is
// about to be committed, and was.
func (h *History) Committing(group string, tp model.TopicPartition, offset int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	key := readerOf{group, tp}
	c := h.commits[key]
	c.tried = offset
	h.commits[key] = c
}

// Committed: see Committing.
func (h *History) Committed(group string, tp model.TopicPartition, offset int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	key := readerOf{group, tp}
	c := h.commits[key]
	c.acked = offset
	h.commits[key] = c
}

// Offset enters a group's offset as it was read.
func (h *History) Offset(group string, tp model.TopicPartition, offset int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.commits[readerOf{group, tp}]
	if offset < c.acked || offset > c.tried {
		h.problemLocked("group %s has offset %d for %s; %d was committed, %d tried", group, offset, tp, c.acked, c.tried)
	}
}

// FinalRecord is a record of the last reading.
type FinalRecord struct {
	Value         []byte
	ProducerID    int64
	ProducerEpoch int16
}

// Final enters what a partition holds in the end, from offset 0 on.
func (h *History) Final(tp model.TopicPartition, records []FinalRecord) {
	final := make([]written, len(records))
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, r := range records {
		id, err := ParsePayload(r.Value)
		if err != nil {
			h.problemLocked("offset %d of %s in the end: %v", i, tp, err)
			continue
		}
		final[i] = written{id, producer{r.ProducerID, r.ProducerEpoch}}
		h.claimLocked("the last reading", id, tp, int64(i), false)
	}
	h.partitionLocked(tp).final = final
}

// Position is the last offset that a reader saw, -1 for none.
func (h *History) Position(reader string, tp model.TopicPartition) int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	if at, some := h.positions[readerOf{reader, tp}]; some {
		return at
	}
	return -1
}

// AckedRecords is how many acknowledged records there are.
func (h *History) AckedRecords() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, p := range h.partitions {
		n += p.acked
	}
	return n
}

// Check compares what was told with what is there in the end, and returns all
// problems. Every partition needs its Final before.
func (h *History) Check() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	for tp, p := range h.partitions {
		h.checkLocked(tp, p)
	}
	return slices.Clone(h.problems)
}

func (h *History) checkLocked(tp model.TopicPartition, p *partitionHistory) {
	for offset := len(p.final); offset < len(p.at); offset++ {
		if c := p.at[offset]; c.witness != "" {
			h.problemLocked("%s at offset %d of %s, known by %s, is lost: the partition ends at %d", c.id, offset, tp, c.witness, len(p.final))
		}
	}
	present := map[RecordID]bool{}
	for _, w := range p.final {
		present[w.id] = true
	}
	for _, id := range p.somewhere {
		if !present[id] {
			h.problemLocked("%s, acknowledged as a duplicate, is not in %s", id, tp)
		}
	}
	first := map[written]int{}
	type writing struct {
		writer   int
		producer producer
	}
	last := map[writing]RecordID{}
	for offset, w := range p.final {
		if w.id == (RecordID{}) || !h.exact[w.id.Writer] {
			continue // told already, or not to be checked
		}
		if before, twice := first[w]; twice {
			h.problemLocked("%s is in %s twice: at %d and %d", w.id, tp, before, offset)
			continue
		}
		first[w] = offset
		key := writing{w.id.Writer, w.producer}
		if w.id.Seq < last[key].Seq {
			h.problemLocked("%s of %s at offset %d comes behind %s", w.id, tp, offset, last[key])
		}
		last[key] = w.id
	}
}

// Problems are those found so far.
func (h *History) Problems() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.problems)
}
