package commitlog

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"gregor/pkg/model"
)

// epochCache knows where each leader epoch begins in the log (KIP-101). It is
// kept in leader-epoch-checkpoint: lines of epoch and start offset.
// A log of message format 0 or 1, whose batches have no epoch, has neither
// entries nor file.
//
// Invariant: epochs and start offsets both increase.
type epochCache struct {
	place *place

	mu      sync.RWMutex // guards all below and the file
	off     bool         // the log is of an old format
	entries []epochStart
	written []epochStart // what the file says

	unsyncedName atomic.Bool // the file was replaced since the last syncNames
}

type epochStart struct {
	epoch model.LeaderEpoch
	start int64
}

const epochFile = "leader-epoch-checkpoint"

// openEpochs reads the file; a missing one is created empty.
func openEpochs(p *place) (*epochCache, error) {
	c := &epochCache{place: p}
	return c, c.load()
}

// load reads the file into an empty cache.
func (c *epochCache) load() error {
	p := c.place
	lines, err := ReadCheckpoint(p.fs, p.path(epochFile))
	if errors.Is(err, fs.ErrNotExist) {
		f, err := p.fs.OpenFile(p.path(epochFile), os.O_RDWR|os.O_CREATE, 0o644)
		if err != nil {
			return err
		}
		return f.Close()
	}
	if err != nil {
		return err
	}
	for _, line := range lines {
		e, err := parseEpochLine(line)
		if err != nil {
			return fmt.Errorf("%s: %w", p.path(epochFile), err)
		}
		c.assignEntry(e)
	}
	c.written = slices.Clone(c.entries)
	return nil
}

// switchOff removes entries and file, and reports whether there were entries.
func (c *epochCache) switchOff() (had bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	had = len(c.entries) > 0
	c.off, c.entries, c.written = true, nil, nil
	if err := c.place.fs.Remove(c.place.path(epochFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return had, err
	}
	return had, nil
}

// switchOn begins with an empty file again.
func (c *epochCache) switchOn() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.off {
		return nil
	}
	c.off = false
	return c.load()
}

func parseEpochLine(line string) (epochStart, error) {
	first, second, ok := strings.Cut(line, " ")
	epoch, err1 := strconv.ParseInt(first, 10, 32)
	start, err2 := strconv.ParseInt(second, 10, 64)
	if !ok || err1 != nil || err2 != nil || epoch < 0 || start < 0 {
		return epochStart{}, fmt.Errorf("malformed line %q: %w", line, ErrCorrupt)
	}
	return epochStart{model.LeaderEpoch(epoch), start}, nil
}

// assignEntry makes e the last entry, removing what contradicts it. It
// reports whether anything changed.
func (c *epochCache) assignEntry(e epochStart) bool {
	n := len(c.entries)
	if n > 0 && c.entries[n-1].epoch == e.epoch && e.start >= c.entries[n-1].start {
		return false
	}
	for n > 0 && (c.entries[n-1].epoch >= e.epoch || c.entries[n-1].start >= e.start) {
		n--
	}
	c.entries = append(c.entries[:n], e)
	return true
}

// assign notes that an epoch begins at an offset.
//
// Hot path: every append calls it; nothing happens for a known epoch.
func (c *epochCache) assign(epoch model.LeaderEpoch, start int64) error {
	if epoch < 0 || start < 0 {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.off || !c.assignEntry(epochStart{epoch, start}) {
		return nil
	}
	return c.writeLocked()
}

// at is the epoch that an offset is in.
func (c *epochCache) at(offset int64) (epoch model.LeaderEpoch, found bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, e := range slices.Backward(c.entries) {
		if e.start <= offset {
			return e.epoch, true
		}
	}
	return model.NoLeaderEpoch, false
}

func (c *epochCache) latest() (epochStart, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if len(c.entries) == 0 {
		return epochStart{epoch: model.NoLeaderEpoch, start: -1}, false
	}
	return c.entries[len(c.entries)-1], true
}

func (c *epochCache) earliest() (epochStart, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if len(c.entries) == 0 {
		return epochStart{epoch: model.NoLeaderEpoch, start: -1}, false
	}
	return c.entries[0], true
}

// endOffsetFor finds the largest epoch not above the asked one and where the
// next one begins; (-1, -1) when it cannot tell.
func (c *epochCache) endOffsetFor(epoch model.LeaderEpoch, logEnd int64) (model.LeaderEpoch, int64) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	n := len(c.entries)
	switch {
	case epoch == model.NoLeaderEpoch || n == 0 || epoch > c.entries[n-1].epoch:
		return model.NoLeaderEpoch, -1
	case epoch == c.entries[n-1].epoch:
		return epoch, logEnd
	}
	higher := 0
	for c.entries[higher].epoch <= epoch {
		higher++
	}
	if higher == 0 {
		return epoch, c.entries[0].start
	}
	return c.entries[higher-1].epoch, c.entries[higher].start
}

// truncateFromEnd drops the epochs that begin at or behind offset.
func (c *epochCache) truncateFromEnd(offset int64) error {
	c.dropFromEnd(offset)
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.writeLocked()
}

// dropFromEnd is truncateFromEnd in memory, for a log that is being opened:
// an empty one has the epoch of its leader in the file, and will get it again.
func (c *epochCache) dropFromEnd(offset int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.entries)
	for n > 0 && c.entries[n-1].start >= offset {
		n--
	}
	c.entries = c.entries[:n]
}

// truncateFromStart drops what is before offset; the epoch that offset is in
// begins there now.
func (c *epochCache) truncateFromStart(offset int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for n < len(c.entries) && c.entries[n].start <= offset {
		n++
	}
	if n == 0 || n == 1 && c.entries[0].start == offset {
		return nil
	}
	c.entries = slices.Delete(c.entries, 0, n-1)
	c.entries[0].start = offset
	return c.writeLocked()
}

func (c *epochCache) clear() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entries = nil
	return c.writeLocked()
}

// writeLocked replaces the file if it says something else. A full disk does
// not stop a broker from leading, since nothing can be appended to it anyway:
// what could not be written is by the next change, flush or close.
func (c *epochCache) writeLocked() error {
	err := c.saveLocked()
	if errors.Is(err, syscall.ENOSPC) {
		return nil
	}
	return err
}

// save makes the file say what the cache says. The name of what it wrote is
// durable after the next syncNames of the log; unsyncedName tells. Epochs with
// records behind the recovery point are found again without it.
func (c *epochCache) save() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.saveLocked()
}

func (c *epochCache) saveLocked() error {
	if slices.Equal(c.entries, c.written) {
		return nil
	}
	var lines bytes.Buffer
	for _, e := range c.entries {
		fmt.Fprintf(&lines, "%d %d\n", e.epoch, e.start)
	}
	c.unsyncedName.Store(true)
	if err := replaceFile(c.place.fs, c.place.path(epochFile), checkpointText(len(c.entries), lines.Bytes())); err != nil {
		return err
	}
	c.written = slices.Clone(c.entries)
	return nil
}
