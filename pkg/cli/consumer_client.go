package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/logging"
)

// subscription is what a consumer reads: a topic or the topics of a pattern as
// a group member, or one partition.
type subscription struct {
	topic, pattern string
	partition      int32 // below 0: all, as a member of the group
	offset         kgo.Offset

	// assigned and revoked, which may be nil, are told of the partitions that
	// come and go; with an assignment that is empty too.
	assigned, revoked func(partitions map[string][]int32)
	tune              []kgo.Opt // win over those of the settings
}

// consumerClient is a kgo client with the settings of Kafka's consumer. As a
// member of a group it keeps the positions that are committed: those of whoever
// polls, who tells of every record that was passed.
type consumerClient struct {
	*kgo.Client
	settings   *clientValues
	waiter     *topicWaiter
	wanted     subscription
	group      string
	autoCommit bool
	positions  positions
	ready      chan struct{} // closed once Client is set: the group may be quicker
}

// openConsumer makes a consumer; its settings have the group.id.
func openConsumer(ctx context.Context, loggers *logging.Loggers, servers string, properties map[string]string, wanted subscription) (*consumerClient, error) {
	v, err := parseClientValues(loggers.Logger("org.apache.kafka.clients.consumer.ConsumerConfig"), consumerKeys, properties)
	if err != nil {
		return nil, err
	}
	c := &consumerClient{settings: v, wanted: wanted, group: v.texts["group.id"], ready: make(chan struct{})}
	clientID := consumerClientID(v)
	network, options, err := commonOptions(ctx, loggers, v, servers, fmt.Sprintf("Consumer clientId=%s, groupId=%s", clientID, c.group), clientID)
	if err != nil {
		return nil, causedBy(err, kafkaException, "Failed to construct kafka consumer")
	}
	more, err := c.options()
	if err != nil {
		return nil, err
	}
	autoCreate, err := v.boolean("allow.auto.create.topics")
	if err != nil {
		return nil, err
	}
	if c.Client, err = kgo.NewClient(append(append(options, more...), wanted.tune...)...); err != nil {
		return nil, causedBy(exceptionf(configException, "%s", err), kafkaException, "Failed to construct kafka consumer")
	}
	close(c.ready)
	c.waiter = &topicWaiter{network: network, client: c.Client, autoCreate: autoCreate, backoff: max(v.ms("retry.backoff.ms"), time.Millisecond), correlation: 1}
	return c, nil
}

// consumerClientID is the client id of the first consumer of a process.
func consumerClientID(v *clientValues) string {
	switch {
	case v.texts["client.id"] != "":
		return v.texts["client.id"]
	case v.texts["group.instance.id"] != "":
		return "consumer-" + v.texts["group.id"] + "-" + v.texts["group.instance.id"]
	}
	return "consumer-" + v.texts["group.id"] + "-1"
}

// options turns the consumer's settings into kgo's.
func (c *consumerClient) options() ([]kgo.Opt, error) {
	v := c.settings
	isolation, err := isolationLevel(v.texts["isolation.level"])
	if err != nil {
		return nil, err
	}
	reset, err := v.oneOf("auto.offset.reset", "latest", "earliest", "none")
	if err != nil {
		return nil, err
	}
	autoCommit, err := v.boolean("enable.auto.commit")
	if err != nil {
		return nil, err
	}
	checkCRC, err := v.boolean("check.crcs")
	if err != nil {
		return nil, err
	}
	options := []kgo.Opt{
		kgo.FetchIsolationLevel(isolation),
		kgo.FetchMaxWait(v.ms("fetch.max.wait.ms")),
		kgo.FetchMinBytes(int32(v.numbers["fetch.min.bytes"])),
		kgo.FetchMaxBytes(int32(v.numbers["fetch.max.bytes"])),
		kgo.FetchMaxPartitionBytes(int32(v.numbers["max.partition.fetch.bytes"])),
		kgo.ConsumeResetOffset(resetOffset(reset)),
		kgo.Rack(v.texts["client.rack"]),
	}
	if !checkCRC {
		options = append(options, kgo.DisableFetchCRCValidation())
	}
	if c.wanted.partition >= 0 {
		return append(options, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{c.wanted.topic: {c.wanted.partition: c.wanted.offset}})), nil
	}
	c.autoCommit = autoCommit
	balancers, err := assignors(v.texts["partition.assignment.strategy"])
	if err != nil {
		return nil, err
	}
	options = append(options,
		kgo.ConsumerGroup(c.group),
		kgo.Balancers(balancers...),
		kgo.SessionTimeout(v.ms("session.timeout.ms")),
		kgo.HeartbeatInterval(v.ms("heartbeat.interval.ms")),
		kgo.RebalanceTimeout(v.ms("max.poll.interval.ms")),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(),
		kgo.AdjustFetchOffsetsFn(c.assigned),
		kgo.OnPartitionsAssigned(c.begun),
		kgo.OnPartitionsRevoked(c.revoked),
		kgo.OnPartitionsLost(c.lost),
	)
	if id := v.texts["group.instance.id"]; id != "" {
		options = append(options, kgo.InstanceID(id))
	}
	if c.wanted.pattern == "" {
		return append(options, kgo.ConsumeTopics(c.wanted.topic)), nil
	}
	excludeInternal, err := v.boolean("exclude.internal.topics")
	if err != nil {
		return nil, err
	}
	if excludeInternal {
		options = append(options, kgo.ConsumeExcludeTopics("^__consumer_offsets$", "^__transaction_state$"))
	}
	return append(options, kgo.ConsumeRegex(), kgo.ConsumeTopics(javaPattern(c.wanted.pattern))), nil
}

// leave commits where the group has come to, if that is on, and ends the
// client.
func (c *consumerClient) leave() {
	if c.autoCommit {
		c.commit(context.Background(), nil)
	}
	c.CloseAllowingRebalance()
}

// commitRegularly commits in the background if that is on.
func (c *consumerClient) commitRegularly(ctx context.Context) {
	if !c.autoCommit {
		return
	}
	interval := max(c.settings.ms("auto.commit.interval.ms"), time.Millisecond)
	inBackground(ctx, "auto-commit", func(ctx context.Context) {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				c.commit(ctx, nil)
			}
		}
	})
}

// commit commits the positions of the partitions that are assigned, or of
// those of them that are listed.
func (c *consumerClient) commit(ctx context.Context, only map[string][]int32) {
	offsets := c.positions.offsets(only)
	if len(offsets) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	ctx = kgo.PreCommitFnContext(ctx, withoutMetadata)
	c.CommitOffsetsSync(ctx, offsets, nil) // a commit that fails is repeated by the next, or read again
}

// withoutMetadata empties the metadata of a commit, which kgo fills with the
// member's id and Kafka's consumer does not.
func withoutMetadata(req *kmsg.OffsetCommitRequest) error {
	for _, t := range req.Topics {
		for i := range t.Partitions {
			t.Partitions[i].Metadata = kmsg.StringPtr("")
		}
	}
	return nil
}

func (c *consumerClient) revoked(ctx context.Context, _ *kgo.Client, gone map[string][]int32) {
	if c.autoCommit {
		c.commit(ctx, gone)
	}
	c.lost(ctx, nil, gone)
}

func (c *consumerClient) lost(_ context.Context, _ *kgo.Client, gone map[string][]int32) {
	c.positions.drop(gone)
	if c.wanted.revoked != nil {
		c.wanted.revoked(gone)
	}
}

// assigned learns where a new assignment begins, so that also a partition in
// which nothing is read has its position committed, as Kafka's consumer does.
func (c *consumerClient) assigned(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	<-c.ready
	resolved, err := resolveOffsets(ctx, c.Client, offsets)
	if err != nil {
		return offsets, nil // kgo resolves them itself; only the commit of untouched partitions is lost
	}
	c.positions.begin(resolved)
	return resolved, nil
}

// begun is called when a member has its partitions.
func (c *consumerClient) begun(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
	if c.wanted.assigned != nil {
		c.wanted.assigned(partitions)
	}
}

// javaPattern is a whitelist as a Go expression over the whole name; commas
// are alternatives, blanks and quotes around it fall off.
func javaPattern(whitelist string) string {
	text := strings.Trim(strings.ReplaceAll(strings.TrimSpace(whitelist), ",", "|"), `"'`)
	return "^(?:" + strings.ReplaceAll(text, " ", "") + ")$"
}

func isolationLevel(name string) (kgo.IsolationLevel, error) {
	switch name {
	case "read_uncommitted":
		return kgo.ReadUncommitted(), nil
	case "read_committed":
		return kgo.ReadCommitted(), nil
	}
	return kgo.IsolationLevel{}, exceptionf(configException,
		"Invalid value %s for configuration isolation.level: String must be one of: read_committed, read_uncommitted", name)
}

func resetOffset(reset string) kgo.Offset {
	switch reset {
	case "earliest":
		return kgo.NewOffset().AtStart()
	case "none":
		return kgo.NoResetOffset()
	}
	return kgo.NewOffset().AtEnd()
}

// assignors are the balancers of partition.assignment.strategy.
func assignors(list string) ([]kgo.GroupBalancer, error) {
	const javaPackage = "org.apache.kafka.clients.consumer."
	known := map[string]func() kgo.GroupBalancer{
		"RangeAssignor": kgo.RangeBalancer, "RoundRobinAssignor": kgo.RoundRobinBalancer,
		"StickyAssignor": kgo.StickyBalancer, "CooperativeStickyAssignor": kgo.CooperativeStickyBalancer,
	}
	var balancers []kgo.GroupBalancer
	for class := range strings.SplitSeq(list, ",") {
		class = strings.TrimSpace(class)
		make, ok := known[strings.TrimPrefix(class, javaPackage)]
		if !ok {
			return nil, exceptionf(kafkaException, "%s ClassNotFoundException exception occurred", class)
		}
		balancers = append(balancers, make())
	}
	return balancers, nil
}
