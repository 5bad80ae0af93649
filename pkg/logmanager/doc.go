// Package logmanager keeps all logs of a broker: the log directories with
// their locks and checkpoint files, loading and closing, retention, flushing,
// deletion, and directories that fail.
//
// Manager is the main type. The broker builds, loads, starts and shuts it
// down; replica gets and creates logs through it. It owns the goroutines of
// its group: the scheduler (work for later), the handler of failed
// directories, and after Start one for each periodic task.
//
// Lock order: Manager.creating, which is held while a log is made, then
// Manager.checkpointMu, which is held while checkpoint files are written, then
// Manager.mu, which is held for memory work only.
//
// Files of a log directory, besides the partitions: .lock, meta.properties,
// .kafka_cleanshutdown (cleanshutdown.go), and the text files of
// checkpoints.go, which are written when they would say something else.
//
// # Directories that fail
//
// An error of input or output takes the directory offline: while it is loaded,
// and at any call of a log or of a task later (failure.go). Its logs refuse
// everything, its lock is given back, Options.OnDirFailure is told once, and it
// gets no clean mark. What is not an error of the disk but of what is written
// there ends the start, with Kafka's exception: a name that is none of Kafka's,
// a partition in two directories (FatalError), a partition with a file that
// nobody can make sense of (commitlog.Refusal). Damaged records concern
// only who asks for them.
//
// A full disk can be read: a start needs no new block, and what only saves work
// for the next start is left out. The first append takes the directory offline.
//
// A partition that moves to another directory has a second log there, its
// future log; see futures.go.
//
// Not here: compaction (logcleaner), of which only life, pauses and checkpoints
// are here; filling future logs (replica).
package logmanager
