package logcleaner

import (
	"crypto/md5"
	"encoding/binary"
	"math/bits"
)

// slotBytes is what a key costs: 16 bytes of hash and 8 of offset.
const slotBytes = 24

// slot holds one key. The zero slot is free.
type slot struct {
	hash   keyHash
	behind int64 // the offset behind the key's last record
}

// keyHash is the MD5 sum of a key, as two numbers. The keys themselves are not
// kept: that two of them share it is held to be impossible, as in Kafka.
type keyHash [2]uint64

func hashOf(key []byte) keyHash {
	sum := md5.Sum(key)
	return keyHash{binary.BigEndian.Uint64(sum[:]), binary.BigEndian.Uint64(sum[8:])}
}

// OffsetMap knows the last offset of each key of the dirty section, in an
// array with open addressing. Its memory is bounded, and no larger than the
// section at hand can need.
type OffsetMap struct {
	table   []slot
	slots   int64 // that the memory allows
	keysMax int   // that may be put, whatever the table's size
	size    int
	latest  int64 // offset up to which the section was read, -1 at first
}

// NewOffsetMap makes a map of at most memory bytes, of which loadFactor may
// be filled.
func NewOffsetMap(memory int64, loadFactor float64) *OffsetMap {
	slots := max(memory/slotBytes, 2)
	// One slot stays free: it ends the search for a key that is not there.
	return &OffsetMap{slots: slots, keysMax: int(min(float64(slots)*loadFactor, float64(slots-1))), latest: -1}
}

// reset empties the map and gives it room for so many keys, or for as many as
// there is memory.
func (m *OffsetMap) reset(keys int64) {
	m.size, m.latest = 0, -1
	slots := m.slots
	if keys < slots/2 {
		slots = min(slots, keys*8/7+16)
	}
	if n := int64(cap(m.table)); n >= slots && n/4 <= slots {
		m.table = m.table[:slots]
		clear(m.table)
		return
	}
	m.table = nil // before the next one is made
	m.table = make([]slot, slots)
}

// release gives the memory back.
func (m *OffsetMap) release() { m.table = nil }

// full reports whether no key may be put any more.
func (m *OffsetMap) full() bool { return m.size >= m.keysMax }

// put notes a key's record.
//
// Hot path: every record of the dirty section.
func (m *OffsetMap) put(hash keyHash, offset int64) {
	s := m.find(hash)
	if s.behind == 0 {
		s.hash = hash
		m.size++
	}
	s.behind = offset + 1
	m.latest = offset
}

// get is the offset of a key's last record, -1 when it is not known.
//
// Hot path: every record of a log that is compacted.
func (m *OffsetMap) get(hash keyHash) int64 {
	if m.size == 0 {
		return -1
	}
	return m.find(hash).behind - 1
}

// warm brings the slots of some keys into the processor's cache. The table is
// much larger than that, and waiting for many slots at once takes hardly
// longer than for one.
func (m *OffsetMap) warm(hashes []keyHash) (touched int64) {
	n := uint64(len(m.table))
	for i := range hashes {
		at, _ := bits.Mul64(hashes[i][0], n)
		touched |= m.table[at].behind
	}
	return touched
}

// probesNear is how many slots are tried at the first place that a hash
// names before its second one is gone to: two choices keep the runs of taken
// slots short when the map is nearly full.
const probesNear = 4

// find returns the slot of a hash, or the free one that it may have. There is
// always a free one.
func (m *OffsetMap) find(hash keyHash) *slot {
	table := m.table
	n := uint64(len(table))
	at, _ := bits.Mul64(hash[0], n)
	for range probesNear {
		s := &table[at]
		if s.behind == 0 || s.hash == hash {
			return s
		}
		if at++; at == n {
			at = 0
		}
	}
	at, _ = bits.Mul64(hash[1], n)
	for {
		s := &table[at]
		if s.behind == 0 || s.hash == hash {
			return s
		}
		if at++; at == n {
			at = 0
		}
	}
}

// readTo notes that the section was read up to an offset.
func (m *OffsetMap) readTo(offset int64) { m.latest = offset }

// utilization is how much of the allowed memory holds keys.
func (m *OffsetMap) utilization() float64 { return float64(m.size) / float64(m.slots) }
