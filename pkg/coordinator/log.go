package coordinator

import "context"

// Log is how a coordinator reaches the partition logs of its topic.
// Implementations are safe for concurrent use.
type Log interface {
	// Append writes one batch to the end of the partition's log as its leader
	// and returns as soon as this broker's log has it, so that calls one after
	// another leave their batches in that order. The batch's bytes are lent
	// until Append returns. It fails with errors of kerr: NotLeaderOrFollower,
	// NotEnoughReplicas, MessageTooLarge and the like.
	Append(partition int32, batch []byte, acks int16) (Appended, error)

	// Read hands the whole log to visit, from its start to its end as both
	// are when Read begins, in chunks of complete batches. The chunk is lent
	// until visit returns. An error of visit ends the reading and is returned.
	Read(ctx context.Context, partition int32, visit func(batches []byte) error) error
}

// Appended is a batch that is in the local log.
type Appended struct {
	// Offset is that of the batch's first record.
	Offset int64
	// Await blocks until the batch is as safe as acks asked for, or ctx is
	// done (kerr.RequestTimedOut). It is nil when the batch is safe already.
	Await func(ctx context.Context) error
}
