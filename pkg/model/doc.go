// Package model holds the value types that every other package speaks in:
// topic partitions, broker ids, epochs, endpoints, topic ids.
//
// Distinct numbers have distinct types, so that a leader epoch is never
// passed where a controller epoch is meant. Offsets are plain int64 and are
// named by what they are (fetchOffset, logEndOffset). Nothing here does I/O
// and every type is safe to copy.
package model
