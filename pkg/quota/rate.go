package quota

import (
	"sync"
	"time"
)

// Windows say what a rate is measured over: so many samples of a size. What
// is older is forgotten.
type Windows struct {
	Samples int
	Size    time.Duration
}

// Rate is how much was recorded in a second, lately. Safe for concurrent use.
//
// Time is cut into samples, which begin with the first record after the end of
// the one before. The rate is the sum of the samples over the time since the
// oldest began, but over one whole sample at least, so that a single large
// record at the start counts as what came in one sample's time.
type Rate struct {
	windows Windows

	mu      sync.Mutex
	samples []sample // a ring
	current int      // the one that is being filled
}

type sample struct {
	began time.Time // zero when it was never used
	sum   float64
}

// NewRate returns a rate of nothing.
func NewRate(w Windows) *Rate {
	w.Samples, w.Size = max(w.Samples, 1), max(w.Size, time.Millisecond)
	return &Rate{windows: w, samples: make([]sample, w.Samples)}
}

// Record adds to the rate.
func (r *Rate) Record(n float64, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := &r.samples[r.current]
	switch {
	case s.began.IsZero():
		*s = sample{began: now}
	case now.Sub(s.began) >= r.windows.Size:
		r.current = (r.current + 1) % len(r.samples)
		s = &r.samples[r.current]
		*s = sample{began: now}
	}
	s.sum += n
}

// PerSecond is the rate now.
func (r *Rate) PerSecond(now time.Time) float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	kept := time.Duration(len(r.samples)) * r.windows.Size
	elapsed, sum := r.windows.Size, 0.0
	for i := range r.samples {
		s := &r.samples[i]
		if age := now.Sub(s.began); !s.began.IsZero() && age < kept {
			sum += s.sum
			elapsed = max(elapsed, age)
		}
	}
	return sum / elapsed.Seconds()
}
