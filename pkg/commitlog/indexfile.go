package commitlog

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"sync"

	"gregor/pkg/vfs"
)

// indexFile is an array of entries of one size, in a file that is allocated
// ahead (zeros, in a sparse file) while the segment is active and cut to its
// entries when it no longer is.
//
// The last entries stay in memory and are written a page at a time: after a
// crash the indexes of the active segment are built anew in any case. Nothing
// is opened before it is needed, and closeFile gives the descriptor back.
type indexFile struct {
	fs        vfs.FS
	path      func() string
	entrySize int
	files     *OpenFiles

	// mu guards the fields below; reading and writing the file happen under
	// it, so that nothing is read that is being replaced.
	mu       sync.Mutex
	loaded   bool
	file     vfs.File
	bytesMax int    // the size that a new file is allocated with
	capacity int    // entries that the file has room for
	entries  int    // entries in file and tail
	flushed  int    // entries in the file
	unsynced bool   // entries were written or dropped since the last sync
	tail     []byte // entries [flushed, entries)
	last     [timeEntrySize]byte
	scratch  [timeEntrySize]byte
	used     bool // since the last closeIfIdle
	retired  bool // nothing is opened any more: see segment.retire
}

const tailBytesMax = 4096

func (x *indexFile) init(fsys vfs.FS, path func() string, entrySize, bytesMax int) {
	x.fs, x.path, x.entrySize, x.bytesMax = fsys, path, entrySize, bytesMax
}

// loadLocked makes entries and last known, creating and allocating the file
// when it is missing.
func (x *indexFile) loadLocked() error {
	x.used = true
	if x.loaded {
		return nil
	}
	if x.retired {
		return errReplaced
	}
	info, err := x.fs.Stat(x.path())
	if errors.Is(err, fs.ErrNotExist) {
		return x.createLocked()
	}
	if err != nil {
		return err
	}
	x.entries = int(info.Size()) / x.entrySize
	x.flushed, x.capacity, x.tail = x.entries, x.entries, nil
	if err := x.dropZerosLocked(); err != nil {
		return err
	}
	if x.entries > 0 {
		if err := x.readLocked(x.entries-1, x.last[:x.entrySize]); err != nil {
			return err
		}
	}
	x.loaded = true
	return nil
}

// dropZerosLocked leaves out what was allocated ahead and not cut off, which
// a power cut behind a clean shutdown may do. An entry of zeros is none, but
// for the only one of a time index, of a record of 1970.
func (x *indexFile) dropZerosLocked() error {
	var zeros [timeEntrySize]byte
	entry := x.scratch[:x.entrySize]
	if x.entries == 1 && x.entrySize == timeEntrySize {
		return nil
	}
	low, high := 0, x.entries
	for probe := x.entries - 1; low < high; probe = int(uint(low+high) >> 1) {
		if err := x.readLocked(probe, entry); err != nil {
			return err
		}
		if bytes.Equal(entry, zeros[:x.entrySize]) {
			high = probe
		} else {
			low = probe + 1
		}
	}
	if low < x.entries {
		x.entries, x.flushed = low, low
	}
	return nil
}

func (x *indexFile) createLocked() error {
	x.entries, x.flushed, x.tail, x.loaded = 0, 0, nil, true
	if err := x.resizeLocked(x.bytesMax); err != nil {
		return err
	}
	// The first page of entries is long in coming, if ever: a broker may have
	// thousands of partitions that nobody writes to.
	return x.closeFileLocked()
}

func (x *indexFile) openLocked() error {
	if x.file != nil {
		return nil
	}
	if x.retired {
		return errReplaced
	}
	f, err := x.fs.OpenFile(x.path(), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	x.file = f
	x.files.opened(x)
	return nil
}

// readLocked reads entry i into dst.
func (x *indexFile) readLocked(i int, dst []byte) error {
	if i >= x.flushed {
		at := (i - x.flushed) * x.entrySize
		copy(dst, x.tail[at:at+x.entrySize])
		return nil
	}
	if err := x.openLocked(); err != nil {
		return err
	}
	_, err := x.file.ReadAt(dst, int64(i)*int64(x.entrySize))
	return err
}

// appendLocked adds an entry. The caller has checked its order.
func (x *indexFile) appendLocked(entry []byte) error {
	if x.tail == nil {
		x.tail = make([]byte, 0, 8*x.entrySize)
	}
	x.tail = append(x.tail, entry...)
	copy(x.last[:], entry)
	x.entries++
	if len(x.tail) < tailBytesMax {
		return nil
	}
	return x.writeTailLocked()
}

func (x *indexFile) writeTailLocked() error {
	if len(x.tail) == 0 {
		return nil
	}
	if err := x.openLocked(); err != nil {
		return err
	}
	if _, err := x.file.WriteAt(x.tail, int64(x.flushed)*int64(x.entrySize)); err != nil {
		return err
	}
	x.flushed, x.tail, x.unsynced = x.entries, x.tail[:0], true
	return nil
}

// count is the number of entries.
func (x *indexFile) count() (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	err := x.loadLocked()
	return x.entries, err
}

// resizeLocked allocates or cuts the file to size, rounded down to whole
// entries, and never below the entries there are.
func (x *indexFile) resizeLocked(size int) error {
	capacity := max(size/x.entrySize, x.entries)
	if err := x.openLocked(); err != nil {
		return err
	}
	if err := x.writeTailLocked(); err != nil {
		return err
	}
	if err := x.file.Truncate(int64(capacity) * int64(x.entrySize)); err != nil {
		return err
	}
	x.capacity = capacity
	return nil
}

// resize allocates the file for an active segment.
func (x *indexFile) resize(size int) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := x.loadLocked(); err != nil {
		return err
	}
	if x.capacity == size/x.entrySize {
		return nil
	}
	return x.resizeLocked(size)
}

// trim cuts the file to its entries.
func (x *indexFile) trim() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := x.loadLocked(); err != nil {
		return err
	}
	x.unsynced = true
	return x.resizeLocked(x.entries * x.entrySize)
}

// reset drops every entry and allocates the file anew.
func (x *indexFile) reset() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.entries, x.flushed, x.tail, x.loaded, x.unsynced = 0, 0, nil, true, true
	if err := x.openLocked(); err != nil {
		return err
	}
	// Through zero, so that no byte of an old entry is left.
	if err := x.file.Truncate(0); err != nil {
		return err
	}
	return x.resizeLocked(x.bytesMax)
}

// cutLocked keeps the first n entries.
func (x *indexFile) cutLocked(n int) error {
	if n >= x.entries {
		return nil
	}
	if err := x.writeTailLocked(); err != nil {
		return err
	}
	x.entries, x.flushed, x.unsynced = n, n, true
	if n > 0 {
		if err := x.readLocked(n-1, x.last[:x.entrySize]); err != nil {
			return err
		}
	}
	// Zeros again behind the last entry.
	if err := x.openLocked(); err != nil {
		return err
	}
	if err := x.file.Truncate(int64(n) * int64(x.entrySize)); err != nil {
		return err
	}
	return x.file.Truncate(int64(x.capacity) * int64(x.entrySize))
}

// searchLocked returns the last entry for which less is false of everything
// before it: the greatest i whose entry is not above the target, -1 if none.
func (x *indexFile) searchLocked(above func(entry []byte) bool) (int, error) {
	entry := x.scratch[:x.entrySize]
	low, high := 0, x.entries // the answer is low-1
	for low < high {
		mid := int(uint(low+high) >> 1)
		if x.flushed < x.entries && mid < x.flushed && low < x.flushed && high > x.flushed {
			mid = x.flushed // ask the memory first
		}
		if err := x.readLocked(mid, entry); err != nil {
			return -1, err
		}
		if above(entry) {
			high = mid
		} else {
			low = mid + 1
		}
	}
	return low - 1, nil
}

// flush writes what is in memory and syncs the file if it has changed.
func (x *indexFile) flush() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := x.writeTailLocked(); err != nil {
		return err
	}
	return x.syncLocked()
}

func (x *indexFile) syncLocked() error {
	if !x.unsynced {
		return nil
	}
	if err := x.openLocked(); err != nil {
		return err
	}
	if err := x.file.Sync(); err != nil {
		return err
	}
	x.unsynced = false
	return nil
}

// close cuts a loaded file to its entries, as a clean shutdown does, makes
// them durable and closes it. One that was never needed stays as it is.
func (x *indexFile) close() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.loaded {
		return nil
	}
	err := x.resizeLocked(x.entries * x.entrySize)
	if err == nil {
		err = x.syncLocked()
	}
	if closeErr := x.closeFileLocked(); err == nil {
		err = closeErr
	}
	x.loaded = false
	return err
}

func (x *indexFile) closeFileLocked() error {
	if x.file == nil {
		return nil
	}
	err := x.file.Close()
	x.file = nil
	x.files.closed(x)
	return err
}

// closeFile gives the descriptor back; the index stays usable.
func (x *indexFile) closeFile() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.closeFileLocked()
}

// closeIfIdle gives the descriptor back when nobody asked since the last call.
func (x *indexFile) closeIfIdle() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.used {
		x.closeFileLocked()
	}
	x.used = false
}
