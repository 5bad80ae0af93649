package broker

import (
	"time"

	"gregor/pkg/config"
	"gregor/pkg/logcleaner"
)

// cleanerConfig is what the threads that compact logs work with.
func cleanerConfig(c *config.Broker) logcleaner.Config {
	return logcleaner.Config{
		Threads:                c.Int("log.cleaner.threads"),
		DedupeBufferSize:       c.Long("log.cleaner.dedupe.buffer.size"),
		DedupeBufferLoadFactor: c.Double("log.cleaner.io.buffer.load.factor"),
		IOBufferSize:           c.Int("log.cleaner.io.buffer.size"),
		IOBytesPerSecondMax:    c.Double("log.cleaner.io.max.bytes.per.second"),
		Backoff:                time.Duration(c.Long("log.cleaner.backoff.ms")) * time.Millisecond,
	}
}

// newCleanerConfig is nil when nothing is to be compacted.
func newCleanerConfig(c *config.Broker) *logcleaner.Config {
	if !c.Bool("log.cleaner.enable") {
		return nil
	}
	cfg := cleanerConfig(c)
	return &cfg
}

// cleanerChanged starts the cleaner's threads again when their settings have
// changed.
func (b *Broker) cleanerChanged(was, is *config.Broker) {
	if cfg := cleanerConfig(is); cfg != cleanerConfig(was) {
		b.logs.UpdateCleaner(cfg)
	}
}
