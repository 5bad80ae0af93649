package broker

import (
	"context"
	"slices"
	"sync"
	"time"

	"gregor/pkg/commitlog"
	"gregor/pkg/config"
	"gregor/pkg/replica"
	"gregor/pkg/zkstore"
)

// freshFor is how long the overrides of a topic are taken from memory while
// its partitions are made: one read of ZooKeeper serves them all.
const freshFor = time.Second

// topicConfigs knows the overrides of topics. Changes come through set; what
// is not known is read from ZooKeeper.
type topicConfigs struct {
	store *zkstore.Store

	mu      sync.Mutex
	byTopic map[string]knownOverrides
}

type knownOverrides struct {
	settings map[string]string
	since    time.Time
}

func newTopicConfigs(store *zkstore.Store) *topicConfigs {
	return &topicConfigs{store: store, byTopic: map[string]knownOverrides{}}
}

// loadAll reads the overrides of every topic at once, for the start.
func (t *topicConfigs) loadAll(ctx context.Context) error {
	names, err := t.store.EntityNames(ctx, zkstore.EntityTopics)
	if err != nil {
		return err
	}
	all, err := t.store.EntityConfigs(ctx, zkstore.EntityTopics, names)
	for name, settings := range all {
		t.set(name, settings)
	}
	return err
}

func (t *topicConfigs) set(topic string, settings map[string]string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.byTopic[topic] = knownOverrides{settings, time.Now()}
}

// forget drops what is known of a topic that is gone: one of the same name may
// come with other settings.
func (t *topicConfigs) forget(topic string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.byTopic, topic)
}

// known is what was last heard of a topic, without asking ZooKeeper.
func (t *topicConfigs) known(topic string) map[string]string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byTopic[topic].settings
}

// fresh is what ZooKeeper says, or said a moment ago. While ZooKeeper is away
// the last that was heard is better than nothing.
func (t *topicConfigs) fresh(ctx context.Context, topic string) map[string]string {
	t.mu.Lock()
	known, ok := t.byTopic[topic]
	t.mu.Unlock()
	if ok && time.Since(known.since) < freshFor {
		return known.settings
	}
	settings, err := t.store.EntityConfig(ctx, zkstore.EntityTopics, topic)
	if err != nil {
		return known.settings
	}
	t.set(topic, settings)
	return settings
}

// topicConfig is a topic's configuration over the broker's defaults. Overrides
// that somebody wrote by hand and that make no sense are left out, and told.
func (b *Broker) topicConfig(topic string, overrides map[string]string) *config.Topic {
	parsed, err := config.ParseTopic(b.current(), overrides)
	if err == nil {
		return parsed
	}
	b.log.WithError(err).Errorf("%sthe configuration of topic %s is not usable; the broker's defaults hold", b.prefix(), topic)
	parsed, err = config.ParseTopic(b.current(), nil)
	if err != nil {
		panic("the broker's own defaults are refused: " + err.Error())
	}
	return parsed
}

// logOptions are the settings of a topic that its logs need.
func (b *Broker) logOptions(t *config.Topic) commitlog.Options {
	policy := t.List("cleanup.policy")
	return commitlog.Options{
		SegmentBytes:             t.Int("segment.bytes"),
		SegmentMs:                t.Long("segment.ms"),
		SegmentJitterMs:          t.Long("segment.jitter.ms"),
		SegmentIndexBytes:        t.Int("segment.index.bytes"),
		IndexIntervalBytes:       t.Int("index.interval.bytes"),
		MaxMessageBytes:          t.Int("max.message.bytes"),
		Delete:                   slices.Contains(policy, "delete"),
		RetentionMs:              t.Long("retention.ms"),
		RetentionBytes:           t.Long("retention.bytes"),
		Compact:                  slices.Contains(policy, "compact"),
		MinCompactionLagMs:       t.Long("min.compaction.lag.ms"),
		MaxCompactionLagMs:       t.Long("max.compaction.lag.ms"),
		MinCleanableDirtyRatio:   t.Double("min.cleanable.dirty.ratio"),
		DeleteRetentionMs:        t.Long("delete.retention.ms"),
		FlushMessages:            t.Long("flush.messages"),
		FlushMs:                  t.Long("flush.ms"),
		FileDeleteDelayMs:        t.Long("file.delete.delay.ms"),
		Preallocate:              t.Bool("preallocate"),
		LogAppendTime:            t.String("message.timestamp.type") == "LogAppendTime",
		TimestampDifferenceMaxMs: t.Long("message.timestamp.difference.max.ms"),
		CompressionType:          t.String("compression.type"),
		OldFormat:                commitlog.OldFormatOf(t.RecordMagic()),
		RefuseZstd:               b.current().InterBrokerProtocol() < config.IBP_2_1_IV0,
		ProducerIDExpirationMs:   int64(b.current().Int("transactional.id.expiration.ms")),
	}
}

// logOptionsOf is what logmanager asks when a log is loaded or made.
func (b *Broker) logOptionsOf(topic string) commitlog.Options {
	return b.logOptions(b.topicConfig(topic, b.topicConfigs.fresh(b.group.Context(), topic)))
}

// topicSettings is what the replica manager asks when a partition appears.
func (b *Broker) topicSettings(topic string) replica.TopicSettings {
	parsed := b.topicConfig(topic, b.topicConfigs.fresh(b.group.Context(), topic))
	b.throttleTopic(topic, parsed)
	return settingsOf(parsed)
}

func settingsOf(t *config.Topic) replica.TopicSettings {
	return replica.TopicSettings{MinInSyncReplicas: t.Int("min.insync.replicas"), CompressionType: t.String("compression.type"),
		RefuseOldReaders: !t.Bool("message.downconversion.enable")}
}

// applyTopic puts the configuration of a topic in force.
func (b *Broker) applyTopic(topic string, overrides map[string]string) {
	b.topicConfigs.set(topic, overrides)
	if format, given := overrides["message.format.version"]; given {
		b.tellIgnoredFormat(topic, format)
	}
	parsed := b.topicConfig(topic, overrides)
	b.logs.UpdateTopicOptions(topic, b.logOptions(parsed))
	b.replicas.UpdateTopicSettings(topic, settingsOf(parsed))
	b.throttleTopic(topic, parsed)
	if _, given := overrides["unclean.leader.election.enable"]; given && parsed.Bool("unclean.leader.election.enable") {
		b.controller.UncleanElectionEnabled(topic)
	}
}

// tellIgnoredFormat warns of a message format that the other brokers may not
// know, which is why it is not used (config.Topic.RecordMagic).
func (b *Broker) tellIgnoredFormat(topic, format string) {
	version, err := config.ParseVersion(format)
	if protocol := b.current().InterBrokerProtocol(); err == nil && protocol < version {
		b.log.Warnf("%sLog configuration message.format.version is ignored for `%s` because `%s` is not compatible with Kafka inter-broker protocol version `%s`",
			b.prefix(), topic, format, b.current().String("inter.broker.protocol.version"))
	}
}
