// Package replica decides which partitions this broker leads, appends to and
// reads from their logs, and says when what was appended is committed.
//
// Manager is the door: api brings produce, fetch and offset requests and the
// controller's LeaderAndIsr, StopReplica and UpdateMetadata; coordinators
// append through it as well. Partition is the state of one partition here:
// leader, leader epoch, replicas, ISR, what is known of the other replicas.
// The records themselves belong to commitlog, the directories to logmanager.
//
// Where requests wait: Append (acks=-1) for the high watermark and Fetch for
// min.bytes park in the two purgatories of the Manager, on the goroutine of
// their connection, and are woken per partition.
//
// As the leader, Partition proposes ISR changes: a follower's fetch shows that
// it has caught up, a timer over all partitions that it has not. The changes
// go to the controller (AlterIsr), or into ZooKeeper where the protocol
// version is below 2.7-IV2, one delivery at a time; until one is confirmed the
// larger ISR counts for the high watermark and the smaller for min.insync.
//
// As a follower, a fetcher brings the logs in line with the leader's and
// appends what it fetches; there are num.replica.fetchers for each leader.
//
// A log that moves to another log directory has a copy there, the future log.
// A mover fills it from the log, in steps; when little is left the partition
// stands still for a moment and the copy takes the log's place. What cuts the
// log in between is counted, so that the copy is cut as well.
//
// Goroutines: one for each fetcher, one for each mover while something moves, one that looks for members of an ISR that
// have fallen behind, one that delivers ISR changes, one that tells of them
// in ZooKeeper where that is done, one that checkpoints high watermarks, started by the first
// LeaderAndIsr, one that takes partitions of failed directories offline, and
// one that looks for stray logs once, a while after the first UpdateMetadata.
// All belong to the Manager and end in Close.
//
// Locks, in the order in which they are taken:
//
//	Manager.changes   orders the controller's requests; held while logs are made
//	fetchers.mu       the map of fetchers
//	fetcher.mu        the partitions of one; held while a fetched answer is appended
//	movers.mu         the map of movers
//	mover.mu          the moves of one; held during a step of a copy
//	Manager.mu        the map of partitions; held for nothing else
//	Partition.mu      leadership; read-held during an append or a read
//	Partition.progress  what replicas have fetched, and the high watermark's advance
//	the locks of commitlog.Log
//
// Throttles (KIP-73): a leader leaves the records of throttled partitions out
// of an answer to a follower that is not in sync, and a follower leaves such
// partitions out of its requests while they lag, as long as the quota is
// exceeded; nobody sleeps. Consumers that say where they are are sent to a
// replica in their rack (KIP-392), which serves them up to the high watermark
// that it knows.
//
// Not here: the files (commitlog), the directories (logmanager), the rates that
// throttles go by (quota).
package replica
