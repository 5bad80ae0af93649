package commitlog

import (
	"encoding/binary"
	"fmt"
)

// offsetIndex maps offsets to positions: entries of 8 bytes, int32 offset
// relative to the segment's base and int32 position in its log file, both
// increasing. Part of the format. An entry holds the last offset of an append
// and the position where that append begins.
type offsetIndex struct {
	indexFile
	base int64
}

const offsetEntrySize = 8

// lookup returns the position of the entry with the greatest offset that is
// not above the target; the segment's beginning when there is none.
func (x *offsetIndex) lookup(target int64) (position int64, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := x.loadLocked(); err != nil {
		return 0, err
	}
	relative := target - x.base
	if x.entries == 0 || relative < 0 {
		return 0, nil
	}
	if int64(int32(binary.BigEndian.Uint32(x.last[:]))) <= relative {
		return int64(int32(binary.BigEndian.Uint32(x.last[4:]))), nil
	}
	i, err := x.searchLocked(func(entry []byte) bool {
		return int64(int32(binary.BigEndian.Uint32(entry))) > relative
	})
	if i < 0 || err != nil {
		return 0, err
	}
	entry := x.scratch[:offsetEntrySize]
	err = x.readLocked(i, entry)
	return int64(int32(binary.BigEndian.Uint32(entry[4:]))), err
}

// lastOffset is the offset of the last entry, the base when there is none.
func (x *offsetIndex) lastOffset() (int64, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := x.loadLocked(); err != nil || x.entries == 0 {
		return x.base, err
	}
	return x.base + int64(int32(binary.BigEndian.Uint32(x.last[:]))), nil
}

func (x *offsetIndex) append(offset, position int64) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := x.loadLocked(); err != nil {
		return err
	}
	relative := offset - x.base
	if x.entries > 0 && relative <= int64(int32(binary.BigEndian.Uint32(x.last[:]))) {
		return fmt.Errorf("%s: entry for offset %d is not behind the last one", x.path(), offset)
	}
	var entry [offsetEntrySize]byte
	binary.BigEndian.PutUint32(entry[:], uint32(relative))
	binary.BigEndian.PutUint32(entry[4:], uint32(position))
	return x.appendLocked(entry[:])
}

// full reports whether the segment must be rolled for this index.
func (x *offsetIndex) full() (bool, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	err := x.loadLocked()
	return x.entries >= x.capacity, err
}

// truncateTo drops the entries of offset and above.
func (x *offsetIndex) truncateTo(offset int64) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := x.loadLocked(); err != nil {
		return err
	}
	relative := offset - x.base
	i, err := x.searchLocked(func(entry []byte) bool {
		return int64(int32(binary.BigEndian.Uint32(entry))) >= relative
	})
	if err != nil {
		return err
	}
	return x.cutLocked(i + 1)
}

// offsetBehind is the offset of the first entry at or behind a position.
func (x *offsetIndex) offsetBehind(position int64) (offset int64, found bool, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := x.loadLocked(); err != nil {
		return 0, false, err
	}
	i, err := x.searchLocked(func(entry []byte) bool {
		return int64(int32(binary.BigEndian.Uint32(entry[4:]))) >= position
	})
	if err != nil || i+1 >= x.entries {
		return 0, false, err
	}
	entry := x.scratch[:offsetEntrySize]
	err = x.readLocked(i+1, entry)
	return x.base + int64(int32(binary.BigEndian.Uint32(entry))), true, err
}
