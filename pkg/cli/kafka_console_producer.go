package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"strings"

	"github.com/sirupsen/logrus"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/term"

	"gregor/pkg/cli/jopt"
)

var _ = register("kafka-console-producer", kafkaConsoleProducer)

// producerOptions are the options of kafka-console-producer.sh.
type producerOptions struct {
	parser *jopt.Parser

	topic, bootstrap, brokerList, sync, codec, batchSize, retries, retryBackoff, timeout, acks, requestTimeout,
	metadataExpiry, maxBlock, maxMemory, partitionMemory, reader, socketBuffer, property, producerProperty, config *jopt.Option
}

func newProducerOptions() *producerOptions {
	p := jopt.New()
	return &producerOptions{
		parser: p,
		topic:  p.Accepts("topic", "The topic that records are sent to. REQUIRED.").RequiredArg("topic"),
		brokerList: p.Accepts("broker-list", "The older name of --bootstrap-server, which wins when both are given.").
			RequiredArg("broker-list"),
		bootstrap: p.Accepts("bootstrap-server", "Brokers to ask first, as HOST1:PORT1,HOST2:PORT2. REQUIRED unless --broker-list is given.").
			RequiredArg("server to connect to"),
		sync: p.Accepts("sync", "Wait for the answer to each record before the next line is read."),
		codec: p.Accepts("compression-codec", "Compression of the batches: none, gzip, snappy, lz4 or zstd; gzip when no value is given.").
			OptionalArg("compression-codec"),
		batchSize: p.Accepts("batch-size", "Number of records in a batch; kept for older scripts, without effect.").
			RequiredArg("size").Int().Default("200"),
		retries: p.Accepts("message-send-max-retries", "How often a batch that failed is sent again before its records are given up.").
			RequiredArg("").Int().Default("3"),
		retryBackoff: p.Accepts("retry-backoff-ms", "Milliseconds to wait before metadata is asked for again.").
			RequiredArg("").Int().Default("100"),
		timeout: p.Accepts("timeout", "Milliseconds that records may wait for others to share a batch.").
			RequiredArg("timeout_ms").Int().Default("1000"),
		acks: p.Accepts("request-required-acks", "Which acknowledgement a batch needs: 0, 1 or all.").
			RequiredArg("request required acks").Default("1"),
		requestTimeout: p.Accepts("request-timeout-ms", "Milliseconds to wait for the answer to a request.").
			RequiredArg("request timeout ms").Int().Default("1500"),
		metadataExpiry: p.Accepts("metadata-expiry-ms", "Milliseconds after which metadata is asked for again though nothing seems to have changed.").
			RequiredArg("metadata expiration interval").Long().Default("300000"),
		maxBlock: p.Accepts("max-block-ms", "Milliseconds that sending may wait for metadata or for memory.").
			RequiredArg("max block on send").Long().Default("60000"),
		maxMemory: p.Accepts("max-memory-bytes", "Bytes of records that may wait to be sent.").
			RequiredArg("total memory in bytes").Long().Default("33554432"),
		partitionMemory: p.Accepts("max-partition-memory-bytes", "Bytes of a partition's batch.").
			RequiredArg("memory in bytes per partition").Long().Default("16384"),
		reader: p.Accepts("line-reader", "How lines become records. The one built in takes each line as a record.").
			RequiredArg("reader_class").Default(lineReaderClass),
		socketBuffer: p.Accepts("socket-buffer-size", "Bytes of the socket's send buffer.").
			RequiredArg("size").Int().Default("102400"),
		property: p.Accepts("property", "A setting of the line reader, key=value:\n parse.key=true|false\n key.separator=<key.separator>\n ignore.error=true|false").
			RequiredArg("prop"),
		producerProperty: p.Accepts("producer-property", "A setting of the producer, key=value.").RequiredArg("producer_prop"),
		config: p.Accepts("producer.config", "A file with settings of the producer; [producer-property] wins over it.").
			RequiredArg("config file"),
	}
}

// lineReaderClass is the reader that is built in.
const lineReaderClass = "kafka.tools.ConsoleProducer$LineMessageReader"

func kafkaConsoleProducer(ctx context.Context, env *Env, args []string) int {
	o := newProducerOptions()
	set, err := o.parser.Parse(args)
	if err != nil {
		return usageFailure(env, o.parser, err.Error())
	}
	switch {
	case set.Has(o.parser.Help):
		return usageFailure(env, o.parser, "This tool helps to read data from standard input and publish it to Kafka.")
	case set.Has(o.parser.Version):
		fmt.Fprintln(env.Stdout, versionLine)
		return 0
	}
	p := &consoleProducer{env: env}
	if err := p.configure(ctx, o, set); err != nil {
		return consoleFailure(env, o.parser, err)
	}
	defer p.close()
	return p.run(ctx)
}

// consoleFailure ends a console tool: a usage error with the table of
// options, a value that cannot be read with its sentence, anything else as the
// exception that the tool prints.
func consoleFailure(env *Env, p *jopt.Parser, err error) int {
	var usage *jopt.UsageError
	var value *jopt.Error
	switch {
	case errors.As(err, &usage):
		return usageFailure(env, p, usage.Text)
	case errors.As(err, &value):
		fmt.Fprintln(env.Stderr, value.Text)
	default:
		fmt.Fprint(env.Stderr, trace(err))
	}
	return 1
}

// consoleProducer sends the lines of standard input.
type consoleProducer struct {
	env    *Env
	reader *lineReader
	client *producerClient // for batches of batch.size
	large  *producerClient // for records that do not fit into one, nil until there is one
	last   *producerClient // that the last record was given to
	open   func(tune func(*clientValues) []kgo.Opt) (*producerClient, error)
	log    *logrus.Entry // of ErrorLoggingCallback
	sync   bool
	known  bool // the topic has metadata
}

// configure checks the options in Kafka's order and makes the client.
func (p *consoleProducer) configure(ctx context.Context, o *producerOptions, set *jopt.Set) error {
	if !set.Has(o.bootstrap) && !set.Has(o.brokerList) {
		return jopt.Usagef("Missing required option(s) [bootstrap-server]")
	}
	if err := set.Require(o.topic); err != nil {
		return err
	}
	servers := set.String(o.brokerList)
	if set.Has(o.bootstrap) {
		servers = set.String(o.bootstrap)
	}
	if !validHostPorts(servers) {
		return jopt.Usagef("Please provide valid host:port like host1:9091,host2:9092\n ")
	}
	if class := set.String(o.reader); class != lineReaderClass && class != "kafka.tools.ConsoleProducer.LineMessageReader" {
		return exceptionf("java.lang.ClassNotFoundException", "%s", class)
	}
	readerProperties, err := keyValues(set.Strings(o.property))
	if err != nil {
		return err
	}
	properties, err := p.properties(o, set)
	if err != nil {
		return err
	}
	for _, number := range []*jopt.Option{o.batchSize, o.retries, o.retryBackoff, o.timeout, o.requestTimeout, o.socketBuffer} {
		set.Int(number)
	}
	for _, number := range []*jopt.Option{o.metadataExpiry, o.maxBlock, o.maxMemory, o.partitionMemory} {
		set.Long(number)
	}
	if err := set.Err(); err != nil {
		return err
	}
	p.reader = newLineReader(p.env.Stdin, set.String(o.topic), readerProperties)
	p.sync = set.Has(o.sync)
	return p.connect(ctx, servers, properties)
}

// validHostPorts is the check of ToolsUtils.validatePortOrDie.
func validHostPorts(list string) bool {
	good := 0
	entries := strings.Split(list, ",")
	for _, entry := range entries {
		if match := hostPort.FindStringSubmatch(entry); match != nil {
			good++
		}
	}
	return good > 0 && good == len(entries)
}

// properties are the producer's settings: the options that were given beat
// --producer-property, which beats the file, which beats the options'
// defaults.
func (p *consoleProducer) properties(o *producerOptions, set *jopt.Set) (map[string]string, error) {
	properties, err := readClientProperties(set.String(o.config))
	if err != nil {
		return nil, err
	}
	given, err := keyValues(set.Strings(o.producerProperty))
	if err != nil {
		return nil, err
	}
	merged := maps.Clone(properties)
	if merged == nil {
		merged = map[string]string{}
	}
	maps.Copy(merged, given)
	codec := "none"
	if set.Has(o.codec) {
		if codec = set.String(o.codec); codec == "" {
			codec = "gzip"
		}
	}
	merged["compression.type"] = codec
	for _, row := range []struct {
		key    string
		option *jopt.Option
	}{
		{"linger.ms", o.timeout}, {"acks", o.acks}, {"request.timeout.ms", o.requestTimeout}, {"retries", o.retries},
		{"retry.backoff.ms", o.retryBackoff}, {"send.buffer.bytes", o.socketBuffer}, {"buffer.memory", o.maxMemory},
		{"batch.size", o.partitionMemory}, {"metadata.max.age.ms", o.metadataExpiry}, {"max.block.ms", o.maxBlock},
	} {
		if _, elsewhere := merged[row.key]; set.Has(row.option) || !elsewhere {
			merged[row.key] = set.String(row.option)
		}
	}
	if merged["client.id"] == "" {
		merged["client.id"] = "console-producer"
	}
	return merged, nil
}

func (p *consoleProducer) connect(ctx context.Context, servers string, properties map[string]string) error {
	loggers := consoleLoggers(p.env)
	p.log = loggers.Logger("org.apache.kafka.clients.producer.internals.ErrorLoggingCallback")
	p.open = func(tune func(*clientValues) []kgo.Opt) (*producerClient, error) {
		return openProducer(ctx, loggers, servers, properties, tune)
	}
	client, err := p.open(func(v *clientValues) []kgo.Opt {
		if v.texts["transactional.id"] != "" {
			return nil
		}
		return []kgo.Opt{kgo.ProducerBatchMaxBytes(int32(max(min(v.numbers["batch.size"], v.numbers["max.request.size"]), leastBatch)))}
	})
	p.client, p.last = client, client
	return err
}

// leastBatch is the smallest limit that the client takes for a batch.
const leastBatch = 1024

// clientFor chooses the client by the size of a record: with Kafka batch.size
// is where a batch ends, and a larger record has a batch of its own, whereas
// our client refuses it. Records stay in order.
func (p *consoleProducer) clientFor(r *kgo.Record) (*producerClient, error) {
	next, limit := p.client, max(p.client.settings.numbers["batch.size"], leastBatch)
	if bound := int64(recordSizeBound(len(r.Value)) + recordSizeBound(len(r.Key))); bound > limit && p.client.settings.texts["transactional.id"] == "" {
		if p.large == nil {
			var err error
			if p.large, err = p.open(nil); err != nil {
				return nil, err
			}
		}
		next = p.large
	}
	if next != p.last {
		_ = p.last.Flush(context.Background()) // every record's own error has been told
		p.last = next
	}
	return next, nil
}

func (p *consoleProducer) close() {
	p.client.Close()
	if p.large != nil {
		p.large.Close()
	}
}

// run reads lines until the input ends, or a signal does; what was read is
// sent in either case.
func (p *consoleProducer) run(ctx context.Context) int {
	ctx, interrupted := onSignal(ctx)
	defer interrupted.stop()
	lines := make(chan readLine)
	readLines(ctx, p.reader, lines, p.prompt())
	for {
		select {
		case <-ctx.Done():
			p.flush()
			return interrupted.status()
		case line := <-lines:
			if line.err == io.EOF {
				p.flush()
				return 0
			}
			if line.err != nil {
				fmt.Fprint(p.env.Stderr, trace(line.err))
				p.flush()
				return 1
			}
			p.send(ctx, line.record)
		}
	}
}

// prompt is what is written before a line is read: ">" on a terminal.
func (p *consoleProducer) prompt() func() {
	in, okIn := p.env.Stdin.(*os.File)
	out, okOut := p.env.Stdout.(*os.File)
	if okIn && okOut && term.IsTerminal(int(in.Fd())) && term.IsTerminal(int(out.Fd())) {
		return func() { fmt.Fprint(p.env.Stdout, ">") }
	}
	return func() {}
}

// send hands a record to the client, once its topic is known.
func (p *consoleProducer) send(ctx context.Context, r *kgo.Record) {
	if !p.known {
		if err := p.client.awaitTopic(ctx, r.Topic); err != nil {
			if ctx.Err() == nil {
				p.failed(r, err)
			}
			return
		}
		p.known = true
	}
	client, err := p.clientFor(r)
	if err != nil {
		p.failed(r, err)
		return
	}
	if p.sync {
		if err := client.ProduceSync(ctx, r).FirstErr(); err != nil {
			p.failed(r, producerError(r, err))
		}
		return
	}
	client.Produce(context.WithoutCancel(ctx), r, func(r *kgo.Record, err error) {
		if err != nil {
			p.failed(r, producerError(r, err))
		}
	})
}

// failed tells of a record that could not be sent.
func (p *consoleProducer) failed(r *kgo.Record, err error) {
	p.log.Errorf("Error when sending message to topic %s with key: %s, value: %s with error:", r.Topic, lengthOf(r.Key), lengthOf(r.Value))
	fmt.Fprintln(p.env.Stderr, describe(err))
}

func (p *consoleProducer) flush() {
	_ = p.last.Flush(context.Background()) // every record's own error has been told
}
