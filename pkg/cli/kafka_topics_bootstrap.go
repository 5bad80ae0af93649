package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/kerr"
	"gregor/pkg/model"
)

// bootstrapTopics works through a broker.
type bootstrapTopics struct {
	client   *adminClient
	out      io.Writer
	metadata *kmsg.MetadataResponse // of all topics, once it was asked for
}

func (s *bootstrapTopics) close() { s.client.Close() }

// topicNames asks for all topics with their partitions, which the actions
// that follow use as well.
func (s *bootstrapTopics) topicNames(ctx context.Context) ([]string, error) {
	req := kmsg.NewPtrMetadataRequest()
	req.Topics, req.AllowAutoTopicCreation = nil, false
	resp, err := s.client.call(ctx, "listTopics", anyNode, req)
	if err != nil {
		return nil, err
	}
	s.metadata = resp.(*kmsg.MetadataResponse)
	s.client.learn(s.metadata)
	names := make([]string, 0, len(s.metadata.Topics))
	for _, t := range s.metadata.Topics {
		if t.Topic != nil {
			names = append(names, *t.Topic)
		}
	}
	slices.Sort(names)
	return names, nil
}

func (s *bootstrapTopics) list(_ context.Context, topics []string) error {
	_, err := io.WriteString(s.out, strings.Join(topics, "\n")+"\n")
	return err
}

func (s *bootstrapTopics) create(ctx context.Context, t *topicChange) error {
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = t.topic, -1, -1
	if n := t.replicationFactor; n != nil {
		if *n < 1 || *n > math.MaxInt16 {
			return exceptionf(illegalArgument, "The replication factor must be between 1 and %d inclusive", math.MaxInt16)
		}
		topic.ReplicationFactor = int16(*n)
	}
	if n := t.partitions; n != nil {
		if *n < 1 {
			return exceptionf(illegalArgument, "The partitions must be greater than 0")
		}
		topic.NumPartitions = *n
	}
	if t.topic == "" {
		return kerr.InvalidTopicException.With("The given topic name '' cannot be represented in a request.")
	}
	for i, replicas := range t.assignment {
		assignment := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
		assignment.Partition, assignment.Replicas = int32(i), int32s(replicas)
		topic.ReplicaAssignment = append(topic.ReplicaAssignment, assignment)
	}
	for _, name := range sortedKeys(t.configs) {
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = name, kmsg.StringPtr(t.configs[name])
		topic.Configs = append(topic.Configs, c)
	}
	err := s.sendCreate(ctx, topic)
	if errors.Is(err, kerr.TopicAlreadyExists) && t.ifNotExists {
		return nil
	}
	if err == nil {
		_, err = fmt.Fprintf(s.out, "Created topic %s.\n", t.topic)
	}
	return err
}

func (s *bootstrapTopics) sendCreate(ctx context.Context, topic kmsg.CreateTopicsRequestTopic) error {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Topics = append(req.Topics, topic)
	req.TimeoutMillis = s.client.requestTimeoutMs()
	resp, err := s.client.callController(ctx, "createTopics", req, func(resp kmsg.Response) bool {
		return slices.ContainsFunc(resp.(*kmsg.CreateTopicsResponse).Topics, func(t kmsg.CreateTopicsResponseTopic) bool {
			return t.ErrorCode == kerr.NotController.Code
		})
	})
	if err != nil {
		return err
	}
	for _, t := range resp.(*kmsg.CreateTopicsResponse).Topics {
		if err := protocolError(t.ErrorCode, t.ErrorMessage); err != nil {
			return err
		}
	}
	return nil
}

func (s *bootstrapTopics) delete(ctx context.Context, topics []string) error {
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.TimeoutMillis = s.client.requestTimeoutMs()
	for _, name := range topics {
		t := kmsg.NewDeleteTopicsRequestTopic()
		t.Topic = kmsg.StringPtr(name)
		req.Topics, req.TopicNames = append(req.Topics, t), append(req.TopicNames, name)
	}
	resp, err := s.client.callController(ctx, "deleteTopics", req, func(resp kmsg.Response) bool {
		return slices.ContainsFunc(resp.(*kmsg.DeleteTopicsResponse).Topics, func(t kmsg.DeleteTopicsResponseTopic) bool {
			return t.ErrorCode == kerr.NotController.Code
		})
	})
	if err != nil {
		return err
	}
	for _, t := range resp.(*kmsg.DeleteTopicsResponse).Topics {
		if err := protocolError(t.ErrorCode, t.ErrorMessage); err != nil {
			return err
		}
	}
	return nil
}

func (s *bootstrapTopics) alter(ctx context.Context, topics []string, t *topicChange) error {
	req := kmsg.NewPtrCreatePartitionsRequest()
	req.TimeoutMillis = s.client.requestTimeoutMs()
	for _, name := range topics {
		topic := kmsg.NewCreatePartitionsRequestTopic()
		topic.Topic, topic.Count = name, *t.partitions
		if t.assignment != nil {
			topic.Assignment = []kmsg.CreatePartitionsRequestTopicAssignment{}
			for _, replicas := range t.assignment[min(s.partitionCount(name), len(t.assignment)):] {
				assignment := kmsg.NewCreatePartitionsRequestTopicAssignment()
				assignment.Replicas = int32s(replicas)
				topic.Assignment = append(topic.Assignment, assignment)
			}
		}
		req.Topics = append(req.Topics, topic)
	}
	resp, err := s.client.callController(ctx, "createPartitions", req, func(resp kmsg.Response) bool {
		return slices.ContainsFunc(resp.(*kmsg.CreatePartitionsResponse).Topics, func(t kmsg.CreatePartitionsResponseTopic) bool {
			return t.ErrorCode == kerr.NotController.Code
		})
	})
	if err != nil {
		return err
	}
	for _, t := range resp.(*kmsg.CreatePartitionsResponse).Topics {
		if err := protocolError(t.ErrorCode, t.ErrorMessage); err != nil {
			return err
		}
	}
	return nil
}

// partitionCount is the number of partitions that metadata showed.
func (s *bootstrapTopics) partitionCount(topic string) int {
	for _, t := range s.metadata.Topics {
		if t.Topic != nil && *t.Topic == topic {
			return len(t.Partitions)
		}
	}
	return 0
}

func (s *bootstrapTopics) describe(ctx context.Context, topics []string, o *topicOptions) error {
	configs, err := s.configs(ctx, topics)
	if err != nil {
		return err
	}
	reassignments, err := s.reassignments(ctx)
	if err != nil {
		return err
	}
	live := map[model.BrokerID]bool{}
	for _, id := range s.client.brokerIDs() {
		live[model.BrokerID(id)] = true
	}
	d := newDescriber(s.out, o, live)
	metadata := map[string]*kmsg.MetadataResponseTopic{}
	for i := range s.metadata.Topics {
		if t := &s.metadata.Topics[i]; t.Topic != nil {
			metadata[*t.Topic] = t
		}
	}
	// AdminClient collects the descriptions in two maps, one after the other.
	order := hashMapOrder(hashMapOrder(topics, len(topics)), len(topics))
	for _, name := range order {
		t := describeMetadata(metadata[name], live, reassignments[name])
		c := configs[name]
		if c == nil {
			return kerr.UnknownTopicOrPartition
		}
		if err := protocolError(c.ErrorCode, c.ErrorMessage); err != nil {
			return err
		}
		t.configs, t.minISR = overriddenConfigs(c)
		if err := d.print(t); err != nil {
			return err
		}
	}
	return nil
}

// configs asks for the configuration of topics.
func (s *bootstrapTopics) configs(ctx context.Context, topics []string) (map[string]*kmsg.DescribeConfigsResponseResource, error) {
	req := kmsg.NewPtrDescribeConfigsRequest()
	for _, name := range topics {
		r := kmsg.NewDescribeConfigsRequestResource()
		r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeTopic, name
		req.Resources = append(req.Resources, r)
	}
	resp, err := s.client.call(ctx, "describeConfigs", anyNode, req)
	if err != nil {
		return nil, err
	}
	found := map[string]*kmsg.DescribeConfigsResponseResource{}
	resources := resp.(*kmsg.DescribeConfigsResponse).Resources
	for i := range resources {
		found[resources[i].ResourceName] = &resources[i]
	}
	return found, nil
}

// overriddenConfigs are the settings that do not have Kafka's default, in the
// order in which the tool prints them, and min.insync.replicas.
func overriddenConfigs(r *kmsg.DescribeConfigsResponseResource) (overridden []string, minISR int32) {
	names := make([]string, 0, len(r.Configs))
	values := map[string]string{}
	shown := map[string]bool{}
	for _, c := range r.Configs {
		names = append(names, c.Name)
		values[c.Name] = stringOr(c.Value, "null")
		shown[c.Name] = c.Source != kmsg.ConfigSourceDefaultConfig && !c.IsDefault
	}
	for _, name := range hashMapOrder(names, 16) {
		if shown[name] {
			overridden = append(overridden, name+"="+values[name])
		}
	}
	if n, err := strconv.ParseInt(values["min.insync.replicas"], 10, 32); err == nil {
		minISR = int32(n)
	}
	return overridden, minISR
}

// reassignments asks the controller for partitions that are being moved, by
// topic; none when the brokers know of no such thing.
func (s *bootstrapTopics) reassignments(ctx context.Context) (map[string][]kmsg.ListPartitionReassignmentsResponseTopicPartition, error) {
	req := kmsg.NewPtrListPartitionReassignmentsRequest()
	req.TimeoutMillis = s.client.requestTimeoutMs()
	resp, err := s.client.callController(ctx, "listPartitionReassignments", req, func(resp kmsg.Response) bool {
		return resp.(*kmsg.ListPartitionReassignmentsResponse).ErrorCode == kerr.NotController.Code
	})
	if err == nil {
		r := resp.(*kmsg.ListPartitionReassignmentsResponse)
		err = protocolError(r.ErrorCode, r.ErrorMessage)
	}
	if errors.Is(err, kerr.UnsupportedVersion) || errors.Is(err, kerr.ClusterAuthorizationFailed) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	found := map[string][]kmsg.ListPartitionReassignmentsResponseTopicPartition{}
	for _, t := range resp.(*kmsg.ListPartitionReassignmentsResponse).Topics {
		found[t.Topic] = t.Partitions
	}
	return found, nil
}

// describeMetadata takes over what metadata says about a topic.
func describeMetadata(m *kmsg.MetadataResponseTopic, live map[model.BrokerID]bool,
	reassignments []kmsg.ListPartitionReassignmentsResponseTopicPartition,
) *topicDescription {
	t := &topicDescription{name: *m.Topic, id: m.TopicID}
	for _, mp := range m.Partitions {
		p := partitionDescription{id: mp.Partition, leader: model.BrokerID(mp.Leader), replicas: brokerIDs(mp.Replicas), isr: brokerIDs(mp.ISR)}
		if !live[p.leader] {
			p.leader = model.NoBroker
		}
		for _, r := range reassignments {
			if r.Partition == mp.Partition {
				p.reassigning, p.adding, p.removing = true, brokerIDs(r.AddingReplicas), brokerIDs(r.RemovingReplicas)
			}
		}
		t.partitions = append(t.partitions, p)
	}
	slices.SortFunc(t.partitions, func(a, b partitionDescription) int { return int(a.id) - int(b.id) })
	return t
}

func brokerIDs(ids []int32) []model.BrokerID {
	out := make([]model.BrokerID, len(ids))
	for i, id := range ids {
		out[i] = model.BrokerID(id)
	}
	return out
}

func int32s(ids []model.BrokerID) []int32 {
	out := make([]int32, len(ids))
	for i, id := range ids {
		out[i] = int32(id)
	}
	return out
}

func stringOr(s *string, otherwise string) string {
	if s == nil {
		return otherwise
	}
	return *s
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
