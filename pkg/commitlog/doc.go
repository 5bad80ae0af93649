// Package commitlog is the log of one partition, in Kafka's files: segments
// of record batches with their indexes, the leader epochs, the producers'
// state, partition.metadata.
//
// Log is the main type; replica appends to it and reads from it, logmanager
// opens, flushes, trims and closes it. Records go from the caller's buffer to
// the file in one write and come back as regions of the file; they are looked
// into, never copied. The package owns no goroutine: what must happen later
// is given to Config.After.
//
// Lock order: Log.mu, then Log.flushMu, then the locks of epochCache and of a
// segment's files and indexes, then Log.marksMu and that of the recovery point.
// Readers take no lock of the log: they load the list of segments and the marks,
// and hold a segment's file open for as long as they use it.
//
// # What is synced, and what that protects
//
//   - Flush: records, then the names of new segments; of a segment that is
//     complete also its indexes. Below the recovery point nothing is looked
//     at after a crash, and the segment that it is in gets new indexes. Called
//     on rolling, by flush.messages and flush.ms, and on shutdown. Appends that
//     must be durable before they return share one sync (flushIfDue).
//   - Indexes, when the log is closed: after a clean shutdown nothing is
//     built anew.
//   - Producer snapshots: when written; a torn one is detected and an older
//     one used.
//   - leader-epoch-checkpoint, partition.metadata: before they are renamed
//     into place.
//
// # What open does about a crash
//
//   - X.deleted: removed.
//   - X.cleaned: removed. X.swap at or behind the first .cleaned: removed; any
//     other .log.swap takes the place of the segments it covers.
//   - An index without a log: removed. A log without offset index, or with a
//     torn transaction index: scanned and indexed anew.
//   - After an unclean shutdown every segment from the one of the recovery
//     point on is scanned: each batch whole and with a right CRC, offsets in
//     range. The log is cut at the first one that is not, later segments
//     are removed, indexes, epochs and producers built anew. Indexes that
//     were allocated ahead or lag behind do not matter for that reason.
//   - A log end below the log start: everything removed, empty at the start.
//   - Snapshots of producers that belong to no segment, the newest one apart:
//     removed. A broken one: removed, and the batches behind an older one read.
//   - Epochs at or behind the log end: dropped.
//
// # Damage
//
// What is read of a segment that was there when the log was opened is checked
// once, sums included, before it is served (verified.go); what was appended or
// recovered since was checked then. A damaged batch is CorruptMessage for
// replicas and consumers alike, one line of ERROR for each place; everything
// before and behind it is served, and the directory stays online. Bytes that
// rot in a segment after they were checked are found as far as they break the
// steps from batch to batch; the rest the client's own check has to find.
//
// # Formats
//
// A log is kept in format 0, 1 or 2 (Options.OldFormat) and may hold all of
// them. An append in the log's own format and codec is stamped in place; other
// formats, other codecs, and messages whose offsets do not count from 0 are
// written anew (convert.go). Appends of the old formats, which have no leader
// epoch, clear what is known of epochs; a log of an old format has no
// leader-epoch-checkpoint.
//
// Not here: compaction (logcleaner), conversion for old readers (api), the
// network, topics' configuration names.
package commitlog
