package broker

// WarnOfOffsetsReplication is what is otherwise done 30 s after the start.
func (b *Broker) WarnOfOffsetsReplication() { b.warnOfOffsetsReplication() }

// WholeBatches is what is read of the offsets topic at a time.
var WholeBatches = wholeBatches
