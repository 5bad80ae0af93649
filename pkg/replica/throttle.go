package replica

import (
	"time"

	"gregor/pkg/model"
	"gregor/pkg/quota"
)

// Quotas bound what replicas copy in a second (KIP-73, KIP-113). They apply to
// the partitions that the topics' lists of throttled replicas name.
type Quotas struct {
	Leader   *quota.Replication // what is sent to followers that are not in sync
	Follower *quota.Replication // what is fetched of partitions that lag behind
	LogDirs  *quota.Replication // what moves between log directories, of all partitions
}

// complete replaces quotas that are missing by such without limit.
func (q *Quotas) complete() {
	for _, one := range []**quota.Replication{&q.Leader, &q.Follower, &q.LogDirs} {
		if *one == nil {
			*one = quota.NewReplication(quota.Windows{Samples: 1, Size: time.Second})
		}
	}
}

// holdsBackLocked reports whether the leader's quota keeps a follower's records from
// being sent. Members of the ISR always get theirs, so that a throttle never
// makes it smaller.
func (m *Manager) holdsBackLocked(p *Partition, follower model.BrokerID) bool {
	throttle := m.options.Quotas.Leader
	return follower >= 0 && throttle.Throttles(p.TopicPartition) && !p.inISRLocked(follower) && throttle.Exceeded(time.Now())
}

// recordSent tells the leader's quota what a follower is about to be sent.
func (m *Manager) recordSent(fetches []Fetch) {
	bytes, throttle := 0, m.options.Quotas.Leader
	for i := range fetches {
		if n := fetches[i].Result.Records.Length; n > 0 && throttle.Throttles(fetches[i].TopicPartition) {
			bytes += int(n)
		}
	}
	if bytes > 0 {
		throttle.Record(bytes, time.Now())
	}
}
