package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/cli/jopt"
	"gregor/pkg/kerr"
	"gregor/pkg/model"
	"gregor/pkg/protocol"
)

var _ = register("kafka-get-offsets", kafkaGetOffsets)

// kafkaGetOffsets is kafka-get-offsets.sh, a script of 3.0 and later: it shows
// the offsets of many topics at once. The class behind it, as 2.8 has it, is
// get-offset-shell.
func kafkaGetOffsets(ctx context.Context, env *Env, args []string) int {
	o := newGetOffsetsOptions()
	set, err := o.parser.Parse(args)
	if err != nil {
		fmt.Fprintln(env.Stderr, "Error occurred: "+err.Error())
		return 1
	}
	o.Set = set
	if status, done := helpOrVersion(env, o.parser, set, "An interactive shell for getting topic-partition offsets."); done {
		return status
	}
	err = o.run(ctx, env)
	var told *toldError
	var usage *jopt.UsageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		return usageFailure(env, o.parser, usage.Text)
	case errors.As(err, &told):
		fmt.Fprintln(env.Stderr, "Error occurred: "+told.Error())
	default:
		fmt.Fprintf(env.Stderr, "Error occurred: %s\n%s", err, trace(err))
	}
	return 1
}

// getOffsetsOptions are the options of kafka-get-offsets, and what was given
// of them.
type getOffsetsOptions struct {
	parser *jopt.Parser
	*jopt.Set

	brokers, bootstrap, topic, partitions, rules, time, commandConfig, excludeInternal *jopt.Option
}

func newGetOffsetsOptions() *getOffsetsOptions {
	p := jopt.New()
	const servers = "HOST1:PORT1,...,HOST3:PORT3"
	return &getOffsetsOptions{
		parser:    p,
		brokers:   p.Accepts("broker-list", "DEPRECATED, --bootstrap-server wins over it: brokers to ask first.").RequiredArg(servers),
		bootstrap: p.Accepts("bootstrap-server", "REQUIRED: brokers to ask first.").RequiredArg(servers),
		topic: p.Accepts("topic", "A regular expression: all topics with such a name are shown; without it, all topics. Not together with --topic-partitions.").
			RequiredArg("topic"),
		partitions: p.Accepts("partitions", "Numbers of partitions, separated by commas; without it, all partitions. Not together with --topic-partitions.").
			RequiredArg("partition ids"),
		rules: p.Accepts("topic-partitions", "Topics with their partitions, separated by commas: a regular expression for names, any name without it, "+
			"then, behind a colon, a number, or a range from the first number up to, but without, the second, of which one may be left out.").
			RequiredArg("topic1:1,topic2:0-3,topic3,topic4:5-,topic5:-3"),
		time: p.Accepts("time", "Milliseconds since 1970: the offset of the first record of this time or later. Nothing is shown when there is none.").
			RequiredArg("<timestamp> / -1 or latest / -2 or earliest / -3 or max-timestamp / -4 or earliest-local / -5 or latest-tiered").Default("latest"),
		commandConfig:   p.Accepts("command-config", "A properties file with settings of the admin client.").RequiredArg("config file"),
		excludeInternal: p.Accepts("exclude-internal-topics", "Leave internal topics out."),
	}
}

// run checks what was given, in the tool's order, and shows the offsets.
func (o *getOffsetsOptions) run(ctx context.Context, env *Env) error {
	servers := o.bootstrap
	if !o.Has(servers) {
		servers = o.brokers
	}
	list, topic, partitions, rules, at, file := o.String(servers), o.String(o.topic), o.String(o.partitions), o.String(o.rules), o.String(o.time), o.String(o.commandConfig)
	if err := o.Err(); err != nil {
		return err
	}
	switch {
	case !o.Has(servers):
		return &toldError{"Missing required option(s) [bootstrap-server]"}
	case o.Has(o.rules) && o.Count(o.topic, o.partitions) > 0:
		return &toldError{"--topic-partitions cannot be used with --topic or --partitions"}
	case !validHostPorts(list):
		return jopt.Usagef("%s", badHostPorts)
	}
	timestamp, err := offsetTime(at)
	if err != nil {
		return err
	}
	wanted, err := partitionFilters(rules, topic, partitions)
	if err != nil {
		return err
	}
	given, err := readClientProperties(file)
	if err != nil {
		return err
	}
	properties := map[string]string{}
	maps.Copy(properties, given)
	properties["client.id"] = "GetOffsetShell"
	client, err := newAdminClient(ctx, toolLoggers(env), list, properties)
	if err != nil {
		return err
	}
	defer client.Close()
	return o.show(ctx, env, client, wanted, timestamp)
}

// offsetTime reads --time.
func offsetTime(text string) (int64, error) {
	if at, ok := map[string]int64{"latest": -1, "earliest": -2, "max-timestamp": -3, "earliest-local": -4, "latest-tiered": -5}[text]; ok {
		return at, nil
	}
	at, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, &toldError{"Malformed time argument " + text + ". Please use -1 or latest / -2 or earliest / -3 or max-timestamp / -4 or earliest-local / -5 or latest-tiered, or a specified long format timestamp"}
	}
	return at, nil
}

// partitionFilter selects partitions: of topics whose name matches, those that
// are listed, or those from least up to, but without, end.
type partitionFilter struct {
	topics     *topicFilter
	listed     []int32 // nil: all
	least, end int32
}

const noEnd = int32(1<<31 - 1)

func (f *partitionFilter) selects(topic string, partition int32) bool {
	return f.topics.allows(topic, false) && partition >= f.least && partition < f.end && (f.listed == nil || slices.Contains(f.listed, partition))
}

// topicRule is one entry of --topic-partitions.
var topicRule = regexp.MustCompile(`^([^:,]*)(?::(?:([0-9]*)|(?:([0-9]*)-([0-9]*))))?$`)

// partitionFilters reads the options that select partitions; one filter that
// selects a partition is enough.
func partitionFilters(rules, topic, partitions string) ([]*partitionFilter, error) {
	if rules == "" {
		if topic == "" {
			topic = ".*"
		}
		topics, err := newTopicFilter(topic)
		if err != nil {
			return nil, err
		}
		listed, err := parsePartitionIDs(partitions)
		if err != nil {
			return nil, &toldError{err.Error()}
		}
		return []*partitionFilter{{topics: topics, listed: listed, end: noEnd}}, nil
	}
	var filters []*partitionFilter
	for rule := range strings.SplitSeq(rules, ",") {
		f, err := parseTopicRule(rule)
		if err != nil {
			return nil, err
		}
		filters = append(filters, f)
	}
	return filters, nil
}

func parseTopicRule(rule string) (*partitionFilter, error) {
	match := topicRule.FindStringSubmatch(rule)
	if match == nil {
		return nil, &toldError{"Invalid rule specification: " + rule}
	}
	name := match[1]
	if name == "" {
		name = ".*"
	}
	topics, err := newTopicFilter(name)
	if err != nil {
		return nil, err
	}
	f := &partitionFilter{topics: topics, end: noEnd}
	for text, number := range map[string]*int32{match[3]: &f.least, match[4]: &f.end} {
		if text == "" {
			continue
		}
		if *number, err = ruleNumber(rule, text); err != nil {
			return nil, err
		}
	}
	if match[2] != "" {
		f.least, err = ruleNumber(rule, match[2])
		f.end = f.least + 1
	}
	return f, err
}

func ruleNumber(rule, text string) (int32, error) {
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || n == int64(noEnd) {
		return 0, &toldError{"Invalid rule specification: " + rule}
	}
	return int32(n), nil
}

// show writes a line for each partition that is selected, by topic and number.
func (o *getOffsetsOptions) show(ctx context.Context, env *Env, client *adminClient, wanted []*partitionFilter, at int64) error {
	leaders, err := o.leaders(ctx, client, wanted)
	if err != nil {
		return err
	}
	if len(leaders) == 0 {
		return &toldError{"Could not match any topic-partitions with the specified filters"}
	}
	offsets, failed, err := listOffsets(ctx, client, leaders, at)
	if err != nil {
		return err
	}
	for _, tp := range sortedPartitions(leaders) {
		switch err := failed[tp]; {
		case err != nil:
			fmt.Fprintf(env.Stderr, "Skip getting offsets for topic-partition %s due to error: %s\n", tp, describe(err))
		case offsets[tp] >= 0:
			fmt.Fprintf(env.Stdout, "%s:%d:%d\n", tp.Topic, tp.Partition, offsets[tp])
		}
	}
	return nil
}

// leaders are those of the partitions that are selected.
func (o *getOffsetsOptions) leaders(ctx context.Context, client *adminClient, wanted []*partitionFilter) (map[model.TopicPartition]int32, error) {
	req := kmsg.NewPtrMetadataRequest()
	req.AllowAutoTopicCreation = false
	resp, err := client.call(ctx, "listTopics", anyNode, req)
	if err != nil {
		return nil, execution(err)
	}
	client.learn(resp.(*kmsg.MetadataResponse))
	leaders := map[model.TopicPartition]int32{}
	for _, t := range resp.(*kmsg.MetadataResponse).Topics {
		name := stringOr(t.Topic, "")
		if o.Has(o.excludeInternal) && t.IsInternal {
			continue
		}
		for _, p := range t.Partitions {
			if slices.ContainsFunc(wanted, func(f *partitionFilter) bool { return f.selects(name, p.Partition) }) {
				leaders[model.TopicPartition{Topic: name, Partition: p.Partition}] = p.Leader
			}
		}
	}
	return leaders, nil
}

// listOffsets asks each leader for the offsets of a time; -1 where no record
// is that young.
func listOffsets(ctx context.Context, client *adminClient, leaders map[model.TopicPartition]int32, at int64) (offsets map[model.TopicPartition]int64, failed map[model.TopicPartition]error, err error) {
	offsets, failed = map[model.TopicPartition]int64{}, map[model.TopicPartition]error{}
	byLeader := map[int32][]model.TopicPartition{}
	const listOffsetsKey = 2
	api, _ := protocol.Lookup(listOffsetsKey)
	for _, tp := range sortedPartitions(leaders) {
		switch needs, special := offsetTimeVersions[at]; {
		case special && api.Max < needs:
			failed[tp] = kerr.UnsupportedVersion.With("The node does not support LIST_OFFSETS with version in range [%d,9]. The supported range is [0,%d].", needs, api.Max)
		case leaders[tp] < 0:
			failed[tp] = kerr.LeaderNotAvailable
		default:
			byLeader[leaders[tp]] = append(byLeader[leaders[tp]], tp)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(byLeader)) {
		resp, err := client.call(ctx, "listOffsets", target(id), listOffsetsRequest(byLeader[id], at))
		if err != nil {
			return nil, nil, execution(err)
		}
		for _, t := range resp.(*kmsg.ListOffsetsResponse).Topics {
			for _, p := range t.Partitions {
				tp := model.TopicPartition{Topic: t.Topic, Partition: p.Partition}
				offsets[tp], failed[tp] = p.Offset, protocolError(p.ErrorCode, nil)
			}
		}
	}
	return offsets, failed, nil
}

// offsetTimeVersions are the versions of ListOffsets in which a time came up
// that is none.
var offsetTimeVersions = map[int64]int16{-3: 7, -4: 8, -5: 9}
