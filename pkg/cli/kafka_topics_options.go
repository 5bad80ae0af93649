package cli

import (
	"slices"
	"strings"

	"gregor/pkg/cli/jopt"
	"gregor/pkg/config"
)

// newTopicOptions describes the options of kafka-topics.
func newTopicOptions() *topicOptions {
	p := jopt.New()
	return &topicOptions{
		parser: p,
		bootstrap: p.Accepts("bootstrap-server", "A broker to ask, as host:port; several are separated by commas. "+
			"Either this option or --zookeeper is REQUIRED.").RequiredArg("server to connect to"),
		commandConfig: p.Accepts("command-config", "A properties file with settings of the admin client. "+
			"Only read together with --bootstrap-server.").RequiredArg("command config property file"),
		zookeeper: p.Accepts("zookeeper", "DEPRECATED. The ZooKeeper servers of the cluster, as host:port, separated by commas, "+
			"with the chroot, if there is one, behind the last.").RequiredArg("hosts"),
		list:     p.Accepts("list", "Show the names of all topics."),
		create:   p.Accepts("create", "Make a topic."),
		delete:   p.Accepts("delete", "Delete topics with all their records."),
		alter:    p.Accepts("alter", "Add partitions to topics; with --zookeeper also change their configuration."),
		describe: p.Accepts("describe", "Show partitions, replicas and configuration of topics."),
		topic: p.Accepts("topic", "The topic. With every action but --create this is a regular expression that the whole name must match; "+
			"commas separate alternatives.").RequiredArg("topic"),
		config: p.Accepts("config", "A setting of the topic that is created or, with --zookeeper only, altered. May be repeated. Known names:"+
			nameList(topicConfigNames())+"\nkafka-configs changes them later.").RequiredArg("name=value"),
		deleteConfig: p.Accepts("delete-config", "A setting that the altered topic is to lose, so that the broker's value counts again. "+
			"Only with --zookeeper. May be repeated.").RequiredArg("name"),
		partitions: p.Accepts("partitions", "How many partitions the topic is to have. They can become more later, never fewer; "+
			"records with a key may then land in other partitions than before. "+
			"Without it a created topic gets num.partitions of the broker.").RequiredArg("# of partitions").Int(),
		replicationFactor: p.Accepts("replication-factor", "How many brokers keep a copy of each partition. "+
			"Without it the topic gets default.replication.factor of the broker.").RequiredArg("replication factor").Int(),
		replicaAssignment: p.Accepts("replica-assignment", "Places the replicas by hand, partition by partition.").
			RequiredArg("broker_id_for_part1_replica1 : broker_id_for_part1_replica2 , broker_id_for_part2_replica1 : broker_id_for_part2_replica2 , ..."),
		underReplicated:  p.Accepts("under-replicated-partitions", "With --describe: only partitions that have fewer in-sync replicas than replicas."),
		unavailable:      p.Accepts("unavailable-partitions", "With --describe: only partitions without a live leader."),
		underMinISR:      p.Accepts("under-min-isr-partitions", "With --describe: only partitions with fewer in-sync replicas than min.insync.replicas. Not with --zookeeper."),
		atMinISR:         p.Accepts("at-min-isr-partitions", "With --describe: only partitions with exactly min.insync.replicas in-sync replicas. Not with --zookeeper."),
		withOverrides:    p.Accepts("topics-with-overrides", "With --describe: only topics that have settings of their own."),
		ifExists:         p.Accepts("if-exists", "With --alter, --delete, --describe: a topic that is not there is no error."),
		ifNotExists:      p.Accepts("if-not-exists", "With --create: a topic that is there already is no error."),
		disableRackAware: p.Accepts("disable-rack-aware", "Places replicas without a look at the racks of the brokers."),
		force:            p.Accepts("force", "Asks no questions. The tool asks none."),
		excludeInternal:  p.Accepts("exclude-internal", "With --list and --describe: leaves out the topics that Kafka keeps for itself."),
	}
}

// topicConfigNames are the settings that a topic can have, sorted.
func topicConfigNames() []string {
	names := make([]string, len(config.TopicKeys))
	for i := range config.TopicKeys {
		names[i] = config.TopicKeys[i].Name
	}
	slices.Sort(names)
	return names
}

// nameList writes names below each other, for the table of options.
func nameList(names []string) string { return "\n\t" + strings.Join(names, "\n\t") }
