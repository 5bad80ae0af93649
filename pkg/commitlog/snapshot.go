package commitlog

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"gregor/pkg/vfs"
)

// Producer state is saved in <20 digits>.snapshot: the state up to, and
// without, that offset. Part of the format:
//
//	0  2  version 1
//	2  4  CRC-32C of what follows
//	6  4  number of entries, each of 46 bytes:
//	      producer id 8, epoch 2, last sequence 4, last offset 8,
//	      offset delta 4, timestamp 8, coordinator epoch 4,
//	      first offset of the open transaction 8 (-1 none)
//
// Only the last batch of a producer is in it. A snapshot that cannot be read
// is deleted and an older one used.
const (
	snapshotVersion    = 1
	snapshotHeaderSize = 10
	snapshotEntrySize  = 46
	snapshotBytesMax   = 1 << 30
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encodeSnapshot writes the entries in the order in which a Scala hash map
// walks them, so that the file is the one that a Java broker writes.
func encodeSnapshot(byID map[int64]*producer) []byte {
	b := make([]byte, snapshotHeaderSize, snapshotHeaderSize+len(byID)*snapshotEntrySize)
	binary.BigEndian.PutUint16(b, snapshotVersion)
	binary.BigEndian.PutUint32(b[6:], uint32(len(byID)))
	slots := uint32(16)
	for len(byID) >= int(slots)*3/4 {
		slots *= 2
	}
	order := func(id int64) (slot, hash uint32) {
		hash = uint32(id)
		if int64(int32(id)) != id {
			hash = uint32(uint64(id) ^ uint64(id)>>32)
		}
		hash ^= hash >> 16
		return hash & (slots - 1), hash
	}
	ids := slices.SortedFunc(maps.Keys(byID), func(x, y int64) int {
		slotX, hashX := order(x)
		slotY, hashY := order(y)
		return cmp.Or(cmp.Compare(slotX, slotY), cmp.Compare(int32(hashX), int32(hashY)), cmp.Compare(x, y))
	})
	for _, id := range ids {
		b = byID[id].appendTo(b)
	}
	binary.BigEndian.PutUint32(b[2:], crc32.Checksum(b[6:], castagnoli))
	return b
}

func (p *producer) appendTo(b []byte) []byte {
	last := producedBatch{lastSequence: -1, lastOffset: -1, timestamp: -1}
	if p.kept > 0 {
		last = p.batches[p.kept-1]
	}
	b = binary.BigEndian.AppendUint64(b, uint64(p.id))
	b = binary.BigEndian.AppendUint16(b, uint16(p.epoch))
	b = binary.BigEndian.AppendUint32(b, uint32(last.lastSequence))
	b = binary.BigEndian.AppendUint64(b, uint64(last.lastOffset))
	b = binary.BigEndian.AppendUint32(b, uint32(last.offsetDelta))
	b = binary.BigEndian.AppendUint64(b, uint64(p.lastTimestamp))
	b = binary.BigEndian.AppendUint32(b, uint32(p.coordinatorEpoch))
	return binary.BigEndian.AppendUint64(b, uint64(p.txnFirstOffset))
}

func decodeSnapshot(b []byte) ([]producer, error) {
	if len(b) < snapshotHeaderSize {
		return nil, fmt.Errorf("producer snapshot of %d bytes: %w", len(b), ErrCorrupt)
	}
	if version := int16(binary.BigEndian.Uint16(b)); version != snapshotVersion {
		return nil, fmt.Errorf("producer snapshot of version %d: %w", version, ErrCorrupt)
	}
	if want, got := binary.BigEndian.Uint32(b[2:]), crc32.Checksum(b[6:], castagnoli); got != want {
		return nil, fmt.Errorf("producer snapshot: crc %08x, want %08x: %w", got, want, ErrCorrupt)
	}
	count := int32(binary.BigEndian.Uint32(b[6:]))
	b = b[snapshotHeaderSize:]
	if int64(count)*snapshotEntrySize != int64(len(b)) {
		return nil, fmt.Errorf("producer snapshot of %d entries in %d bytes: %w", count, len(b), ErrCorrupt)
	}
	entries := make([]producer, 0, count)
	for ; len(b) > 0; b = b[snapshotEntrySize:] {
		entries = append(entries, decodeProducer(b))
	}
	return entries, nil
}

func decodeProducer(b []byte) producer {
	p := producer{
		id:               int64(binary.BigEndian.Uint64(b)),
		epoch:            int16(binary.BigEndian.Uint16(b[8:])),
		lastTimestamp:    int64(binary.BigEndian.Uint64(b[26:])),
		coordinatorEpoch: int32(binary.BigEndian.Uint32(b[34:])),
		txnFirstOffset:   int64(binary.BigEndian.Uint64(b[38:])),
	}
	if lastOffset := int64(binary.BigEndian.Uint64(b[14:])); lastOffset >= 0 {
		p.addBatch(producedBatch{
			lastSequence: int32(binary.BigEndian.Uint32(b[10:])),
			lastOffset:   lastOffset,
			offsetDelta:  int32(binary.BigEndian.Uint32(b[22:])),
			timestamp:    p.lastTimestamp,
		})
	}
	return p
}

// load replaces the state by a snapshot's.
func (ps *producers) load(entries []producer, offset, nowMs, expirationMs int64) {
	ps.clear(offset)
	for _, p := range entries {
		if p.expired(nowMs, expirationMs) {
			continue
		}
		ps.byID[p.id] = &p
		if p.txnFirstOffset >= 0 {
			ps.ongoing = append(ps.ongoing, openTxn{producerID: p.id, last: -1, first: unknownPosition(p.txnFirstOffset)})
		}
	}
	slices.SortFunc(ps.ongoing, func(a, b openTxn) int { return cmp.Compare(a.first.Offset, b.first.Offset) })
}

// snapshotOffsets lists the snapshots of a log, ascending.
func (l *Log) snapshotOffsets() ([]int64, error) {
	entries, err := l.fs.ReadDir(l.Dir())
	if err != nil {
		return nil, err
	}
	var offsets []int64
	for _, entry := range entries {
		if offset, ok := offsetOfName(entry.Name(), snapshotExt); ok {
			offsets = append(offsets, offset)
		}
	}
	slices.Sort(offsets)
	return offsets, nil
}

// offsetOfName reads the offset out of a file's name, of 20 digits and ext.
func offsetOfName(name, ext string) (int64, bool) {
	digits, ok := strings.CutSuffix(name, ext)
	if !ok || len(digits) != 20 {
		return 0, false
	}
	offset, err := strconv.ParseInt(digits, 10, 64)
	return offset, err == nil && offset >= 0
}

func (l *Log) snapshotPath(offset int64) string { return l.place.path(baseName(offset) + snapshotExt) }

// takeSnapshotLocked saves the state up to mapEnd, unless it is saved already.
func (l *Log) takeSnapshotLocked() error {
	ps := l.producers
	if ps.mapEnd <= ps.lastSnapshot {
		return nil
	}
	write := vfs.WriteFile
	if l.opening {
		// After a crash each of thousands of logs gets one. It has a checksum, and
		// what it saves can be read again: no need to wait for the disk.
		write = vfs.WriteFileUnsynced
	}
	if err := write(l.fs, l.snapshotPath(ps.mapEnd), encodeSnapshot(ps.byID)); err != nil {
		if l.opening && errors.Is(err, syscall.ENOSPC) {
			// A full disk can be read. Without it the next start reads more.
			l.warn("Could not write producer snapshot '%s': %s", l.snapshotPath(ps.mapEnd), err)
			return l.removeSnapshot(ps.mapEnd)
		}
		return err
	}
	ps.lastSnapshot = ps.mapEnd
	return nil
}

func (l *Log) removeSnapshot(offset int64) error {
	if err := l.fs.Remove(l.snapshotPath(offset)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
