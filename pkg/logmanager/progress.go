package logmanager

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"gregor/pkg/lifecycle"
)

// progress counts the logs that were loaded and, each second, says how far it
// has come.
type progress struct {
	started   time.Time
	total     atomic.Int64 // logs found so far; a directory adds its own before it begins
	done      atomic.Int64
	recovered atomic.Int64 // bytes that were scanned
	unclean   atomic.Bool  // a directory was not shut down in order
}

const progressInterval = time.Second

// report runs until the group ends.
func (p *progress) report(group *lifecycle.Group, say func(line string)) {
	group.Go("loading-progress", func(ctx context.Context) error {
		ticker := time.NewTicker(progressInterval)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-ticker.C:
				if line := p.line(time.Since(p.started)); line != "" {
					say(line)
				}
			}
		}
	})
}

// line is empty while it is not known how much there is to do.
func (p *progress) line(elapsed time.Duration) string {
	done, total := p.done.Load(), p.total.Load()
	if total == 0 {
		return ""
	}
	verb := "loading"
	if p.unclean.Load() {
		verb = "recovering"
	}
	line := fmt.Sprintf("%s %d/%d logs, %d %%", verb, done, total, 100*done/total)
	if scanned := p.recovered.Load(); scanned > 0 {
		line += fmt.Sprintf(", %d MB checked", scanned/1e6)
	}
	if done > 0 && done < total {
		left := elapsed * time.Duration(total-done) / time.Duration(done)
		line += fmt.Sprintf(", about %d s left", int64((left+time.Second-1)/time.Second))
	}
	return line
}
