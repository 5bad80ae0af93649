package admin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/config"
	"gregor/pkg/kerr"
	"gregor/pkg/logging"
	"gregor/pkg/metadata"
	"gregor/pkg/model"
)

// ControllerState is what topic administration asks of the controller.
type ControllerState interface {
	IsActive() bool
	IsQueuedForDeletion(ctx context.Context, topic string) (bool, error)
	TopicName(ctx context.Context, id model.TopicID) (name string, found bool, err error)
	ElectLeaders(ctx context.Context, partitions []model.TopicPartition, unclean bool) (elected map[model.TopicPartition]model.BrokerID, failed map[model.TopicPartition]error, err error)
}

// TopicsOptions are what Topics works with.
type TopicsOptions struct {
	ID         model.BrokerID
	ZK         *ZK
	Controller ControllerState
	Metadata   *metadata.Cache
	Config     func() *config.Broker // as it is now
	Loggers    *logging.Loggers
}

// Topics makes, deletes and grows topics for the API and for automatic
// creation, and has leaders elected. Safe for concurrent use; calls wait on the caller's goroutine.
type Topics struct {
	TopicsOptions
	log  *logrus.Entry // kafka.server.ZkAdminManager
	auto *logrus.Entry // kafka.server.DefaultAutoTopicCreationManager

	mu       sync.Mutex // guards the fields below
	inFlight map[string]bool
	tooFew   map[string]time.Time // when too few brokers were told of, by setting
}

// NewTopics returns the administration of a broker.
func NewTopics(o TopicsOptions) *Topics {
	return &Topics{TopicsOptions: o, log: o.Loggers.Logger("kafka.server.ZkAdminManager"),
		auto: o.Loggers.Logger("kafka.server.DefaultAutoTopicCreationManager"), inFlight: map[string]bool{}, tooFew: map[string]time.Time{}}
}

// prefix is how Kafka's administration begins its lines.
func (t *Topics) prefix() string { return fmt.Sprintf("[Admin Manager on Broker %d]: ", t.ID) }

// CreateTopics answers a request of any version. It returns when the leaders
// of what it created are in this broker's metadata cache, or the request's
// time is over.
func (t *Topics) CreateTopics(ctx context.Context, req *kmsg.CreateTopicsRequest) *kmsg.CreateTopicsResponse {
	resp := kmsg.NewPtrCreateTopicsResponse()
	resp.SetVersion(req.GetVersion())
	active := t.Controller.IsActive()
	seen := map[string]int{}
	for i := range req.Topics {
		seen[req.Topics[i].Topic]++
	}
	waiting := map[string]int{} // partitions to wait for, by topic
	for i := range req.Topics {
		one := kmsg.NewCreateTopicsResponseTopic()
		one.Topic = req.Topics[i].Topic
		var err error
		switch {
		case !active:
			one.ErrorCode = kerr.NotController.Code
		case seen[one.Topic] > 1:
			one.ErrorCode = kerr.InvalidRequest.Code
			one.ErrorMessage = kmsg.StringPtr("Found multiple entries for this topic.")
		default:
			err = t.createOne(ctx, &req.Topics[i], req.ValidateOnly, &one)
			one.ErrorCode, one.ErrorMessage = kerr.Code(err), kerr.Message(err)
			if err == nil && !req.ValidateOnly {
				waiting[one.Topic] = int(one.NumPartitions)
			}
		}
		resp.Topics = append(resp.Topics, one)
	}
	late := t.awaitLeaders(ctx, req.TimeoutMillis, waiting)
	for i := range resp.Topics {
		if one := &resp.Topics[i]; late[one.Topic] && one.ErrorCode == 0 {
			id := one.TopicID // it is made all the same
			*one = kmsg.NewCreateTopicsResponseTopic()
			one.Topic, one.TopicID, one.ErrorCode = req.Topics[i].Topic, id, kerr.RequestTimedOut.Code
		}
		if one := &resp.Topics[i]; one.ErrorCode != 0 {
			one.Configs = []kmsg.CreateTopicsResponseTopicConfig{} // empty, not null
		}
	}
	return resp
}

// createOne checks and, unless validateOnly, makes a topic, and fills in what
// the answer tells about it. The error has Kafka's code and text.
func (t *Topics) createOne(ctx context.Context, req *kmsg.CreateTopicsRequestTopic, validateOnly bool, resp *kmsg.CreateTopicsResponseTopic) error {
	topic, effective, err := t.plan(ctx, req)
	if err == nil && !validateOnly {
		topic.WithID = t.Config().InterBrokerProtocol() >= config.IBP_2_8_IV0
		var id model.TopicID
		id, err = t.ZK.WriteNewTopic(ctx, topic)
		resp.TopicID = id
	}
	if err == nil {
		resp.NumPartitions = int32(len(topic.Assignment))
		resp.ReplicationFactor = int16(len(topic.Assignment[0]))
		resp.Configs = describeConfigs(effective)
		return nil
	}
	resp.TopicID = model.TopicID{}
	return t.refused(err, fmt.Sprintf("Error processing create topic request %s", describeRequest(req)), kerr.Of(err) == kerr.TopicAlreadyExists)
}

// plan resolves defaults, places the replicas and validates.
func (t *Topics) plan(ctx context.Context, req *kmsg.CreateTopicsRequestTopic) (NewTopic, *config.Topic, error) {
	topic := NewTopic{Name: req.Topic, Config: map[string]string{}}
	if _, exists := t.Metadata.Snapshot().Topic(req.Topic); exists {
		return topic, nil, topicExists(req.Topic)
	}
	var nulls []string
	for _, c := range req.Configs {
		if c.Value == nil {
			nulls = append(nulls, c.Name)
			continue
		}
		topic.Config[c.Name] = *c.Value
	}
	if len(nulls) > 0 {
		return topic, nil, kerr.InvalidRequest.With("Null value not supported for topic configs : %s", strings.Join(nulls, ","))
	}
	var err error
	if topic.Assignment, err = t.assign(req); err != nil {
		return topic, nil, err
	}
	if err := t.ZK.ValidateNewTopic(ctx, topic); err != nil {
		return topic, nil, err
	}
	effective, err := config.ParseTopic(t.Config(), topic.Config)
	return topic, effective, err
}

func (t *Topics) assign(req *kmsg.CreateTopicsRequestTopic) (map[int32][]model.BrokerID, error) {
	const notGiven = -1
	if len(req.ReplicaAssignment) > 0 {
		if req.NumPartitions != notGiven || req.ReplicationFactor != notGiven {
			return nil, kerr.InvalidRequest.With("Both numPartitions or replicationFactor and replicasAssignments were set. Both cannot be used at the same time.")
		}
		assignment := map[int32][]model.BrokerID{}
		for _, a := range req.ReplicaAssignment {
			assignment[a.Partition] = brokerIDs(a.Replicas)
		}
		return assignment, nil
	}
	partitions, replicationFactor := req.NumPartitions, int(req.ReplicationFactor)
	if partitions == notGiven {
		partitions = int32(t.Config().Int("num.partitions"))
	}
	if replicationFactor == notGiven {
		replicationFactor = t.Config().Int("default.replication.factor")
	}
	return AssignReplicas(t.aliveBrokers(), partitions, replicationFactor, Placement{})
}

func (t *Topics) aliveBrokers() []Candidate {
	var alive []Candidate
	for _, b := range t.Metadata.Snapshot().Brokers() {
		alive = append(alive, Candidate{ID: b.ID, Rack: b.Rack})
	}
	return alive
}

// refused logs why a request was refused and gives the error for the wire.
// What has no code of the protocol becomes UNKNOWN_SERVER_ERROR with its
// text, a bad setting INVALID_CONFIG.
func (t *Topics) refused(err error, line string, quiet bool) error {
	var bad *config.Error
	if errors.As(err, &bad) {
		err = kerr.InvalidConfig.With("%s", bad.Text)
	}
	entry := t.log.WithError(err)
	line = t.prefix() + line
	switch {
	case quiet:
		entry.Debug(line)
	case kerr.Of(err) == kerr.UnknownServerError:
		entry.Error(line)
	default:
		entry.Info(line)
	}
	return err
}

// awaitLeaders waits until every partition of the topics has a leader in the
// metadata cache and returns the topics that are not so far in time.
func (t *Topics) awaitLeaders(ctx context.Context, timeoutMs int32, topics map[string]int) map[string]bool {
	return t.await(ctx, timeoutMs, topics, func(s *metadata.Snapshot, name string, partitions int) bool {
		topic, ok := s.Topic(name)
		if !ok {
			return false
		}
		for i := range int32(partitions) {
			if p, ok := topic.Partition(i); !ok || p.Leader < 0 {
				return false
			}
		}
		return true
	})
}

// await waits until done holds for all topics, for timeoutMs at the most, and
// returns those for which it does not hold then. Without time, all are late,
// as in Kafka.
func (t *Topics) await(ctx context.Context, timeoutMs int32, topics map[string]int, done func(s *metadata.Snapshot, name string, partitions int) bool) map[string]bool {
	late := map[string]bool{}
	for name := range topics {
		late[name] = true
	}
	if len(topics) == 0 || timeoutMs <= 0 {
		return late
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(timeoutMs)*time.Millisecond)
	defer cancel()
	t.Metadata.Await(ctx, func(s *metadata.Snapshot) bool {
		maps.DeleteFunc(late, func(name string, _ bool) bool { return done(s, name, topics[name]) })
		return len(late) == 0
	})
	return late
}

// describeConfigs lists the effective settings for the answer of version 5.
func describeConfigs(topic *config.Topic) []kmsg.CreateTopicsResponseTopicConfig {
	var all []kmsg.CreateTopicsResponseTopicConfig
	for _, e := range topic.Describe() {
		one := kmsg.NewCreateTopicsResponseTopicConfig()
		one.Name, one.Value, one.ReadOnly = e.Name, e.Value, e.ReadOnly
		one.Source, one.IsSensitive = int8(e.Source), e.Sensitive
		all = append(all, one)
	}
	return all
}

// describeRequest is Java's form of a topic of the request.
func describeRequest(req *kmsg.CreateTopicsRequestTopic) string {
	var assignments, configs []string
	for _, a := range req.ReplicaAssignment {
		assignments = append(assignments, fmt.Sprintf("CreatableReplicaAssignment(partitionIndex=%d, brokerIds=[%s])", a.Partition, list(brokerIDs(a.Replicas))))
	}
	for _, c := range req.Configs {
		value := "null"
		if c.Value != nil {
			value = "'" + *c.Value + "'"
		}
		configs = append(configs, fmt.Sprintf("CreateableTopicConfig(name='%s', value=%s)", c.Name, value))
	}
	return fmt.Sprintf("CreatableTopic(name='%s', numPartitions=%d, replicationFactor=%d, assignments=[%s], configs=[%s])",
		req.Topic, req.NumPartitions, req.ReplicationFactor, strings.Join(assignments, ", "), strings.Join(configs, ", "))
}

func brokerIDs(ids []int32) []model.BrokerID {
	out := make([]model.BrokerID, len(ids))
	for i, id := range ids {
		out[i] = model.BrokerID(id)
	}
	return out
}
