package cli

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/kerr"
)

const onlyOne = "2> Exception in thread \"main\" java.lang.IllegalArgumentException: Only one of --bootstrap-server or --zookeeper must be specified\n(exit 1)\n"

func TestTopicOptions(t *testing.T) {
	usage := func(sentence string) string { return "2> " + sentence + "\n2> <usage>\n(exit 1)\n" }
	cannot := func(used, with string) string {
		return usage(`Option "[` + used + `]" can't be used with option "[` + with + `]"`)
	}
	oneAction := usage("Command must include exactly one action: --list, --describe, --create, --alter or --delete")
	for line, want := range map[string]string{
		"":                     usage("Create, delete, describe, or change a topic."),
		"--help":               usage("This tool helps to create, delete, describe, or change a topic."),
		"--help --version":     usage("This tool helps to create, delete, describe, or change a topic."),
		"--version":            "2.8.2 (Commit:3146c6ff4a24cc24)\n",
		"--version --list":     "2.8.2 (Commit:3146c6ff4a24cc24)\n",
		"--bootstrap-server b": oneAction,
		"--list --create":      oneAction,
		"--list":               onlyOne,
		"--list --zookeeper z --bootstrap-server b": onlyOne,
		"--desc": "2> Exception in thread \"main\" joptsimple.UnrecognizedOptionException: desc is not a recognized option\n(exit 1)\n",
		"--zookeeper z --alter --topic t --deleteConfig x": "2> Exception in thread \"main\" joptsimple.UnrecognizedOptionException: " +
			"deleteConfig is not a recognized option\n2> (it is called --delete-config today)\n(exit 1)\n",
		"--list --topic": "2> Exception in thread \"main\" joptsimple.OptionMissingRequiredArgumentException: Option topic requires an argument\n(exit 1)\n",
		"--list --bootstrap-server a:1 --bootstrap-server b:1": "2> Exception in thread \"main\" joptsimple.MultipleArgumentsForOptionException: " +
			"Found multiple arguments for option bootstrap-server, but you asked for only one\n(exit 1)\n",
		"--create --zookeeper z":                                                  usage(`Missing required argument "[topic]"`),
		"--create --zookeeper z --topic t":                                        usage(`Missing required argument "[partitions]"`),
		"--create --zookeeper z --topic t --partitions 1":                         usage(`Missing required argument "[replication-factor]"`),
		"--alter --bootstrap-server b --topic t":                                  usage(`Missing required argument "[partitions]"`),
		"--alter --bootstrap-server b --topic t --delete-config x":                usage(`Missing required argument "[partitions]"`),
		"--alter --bootstrap-server b --topic t --delete-config x --partitions 2": cannot("delete-config", "bootstrap-server"),
		"--alter --bootstrap-server b --topic t --config a=b --partitions 2": usage(`Option combination "[bootstrap-server],[config]" can't be used with option "[alter]" ` +
			`(the kafka-configs CLI supports altering topic configs with a --bootstrap-server option)`),
		"--list --zookeeper z --config a=b":                                                     cannot("config", "list"),
		"--list --zookeeper z --partitions 3 --replication-factor 2":                            cannot("partitions", "list"),
		"--alter --zookeeper z --topic t --replication-factor 2":                                cannot("replication-factor", "alter"),
		"--create --zookeeper z --topic t --replica-assignment 0 --partitions 1":                cannot("replica-assignment", "partitions"),
		"--describe --zookeeper z --under-min-isr-partitions":                                   cannot("under-min-isr-partitions", "zookeeper"),
		"--describe --bootstrap-server b --at-min-isr-partitions --unavailable-partitions":      cannot("at-min-isr-partitions", "unavailable-partitions"),
		"--describe --bootstrap-server b --under-replicated-partitions --topics-with-overrides": cannot("under-replicated-partitions", "topics-with-overrides"),
		"--list --bootstrap-server b --topics-with-overrides":                                   cannot("topics-with-overrides", "list"),
		"--create --bootstrap-server b --topic t --if-exists":                                   cannot("if-exists", "create"),
		"--delete --bootstrap-server b --topic t --if-not-exists":                               cannot("if-not-exists", "delete"),
		"--delete --bootstrap-server b --topic t --exclude-internal":                            cannot("exclude-internal", "delete"),
	} {
		t.Run(line, func(t *testing.T) {
			require.Equal(t, want, withoutHelp(transcript("kafka-topics "+line)))
		})
	}
}

// topicFailure is how a failed action ends.
func topicFailure(class, text string) string {
	return "Error while executing topic command : " + text + "\n2> <time> ERROR " + class + ": " + text + "\n2>  (kafka.admin.TopicCommand$)\n(exit 1)\n"
}

const commonErrors = "org.apache.kafka.common.errors."

func TestTopicArgumentsThatAreRefused(t *testing.T) {
	b := newWireBroker(t)
	for line, want := range map[string]string{
		"--create --partitions abc --topic t":           topicFailure("joptsimple.OptionArgumentConversionException", "Cannot parse argument 'abc' of option partitions"),
		"--create --topic t --topic u":                  topicFailure("joptsimple.MultipleArgumentsForOptionException", "Found multiple arguments for option topic, but you asked for only one"),
		"--create --topic t --partitions 0":             topicFailure(illegalArgument, "The partitions must be greater than 0"),
		"--create --topic t --replication-factor 0":     topicFailure(illegalArgument, "The replication factor must be between 1 and 32767 inclusive"),
		"--create --topic t --replication-factor 32768": topicFailure(illegalArgument, "The replication factor must be between 1 and 32767 inclusive"),
		"--create --topic=":                             topicFailure(commonErrors+"InvalidTopicException", "The given topic name '' cannot be represented in a request."),
		"--create --topic t --config no.such=1":         topicFailure(commonErrors+"InvalidConfigurationException", "Unknown topic config name: no.such"),
		"--create --topic t --config retention.ms": topicFailure(illegalArgument,
			`requirement failed: Invalid topic config: all configs to be added must be in the format "key=val".`),
		"--create --topic t --config retention.ms=": topicFailure(illegalArgument,
			`requirement failed: Invalid topic config: all configs to be added must be in the format "key=val".`),
		"--create --topic t --config retention.ms=abc": topicFailure("org.apache.kafka.common.config.ConfigException",
			"Invalid value abc for configuration retention.ms: Not a number of type LONG"),
		"--create --topic t --replica-assignment x":     topicFailure(numberFormat, `For input string: "x"`),
		"--create --topic t --replica-assignment 0:0":   topicFailure(adminCommandFailed, "Partition replica lists may not contain duplicate entries: 0"),
		"--create --topic t --replica-assignment 0:1,2": topicFailure(adminOperation, "Partition 1 has different replication factor: 2"),
		"--describe --topic nothere":                    topicFailure(illegalArgument, "Topic 'nothere' does not exist as expected"),
		"--delete --topic nothere":                      topicFailure(illegalArgument, "Topic 'nothere' does not exist as expected"),
		"--describe --topic nothere --if-exists":        "",
		"--delete --topic nothere --if-exists":          "",
		"--list --topic a(":                             topicFailure("java.lang.RuntimeException", "a( is an invalid regex."),
	} {
		t.Run(line, func(t *testing.T) {
			require.Equal(t, want, b.run("kafka-topics --bootstrap-server BROKER "+line))
		})
	}
	require.Empty(t, b.asked(19), "nothing was sent to the controller")
}

func TestTopicsListThroughBroker(t *testing.T) {
	b := newWireBroker(t)
	require.Equal(t, "\n", b.run("kafka-topics --list --bootstrap-server BROKER"), "no topic is one empty line")
	b.topics = []kmsg.MetadataResponseTopic{wireTopic("zebra", "0 0 0"), wireTopic("__consumer_offsets", "0 0 0"), wireTopic("apple", "0 0 0")}
	require.Equal(t, "__consumer_offsets\napple\nzebra\n", b.run("kafka-topics --list all --bootstrap-server BROKER --force"))
	require.Equal(t, "apple\nzebra\n", b.run("kafka-topics --list --bootstrap-server PLAINTEXT://BROKER --exclude-internal"))
	require.Equal(t, "apple\nzebra\n", b.run(`kafka-topics --list --bootstrap-server BROKER --topic '"app.*, zeb.a"'`))
	require.Equal(t, "\n", b.run("kafka-topics --list --bootstrap-server BROKER --topic app"))
	last := b.asked(3)[len(b.asked(3))-1].(*kmsg.MetadataRequest)
	require.EqualValues(t, 11, last.Version)
	require.Nil(t, last.Topics)
	require.False(t, last.AllowAutoTopicCreation)
}

func TestTopicsCreateThroughBroker(t *testing.T) {
	b := newWireBroker(t)
	var outcome error
	controllers := 0
	b.answers[19] = func(req kmsg.Request) kmsg.Response {
		resp := req.ResponseKind().(*kmsg.CreateTopicsResponse)
		topic := kmsg.NewCreateTopicsResponseTopic()
		topic.Topic, topic.ErrorCode, topic.ErrorMessage = req.(*kmsg.CreateTopicsRequest).Topics[0].Topic, kerr.Code(outcome), kerr.Message(outcome)
		if controllers++; controllers == 1 {
			topic.ErrorCode = kerr.NotController.Code
		}
		resp.Topics = append(resp.Topics, topic)
		return resp
	}
	create := "kafka-topics --create --bootstrap-server BROKER "
	require.Equal(t, "Created topic t.\n", b.run(create+"--topic t"), "the controller is looked for again")
	require.Len(t, b.asked(19), 2)
	require.Len(t, b.asked(3), 2)

	require.Equal(t, "WARNING: The configuration message.format.version=2.4 is specified. This configuration will be ignored if the version is newer than the "+
		"inter.broker.protocol.version specified in the broker.\nWARNING: Due to limitations in metric names, topics with a period ('.') or underscore ('_') could collide. "+
		"To avoid issues it is best to use either, but not both.\nCreated topic a_b.\n",
		b.run(create+"--topic a_b --partitions +3 --replication-factor 2 --config 'retention.ms = 5' --config message.format.version=2.4"))
	req := b.asked(19)[2].(*kmsg.CreateTopicsRequest)
	require.EqualValues(t, 7, req.Version)
	require.EqualValues(t, 30000, req.TimeoutMillis)
	require.EqualValues(t, 3, req.Topics[0].NumPartitions)
	require.EqualValues(t, 2, req.Topics[0].ReplicationFactor)
	require.Len(t, req.Topics[0].Configs, 2)
	require.Equal(t, "retention.ms", req.Topics[0].Configs[1].Name)
	require.Equal(t, "5", *req.Topics[0].Configs[1].Value)

	require.Equal(t, "Created topic t.\n", b.run(create+"--topic t --replica-assignment '0:1, 1:2'"))
	req = b.asked(19)[3].(*kmsg.CreateTopicsRequest)
	require.EqualValues(t, -1, req.Topics[0].NumPartitions)
	require.EqualValues(t, -1, req.Topics[0].ReplicationFactor)
	require.Equal(t, []int32{1, 2}, req.Topics[0].ReplicaAssignment[1].Replicas)

	outcome = kerr.TopicAlreadyExists.With("Topic 't' already exists.")
	require.Equal(t, topicFailure(commonErrors+"TopicExistsException", "Topic 't' already exists."), b.run(create+"--topic t"))
	require.Empty(t, b.run(create+"--topic t --if-not-exists"))
	outcome = kerr.InvalidReplicationFactor.With("Replication factor: 2 larger than available brokers: 1.")
	require.Equal(t, topicFailure(commonErrors+"InvalidReplicationFactorException", outcome.Error()), b.run(create+"--topic t --if-not-exists"))
}

func TestTopicsDeleteAndAlterThroughBroker(t *testing.T) {
	b := newWireBroker(t)
	b.topics = []kmsg.MetadataResponseTopic{wireTopic("a", "0 0 0", "0 0 0"), wireTopic("b", "0 0 0")}
	var outcome error
	b.answers[20] = func(req kmsg.Request) kmsg.Response {
		resp := req.ResponseKind().(*kmsg.DeleteTopicsResponse)
		for _, asked := range req.(*kmsg.DeleteTopicsRequest).Topics {
			topic := kmsg.NewDeleteTopicsResponseTopic()
			topic.Topic, topic.ErrorCode, topic.ErrorMessage = asked.Topic, kerr.Code(outcome), kerr.Message(outcome)
			resp.Topics = append(resp.Topics, topic)
		}
		return resp
	}
	b.answers[37] = func(req kmsg.Request) kmsg.Response {
		resp := req.ResponseKind().(*kmsg.CreatePartitionsResponse)
		topic := kmsg.NewCreatePartitionsResponseTopic()
		topic.ErrorCode, topic.ErrorMessage = kerr.Code(outcome), kerr.Message(outcome)
		resp.Topics = append(resp.Topics, topic)
		return resp
	}
	require.Empty(t, b.run("kafka-topics --delete --bootstrap-server BROKER --topic a|b"))
	require.Len(t, b.asked(20)[0].(*kmsg.DeleteTopicsRequest).Topics, 2)
	require.Empty(t, b.run("kafka-topics --alter --bootstrap-server BROKER --topic a --partitions 4 --replica-assignment 0,0,7,8"))
	asked := b.asked(37)[0].(*kmsg.CreatePartitionsRequest).Topics[0]
	require.EqualValues(t, 4, asked.Count)
	require.Len(t, asked.Assignment, 2, "only the new partitions are placed")
	require.Equal(t, []int32{7}, asked.Assignment[0].Replicas)
	require.Empty(t, b.run("kafka-topics --alter --bootstrap-server BROKER --topic a --partitions 4 --replica-assignment 0"))
	require.Equal(t, []kmsg.CreatePartitionsRequestTopicAssignment{}, b.asked(37)[1].(*kmsg.CreatePartitionsRequest).Topics[0].Assignment)
	require.Empty(t, b.run("kafka-topics --alter --bootstrap-server BROKER --topic a --partitions 4"))
	require.Nil(t, b.asked(37)[2].(*kmsg.CreatePartitionsRequest).Topics[0].Assignment)

	outcome = kerr.TopicDeletionDisabled.With("Topic deletion is disabled.")
	require.Equal(t, topicFailure(commonErrors+"TopicDeletionDisabledException", "Topic deletion is disabled."), b.run("kafka-topics --delete --bootstrap-server BROKER --topic a"))
	outcome = kerr.InvalidPartitions.With("Topic currently has 2 partitions, which is higher than the requested 1.")
	require.Equal(t, topicFailure(commonErrors+"InvalidPartitionsException", outcome.Error()), b.run("kafka-topics --alter --bootstrap-server BROKER --topic a --partitions 1"))
	outcome = kerr.UnknownTopicOrPartition
	b.topics = nil
	require.Empty(t, b.run("kafka-topics --delete --bootstrap-server BROKER --topic a --if-exists"))
}

// describeBroker has topics in every state that the filters look for.
func describeBroker(t *testing.T) *wireBroker {
	b := newWireBroker(t)
	b.topics = []kmsg.MetadataResponseTopic{
		wireTopic("whole", "0 0 0", "0 0 0"),
		wireTopic("under", "0 0,1 0", "-1 1 1", "7 7,0 7,0"),
		wireTopic("moving", "0 0,1,2 0,1"),
	}
	b.topics[0].TopicID = [16]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
	own := map[string][]string{"whole": {"segment.bytes=1073741824 4", "flush.messages=1 1", "max.message.bytes=64000 1"}}
	b.answers[32] = func(req kmsg.Request) kmsg.Response {
		resp := req.ResponseKind().(*kmsg.DescribeConfigsResponse)
		for _, asked := range req.(*kmsg.DescribeConfigsRequest).Resources {
			r := kmsg.NewDescribeConfigsResponseResource()
			r.ResourceType, r.ResourceName = asked.ResourceType, asked.ResourceName
			settings := own[asked.ResourceName]
			for _, name := range topicConfigNames() {
				if !slices.ContainsFunc(settings, func(s string) bool { return strings.HasPrefix(s, name+"=") }) {
					settings = append(settings, name+"=1 5")
				}
			}
			for _, text := range settings {
				setting, source, _ := strings.Cut(text, " ")
				name, value, _ := strings.Cut(setting, "=")
				c := kmsg.NewDescribeConfigsResponseResourceConfig()
				c.Name, c.Value, c.Source = name, &value, kmsg.ConfigSource(source[0]-'0')
				r.Configs = append(r.Configs, c)
			}
			resp.Resources = append(resp.Resources, r)
		}
		return resp
	}
	return b
}

func TestTopicsDescribeThroughBroker(t *testing.T) {
	b := describeBroker(t)
	describe := func(options string) string {
		return b.run("kafka-topics --describe --bootstrap-server BROKER " + options)
	}
	b.versions[46] = versionRange{0, -1}
	whole := "Topic: whole\tTopicId: AQIDBAUGBwgJCgsMDQ4PEA\tPartitionCount: 2\tReplicationFactor: 1\tConfigs: segment.bytes=1073741824,flush.messages=1,max.message.bytes=64000\n"
	require.Equal(t, whole+"\tTopic: whole\tPartition: 0\tLeader: 0\tReplicas: 0\tIsr: 0\n\tTopic: whole\tPartition: 1\tLeader: 0\tReplicas: 0\tIsr: 0\n", describe("--topic whole"))
	const (
		under0 = "\tTopic: under\tPartition: 0\tLeader: 0\tReplicas: 0,1\tIsr: 0\n"
		under1 = "\tTopic: under\tPartition: 1\tLeader: none\tReplicas: 1\tIsr: 1\n"
		under2 = "\tTopic: under\tPartition: 2\tLeader: none\tReplicas: 7,0\tIsr: 7,0\n" // broker 7 is not there
		moving = "\tTopic: moving\tPartition: 0\tLeader: 0\tReplicas: 0,1,2\tIsr: 0,1\n"
	)
	require.Equal(t, "Topic: under\tPartitionCount: 3\tReplicationFactor: 2\tConfigs: \n"+under0+under1+under2, describe("--topic under"))
	require.Equal(t, under0+moving, describe("--under-replicated-partitions"))
	require.Equal(t, under1+under2, describe("--unavailable-partitions"))
	require.Equal(t, under1+under2, describe("--under-min-isr-partitions --topic 'u.*'"))
	require.Equal(t, under0+under1, describe("--at-min-isr-partitions --topic under"))
	require.Equal(t, whole, describe("--topics-with-overrides"))

	delete(b.versions, 46)
	b.answers[46] = func(req kmsg.Request) kmsg.Response {
		resp := req.ResponseKind().(*kmsg.ListPartitionReassignmentsResponse)
		topic := kmsg.NewListPartitionReassignmentsResponseTopic()
		topic.Topic = "moving"
		p := kmsg.NewListPartitionReassignmentsResponseTopicPartition()
		p.Replicas, p.AddingReplicas, p.RemovingReplicas = []int32{0, 1, 2}, []int32{2}, []int32{0}
		topic.Partitions = append(topic.Partitions, p)
		resp.Topics = append(resp.Topics, topic)
		return resp
	}
	require.Equal(t, "Topic: moving\tPartitionCount: 1\tReplicationFactor: 2\tConfigs: \n"+strings.TrimSuffix(moving, "\n")+"\tAdding Replicas: 2\tRemoving Replicas: 0\n",
		describe("--topic moving"))
	require.Equal(t, under0, describe("--under-replicated-partitions"), "a replica that is being added does not count")
}

func FuzzReplicaAssignment(f *testing.F) {
	for _, seed := range []string{"0", "0:1,1:0", " 1 : 2 ", "0:0", "0:1,2", ",", ":", "x", "-1", "2147483648"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		assignment, err := parseReplicaAssignment(text)
		if err != nil {
			require.NotEqual(t, kafkaException, javaClass(err))
			return
		}
		for _, replicas := range assignment {
			require.Len(t, replicas, len(assignment[0]))
			require.Len(t, slices.Compact(slices.Sorted(slices.Values(replicas))), len(replicas), "no broker twice")
		}
	})
}

func FuzzTopicFilter(f *testing.F) {
	for _, seed := range []string{"a", "a,b", "'a.*'", `"`, "(", "[", "(?i)A", "^a$", "a|", "\\Qa"} {
		f.Add(seed, "a")
	}
	f.Fuzz(func(t *testing.T, raw, topic string) {
		filter, err := newTopicFilter(raw)
		if err != nil {
			require.Equal(t, "java.lang.RuntimeException", javaClass(err))
			return
		}
		if filter.allows(topic, true) {
			require.True(t, filter.allows(topic, false))
		}
	})
}
