package cli

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"gregor/pkg/cli/argparse"
)

var _ = register("kafka-verifiable-producer", kafkaVerifiableProducer)

// kafkaVerifiableProducer is kafka-verifiable-producer.sh of 2.8: it sends
// rising numbers and tells in a line of JSON of each what became of it.
func kafkaVerifiableProducer(ctx context.Context, env *Env, args []string) int {
	o := newVerifiableProducerOptions()
	set, status, done := parseWords(env, o.parser, args)
	if done {
		return status
	}
	o.Set = set
	properties, err := toolProperties(o.String(o.config), map[string]string{"acks": o.String(o.acks), "retries": "0"})
	if err != nil {
		_ = o.parser.WriteError(env.Stderr, err) // nobody is there to tell
		return 1
	}
	if properties["client.id"] == "" {
		properties["client.id"] = "producer-1"
	}
	ctx, interrupted := onSignal(ctx)
	defer interrupted.stop()
	p := &verifiableProducer{out: newJSONLines(env.Stdout), topic: o.String(o.topic), most: o.Long(o.messages), throughput: o.Long(o.throughput),
		createTime: o.Long(o.createTime), keys: int64(o.Int(o.keys)), begun: time.Now()}
	if o.Has(o.prefix) {
		p.prefix = o.String(o.prefix) + "."
	}
	client, openErr := openProducer(ctx, consoleLoggers(env), o.servers(), properties, p.tune)
	if openErr != nil {
		return uncaught(env, openErr)
	}
	p.client = client
	p.run(ctx)
	return interrupted.status()
}

// toolProperties puts the properties of a file over those that a tool sets; a
// file that cannot be read is an error of the command line.
func toolProperties(path string, own map[string]string) (map[string]string, *argparse.Error) {
	given, err := readClientProperties(path)
	if err != nil {
		return nil, &argparse.Error{Text: err.Error()}
	}
	maps.Copy(own, given)
	return own, nil
}

// connectionOptions are how the verifiable tools are told where brokers are.
type connectionOptions struct {
	*argparse.Set
	bootstrap, brokers *argparse.Option
}

func newConnectionOptions(p *argparse.Parser) connectionOptions {
	const servers = "HOST1:PORT1[,HOST2:PORT2[...]]"
	o := connectionOptions{
		bootstrap: p.Accepts("REQUIRED: brokers to ask first, as HOST1:PORT1,HOST2:PORT2,...", "--bootstrap-server").Metavar(servers),
		brokers:   p.Accepts("DEPRECATED, use --bootstrap-server instead.", "--broker-list").Metavar(servers),
	}
	p.Exclusive("Connection Group", "Where the brokers are", true, o.bootstrap, o.brokers)
	return o
}

func (o connectionOptions) servers() string { return o.String(o.bootstrap) + o.String(o.brokers) }

// verifiableProducerOptions are the options of kafka-verifiable-producer, and
// what was given of them.
type verifiableProducerOptions struct {
	parser *argparse.Parser
	connectionOptions

	topic, messages, throughput, acks, config, createTime, prefix, keys *argparse.Option
}

func newVerifiableProducerOptions() *verifiableProducerOptions {
	p := argparse.New("verifiable-producer", "This tool sends rising numbers to a topic and prints a line of JSON for each, which tells whether it was stored.")
	return &verifiableProducerOptions{
		parser:     p,
		topic:      p.Accepts("The topic to send to.", "--topic").Required(),
		messages:   p.Accepts("How many numbers are sent; -1 goes on until the process is ended.", "--max-messages").Metavar("MAX-MESSAGES").Int().Default("-1"),
		throughput: p.Accepts("How many numbers a second are sent, about, if this is >= 0.", "--throughput").Int().Default("-1"),
		acks:       p.Accepts("How many replicas must have a number, as the producer's setting says.", "--acks").Int().Choices("0", "1", "-1").Default("-1"),
		config:     p.Accepts("A properties file with settings of the producer.", "--producer.config").Metavar("CONFIG_FILE"),
		createTime: p.Accepts("The time of the first record, in milliseconds since 1970.", "--message-create-time").Metavar("CREATETIME").Long().Default("-1"),
		prefix:     p.Accepts("A number that is put before each value, with a dot behind it.", "--value-prefix").Metavar("VALUE-PREFIX").Int(),
		keys: p.Accepts("Records get keys that rise from 0 up to this number, exclusive, and then begin again.", "--repeating-keys").
			Metavar("REPEATING-KEYS").Int(),
		connectionOptions: newConnectionOptions(p),
	}
}

// jsonLines writes one JSON object a line, each with the time and a name in
// front. Safe for concurrent use.
type jsonLines struct {
	mu  sync.Mutex
	out *json.Encoder
}

func newJSONLines(out io.Writer) *jsonLines {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	return &jsonLines{out: encoder}
}

// event is what every line begins with.
type event struct {
	Timestamp int64  `json:"timestamp"`
	Name      string `json:"name"`
}

func newEvent(name string) event { return event{time.Now().UnixMilli(), name} }

func (l *jsonLines) write(line any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = l.out.Encode(line) // whoever has closed the output wants no more
}

// The lines of the producer, with their members in this order.
type (
	sendSuccess struct {
		event
		Key       *string `json:"key"`
		Value     string  `json:"value"`
		Offset    int64   `json:"offset"`
		Topic     string  `json:"topic"`
		Partition int32   `json:"partition"`
	}
	sendError struct {
		event
		Topic     string  `json:"topic"`
		Key       *string `json:"key"`
		Value     string  `json:"value"`
		Exception string  `json:"exception"`
		Message   string  `json:"message"`
	}
	toolData struct {
		event
		Sent             int64           `json:"sent"`
		Acked            int64           `json:"acked"`
		TargetThroughput int64           `json:"target_throughput"`
		AvgThroughput    json.RawMessage `json:"avg_throughput"`
	}
)

// verifiableProducer is one run of the tool.
type verifiableProducer struct {
	client                             *producerClient
	out                                *jsonLines
	topic, prefix                      string
	most, throughput, createTime, keys int64
	begun                              time.Time
	known                              bool

	mu          sync.Mutex // guards acked, which the client's callback counts
	sent, acked int64
}

// tune has records with times of their own sent however old these are: the
// client reckons their delivery time-out from there.
func (p *verifiableProducer) tune(*clientValues) []kgo.Opt {
	if p.createTime > 0 {
		return []kgo.Opt{kgo.RecordDeliveryTimeout(0)}
	}
	return nil
}

// run sends until there are enough, or until a signal comes.
func (p *verifiableProducer) run(ctx context.Context) {
	p.out.write(newEvent("startup_complete"))
	pace := newThrottle(p.throughput)
	for i := int64(0); (p.most < 0 || i < p.most) && ctx.Err() == nil; i++ {
		p.send(ctx, i)
		if pace.wait(ctx, i+1) != nil {
			break
		}
	}
	_ = p.client.Flush(context.WithoutCancel(ctx)) // every record's own error has been told
	p.client.Close()
	p.out.write(newEvent("shutdown_complete"))
	p.mu.Lock()
	defer p.mu.Unlock()
	rate := float64(p.acked) * 1000 / float64(max(time.Since(p.begun).Milliseconds(), 1))
	p.out.write(toolData{newEvent("tool_data"), p.sent, p.acked, p.throughput, json.RawMessage(javaDouble(rate, 64))})
}

// send sends the number i.
func (p *verifiableProducer) send(ctx context.Context, i int64) {
	r := &kgo.Record{Topic: p.topic, Value: []byte(p.prefix + strconv.FormatInt(i, 10))}
	if p.keys > 0 {
		r.Key = []byte(strconv.FormatInt(i%p.keys, 10))
	}
	if p.createTime > 0 {
		r.Timestamp = time.UnixMilli(p.createTime)
		p.createTime += time.Since(p.begun).Milliseconds()
	}
	p.sent++
	if !p.known {
		if err := p.client.awaitTopic(ctx, p.topic); err != nil {
			p.failed(r, err)
			return
		}
		p.known = true
	}
	p.client.Produce(context.WithoutCancel(ctx), r, func(r *kgo.Record, err error) {
		if err != nil {
			p.failed(r, producerError(r, err))
			return
		}
		p.mu.Lock()
		p.acked++
		p.mu.Unlock()
		offset := r.Offset
		if p.client.settings.texts["acks"] == "0" {
			offset = -1
		}
		p.out.write(sendSuccess{newEvent("producer_send_success"), textOrNil(r.Key), string(r.Value), offset, r.Topic, r.Partition})
	})
}

func (p *verifiableProducer) failed(r *kgo.Record, err error) {
	p.out.write(sendError{newEvent("producer_send_error"), r.Topic, textOrNil(r.Key), string(r.Value), "class " + javaClass(err), err.Error()})
}

func textOrNil(b []byte) *string {
	if b == nil {
		return nil
	}
	text := string(b)
	return &text
}
