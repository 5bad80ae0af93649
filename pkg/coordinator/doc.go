// Package coordinator is what the coordinators of groups and of transactions
// share: which partitions of their topic they own, the loading of what those
// partitions hold, appending before applying, and timers.
//
// A Runtime has one shard for each owned partition of the topic. A shard is a
// state of the user's type S under a lock: With hands it to one event at a
// time. What an event decides is appended through Log while the lock is held,
// so that the log has the records in the order of the decisions; the wait for
// the in-sync replicas happens outside the lock, and its outcome is the next
// event. Nothing else may block under the lock.
//
// Ownership follows the leadership of the partitions: Elect and Resign carry
// the leader epoch, and what is older than the last one seen is ignored. A
// partition is loading until its log has been read to the end, and owned from
// then on, also when reading failed half way (as in Kafka).
//
// Callers: group (and txn). Goroutines, all in one lifecycle.Group: the
// loader, which reads one partition after the other; the timers; and one for
// each append that waits for replicas (see Runtime.Go).
//
// Locks, in this order: shard, Runtime.mu, timers.mu. Nobody holds Runtime.mu
// when locking a shard.
//
// Not here: what the records mean, and the logs themselves (replica).
package coordinator
