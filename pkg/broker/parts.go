package broker

import (
	"context"
	"time"

	"gregor/pkg/admin"
	"gregor/pkg/api"
	"gregor/pkg/config"
	"gregor/pkg/controller"
	"gregor/pkg/metadata"
	"gregor/pkg/model"
	"gregor/pkg/replica"
)

// startReplicas makes the metadata cache and the replica manager, both empty
// until the controller speaks.
func (b *Broker) startReplicas(context.Context) error {
	c := b.current()
	b.metadata = metadata.New(b.id, b.clusterID, b.loggers)
	b.quotas = newReplicationQuotas(c)
	b.limitReplication(c)
	b.replicas = replica.New(replica.Options{
		BrokerID:           b.id,
		Logs:               b.logs,
		Metadata:           b.metadata,
		BrokerEpoch:        func() model.BrokerEpoch { return model.BrokerEpoch(b.epoch.Load()) },
		Settings:           b.topicSettings,
		TopicIDs:           c.InterBrokerProtocol() >= config.IBP_2_8_IV0,
		CheckpointInterval: time.Duration(c.Long("replica.high.watermark.checkpoint.interval.ms")) * time.Millisecond,
		LagTimeMax:         time.Duration(c.Long("replica.lag.time.max.ms")) * time.Millisecond,
		OnLeadership:       b.onLeadership,
		OnDeleted:          b.onDeleted,
		Loggers:            b.loggers,
		Listener:           c.InterBrokerListener(),
		ControllerListener: c.ControlPlaneListener(),
		Versions:           replica.PeerVersionsFor(c.InterBrokerProtocol()),
		Quotas:             b.quotas,
		NearestReplica:     c.String("replica.selector.class") == config.RackAwareSelector,
		Movers:             b.logDirMovers(),
		States:             b.store,
		Fetching: replica.FetchingOptions{
			Fetchers:          func() int { return b.current().Int("num.replica.fetchers") },
			MaxWait:           milliseconds(c.Int("replica.fetch.wait.max.ms")),
			MinBytes:          c.Int("replica.fetch.min.bytes"),
			ResponseMaxBytes:  c.Int("replica.fetch.response.max.bytes"),
			PartitionMaxBytes: c.Int("replica.fetch.max.bytes"),
			Backoff:           milliseconds(c.Int("replica.fetch.backoff.ms")),
			SocketTimeout:     milliseconds(c.Int("replica.socket.timeout.ms")),
			ReceiveBuffer:     replicaReceiveBuffer(c),
			ConnectTimeout:    time.Duration(c.Long("socket.connection.setup.timeout.ms")) * time.Millisecond,
			ConnectTimeoutMax: time.Duration(c.Long("socket.connection.setup.timeout.max.ms")) * time.Millisecond,
			FrameMaxBytes:     max(c.Int("socket.request.max.bytes"), c.Int("message.max.bytes")) + c.Int("replica.fetch.response.max.bytes"),
		},
	})
	b.replicas.Start()
	b.onStop(func(context.Context) {
		if err := b.replicas.Close(); err != nil {
			b.log.WithError(err).Warnf("%sthe replica manager ended with an error", b.prefix())
		}
	})
	b.announceReaper(produceReaper)
	b.announceReaper(fetchReaper)
	b.announceReaper(deleteReaper)
	b.announce(dirFailureClass, dirFailureThread)
	return nil
}

// replicaReceiveBuffer is replica.socket.receive.buffer.bytes where somebody
// has set it. Kafka's default is less than a system finds by itself, and holds
// followers up that are far away.
func replicaReceiveBuffer(c *config.Broker) int {
	if _, given := c.Original("replica.socket.receive.buffer.bytes"); !given {
		return 0
	}
	return c.Int("replica.socket.receive.buffer.bytes")
}

// startController takes part in the election.
func (b *Broker) startController(context.Context) error {
	c := b.current()
	b.controller = controller.New(b.store, controller.Options{
		ID:                     b.id,
		InterBrokerListener:    c.InterBrokerListener(),
		ControlPlaneListener:   c.ControlPlaneListener(),
		Versions:               controller.VersionsFor(c.InterBrokerProtocol()),
		DeleteTopicEnable:      c.Bool("delete.topic.enable"),
		AutoLeaderRebalance:    c.Bool("auto.leader.rebalance.enable"),
		ImbalanceCheckInterval: time.Duration(c.Long("leader.imbalance.check.interval.seconds")) * time.Second,
		ImbalancePercentage:    c.Int("leader.imbalance.per.broker.percentage"),
		UncleanLeaderElection:  func() bool { return b.current().Bool("unclean.leader.election.enable") },
		SocketTimeout:          milliseconds(c.Int("controller.socket.timeout.ms")),
		Loggers:                b.loggers,
	})
	b.controller.Start()
	b.onStop(func(context.Context) { b.controller.Shutdown() })
	b.admin = admin.NewZK(b.store, b.loggers)
	b.topics = admin.NewTopics(admin.TopicsOptions{
		ID:         b.id,
		ZK:         b.admin,
		Controller: b.controller,
		Metadata:   b.metadata,
		Config:     b.current,
		Loggers:    b.loggers,
	})
	b.announceReaper(topicReaper)
	return nil
}

// registerHandlers enters every API into the router.
func (b *Broker) registerHandlers() {
	c := b.current()
	apis := b.loggers.Logger("kafka.server.KafkaApis")
	(&api.Handshake{Serves: b.router.Serves, FeaturesEpoch: b.features.epoch.Load}).Register(b.router)
	api.NewData(api.DataOptions{
		Replicas:          b.replicas,
		Metadata:          b.metadata,
		FetchMaxBytes:     c.Int("fetch.max.bytes"),
		FetchSessionSlots: c.Int("max.incremental.fetch.session.cache.slots"),
		Loggers:           b.loggers,
	}).Register(b.router)
	api.NewCluster(api.ClusterOptions{
		Metadata:         b.metadata,
		Replicas:         b.replicas,
		Topics:           b.topics,
		AutoCreateTopics: func() bool { return b.current().Bool("auto.create.topics.enable") },
		Loggers:          b.loggers,
	}).Register(b.router)
	(&api.ControlPlane{Replicas: b.replicas}).Register(b.router)
	(&api.Topics{Admin: b.topics, Controller: b.controller}).Register(b.router)
	(&api.Groups{
		Coordinator:   b.groups,
		Cluster:       clusterView{b.metadata},
		Topics:        b.topics,
		Consumers:     b.store,
		StaticMembers: c.InterBrokerProtocol() >= config.IBP_2_3_IV0,
		Log:           apis,
	}).Register(b.router)
	(&api.Producers{IDs: b.producerIDs, Log: apis}).Register(b.router)
	b.registerConfigHandlers()
}
