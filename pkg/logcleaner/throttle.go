package logcleaner

import (
	"context"
	"sync"
	"time"
)

// throttle keeps what all threads read and write together below a rate. The
// observed bytes of an interval are made up for by a pause at its end.
type throttle struct {
	mu        sync.Mutex // guards the fields below
	perSecond float64
	began     time.Time
	observed  float64
}

// throttleInterval is how long is observed before a pause.
const throttleInterval = 300 * time.Millisecond

func (t *throttle) set(bytesPerSecond float64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.perSecond, t.observed, t.began = bytesPerSecond, 0, time.Now()
}

// observe counts bytes and waits when they are too many.
func (t *throttle) observe(ctx context.Context, bytes int) error {
	wait := t.pause(float64(bytes), time.Now())
	if wait <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

func (t *throttle) pause(bytes float64, now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.began.IsZero() {
		t.began = now
	}
	t.observed += bytes
	elapsed := now.Sub(t.began)
	if elapsed < throttleInterval {
		return 0
	}
	wait := time.Duration(0)
	if due := t.observed / t.perSecond; t.perSecond > 0 && due > elapsed.Seconds() {
		wait = time.Duration((due - elapsed.Seconds()) * float64(time.Second))
	}
	t.observed, t.began = 0, now.Add(max(0, wait))
	return wait
}
