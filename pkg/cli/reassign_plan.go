package cli

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"gregor/pkg/admin"
	"gregor/pkg/model"
)

// sortedPartitions are the keys of a map by topic and number.
func sortedPartitions[V any](m map[model.TopicPartition]V) []model.TopicPartition {
	return slices.SortedFunc(maps.Keys(m), model.TopicPartition.Compare)
}

// sortedReplicas are the keys of a map by broker, topic and number.
func sortedReplicas[V any](m map[replicaOf]V) []replicaOf {
	return slices.SortedFunc(maps.Keys(m), func(a, b replicaOf) int {
		return cmp.Or(cmp.Compare(a.broker, b.broker), a.TopicPartition.Compare(b.TopicPartition))
	})
}

// partitionMove says between which brokers a partition is copied: every source
// may lead and thus be read from.
type partitionMove struct{ sources, destinations []model.BrokerID }

// runningMove is a reassignment that the controller is at.
type runningMove struct{ replicas, adding, removing []model.BrokerID }

// planMoves are the moves of a proposal and of what is running already.
func planMoves(running map[model.TopicPartition]runningMove, p *proposal, current map[model.TopicPartition][]model.BrokerID) (map[model.TopicPartition]partitionMove, error) {
	moves := map[model.TopicPartition]partitionMove{}
	for tp, r := range running {
		moves[tp] = partitionMove{sources: without(r.replicas, r.adding), destinations: r.adding}
	}
	for _, tp := range p.sorted() {
		sources, known := current[tp]
		if move, ok := moves[tp]; ok {
			sources, known = move.sources, true
		}
		if !known {
			return nil, exceptionf("java.lang.RuntimeException", "Trying to reassign a topic partition %s with 0 replicas", tp)
		}
		moves[tp] = partitionMove{sources: sources, destinations: without(p.replicas[tp], sources)}
	}
	return moves, nil
}

func without(ids, others []model.BrokerID) []model.BrokerID {
	return slices.DeleteFunc(slices.Clone(ids), func(id model.BrokerID) bool { return slices.Contains(others, id) })
}

// throttledReplicas is what the two topic settings are set to.
type throttledReplicas struct{ leader, follower string }

// throttles are the settings of each topic that a move touches, and the
// brokers, sorted.
func throttles(moves map[model.TopicPartition]partitionMove) (topics map[string]throttledReplicas, brokers []model.BrokerID) {
	leaders, followers := map[string][]string{}, map[string][]string{}
	for tp, move := range moves {
		for _, id := range move.sources {
			leaders[tp.Topic] = append(leaders[tp.Topic], fmt.Sprintf("%d:%d", tp.Partition, id))
		}
		for _, id := range move.destinations {
			followers[tp.Topic] = append(followers[tp.Topic], fmt.Sprintf("%d:%d", tp.Partition, id))
		}
		brokers = append(append(brokers, move.sources...), move.destinations...)
	}
	topics = map[string]throttledReplicas{}
	for tp := range moves {
		topics[tp.Topic] = throttledReplicas{joinSorted(leaders[tp.Topic]), joinSorted(followers[tp.Topic])}
	}
	slices.Sort(brokers)
	return topics, slices.Compact(brokers)
}

// joinSorted joins words in the order of their letters, as Kafka does even
// with numbers.
func joinSorted(words []string) string {
	slices.Sort(words)
	return strings.Join(words, ",")
}

// Settings of the throttles.
const (
	leaderThrottleRate       = "leader.replication.throttled.rate"
	followerThrottleRate     = "follower.replication.throttled.rate"
	logDirThrottleRate       = "replica.alter.log.dirs.io.max.bytes.per.second"
	leaderThrottledReplicas  = "leader.replication.throttled.replicas"
	followerThrottleReplicas = "follower.replication.throttled.replicas"
)

var (
	brokerThrottles = []string{leaderThrottleRate, followerThrottleRate, logDirThrottleRate}
	topicThrottles  = []string{leaderThrottledReplicas, followerThrottleReplicas}
)

// proposeReplicas places the partitions of each topic anew.
func proposeReplicas(current map[model.TopicPartition][]model.BrokerID, brokers []admin.Candidate) (map[model.TopicPartition][]model.BrokerID, error) {
	byTopic := map[string][]model.TopicPartition{}
	for _, tp := range sortedPartitions(current) {
		byTopic[tp.Topic] = append(byTopic[tp.Topic], tp)
	}
	proposed := map[model.TopicPartition][]model.BrokerID{}
	for _, topic := range sortedKeys(byTopic) {
		tps := byTopic[topic]
		placed, err := admin.AssignReplicas(brokers, int32(len(tps)), len(current[tps[0]]), admin.Placement{})
		if err != nil {
			return nil, err
		}
		for partition, replicas := range placed {
			proposed[model.TopicPartition{Topic: topic, Partition: partition}] = replicas
		}
	}
	return proposed, nil
}

// placementBrokers are the brokers to place on: those that were asked for, of
// those that there are, with their racks unless these do not count.
func (c *reassignCommand) placementBrokers(all []admin.Candidate) ([]admin.Candidate, error) {
	var chosen []admin.Candidate
	withRack := 0
	for _, b := range all {
		if slices.Contains(c.brokers, int32(b.ID)) {
			if !c.rackAware {
				b.Rack = nil
			}
			if b.Rack != nil {
				withRack++
			}
			chosen = append(chosen, b)
		}
	}
	if withRack > 0 && withRack < len(chosen) {
		return nil, exceptionf(adminOperation, "Not all brokers have rack information. Add --disable-rack-aware in command line "+
			"to make replica assignment without rack information.")
	}
	return chosen, nil
}

// showProposal writes what --generate answers.
func showProposal(out io.Writer, current, proposed map[model.TopicPartition][]model.BrokerID) error {
	now, err := assignmentJSON(current)
	if err != nil {
		return err
	}
	then, err := assignmentJSON(proposed)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "Current partition replica assignment\n%s\n\nProposed partition reassignment configuration\n%s\n", now, then)
	return err
}

// showRollback writes the assignment to go back to.
func showRollback(out io.Writer, p *proposal, current map[model.TopicPartition][]model.BrokerID) error {
	concerned := maps.Clone(current)
	maps.DeleteFunc(concerned, func(tp model.TopicPartition, _ []model.BrokerID) bool { return p.replicas[tp] == nil })
	text, err := assignmentJSON(concerned)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "Current partition replica assignment\n\n%s\n\nSave this to use as the --reassignment-json-file option during rollback\n", text)
	return err
}

// showStarted tells which partitions are being reassigned.
func showStarted(out io.Writer, p *proposal) {
	fmt.Fprintf(out, "Successfully started partition reassignment%s for %s\n", plural(len(p.replicas)), joinPartitions(p.sorted(), ","))
}

// partitionProgress is how far a partition is.
type partitionProgress struct {
	replicas []model.BrokerID
	running  bool
}

// showProgress writes how far each partition is.
func showProgress(out io.Writer, p *proposal, states map[model.TopicPartition]partitionProgress) {
	fmt.Fprintln(out, "Status of partition reassignment:")
	for _, tp := range p.sorted() {
		switch state := states[tp]; {
		case state.running:
			fmt.Fprintf(out, "Reassignment of partition %s is still in progress.\n", tp)
		case slices.Equal(state.replicas, p.replicas[tp]):
			fmt.Fprintf(out, "Reassignment of partition %s is complete.\n", tp)
		default:
			fmt.Fprintf(out, "There is no active reassignment of partition %s, but replica set is %s rather than %s.\n", tp, joinIDs(state.replicas), joinIDs(p.replicas[tp]))
		}
	}
}

// dirProgress is where a replica is, and where it is going to.
type dirProgress struct {
	found           bool // the broker has told of the replica
	current, future string
}

// showDirProgress writes how far each replica is that changes its log
// directory, a blank line when there are none. It reports whether one is still
// moving, or cannot be found.
func showDirProgress(out io.Writer, p *proposal, states map[replicaOf]dirProgress) (moving bool) {
	if len(p.dirs) == 0 {
		fmt.Fprintln(out)
	}
	for _, r := range sortedReplicas(p.dirs) {
		state, wanted := states[r], p.dirs[r]
		switch {
		case !state.found:
			moving = true
			fmt.Fprintf(out, "Partition %s cannot be found in any live log directory on broker %d.\n", r.TopicPartition, r.broker)
		case state.current == "":
			moving = true
			fmt.Fprintf(out, "Partition %s is not found in any live log dir on broker %d. There is likely an offline log directory on the broker.\n", r.TopicPartition, r.broker)
		case state.future == wanted:
			moving = true
			fmt.Fprintf(out, "Reassignment of replica %s is still in progress.\n", r)
		case state.future != "":
			moving = true
			fmt.Fprintf(out, "Partition %s on broker %d is being moved to log dir %s instead of %s.\n", r.TopicPartition, r.broker, state.future, wanted)
		case state.current == wanted:
			fmt.Fprintf(out, "Reassignment of replica %s completed successfully.\n", r)
		default:
			fmt.Fprintf(out, "Partition %s on broker %d is not being moved from log dir %s to %s.\n", r.TopicPartition, r.broker, state.current, wanted)
		}
	}
	return moving
}

// showBrokersCleared tells that throttles are being taken away.
func showBrokersCleared(out io.Writer, brokers []model.BrokerID) {
	shown := slices.Sorted(slices.Values(brokers))
	if len(shown) > 4 {
		shown = scalaHashOrder(shown, func(id model.BrokerID) uint32 { return uint32(id) })
	}
	fmt.Fprintf(out, "Clearing broker-level throttles on broker%s %s\n", plural(len(shown)), joinIDs(shown))
}

func showTopicsCleared(out io.Writer, topics []string) {
	fmt.Fprintf(out, "Clearing topic-level throttles on topic%s %s\n", plural(len(topics)), strings.Join(topics, ","))
}
