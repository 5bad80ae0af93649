package cli

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gregor/pkg/cli/jopt"
	"gregor/pkg/config"
	"gregor/pkg/logging"
	"gregor/pkg/model"
)

var _ = register("kafka-topics", kafkaTopics)

// kafkaTopics is kafka-topics.sh of 2.8: it creates, lists, describes, alters
// and deletes topics, through a broker or straight in ZooKeeper.
//
// This file has the options, their checks and what both ways of connecting
// share; each way is a topicService in a file of its own.
func kafkaTopics(ctx context.Context, env *Env, args []string) int {
	o := newTopicOptions()
	set, err := o.parser.Parse(args)
	if err != nil {
		return topicOptionFailure(env, o, err)
	}
	o.Set = set
	if set.Empty() {
		return usageFailure(env, o.parser, "Create, delete, describe, or change a topic.")
	}
	if status, done := helpOrVersion(env, o.parser, set, "This tool helps to create, delete, describe, or change a topic."); done {
		return status
	}
	if err := o.check(); err != nil {
		return optionFailure(env, o.parser, err)
	}
	loggers := toolLoggers(env)
	service, err := openTopicService(ctx, loggers, env.Stdout, o)
	if err != nil {
		return uncaught(env, err)
	}
	defer service.close()
	if err := runTopicAction(ctx, service, env.Stdout, o); err != nil {
		fmt.Fprintln(env.Stdout, "Error while executing topic command : "+err.Error())
		loggers.Logger("kafka.admin.TopicCommand$").Error(trace(err))
		return 1
	}
	return 0
}

// topicOptionFailure shows an option that is not known, and for one that 0.8
// knew, what stands for it today.
func topicOptionFailure(env *Env, o *topicOptions, err error) int {
	status := optionFailure(env, o.parser, err)
	if strings.HasPrefix(err.Error(), "deleteConfig ") {
		fmt.Fprintln(env.Stderr, "(it is called --delete-config today)")
	}
	return status
}

// topicService is one way of connecting. The actions print what they have to
// say, except what runTopicAction prints for both.
type topicService interface {
	// topicNames lists all topics, sorted.
	topicNames(ctx context.Context) ([]string, error)
	create(ctx context.Context, t *topicChange) error
	list(ctx context.Context, topics []string) error
	describe(ctx context.Context, topics []string, o *topicOptions) error
	alter(ctx context.Context, topics []string, t *topicChange) error
	delete(ctx context.Context, topics []string) error
	close()
}

// openTopicService reads the options of the connection and connects.
func openTopicService(ctx context.Context, loggers *logging.Loggers, out io.Writer, o *topicOptions) (topicService, error) {
	bootstrap, zookeeper, file := o.String(o.bootstrap), o.String(o.zookeeper), o.String(o.commandConfig)
	if err := o.Err(); err != nil {
		return nil, err
	}
	if o.Has(o.zookeeper) {
		return openZooKeeperTopics(ctx, loggers, out, zookeeper)
	}
	properties, err := readClientProperties(file)
	if err != nil {
		return nil, err
	}
	client, err := newAdminClient(ctx, loggers, bootstrap, properties)
	if err != nil {
		return nil, err
	}
	return &bootstrapTopics{client: client, out: out}, nil
}

// runTopicAction does what the command line asks for.
func runTopicAction(ctx context.Context, service topicService, out io.Writer, o *topicOptions) error {
	var change *topicChange
	if o.Has(o.create) || o.Has(o.alter) {
		var err error
		if change, err = o.change(out); err != nil {
			return err
		}
	}
	if o.Has(o.create) {
		if strings.ContainsAny(change.topic, "._") {
			fmt.Fprintln(out, "WARNING: Due to limitations in metric names, topics with a period ('.') or underscore ('_') "+
				"could collide. To avoid issues it is best to use either, but not both.")
		}
		return service.create(ctx, change)
	}
	topics, err := o.selectTopics(ctx, service)
	if err != nil {
		return err
	}
	if o.Has(o.list) {
		return service.list(ctx, topics)
	}
	if pattern := o.String(o.topic); pattern != "" && len(topics) == 0 && !o.Has(o.ifExists) {
		return exceptionf(illegalArgument, "Topic '%s' does not exist as expected", pattern)
	}
	switch {
	case len(topics) == 0:
		return nil
	case o.Has(o.describe):
		return service.describe(ctx, topics, o)
	case o.Has(o.alter):
		return service.alter(ctx, topics, change)
	default:
		return service.delete(ctx, topics)
	}
}

// selectTopics lists the topics that --topic and --exclude-internal select.
func (o *topicOptions) selectTopics(ctx context.Context, service topicService) ([]string, error) {
	excludeInternal := o.Has(o.excludeInternal)
	pattern, filtered := o.String(o.topic), o.Has(o.topic)
	if err := o.Err(); err != nil {
		return nil, err
	}
	names, err := service.topicNames(ctx)
	if err != nil {
		return nil, err
	}
	if !filtered {
		pattern = ".*"
	}
	filter, err := newTopicFilter(pattern)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(names, func(name string) bool { return !filter.allows(name, excludeInternal) }), nil
}

// topicChange is what --create and --alter are to make of a topic.
type topicChange struct {
	topic             string
	partitions        *int32 // nil when not given
	replicationFactor *int32
	assignment        [][]model.BrokerID // by partition; nil when not given
	configs           map[string]string
	deletedConfigs    []string
	ifNotExists       bool
	rackAware         bool
}

// change reads and checks the options of --create and --alter.
func (o *topicOptions) change(out io.Writer) (*topicChange, error) {
	t := &topicChange{topic: o.String(o.topic), ifNotExists: o.Has(o.ifNotExists), rackAware: !o.Has(o.disableRackAware)}
	if o.Has(o.partitions) {
		n := o.Int(o.partitions)
		t.partitions = &n
	}
	if o.Has(o.replicationFactor) {
		n := o.Int(o.replicationFactor)
		t.replicationFactor = &n
	}
	assignment := o.String(o.replicaAssignment)
	if err := o.Err(); err != nil {
		return nil, err
	}
	var err error
	if assignment != "" {
		if t.assignment, err = parseReplicaAssignment(assignment); err != nil {
			return nil, err
		}
	}
	if t.configs, err = o.addedConfigs(out); err != nil {
		return nil, err
	}
	t.deletedConfigs, err = o.removedConfigs()
	return t, err
}

// parseReplicaAssignment reads "0:1,1:2": the replicas of each partition.
func parseReplicaAssignment(text string) ([][]model.BrokerID, error) {
	var assignment [][]model.BrokerID
	for i, part := range strings.Split(text, ",") {
		var replicas, duplicates []model.BrokerID
		for word := range strings.SplitSeq(part, ":") {
			id, err := strconv.ParseInt(strings.TrimSpace(word), 10, 32)
			if err != nil {
				return nil, exceptionf(numberFormat, "For input string: \"%s\"", strings.TrimSpace(word))
			}
			if broker := model.BrokerID(id); slices.Contains(replicas, broker) && !slices.Contains(duplicates, broker) {
				duplicates = append(duplicates, broker)
			}
			replicas = append(replicas, model.BrokerID(id))
		}
		if len(duplicates) > 0 {
			return nil, exceptionf(adminCommandFailed, "Partition replica lists may not contain duplicate entries: %s", joinIDs(duplicates))
		}
		assignment = append(assignment, replicas)
		if len(replicas) != len(assignment[0]) {
			return nil, exceptionf(adminOperation, "Partition %d has different replication factor: %s", i, joinIDs(replicas))
		}
	}
	return assignment, nil
}

// joinIDs writes ids as the tools do: "0,1,2".
func joinIDs[ID ~int32](ids []ID) string {
	words := make([]string, len(ids))
	for i, id := range ids {
		words[i] = strconv.Itoa(int(id))
	}
	return strings.Join(words, ",")
}

// equalsSign splits name=value, with white space around the sign.
var equalsSign = regexp.MustCompile(`\s*=\s*`)

// addedConfigs reads --config and checks names and values.
func (o *topicOptions) addedConfigs(out io.Writer) (map[string]string, error) {
	configs := map[string]string{}
	for _, pair := range o.Strings(o.config) {
		parts := equalsSign.Split(pair, -1)
		for len(parts) > 1 && parts[len(parts)-1] == "" {
			parts = parts[:len(parts)-1] // as String.split of Java does
		}
		if len(parts) != 2 {
			return nil, requirement("Invalid topic config: all configs to be added must be in the format \"key=val\".")
		}
		configs[strings.TrimSpace(parts[0])] = strings.TrimSpace(parts[1])
	}
	if err := config.ValidateTopic(configs); err != nil {
		return nil, err
	}
	if version, ok := configs["message.format.version"]; ok {
		warnMessageFormat(out, version)
	}
	return configs, nil
}

func warnMessageFormat(out io.Writer, version string) {
	fmt.Fprintf(out, "WARNING: The configuration message.format.version=%s is specified. This configuration will be ignored if the version "+
		"is newer than the inter.broker.protocol.version specified in the broker.\n", version)
}

// removedConfigs reads --delete-config and checks the names.
func (o *topicOptions) removedConfigs() ([]string, error) {
	var names []string
	for _, name := range o.Strings(o.deleteConfig) {
		name = strings.TrimSpace(name)
		if config.TopicKey(name) == nil {
			return nil, exceptionf("org.apache.kafka.common.errors.InvalidConfigurationException", "Unknown topic config name: %s", name)
		}
		names = append(names, name)
	}
	return names, nil
}

// topicOptions are the options of kafka-topics, and what was given of them.
type topicOptions struct {
	parser *jopt.Parser
	*jopt.Set

	bootstrap, commandConfig, zookeeper      *jopt.Option
	list, create, delete, alter, describe    *jopt.Option
	topic, config, deleteConfig              *jopt.Option
	partitions, replicationFactor            *jopt.Option
	replicaAssignment                        *jopt.Option
	underReplicated, unavailable             *jopt.Option
	underMinISR, atMinISR, withOverrides     *jopt.Option
	ifExists, ifNotExists                    *jopt.Option
	disableRackAware, force, excludeInternal *jopt.Option
}

// check holds the options against each other; the first trouble in Kafka's
// order is the one that is told.
func (o *topicOptions) check() error {
	actions := []*jopt.Option{o.alter, o.create, o.describe, o.list, o.delete}
	switch {
	case o.Count(actions...) != 1:
		return jopt.Usagef("Command must include exactly one action: --list, --describe, --create, --alter or --delete")
	case o.Has(o.bootstrap) == o.Has(o.zookeeper):
		return exceptionf(illegalArgument, "Only one of --bootstrap-server or --zookeeper must be specified")
	}
	if err := o.checkRequired(); err != nil {
		return err
	}
	except := func(allowed ...*jopt.Option) []*jopt.Option {
		return slices.DeleteFunc(slices.Clone(actions), func(a *jopt.Option) bool { return slices.Contains(allowed, a) })
	}
	reports := []*jopt.Option{o.underReplicated, o.underMinISR, o.atMinISR, o.unavailable}
	otherReports := func(own *jopt.Option, more ...*jopt.Option) []*jopt.Option {
		others := slices.DeleteFunc(slices.Clone(reports), func(r *jopt.Option) bool { return r == own })
		return append(append(others, o.withOverrides), more...)
	}
	rules := []struct {
		used    *jopt.Option
		invalid []*jopt.Option
	}{
		{o.config, except(o.alter, o.create)},
		{o.deleteConfig, append(except(o.alter), o.bootstrap)},
		{o.partitions, except(o.alter, o.create)},
		{o.replicationFactor, except(o.create)},
		{o.replicaAssignment, except(o.create, o.alter)},
		{o.replicaAssignment, o.ifCreating(o.partitions, o.replicationFactor)},
		{o.underReplicated, otherReports(o.underReplicated)},
		{o.underMinISR, otherReports(o.underMinISR, o.zookeeper)},
		{o.atMinISR, otherReports(o.atMinISR, o.zookeeper)},
		{o.unavailable, otherReports(o.unavailable)},
		{o.withOverrides, append(except(o.describe), reports...)},
		{o.ifExists, except(o.alter, o.delete, o.describe)},
		{o.ifNotExists, except(o.create)},
		{o.excludeInternal, except(o.list, o.describe)},
	}
	for _, rule := range rules {
		if err := o.Forbid(rule.used, rule.invalid...); err != nil {
			return err
		}
	}
	return nil
}

func (o *topicOptions) ifCreating(options ...*jopt.Option) []*jopt.Option {
	if o.Has(o.create) {
		return options
	}
	return nil
}

// checkRequired holds what an action needs.
func (o *topicOptions) checkRequired() error {
	if !o.Has(o.list) && !o.Has(o.describe) {
		if err := o.Require(o.topic); err != nil {
			return err
		}
	}
	if o.Has(o.create) && o.Has(o.zookeeper) && !o.Has(o.replicaAssignment) {
		return o.Require(o.partitions, o.replicationFactor)
	}
	if o.Has(o.bootstrap) && o.Has(o.alter) {
		if err := o.ForbidTogether([]*jopt.Option{o.bootstrap, o.config},
			" (the kafka-configs CLI supports altering topic configs with a --bootstrap-server option)", o.alter); err != nil {
			return err
		}
		return o.Require(o.partitions)
	}
	return nil
}
