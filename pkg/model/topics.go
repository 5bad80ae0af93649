package model

// The topics that Kafka keeps for itself.
const (
	GroupMetadataTopic    = "__consumer_offsets"
	TransactionStateTopic = "__transaction_state"
)

// IsInternalTopic reports whether a topic is Kafka's own: only brokers write
// to it.
func IsInternalTopic(topic string) bool {
	return topic == GroupMetadataTopic || topic == TransactionStateTopic
}
