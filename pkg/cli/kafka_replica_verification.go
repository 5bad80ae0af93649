package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/cli/jopt"
	"gregor/pkg/lifecycle"
	"gregor/pkg/logging"
	"gregor/pkg/model"
	"gregor/pkg/record"
)

var _ = register("kafka-replica-verification", kafkaReplicaVerification)

// verificationOptions are the options of kafka-replica-verification, and what
// was given of them.
type verificationOptions struct {
	parser *jopt.Parser
	*jopt.Set

	brokers, fetchSize, maxWait, topics, time, interval *jopt.Option
}

func newVerificationOptions() *verificationOptions {
	p := jopt.New()
	return &verificationOptions{
		parser: p,
		brokers: p.Accepts("broker-list", "REQUIRED: brokers to ask first, as host:port, separated by commas.").
			RequiredArg("hostname:port,...,hostname:port"),
		fetchSize: p.Accepts("fetch-size", "How much is fetched of a partition at a time.").RequiredArg("bytes").Int().Default("1048576"),
		maxWait:   p.Accepts("max-wait-ms", "How long a fetch waits for new records.").RequiredArg("ms").Int().Default("1000"),
		topics:    p.Accepts("topic-white-list", "Only topics whose whole names match; all when it is not given.").RequiredArg("Java regex (String)").Default(".*"),
		time: p.Accepts("time", "Where to begin: milliseconds since 1970, -1 for what comes from now on, -2 for everything.").
			RequiredArg("timestamp/-1(latest)/-2(earliest)").Long().Default("-1"),
		interval: p.Accepts("report-interval-ms", "How often the state is told.").RequiredArg("ms").Long().Default("30000"),
	}
}

// kafkaReplicaVerification is kafka-replica-verification.sh of 2.8: it reads
// all replicas of partitions side by side and tells where they differ, until
// it is stopped.
func kafkaReplicaVerification(ctx context.Context, env *Env, args []string) int {
	o := newVerificationOptions()
	set, err := o.parser.Parse(args)
	if err != nil {
		return optionFailure(env, o.parser, err)
	}
	o.Set = set
	if status, done := helpOrVersion(env, o.parser, set, "Compares the replicas of partitions record batch by record batch."); done {
		return status
	}
	if err := o.Require(o.brokers); err != nil {
		return optionFailure(env, o.parser, err)
	}
	v, err := o.verification(env)
	if err != nil {
		return optionFailure(env, o.parser, err)
	}
	ctx, signals := onSignal(ctx)
	defer signals.stop()
	err = v.run(ctx)
	var told *toldError
	switch status := signals.status(); {
	case status != 0:
		return status
	case errors.As(err, &told):
		return 1
	case err != nil:
		return uncaught(env, err)
	}
	return 0
}

// verification reads the options, in Kafka's order.
func (o *verificationOptions) verification(env *Env) (*verification, error) {
	v := &verification{env: env, loggers: toolLoggers(env), offsets: map[model.TopicPartition]int64{}, replicas: map[model.TopicPartition][]int32{},
		clients: map[int32]*adminClient{}}
	filter, err := newTopicFilter(o.String(o.topics))
	if err != nil {
		return nil, err
	}
	v.filter = filter
	v.fetchSize, v.maxWait = o.Int(o.fetchSize), o.Int(o.maxWait)
	v.time, v.interval = o.Long(o.time), time.Duration(o.Long(o.interval))*time.Millisecond
	v.servers = o.String(o.brokers)
	if err := o.Err(); err != nil {
		return nil, err
	}
	if !validHostPorts(v.servers) {
		return nil, jopt.Usagef(badHostPorts)
	}
	return v, nil
}

// verification compares replicas in rounds: everybody fetches from the same
// offsets, then what came is compared.
type verification struct {
	env                *Env
	loggers            *logging.Loggers
	servers            string
	filter             *topicFilter
	fetchSize, maxWait int32
	time               int64
	interval           time.Duration

	offsets  map[model.TopicPartition]int64   // up to which all replicas are equal
	replicas map[model.TopicPartition][]int32 // by partition, ascending
	order    []model.TopicPartition           // in which the tool looks at them
	clients  map[int32]*adminClient           // one for each broker
	reported time.Time
}

func (v *verification) run(ctx context.Context) error {
	defer func() {
		for _, c := range v.clients {
			c.Close()
		}
	}()
	client, err := newAdminClient(ctx, v.loggers, v.servers, nil)
	if err != nil {
		return err
	}
	defer client.Close()
	leaders, err := v.choose(ctx, client)
	if err != nil {
		return err
	}
	if err := v.begin(ctx, client, leaders); err != nil {
		return err
	}
	v.reported = time.Now()
	fmt.Fprintf(v.env.Stdout, "%s: verification process is started.\n", timestampNow())
	for ctx.Err() == nil {
		answers, failed := v.fetchAll(ctx)
		if ctx.Err() != nil {
			break
		}
		if err := v.compare(answers); err != nil {
			return err
		}
		if failed {
			_ = sleep(ctx, client.settings.retryBackoff) // its end is the loop's
		}
	}
	return nil
}

// timestampNow is the time as the tool begins its lines.
func timestampNow() string { return time.Now().Format("2006-01-02 15:04:05,000") }

// choose finds the partitions and their replicas, and returns the leaders.
func (v *verification) choose(ctx context.Context, client *adminClient) (map[model.TopicPartition]int32, error) {
	answer, err := client.call(ctx, "listTopics", anyNode, kmsg.NewPtrMetadataRequest())
	if err != nil {
		return nil, execution(err)
	}
	resp := answer.(*kmsg.MetadataResponse)
	client.learn(resp)
	leaders := map[model.TopicPartition]int32{}
	for _, t := range resp.Topics {
		if t.Topic == nil || !v.filter.allows(*t.Topic, false) {
			continue
		}
		for _, p := range t.Partitions {
			tp := model.TopicPartition{Topic: *t.Topic, Partition: p.Partition}
			v.replicas[tp], leaders[tp] = slices.Sorted(slices.Values(p.Replicas)), p.Leader
			for _, id := range p.Replicas {
				if err := v.connect(ctx, client, id); err != nil {
					return nil, err
				}
			}
		}
	}
	if len(v.replicas) == 0 {
		v.loggers.Logger("kafka.tools.ReplicaVerificationTool$").
			Error("No topics found. [topic-white-list] if specified, is either filtering out all topics or there is no topic.")
		return nil, &toldError{}
	}
	v.order = verificationOrder(slices.SortedFunc(maps.Keys(v.replicas), model.TopicPartition.Compare))
	return leaders, nil
}

// connect makes the client of a broker, so that brokers are asked side by
// side.
func (v *verification) connect(ctx context.Context, client *adminClient, id int32) error {
	if v.clients[id] != nil {
		return nil
	}
	if client.brokers[id] == nil {
		return exceptionf("java.util.NoSuchElementException", "key not found: %d", id)
	}
	one, err := newAdminClient(ctx, v.loggers, v.servers, nil)
	if err != nil {
		return err
	}
	one.brokers = client.brokers
	v.clients[id] = one
	return nil
}

// verificationOrder is the order of a java.util.concurrent.ConcurrentHashMap,
// which has four buckets for every three entries or more.
func verificationOrder(partitions []model.TopicPartition) []model.TopicPartition {
	return partitionsInHashOrder(partitions, max(16, (len(partitions)+1)*4/3+1))
}

// begin finds the offsets to begin with.
func (v *verification) begin(ctx context.Context, client *adminClient, leaders map[model.TopicPartition]int32) error {
	byLeader := map[int32][]model.TopicPartition{}
	for _, tp := range v.order {
		if v.time < -2 {
			return exceptionf(illegalArgument, "The target time for partition %s is %d. The target time cannot be negative.", tp, v.time)
		}
		byLeader[leaders[tp]] = append(byLeader[leaders[tp]], tp)
	}
	for _, id := range slices.Sorted(maps.Keys(byLeader)) {
		req := kmsg.NewPtrListOffsetsRequest()
		for _, tp := range byLeader[id] {
			topic := kmsg.NewListOffsetsRequestTopic()
			topic.Topic = tp.Topic
			p := kmsg.NewListOffsetsRequestTopicPartition()
			p.Partition, p.Timestamp, p.MaxNumOffsets = tp.Partition, v.time, 1
			topic.Partitions = append(topic.Partitions, p)
			req.Topics = append(req.Topics, topic)
		}
		answer, err := client.call(ctx, "listOffsets", target(id), req)
		if err != nil {
			return err
		}
		if err := v.takeOffsets(answer.(*kmsg.ListOffsetsResponse)); err != nil {
			return err
		}
	}
	return nil
}

func (v *verification) takeOffsets(resp *kmsg.ListOffsetsResponse) error {
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if err := protocolError(p.ErrorCode, nil); err != nil {
				return err
			}
			if p.Offset < 0 { // no record is that young, which the original does not expect
				return exceptionf("java.lang.NullPointerException", "")
			}
			v.offsets[model.TopicPartition{Topic: t.Topic, Partition: p.Partition}] = p.Offset
		}
	}
	return nil
}

// replicaRecords is what a replica sent of a partition.
type replicaRecords struct {
	highWatermark int64
	rest          []byte
}

// next takes the next batch; none when there is no whole one.
func (r *replicaRecords) next() record.Any {
	batch, rest, err := record.SplitAny(r.rest)
	if err != nil {
		return nil
	}
	r.rest = rest
	return batch
}

type replicaKey struct {
	model.TopicPartition
	broker int32
}

// fetchAll asks all brokers at the same time. One that does not answer has
// nothing.
func (v *verification) fetchAll(ctx context.Context) (answers map[replicaKey]*replicaRecords, failed bool) {
	ids := slices.Sorted(maps.Keys(v.clients))
	responses := make([]*kmsg.FetchResponse, len(ids))
	group := lifecycle.NewGroup(ctx)
	done := make(chan struct{}, len(ids))
	for i, id := range ids {
		group.Go(fmt.Sprintf("fetcher-%d", id), func(ctx context.Context) error {
			defer func() { done <- struct{}{} }()
			responses[i] = v.fetch(ctx, id)
			return nil
		})
	}
	for range ids {
		<-done
	}
	_ = group.Close() // no goroutine of it returns an error
	answers = map[replicaKey]*replicaRecords{}
	for i, id := range ids {
		if responses[i] == nil {
			failed = true
			continue
		}
		for _, t := range responses[i].Topics {
			for _, p := range t.Partitions {
				failed = failed || p.ErrorCode != 0
				answers[replicaKey{model.TopicPartition{Topic: t.Topic, Partition: p.Partition}, id}] = &replicaRecords{p.HighWatermark, p.RecordBatches}
			}
		}
	}
	return answers, failed
}

// fetch asks one broker for its replicas, as a debugging consumer, who may read
// followers.
func (v *verification) fetch(ctx context.Context, id int32) *kmsg.FetchResponse {
	const debugging = -2
	req := kmsg.NewPtrFetchRequest()
	req.ReplicaID, req.MaxWaitMillis, req.MinBytes, req.MaxBytes = debugging, v.maxWait, 1, math.MaxInt32
	for _, tp := range v.order {
		if !slices.Contains(v.replicas[tp], id) {
			continue
		}
		topic := kmsg.NewFetchRequestTopic()
		topic.Topic = tp.Topic
		p := kmsg.NewFetchRequestTopicPartition()
		p.Partition, p.FetchOffset, p.LogStartOffset, p.PartitionMaxBytes = tp.Partition, v.offsets[tp], 0, v.fetchSize
		topic.Partitions = append(topic.Partitions, p)
		req.Topics = append(req.Topics, topic)
	}
	client := v.clients[id]
	known := client.brokers
	resp, err := client.attempt(ctx, client.begin("fetch"), target(id), req)
	if client.brokers = known; err != nil {
		return nil
	}
	return resp.(*kmsg.FetchResponse)
}

// compare compares what came, up to the high watermarks, and tells of the
// state now and then.
func (v *verification) compare(answers map[replicaKey]*replicaRecords) error {
	most, at := int64(-1), int64(-1)
	var worst model.TopicPartition
	for _, tp := range v.order {
		high := noHighWatermark
		for _, id := range v.replicas[tp] {
			if r := answers[replicaKey{tp, id}]; r != nil {
				high = max(high, r.highWatermark)
			}
		}
		for {
			next, equal, err := v.step(tp, answers)
			if err != nil {
				return err
			}
			if !equal {
				break
			}
			v.offsets[tp] = next
		}
		if lag := high - v.offsets[tp]; lag > most {
			most, at, worst = lag, v.offsets[tp], tp
		}
	}
	if now := time.Now(); now.Sub(v.reported) > v.interval {
		fmt.Fprintf(v.env.Stdout, "%s: max lag is %d for partition %s at offset %d among %d partitions\n", timestampNow(), most, worst, at, len(v.order))
		v.reported = now
	}
	return nil
}

// noHighWatermark is the high watermark of a replica that did not answer.
const noHighWatermark int64 = -1

// step compares one batch of every replica. It reports whether all have one
// below their high watermarks, and what follows it. Batches that end at
// different offsets end the tool.
func (v *verification) step(tp model.TopicPartition, answers map[replicaKey]*replicaRecords) (next int64, all bool, err error) {
	var first record.Any
	var from int32
	all = true
	for _, id := range v.replicas[tp] {
		r := answers[replicaKey{tp, id}]
		var batch record.Any
		if r != nil {
			batch = r.next()
		}
		switch {
		case batch == nil || batch.LastOffset() >= r.highWatermark:
			all = false
		case first == nil:
			first, from = batch, id
		case first.LastOffset() != batch.LastOffset():
			fmt.Fprintf(v.env.Stdout, "%s: partition %s: replica %d's offset %d doesn't match replica %d's offset %d\n",
				timestampNow(), tp, from, first.LastOffset(), id, batch.LastOffset())
			return 0, false, &toldError{}
		case first.CRC() != batch.CRC():
			fmt.Fprintf(v.env.Stdout, "%s: partition %s has unmatched checksum at offset %d; replica %d's checksum %d; replica %d's checksum %d\n",
				timestampNow(), tp, batch.LastOffset(), from, first.CRC(), id, batch.CRC())
		}
	}
	if !all || first == nil {
		return 0, false, nil
	}
	return first.LastOffset() + 1, true, nil
}
