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
// .kafka_cleanshutdown, and the text files of checkpoint.go.
//
// A partition that moves to another directory has a second log there, its
// future log; see futures.go.
//
// Not here: compaction (logcleaner), of which only life, pauses and checkpoints
// are here; filling future logs (replica).
package logmanager
