package cli

import (
	"context"
	"strings"
	"time"

	"gregor/pkg/cli/jopt"
	"gregor/pkg/model"
)

var _ = register("kafka-leader-election", kafkaLeaderElection)

// leaderElectionWords are the sentences of kafka-leader-election.
func leaderElectionWords(kind string) electionWords {
	return electionWords{
		done:         "Successfully completed leader election (" + kind + ") for partitions %s",
		needless:     "Valid replica already elected for partitions %s",
		failed:       "Error completing leader election (" + kind + ") for partition: %s: %s",
		count:        "%d replica(s) could not be elected",
		unauthorized: "Not authorized to perform leader election",
	}
}

// kafkaLeaderElection is kafka-leader-election.sh of 2.8: it has preferred
// replicas, or in need any live ones, elected as leaders.
func kafkaLeaderElection(ctx context.Context, env *Env, args []string) int {
	o := newLeaderElectionOptions()
	set, err := o.parser.Parse(args)
	if err != nil {
		return optionFailure(env, o.parser, err)
	}
	o.Set = set
	if status, done := helpOrVersion(env, o.parser, set, "This tool attempts to elect a new leader for a set of topic partitions. "+
		"The type of elections supported are preferred replicas and unclean replicas."); done {
		return status
	}
	if err := o.check(); err != nil {
		return uncaught(env, err)
	}
	return endElection(env, o.run(ctx, env))
}

// run asks for the election and tells how it went.
func (o *leaderElectionOptions) run(ctx context.Context, env *Env) error {
	kind := o.Enum(o.electionType)
	path, topic, partition := o.String(o.file), o.String(o.topic), o.Int(o.partition)
	bootstrap, properties := o.String(o.bootstrap), o.String(o.adminConfig)
	if err := o.Err(); err != nil {
		return err
	}
	var partitions []model.TopicPartition // nil for all
	switch {
	case o.Has(o.file):
		list, err := electionFile(path, "Replica election data", `Replica election data is missing "partitions" field`, "Replica election data is empty")
		if err != nil {
			return err
		}
		partitions = append([]model.TopicPartition{}, list...)
	case o.Has(o.topic):
		partitions = []model.TopicPartition{{Topic: topic, Partition: partition}}
	}
	client, err := electionClient(ctx, toolLoggers(env), bootstrap, properties, 30*time.Second)
	if err != nil {
		return err
	}
	defer client.Close()
	words := leaderElectionWords(kind)
	resp, err := electLeaders(ctx, client, kind == "UNCLEAN", partitions)
	if err != nil {
		return electionRefused(env.Stdout, words, err)
	}
	return tellElection(env.Stdout, words, resp)
}

// leaderElectionOptions are the options of kafka-leader-election, and what was
// given of them.
type leaderElectionOptions struct {
	parser *jopt.Parser
	*jopt.Set

	bootstrap, adminConfig, electionType *jopt.Option
	file, topic, partition, all          *jopt.Option
}

func newLeaderElectionOptions() *leaderElectionOptions {
	p := jopt.New()
	return &leaderElectionOptions{
		parser: p,
		bootstrap: p.Accepts("bootstrap-server", "REQUIRED. A broker to ask, as host:port; several are separated by commas.").
			RequiredArg("host:port"),
		adminConfig: p.Accepts("admin.config", "A properties file with settings of the admin client.").RequiredArg("config file"),
		file: p.Accepts("path-to-json-file", "A file that lists the partitions, such as\n"+
			"{\"partitions\":\n\t[{\"topic\": \"first\", \"partition\": 0},\n\t {\"topic\": \"second\", \"partition\": 2}]\n}\n"+
			"Not together with --topic or --all-topic-partitions.").RequiredArg("Path to JSON file"),
		topic: p.Accepts("topic", "The topic of the partition that gets a leader. Not together with --path-to-json-file or --all-topic-partitions.").
			RequiredArg("topic name"),
		partition: p.Accepts("partition", "The number of the partition; REQUIRED with --topic.").RequiredArg("partition id").Int(),
		all: p.Accepts("all-topic-partitions", "Every partition for which such an election makes sense. "+
			"Not together with --topic or --path-to-json-file."),
		electionType: p.Accepts("election-type", "REQUIRED. \"preferred\" gives partitions back to their first replicas, where others lead. "+
			"\"unclean\" gives partitions without a leader to a live replica that may lack records, which are then lost.").
			RequiredArg("election type").OneOf("PREFERRED", "UNCLEAN"),
	}
}

// check refuses options that do not fit together, in Kafka's order.
func (o *leaderElectionOptions) check() error {
	var missing []string
	for _, option := range []*jopt.Option{o.electionType, o.bootstrap} {
		if !o.Has(option) {
			missing = append(missing, option.Name())
		}
	}
	switch {
	case len(missing) > 0:
		return exceptionf(adminCommandFailed, "Missing required option(s): %s", strings.Join(missing, ", "))
	case o.Count(o.topic, o.all, o.file) != 1:
		return exceptionf(adminCommandFailed, "One and only one of the following options is required: topic, all-topic-partitions, path-to-json-file")
	case o.Has(o.topic) && !o.Has(o.partition):
		return exceptionf(adminCommandFailed, "Missing required option(s): partition")
	case o.Has(o.partition) && !o.Has(o.topic):
		return exceptionf(adminCommandFailed, "Option partition is only allowed if topic is used")
	}
	return nil
}
