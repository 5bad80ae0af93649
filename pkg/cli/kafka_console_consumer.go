package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"
	franzerr "github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"gregor/pkg/cli/jopt"
	"gregor/pkg/kerr"
)

var _ = register("kafka-console-consumer", kafkaConsoleConsumer)

// consumerOptions are the options of kafka-console-consumer.sh.
type consumerOptions struct {
	parser *jopt.Parser

	topic, whitelist, partition, offset, consumerProperty, config, formatter, property, fromBeginning, maxMessages, timeout,
	skipOnError, bootstrap, keyDeserializer, valueDeserializer, systestEvents, isolation, group *jopt.Option
}

func newConsumerOptions() *consumerOptions {
	p := jopt.New()
	return &consumerOptions{
		parser: p,
		topic:  p.Accepts("topic", "The topic to read.").RequiredArg("topic"),
		whitelist: p.Accepts("whitelist", "A regular expression: all topics with such a name are read.").
			RequiredArg("whitelist"),
		partition: p.Accepts("partition", "The one partition to read, from the end unless '--offset' says otherwise.").
			RequiredArg("partition").Int(),
		offset: p.Accepts("offset", "Where to begin in the partition: a number that is not negative, 'earliest' or 'latest'.").
			RequiredArg("consume offset").Default("latest"),
		consumerProperty: p.Accepts("consumer-property", "A setting of the consumer, key=value.").RequiredArg("consumer_prop"),
		config: p.Accepts("consumer.config", "A file with settings of the consumer; [consumer-property] wins over it.").
			RequiredArg("config file"),
		formatter: p.Accepts("formatter", "The class that shows a record.").RequiredArg("class").Default(defaultFormatter),
		property: p.Accepts("property", "A setting of the formatter, key=value:\n print.timestamp=true|false\n print.key=true|false\n print.offset=true|false\n"+
			" print.partition=true|false\n print.headers=true|false\n print.value=true|false\n key.separator=<key.separator>\n line.separator=<line.separator>\n"+
			" headers.separator=<line.separator>\n null.literal=<null.literal>\n key.deserializer=<key.deserializer>\n value.deserializer=<value.deserializer>\n"+
			" header.deserializer=<header.deserializer>").RequiredArg("prop"),
		fromBeginning: p.Accepts("from-beginning", "Begin with the oldest record when the group has no offset yet."),
		maxMessages:   p.Accepts("max-messages", "End after so many records; without it, go on for ever.").RequiredArg("num_messages").Int(),
		timeout:       p.Accepts("timeout-ms", "End when there was no record for so many milliseconds.").RequiredArg("timeout_ms").Int(),
		skipOnError:   p.Accepts("skip-message-on-error", "Pass over a record that cannot be shown instead of ending."),
		bootstrap:     p.Accepts("bootstrap-server", "Brokers to ask first. REQUIRED.").RequiredArg("server to connect to"),
		keyDeserializer: p.Accepts("key-deserializer", "The class that reads keys.").
			RequiredArg("deserializer for key"),
		valueDeserializer: p.Accepts("value-deserializer", "The class that reads values.").
			RequiredArg("deserializer for values"),
		systestEvents: p.Accepts("enable-systest-events", "Tell of the consumer's end too."),
		isolation: p.Accepts("isolation-level", "read_committed leaves out what aborted transactions wrote and stops before open ones; read_uncommitted reads all.").
			RequiredArg("").Default("read_uncommitted"),
		group: p.Accepts("group", "The consumer group.").RequiredArg("consumer group id"),
	}
}

func kafkaConsoleConsumer(ctx context.Context, env *Env, args []string) int {
	o := newConsumerOptions()
	set, err := o.parser.Parse(args)
	if err != nil {
		return usageFailure(env, o.parser, err.Error())
	}
	const sentence = "This tool helps to read data from Kafka topics and outputs it to standard output."
	if status, done := helpOrVersion(env, o.parser, set, sentence); done {
		return status
	}
	c := &consoleConsumer{env: env, out: bufio.NewWriterSize(env.Stdout, 64<<10)}
	if err := c.configure(o, set); err != nil {
		return consoleFailure(env, o.parser, err)
	}
	return c.run(ctx)
}

// consoleConsumer prints the records of a topic, of a partition, or of all
// topics that match.
type consoleConsumer struct {
	env       *Env
	out       *bufio.Writer
	log       *logrus.Entry // of ConsoleConsumer$
	formatter messageFormatter

	servers, topic, whitelist string
	partition                 int32 // -1: all, as a group
	offset                    kgo.Offset
	fromBeginning             bool
	properties                map[string]string
	isolation                 string
	maxMessages               int64 // -1: no end
	timeout                   time.Duration
	skipOnError, systest      bool

	client *consumerClient
	count  int64
}

// configure checks the options in Kafka's order.
func (c *consoleConsumer) configure(o *consumerOptions, set *jopt.Set) error {
	c.maxMessages = -1
	if set.Count(o.topic, o.whitelist) != 1 {
		return jopt.Usagef("Exactly one of whitelist/topic is required.")
	}
	c.topic, c.whitelist, c.partition = set.String(o.topic), set.String(o.whitelist), -1
	c.fromBeginning = set.Has(o.fromBeginning)
	c.skipOnError, c.systest = set.Has(o.skipOnError), set.Has(o.systestEvents)
	if set.Has(o.partition) {
		c.partition = set.Int(o.partition)
	}
	if set.Has(o.maxMessages) {
		c.maxMessages = int64(set.Int(o.maxMessages))
	}
	if set.Has(o.timeout) {
		c.timeout = time.Duration(set.Int(o.timeout)) * time.Millisecond
	}
	c.isolation = set.String(o.isolation)
	if err := set.Err(); err != nil {
		return err
	}
	if err := c.configureStart(o, set); err != nil {
		return err
	}
	if err := set.Require(o.bootstrap); err != nil {
		return err
	}
	c.servers = set.String(o.bootstrap)
	if err := c.configureProperties(o, set); err != nil {
		return err
	}
	formatterProperties, err := keyValues(set.Strings(o.property))
	if err != nil {
		return err
	}
	if set.Has(o.keyDeserializer) {
		formatterProperties["key.deserializer"] = set.String(o.keyDeserializer)
	}
	if set.Has(o.valueDeserializer) {
		formatterProperties["value.deserializer"] = set.String(o.valueDeserializer)
	}
	c.formatter, err = newFormatter(set.String(o.formatter), formatterProperties)
	return err
}

// configureStart checks what says where to begin.
func (c *consoleConsumer) configureStart(o *consumerOptions, set *jopt.Set) error {
	switch {
	case set.Has(o.partition) && !set.Has(o.topic):
		return jopt.Usagef("The topic is required when partition is specified.")
	case set.Has(o.fromBeginning) && set.Has(o.offset):
		return jopt.Usagef("Options from-beginning and offset cannot be specified together.")
	case set.Has(o.offset) && !set.Has(o.partition):
		return jopt.Usagef("The partition is required when offset is specified.")
	}
	c.offset = kgo.NewOffset().AtEnd()
	if c.fromBeginning {
		c.offset = kgo.NewOffset().AtStart()
	}
	if !set.Has(o.offset) {
		return nil
	}
	text := set.String(o.offset)
	switch strings.ToLower(text) {
	case "earliest":
		c.offset = kgo.NewOffset().AtStart()
	case "latest":
		c.offset = kgo.NewOffset().AtEnd()
	default:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 {
			return jopt.Usagef("The provided offset value '%s' is incorrect. Valid values are 'earliest', 'latest', or a non-negative long.", text)
		}
		c.offset = kgo.NewOffset().At(n)
	}
	return nil
}

// configureProperties merges the consumer's settings and finds the group.
func (c *consoleConsumer) configureProperties(o *consumerOptions, set *jopt.Set) error {
	file, err := readClientProperties(set.String(o.config))
	if err != nil {
		return err
	}
	given, err := keyValues(set.Strings(o.consumerProperty))
	if err != nil {
		return err
	}
	c.properties = map[string]string{}
	maps.Copy(c.properties, file)
	maps.Copy(c.properties, given)

	groups := map[string]bool{}
	var found []string
	for _, id := range []string{set.String(o.group), given["group.id"], file["group.id"]} {
		if id != "" && !groups[id] {
			groups[id] = true
			found = append(found, "'"+id+"'")
		}
	}
	if len(found) > 1 {
		return jopt.Usagef("The group ids provided in different places (directly using '--group', via '--consumer-property', or via '--consumer.config') do not match. Detected group ids: %s",
			strings.Join(found, ", "))
	}
	for id := range groups {
		c.properties["group.id"] = id
	}
	if len(groups) == 0 {
		c.properties["group.id"] = fmt.Sprintf("console-consumer-%d", rand.IntN(100000))
		if _, given := c.properties["enable.auto.commit"]; !given {
			c.properties["enable.auto.commit"] = "false"
		}
	} else if c.partition >= 0 {
		return jopt.Usagef("Options group and partition cannot be specified together.")
	}
	return c.configureReset()
}

// configureReset decides between --from-beginning and auto.offset.reset.
func (c *consoleConsumer) configureReset() error {
	reset, given := c.properties["auto.offset.reset"]
	switch {
	case !given:
		reset = "latest"
		if c.fromBeginning {
			reset = "earliest"
		}
	case c.fromBeginning && reset != "earliest":
		return &jopt.Error{Text: fmt.Sprintf("Can't simultaneously specify --from-beginning and 'auto.offset.reset=%s', please remove one option", reset)}
	}
	c.properties["auto.offset.reset"] = reset
	return nil
}

// run consumes until an end is reached, and returns the exit status.
func (c *consoleConsumer) run(ctx context.Context) int {
	ctx, signals := onSignal(ctx)
	defer signals.stop()
	signal.Ignore(syscall.SIGPIPE) // a reader that is gone is an error of the write
	loggers := consoleLoggers(c.env)
	c.log = loggers.Logger("kafka.tools.ConsoleConsumer$")
	if err := c.connect(ctx); err != nil {
		c.log.Error("Unknown error when running consumer: ")
		fmt.Fprint(c.env.Stderr, trace(err))
		return 1
	}
	err := c.consume(ctx)
	if ctx.Err() == nil && err != nil && !errors.Is(err, errStdout) {
		c.log.Error("Error processing message, terminating consumer process: ")
		fmt.Fprintln(c.env.Stderr, strings.TrimSuffix(describe(err), ": "))
	}
	if errors.Is(err, errStdout) {
		fmt.Fprintln(c.env.Stderr, "Unable to write to standard out, closing consumer.")
	}
	c.close()
	fmt.Fprintf(c.env.Stderr, "Processed a total of %d messages\n", c.count)
	if c.systest {
		fmt.Fprintln(c.env.Stdout, "shutdown_complete")
	}
	return signals.status()
}

// connect makes the client.
func (c *consoleConsumer) connect(ctx context.Context) error {
	c.properties["isolation.level"] = c.isolation
	wanted := subscription{topic: c.topic, pattern: c.whitelist, partition: c.partition, offset: c.offset}
	client, err := openConsumer(ctx, consoleLoggers(c.env), c.servers, c.properties, wanted)
	c.client = client
	return err
}

// errStdout is the error of a standard output that takes no more.
var errStdout = errors.New("standard output is closed")

// consume prints records until an end is reached: nil for max-messages, else
// the error that ended it.
func (c *consoleConsumer) consume(ctx context.Context) error {
	if c.maxMessages == 0 {
		return nil
	}
	if c.whitelist == "" {
		if err := c.awaitTopic(ctx); err != nil {
			return err
		}
	}
	c.client.commitRegularly(ctx)
	for {
		polling, cancel := c.withTimeout(ctx)
		fetches := c.client.PollRecords(polling, 500)
		timedOut := polling.Err() != nil && ctx.Err() == nil
		cancel()
		done, err := c.print(fetches)
		if flushErr := c.out.Flush(); flushErr != nil {
			err = errStdout
		}
		c.client.AllowRebalance()
		switch {
		case err != nil || done:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case timedOut && fetches.NumRecords() == 0:
			return kerr.RequestTimedOut.With("")
		}
	}
}

func (c *consoleConsumer) withTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	if c.timeout <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, c.timeout)
}

// awaitTopic waits until the topic is there; --timeout-ms counts.
func (c *consoleConsumer) awaitTopic(ctx context.Context) error {
	waiting, cancel := c.withTimeout(ctx)
	defer cancel()
	err := c.client.waiter.await(waiting, c.topic)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return kerr.RequestTimedOut.With("")
	}
	return err
}

// print shows what a poll brought. done tells that max-messages is reached.
func (c *consoleConsumer) print(fetches kgo.Fetches) (done bool, err error) {
	for _, e := range fetches.Errors() {
		var code *franzerr.Error
		if errors.As(e.Err, &code) && !code.Retriable {
			return false, kerr.ForCode(code.Code)
		}
	}
	for iter := fetches.RecordIter(); !iter.Done(); {
		r := iter.Next()
		c.client.positions.passed(r)
		c.count++
		if err := c.formatter.write(c.out, r); err != nil {
			if !c.skipOnError {
				return false, err
			}
			c.log.Error("Error processing message, skipping this message: ")
			fmt.Fprintln(c.env.Stderr, describe(err))
		}
		if c.count == c.maxMessages {
			return true, nil
		}
	}
	return false, nil
}

// close commits where the group has come to and leaves it.
func (c *consoleConsumer) close() {
	c.client.leave()
}

// sortedTopics are the keys of a map in order.
func sortedTopics[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
