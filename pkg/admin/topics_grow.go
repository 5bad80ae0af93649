package admin

import (
	"context"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/kerr"
	"gregor/pkg/model"
)

// CreatePartitions answers a request of any version. It returns when the
// leaders of all partitions are in this broker's metadata cache, or the
// request's time is over.
func (t *Topics) CreatePartitions(ctx context.Context, req *kmsg.CreatePartitionsRequest) *kmsg.CreatePartitionsResponse {
	resp := kmsg.NewPtrCreatePartitionsResponse()
	resp.SetVersion(req.GetVersion())
	add := func(topic string, err error) {
		one := kmsg.NewCreatePartitionsResponseTopic()
		one.Topic, one.ErrorCode, one.ErrorMessage = topic, kerr.Code(err), kerr.Message(err)
		if err == error(kerr.NotController) {
			one.ErrorMessage = nil
		}
		resp.Topics = append(resp.Topics, one)
	}
	seen := map[string]int{}
	for _, asked := range req.Topics {
		seen[asked.Topic]++
	}
	active := t.Controller.IsActive()
	waiting := map[string]int{}
	for i := range req.Topics {
		asked := &req.Topics[i]
		switch {
		case !active:
			add(asked.Topic, kerr.NotController)
		case seen[asked.Topic] > 1:
			if !slices.ContainsFunc(resp.Topics, func(r kmsg.CreatePartitionsResponseTopic) bool { return r.Topic == asked.Topic }) {
				add(asked.Topic, kerr.InvalidRequest.With("Duplicate topic in request."))
			}
		default:
			err := t.growOne(ctx, asked, req.ValidateOnly)
			add(asked.Topic, err)
			if err == nil && !req.ValidateOnly {
				waiting[asked.Topic] = int(asked.Count)
			}
		}
	}
	late := t.awaitLeaders(ctx, req.TimeoutMillis, waiting)
	for i := range resp.Topics {
		if one := &resp.Topics[i]; late[one.Topic] && one.ErrorCode == 0 {
			one.ErrorCode = kerr.RequestTimedOut.Code
		}
	}
	return resp
}

// growOne adds the partitions of one topic.
func (t *Topics) growOne(ctx context.Context, asked *kmsg.CreatePartitionsRequestTopic, validateOnly bool) error {
	queued, err := t.Controller.IsQueuedForDeletion(ctx, asked.Topic)
	switch {
	case err != nil:
		return err
	case queued:
		return kerr.InvalidTopicException.With("The topic is queued for deletion.")
	}
	existing, found, err := t.ZK.store.TopicAssignment(ctx, asked.Topic)
	if err != nil {
		return err
	}
	for _, r := range existing.Partitions {
		if len(r.Adding)+len(r.Removing) > 0 {
			return kerr.ReassignmentInProgress.With("A partition reassignment is in progress for the topic '%s'.", asked.Topic)
		}
	}
	have := int32(len(existing.Partitions))
	switch more := asked.Count - have; {
	case !found || have == 0:
		return kerr.UnknownTopicOrPartition.With("The topic '%s' does not exist.", asked.Topic)
	case more < 0:
		return kerr.InvalidPartitions.With("Topic currently has %d partitions, which is higher than the requested %d.", have, asked.Count)
	case more == 0:
		return kerr.InvalidPartitions.With("Topic already has %d partitions.", have)
	}
	brokers, err := t.ZK.Candidates(ctx, RackEnforced)
	if err != nil {
		return err
	}
	assignment, err := askedAssignment(asked, have, brokers)
	if err != nil {
		return err
	}
	return t.ZK.AddPartitions(ctx, asked.Topic, existing, brokers, asked.Count, assignment, validateOnly)
}

// askedAssignment is the assignment that the request brings, nil for none.
func askedAssignment(asked *kmsg.CreatePartitionsRequestTopic, have int32, brokers []Candidate) (map[int32][]model.BrokerID, error) {
	if asked.Assignment == nil {
		return nil, nil
	}
	assignment := map[int32][]model.BrokerID{}
	unknown := map[model.BrokerID]bool{}
	for i, a := range asked.Assignment {
		replicas := brokerIDs(a.Replicas)
		assignment[have+int32(i)] = replicas
		for _, id := range replicas {
			if !slices.ContainsFunc(brokers, func(b Candidate) bool { return b.ID == id }) {
				unknown[id] = true
			}
		}
	}
	if len(unknown) > 0 {
		return nil, kerr.InvalidReplicaAssignment.With("Unknown broker(s) in replica assignment: %s.", list(slices.Sorted(maps.Keys(unknown))))
	}
	if more := asked.Count - have; int(more) != len(asked.Assignment) {
		return nil, kerr.InvalidReplicaAssignment.With("Increasing the number of partitions by %d but %d assignments provided.", more, len(asked.Assignment))
	}
	return assignment, nil
}
