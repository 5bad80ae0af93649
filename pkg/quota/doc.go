// Package quota says when something is going on faster than it may.
//
// Rate is a rate over the last few windows of time, as Kafka's quotas measure
// it: what was recorded in each window, over the time since the oldest one
// began. Replication is a quota on the bytes that replicas copy, of which one
// broker has three: what it sends to followers, what it fetches as one, and
// what moves between its log directories. It knows its limit, which partitions
// it applies to, and the rate so far; whoever copies asks before and records
// afterwards, and is never made to wait here.
//
// Callers: replica asks and records, broker sets limits and partitions as the
// configuration changes. The package owns no goroutine. Rate.mu is its only
// lock, a leaf; the partitions are an immutable map behind an atomic pointer.
//
// Not here: quotas of clients, and how those who are over theirs are slowed
// down.
package quota
