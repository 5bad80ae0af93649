package broker

import (
	"time"

	"gregor/pkg/config"
	"gregor/pkg/quota"
	"gregor/pkg/replica"
)

// newReplicationQuotas makes the quotas of replication, still without limits.
func newReplicationQuotas(c *config.Broker) replica.Quotas {
	copying := quota.Windows{Samples: c.Int("replication.quota.window.num"),
		Size: time.Duration(c.Int("replication.quota.window.size.seconds")) * time.Second}
	moving := quota.Windows{Samples: c.Int("alter.log.dirs.replication.quota.window.num"),
		Size: time.Duration(c.Int("alter.log.dirs.replication.quota.window.size.seconds")) * time.Second}
	return replica.Quotas{Leader: quota.NewReplication(copying), Follower: quota.NewReplication(copying), LogDirs: quota.NewReplication(moving)}
}

// limitReplication puts the limits of a broker configuration in force.
func (b *Broker) limitReplication(c *config.Broker) {
	b.quotas.Leader.SetLimit(c.DynamicLong("leader.replication.throttled.rate"))
	b.quotas.Follower.SetLimit(c.DynamicLong("follower.replication.throttled.rate"))
	b.quotas.LogDirs.SetLimit(c.DynamicLong("replica.alter.log.dirs.io.max.bytes.per.second"))
}

// throttleTopic puts a topic's lists of throttled replicas in force.
func (b *Broker) throttleTopic(topic string, parsed *config.Topic) {
	b.throttleBy(b.quotas.Leader, topic, parsed.List("leader.replication.throttled.replicas"))
	b.throttleBy(b.quotas.Follower, topic, parsed.List("follower.replication.throttled.replicas"))
}

// unthrottleTopic forgets a topic that is gone.
func (b *Broker) unthrottleTopic(topic string) {
	b.quotas.Leader.Throttle(topic, quota.Partitions{})
	b.quotas.Follower.Throttle(topic, quota.Partitions{})
}

func (b *Broker) throttleBy(q *quota.Replication, topic string, list []string) {
	partitions, err := quota.ParsePartitions(list, b.id)
	if err != nil {
		b.log.WithError(err).Errorf("%sthe throttled replicas of topic %s cannot be read; none of them is throttled", b.prefix(), topic)
	}
	q.Throttle(topic, partitions)
}
