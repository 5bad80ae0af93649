package commitlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"gregor/pkg/vfs"
)

// AbortedTxn is an aborted transaction: entries of 34 bytes in .txnindex,
// part of the format:
//
//	int16 version 0, int64 producer id, int64 first offset,
//	int64 last offset (the marker's), int64 last stable offset
type AbortedTxn struct {
	ProducerID       int64
	FirstOffset      int64
	LastOffset       int64
	LastStableOffset int64
}

const (
	txnEntrySize     = 34
	txnIndexBytesMax = 1 << 30
)

// txnIndex lists the aborted transactions whose marker is in the segment, by
// offset of the marker. The file exists only when there are some.
type txnIndex struct {
	fs   vfs.FS
	path func() string
	base int64

	// mu guards the fields below and the file.
	mu       sync.Mutex
	loaded   bool
	retired  bool // nothing is opened any more: see segment.retire
	unsynced bool // the file has changed since the last sync
	entries  []AbortedTxn
}

func (x *txnIndex) init(fsys vfs.FS, path func() string, base int64) {
	x.fs, x.path, x.base = fsys, path, base
}

func (x *txnIndex) loadLocked() error {
	if x.loaded {
		return nil
	}
	if x.retired {
		return errReplaced
	}
	data, err := vfs.ReadFile(x.fs, x.path(), txnIndexBytesMax)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if x.entries, err = decodeTxnIndex(data, x.base); err != nil {
		return fmt.Errorf("%s: %w", x.path(), err)
	}
	x.loaded = true
	return nil
}

func decodeTxnIndex(data []byte, base int64) ([]AbortedTxn, error) {
	if len(data)%txnEntrySize != 0 {
		return nil, fmt.Errorf("%d bytes are no whole number of entries: %w", len(data), ErrCorrupt)
	}
	var entries []AbortedTxn
	for ; len(data) > 0; data = data[txnEntrySize:] {
		if version := int16(binary.BigEndian.Uint16(data)); version != 0 {
			return nil, fmt.Errorf("entry of version %d: %w", version, ErrCorrupt)
		}
		t := AbortedTxn{
			ProducerID:       int64(binary.BigEndian.Uint64(data[2:])),
			FirstOffset:      int64(binary.BigEndian.Uint64(data[10:])),
			LastOffset:       int64(binary.BigEndian.Uint64(data[18:])),
			LastStableOffset: int64(binary.BigEndian.Uint64(data[26:])),
		}
		if t.LastOffset < base || len(entries) > 0 && t.LastOffset < entries[len(entries)-1].LastOffset {
			return nil, fmt.Errorf("last offset %d out of order: %w", t.LastOffset, ErrCorrupt)
		}
		entries = append(entries, t)
	}
	return entries, nil
}

func (t AbortedTxn) encode() []byte {
	b := make([]byte, 2, txnEntrySize)
	for _, v := range []int64{t.ProducerID, t.FirstOffset, t.LastOffset, t.LastStableOffset} {
		b = binary.BigEndian.AppendUint64(b, uint64(v))
	}
	return b
}

// check reads the file, as the sanity check at load.
func (x *txnIndex) check() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.loadLocked()
}

func (x *txnIndex) append(t AbortedTxn) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := x.loadLocked(); err != nil {
		return err
	}
	f, err := x.fs.OpenFile(x.path(), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.WriteAt(t.encode(), int64(len(x.entries))*txnEntrySize); err != nil {
		return err
	}
	x.entries, x.unsynced = append(x.entries, t), true
	return nil
}

// collect appends the transactions that touch [from, upTo) to dst. done
// reports that no later segment can hold another one.
func (x *txnIndex) collect(dst []AbortedTxn, from, upTo int64) (out []AbortedTxn, done bool, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := x.loadLocked(); err != nil {
		return dst, false, err
	}
	for _, t := range x.entries {
		if t.LastOffset >= from && t.FirstOffset < upTo {
			dst = append(dst, t)
		}
		if t.LastStableOffset >= upTo {
			return dst, true, nil
		}
	}
	return dst, false, nil
}

// truncateTo drops the transactions whose marker is at offset or above.
func (x *txnIndex) truncateTo(offset int64) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := x.loadLocked(); err != nil {
		return err
	}
	n := len(x.entries)
	for n > 0 && x.entries[n-1].LastOffset >= offset {
		n--
	}
	if n == len(x.entries) {
		return nil
	}
	x.entries = x.entries[:n]
	return x.truncateFile(int64(n) * txnEntrySize)
}

// reset drops everything, also a file that cannot be read.
func (x *txnIndex) reset() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.entries, x.loaded = nil, true
	if !vfs.Exists(x.fs, x.path()) {
		return nil
	}
	return x.truncateFile(0)
}

func (x *txnIndex) truncateFile(size int64) error {
	f, err := x.fs.OpenFile(x.path(), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	x.unsynced = true
	return f.Truncate(size)
}

func (x *txnIndex) flush() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.unsynced || x.retired {
		return nil
	}
	f, err := x.fs.OpenFile(x.path(), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return err
	}
	x.unsynced = false
	return nil
}
