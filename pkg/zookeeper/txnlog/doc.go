// Package txnlog keeps a ZooKeeper server's state on disk, in the files and
// formats of Apache ZooKeeper ("version-2"), so that either can be started on
// what the other left.
//
//	log.go       the transaction log: format, Writer, ReadLog
//	snapshot.go  snapshots of the tree: format, WriteSnapshot, ReadSnapshot
//	recover.go   Recover: newest good snapshot, then the log behind it
//	files.go     names, listing, Purge
//
// The server appends batches of records with a Writer, one Append and one
// Sync for many transactions, writes a snapshot every so often, and calls
// Recover before it serves. A Writer is used by one goroutine at a time. The
// package owns no goroutine and no lock.
//
// What we assume of the disk: what Sync returned for stays; a rename is
// atomic once its directory is synced; bytes that were not synced may be
// there or not. What a crash can leave, and what Recover does about it:
//
//   - Half a batch at the end of a log file: the records before the torn one
//     count, the rest was never answered for. The file is left as it is, for
//     the next record goes to a new file.
//   - No log file yet, or one with nothing but its header: files get their
//     name after their header is on disk. Files of Apache's that end inside
//     the header are taken for empty when they are the newest.
//   - Half a snapshot under a name with a leading dot: removed.
//   - A damaged snapshot: the next older one is taken, and more of the log.
//   - Damage in the middle of a log file: refused, with the place, because
//     transactions that were answered for would be lost.
package txnlog
