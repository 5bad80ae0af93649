package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"

	"gregor/pkg/admin"
	"gregor/pkg/logging"
	"gregor/pkg/model"
	"gregor/pkg/zkstore"
)

// zooKeeperReassign reassigns by the znode that the controller follows. It
// knows nothing of log directories.
type zooKeeperReassign struct {
	store *zkstore.Store
	admin *admin.ZK
	out   io.Writer
}

func openZooKeeperReassign(ctx context.Context, loggers *logging.Loggers, out io.Writer, connect string) (*zooKeeperReassign, error) {
	store, err := openZooKeeper(ctx, loggers, connect, "reassign-partitions-tool")
	if err != nil {
		return nil, err
	}
	return &zooKeeperReassign{store: store, admin: admin.NewZK(store, loggers), out: out}, nil
}

// verify tells how far a reassignment is, and takes the throttles away when
// none is left.
func (r *zooKeeperReassign) verify(ctx context.Context, c *reassignCommand) error {
	if len(c.proposal.dirs) > 0 {
		return exceptionf(adminCommandFailed, "bootstrap-server needs to be provided when replica reassignments are present.")
	}
	fmt.Fprintln(r.out, "Warning: because you are using the deprecated --zookeeper option, the results may be incomplete.  "+
		"Use --bootstrap-server instead for more accurate results.")
	running, _, err := r.store.ReassignPartitions(ctx)
	if err != nil {
		return err
	}
	current, err := r.assignments(ctx, c.proposal.topics())
	if err != nil {
		return err
	}
	states := map[model.TopicPartition]partitionProgress{}
	for _, tp := range c.proposal.sorted() {
		_, moving := running[tp]
		states[tp] = partitionProgress{replicas: current[tp], running: moving}
	}
	showProgress(r.out, c.proposal, states)
	if len(running) > 0 {
		return nil
	}
	return r.clearThrottles(ctx, c.proposal)
}

// generate proposes replicas.
func (r *zooKeeperReassign) generate(ctx context.Context, c *reassignCommand) error {
	current, err := r.assignments(ctx, c.topics)
	if err != nil {
		return err
	}
	all, err := r.admin.Candidates(ctx, admin.RackSafe)
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
func (r *zooKeeperReassign) execute(ctx context.Context, c *reassignCommand) error {
	p := c.proposal
	if len(p.dirs) > 0 {
		return exceptionf(adminCommandFailed, "bootstrap-server needs to be provided when replica reassignments are present.")
	}
	current, err := r.check(ctx, p)
	if err != nil {
		return err
	}
	_, found, err := r.store.ReassignPartitions(ctx)
	if err != nil && !errors.Is(err, zkstore.ErrBadData) {
		return err
	}
	if found {
		return &toldError{reassignRunning}
	}
	if err := showRollback(r.out, p, current); err != nil {
		return err
	}
	if c.throttle >= 0 {
		fmt.Fprintln(r.out, reassignVerifyLater)
		if err := r.throttle(ctx, c, current); err != nil {
			return err
		}
	}
	err = r.store.CreateReassignPartitions(ctx, p.replicas)
	if errors.Is(err, zkstore.ErrNodeExists) {
		return &toldError{reassignRunning}
	}
	if err == nil {
		showStarted(r.out, p)
	}
	return err
}

// check refuses partitions and brokers that are not there, and gives the
// present replicas.
func (r *zooKeeperReassign) check(ctx context.Context, p *proposal) (map[model.TopicPartition][]model.BrokerID, error) {
	current, err := r.assignments(ctx, p.topics())
	if err != nil {
		return nil, err
	}
	var missing []model.TopicPartition
	for _, tp := range p.partitions {
		if current[tp] == nil {
			missing = append(missing, tp)
		}
	}
	if len(missing) > 0 {
		return nil, exceptionf(adminCommandFailed, "The proposed assignment contains non-existent partitions: List(%s)", joinPartitions(missing, ", "))
	}
	live, err := r.store.BrokerIDs(ctx)
	if err != nil {
		return nil, err
	}
	var unknown []model.BrokerID
	for _, tp := range p.partitions {
		for _, id := range p.replicas[tp] {
			if !slices.Contains(live, id) && !slices.Contains(unknown, id) {
				unknown = append(unknown, id)
			}
		}
	}
	if len(unknown) > 0 {
		return nil, exceptionf(adminCommandFailed, "The proposed assignment contains non-existent brokerIDs: %s", joinIDs(unknown))
	}
	return current, nil
}

// assignments are the replicas of all partitions of topics.
func (r *zooKeeperReassign) assignments(ctx context.Context, topics []string) (map[model.TopicPartition][]model.BrokerID, error) {
	found := map[model.TopicPartition][]model.BrokerID{}
	all, err := r.store.TopicAssignments(ctx, topics)
	for name, a := range all {
		for number, p := range a.Partitions {
			found[model.TopicPartition{Topic: name, Partition: number}] = p.Replicas
		}
	}
	return found, err
}

// throttle limits the brokers and marks the replicas that a reassignment
// copies from and to.
func (r *zooKeeperReassign) throttle(ctx context.Context, c *reassignCommand, current map[model.TopicPartition][]model.BrokerID) error {
	moves, err := planMoves(nil, c.proposal, current)
	if err != nil {
		return err
	}
	topics, brokers := throttles(moves)
	rate := strconv.FormatInt(c.throttle, 10)
	for _, id := range brokers {
		set := map[string]string{leaderThrottleRate: rate, followerThrottleRate: rate}
		if err := r.changeBroker(ctx, id, func(settings map[string]string) bool { maps.Copy(settings, set); return true }); err != nil {
			return err
		}
	}
	for _, name := range sortedKeys(topics) {
		set := map[string]string{leaderThrottledReplicas: topics[name].leader, followerThrottleReplicas: topics[name].follower}
		if err := r.changeTopic(ctx, name, func(settings map[string]string) bool { maps.Copy(settings, set); return true }); err != nil {
			return err
		}
	}
	fmt.Fprintf(r.out, "The inter-broker throttle limit was set to %d B/s\n", c.throttle)
	return nil
}

// clearThrottles takes the throttles of all brokers and of the topics away.
func (r *zooKeeperReassign) clearThrottles(ctx context.Context, p *proposal) error {
	brokers, err := r.store.BrokerIDs(ctx)
	if err != nil {
		return err
	}
	showBrokersCleared(r.out, brokers)
	for _, id := range brokers {
		if err := r.changeBroker(ctx, id, removeKeys(brokerThrottles)); err != nil {
			return err
		}
	}
	topics := p.topics()
	showTopicsCleared(r.out, topics)
	for _, name := range topics {
		if err := r.changeTopic(ctx, name, removeKeys(topicThrottles)); err != nil {
			return err
		}
	}
	return nil
}

// removeKeys is a change that tells whether one of the keys was there.
func removeKeys(keys []string) func(map[string]string) bool {
	return func(settings map[string]string) bool {
		before := len(settings)
		for _, key := range keys {
			delete(settings, key)
		}
		return len(settings) < before
	}
}

func (r *zooKeeperReassign) changeBroker(ctx context.Context, id model.BrokerID, change func(map[string]string) bool) error {
	settings, err := r.settings(ctx, zkstore.EntityBrokers, id.String())
	if err != nil || !change(settings) {
		return err
	}
	return r.admin.ChangeBrokerConfig(ctx, id, settings)
}

func (r *zooKeeperReassign) changeTopic(ctx context.Context, name string, change func(map[string]string) bool) error {
	settings, err := r.settings(ctx, zkstore.EntityTopics, name)
	if err != nil || !change(settings) {
		return err
	}
	return r.admin.ChangeTopicConfig(ctx, name, settings)
}

func (r *zooKeeperReassign) settings(ctx context.Context, entityType, name string) (map[string]string, error) {
	stored, err := r.store.EntityConfig(ctx, entityType, name)
	settings := map[string]string{}
	maps.Copy(settings, stored)
	return settings, err
}
