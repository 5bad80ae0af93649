package replica

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"gregor/pkg/config"
	"gregor/pkg/model"
)

// FetchingOptions say how to fetch from leaders; the comments name Kafka's
// keys.
type FetchingOptions struct {
	Fetchers          func() int    // num.replica.fetchers; one when nil
	MaxWait           time.Duration // replica.fetch.wait.max.ms
	MinBytes          int           // replica.fetch.min.bytes
	ResponseMaxBytes  int           // replica.fetch.response.max.bytes
	PartitionMaxBytes int           // replica.fetch.max.bytes
	Backoff           time.Duration // replica.fetch.backoff.ms
	SocketTimeout     time.Duration // replica.socket.timeout.ms
	ReceiveBuffer     int           // replica.socket.receive.buffer.bytes; 0 leaves it to the system
	ConnectTimeout    time.Duration // socket.connection.setup.timeout.ms; 0 is SocketTimeout
	ConnectTimeoutMax time.Duration // socket.connection.setup.timeout.max.ms
	// FrameMaxBytes bounds an answer before it is read: ResponseMaxBytes, or
	// one batch, which comes whole however large. 0 is client's default.
	FrameMaxBytes int
}

// connectTimeout is how long a connection may take to be made, after so many
// failures in a row: twice as long with each, give or take a fifth, so that
// brokers that lost one another together do not all try at once.
func (o *FetchingOptions) connectTimeout(failures int) time.Duration {
	if o.ConnectTimeout <= 0 {
		return o.SocketTimeout
	}
	limit := min(max(o.ConnectTimeoutMax, o.ConnectTimeout), time.Hour)
	d := min(o.ConnectTimeout, limit)
	for ; failures > 0 && d < limit; failures-- {
		d = min(2*d, limit)
	}
	return d/5*4 + rand.N(d/5*2+1)
}

// PeerVersions are the versions of requests to other brokers, and what else
// between replicas depends on inter.broker.protocol.version.
type PeerVersions struct {
	Fetch, OffsetForLeaderEpoch, ListOffsets int16
	TruncateOnFetch                          bool // a fetch tells the last epoch, its answer where logs part
	EpochLookup                              bool // OffsetForLeaderEpoch is known
	AlterISR                                 bool // the controller changes ISRs, not the leader itself
}

// PeerVersionsFor gives what a protocol version means to replicas.
func PeerVersionsFor(v config.Version) PeerVersions {
	pick := func(steps ...config.Version) int16 { // from old to new
		var n int16
		for _, since := range steps {
			if v >= since {
				n++
			}
		}
		return n
	}
	versions := PeerVersions{
		OffsetForLeaderEpoch: pick(config.IBP_2_0_IV0, config.IBP_2_1_IV1, config.IBP_2_3_IV1, config.IBP_2_8_IV0),
		ListOffsets:          pick(config.IBP_0_10_1_IV2, config.IBP_0_11_0_IV0, config.IBP_2_0_IV1, config.IBP_2_1_IV1, config.IBP_2_2_IV1, config.IBP_2_8_IV0),
		TruncateOnFetch:      v >= config.IBP_2_7_IV1,
		EpochLookup:          v >= config.IBP_0_11_0_IV2,
		AlterISR:             v >= config.IBP_2_7_IV2,
	}
	switch {
	case v >= config.IBP_2_7_IV1:
		versions.Fetch = 12
	case v >= config.IBP_2_3_IV1:
		versions.Fetch = 11
	case v >= config.IBP_2_1_IV2:
		versions.Fetch = 10
	case v >= config.IBP_2_0_IV1:
		versions.Fetch = 8
	case v >= config.IBP_1_1_IV0:
		versions.Fetch = 7
	case v >= config.IBP_0_11_0_IV1:
		versions.Fetch = 5
	default:
		versions.Fetch = pick(config.IBP_0_9_0, config.IBP_0_10_0_IV0, config.IBP_0_10_1_IV1, config.IBP_0_11_0_IV0)
	}
	return versions
}

// fetcherKey says which fetcher a partition belongs to: each source broker
// has num.replica.fetchers of them.
type fetcherKey struct {
	leader model.BrokerID
	id     int
}

// fetchers are the fetchers of this broker.
type fetchers struct {
	manager *Manager

	mu    sync.Mutex // guards byKey; fetcher.mu is below
	byKey map[fetcherKey]*fetcher
}

// following is a partition that begins to be fetched.
type following struct {
	partition *Partition
	leader    model.BrokerID
	epoch     model.LeaderEpoch
	offset    int64
}

func fetcherID(tp model.TopicPartition, count int) int {
	return int(model.JavaAbs(31*model.JavaStringHash(tp.Topic)+tp.Partition)) % max(count, 1)
}

// add starts to fetch partitions, unless the broker is about to stop.
func (f *fetchers) add(list []following) {
	if len(list) == 0 || f.manager.leaving.Load() {
		return
	}
	count := 1
	if configured := f.manager.options.Fetching.Fetchers; configured != nil {
		count = configured()
	}
	groups := map[fetcherKey][]following{}
	for _, n := range list {
		key := fetcherKey{n.leader, fetcherID(n.partition.TopicPartition, count)}
		groups[key] = append(groups[key], n)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for key, group := range groups {
		one := f.byKey[key]
		if one == nil {
			one = f.manager.newFetcher(key)
			f.byKey[key] = one
			one.start()
		}
		one.add(group)
		f.manager.fetchersLog.Infof("[ReplicaFetcherManager on broker %d] Added fetcher to broker %d for partitions Map(%s)",
			f.manager.options.BrokerID, key.leader, f.describe(key.leader, group))
	}
}

// describe prints partitions the way Kafka does.
func (f *fetchers) describe(leader model.BrokerID, group []following) string {
	at := ""
	if b, alive := f.manager.options.Metadata.Snapshot().Broker(leader); alive {
		if e, ok := b.Endpoint(f.manager.options.Listener); ok {
			at = fmt.Sprintf("%s:%d", e.Host, e.Port)
		}
	}
	parts := make([]string, len(group))
	for i, n := range group {
		parts[i] = fmt.Sprintf("%s -> InitialFetchState(BrokerEndPoint(id=%d, host=%s),%d,%d)", n.partition.TopicPartition, leader, at, n.epoch, n.offset)
	}
	return strings.Join(parts, ", ")
}

// remove stops fetching partitions: when it returns nothing more is appended
// to them.
func (f *fetchers) remove(tps []model.TopicPartition) {
	if len(tps) == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, one := range f.byKey {
		one.remove(tps)
	}
	names := make([]string, len(tps))
	for i, tp := range tps {
		names[i] = tp.String()
	}
	f.manager.fetchersLog.Infof("[ReplicaFetcherManager on broker %d] Removed fetcher for partitions Set(%s)", f.manager.options.BrokerID, joined(names))
}

// endIdle ends the fetchers that are left without partitions.
func (f *fetchers) endIdle() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for key, one := range f.byKey {
		if one.idle() {
			one.cancel()
			delete(f.byKey, key)
		}
	}
}

// list gives the fetchers' keys, in order, for those who look.
func (f *fetchers) list() []fetcherKey {
	f.mu.Lock()
	defer f.mu.Unlock()
	keys := make([]fetcherKey, 0, len(f.byKey))
	for key := range f.byKey {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b fetcherKey) int {
		if a.leader != b.leader {
			return int(a.leader - b.leader)
		}
		return a.id - b.id
	})
	return keys
}
