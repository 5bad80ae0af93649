package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"gregor/pkg/cli/jopt"
)

var _ = register("kafka-consumer-perf-test", kafkaConsumerPerfTest)

// kafkaConsumerPerfTest is kafka-consumer-perf-test.sh of 2.8: it reads a topic
// as a member of a group as fast as it can, and shows the rate.
func kafkaConsumerPerfTest(ctx context.Context, env *Env, args []string) int {
	o := newConsumerPerfOptions()
	set, err := o.parser.Parse(args)
	if err != nil {
		return usageFailure(env, o.parser, err.Error())
	}
	o.Set = set
	if set.Has(o.parser.Help) || set.Has(o.parser.Version) {
		status, _ := helpOrVersion(env, o.parser, set, "This tool helps in performance test for the full zookeeper consumer")
		return status
	}
	test, err := o.test(env)
	if err != nil {
		return optionFailure(env, o.parser, err)
	}
	if err := test.run(ctx); err != nil {
		return uncaught(env, err)
	}
	return 0
}

// consumerPerfOptions are the options of kafka-consumer-perf-test, and what
// was given of them.
type consumerPerfOptions struct {
	parser *jopt.Parser
	*jopt.Set

	brokers, bootstrap, topic, group, fetchSize, fromLatest, socketBuffer, threads, fetchThreads *jopt.Option
	config, metrics, detailed, timeout, messages, interval, dateFormat, hideHeader               *jopt.Option
}

func newConsumerPerfOptions() *consumerPerfOptions {
	p := jopt.New()
	return &consumerPerfOptions{
		parser: p,
		brokers: p.Accepts("broker-list", "DEPRECATED, --bootstrap-server wins over it: brokers to ask first, as HOST1:PORT1,HOST2:PORT2.").
			RequiredArg("broker-list"),
		bootstrap: p.Accepts("bootstrap-server", "Brokers to ask first. REQUIRED, unless there is --broker-list.").RequiredArg("server to connect to"),
		topic:     p.Accepts("topic", "REQUIRED: The topic to read.").RequiredArg("topic"),
		group:     p.Accepts("group", "The consumer group.").RequiredArg("gid").Default(fmt.Sprintf("perf-consumer-%d", rand.IntN(100000))),
		fetchSize: p.Accepts("fetch-size", "How many bytes of a partition one request asks for.").RequiredArg("size").Int().Default("1048576"),
		fromLatest: p.Accepts("from-latest",
			"Where the group has no offset yet, begin with the newest record instead of the oldest."),
		socketBuffer: p.Accepts("socket-buffer-size", "Bytes of the sockets' receive buffers.").RequiredArg("size").Int().Default("2097152"),
		threads:      p.Accepts("threads", "DEPRECATED AND IGNORED: how many threads work.").RequiredArg("count").Int().Default("10"),
		fetchThreads: p.Accepts("num-fetch-threads", "DEPRECATED AND IGNORED: how many threads fetch.").RequiredArg("count").Int().Default("1"),
		config:       p.Accepts("consumer.config", "A file with settings of the consumer.").RequiredArg("config file"),
		metrics:      p.Accepts("print-metrics", "Show metrics of the consumer at the end."),
		detailed:     p.Accepts("show-detailed-stats", "Show a row for every reporting interval, as reporting-interval says."),
		timeout:      p.Accepts("timeout", "How many milliseconds may pass without records.").OptionalArg("milliseconds").Long().Default("10000"),
		messages:     p.Accepts("messages", "REQUIRED: How many records are read.").RequiredArg("count").Long(),
		interval:     p.Accepts("reporting-interval", "Milliseconds between two rows.").RequiredArg("interval_ms").Int().Default("5000"),
		dateFormat: p.Accepts("date-format", "How times are shown: a pattern of Java's java.text.SimpleDateFormat.").
			RequiredArg("date format").Default("yyyy-MM-dd HH:mm:ss:SSS"),
		hideHeader: p.Accepts("hide-header", "Leave the line above the rows out."),
	}
}

// test checks what was given in Kafka's order.
func (o *consumerPerfOptions) test(env *Env) (*consumerPerformance, error) {
	if o.Count(o.threads, o.fetchThreads) > 0 {
		fmt.Fprintln(env.Stdout, "WARNING: option [threads] and [num-fetch-threads] have been deprecated and will be ignored by the test")
	}
	servers := o.bootstrap
	if !o.Has(o.bootstrap) {
		if !o.Has(o.brokers) {
			return nil, jopt.Usagef("Missing required option(s) [bootstrap-server]")
		}
		servers = o.brokers
	}
	if err := o.Require(o.topic, o.messages); err != nil {
		return nil, err
	}
	properties, err := readClientProperties(o.String(o.config))
	if err != nil {
		return nil, err
	}
	t := &consumerPerformance{env: env, out: env.Stdout, servers: o.String(servers), topic: o.String(o.topic), messages: o.Long(o.messages),
		timeout: time.Duration(o.Long(o.timeout)) * time.Millisecond, interval: time.Duration(o.Int(o.interval)) * time.Millisecond,
		detailed: o.Has(o.detailed), header: !o.Has(o.hideHeader), withMetrics: o.Has(o.metrics), properties: map[string]string{}}
	maps.Copy(t.properties, properties)
	t.properties["group.id"] = o.String(o.group)
	t.properties["receive.buffer.bytes"] = strconv.Itoa(int(o.Int(o.socketBuffer)))
	t.properties["max.partition.fetch.bytes"] = strconv.Itoa(int(o.Int(o.fetchSize)))
	t.properties["check.crcs"], t.properties["auto.offset.reset"] = "false", "earliest"
	if o.Has(o.fromLatest) {
		t.properties["auto.offset.reset"] = "latest"
	}
	pattern := o.String(o.dateFormat)
	if err := o.Err(); err != nil {
		return nil, err
	}
	if t.interval <= 0 {
		return nil, exceptionf(illegalArgument, "Reporting interval must be greater than 0.")
	}
	t.dates, err = parseDateFormat(pattern)
	return t, err
}

// consumerPerformance is one run of the tool.
type consumerPerformance struct {
	env                           *Env
	out                           io.Writer
	servers, topic                string
	properties                    map[string]string
	messages                      int64
	timeout, interval             time.Duration
	detailed, header, withMetrics bool
	dates                         javaDateFormat

	client  *consumerClient
	metrics *clientMetrics
	joining joinTime

	read, bytes             int64
	lastRead, lastBytes     int64 // at the last row
	begun, ended, lastShown time.Time
}

// joinTime is how long the member was without partitions. The client's
// callbacks and the polling loop share it.
type joinTime struct {
	begun         atomic.Int64 // Unix milliseconds
	total, recent atomic.Int64 // milliseconds in all, and since the last row
}

func (j *joinTime) revoked(map[string][]int32) { j.begun.Store(time.Now().UnixMilli()) }

func (j *joinTime) assigned(map[string][]int32) {
	ms := time.Now().UnixMilli() - j.begun.Load()
	j.total.Add(ms)
	j.recent.Add(ms)
}

// run reads and shows how it went.
func (t *consumerPerformance) run(ctx context.Context) error {
	if t.header {
		t.printHeader()
	}
	t.begun = time.Now()
	t.lastShown = t.begun
	t.joining.revoked(nil)
	loggers := consoleLoggers(t.env)
	wanted := subscription{topic: t.topic, partition: -1, assigned: t.joining.assigned, revoked: t.joining.revoked,
		tune: []kgo.Opt{kgo.WithPools(&recordPool{})}}
	if t.withMetrics {
		t.metrics = newClientMetrics("consumer", "consumer-"+t.properties["group.id"]+"-1")
		wanted.tune = append(wanted.tune, kgo.WithHooks(t.metrics))
	}
	var err error
	if t.client, err = openConsumer(ctx, loggers, t.servers, t.properties, wanted); err != nil {
		return err
	}
	t.client.commitRegularly(ctx)
	err = t.consume(ctx)
	t.ended = time.Now()
	t.client.leave()
	if err != nil {
		return err
	}
	if !t.detailed {
		t.printTotal()
	}
	if t.metrics != nil {
		t.metrics.print(t.out)
	}
	return nil
}

// consume reads until there are enough records, or none come.
func (t *consumerPerformance) consume(ctx context.Context) error {
	const pollTime = 100 * time.Millisecond
	atMost := int(t.client.settings.numbers["max.poll.records"])
	last := time.Now()
	waiting, known := t.awaitTopic(ctx)
	defer waiting()
	for t.read < t.messages && time.Since(last) <= t.timeout {
		polling, cancel := context.WithTimeout(ctx, pollTime)
		fetches := t.client.PollRecords(polling, atMost)
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if n := t.take(fetches); n > 0 {
			last = time.Now()
		} else if len(fetches.Errors()) > 0 && !known() {
			// The client hands out an error for as long as the topic is missing.
			if err := sleep(ctx, time.Until(last.Add(min(t.timeout, pollTime)))); err != nil {
				return err
			}
		}
		t.client.AllowRebalance()
	}
	if t.read < t.messages {
		fmt.Fprintf(t.out, "WARNING: Exiting before consuming the expected number of messages: timeout (%d ms) exceeded. "+
			"You can use the --timeout option to increase the timeout.\n", t.timeout.Milliseconds())
	}
	return nil
}

// awaitTopic has the topic created if brokers do that, and tells when it is
// there.
func (t *consumerPerformance) awaitTopic(ctx context.Context) (stop func(), known func() bool) {
	ctx, cancel := context.WithCancel(ctx)
	var there atomic.Bool
	inBackground(ctx, "metadata", func(ctx context.Context) {
		there.Store(t.client.waiter.await(ctx, t.topic) == nil)
	})
	return cancel, there.Load
}

// take counts the records of a poll and gives them back.
//
// Hot path: nothing is allocated or looked up for a record.
func (t *consumerPerformance) take(fetches kgo.Fetches) int {
	now, n := time.Now(), 0
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		if len(p.Records) == 0 {
			return
		}
		t.client.positions.passed(p.Records[len(p.Records)-1])
		for _, r := range p.Records {
			t.read++
			t.bytes += int64(len(r.Key) + len(r.Value))
			if now.Sub(t.lastShown) >= t.interval {
				t.printRow(now)
			}
			r.Recycle()
		}
		n += len(p.Records)
	})
	return n
}

// recordPool keeps the slices that records are decoded into.
type recordPool struct{ slices sync.Pool }

// GetRecords gives a slice with room for n records.
func (p *recordPool) GetRecords(n int) []kgo.Record {
	if s, ok := p.slices.Get().(*[]kgo.Record); ok && cap(*s) >= n {
		return (*s)[:0]
	}
	return make([]kgo.Record, 0, max(n, 512))
}

// PutRecords takes a slice back.
func (p *recordPool) PutRecords(s []kgo.Record) { p.slices.Put(&s) }

func (t *consumerPerformance) printHeader() {
	columns := "start.time, end.time, "
	if t.detailed {
		columns = "time, threadId, "
	}
	fmt.Fprintln(t.out, columns+"data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, rebalance.time.ms, fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec")
}

// printRow ends a reporting interval, with a row if rows are wanted.
func (t *consumerPerformance) printRow(now time.Time) {
	joined := t.joining.recent.Swap(0)
	if t.detailed {
		t.row(t.dates.format(now)+", 0", now.Sub(t.lastShown), float64(t.bytes-t.lastBytes), t.read-t.lastRead, joined)
	}
	t.lastShown, t.lastRead, t.lastBytes = now, t.read, t.bytes
}

func (t *consumerPerformance) printTotal() {
	t.row(t.dates.format(t.begun)+", "+t.dates.format(t.ended), t.ended.Sub(t.begun), float64(t.bytes), t.read, t.joining.total.Load())
}

// row shows the totals, and the rates of what was read in a time.
func (t *consumerPerformance) row(title string, elapsed time.Duration, bytes float64, messages, joinMs int64) {
	ms := float64(elapsed.Milliseconds())
	fetchMs := elapsed.Milliseconds() - joinMs
	megabytes := bytes / mebibyte
	fetchRate := func(n float64) float64 {
		if fetchMs <= 0 && t.detailed {
			return 0
		}
		return 1000 * n / float64(fetchMs)
	}
	fields := []string{title, javaFloat(float64(t.bytes)/mebibyte, 4), javaFloat(1000*megabytes/ms, 4), strconv.FormatInt(t.read, 10),
		javaFloat(1000*float64(messages)/ms, 4), strconv.FormatInt(joinMs, 10), strconv.FormatInt(fetchMs, 10),
		javaFloat(fetchRate(megabytes), 4), javaFloat(fetchRate(float64(messages)), 4)}
	fmt.Fprintln(t.out, strings.Join(fields, ", "))
}
