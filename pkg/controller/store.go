package controller

import "gregor/pkg/model"

// Store is what the controller reads from and writes to ZooKeeper. Every
// write is fenced by the controller epoch and fails with
// zkstore.ErrControllerMoved once another controller was elected. zkStore is
// the real one; the scripts of the tests run on one in memory.
type Store interface {
	Brokers() ([]model.Broker, error)

	Topics() ([]string, error)
	// TopicAssignments reads topics; those that are gone are absent.
	TopicAssignments(topics []string) (map[string]TopicAssignment, error)
	SetTopicAssignment(topic string, a TopicAssignment) error
	// UpdateTopicAssignments writes the partitions that the assignments have
	// and leaves others that the znodes have: those were added a moment ago.
	// It returns the errors by topic.
	UpdateTopicAssignments(topics map[string]TopicAssignment) (map[string]error, error)
	// DeleteTopic removes a topic's nodes, its configuration and its mark.
	DeleteTopic(topic string) error

	// States reads partition states; partitions without one are absent.
	States(partitions []model.TopicPartition) (map[model.TopicPartition]LeaderISR, error)
	CreateStates(states map[model.TopicPartition]LeaderISR) (map[model.TopicPartition]error, error)
	// UpdateStates writes each state if the znode has its ZkVersion.
	UpdateStates(states map[model.TopicPartition]LeaderISR) (map[model.TopicPartition]Update, error)
	// UncleanAllowed tells for which topics unclean.leader.election.enable
	// holds.
	UncleanAllowed(topics []string) (map[string]bool, error)

	TopicDeletions() ([]string, error)
	RemoveTopicDeletions(topics []string) error

	// PreferredElection reads the partitions of the request node, false when
	// there is none.
	PreferredElection() ([]model.TopicPartition, bool, error)
	RemovePreferredElection() error
	// ReassignmentRequest reads /admin/reassign_partitions, false when there
	// is none. One that cannot be understood asks for nothing.
	ReassignmentRequest() (ReassignmentRequest, bool, error)
	ShortenReassignmentRequest(left map[model.TopicPartition][]model.BrokerID) error
	RemoveReassignmentRequest() error

	// LogDirEvents and ISRChanges read the notifications with their names.
	LogDirEvents() (names []string, brokers []model.BrokerID, err error)
	RemoveLogDirEvents(names []string) error
	ISRChanges() (names []string, partitions []model.TopicPartition, err error)
	RemoveISRChanges(names []string) error

	// EnsureFeature brings /feature to the state of the protocol version and
	// tells whether it was created.
	EnsureFeature(enabled bool) (created bool, err error)
}

// TopicAssignment is the content of a topic's znode.
type TopicAssignment struct {
	ID         model.TopicID // zero when the node has none
	Partitions map[int32]Assignment
}

// ReassignmentRequest is the content of /admin/reassign_partitions. ID tells
// one node from the next that is created in its place.
type ReassignmentRequest struct {
	ID      int64
	Targets map[model.TopicPartition][]model.BrokerID
}

// Update is the outcome of a conditional write of a state. Conflict means
// that somebody else wrote the znode, or removed it: read again and decide
// anew.
type Update struct {
	State    LeaderISR // as written, with its new ZkVersion
	Conflict bool
	Err      error
}
