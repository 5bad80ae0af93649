// Package network accepts Kafka's clients: listeners, connections, the order
// of answers, and limits.
//
// A Server has one accepting goroutine for each listener and one goroutine
// for each connection, which reads a frame, calls the Handler, writes the
// answer and reads the next: so answers leave in the order of the requests
// and a client never has two requests in work (Kafka mutes the channel for
// the same effect). The handler may block as long as its API allows; its
// context ends when the server shuts down.
//
// Memory: a frame's length is checked against MaxRequestBytes before anything
// is allocated, a large frame's buffer grows with the bytes that really
// arrive, and MaxQueuedBytes, when set, bounds the frames of all connections
// together. An idle connection holds a buffer of 4 KiB. Connections to the
// control plane's listener, where there is one, count against nothing that
// clients use up: a controller is heard whatever they do.
//
// Answers: runs of bytes leave with one writev, regions of files by
// sendfile(2) with an explicit offset (so that many answers may share one
// open file). A region is released exactly once, whatever happens.
//
// Locks: limits.mu guards the table of connections, strangers.mu who was named
// lately; both are leaves and held for no I/O.
//
// Not here: what an API means (api), TLS and SASL (auth).
package network
