package cli

import (
	"context"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/cli/argparse"
	"gregor/pkg/kerr"
)

var _ = register("kafka-verifiable-consumer", kafkaVerifiableConsumer)

// kafkaVerifiableConsumer is kafka-verifiable-consumer.sh of 2.8: it reads a
// topic as a member of a group and tells in lines of JSON what it gets: its
// partitions, records, commits.
func kafkaVerifiableConsumer(ctx context.Context, env *Env, args []string) int {
	o := newVerifiableConsumerOptions()
	set, status, done := parseWords(env, o.parser, args)
	if done {
		return status
	}
	o.Set = set
	properties, err := toolProperties(o.String(o.config), map[string]string{})
	if err != nil {
		_ = o.parser.WriteError(env.Stderr, err) // nobody is there to tell
		return 1
	}
	properties["group.id"] = o.String(o.group)
	if o.Has(o.instance) {
		properties["group.instance.id"] = o.String(o.instance)
	}
	properties["enable.auto.commit"] = o.String(o.autoCommit)
	properties["auto.offset.reset"] = o.String(o.reset)
	properties["session.timeout.ms"] = o.String(o.sessionTimeout)
	properties["partition.assignment.strategy"] = o.String(o.strategy)
	ctx, interrupted := onSignal(ctx)
	defer interrupted.stop()
	c := &verifiableConsumer{out: newJSONLines(env.Stdout), topic: o.String(o.topic), most: int64(o.Int(o.messages)), verbose: o.Has(o.verbose)}
	c.autoCommit = o.Has(o.autoCommit)
	if err := c.run(ctx, env, o.servers(), properties); err != nil {
		return uncaught(env, err)
	}
	return interrupted.status()
}

// verifiableConsumerOptions are the options of kafka-verifiable-consumer, and
// what was given of them.
type verifiableConsumerOptions struct {
	parser *argparse.Parser
	connectionOptions

	topic, group, instance, messages, sessionTimeout, verbose, autoCommit, reset, strategy, config *argparse.Option
}

func newVerifiableConsumerOptions() *verifiableConsumerOptions {
	p := argparse.New("verifiable-consumer", "This tool reads a topic and prints what its consumer does as lines of JSON, such as rebalances, records and commits.")
	return &verifiableConsumerOptions{
		parser:         p,
		topic:          p.Accepts("The topic to read.", "--topic").Required(),
		group:          p.Accepts("The consumer group.", "--group-id").Metavar("GROUP_ID").Required(),
		instance:       p.Accepts("The id of a static member.", "--group-instance-id").Metavar("GROUP_INSTANCE_ID"),
		messages:       p.Accepts("How many records are read; -1 goes on until the process is ended.", "--max-messages").Metavar("MAX-MESSAGES").Int().Default("-1"),
		sessionTimeout: p.Accepts("The consumer's session time-out.", "--session-timeout").Metavar("TIMEOUT_MS").Int().Default("30000"),
		verbose:        p.Accepts("Print each record.", "--verbose").Flag(),
		autoCommit:     p.Accepts("Have the consumer commit by itself.", "--enable-autocommit").Flag(),
		reset:          p.Accepts("Where to begin without an offset: 'earliest', 'latest' or 'none'.", "--reset-policy").Default("earliest"),
		strategy: p.Accepts("How partitions are shared out: a Java class, such as org.apache.kafka.clients.consumer.RoundRobinAssignor.", "--assignment-strategy").
			Default("org.apache.kafka.clients.consumer.RangeAssignor"),
		config:            p.Accepts("A properties file with settings of the consumer; those with an option of their own do not count.", "--consumer.config").Metavar("CONFIG_FILE"),
		connectionOptions: newConnectionOptions(p),
	}
}

// The lines of the consumer, with their members in this order.
type (
	shownPartition struct {
		Topic     string `json:"topic"`
		Partition int32  `json:"partition"`
	}
	partitionsChanged struct {
		event
		Partitions []shownPartition `json:"partitions"`
	}
	recordsConsumed struct {
		event
		Count      int            `json:"count"`
		Partitions []shownRecords `json:"partitions"`
	}
	shownRecords struct {
		shownPartition
		Count     int   `json:"count"`
		MinOffset int64 `json:"minOffset"`
		MaxOffset int64 `json:"maxOffset"`
	}
	recordData struct {
		event
		Key       *string `json:"key"`
		Value     *string `json:"value"`
		Topic     string  `json:"topic"`
		Partition int32   `json:"partition"`
		Offset    int64   `json:"offset"`
	}
	offsetsCommitted struct {
		event
		Offsets []shownOffset `json:"offsets"`
		Success bool          `json:"success"`
		Error   string        `json:"error,omitempty"`
	}
	shownOffset struct {
		shownPartition
		Offset int64 `json:"offset"`
	}
)

// verifiableConsumer is one run of the tool.
type verifiableConsumer struct {
	client              *consumerClient
	out                 *jsonLines
	topic               string
	most, consumed      int64
	verbose, autoCommit bool
}

// run reads until there are enough records, or until a signal comes.
func (c *verifiableConsumer) run(ctx context.Context, env *Env, servers string, properties map[string]string) error {
	wanted := subscription{topic: c.topic, partition: -1, assigned: c.changed("partitions_assigned"), revoked: c.changed("partitions_revoked")}
	var err error
	if c.client, err = openConsumer(ctx, consoleLoggers(env), servers, properties, wanted); err != nil {
		return err
	}
	c.out.write(newEvent("startup_complete"))
	c.client.commitRegularly(ctx)
	if err = c.client.waiter.await(ctx, c.topic); err == nil {
		c.consume(ctx)
	}
	c.client.leave()
	c.out.write(newEvent("shutdown_complete"))
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (c *verifiableConsumer) finished() bool { return c.most >= 0 && c.consumed >= c.most }

func (c *verifiableConsumer) consume(ctx context.Context) {
	atMost := int(c.client.settings.numbers["max.poll.records"])
	for !c.finished() && ctx.Err() == nil {
		fetches := c.client.PollRecords(ctx, atMost)
		if fetches.NumRecords() > 0 {
			offsets := c.take(fetches)
			if !c.autoCommit {
				c.commit(ctx, offsets)
			}
		}
		c.client.AllowRebalance()
	}
}

// changed is a callback that tells of partitions.
func (c *verifiableConsumer) changed(name string) func(map[string][]int32) {
	return func(partitions map[string][]int32) {
		shown := []shownPartition{}
		for _, topic := range sortedTopics(partitions) {
			for _, partition := range partitions[topic] {
				shown = append(shown, shownPartition{topic, partition})
			}
		}
		c.out.write(partitionsChanged{newEvent(name), shown})
	}
}

// take tells of the records of a poll, as many as are still wanted, and gives
// the offsets behind them.
func (c *verifiableConsumer) take(fetches kgo.Fetches) []shownOffset {
	var offsets []shownOffset
	shown := []shownRecords{}
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		records := p.Records
		if c.most >= 0 {
			records = records[:min(int64(len(records)), c.most-c.consumed)]
		}
		if len(records) == 0 {
			return
		}
		last := records[len(records)-1]
		c.client.positions.passed(last)
		at := shownPartition{p.Topic, p.Partition}
		offsets = append(offsets, shownOffset{at, last.Offset + 1})
		shown = append(shown, shownRecords{at, len(records), records[0].Offset, last.Offset})
		c.consumed += int64(len(records))
		if c.verbose {
			for _, r := range records {
				c.out.write(recordData{newEvent("record_data"), textOrNil(r.Key), textOrNil(r.Value), r.Topic, r.Partition, r.Offset})
			}
		}
	})
	c.out.write(recordsConsumed{newEvent("records_consumed"), fetches.NumRecords(), shown})
	return offsets
}

// commit commits offsets and tells how that went.
func (c *verifiableConsumer) commit(ctx context.Context, offsets []shownOffset) {
	positions := map[string]map[int32]kgo.EpochOffset{}
	for _, o := range offsets {
		if positions[o.Topic] == nil {
			positions[o.Topic] = map[int32]kgo.EpochOffset{}
		}
		positions[o.Topic][o.Partition] = kgo.EpochOffset{Epoch: -1, Offset: o.Offset}
	}
	line := offsetsCommitted{event: newEvent("offsets_committed"), Offsets: offsets, Success: true}
	ctx = kgo.PreCommitFnContext(context.WithoutCancel(ctx), withoutMetadata)
	c.client.CommitOffsetsSync(ctx, positions, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
		if failure := commitFailure(resp, err); failure != nil {
			line.Success, line.Error = false, failure.Error()
		}
	})
	line.Timestamp = newEvent("").Timestamp
	c.out.write(line)
}

// commitFailure is the first error of a commit.
func commitFailure(resp *kmsg.OffsetCommitResponse, err error) error {
	if err != nil || resp == nil {
		return err
	}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if kind := kerr.ForCode(p.ErrorCode); kind != nil {
				return kind
			}
		}
	}
	return nil
}
