// Package broker builds a broker of its parts and is the only place where
// they meet: it creates them in order, hands each what it needs, and stops
// them in the reverse order.
//
// Broker is what `kafka-server-start` runs. Start goes through these steps,
// which are those of Kafka 2.8 and log its lines:
//
//	zookeeper   a session, the top-level paths, the cluster id
//	identity    meta.properties, the broker id, the dynamic configuration
//	logs        directories locked, logs loaded (logmanager)
//	sockets     ports bound; clients wait in the system's queue (network)
//	replicas    the replica manager and the metadata cache, both empty
//	registration /brokers/ids/N, which makes the broker visible
//	controller  takes part in the election
//	coordinators groups, producer ids
//	configuration changes from /config/changes are listened to
//	requests    are accepted
//
// A step that fails ends Start with an error, and everything before it is
// stopped again. Shutdown moves leaderships away, then stops the parts from the
// bottom of the list to the top; the clean mark is written by logmanager when
// every log was flushed and closed.
//
// Events that go upwards through callbacks plugged in here: leaderships won
// and lost (replica to group), partitions deleted (metadata to group), a
// directory that failed (logmanager to replica), a session lost and a new one
// (zkstore to registration and controller), a changed configuration (admin to
// everybody). The package owns two goroutines: one follows /feature, one looks
// once, a while after the start, whether there are brokers enough for the
// offsets topic. After a lost session the broker registers again on zkstore's
// goroutine. The parts own theirs.
//
// Locks: topicConfigs and sessionKeeper each have one for their memory; nothing
// is called while it is held. All else that changes while running sits behind
// atomic pointers.
package broker
