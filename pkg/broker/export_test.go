package broker

import "gregor/pkg/metadata"

// Metadata is what the broker knows of the cluster now.
func (b *Broker) Metadata() *metadata.Snapshot { return b.metadata.Snapshot() }

// WarnOfOffsetsReplication is what is otherwise done 30 s after the start.
func (b *Broker) WarnOfOffsetsReplication() { b.warnOfOffsetsReplication() }

// WholeBatches is what is read of the offsets topic at a time.
var WholeBatches = wholeBatches
