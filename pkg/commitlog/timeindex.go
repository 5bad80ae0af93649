package commitlog

import (
	"encoding/binary"
	"fmt"
)

// timeIndex maps timestamps to offsets: entries of 12 bytes, int64 timestamp
// and int32 offset relative to the segment's base. Part of the format. An
// entry says that every record with a larger timestamp comes after that
// offset; timestamps increase. One slot is kept for the entry that is added
// when the segment is rolled or closed.
type timeIndex struct {
	indexFile
	base int64
}

const timeEntrySize = 12

func (x *timeIndex) decode(entry []byte) (timestamp, offset int64) {
	return int64(binary.BigEndian.Uint64(entry)), x.base + int64(int32(binary.BigEndian.Uint32(entry[8:])))
}

// lastEntry is (-1, base) when there is none.
func (x *timeIndex) lastEntry() (timestamp, offset int64, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := x.loadLocked(); err != nil || x.entries == 0 {
		return -1, x.base, err
	}
	timestamp, offset = x.decode(x.last[:])
	return timestamp, offset, nil
}

// lookup returns the entry with the greatest timestamp that is not above the
// target, (-1, base) when there is none.
func (x *timeIndex) lookup(target int64) (timestamp, offset int64, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := x.loadLocked(); err != nil {
		return -1, x.base, err
	}
	i, err := x.searchLocked(func(entry []byte) bool {
		return int64(binary.BigEndian.Uint64(entry)) > target
	})
	if i < 0 || err != nil {
		return -1, x.base, err
	}
	entry := x.scratch[:timeEntrySize]
	if err := x.readLocked(i, entry); err != nil {
		return -1, x.base, err
	}
	timestamp, offset = x.decode(entry)
	return timestamp, offset, nil
}

// maybeAppend adds an entry when the timestamp is larger than the last one.
func (x *timeIndex) maybeAppend(timestamp, offset int64) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := x.loadLocked(); err != nil {
		return err
	}
	lastTimestamp, lastOffset := int64(-1), x.base
	if x.entries > 0 {
		lastTimestamp, lastOffset = x.decode(x.last[:])
	}
	if timestamp <= lastTimestamp {
		return nil
	}
	if x.entries > 0 && offset < lastOffset {
		return fmt.Errorf("%s: entry for offset %d is before the last one", x.path(), offset)
	}
	var entry [timeEntrySize]byte
	binary.BigEndian.PutUint64(entry[:], uint64(timestamp))
	binary.BigEndian.PutUint32(entry[8:], uint32(offset-x.base))
	return x.appendLocked(entry[:])
}

// full reports whether the segment must be rolled for this index.
func (x *timeIndex) full() (bool, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	err := x.loadLocked()
	return x.entries >= x.capacity-1, err
}

// truncateTo drops the entries of offset and above.
func (x *timeIndex) truncateTo(offset int64) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := x.loadLocked(); err != nil {
		return err
	}
	i, err := x.searchLocked(func(entry []byte) bool {
		_, entryOffset := x.decode(entry)
		return entryOffset >= offset
	})
	if err != nil {
		return err
	}
	return x.cutLocked(i + 1)
}
