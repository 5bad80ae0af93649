package admin

import (
	"context"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/kerr"
	"gregor/pkg/model"
)

// AutoCreate makes topics that a client asked metadata for, with the broker's
// defaults, and does not wait for their leaders. It gives one error for each
// topic, which is what the client is told: LEADER_NOT_AVAILABLE when the
// topic was made now, by this call or another one.
func (t *Topics) AutoCreate(ctx context.Context, topics []string) []error {
	errs := make([]error, len(topics))
	for i, name := range topics {
		errs[i] = t.autoCreateOne(ctx, name)
	}
	return errs
}

func (t *Topics) autoCreateOne(ctx context.Context, name string) error {
	if ValidateTopicName(name) != nil {
		return kerr.InvalidTopicException
	}
	req := t.creatable(name)
	if err := t.enoughBrokers(name, int(req.ReplicationFactor)); err != nil {
		return err
	}
	if !t.begin(name) {
		return kerr.UnknownTopicOrPartition // another request is making it
	}
	defer t.end(name)
	resp := kmsg.NewCreateTopicsResponseTopic()
	switch err := t.createOne(ctx, &req, false, &resp); {
	case err == nil, kerr.Of(err) == kerr.TopicAlreadyExists:
		return kerr.LeaderNotAvailable
	default:
		return err
	}
}

// CreateInternal makes one of Kafka's own topics as the configuration wants
// it, and does not wait for its leaders. It is no error when it is there.
func (t *Topics) CreateInternal(ctx context.Context, name string) error {
	err := t.autoCreateOne(ctx, name)
	if kerr.Of(err) == kerr.LeaderNotAvailable || kerr.Of(err) == kerr.UnknownTopicOrPartition {
		return nil
	}
	return err
}

// creatable is the request for a topic that nobody described.
func (t *Topics) creatable(name string) kmsg.CreateTopicsRequestTopic {
	c := t.Config()
	req := kmsg.NewCreateTopicsRequestTopic()
	req.Topic = name
	add := func(key, value string) {
		one := kmsg.NewCreateTopicsRequestTopicConfig()
		one.Name, one.Value = key, &value
		req.Configs = append(req.Configs, one)
	}
	switch name {
	case model.GroupMetadataTopic:
		req.NumPartitions = int32(c.Int("offsets.topic.num.partitions"))
		req.ReplicationFactor = c.Short("offsets.topic.replication.factor")
		add("cleanup.policy", "compact")
		add("segment.bytes", strconv.Itoa(c.Int("offsets.topic.segment.bytes")))
		add("compression.type", "producer")
	case model.TransactionStateTopic:
		req.NumPartitions = int32(c.Int("transaction.state.log.num.partitions"))
		req.ReplicationFactor = c.Short("transaction.state.log.replication.factor")
		add("unclean.leader.election.enable", "false")
		add("compression.type", "uncompressed")
		add("cleanup.policy", "compact")
		add("min.insync.replicas", strconv.Itoa(c.Int("transaction.state.log.min.isr")))
		add("segment.bytes", strconv.Itoa(c.Int("transaction.state.log.segment.bytes")))
	default:
		req.NumPartitions = int32(c.Int("num.partitions"))
		req.ReplicationFactor = int16(c.Int("default.replication.factor"))
	}
	return req
}

// replicationFactorKeys are the settings behind automatic creation.
var replicationFactorKeys = map[string]string{
	model.GroupMetadataTopic:    "offsets.topic.replication.factor",
	model.TransactionStateTopic: "transaction.state.log.replication.factor",
}

// enoughBrokers refuses what the brokers that are up cannot keep. Clients ask
// ten times a second: it is told once in tooFewQuiet for each setting.
func (t *Topics) enoughBrokers(name string, replicationFactor int) error {
	alive := len(t.Metadata.Snapshot().Brokers())
	if alive >= replicationFactor {
		return nil
	}
	key := replicationFactorKeys[name]
	if key == "" {
		key = "default.replication.factor"
	}
	if t.isDue(key, time.Now()) {
		t.auto.Errorf("Number of alive brokers '%d' does not meet the required replication factor '%d' for auto creation of topic '%s' which is configured by %s. "+
			"This error can be ignored if the cluster is starting up and not all brokers are up yet.", alive, replicationFactor, name, key)
	}
	return kerr.InvalidReplicationFactor
}

const tooFewQuiet = 10 * time.Second

func (t *Topics) isDue(key string, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	last, told := t.tooFew[key]
	if told && now.Sub(last) < tooFewQuiet {
		return false
	}
	t.tooFew[key] = now
	return true
}

// begin notes that a topic is being made, unless it is already.
func (t *Topics) begin(name string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.inFlight[name] {
		return false
	}
	t.inFlight[name] = true
	return true
}

func (t *Topics) end(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.inFlight, name)
}
