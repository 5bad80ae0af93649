package admin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sirupsen/logrus"

	"gregor/pkg/config"
	"gregor/pkg/kerr"
	"gregor/pkg/logging"
	"gregor/pkg/model"
	"gregor/pkg/zkstore"
)

// ZK writes administrative changes to ZooKeeper. Safe for concurrent use.
type ZK struct {
	store *zkstore.Store
	log   *logrus.Entry // kafka.zk.AdminZkClient
}

// NewZK returns the administration of the cluster below store's chroot.
func NewZK(store *zkstore.Store, loggers *logging.Loggers) *ZK {
	return &ZK{store: store, log: loggers.Logger("kafka.zk.AdminZkClient")}
}

// RackMode says what racks mean to a placement.
type RackMode int

const (
	RackEnforced RackMode = iota // all brokers have a rack, or none
	RackSafe                     // racks are used when all brokers have one
	RackDisabled
)

// Candidates lists the registered brokers, by ids, as a placement is to see
// them.
func (z *ZK) Candidates(ctx context.Context, mode RackMode) ([]Candidate, error) {
	brokers, err := z.store.Brokers(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]Candidate, len(brokers))
	withRack := 0
	for i, b := range brokers {
		list[i] = Candidate{ID: b.ID, Rack: b.Rack}
		if b.Rack != nil {
			withRack++
		}
	}
	if mode == RackEnforced && withRack > 0 && withRack < len(list) {
		return nil, operationError("Not all brokers have rack information. Add --disable-rack-aware in command line" +
			" to make replica assignment without rack information.")
	}
	if mode == RackDisabled || withRack < len(list) {
		for i := range list {
			list[i].Rack = nil
		}
	}
	return list, nil
}

// NewTopic is a topic to be made.
type NewTopic struct {
	Name       string
	Assignment map[int32][]model.BrokerID
	Config     map[string]string
	WithID     bool // inter.broker.protocol.version >= 2.8; else the controller gives one
}

// CreateTopic places replicas and makes a topic, as kafka-topics.sh does
// through ZooKeeper.
func (z *ZK) CreateTopic(ctx context.Context, name string, partitions int32, replicationFactor int, overrides map[string]string, mode RackMode) error {
	brokers, err := z.Candidates(ctx, mode)
	if err != nil {
		return err
	}
	assignment, err := AssignReplicas(brokers, partitions, replicationFactor, Placement{})
	if err != nil {
		return err
	}
	return z.CreateTopicWithAssignment(ctx, name, overrides, assignment)
}

// CreateTopicWithAssignment makes a topic whose replicas the caller placed.
func (z *ZK) CreateTopicWithAssignment(ctx context.Context, name string, overrides map[string]string, assignment map[int32][]model.BrokerID) error {
	t := NewTopic{Name: name, Assignment: assignment, Config: overrides}
	if err := z.ValidateNewTopic(ctx, t); err != nil {
		return err
	}
	_, err := z.WriteNewTopic(ctx, t)
	return err
}

// ValidateNewTopic checks everything about a topic that is to be made: name,
// collision, assignment, settings.
func (z *ZK) ValidateNewTopic(ctx context.Context, t NewTopic) error {
	if err := ValidateTopicName(t.Name); err != nil {
		return err
	}
	if err := z.checkAbsent(ctx, t.Name); err != nil {
		return err
	}
	if err := checkAssignment(t.Assignment); err != nil {
		return err
	}
	return config.ValidateTopic(t.Config)
}

func (z *ZK) checkAbsent(ctx context.Context, name string) error {
	exists, err := z.store.TopicExists(ctx, name)
	switch {
	case err != nil:
		return err
	case exists:
		return topicExists(name)
	case !HasCollisionChars(name):
		return nil
	}
	all, err := z.store.Topics(ctx)
	if err != nil {
		return err
	}
	var colliding []string
	for _, other := range all {
		if other == name {
			return topicExists(name)
		}
		if TopicNamesCollide(name, other) {
			colliding = append(colliding, other)
		}
	}
	if len(colliding) > 0 {
		return kerr.InvalidTopicException.With("Topic '%s' collides with existing topics: %s", name, strings.Join(colliding, ", "))
	}
	return nil
}

func topicExists(name string) error {
	return kerr.TopicAlreadyExists.With("Topic '%s' already exists.", name)
}

// checkAssignment wants as many replicas of each partition, none twice, and
// partitions numbered from 0 on.
func checkAssignment(assignment map[int32][]model.BrokerID) error {
	sizes := map[int]bool{}
	for _, replicas := range assignment {
		sizes[len(replicas)] = true
	}
	if len(sizes) != 1 {
		return kerr.InvalidReplicaAssignment.With("All partitions should have the same number of replicas")
	}
	for _, replicas := range assignment {
		if len(unique(replicas)) != len(replicas) {
			return kerr.InvalidReplicaAssignment.With("Duplicate replica assignment found: %s", scalaAssignment(assignment))
		}
	}
	for partition := range int32(len(assignment)) {
		if _, ok := assignment[partition]; !ok {
			return kerr.InvalidReplicaAssignment.With("partitions should be a consecutive 0-based integer sequence")
		}
	}
	return nil
}

// WriteNewTopic writes a checked topic: its settings, then its assignment,
// from which the controller takes it up. It returns the id it gave.
func (z *ZK) WriteNewTopic(ctx context.Context, t NewTopic) (model.TopicID, error) {
	z.log.Infof("Creating topic %s with configuration %s and initial partition assignment %s",
		t.Name, javaProperties(t.Config), scalaAssignment(t.Assignment))
	a := zkstore.TopicAssignment{Partitions: map[int32]zkstore.ReplicaAssignment{}}
	if t.WithID {
		a.ID = model.NewTopicID()
	}
	for partition, replicas := range t.Assignment {
		a.Partitions[partition] = zkstore.ReplicaAssignment{Replicas: replicas}
	}
	err := z.store.CreateTopic(ctx, t.Name, a, t.Config)
	if errors.Is(err, zkstore.ErrNodeExists) {
		return a.ID, topicExists(t.Name)
	}
	return a.ID, err
}

// AddPartitions gives a topic count partitions in all. assignment places the
// new ones, by their numbers; nil places them by Kafka's rule, beginning with
// the first replica of partition 0. With validateOnly nothing is written.
func (z *ZK) AddPartitions(ctx context.Context, name string, existing zkstore.TopicAssignment, brokers []Candidate, count int32,
	assignment map[int32][]model.BrokerID, validateOnly bool) error {
	added, err := placeNewPartitions(name, existing, brokers, count, assignment)
	if err != nil || validateOnly {
		return err
	}
	z.log.Infof("Creating %d partitions for '%s' with the following replica assignment: %s.", len(added), name, replicaAssignments(added))
	next := zkstore.TopicAssignment{ID: existing.ID, Partitions: maps.Clone(existing.Partitions)}
	for partition, replicas := range added {
		next.Partitions[partition] = zkstore.ReplicaAssignment{Replicas: replicas}
	}
	return z.store.SetTopicAssignment(ctx, name, next, zkstore.NoFence)
}

func placeNewPartitions(name string, existing zkstore.TopicAssignment, brokers []Candidate, count int32, assignment map[int32][]model.BrokerID) (map[int32][]model.BrokerID, error) {
	zero, ok := existing.Partitions[0]
	if !ok || len(zero.Replicas) == 0 {
		return nil, operationError("Unexpected existing replica assignment for topic '%s', partition id 0 is missing. Assignment: %s",
			name, replicaAssignments(replicasOf(existing)))
	}
	have := int32(len(existing.Partitions))
	if count <= have {
		return nil, kerr.InvalidPartitions.With("The number of partitions for a topic can only be increased. "+
			"Topic %s currently has %d partitions, %d would not be an increase.", name, have, count)
	}
	if assignment != nil {
		return assignment, checkNewPartitions(assignment, len(zero.Replicas), brokers)
	}
	start := max(0, slices.IndexFunc(brokers, func(b Candidate) bool { return b.ID >= zero.Replicas[0] }))
	return AssignReplicas(brokers, count-have, len(zero.Replicas), Placement{Fixed: true, Start: start, FirstPartition: have})
}

func checkNewPartitions(assignment map[int32][]model.BrokerID, replicationFactor int, brokers []Candidate) error {
	var available []model.BrokerID
	for _, b := range brokers {
		available = append(available, b.ID)
	}
	var odd, factors []string
	for _, partition := range slices.Sorted(maps.Keys(assignment)) {
		replicas := assignment[partition]
		switch {
		case len(replicas) == 0:
			return kerr.InvalidReplicaAssignment.With("Cannot have replication factor of 0 for partition id %d.", partition)
		case len(unique(replicas)) != len(replicas):
			return kerr.InvalidReplicaAssignment.With("Duplicate brokers not allowed in replica assignment: %s for partition id %d.", list(replicas), partition)
		case slices.ContainsFunc(replicas, func(id model.BrokerID) bool { return !slices.Contains(available, id) }):
			return kerr.BrokerNotAvailable.With("Some brokers specified for partition id %d are not available. Specified brokers: %s, available brokers: %s.",
				partition, list(replicas), list(available))
		case len(replicas) != replicationFactor:
			odd, factors = append(odd, fmt.Sprint(partition)), append(factors, fmt.Sprint(len(replicas)))
		}
	}
	if len(odd) > 0 {
		return kerr.InvalidReplicaAssignment.With("Inconsistent replication factor between partitions, partition 0 has %d while partitions [%s] have replication factors [%s], respectively.",
			replicationFactor, strings.Join(odd, ", "), strings.Join(factors, ", "))
	}
	return nil
}

// DeleteTopic marks a topic for deletion. It is no error of the topic when it
// is marked already: the error then is ErrAlreadyMarked.
func (z *ZK) DeleteTopic(ctx context.Context, name string) error {
	exists, err := z.store.TopicExists(ctx, name)
	switch {
	case err != nil:
		return err
	case !exists:
		return kerr.UnknownTopicOrPartition.With("Topic `%s` to delete does not exist", name)
	}
	err = z.store.MarkTopicForDeletion(ctx, name)
	if errors.Is(err, zkstore.ErrNodeExists) {
		return &OperationError{Class: "kafka.common.TopicAlreadyMarkedForDeletionException",
			Text: fmt.Sprintf("topic %s is already marked for deletion", name)}
	}
	return err
}

func unique(ids []model.BrokerID) map[model.BrokerID]bool {
	seen := map[model.BrokerID]bool{}
	for _, id := range ids {
		seen[id] = true
	}
	return seen
}

func replicasOf(a zkstore.TopicAssignment) map[int32][]model.BrokerID {
	all := map[int32][]model.BrokerID{}
	for partition, r := range a.Partitions {
		all[partition] = r.Replicas
	}
	return all
}

// list writes ids as Scala's mkString(", ") does.
func list(ids []model.BrokerID) string {
	parts := make([]string, len(ids))
	for i, id := range ids {
		parts[i] = id.String()
	}
	return strings.Join(parts, ", ")
}

// scalaAssignment is Kafka's form of a new assignment in lines and texts.
func scalaAssignment(assignment map[int32][]model.BrokerID) string {
	return scalaMap(assignment, func(ids []model.BrokerID) string { return "ArrayBuffer(" + list(ids) + ")" })
}

func replicaAssignments(assignment map[int32][]model.BrokerID) string {
	return scalaMap(assignment, func(ids []model.BrokerID) string {
		return "ReplicaAssignment(replicas=" + strings.ReplaceAll(list(ids), ", ", ",") + ", addingReplicas=, removingReplicas=)"
	})
}

func scalaMap(assignment map[int32][]model.BrokerID, value func([]model.BrokerID) string) string {
	var parts []string
	for _, partition := range slices.Sorted(maps.Keys(assignment)) {
		parts = append(parts, fmt.Sprintf("%d -> %s", partition, value(assignment[partition])))
	}
	return "HashMap(" + strings.Join(parts, ", ") + ")"
}

// javaProperties is Java's form of properties in log lines.
func javaProperties(m map[string]string) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, name+"="+m[name])
	}
	return "{" + strings.Join(parts, ", ") + "}"
}
