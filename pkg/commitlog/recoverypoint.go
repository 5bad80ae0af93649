package commitlog

import (
	"math"
	"sync"
)

// recoveryPoint is the offset below which everything is on disk. A flush
// raises it when it is done; whoever changes files below it, as a roll and a
// truncation do with indexes, lowers it, also while a flush is under way that
// may have been past those files already.
type recoveryPoint struct {
	mu      sync.Mutex // guards the fields below; nothing else is taken while it is held
	at      int64
	lowered int64 // the lowest that it was lowered to since the flush under way began
}

func (p *recoveryPoint) offset() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.at
}

// set is for a log that nobody else uses yet.
func (p *recoveryPoint) set(offset int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at, p.lowered = offset, math.MaxInt64
}

func (p *recoveryPoint) lower(offset int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at, p.lowered = min(p.at, offset), min(p.lowered, offset)
}

// beginFlush returns where the next flush has to begin. One flush runs at a
// time.
func (p *recoveryPoint) beginFlush() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lowered = math.MaxInt64
	return p.at
}

// flushed ends a flush that made everything below offset durable.
func (p *recoveryPoint) flushed(offset int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at = min(offset, p.lowered)
}
