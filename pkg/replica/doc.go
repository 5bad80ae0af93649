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
// Goroutines: one that checkpoints high watermarks, started by the first
// LeaderAndIsr, one that takes partitions of failed directories offline, and
// one that looks for stray logs once, a while after the first UpdateMetadata.
// All belong to the Manager and end in Close.
//
// Locks, in the order in which they are taken:
//
//	Manager.changes   orders the controller's requests; held while logs are made
//	Manager.mu        the map of partitions; held for nothing else
//	Partition.mu      leadership; read-held during an append or a read
//	Partition.progress  what replicas have fetched, and the high watermark's advance
//	the locks of commitlog.Log
//
// Not here: fetching from other leaders and changing the ISR. A partition with
// more than one replica is led with the ISR as announced, its high watermark
// waiting for followers that fetch; as a follower this broker keeps the log
// as it is and says so once.
package replica
