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
// and hold a segment's file open for as long as they use it. One that meets a
// segment that compaction has replaced loads the list again.
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
//   - Producer snapshots: when written, but for those of recovery; a torn one
//     is detected and an older one used.
//   - leader-epoch-checkpoint, partition.metadata: before they are renamed
//     into place.
//
// # What open does about a crash
//
// TestCrashAtEveryCall crashes before each call to the file system in the life
// of a log, by killing the process and by cutting the power, and opens what is
// left. What it may find, and what becomes of it:
//
//   - An append: part of a batch, whole batches nobody was told of, after a
//     power cut also pages of zeros or of nothing between written ones. Every
//     segment from the one of the recovery point on is scanned: each batch
//     whole and with a right CRC, offsets in range. The log is cut at the first
//     one that is not; later segments are removed.
//   - Indexes: allocated ahead, without their last entries, or with entries of
//     records that are gone. Those of scanned segments are built anew; a log
//     without offset index, or with a torn transaction index, is scanned too.
//     An index without a log is removed. Zeros behind the last entry, of a
//     power cut behind a clean shutdown, are left out.
//   - A roll: the old segment is complete and not flushed, the new one is there
//     or not; its snapshot of producers is there, torn or not there. The
//     recovery point is not behind the old segment yet. When the name of the
//     new segment outlives unflushed records of the old one, the offsets
//     between are a gap that readers step over, as in a compacted log.
//   - leader-epoch-checkpoint: the old file or the new one. Behind the recovery
//     point the batches are right: epochs that the file lacks, or has from a
//     longer log that was cut, are set where the first batch of each is.
//     A flush makes the file durable before the recovery point passes it.
//   - Snapshots of producers that belong to no segment, the newest one apart:
//     removed. A broken one: removed, and the batches behind an older one read.
//   - Truncation: some of the segments behind the new end are gone. What was
//     cut is synced before anything is appended in its place.
//   - Retention and deletion of records: X.deleted is removed; a segment whose
//     new name was lost comes back below the log start, and goes at the next
//     look.
//   - Compaction: X.cleaned is removed. X.swap at or behind the first .cleaned
//     is removed; any other .log.swap takes the place of the segments it covers.
//     A split of a segment whose offsets do not fit it goes the same steps
//     (split.go).
//   - partition.metadata: the old file, the new one or none.
//   - A log end below the log start: everything removed, empty at the start.
//   - Epochs at or behind the log end: dropped.
//
// A log directory without its mark of a clean shutdown is scanned in this way.
// One with the mark is taken as it is; bytes behind the last record refuse the
// start then (Refusal), as do files that only somebody's hand can have spoilt.
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
