// Package admin makes the changes that clients and tools ask for: topics,
// partitions and configurations, checked and written to ZooKeeper as Kafka
// writes them.
//
// ZK is the lower half: it validates, places replicas and writes the znodes
// in Kafka's order. Brokers and the --zookeeper tools share it. Topics is the
// upper half, inside a broker: the CreateTopics, DeleteTopics and
// CreatePartitions APIs with their waits for the metadata cache, and the
// automatic creation of topics. Configs describes and alters configurations for
// the API; BrokerConfig is this broker's own as it is now; ConfigChanges follows
// /config/changes. What the controller then does with the znodes is not here.
//
// Errors carry Kafka's codes and texts; OperationError stands for the
// exceptions of the tools that have no code.
//
// Goroutines: that of ConfigChanges, on which appliers run. Locks: Topics.mu,
// held for no call out; BrokerConfig.mu, held while the functions of OnChange
// run. Neither is taken under the other.
package admin

import "fmt"

// OperationError is an exception of Kafka's tools that has no error code of
// the protocol.
type OperationError struct {
	Class string // of Java
	Text  string
}

func (e *OperationError) Error() string { return e.Text }

// JavaClass is the class that the tools print.
func (e *OperationError) JavaClass() string { return e.Class }

// Is makes errors.Is compare classes.
func (e *OperationError) Is(target error) bool {
	other, ok := target.(*OperationError)
	return ok && other.Class == e.Class && other.Text == ""
}

func operationError(format string, args ...any) error {
	return &OperationError{Class: "kafka.admin.AdminOperationException", Text: fmt.Sprintf(format, args...)}
}

// ErrAlreadyMarked is what DeleteTopic returns, with a text, for a topic that
// is waiting to be deleted already.
var ErrAlreadyMarked error = &OperationError{Class: "kafka.common.TopicAlreadyMarkedForDeletionException"}
