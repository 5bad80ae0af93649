// Package group coordinates consumer groups: who is in a group, who leads it,
// what each member is assigned, and which offsets are committed.
//
// A Group is a state machine without I/O. Its methods take an event (a
// request, the outcome of an append, a due timer) and the time, change the
// group and return what is to happen: answers to requests that wait, lines for
// the log, and a group record to append. A Coordinator is the shell around
// the groups of a broker: one method for each API, which finds the group's
// shard (see package coordinator), runs the event, appends, and waits.
//
// The states are those of Kafka:
//
//	Empty -> PreparingRebalance -> CompletingRebalance -> Stable
//	  ^            |      ^                |                |
//	  +------------+      +----------------+----------------+
//	any -> Dead
//
// JoinGroup waits in PreparingRebalance until every member has joined again
// or its time is over; SyncGroup waits in CompletingRebalance until the leader
// has sent the assignments and the group's record is in the log. Both wait on
// the goroutine of the connection: when that ends the member stays until its
// session ends.
//
// What is known of groups is in the topic __consumer_offsets (records.go has
// the formats); a partition is read when this broker becomes its leader, and
// committed offsets expire as in KIP-211.
//
// Callers: api (requests), broker (elections, deleted topics). Goroutines and
// locks are those of coordinator.Runtime, and one goroutine that looks for
// expired offsets. Not here: transactions (txn), authorization (api).
package group
