// Package logcleaner compacts logs whose cleanup.policy has "compact": of the
// records of a key the last one stays.
//
// Cleaner is the main type; logmanager builds, starts and stops it, tells it
// of deletions and of what must not be compacted meanwhile, and keeps its
// checkpoints. Its threads each take the dirtiest log that is due, note the
// last offset of every key of the dirty section in a map of bounded memory
// (OffsetMap), and then write what stays of all segments up to there into new
// ones, which commitlog puts in the place of the old. Offsets never change;
// batches keep their headers' offsets and producer fields. Retention of
// compacted logs is the threads' work too, so that nobody deletes a segment
// that is being rewritten.
//
// What stays of a batch:
//
//   - a record behind the map's end, and of each key the last one
//   - a tombstone, and a transaction's marker, while the segment was written
//     less than delete.retention.ms before the clean section's end was; a
//     marker in any case while a batch of its transaction is there
//   - the header alone of a batch that holds the last sequence, or the epoch,
//     of a producer that the log knows
//   - nothing of an aborted transaction's data, and no record without a key
//
// A log with an error in it is named once, left alone for an hour, and tried
// again; the others go on. An error of the disk takes the directory offline.
//
// The Cleaner owns the goroutines of its threads. Lock order: Cleaner.life,
// then Cleaner.mu, which is held for memory work only, apart from the
// selection, which may look into time indexes.
//
// Not here: how segments are replaced, and what a crash leaves (commitlog);
// the checkpoint files (logmanager).
package logcleaner
