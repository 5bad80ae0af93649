// Package server is a stand-alone ZooKeeper server: Apache ZooKeeper's wire
// protocol over the packages beside it, with its files in Apache's format.
//
//	config.go      Config and its defaults
//	server.go      Server: Start, Addr, Close; directories, listener
//	conn.go        a connection: reading frames, the outbox, ending
//	connect.go     the first frame: sessions opened and resumed
//	foreign.go     naming what is not ZooKeeper on the port
//	dispatch.go    operations to handlers; replies and notifications
//	read.go        operations that change nothing
//	write.go       operations that become transactions; multi
//	commit.go      the log: batches, group commit, snapshots
//	sessions.go    expiry
//	fourletter.go  the four-letter words
//
// # How a request goes
//
// The connection's reader takes one frame, takes Server.mu and carries the
// request out at once: it is checked against the tree, applied, encoded for
// the log, watchers are told, the reply is made. But nothing of that leaves
// the server before the transaction is on disk: while transactions are
// unsynced every reply and notification, of whatever connection, is held in
// order in the present batch. The committer takes the batch, writes and syncs
// it with one fdatasync, and releases what it held; meanwhile the next batch
// fills. Reads see unsynced transactions, but their replies wait for them.
// So no client ever learns of something that a crash can take back, and each
// connection sees events and replies in the order of the transactions.
//
// When the log cannot be written the server stops: what is in memory may be
// ahead of the disk then, and nobody was told of it.
//
// # Goroutines and locks
//
// Two for each connection (reader, writer), the acceptor, the committer, the
// expirer, the purger when configured, and one for a snapshot being written;
// all belong to one lifecycle.Group and end with Close. A watch costs none.
//
// Lock order: Server.mu, then outbox.mu. Server.mu guards tree, sessions,
// watches and batches, and is never held over I/O.
//
// Not here: the rules of the data (tree), file formats (txnlog), property
// names and exit statuses (cli). Containers, TTL nodes, persistent watches,
// reconfig, SASL, TLS, quotas and read-only mode are refused or absent.
package server
