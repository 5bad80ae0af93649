package cli

import (
	"context"
	"errors"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/kerr"
	"gregor/pkg/model"
)

// groupClient is what AdminClient offers for consumer groups and offsets.
// Errors are those that the futures of AdminClient end with.
type groupClient struct{ *adminClient }

// listGroups asks all brokers for their consumer groups, in the given states
// if there are any. The order is that of AdminClient's HashMap.
func (c *groupClient) listGroups(ctx context.Context, states []string) ([]kmsg.ListGroupsResponseGroup, error) {
	o := c.begin("findAllBrokers")
	for {
		err := c.refresh(ctx)
		if err == nil {
			break
		}
		if err := c.pause(ctx, o, err); err != nil {
			return nil, execution(causedBy(err, kafkaException, "Failed to find brokers to send ListGroups"))
		}
	}
	found, names := map[string]kmsg.ListGroupsResponseGroup{}, []string(nil)
	for _, id := range c.brokerIDs() {
		resp, err := c.listGroupsOf(ctx, target(id), states)
		if err != nil {
			return nil, execution(err)
		}
		for _, g := range resp.Groups {
			if g.ProtocolType != "consumer" && g.ProtocolType != "" {
				continue
			}
			if _, twice := found[g.Group]; !twice {
				names = append(names, g.Group)
			}
			found[g.Group] = g
		}
	}
	groups := make([]kmsg.ListGroupsResponseGroup, 0, len(names))
	for _, name := range hashMapOrder(names, 16) {
		groups = append(groups, found[name])
	}
	return groups, nil
}

// listGroupsOf asks one broker, until none of its groups is being loaded.
func (c *groupClient) listGroupsOf(ctx context.Context, broker target, states []string) (*kmsg.ListGroupsResponse, error) {
	o := c.begin("listConsumerGroups")
	for {
		req := kmsg.NewPtrListGroupsRequest()
		req.StatesFilter = states
		resp, err := c.attempt(ctx, o, broker, req)
		if err == nil {
			r := resp.(*kmsg.ListGroupsResponse)
			if r.ErrorCode == 0 {
				return r, nil
			}
			err = kerr.ForCode(r.ErrorCode)
		}
		if err := c.pause(ctx, o, err); err != nil {
			return nil, err
		}
	}
}

// onCoordinator sends a request to the coordinator of a group until its
// response has no error that passes. code finds the error of a response.
func (c *groupClient) onCoordinator(ctx context.Context, name, group string, req kmsg.Request, code func(kmsg.Response) int16) (kmsg.Response, *node, error) {
	o := c.begin(name)
	for {
		coordinator, err := c.findCoordinator(ctx, group, o)
		if err != nil {
			return nil, nil, err
		}
		resp, err := c.attempt(ctx, o, target(coordinator.id), req)
		if err == nil {
			kind := kerr.ForCode(code(resp))
			if kind == nil || !kind.Retriable {
				return resp, coordinator, nil
			}
			err = kind
		}
		if err := c.pause(ctx, o, err); err != nil {
			return nil, nil, err
		}
	}
}

// findCoordinator asks any broker for the coordinator of a group.
func (c *groupClient) findCoordinator(ctx context.Context, group string, within *operation) (*node, error) {
	o := c.begin("findCoordinator")
	o.deadline = within.deadline
	for {
		req := kmsg.NewPtrFindCoordinatorRequest()
		req.CoordinatorKey = group
		resp, err := c.attempt(ctx, o, anyNode, req)
		if err == nil {
			r := resp.(*kmsg.FindCoordinatorResponse)
			if err = protocolError(r.ErrorCode, r.ErrorMessage); err == nil {
				return &node{id: r.NodeID, host: r.Host, port: r.Port}, nil
			}
			if kind := kerr.ForCode(r.ErrorCode); kind.Retriable {
				err = kind
			}
		}
		if err := c.pause(ctx, o, err); err != nil {
			return nil, err
		}
	}
}

// groupDescription is a group as its coordinator describes it.
type groupDescription struct {
	kmsg.DescribeGroupsResponseGroup
	coordinator *node
	members     []groupMember
}

// groupMember is a member with what the group's leader gave it.
type groupMember struct {
	kmsg.DescribeGroupsResponseGroupMember
	partitions []model.TopicPartition
}

// describe describes groups; one that does not exist is Dead.
func (c *groupClient) describe(ctx context.Context, groups []string) (map[string]*groupDescription, error) {
	described := map[string]*groupDescription{}
	for _, group := range groups {
		if described[group] != nil {
			continue
		}
		req := kmsg.NewPtrDescribeGroupsRequest()
		req.Groups = []string{group}
		resp, coordinator, err := c.onCoordinator(ctx, "describeConsumerGroups", group, req, func(resp kmsg.Response) int16 {
			r := resp.(*kmsg.DescribeGroupsResponse)
			if len(r.Groups) != 1 {
				return kerr.UnknownServerError.Code
			}
			return r.Groups[0].ErrorCode
		})
		if err != nil {
			return nil, execution(err)
		}
		r := resp.(*kmsg.DescribeGroupsResponse)
		if len(r.Groups) != 1 {
			return nil, execution(kerr.UnknownServerError)
		}
		if described[group], err = newGroupDescription(r.Groups[0], coordinator); err != nil {
			return nil, execution(err)
		}
	}
	return described, nil
}

func newGroupDescription(g kmsg.DescribeGroupsResponseGroup, coordinator *node) (*groupDescription, error) {
	if kind := kerr.ForCode(g.ErrorCode); kind != nil {
		return nil, kind
	}
	if g.ProtocolType != "consumer" && g.ProtocolType != "" {
		return nil, exceptionf(illegalArgument, "GroupId %s is not a consumer group (%s).", g.Group, g.ProtocolType)
	}
	d := &groupDescription{DescribeGroupsResponseGroup: g, coordinator: coordinator}
	for _, m := range g.Members {
		member := groupMember{DescribeGroupsResponseGroupMember: m}
		if len(m.MemberAssignment) > 0 {
			var assignment kmsg.ConsumerMemberAssignment
			if err := assignment.ReadFrom(m.MemberAssignment); err != nil {
				return nil, exceptionf("org.apache.kafka.common.protocol.types.SchemaException", "assignment of member %s: %s", m.MemberID, err)
			}
			for _, t := range assignment.Topics {
				for _, p := range t.Partitions {
					member.partitions = append(member.partitions, model.TopicPartition{Topic: t.Topic, Partition: p})
				}
			}
			member.partitions = partitionsInHashOrder(member.partitions, len(member.partitions)*4/3+1)
		}
		d.members = append(d.members, member)
	}
	return d, nil
}

// committed are the offsets that a group has committed, and their partitions
// in the order of AdminClient's HashMap.
type committed struct {
	offsets    map[model.TopicPartition]int64
	partitions []model.TopicPartition
}

func (c *groupClient) committedOffsets(ctx context.Context, group string) (*committed, error) {
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Group, req.Topics = group, nil
	resp, _, err := c.onCoordinator(ctx, "listConsumerGroupOffsets", group, req, func(resp kmsg.Response) int16 {
		return resp.(*kmsg.OffsetFetchResponse).ErrorCode
	})
	if err != nil {
		return nil, execution(err)
	}
	r := resp.(*kmsg.OffsetFetchResponse)
	if kind := kerr.ForCode(r.ErrorCode); kind != nil {
		return nil, execution(kind)
	}
	found := &committed{offsets: map[model.TopicPartition]int64{}}
	for _, t := range r.Topics {
		for _, p := range t.Partitions {
			if p.ErrorCode != 0 || p.Offset < 0 {
				continue
			}
			tp := model.TopicPartition{Topic: t.Topic, Partition: p.Partition}
			found.offsets[tp] = p.Offset
			found.partitions = append(found.partitions, tp)
		}
	}
	found.partitions = partitionsInHashOrder(found.partitions, 16)
	return found, nil
}

// commit sets offsets of a group without members.
func (c *groupClient) commit(ctx context.Context, group string, offsets []partitionOffset) error {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.Generation = group, -1
	for _, row := range offsets {
		i := slices.IndexFunc(req.Topics, func(t kmsg.OffsetCommitRequestTopic) bool { return t.Topic == row.Topic })
		if i < 0 {
			topic := kmsg.NewOffsetCommitRequestTopic()
			topic.Topic = row.Topic
			req.Topics, i = append(req.Topics, topic), len(req.Topics)
		}
		p := kmsg.NewOffsetCommitRequestTopicPartition()
		p.Partition, p.Offset, p.Metadata = row.Partition, row.offset, kmsg.StringPtr("")
		req.Topics[i].Partitions = append(req.Topics[i].Partitions, p)
	}
	failure := func(resp kmsg.Response) int16 {
		for _, t := range resp.(*kmsg.OffsetCommitResponse).Topics {
			for _, p := range t.Partitions {
				if p.ErrorCode != 0 {
					return p.ErrorCode
				}
			}
		}
		return 0
	}
	resp, _, err := c.onCoordinator(ctx, "commitOffsets", group, req, failure)
	if err == nil {
		err = protocolError(failure(resp), nil)
	}
	if err != nil {
		return execution(err)
	}
	return nil
}

// deleteGroup deletes one group.
func (c *groupClient) deleteGroup(ctx context.Context, group string) error {
	req := kmsg.NewPtrDeleteGroupsRequest()
	req.Groups = []string{group}
	code := func(resp kmsg.Response) int16 {
		if r := resp.(*kmsg.DeleteGroupsResponse); len(r.Groups) == 1 {
			return r.Groups[0].ErrorCode
		}
		return kerr.UnknownServerError.Code
	}
	resp, _, err := c.onCoordinator(ctx, "deleteConsumerGroups", group, req, code)
	if err == nil {
		err = protocolError(code(resp), nil)
	}
	if err != nil {
		return execution(err)
	}
	return nil
}

// deleteOffsets deletes committed offsets. The error is that of the whole
// request; otherwise each partition has its code.
func (c *groupClient) deleteOffsets(ctx context.Context, group string, partitions []model.TopicPartition) (map[model.TopicPartition]int16, error) {
	req := kmsg.NewPtrOffsetDeleteRequest()
	req.Group = group
	for topic, numbers := range byTopic(partitions) {
		t := kmsg.NewOffsetDeleteRequestTopic()
		t.Topic = topic
		for _, number := range numbers {
			p := kmsg.NewOffsetDeleteRequestTopicPartition()
			p.Partition = number
			t.Partitions = append(t.Partitions, p)
		}
		req.Topics = append(req.Topics, t)
	}
	resp, _, err := c.onCoordinator(ctx, "deleteConsumerGroupOffsets", group, req, func(resp kmsg.Response) int16 {
		return resp.(*kmsg.OffsetDeleteResponse).ErrorCode
	})
	if err != nil {
		return nil, err
	}
	r := resp.(*kmsg.OffsetDeleteResponse)
	if kind := kerr.ForCode(r.ErrorCode); kind != nil {
		return nil, kind
	}
	codes := map[model.TopicPartition]int16{}
	for _, t := range r.Topics {
		for _, p := range t.Partitions {
			codes[model.TopicPartition{Topic: t.Topic, Partition: p.Partition}] = p.ErrorCode
		}
	}
	return codes, nil
}

// byTopic gathers partition numbers by topic.
func byTopic(partitions []model.TopicPartition) map[string][]int32 {
	topics := map[string][]int32{}
	for _, tp := range partitions {
		topics[tp.Topic] = append(topics[tp.Topic], tp.Partition)
	}
	return topics
}

// topicPartitions finds the partitions of a topic.
func (c *groupClient) topicPartitions(ctx context.Context, topic string) ([]model.TopicPartition, error) {
	o := c.begin("describeTopics")
	for {
		t, err := c.topicMetadata(ctx, o, topic)
		if err == nil {
			partitions := make([]model.TopicPartition, len(t.Partitions))
			for i, p := range t.Partitions {
				partitions[i] = model.TopicPartition{Topic: topic, Partition: p.Partition}
			}
			slices.SortFunc(partitions, model.TopicPartition.Compare)
			return partitions, nil
		}
		if kind := new(kerr.Error); errors.As(err, &kind) {
			return nil, execution(err)
		}
		if err := c.pause(ctx, o, err); err != nil {
			return nil, execution(err)
		}
	}
}

// topicMetadata asks once for one topic.
func (c *groupClient) topicMetadata(ctx context.Context, o *operation, topic string) (*kmsg.MetadataResponseTopic, error) {
	req := kmsg.NewPtrMetadataRequest()
	row := kmsg.NewMetadataRequestTopic()
	row.Topic = &topic
	req.Topics, req.AllowAutoTopicCreation = []kmsg.MetadataRequestTopic{row}, false
	resp, err := c.attempt(ctx, o, anyNode, req)
	if err != nil {
		return nil, err
	}
	r := resp.(*kmsg.MetadataResponse)
	c.learn(r)
	if len(r.Topics) != 1 {
		return nil, kerr.UnknownTopicOrPartition
	}
	if kind := kerr.ForCode(r.Topics[0].ErrorCode); kind != nil {
		return nil, kind
	}
	return &r.Topics[0], nil
}

// Times that stand for a place in the log.
const (
	latestTime   int64 = -1
	earliestTime int64 = -2
)

// listOffsets finds the offset of a time in every partition; -1 where there
// is no record of that time or later.
func (c *groupClient) listOffsets(ctx context.Context, partitions []model.TopicPartition, time int64) (map[model.TopicPartition]int64, error) {
	o := c.begin("metadata")
	for {
		found, err := c.listOffsetsOnce(ctx, o, partitions, time)
		if err == nil {
			return found, nil
		}
		if final := new(unlisted); errors.As(err, &final) {
			return nil, execution(final.error)
		}
		if err := c.pause(ctx, o, err); err != nil {
			return nil, execution(err)
		}
	}
}

// unlisted is the outcome for a topic that is not there, and for a partition
// that the topic does not have: neither is asked for again.
type unlisted struct{ error }

func (c *groupClient) listOffsetsOnce(ctx context.Context, o *operation, partitions []model.TopicPartition, time int64) (map[model.TopicPartition]int64, error) {
	leaders, err := c.leaders(ctx, o, partitions)
	if err != nil {
		return nil, err
	}
	found := map[model.TopicPartition]int64{}
	for leader, own := range leaders {
		resp, err := c.attempt(ctx, o, target(leader), listOffsetsRequest(own, time))
		if err != nil {
			return nil, err
		}
		for _, t := range resp.(*kmsg.ListOffsetsResponse).Topics {
			for _, p := range t.Partitions {
				if kind := kerr.ForCode(p.ErrorCode); kind != nil {
					return nil, kind
				}
				found[model.TopicPartition{Topic: t.Topic, Partition: p.Partition}] = p.Offset
			}
		}
	}
	for _, tp := range partitions {
		if _, ok := found[tp]; !ok {
			return nil, kerr.UnknownServerError
		}
	}
	return found, nil
}

func listOffsetsRequest(partitions []model.TopicPartition, time int64) kmsg.Request {
	req := kmsg.NewPtrListOffsetsRequest()
	for topic, numbers := range byTopic(partitions) {
		t := kmsg.NewListOffsetsRequestTopic()
		t.Topic = topic
		for _, number := range numbers {
			p := kmsg.NewListOffsetsRequestTopicPartition()
			p.Partition, p.Timestamp, p.MaxNumOffsets = number, time, 1
			t.Partitions = append(t.Partitions, p)
		}
		req.Topics = append(req.Topics, t)
	}
	return req
}

// leaders groups partitions by the broker that leads them.
func (c *groupClient) leaders(ctx context.Context, o *operation, partitions []model.TopicPartition) (map[int32][]model.TopicPartition, error) {
	leaders := map[int32][]model.TopicPartition{}
	for topic, numbers := range byTopic(partitions) {
		t, err := c.topicMetadata(ctx, o, topic)
		if kind := new(kerr.Error); errors.As(err, &kind) {
			return nil, &unlisted{kind}
		}
		if err != nil {
			return nil, err
		}
		for _, number := range numbers {
			i := slices.IndexFunc(t.Partitions, func(p kmsg.MetadataResponseTopicPartition) bool { return p.Partition == number })
			if i < 0 {
				return nil, &unlisted{kerr.LeaderNotAvailable}
			}
			if kind := kerr.ForCode(t.Partitions[i].ErrorCode); kind != nil && kind.Retriable && kind != kerr.ReplicaNotAvailable {
				return nil, kind
			}
			leader := t.Partitions[i].Leader
			leaders[leader] = append(leaders[leader], model.TopicPartition{Topic: topic, Partition: number})
		}
	}
	return leaders, nil
}
