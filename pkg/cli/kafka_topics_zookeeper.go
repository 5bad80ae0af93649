package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"gregor/pkg/admin"
	"gregor/pkg/kerr"
	"gregor/pkg/logging"
	"gregor/pkg/model"
	"gregor/pkg/zkstore"
)

// zooKeeperTimeout is the session and the connection time-out of the tools.
const zooKeeperTimeout = 30 * time.Second

// openZooKeeper connects a tool to ZooKeeper.
func openZooKeeper(ctx context.Context, loggers *logging.Loggers, connect, name string) (*zkstore.Store, error) {
	if err := checkConnectString(connect); err != nil {
		return nil, err
	}
	return zkstore.Open(ctx, zkstore.Options{Connect: connect, SessionTimeout: zooKeeperTimeout, ConnectionTimeout: zooKeeperTimeout,
		MaxInFlight: 100, Name: name, Loggers: loggers})
}

// checkConnectString refuses a port that is no number in the words of the
// library that Kafka's tools hand the string to.
func checkConnectString(connect string) error {
	servers, _, _ := strings.Cut(connect, "/")
	for server := range strings.SplitSeq(servers, ",") {
		colon := strings.LastIndexByte(server, ':')
		if colon < 0 || strings.HasSuffix(server, "]") {
			continue
		}
		if port := server[colon+1:]; !isNumber(port) {
			return exceptionf(numberFormat, "For input string: \"%s\"", port)
		}
	}
	return nil
}

func isNumber(text string) bool {
	_, err := strconv.ParseInt(text, 10, 32)
	return err == nil
}

// zooKeeperTopics works in ZooKeeper, past the brokers.
type zooKeeperTopics struct {
	store *zkstore.Store
	admin *admin.ZK
	out   io.Writer
}

func openZooKeeperTopics(ctx context.Context, loggers *logging.Loggers, out io.Writer, connect string) (topicService, error) {
	store, err := openZooKeeper(ctx, loggers, connect, "")
	if err != nil {
		return nil, err
	}
	return &zooKeeperTopics{store: store, admin: admin.NewZK(store, loggers), out: out}, nil
}

func (s *zooKeeperTopics) close() { s.store.Close() }

func (s *zooKeeperTopics) topicNames(ctx context.Context) ([]string, error) {
	names, err := s.store.Topics(ctx)
	slices.Sort(names)
	return names, err
}

func (s *zooKeeperTopics) create(ctx context.Context, t *topicChange) error {
	var err error
	if t.assignment != nil {
		err = s.admin.CreateTopicWithAssignment(ctx, t.topic, t.configs, byPartition(t.assignment))
	} else {
		err = s.admin.CreateTopic(ctx, t.topic, *t.partitions, int(*t.replicationFactor), t.configs, t.rackMode())
	}
	if errors.Is(err, kerr.TopicAlreadyExists) && t.ifNotExists {
		return nil
	}
	if err == nil {
		_, err = fmt.Fprintf(s.out, "Created topic %s.\n", t.topic)
	}
	return err
}

func (s *zooKeeperTopics) list(ctx context.Context, topics []string) error {
	marked, err := s.marked(ctx)
	if err != nil {
		return err
	}
	var b strings.Builder
	for _, topic := range topics {
		b.WriteString(topic)
		if marked[topic] {
			b.WriteString(" - marked for deletion")
		}
		b.WriteByte('\n')
	}
	_, err = io.WriteString(s.out, b.String())
	return err
}

// marked are the topics that wait to be deleted.
func (s *zooKeeperTopics) marked(ctx context.Context) (map[string]bool, error) {
	names, err := s.store.TopicDeletions(ctx)
	marked := map[string]bool{}
	for _, name := range names {
		marked[name] = true
	}
	return marked, err
}

func (s *zooKeeperTopics) describe(ctx context.Context, topics []string, o *topicOptions) error {
	brokers, err := s.store.BrokerIDs(ctx)
	if err != nil {
		return err
	}
	live := map[model.BrokerID]bool{}
	for _, id := range brokers {
		live[id] = true
	}
	marked, err := s.marked(ctx)
	if err != nil {
		return err
	}
	assignments, err := s.store.TopicAssignments(ctx, topics)
	if err != nil {
		return err
	}
	configs, err := s.store.EntityConfigs(ctx, zkstore.EntityTopics, topics)
	if err != nil {
		return err
	}
	d := newDescriber(s.out, o, live)
	for _, topic := range topics {
		assignment, found := assignments[topic]
		if !found {
			fmt.Fprintf(s.out, "Topic %s doesn't exist!\n", topic)
			continue
		}
		t := &topicDescription{name: topic, id: assignment.ID, markedForDeletion: marked[topic], configs: configPairs(configs[topic])}
		if t.partitions, err = s.partitions(ctx, topic, assignment); err != nil {
			return err
		}
		if err := d.print(t); err != nil {
			return err
		}
	}
	return nil
}

// configPairs are the entries of a znode's configuration in the order in
// which the tool prints them.
func configPairs(config map[string]string) []string {
	names := hashMapOrder(sortedKeys(config), 16)
	for i, name := range names {
		names[i] = name + "=" + config[name]
	}
	return names
}

func (s *zooKeeperTopics) partitions(ctx context.Context, topic string, assignment zkstore.TopicAssignment) ([]partitionDescription, error) {
	ids := slices.Sorted(maps.Keys(assignment.Partitions))
	tps := make([]model.TopicPartition, len(ids))
	for i, id := range ids {
		tps[i] = model.TopicPartition{Topic: topic, Partition: id}
	}
	states, err := s.store.PartitionStates(ctx, tps)
	if err != nil {
		return nil, err
	}
	partitions := make([]partitionDescription, len(ids))
	for i, tp := range tps {
		p := partitionDescription{id: ids[i], leader: model.NoBroker, replicas: assignment.Partitions[ids[i]].Replicas}
		if state, found := states[tp]; found {
			p.leader, p.isr = state.Leader, state.ISR
		}
		partitions[i] = p
	}
	return partitions, nil
}

func (s *zooKeeperTopics) alter(ctx context.Context, topics []string, t *topicChange) error {
	for _, topic := range topics {
		if len(t.configs) > 0 || len(t.deletedConfigs) > 0 {
			if err := s.alterConfig(ctx, topic, t); err != nil {
				return err
			}
		}
		if t.partitions != nil {
			if err := s.addPartitions(ctx, topic, t); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *zooKeeperTopics) alterConfig(ctx context.Context, topic string, t *topicChange) error {
	configs, err := s.store.EntityConfig(ctx, zkstore.EntityTopics, topic)
	if err != nil {
		return err
	}
	fmt.Fprintln(s.out, "WARNING: Altering topic configuration from this script has been deprecated and may be removed in future releases.")
	fmt.Fprintln(s.out, "         Going forward, please use kafka-configs.sh for this functionality")
	if configs == nil {
		configs = map[string]string{}
	}
	maps.Copy(configs, t.configs)
	for _, name := range t.deletedConfigs {
		delete(configs, name)
	}
	if err := s.admin.ChangeTopicConfig(ctx, topic, configs); err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.out, "Updated config for topic %s.\n", topic)
	return err
}

func (s *zooKeeperTopics) addPartitions(ctx context.Context, topic string, t *topicChange) error {
	if topic == model.GroupMetadataTopic {
		return exceptionf(illegalArgument, "The number of partitions for the internal topic %s cannot be changed.", topic)
	}
	fmt.Fprintln(s.out, "WARNING: If partitions are increased for a topic that has a key, the partition logic or ordering of the messages will be affected")
	existing, found, err := s.store.TopicAssignment(ctx, topic)
	if err != nil {
		return err
	}
	if !found {
		return kerr.InvalidTopicException.With("The topic %s does not exist", topic)
	}
	brokers, err := s.admin.Candidates(ctx, admin.RackEnforced)
	if err != nil {
		return err
	}
	var added map[int32][]model.BrokerID
	if have := len(existing.Partitions); len(t.assignment) > have {
		added = byPartition(t.assignment)
		maps.DeleteFunc(added, func(partition int32, _ []model.BrokerID) bool { return int(partition) < have })
	}
	if err := s.admin.AddPartitions(ctx, topic, existing, brokers, *t.partitions, added, false); err != nil {
		return err
	}
	_, err = fmt.Fprintln(s.out, "Adding partitions succeeded!")
	return err
}

func (s *zooKeeperTopics) delete(ctx context.Context, topics []string) error {
	for _, topic := range topics {
		if model.IsInternalTopic(topic) {
			return exceptionf(adminOperation, "Topic %s is a kafka internal topic and is not allowed to be marked for deletion.", topic)
		}
		err := s.admin.DeleteTopic(ctx, topic)
		switch {
		case errors.Is(err, admin.ErrAlreadyMarked):
			_, err = fmt.Fprintf(s.out, "Topic %s is already marked for deletion.\n", topic)
		case err == nil:
			_, err = fmt.Fprintf(s.out, "Topic %s is marked for deletion.\n"+
				"Note: This will have no impact if delete.topic.enable is not set to true.\n", topic)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// rackMode is what --disable-rack-aware asks for.
func (t *topicChange) rackMode() admin.RackMode {
	if t.rackAware {
		return admin.RackEnforced
	}
	return admin.RackDisabled
}

// byPartition gives an assignment its partition numbers.
func byPartition(assignment [][]model.BrokerID) map[int32][]model.BrokerID {
	if assignment == nil {
		return nil
	}
	numbered := make(map[int32][]model.BrokerID, len(assignment))
	for i, replicas := range assignment {
		numbered[int32(i)] = replicas
	}
	return numbered
}
