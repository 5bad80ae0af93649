package quota

import (
	"fmt"
	"maps"
	"math"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gregor/pkg/model"
)

// Unlimited is the limit of a quota that has none.
const Unlimited int64 = math.MaxInt64

// Partitions are the partitions of a topic that a quota applies to.
type Partitions struct {
	all  bool
	some map[int32]struct{}
}

// AllPartitions are all partitions of a topic.
var AllPartitions = Partitions{all: true}

// ParsePartitions reads a list of throttled replicas, such as 0:101,1:102, and
// keeps what concerns one broker. The single entry * means all partitions.
func ParsePartitions(list []string, broker model.BrokerID) (Partitions, error) {
	p := Partitions{some: map[int32]struct{}{}}
	for _, entry := range list {
		entry = strings.TrimSpace(entry)
		if entry == "*" {
			return AllPartitions, nil
		}
		if entry == "" {
			continue
		}
		partition, replica, ok := strings.Cut(entry, ":")
		index, err := strconv.ParseInt(partition, 10, 32)
		id, idErr := strconv.ParseInt(replica, 10, 32)
		if !ok || err != nil || idErr != nil {
			return Partitions{}, fmt.Errorf("throttled replica %q is not partition:broker", entry)
		}
		if model.BrokerID(id) == broker {
			p.some[int32(index)] = struct{}{}
		}
	}
	return p, nil
}

func (p Partitions) empty() bool { return !p.all && len(p.some) == 0 }

func (p Partitions) contain(index int32) bool {
	_, listed := p.some[index]
	return p.all || listed
}

// Replication is a quota on copied bytes a second. Safe for concurrent use.
type Replication struct {
	limit atomic.Int64
	rate  *Rate

	changes sync.Mutex                            // orders Throttle
	topics  atomic.Pointer[map[string]Partitions] // nil when there are none
}

// NewReplication returns a quota without limit that applies to nothing.
func NewReplication(w Windows) *Replication {
	q := &Replication{rate: NewRate(w)}
	q.limit.Store(Unlimited)
	return q
}

// SetLimit changes how many bytes may be copied in a second. What was copied
// before still counts.
func (q *Replication) SetLimit(bytesPerSecond int64) { q.limit.Store(bytesPerSecond) }

// Limit is how many bytes may be copied in a second.
func (q *Replication) Limit() int64 { return q.limit.Load() }

// Throttle makes the quota apply to these partitions of a topic, and to no
// others of it.
func (q *Replication) Throttle(topic string, p Partitions) {
	q.changes.Lock()
	defer q.changes.Unlock()
	now := q.topics.Load()
	switch {
	case now == nil && p.empty():
	case now == nil:
		q.topics.Store(&map[string]Partitions{topic: p})
	default:
		next := maps.Clone(*now)
		if next[topic] = p; p.empty() {
			delete(next, topic)
		}
		if len(next) == 0 {
			q.topics.Store(nil)
			return
		}
		q.topics.Store(&next)
	}
}

// Throttles reports whether the quota applies to a partition.
//
// Hot path: asked for every partition of every replica fetch.
func (q *Replication) Throttles(tp model.TopicPartition) bool {
	topics := q.topics.Load()
	return topics != nil && (*topics)[tp.Topic].contain(tp.Partition)
}

// Record tells the quota what was copied of a partition that it applies to.
func (q *Replication) Record(bytes int, now time.Time) { q.rate.Record(float64(bytes), now) }

// Exceeded reports whether more was copied than the limit allows.
func (q *Replication) Exceeded(now time.Time) bool {
	limit := q.limit.Load()
	return limit != Unlimited && q.rate.PerSecond(now) > float64(limit)
}

// Holds reports whether a partition must wait: the quota applies to it and is
// exceeded.
func (q *Replication) Holds(tp model.TopicPartition, now time.Time) bool {
	return q.Throttles(tp) && q.Exceeded(now)
}
