package cli

import (
	"context"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/cli/jopt"
	"gregor/pkg/kerr"
	"gregor/pkg/model"
)

var _ = register("kafka-delete-records", kafkaDeleteRecords)

// deleteRecordsOptions are the options of kafka-delete-records, and what was
// given of them.
type deleteRecordsOptions struct {
	parser *jopt.Parser
	*jopt.Set

	bootstrap, offsets, commandConfig *jopt.Option
}

func newDeleteRecordsOptions() *deleteRecordsOptions {
	p := jopt.New()
	return &deleteRecordsOptions{
		parser: p,
		bootstrap: p.Accepts("bootstrap-server", "REQUIRED: brokers to ask first, as host:port, separated by commas.").
			RequiredArg("server(s) to use for bootstrapping"),
		offsets: p.Accepts("offset-json-file", "REQUIRED: A file with an offset for each partition; what lies below it is deleted, with -1 all that is committed. Such as:\n"+
			"{\"partitions\":\n  [{\"topic\": \"first\", \"partition\": 0, \"offset\": 7}],\n \"version\":1\n}").RequiredArg("Offset json file path"),
		commandConfig: p.Accepts("command-config", "A file with settings of the admin client.").RequiredArg("command config property file path"),
	}
}

// kafkaDeleteRecords is kafka-delete-records.sh of 2.8: it deletes the records
// of partitions below the offsets that a file names. What happens to a single
// partition does not change how the tool ends.
func kafkaDeleteRecords(ctx context.Context, env *Env, args []string) int {
	o := newDeleteRecordsOptions()
	set, err := o.parser.Parse(args)
	if err != nil {
		return optionFailure(env, o.parser, err)
	}
	o.Set = set
	if status, done := helpOrVersion(env, o.parser, set, "Deletes records of partitions below given offsets."); done {
		return status
	}
	if err := o.Require(o.bootstrap, o.offsets); err != nil {
		return optionFailure(env, o.parser, err)
	}
	if err := o.run(ctx, env); err != nil {
		return uncaught(env, err)
	}
	return 0
}

func (o *deleteRecordsOptions) run(ctx context.Context, env *Env) error {
	servers, file, path := o.String(o.bootstrap), o.String(o.commandConfig), o.String(o.offsets)
	if err := o.Err(); err != nil {
		return err
	}
	properties, err := readClientProperties(file)
	if err != nil {
		return err
	}
	client, err := newAdminClient(ctx, toolLoggers(env), servers, properties)
	if err != nil {
		return err
	}
	defer client.Close()
	offsets, err := readOffsetFile(path)
	if err != nil {
		return err
	}
	if twice := repeatedPartitions(offsets); len(twice) > 0 {
		return exceptionf(adminCommandFailed, "Offset json file contains duplicate topic partitions: %s", joinPartitions(twice, ","))
	}
	fmt.Fprintln(env.Stdout, "Executing records delete operation")
	d := deletion{client: client, offsets: offsets, outcomes: map[model.TopicPartition]deletionOutcome{}}
	d.run(ctx)
	fmt.Fprintln(env.Stdout, "Records delete operation completed:")
	for _, tp := range d.shownOrder() {
		if done := d.outcomes[tp]; done.err != nil {
			fmt.Fprintf(env.Stdout, "partition: %s\terror: %s\n", tp, describe(done.err))
		} else {
			fmt.Fprintf(env.Stdout, "partition: %s\tlow_watermark: %d\n", tp, done.low)
		}
	}
	return ctx.Err()
}

// readOffsetFile reads --offset-json-file.
func readOffsetFile(path string) ([]partitionOffset, error) {
	content, err := readWholeFile(path)
	if err != nil {
		return nil, err
	}
	document, ok := parseJSON(content)
	if !ok {
		return nil, exceptionf(adminOperation, "The input string is not a valid JSON")
	}
	object, err := jsonObject(document)
	if err != nil {
		return nil, err
	}
	version := int64(1)
	if _, given := object["version"]; given {
		if version, err = jsonInteger(object, "version", jsonInt); err != nil {
			return nil, err
		}
	}
	if version != 1 {
		return nil, exceptionf(adminOperation, "Not supported version field value %d", version)
	}
	field, ok := object["partitions"]
	if !ok {
		return nil, exceptionf(adminOperation, "Missing partitions field")
	}
	list, err := jsonArray(field)
	if err != nil {
		return nil, err
	}
	offsets := make([]partitionOffset, len(list))
	for i, element := range list {
		if offsets[i], err = readPartitionOffset(element); err != nil {
			return nil, err
		}
	}
	return offsets, nil
}

func readPartitionOffset(element any) (p partitionOffset, err error) {
	object, err := jsonObject(element)
	if err != nil {
		return p, err
	}
	if p.Topic, err = jsonString(object, "topic"); err != nil {
		return p, err
	}
	n, err := jsonInteger(object, "partition", jsonInt)
	if err != nil {
		return p, err
	}
	p.Partition = int32(n)
	p.offset, err = jsonInteger(object, "offset", jsonLong)
	return p, err
}

// repeatedPartitions are the partitions that are there more than once, as the
// tool lists them.
func repeatedPartitions(offsets []partitionOffset) []model.TopicPartition {
	count := map[model.TopicPartition]int{}
	var all []model.TopicPartition
	for _, o := range offsets {
		if count[o.TopicPartition]++; count[o.TopicPartition] == 1 {
			all = append(all, o.TopicPartition)
		}
	}
	return slices.DeleteFunc(scalaTrie(all, 0, nil), func(tp model.TopicPartition) bool { return count[tp] == 1 })
}

// deletion asks the leaders of partitions to delete records.
type deletion struct {
	client   *adminClient
	offsets  []partitionOffset
	outcomes map[model.TopicPartition]deletionOutcome
}

// deletionOutcome is what became of a partition.
type deletionOutcome struct {
	low int64
	err error
}

func (d *deletion) run(ctx context.Context) {
	if len(d.offsets) == 0 {
		return
	}
	byLeader, err := d.leaders(ctx)
	if err != nil {
		d.settle(d.offsets, err)
		return
	}
	ids := make([]int32, 0, len(byLeader))
	for id := range byLeader {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		if err := d.ask(ctx, id, byLeader[id]); err != nil {
			d.settle(byLeader[id], err)
		}
	}
}

func (d *deletion) settle(offsets []partitionOffset, err error) {
	for _, o := range offsets {
		d.outcomes[o.TopicPartition] = deletionOutcome{err: err}
	}
}

// leaders groups the partitions by their leaders; those without one are
// settled.
func (d *deletion) leaders(ctx context.Context) (map[int32][]partitionOffset, error) {
	req := kmsg.NewPtrMetadataRequest()
	req.AllowAutoTopicCreation = false
	asked := map[string]bool{}
	for _, o := range d.offsets {
		if topic := o.Topic; !asked[topic] {
			asked[topic] = true
			t := kmsg.NewMetadataRequestTopic()
			t.Topic = &topic
			req.Topics = append(req.Topics, t)
		}
	}
	answer, err := d.client.call(ctx, "topicsMetadata", anyNode, req)
	if err != nil {
		return nil, err
	}
	resp := answer.(*kmsg.MetadataResponse)
	d.client.learn(resp)
	failed, leader := map[string]error{}, map[model.TopicPartition]int32{}
	for _, t := range resp.Topics {
		if t.Topic == nil {
			continue
		}
		if err := protocolError(t.ErrorCode, nil); err != nil {
			failed[*t.Topic] = err
		}
		for _, p := range t.Partitions {
			if d.client.brokers[p.Leader] != nil {
				leader[model.TopicPartition{Topic: *t.Topic, Partition: p.Partition}] = p.Leader
			}
		}
	}
	groups := map[int32][]partitionOffset{}
	for _, o := range d.offsets {
		id, led := leader[o.TopicPartition]
		switch {
		case failed[o.Topic] != nil:
			d.settle([]partitionOffset{o}, failed[o.Topic])
		case !led:
			d.settle([]partitionOffset{o}, kerr.LeaderNotAvailable)
		default:
			groups[id] = append(groups[id], o)
		}
	}
	return groups, nil
}

// ask has one leader delete records.
func (d *deletion) ask(ctx context.Context, id int32, offsets []partitionOffset) error {
	req := kmsg.NewPtrDeleteRecordsRequest()
	req.TimeoutMillis = d.client.requestTimeoutMs()
	at := map[string]int{}
	for _, o := range offsets {
		i, ok := at[o.Topic]
		if !ok {
			i = len(req.Topics)
			at[o.Topic] = i
			req.Topics = append(req.Topics, kmsg.DeleteRecordsRequestTopic{Topic: o.Topic})
		}
		req.Topics[i].Partitions = append(req.Topics[i].Partitions, kmsg.DeleteRecordsRequestTopicPartition{Partition: o.Partition, Offset: o.offset})
	}
	answer, err := d.client.call(ctx, "deleteRecords", target(id), req)
	if err != nil {
		return err
	}
	for _, t := range answer.(*kmsg.DeleteRecordsResponse).Topics {
		for _, p := range t.Partitions {
			d.outcomes[model.TopicPartition{Topic: t.Topic, Partition: p.Partition}] = deletionOutcome{p.LowWatermark, protocolError(p.ErrorCode, nil)}
		}
	}
	for _, o := range offsets {
		if _, answered := d.outcomes[o.TopicPartition]; !answered {
			d.settle([]partitionOffset{o}, kerr.UnknownServerError.With("The response from broker %d did not contain a result for topic partition %s", id, o.TopicPartition))
		}
	}
	return nil
}

// shownOrder is the order of the maps that the tool prints from.
func (d *deletion) shownOrder() []model.TopicPartition {
	list := make([]model.TopicPartition, len(d.offsets))
	for i, o := range d.offsets {
		list[i] = o.TopicPartition
	}
	futures := partitionsInHashOrder(scalaMapOrder(list), len(list))
	return partitionsInHashOrder(futures, int(float32(len(list))/0.75+1))
}
