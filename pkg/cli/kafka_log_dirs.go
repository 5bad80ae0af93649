package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/cli/jopt"
	"gregor/pkg/kerr"
	"gregor/pkg/model"
)

var _ = register("kafka-log-dirs", kafkaLogDirs)

// logDirsOptions are the options of kafka-log-dirs, and what was given of
// them.
type logDirsOptions struct {
	parser *jopt.Parser
	*jopt.Set

	bootstrap, commandConfig, describe, topics, brokers *jopt.Option
}

func newLogDirsOptions() *logDirsOptions {
	p := jopt.New()
	return &logDirsOptions{
		parser: p,
		bootstrap: p.Accepts("bootstrap-server", "REQUIRED: brokers to ask first, as host:port, separated by commas.").
			RequiredArg("The server(s) to use for bootstrapping"),
		commandConfig: p.Accepts("command-config", "A file with settings of the admin client.").RequiredArg("Admin client property file"),
		describe:      p.Accepts("describe", "Shows the log directories and the replicas in them."),
		topics: p.Accepts("topic-list", "Only these topics, separated by commas. Without it all topics are shown.").
			RequiredArg("Topic list").Default(""),
		brokers: p.Accepts("broker-list", "Only brokers with these ids, separated by commas. Without it all brokers are asked.").
			RequiredArg("Broker list"),
	}
}

// kafkaLogDirs is kafka-log-dirs.sh of 2.8: it asks brokers for the sizes of
// their replicas, by log directory, and shows the answers as one line of
// JSON.
func kafkaLogDirs(ctx context.Context, env *Env, args []string) int {
	o := newLogDirsOptions()
	set, err := o.parser.Parse(args)
	if err != nil {
		return optionFailure(env, o.parser, err)
	}
	o.Set = set
	if status, done := helpOrVersion(env, o.parser, set, "Shows how much of their log directories brokers use."); done {
		return status
	}
	if err := o.Require(o.bootstrap, o.describe); err != nil {
		return optionFailure(env, o.parser, err)
	}
	if err := o.show(ctx, env); err != nil {
		return uncaught(env, err)
	}
	return 0
}

func (o *logDirsOptions) show(ctx context.Context, env *Env) error {
	servers, file, topics, ids := o.String(o.bootstrap), o.String(o.commandConfig), o.String(o.topics), o.String(o.brokers)
	if err := o.Err(); err != nil {
		return err
	}
	properties, err := readClientProperties(file)
	if err != nil {
		return err
	}
	if properties == nil {
		properties = map[string]string{}
	}
	if _, ok := properties["client.id"]; !ok {
		properties["client.id"] = "log-dirs-tool"
	}
	client, err := newAdminClient(ctx, toolLoggers(env), servers, properties)
	if err != nil {
		return err
	}
	defer client.Close()
	brokers, err := o.askedBrokers(ctx, client, ids)
	if err != nil {
		return err
	}
	fmt.Fprintln(env.Stdout, "Querying brokers for log directories information")
	answers := map[int32]*kmsg.DescribeLogDirsResponse{}
	for _, id := range brokers {
		resp, err := client.call(ctx, "describeLogDirs", target(id), kmsg.NewPtrDescribeLogDirsRequest())
		if err != nil {
			return execution(err)
		}
		answers[id] = resp.(*kmsg.DescribeLogDirsResponse)
		if len(answers[id].Dirs) == 0 {
			return execution(kerr.ClusterAuthorizationFailed) // the only reason to show nothing
		}
	}
	fmt.Fprintf(env.Stdout, "Received log directory information from brokers %s\n", joinIDs(brokers))
	text, err := logDirsJSON(answers, words(topics))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(env.Stdout, text)
	return err
}

// words splits at commas and leaves out what is empty.
func words(text string) []string {
	return slices.DeleteFunc(strings.Split(text, ","), func(word string) bool { return word == "" })
}

// askedBrokers are those of --broker-list, or all.
func (o *logDirsOptions) askedBrokers(ctx context.Context, client *adminClient, list string) ([]int32, error) {
	var brokers []int32
	if !o.Has(o.brokers) {
		req := kmsg.NewPtrMetadataRequest()
		req.Topics = []kmsg.MetadataRequestTopic{}
		resp, err := client.call(ctx, "listNodes", anyNode, req)
		if err != nil {
			return nil, execution(err)
		}
		for _, b := range resp.(*kmsg.MetadataResponse).Brokers {
			brokers = append(brokers, b.NodeID)
		}
		return brokers, nil
	}
	for _, word := range words(list) {
		id, err := strconv.ParseInt(word, 10, 32)
		if err != nil {
			return nil, exceptionf(numberFormat, "For input string: \"%s\"", word)
		}
		brokers = append(brokers, int32(id))
	}
	return brokers, nil
}

// The JSON of the tool, with its members in this order.
type (
	shownLogDirs struct {
		Version int               `json:"version"`
		Brokers []shownBrokerDirs `json:"brokers"`
	}
	shownBrokerDirs struct {
		Broker  int32         `json:"broker"`
		LogDirs []shownLogDir `json:"logDirs"`
	}
	shownLogDir struct {
		LogDir     string         `json:"logDir"`
		Error      *string        `json:"error"`
		Partitions []shownReplica `json:"partitions"`
	}
	shownReplica struct {
		Partition string `json:"partition"`
		Size      int64  `json:"size"`
		OffsetLag int64  `json:"offsetLag"`
		IsFuture  bool   `json:"isFuture"`
	}
)

// logDirsJSON writes answers with only the topics that are asked for, or
// with all when there are none.
func logDirsJSON(answers map[int32]*kmsg.DescribeLogDirsResponse, topics []string) (string, error) {
	shown := shownLogDirs{Version: 1, Brokers: []shownBrokerDirs{}}
	ids := make([]int32, 0, len(answers))
	for id := range answers {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range scalaHashOrder(ids, func(id int32) uint32 { return uint32(id) }) {
		broker := shownBrokerDirs{Broker: id, LogDirs: []shownLogDir{}}
		dirs := map[string]shownLogDir{}
		var names []string
		for _, dir := range answers[id].Dirs {
			if _, twice := dirs[dir.Dir]; !twice {
				names = append(names, dir.Dir)
			}
			dirs[dir.Dir] = showLogDir(dir, topics)
		}
		for _, name := range hashMapOrder(names, len(answers[id].Dirs)) {
			broker.LogDirs = append(broker.LogDirs, dirs[name])
		}
		shown.Brokers = append(shown.Brokers, broker)
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(shown)
	return strings.TrimSuffix(text.String(), "\n"), err
}

func showLogDir(dir kmsg.DescribeLogDirsResponseDir, topics []string) shownLogDir {
	shown := shownLogDir{LogDir: dir.Dir, Partitions: []shownReplica{}}
	if err := protocolError(dir.ErrorCode, nil); err != nil {
		class := javaClass(err)
		shown.Error = &class
	}
	replicas := map[model.TopicPartition]shownReplica{}
	var partitions []model.TopicPartition
	for _, t := range dir.Topics {
		for _, p := range t.Partitions {
			tp := model.TopicPartition{Topic: t.Topic, Partition: p.Partition}
			if _, twice := replicas[tp]; !twice {
				partitions = append(partitions, tp)
			}
			replicas[tp] = shownReplica{fmt.Sprintf("%s-%d", t.Topic, p.Partition), p.Size, p.OffsetLag, p.IsFuture}
		}
	}
	for _, tp := range partitionsInHashOrder(partitions, 16) {
		if len(topics) == 0 || slices.Contains(topics, tp.Topic) {
			shown.Partitions = append(shown.Partitions, replicas[tp])
		}
	}
	return shown
}
