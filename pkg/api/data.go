package api

import (
	"maps"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/twmb/franz-go/pkg/kmsg"

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
// ListOffsets, OffsetForLeaderEpoch, DeleteRecords.
type Data struct {
	replicas      *replica.Manager
	metadata      *metadata.Cache
	fetchMaxBytes int
	sessions      *fetchSessions
	log           *logrus.Entry // kafka.server.KafkaApis

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
	r.Handle(2, Typed(kmsg.NewPtrListOffsetsRequest, d.listOffsets))
	r.Handle(21, Typed(kmsg.NewPtrDeleteRecordsRequest, d.deleteRecords))
	r.Handle(23, Typed(kmsg.NewPtrOffsetForLeaderEpochRequest, d.offsetForLeaderEpoch))
}

// mentions remembers what the log has been told, so that a client that
// repeats itself does not fill it.
type mentions struct {
	mu   sync.Mutex
	last map[string]time.Time
}

// The bounds of what mentions remembers.
const (
	mentionAgain   = 10 * time.Minute
	mentionsAtOnce = 1000
)

// due reports whether a matter is to be mentioned: for the first time, or
// again after a while. With too many matters at once it is silent.
func (m *mentions) due(matter string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	if at, ok := m.last[matter]; ok && now.Sub(at) < mentionAgain {
		return false
	}
	if len(m.last) >= mentionsAtOnce {
		maps.DeleteFunc(m.last, func(_ string, at time.Time) bool { return now.Sub(at) >= mentionAgain })
		if len(m.last) >= mentionsAtOnce {
			return false
		}
	}
	if m.last == nil {
		m.last = map[string]time.Time{}
	}
	m.last[matter] = now
	return true
}
