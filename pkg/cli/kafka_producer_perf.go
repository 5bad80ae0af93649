package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"gregor/pkg/cli/argparse"
)

var _ = register("kafka-producer-perf-test", kafkaProducerPerfTest)

// kafkaProducerPerfTest is kafka-producer-perf-test.sh of 2.8: it sends records
// as fast as it can, or as fast as it is told, and shows rate and latency.
func kafkaProducerPerfTest(ctx context.Context, env *Env, args []string) int {
	o := newProducerPerfOptions()
	set, status, done := parseWords(env, o.parser, args)
	if done {
		return status
	}
	o.Set = set
	test, err := o.test(ctx, env)
	if err == nil {
		err = test.run(ctx)
	}
	if usage := (*argparse.Error)(nil); errors.As(err, &usage) {
		_ = o.parser.WriteError(env.Stderr, usage) // nobody is there to tell
		return 1
	}
	if err != nil {
		return uncaught(env, err)
	}
	return 0
}

// parseWords reads a command line of a tool that uses argparse. done tells
// that the tool has ended with the status: no arguments get the help, which
// asking for it makes a failure.
func parseWords(env *Env, p *argparse.Parser, args []string) (set *argparse.Set, status int, done bool) {
	if len(args) == 0 {
		_ = p.WriteHelp(env.Stdout) // nobody is there to tell
		return nil, 0, true
	}
	set, err := p.Parse(args)
	switch {
	case err == nil:
		return set, 0, false
	case err.Help:
		_ = p.WriteHelp(env.Stdout)
	default:
		_ = p.WriteError(env.Stderr, err)
	}
	return nil, 1, true
}

// producerPerfOptions are the options of kafka-producer-perf-test, and what
// was given of them.
type producerPerfOptions struct {
	parser *argparse.Parser
	*argparse.Set

	topic, records, delimiter, throughput, props, config, metrics, transactionalID, transactionMs, size, file *argparse.Option
}

func newProducerPerfOptions() *producerPerfOptions {
	p := argparse.New("producer-performance", "This tool measures how fast records can be produced.")
	o := &producerPerfOptions{
		parser:  p,
		topic:   p.Accepts("the topic to send to", "--topic").Required(),
		records: p.Accepts("how many records are sent", "--num-records").Metavar("NUM-RECORDS").Long().Required(),
		delimiter: p.Accepts("the regular expression that separates the payloads in the file of --payload-file; without such a file it means nothing.",
			"--payload-delimiter").Metavar("PAYLOAD-DELIMITER").Default("\\n"),
		throughput: p.Accepts("how many records a second are sent, about; -1 sends as many as go.", "--throughput").Int().Required(),
		props: p.Accepts("settings of the producer, such as bootstrap.servers or client.id. They win over those of --producer.config.", "--producer-props").
			Metavar("PROP-NAME=PROP-VALUE").Many(),
		config:  p.Accepts("a properties file with settings of the producer.", "--producer.config").Metavar("CONFIG-FILE"),
		metrics: p.Accepts("show metrics of the producer at the end.", "--print-metrics").Flag(),
		transactionalID: p.Accepts("the transactional id to use if transaction-duration-ms is > 0.", "--transactional-id").
			Metavar("TRANSACTIONAL-ID").Default("performance-producer-default-transactional-id"),
		transactionMs: p.Accepts("how old a transaction gets before it is committed. There are transactions only if this is positive.", "--transaction-duration-ms").
			Metavar("TRANSACTION-DURATION").Long().Default("0"),
		size: p.Accepts("bytes of a record. Exactly one of --record-size or --payload-file is needed.", "--record-size").Metavar("RECORD-SIZE").Int(),
		file: p.Accepts("a text file in UTF-8 with payloads, of which each record gets one at random. Exactly one of --record-size or --payload-file is needed.",
			"--payload-file").Metavar("PAYLOAD-FILE"),
	}
	p.Exclusive("", "either --record-size or --payload-file must be specified but not both.", true, o.size, o.file)
	return o
}

// producerPerformance is one run of the tool.
type producerPerformance struct {
	env          *Env
	client       *producerClient
	metrics      *clientMetrics // nil without --print-metrics
	topic        string
	payloads     [][]byte
	records      int64
	throughput   int64
	transactions time.Duration // how long one takes; 0 for none
	stats        *sendStats
	known        bool
	failed       atomic.Int64 // records; the sender and the client count
	spare        sync.Pool    // of *kgo.Record, whose promise has been kept
}

// test checks what was given in Kafka's order and connects.
func (o *producerPerfOptions) test(ctx context.Context, env *Env) (*producerPerformance, error) {
	t := &producerPerformance{env: env, topic: o.String(o.topic), records: o.Long(o.records), throughput: o.Long(o.throughput)}
	if !o.Has(o.props) && !o.Has(o.config) {
		return nil, &argparse.Error{Text: "Either --producer-props or --producer.config must be specified."}
	}
	var err error
	if o.Has(o.file) {
		if t.payloads, err = readPayloads(env, o.String(o.file), o.String(o.delimiter)); err != nil {
			return nil, err
		}
	}
	properties, err := o.properties()
	if err != nil {
		return nil, err
	}
	if !o.Has(o.file) {
		size := o.Int(o.size)
		if size < 0 {
			return nil, exceptionf("java.lang.NegativeArraySizeException", "%d", size)
		}
		t.payloads = [][]byte{randomPayload(int(size))}
	}
	if t.transactions = time.Duration(o.Long(o.transactionMs)) * time.Millisecond; t.transactions > 0 {
		properties["transactional.id"] = o.String(o.transactionalID)
	}
	if properties["client.id"] == "" {
		properties["client.id"] = producerClientID(properties["transactional.id"])
	}
	if o.Has(o.metrics) {
		t.metrics = newClientMetrics("producer", properties["client.id"])
	}
	if t.client, err = openProducer(ctx, consoleLoggers(env), properties["bootstrap.servers"], properties, t.tune); err != nil {
		return nil, err
	}
	if t.records <= 0 {
		t.client.Close()
		if t.records == 0 {
			return nil, exceptionf("java.lang.ArithmeticException", "/ by zero")
		}
		return nil, exceptionf("java.lang.NegativeArraySizeException", "%d", t.records)
	}
	t.stats = newSendStats(env.Stdout, t.records)
	return t, nil
}

// producerClientID is the client id of the first producer of a process.
func producerClientID(transactionalID string) string {
	if transactionalID != "" {
		return "producer-" + transactionalID
	}
	return "producer-1"
}

// properties are those of the file with those of the command line over them.
func (o *producerPerfOptions) properties() (map[string]string, error) {
	file, err := readClientProperties(o.String(o.config))
	if err != nil {
		return nil, err
	}
	properties := map[string]string{}
	maps.Copy(properties, file)
	for _, pair := range o.Strings(o.props) {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || strings.Contains(value, "=") {
			return nil, exceptionf(illegalArgument, "Invalid property: %s", pair)
		}
		properties[name] = value
	}
	return properties, nil
}

// tune makes the client's batches as large as batch.size, or as the largest
// record: the settings are what is measured.
func (t *producerPerformance) tune(v *clientValues) []kgo.Opt {
	largest := 0
	for _, p := range t.payloads {
		largest = max(largest, len(p))
	}
	options := []kgo.Opt{
		kgo.ProducerBatchMaxBytes(int32(max(v.numbers["batch.size"], int64(min(recordSizeBound(largest), 1<<30)), leastBatch))),
		kgo.BrokerMaxWriteBytes(1 << 30),
	}
	if t.metrics != nil {
		options = append(options, kgo.WithHooks(t.metrics))
	}
	return options
}

// readPayloads reads the file of --payload-file and tells of it.
func readPayloads(env *Env, path, delimiter string) ([][]byte, error) {
	shown, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(env.Stdout, "Reading payloads from: %s\n", shown)
	content, err := os.ReadFile(path)
	if err != nil || len(content) == 0 {
		return nil, exceptionf(illegalArgument, "File does not exist or empty file provided.")
	}
	expression, err := regexp.Compile(delimiter)
	if err != nil {
		return nil, exceptionf("java.util.regex.PatternSyntaxException", "%s", err)
	}
	var payloads [][]byte
	for _, text := range expression.Split(string(content), -1) {
		payloads = append(payloads, []byte(text))
	}
	for len(payloads) > 0 && len(payloads[len(payloads)-1]) == 0 {
		payloads = payloads[:len(payloads)-1] // as String.split of Java does
	}
	fmt.Fprintf(env.Stdout, "Number of messages read: %d\n", len(payloads))
	if len(payloads) == 0 {
		return nil, exceptionf(illegalArgument, "bound must be positive")
	}
	return payloads, nil
}

// randomPayload is made of capital letters, the same in every run.
func randomPayload(size int) []byte {
	random := rand.New(rand.NewPCG(0, 0))
	payload := make([]byte, size)
	for i := range payload {
		payload[i] = byte('A' + random.IntN(26))
	}
	return payload
}

// run sends the records and shows how it went.
func (t *producerPerformance) run(ctx context.Context) error {
	defer t.client.Close()
	if t.transactions > 0 {
		if _, _, err := t.client.ProducerID(ctx); err != nil {
			return transactionError(err)
		}
	}
	if err := t.sendAll(ctx); err != nil {
		return err
	}
	if err := t.client.Flush(ctx); err != nil {
		return err
	}
	t.stats.total()
	if t.metrics != nil {
		t.metrics.await(ctx, t.records-t.failed.Load())
		t.metrics.print(t.env.Stdout)
	}
	return nil
}

// sendAll sends all records, in transactions if that is asked for.
func (t *producerPerformance) sendAll(ctx context.Context) error {
	begun, pace := time.Time{}, newThrottle(t.throughput)
	for i := range t.records {
		if t.transactions > 0 && begun.IsZero() {
			if err := t.client.BeginTransaction(); err != nil {
				return transactionError(err)
			}
			begun = time.Now()
		}
		now := time.Now()
		t.send(ctx, now)
		if t.transactions > 0 && now.Sub(begun) >= t.transactions {
			if err := t.commit(ctx); err != nil {
				return err
			}
			begun = time.Time{}
		}
		if err := pace.wait(ctx, i+1); err != nil {
			return err
		}
	}
	if !begun.IsZero() {
		return t.commit(ctx)
	}
	return nil
}

func (t *producerPerformance) commit(ctx context.Context) error {
	if err := t.client.Flush(ctx); err != nil {
		return err
	}
	return transactionError(t.client.EndTransaction(ctx, kgo.TryCommit))
}

// transactionError gives an error about transactions Kafka's text.
func transactionError(err error) error {
	if err == nil {
		return nil
	}
	return producerError(&kgo.Record{}, err)
}

// send sends a record once its topic is known.
//
// Hot path: it allocates nothing, records are used again.
func (t *producerPerformance) send(ctx context.Context, now time.Time) {
	payload := t.payloads[0]
	if len(t.payloads) > 1 {
		payload = t.payloads[rand.IntN(len(t.payloads))]
	}
	if !t.known {
		if err := t.client.awaitTopic(ctx, t.topic); err != nil {
			t.refused(now, len(payload), err)
			return
		}
		t.known = true
	}
	if err := t.client.tooLarge(len(payload)); err != nil {
		t.refused(now, len(payload), err)
		return
	}
	r, _ := t.spare.Get().(*kgo.Record)
	if r == nil {
		r = new(kgo.Record)
	}
	*r = kgo.Record{Topic: t.topic, Value: payload, Timestamp: now}
	t.client.Produce(ctx, r, t.sent)
}

// refused is a record that was never sent.
func (t *producerPerformance) refused(begun time.Time, size int, err error) {
	t.failed.Add(1)
	t.stats.record(begun, size)
	fmt.Fprintln(t.env.Stderr, describe(err))
}

// sent is called when a record was answered; its timestamp says when it was
// handed over.
func (t *producerPerformance) sent(r *kgo.Record, err error) {
	t.stats.record(r.Timestamp, len(r.Value))
	if err != nil {
		t.failed.Add(1)
		fmt.Fprintln(t.env.Stderr, describe(producerError(r, err)))
	}
	t.spare.Put(r)
}

// throttle holds a loop to a number of rounds a second.
type throttle struct {
	rate  int64 // below 0: none
	begun time.Time
}

func newThrottle(rate int64) *throttle { return &throttle{rate: rate, begun: time.Now()} }

// wait returns when the loop may go on that has done so many rounds; with a
// rate of 0 that is never.
func (t *throttle) wait(ctx context.Context, rounds int64) error {
	if t.rate < 0 {
		return nil
	}
	if t.rate == 0 {
		<-ctx.Done()
		return ctx.Err()
	}
	const leastPause = 2 * time.Millisecond
	due := t.begun.Add(time.Duration(float64(rounds) / float64(t.rate) * float64(time.Second)))
	if pause := time.Until(due); pause >= leastPause {
		return sleep(ctx, pause)
	}
	return nil
}
