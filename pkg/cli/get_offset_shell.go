package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/cli/jopt"
	"gregor/pkg/kerr"
)

var _ = register("get-offset-shell", getOffsetShell)

// offsetShellOptions are the options of kafka.tools.GetOffsetShell of 2.8,
// which knows neither --help nor --version.
type offsetShellOptions struct {
	parser *jopt.Parser
	*jopt.Set

	brokers, topic, partitions, time, count, maxWait *jopt.Option
}

func newOffsetShellOptions() *offsetShellOptions {
	p := jopt.NewBare()
	return &offsetShellOptions{
		parser: p,
		brokers: p.Accepts("broker-list", "REQUIRED: brokers to ask first, as host:port, separated by commas.").
			RequiredArg("hostname:port,...,hostname:port"),
		topic: p.Accepts("topic", "REQUIRED: the topic whose offsets are shown.").RequiredArg("topic"),
		partitions: p.Accepts("partitions", "Numbers of partitions, separated by commas; without it, all partitions.").
			RequiredArg("partition ids").Default(""),
		time: p.Accepts("time", "Milliseconds since 1970: the offset of the first record of this time or later. Nothing is shown behind the colon when there is none.").
			RequiredArg("timestamp/-1(latest)/-2(earliest)").Long().Default("-1"),
		count:   p.Accepts("offsets", "DEPRECATED AND IGNORED: how many offsets are shown.").RequiredArg("count").Int().Default("1"),
		maxWait: p.Accepts("max-wait-ms", "DEPRECATED AND IGNORED: how long a fetch waits.").RequiredArg("ms").Int().Default("1000"),
	}
}

// getOffsetShell shows the offsets at which partitions begin or end, or that
// belong to a time.
func getOffsetShell(ctx context.Context, env *Env, args []string) int {
	o := newOffsetShellOptions()
	if len(args) == 0 {
		return usageFailure(env, o.parser, "An interactive shell for getting topic offsets.")
	}
	set, err := o.parser.Parse(args)
	if err != nil {
		return optionFailure(env, o.parser, err)
	}
	o.Set = set
	if err := o.Require(o.brokers, o.topic); err != nil {
		return optionFailure(env, o.parser, err)
	}
	servers, topic, at := o.String(o.brokers), o.String(o.topic), latestTime
	if o.Err() == nil && !validHostPorts(servers) {
		return usageFailure(env, o.parser, badHostPorts)
	}
	text := o.String(o.partitions)
	if err := o.Err(); err != nil {
		return uncaught(env, err)
	}
	wanted, err := parsePartitionIDs(text)
	if err != nil {
		fmt.Fprintln(env.Stderr, err)
		return 1
	}
	if at = o.Long(o.time); o.Err() != nil {
		return uncaught(env, o.Err())
	}
	s, err := newOffsetShell(ctx, env, servers)
	if err != nil {
		return uncaught(env, err)
	}
	defer s.client.Close()
	if err := s.show(ctx, topic, wanted, at); err != nil {
		var told *toldError
		if errors.As(err, &told) {
			fmt.Fprintln(env.Stderr, told)
			return 1
		}
		return uncaught(env, err)
	}
	return 0
}

// badHostPorts is what ToolsUtils of Kafka says, with the blank line behind.
const badHostPorts = "Please provide valid host:port like host1:9091,host2:9092\n "

// toldError is a sentence that ends the tool with status 1.
type toldError struct{ text string }

func (e *toldError) Error() string { return e.text }

// parsePartitionIDs reads "0,1"; nothing means all.
func parsePartitionIDs(text string) ([]int32, error) {
	var ids []int32
	for word := range strings.SplitSeq(text, ",") {
		if text == "" {
			break
		}
		id, err := strconv.ParseInt(word, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("--partitions expects a comma separated list of numeric partition ids, but received: %s", text)
		}
		if !slices.Contains(ids, int32(id)) {
			ids = append(ids, int32(id))
		}
	}
	return ids, nil
}

// offsetShell asks a cluster as Kafka's consumer would.
type offsetShell struct {
	env     *Env
	client  *kgo.Client
	timeout time.Duration
	backoff time.Duration
}

func newOffsetShell(ctx context.Context, env *Env, servers string) (*offsetShell, error) {
	loggers := toolLoggers(env)
	v, err := parseClientValues(loggers.Logger("org.apache.kafka.clients.consumer.ConsumerConfig"), consumerKeys, nil)
	if err != nil {
		return nil, err
	}
	_, options, err := commonOptions(ctx, loggers, v, servers, "Consumer clientId=GetOffsetShell, groupId=null", "GetOffsetShell")
	if err != nil {
		return nil, causedBy(err, kafkaException, "Failed to construct kafka consumer")
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		return nil, causedBy(exceptionf(configException, "%s", err), kafkaException, "Failed to construct kafka consumer")
	}
	return &offsetShell{env: env, client: client, timeout: v.ms("default.api.timeout.ms"), backoff: v.ms("retry.backoff.ms")}, nil
}

// show writes a line for each partition, in the order of their numbers.
func (s *offsetShell) show(ctx context.Context, topic string, wanted []int32, at int64) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	all, err := s.partitions(ctx, topic)
	if err != nil {
		return err
	}
	chosen := slices.DeleteFunc(slices.Clone(all), func(p kmsg.MetadataResponseTopicPartition) bool {
		return len(wanted) > 0 && !slices.Contains(wanted, p.Partition)
	})
	if len(chosen) == 0 {
		if len(all) == 0 {
			return &toldError{fmt.Sprintf("Topic %s does not exist", topic)}
		}
		return &toldError{fmt.Sprintf("Topic %s does not have any of the requested partitions %s", topic, joinIDs(wanted))}
	}
	for _, id := range wanted {
		if !slices.ContainsFunc(all, func(p kmsg.MetadataResponseTopicPartition) bool { return p.Partition == id }) {
			fmt.Fprintf(s.env.Stderr, "Error: partition %d does not exist\n", id)
		}
	}
	led := slices.DeleteFunc(chosen, func(p kmsg.MetadataResponseTopicPartition) bool {
		if p.Leader < 0 {
			fmt.Fprintf(s.env.Stderr, "Error: partition %d does not have a leader. Skip getting offsets\n", p.Partition)
		}
		return p.Leader < 0
	})
	if at < earliestTime && len(led) > 0 {
		return exceptionf(illegalArgument, "The target time for partition %s-%d is %d. The target time cannot be negative.", topic, led[0].Partition, at)
	}
	offsets, err := s.offsets(ctx, topic, led, at)
	if err != nil {
		return err
	}
	for _, p := range led {
		offset := ""
		if n := offsets[p.Partition]; n >= 0 {
			offset = strconv.FormatInt(n, 10)
		}
		fmt.Fprintf(s.env.Stdout, "%s:%d:%s\n", topic, p.Partition, offset)
	}
	return nil
}

// partitions are those of a topic, sorted; none when there is no such topic.
func (s *offsetShell) partitions(ctx context.Context, topic string) ([]kmsg.MetadataResponseTopicPartition, error) {
	for {
		req := kmsg.NewPtrMetadataRequest()
		row := kmsg.NewMetadataRequestTopic()
		row.Topic = &topic
		req.Topics, req.AllowAutoTopicCreation = []kmsg.MetadataRequestTopic{row}, false
		resp, err := req.RequestWith(ctx, s.client)
		if err == nil && len(resp.Topics) == 1 {
			t := resp.Topics[0]
			switch kind := kerr.ForCode(t.ErrorCode); {
			case kind == nil:
				slices.SortFunc(t.Partitions, func(a, b kmsg.MetadataResponseTopicPartition) int { return cmp.Compare(a.Partition, b.Partition) })
				return t.Partitions, nil
			case kind == kerr.UnknownTopicOrPartition, kind == kerr.InvalidTopicException:
				return nil, nil
			case !kind.Retriable:
				return nil, kind
			}
		}
		if sleep(ctx, s.backoff) != nil {
			return nil, kerr.RequestTimedOut.With("Timeout expired while fetching topic metadata")
		}
	}
}

// offsets finds the offset of a time in each partition; -1 where no record is
// that young.
func (s *offsetShell) offsets(ctx context.Context, topic string, partitions []kmsg.MetadataResponseTopicPartition, at int64) (map[int32]int64, error) {
	found := map[int32]int64{}
	for {
		req := kmsg.NewPtrListOffsetsRequest()
		row := kmsg.NewListOffsetsRequestTopic()
		row.Topic = topic
		for _, p := range partitions {
			if _, have := found[p.Partition]; have {
				continue
			}
			ask := kmsg.NewListOffsetsRequestTopicPartition()
			ask.Partition, ask.Timestamp, ask.MaxNumOffsets = p.Partition, at, 1
			row.Partitions = append(row.Partitions, ask)
		}
		if len(row.Partitions) == 0 {
			return found, nil
		}
		req.Topics = append(req.Topics, row)
		if resp, err := req.RequestWith(ctx, s.client); err == nil {
			for _, t := range resp.Topics {
				for _, p := range t.Partitions {
					kind := kerr.ForCode(p.ErrorCode)
					if kind != nil && !kind.Retriable {
						return nil, kind
					}
					if kind == nil {
						found[p.Partition] = p.Offset
					}
				}
			}
		}
		if len(found) < len(partitions) && sleep(ctx, s.backoff) != nil {
			return nil, kerr.RequestTimedOut.With("Failed to get offsets by times in %dms", s.timeout.Milliseconds())
		}
	}
}
