package broker

// WarnOfOffsetsReplication is what is otherwise done 30 s after the start.
func (b *Broker) WarnOfOffsetsReplication() { b.warnOfOffsetsReplication() }
