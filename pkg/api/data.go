package api

import (
	"sync"

	"github.com/sirupsen/logrus"

	"gregor/pkg/logging"
	"gregor/pkg/metadata"
	"gregor/pkg/replica"
)

// DataOptions are what the Data family works with; the comments name Kafka's
// keys.
type DataOptions struct {
	Replicas          *replica.Manager
	Metadata          *metadata.Cache
	FetchMaxBytes     int // fetch.max.bytes
	FetchSessionSlots int // max.incremental.fetch.session.cache.slots
	Loggers           *logging.Loggers
}

// Data is the family of the APIs that move records: Produce, Fetch,
// ListOffsets, OffsetForLeaderEpoch.
type Data struct {
	replicas      *replica.Manager
	metadata      *metadata.Cache
	fetchMaxBytes int
	sessions      *fetchSessions
	log           *logrus.Entry // kafka.server.KafkaApis
	oldFormats    warnings      // clients that would need records converted

	produceScratch sync.Pool // of *produceScratch
	fetchScratch   sync.Pool // of *fetchScratch
}

// NewData returns the family.
func NewData(options DataOptions) *Data {
	return &Data{
		replicas:      options.Replicas,
		metadata:      options.Metadata,
		fetchMaxBytes: options.FetchMaxBytes,
		sessions:      newFetchSessions(options.FetchSessionSlots),
		log:           options.Loggers.Logger("kafka.server.KafkaApis"),
	}
}

// Register enters the family's handlers.
func (d *Data) Register(r *Router) {
	r.Handle(0, d.produce)
	r.Handle(1, d.fetch)
	r.Handle(2, d.listOffsets)
	r.Handle(23, d.offsetForLeaderEpoch)
}

// warnings remembers what has been complained about, so that a client that
// repeats itself does not fill the log.
type warnings struct {
	mu   sync.Mutex
	seen map[string]bool
}

// first reports whether the matter is new. After a thousand matters it says
// so no more.
func (w *warnings) first(matter string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.seen[matter] || len(w.seen) >= 1000 {
		return false
	}
	if w.seen == nil {
		w.seen = map[string]bool{}
	}
	w.seen[matter] = true
	return true
}
