package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/admin"
	"gregor/pkg/kerr"
	"gregor/pkg/model"
)

// bootstrapReassign reassigns through a broker.
type bootstrapReassign struct {
	client *adminClient
	out    io.Writer
}

// list shows what is being reassigned.
func (r *bootstrapReassign) list(ctx context.Context) error {
	running, err := r.running(ctx, nil)
	if err != nil {
		return err
	}
	if len(running) == 0 {
		fmt.Fprintln(r.out, "No partition reassignments found.")
		return nil
	}
	fmt.Fprintln(r.out, "Current partition reassignments:")
	for _, tp := range sortedPartitions(running) {
		move := running[tp]
		line := fmt.Sprintf("%s: replicas: %s.", tp, joinIDs(move.replicas))
		if len(move.adding) > 0 {
			line += fmt.Sprintf(" adding: %s.", joinIDs(move.adding))
		}
		if len(move.removing) > 0 {
			line += fmt.Sprintf(" removing: %s.", joinIDs(move.removing))
		}
		fmt.Fprintln(r.out, line)
	}
	return nil
}

// verify tells how far a reassignment is, and takes the throttles away when
// nothing is being moved.
func (r *bootstrapReassign) verify(ctx context.Context, c *reassignCommand) error {
	running, err := r.running(ctx, nil)
	if err != nil {
		return err
	}
	states := map[model.TopicPartition]partitionProgress{}
	var finished []model.TopicPartition
	for _, tp := range c.proposal.sorted() {
		if move, ok := running[tp]; ok {
			states[tp] = partitionProgress{replicas: move.replicas, running: true}
		} else {
			finished = append(finished, tp)
		}
	}
	current, err := r.assignments(ctx, finished, true)
	if err != nil {
		return err
	}
	for _, tp := range finished {
		states[tp] = partitionProgress{replicas: current[tp]}
	}
	showProgress(r.out, c.proposal, states)
	dirs, err := r.logDirs(ctx, c.proposal)
	if err != nil {
		return err
	}
	moving := showDirProgress(r.out, c.proposal, dirs)
	if moving || len(running) > 0 || c.preserve {
		return nil
	}
	return r.clearThrottles(ctx, c.proposal)
}

// generate proposes replicas.
func (r *bootstrapReassign) generate(ctx context.Context, c *reassignCommand) error {
	current := map[model.TopicPartition][]model.BrokerID{}
	if len(c.topics) > 0 {
		var err error
		if current, err = r.describe(ctx, c.topics, false); err != nil {
			return err
		}
	}
	all, err := r.brokers(ctx)
	if err != nil {
		return err
	}
	chosen, err := c.placementBrokers(all)
	if err != nil {
		return err
	}
	proposed, err := proposeReplicas(current, chosen)
	if err != nil {
		return err
	}
	return showProposal(r.out, current, proposed)
}

// execute starts a reassignment.
func (r *bootstrapReassign) execute(ctx context.Context, c *reassignCommand) error {
	running, err := r.running(ctx, nil)
	if err != nil {
		return err
	}
	if !c.additional && len(running) > 0 {
		return &toldError{reassignRunning}
	}
	if err := r.checkBrokers(ctx, c.proposal); err != nil {
		return err
	}
	current, err := r.assignments(ctx, c.proposal.sorted(), false)
	if err != nil {
		return err
	}
	if err := showRollback(r.out, c.proposal, current); err != nil {
		return err
	}
	if c.throttle >= 0 || c.logDirThrottle >= 0 {
		fmt.Fprintln(r.out, reassignVerifyLater)
	}
	if c.throttle >= 0 {
		if err := r.throttle(ctx, c, running, current); err != nil {
			return err
		}
	}
	if c.logDirThrottle >= 0 {
		if err := r.throttleLogDirs(ctx, c); err != nil {
			return err
		}
	}
	failed, err := r.alter(ctx, c.proposal.replicas)
	if err != nil {
		return err
	}
	if len(failed) > 0 {
		return &toldError{"Error reassigning partition(s):\n" + failures(failed)}
	}
	showStarted(r.out, c.proposal)
	if len(c.proposal.dirs) == 0 {
		return nil
	}
	return r.moveDirs(ctx, c.proposal.dirs, c.timeout)
}

// cancel ends what is running of a reassignment.
func (r *bootstrapReassign) cancel(ctx context.Context, c *reassignCommand) error {
	running, err := r.running(ctx, c.proposal.sorted())
	if err != nil {
		return err
	}
	if len(running) == 0 {
		fmt.Fprintln(r.out, "None of the specified partition reassignments are active.")
	} else if err := r.cancelRunning(ctx, running); err != nil {
		return err
	}
	dirs, err := r.logDirs(ctx, c.proposal)
	if err != nil {
		return err
	}
	back := map[replicaOf]string{} // a move to where it is ends the move
	for replica, state := range dirs {
		if state.future != "" {
			back[replica] = state.current
		}
	}
	if len(back) == 0 {
		fmt.Fprintln(r.out, "None of the specified partition moves are active.")
	} else if err := r.moveDirs(ctx, back, c.timeout); err != nil {
		return err
	}
	if c.preserve {
		return nil
	}
	return r.clearThrottles(ctx, c.proposal)
}

func (r *bootstrapReassign) cancelRunning(ctx context.Context, running map[model.TopicPartition]runningMove) error {
	targets := map[model.TopicPartition][]model.BrokerID{}
	for tp := range running {
		targets[tp] = nil
	}
	failed, err := r.alter(ctx, targets)
	if err != nil {
		return err
	}
	if len(failed) > 0 {
		return &toldError{fmt.Sprintf("Error cancelling partition reassignment%s for:\n%s", plural(len(failed)), failures(failed))}
	}
	fmt.Fprintf(r.out, "Successfully cancelled partition reassignment%s for: %s\n", plural(len(running)), joinPartitions(sortedPartitions(running), ","))
	return nil
}

// failures lists what went wrong with partitions.
func failures(failed map[model.TopicPartition]error) string {
	var lines []string
	for _, tp := range sortedPartitions(failed) {
		lines = append(lines, fmt.Sprintf("%s: %s", tp, failed[tp]))
	}
	return strings.Join(lines, "\n")
}

// running asks the controller for what is being reassigned: of the partitions,
// or of all for nil.
func (r *bootstrapReassign) running(ctx context.Context, of []model.TopicPartition) (map[model.TopicPartition]runningMove, error) {
	running := map[model.TopicPartition]runningMove{}
	req := kmsg.NewPtrListPartitionReassignmentsRequest()
	req.TimeoutMillis = r.client.requestTimeoutMs()
	if of != nil {
		req.Topics = []kmsg.ListPartitionReassignmentsRequestTopic{}
	}
	for _, tp := range of {
		if n := len(req.Topics); n == 0 || req.Topics[n-1].Topic != tp.Topic {
			req.Topics = append(req.Topics, kmsg.ListPartitionReassignmentsRequestTopic{Topic: tp.Topic})
		}
		last := &req.Topics[len(req.Topics)-1]
		last.Partitions = append(last.Partitions, tp.Partition)
	}
	resp, err := r.client.callController(ctx, "listPartitionReassignments", req, func(resp kmsg.Response) bool {
		return resp.(*kmsg.ListPartitionReassignmentsResponse).ErrorCode == kerr.NotController.Code
	})
	if err != nil {
		return nil, execution(err)
	}
	answer := resp.(*kmsg.ListPartitionReassignmentsResponse)
	if err := protocolError(answer.ErrorCode, answer.ErrorMessage); err != nil {
		return nil, execution(err)
	}
	for _, t := range answer.Topics {
		for _, p := range t.Partitions {
			running[model.TopicPartition{Topic: t.Topic, Partition: p.Partition}] =
				runningMove{brokerIDs(p.Replicas), brokerIDs(p.AddingReplicas), brokerIDs(p.RemovingReplicas)}
		}
	}
	return running, nil
}

// alter asks the controller for other replicas; nil ends what is running.
func (r *bootstrapReassign) alter(ctx context.Context, targets map[model.TopicPartition][]model.BrokerID) (failed map[model.TopicPartition]error, err error) {
	req := kmsg.NewPtrAlterPartitionAssignmentsRequest()
	req.TimeoutMillis = r.client.requestTimeoutMs()
	for _, tp := range sortedPartitions(targets) {
		if n := len(req.Topics); n == 0 || req.Topics[n-1].Topic != tp.Topic {
			t := kmsg.NewAlterPartitionAssignmentsRequestTopic()
			t.Topic = tp.Topic
			req.Topics = append(req.Topics, t)
		}
		p := kmsg.NewAlterPartitionAssignmentsRequestTopicPartition()
		p.Partition = tp.Partition
		if targets[tp] != nil {
			p.Replicas = int32s(targets[tp])
		}
		last := &req.Topics[len(req.Topics)-1]
		last.Partitions = append(last.Partitions, p)
	}
	resp, err := r.client.callController(ctx, "alterPartitionReassignments", req, func(resp kmsg.Response) bool {
		return resp.(*kmsg.AlterPartitionAssignmentsResponse).ErrorCode == kerr.NotController.Code
	})
	if err != nil {
		return nil, execution(err)
	}
	answer := resp.(*kmsg.AlterPartitionAssignmentsResponse)
	failed = map[model.TopicPartition]error{}
	if err := protocolError(answer.ErrorCode, answer.ErrorMessage); err != nil {
		for tp := range targets {
			failed[tp] = err
		}
		return failed, nil
	}
	for _, t := range answer.Topics {
		for _, p := range t.Partitions {
			if err := protocolError(p.ErrorCode, p.ErrorMessage); err != nil {
				failed[model.TopicPartition{Topic: t.Topic, Partition: p.Partition}] = err
			}
		}
	}
	return failed, nil
}

// brokers are the live ones with their racks.
func (r *bootstrapReassign) brokers(ctx context.Context) ([]admin.Candidate, error) {
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{}
	resp, err := r.client.call(ctx, "listNodes", anyNode, req)
	if err != nil {
		return nil, execution(err)
	}
	metadata := resp.(*kmsg.MetadataResponse)
	r.client.learn(metadata)
	var all []admin.Candidate
	for _, b := range metadata.Brokers {
		all = append(all, admin.Candidate{ID: model.BrokerID(b.NodeID), Rack: b.Rack})
	}
	return all, nil
}

// checkBrokers refuses brokers that are not there.
func (r *bootstrapReassign) checkBrokers(ctx context.Context, p *proposal) error {
	all, err := r.brokers(ctx)
	if err != nil {
		return err
	}
	for _, tp := range p.partitions {
		for _, id := range p.replicas[tp] {
			if !slices.ContainsFunc(all, func(b admin.Candidate) bool { return b.ID == id }) {
				return exceptionf(adminCommandFailed, "Unknown broker id %d", id)
			}
		}
	}
	return nil
}

// assignments are the replicas of partitions. What is unknown is left out if
// it may be missing; otherwise an unknown topic is an error.
func (r *bootstrapReassign) assignments(ctx context.Context, of []model.TopicPartition, mayMiss bool) (map[model.TopicPartition][]model.BrokerID, error) {
	var topics []string
	for _, tp := range of {
		if !slices.Contains(topics, tp.Topic) {
			topics = append(topics, tp.Topic)
		}
	}
	found := map[model.TopicPartition][]model.BrokerID{}
	if len(topics) == 0 {
		return found, nil
	}
	all, err := r.describe(ctx, topics, mayMiss)
	for _, tp := range of {
		if replicas, ok := all[tp]; ok {
			found[tp] = replicas
		}
	}
	return found, err
}

// describe asks for the replicas of topics.
func (r *bootstrapReassign) describe(ctx context.Context, topics []string, mayMiss bool) (map[model.TopicPartition][]model.BrokerID, error) {
	req := kmsg.NewPtrMetadataRequest()
	req.AllowAutoTopicCreation = false
	for _, name := range topics {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = kmsg.StringPtr(name)
		req.Topics = append(req.Topics, t)
	}
	resp, err := r.client.call(ctx, "describeTopics", anyNode, req)
	if err != nil {
		return nil, execution(err)
	}
	found := map[model.TopicPartition][]model.BrokerID{}
	for _, t := range resp.(*kmsg.MetadataResponse).Topics {
		err := protocolError(t.ErrorCode, nil)
		if mayMiss && errors.Is(err, kerr.UnknownTopicOrPartition) {
			continue
		}
		if err != nil {
			return nil, execution(err)
		}
		for _, p := range t.Partitions {
			found[model.TopicPartition{Topic: stringOr(t.Topic, ""), Partition: p.Partition}] = brokerIDs(p.Replicas)
		}
	}
	return found, nil
}

// throttle limits the brokers and marks the replicas that a reassignment
// copies from and to.
func (r *bootstrapReassign) throttle(ctx context.Context, c *reassignCommand, running map[model.TopicPartition]runningMove, current map[model.TopicPartition][]model.BrokerID) error {
	moves, err := planMoves(running, c.proposal, current)
	if err != nil {
		return err
	}
	topics, brokers := throttles(moves)
	for _, name := range sortedKeys(topics) {
		set := map[string]string{leaderThrottledReplicas: topics[name].leader, followerThrottleReplicas: topics[name].follower}
		if err := alterSettings(ctx, r.client, entityTopics, name, set, nil); err != nil {
			return err
		}
	}
	rate := strconv.FormatInt(c.throttle, 10)
	for _, id := range brokers {
		set := map[string]string{leaderThrottleRate: rate, followerThrottleRate: rate}
		if err := alterSettings(ctx, r.client, entityBrokers, id.String(), set, nil); err != nil {
			return err
		}
	}
	fmt.Fprintf(r.out, "The inter-broker throttle limit was set to %d B/s\n", c.throttle)
	return nil
}

// throttleLogDirs limits the brokers on which replicas change their directory.
func (r *bootstrapReassign) throttleLogDirs(ctx context.Context, c *reassignCommand) error {
	set := map[string]string{logDirThrottleRate: strconv.FormatInt(c.logDirThrottle, 10)}
	for _, id := range dirBrokers(c.proposal.dirs) {
		if err := alterSettings(ctx, r.client, entityBrokers, id.String(), set, nil); err != nil {
			return err
		}
	}
	fmt.Fprintf(r.out, "The replica-alter-dir throttle limit was set to %d B/s\n", c.logDirThrottle)
	return nil
}

// clearThrottles takes the throttles of all brokers and of the topics away.
func (r *bootstrapReassign) clearThrottles(ctx context.Context, p *proposal) error {
	all, err := r.brokers(ctx)
	if err != nil {
		return err
	}
	ids := make([]model.BrokerID, len(all))
	for i, b := range all {
		ids[i] = b.ID
	}
	showBrokersCleared(r.out, ids)
	for _, id := range ids {
		if err := alterSettings(ctx, r.client, entityBrokers, id.String(), nil, brokerThrottles); err != nil {
			return err
		}
	}
	topics := p.topics()
	showTopicsCleared(r.out, topics)
	for _, name := range topics {
		if err := alterSettings(ctx, r.client, entityTopics, name, nil, topicThrottles); err != nil {
			return err
		}
	}
	return nil
}
