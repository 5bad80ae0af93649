package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"gregor/pkg/cli/jopt"
	"gregor/pkg/logging"
	"gregor/pkg/model"
	"gregor/pkg/zkstore"
)

var _ = register("kafka-preferred-replica-election", kafkaPreferredReplicaElection)

// preferredElectionWords are the sentences of kafka-preferred-replica-election.
var preferredElectionWords = electionWords{
	done:         "Successfully completed preferred leader election for partitions %s",
	needless:     "Preferred replica already elected for partitions %s",
	failed:       "Error completing preferred leader election for partition: %s: %s",
	count:        "%d preferred replica(s) could not be elected",
	unauthorized: "Not authorized",
}

// kafkaPreferredReplicaElection is kafka-preferred-replica-election.sh of 2.8:
// it has preferred replicas elected, by the controller's answer or, with
// --zookeeper, by a znode that the controller follows.
func kafkaPreferredReplicaElection(ctx context.Context, env *Env, args []string) int {
	fmt.Fprintln(env.Stdout, "This tool is deprecated. Please use kafka-leader-election tool. Tracking issue: KAFKA-8405")
	o := newPreferredElectionOptions()
	set, err := o.parser.Parse(args)
	if err != nil {
		return optionFailure(env, o.parser, err)
	}
	o.Set = set
	if status, done := helpOrVersion(env, o.parser, set, "This tool helps to causes leadership for each partition to be transferred back to the "+
		"'preferred replica', it can be used to balance leadership among the servers."); done {
		return status
	}
	if o.Has(o.bootstrap) == o.Has(o.zookeeper) {
		return usageFailure(env, o.parser, fmt.Sprintf("Exactly one of '%s' or '%s' must be provided", o.bootstrap, o.zookeeper))
	}
	return endElection(env, o.run(ctx, env))
}

func (o *preferredElectionOptions) run(ctx context.Context, env *Env) error {
	path, bootstrap, connect, properties := o.String(o.file), o.String(o.bootstrap), o.String(o.zookeeper), o.String(o.adminConfig)
	if err := o.Err(); err != nil {
		return err
	}
	var partitions []model.TopicPartition // nil for all
	if o.Has(o.file) {
		const empty = "Preferred replica election data is empty"
		list, err := electionFile(path, "Preferred replica election data", empty, empty)
		if err != nil {
			return err
		}
		partitions = append([]model.TopicPartition{}, list...)
	}
	loggers := toolLoggers(env)
	if o.Has(o.zookeeper) {
		fmt.Fprintln(env.Stdout, "Warning: --zookeeper is deprecated and will be removed in a future version of Kafka.\n"+
			"Use --bootstrap-server instead to specify a broker to connect to.")
		return electByZooKeeper(ctx, loggers, env.Stdout, connect, partitions)
	}
	client, err := electionClient(ctx, loggers, bootstrap, properties, time.Minute)
	if err != nil {
		return err
	}
	defer client.Close()
	resp, err := electLeaders(ctx, client, false, partitions)
	if err != nil {
		return electionRefused(env.Stdout, preferredElectionWords, err)
	}
	return tellElection(env.Stdout, preferredElectionWords, resp)
}

// electByZooKeeper writes the znode that asks the controller for an election,
// of all partitions when the list is nil.
func electByZooKeeper(ctx context.Context, loggers *logging.Loggers, out io.Writer, connect string, asked []model.TopicPartition) error {
	store, err := openZooKeeper(ctx, loggers, connect, "")
	if err != nil {
		return err
	}
	defer store.Close()
	if err := writeElection(ctx, store, out, asked); err != nil {
		return causedBy(err, adminCommandFailed, "Admin command failed")
	}
	return nil
}

func writeElection(ctx context.Context, store *zkstore.Store, out io.Writer, asked []model.TopicPartition) error {
	existing, err := existingPartitions(ctx, store, asked)
	if err != nil {
		return err
	}
	var valid, invalid []model.TopicPartition
	if asked == nil {
		valid = slices.SortedFunc(maps.Keys(existing), model.TopicPartition.Compare)
	}
	for _, tp := range asked {
		if existing[tp] {
			valid = append(valid, tp)
		} else {
			invalid = append(invalid, tp)
		}
	}
	valid = scalaMapOrder(valid)
	err = store.CreatePreferredElection(ctx, valid)
	if errors.Is(err, zkstore.ErrNodeExists) {
		running, _, err := store.PreferredElection(ctx)
		if err != nil {
			return err
		}
		return exceptionf(adminOperation, "Preferred replica leader election currently in progress for %s. Aborting operation", joinPartitions(scalaMapOrder(running), ","))
	}
	if err != nil {
		return exceptionf(adminOperation, "%s", describe(err))
	}
	fmt.Fprintf(out, "Created preferred replica election path with %s\n", joinPartitions(valid, ","))
	fmt.Fprintf(out, "Successfully started preferred replica election for partitions %s(%s)\n", setName(len(valid)), joinPartitions(valid, ", "))
	for _, tp := range invalid {
		fmt.Fprintf(out, "Skipping preferred replica leader election for partition %s since it doesn't exist.\n", tp)
	}
	return nil
}

// setName is how a set of Scala begins when it is printed: a small one is a
// Set, a larger one says what it is made of.
func setName(n int) string {
	if n <= 4 {
		return "Set"
	}
	return "HashSet"
}

// existingPartitions are the partitions of the topics that were asked for, or
// of all topics for nil.
func existingPartitions(ctx context.Context, store *zkstore.Store, asked []model.TopicPartition) (map[model.TopicPartition]bool, error) {
	topics := map[string]bool{}
	for _, tp := range asked {
		topics[tp.Topic] = true
	}
	if asked == nil {
		all, err := store.Topics(ctx)
		if err != nil {
			return nil, err
		}
		for _, name := range all {
			topics[name] = true
		}
	}
	assignments, err := store.TopicAssignments(ctx, slices.Sorted(maps.Keys(topics)))
	if err != nil {
		return nil, err
	}
	existing := map[model.TopicPartition]bool{}
	for name, a := range assignments {
		for number := range a.Partitions {
			existing[model.TopicPartition{Topic: name, Partition: number}] = true
		}
	}
	return existing, nil
}

// preferredElectionOptions are the options of the tool, and what was given of
// them.
type preferredElectionOptions struct {
	parser *jopt.Parser
	*jopt.Set

	file, zookeeper, bootstrap, adminConfig *jopt.Option
}

func newPreferredElectionOptions() *preferredElectionOptions {
	p := jopt.New()
	return &preferredElectionOptions{
		parser: p,
		file: p.Accepts("path-to-json-file", "A file that lists the partitions, such as\n"+strings.Join([]string{
			"{\"partitions\":", "\t[{\"topic\": \"first\", \"partition\": 0},", "\t {\"topic\": \"second\", \"partition\": 2}]", "}"}, "\n")+
			"\nWithout it all partitions are meant.").RequiredArg("list of partitions for which preferred replica leader election needs to be triggered"),
		zookeeper: p.Accepts("zookeeper", "DEPRECATED. The ZooKeeper servers of the cluster, as host:port, separated by commas, "+
			"with the chroot, if there is one, behind the last. Either this option or --bootstrap-server is REQUIRED.").RequiredArg("urls"),
		bootstrap: p.Accepts("bootstrap-server", "A broker to ask, as host:port; several are separated by commas. "+
			"Either this option or --zookeeper is REQUIRED.").RequiredArg("host:port"),
		adminConfig: p.Accepts("admin.config", "A properties file with settings of the admin client. Only read together with --bootstrap-server.").
			RequiredArg("config file"),
	}
}
