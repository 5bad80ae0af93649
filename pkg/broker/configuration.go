package broker

import (
	"context"

	"gregor/pkg/admin"
	"gregor/pkg/api"
	"gregor/pkg/config"
	"gregor/pkg/zkstore"
)

// current is the configuration in force: the file's until the id is settled,
// with what ZooKeeper holds above it from then on.
func (b *Broker) current() *config.Broker {
	if b.dynamic == nil {
		return b.static
	}
	return b.dynamic.Current()
}

// followConfiguration applies what /config holds and goes on to follow it.
// Users, clients and ips have settings too; their quotas are not enforced.
func (b *Broker) followConfiguration(ctx context.Context) error {
	b.dynamic.OnChange(b.brokerChanged)
	stored := func(string, map[string]string) {}
	b.changes = admin.NewConfigChanges(b.store, map[string]admin.ConfigApplier{
		zkstore.EntityTopics:  b.applyTopic,
		zkstore.EntityBrokers: b.dynamic.Apply,
		zkstore.EntityUsers:   stored,
		zkstore.EntityClients: stored,
		zkstore.EntityIPs:     stored,
	}, b.loggers)
	if err := b.changes.Start(ctx); err != nil {
		return err
	}
	b.onStop(func(context.Context) { b.changes.Shutdown() })
	return nil
}

// brokerChanged puts a changed broker configuration in force: the defaults of
// topics, the limits of the network, and what the controller goes by.
func (b *Broker) brokerChanged(was, is *config.Broker) {
	b.reconfigureLogs(is)
	b.cleanerChanged(was, is)
	for _, topic := range b.hostedTopics() {
		parsed := b.topicConfig(topic, b.topicConfigs.known(topic))
		b.logs.UpdateTopicOptions(topic, b.logOptions(parsed))
		b.replicas.UpdateTopicSettings(topic, settingsOf(parsed))
	}
	b.limitReplication(is)
	b.network.SetLimits(is.Int("max.connections"), is.Int("max.connections.per.ip"), is.MaxConnectionsPerIPOverrides())
	const unclean = "unclean.leader.election.enable"
	if is.Bool(unclean) && !was.Bool(unclean) {
		b.controller.UncleanElectionEnabled("")
	}
}

func (b *Broker) registerConfigHandlers() {
	exists := func(topic string) bool {
		_, ok := b.metadata.Snapshot().Topic(topic)
		return ok
	}
	(&api.Configs{Admin: admin.NewConfigs(b.dynamic, b.admin, exists, b.loggers)}).Register(b.router)
}
