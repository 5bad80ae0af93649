package broker

import (
	"context"
	"fmt"
)

// Kafka names some of its threads in the log when they start and end. Where
// the part behind a name exists here, if not as a thread, its lines are
// written too: people look for them.
const (
	reaperClass      = "kafka.server.DelayedOperationPurgatory$ExpiredOperationReaper"
	dirFailureClass  = "kafka.server.ReplicaManager$LogDirFailureHandler"
	produceReaper    = "ExpirationReaper-%d-Produce"
	fetchReaper      = "ExpirationReaper-%d-Fetch"
	deleteReaper     = "ExpirationReaper-%d-DeleteRecords"
	topicReaper      = "ExpirationReaper-%d-topic"
	heartbeatReaper  = "ExpirationReaper-%d-Heartbeat"
	rebalanceReaper  = "ExpirationReaper-%d-Rebalance"
	dirFailureThread = "LogDirFailureHandler"
)

// announce logs the start of what Kafka calls a thread, and its end when the
// broker stops.
func (b *Broker) announce(class, name string) {
	log := b.loggers.Logger(class)
	log.Infof("[%s]: Starting", name)
	b.onStop(func(context.Context) {
		log.Infof("[%s]: Shutting down", name)
		log.Infof("[%s]: Stopped", name)
		log.Infof("[%s]: Shutdown completed", name)
	})
}

func (b *Broker) announceReaper(format string) {
	b.announce(reaperClass, fmt.Sprintf(format, b.id))
}
