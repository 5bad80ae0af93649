package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"gregor/pkg/cli/jopt"
	"gregor/pkg/logging"
)

var _ = register("kafka-reassign-partitions", kafkaReassignPartitions)

// kafkaReassignPartitions is kafka-reassign-partitions.sh of 2.8: it moves
// replicas to other brokers and other log directories, by the brokers' answers
// or, with --zookeeper, by the znode that the controller follows.
//
// This file has the options and their checks. What is in the files that are
// read and shown is in reassign_json.go, what follows from them in
// reassign_plan.go, and each way of connecting has a file of its own.
func kafkaReassignPartitions(ctx context.Context, env *Env, args []string) int {
	o := newReassignOptions()
	set, err := o.parser.Parse(args)
	if err != nil {
		return optionFailure(env, o.parser, err)
	}
	o.Set = set
	if status, done := helpOrVersion(env, o.parser, set, "This tool helps to move topic partitions between replicas."); done {
		return status
	}
	if err := o.check(); err != nil {
		return optionFailure(env, o.parser, err)
	}
	err = o.run(ctx, env)
	var told *toldError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &told):
		fmt.Fprintln(env.Stdout, told)
	default:
		fmt.Fprintf(env.Stdout, "Error: %s\n%s\n", err, trace(err))
	}
	return 1
}

// What several ways of reassigning say.
const (
	reassignRunning = "Cannot execute because there is an existing partition assignment.  Use --additional to override this and " +
		"create a new partition assignment in addition to the existing one. The --additional flag can also be used to change the throttle " +
		"by resubmitting the current reassignment."
	reassignVerifyLater = "Warning: You must run --verify periodically, until the reassignment completes, to ensure the throttle is removed."
)

// reassignCommand is what was asked for.
type reassignCommand struct {
	proposal       *proposal // of the files with partitions
	topics         []string  // of generate
	brokers        []int32
	rackAware      bool
	additional     bool
	preserve       bool  // throttles stay
	throttle       int64 // bytes a second, below 0 for none
	logDirThrottle int64
	timeout        time.Duration
}

// run connects and does what was asked for.
func (o *reassignOptions) run(ctx context.Context, env *Env) error {
	loggers := toolLoggers(env)
	if !o.Has(o.bootstrap) {
		return o.runByZooKeeper(ctx, env, loggers)
	}
	if o.Has(o.zookeeper) {
		fmt.Fprintln(env.Stdout, "Warning: ignoring deprecated --zookeeper option because --bootstrap-server was specified.  "+
			"The --zookeeper option will be removed in a future version of Kafka.")
	}
	client, err := o.connect(ctx, loggers)
	if err != nil {
		return err
	}
	defer client.Close()
	r := &bootstrapReassign{client: client, out: env.Stdout}
	if o.Has(o.list) {
		return r.list(ctx)
	}
	c, err := o.command()
	if err != nil {
		return err
	}
	switch {
	case o.Has(o.verify):
		return r.verify(ctx, c)
	case o.Has(o.generate):
		return r.generate(ctx, c)
	case o.Has(o.execute):
		return r.execute(ctx, c)
	}
	return r.cancel(ctx, c)
}

func (o *reassignOptions) runByZooKeeper(ctx context.Context, env *Env, loggers *logging.Loggers) error {
	fmt.Fprintln(env.Stdout, "Warning: --zookeeper is deprecated, and will be removed in a future version of Kafka.")
	connect := o.String(o.zookeeper)
	if err := o.Err(); err != nil {
		return err
	}
	r, err := openZooKeeperReassign(ctx, loggers, env.Stdout, connect)
	if err != nil {
		return err
	}
	defer r.store.Close()
	c, err := o.command()
	if err != nil {
		return err
	}
	switch {
	case o.Has(o.verify):
		return r.verify(ctx, c)
	case o.Has(o.generate):
		return r.generate(ctx, c)
	}
	return r.execute(ctx, c)
}

// connect makes the admin client.
func (o *reassignOptions) connect(ctx context.Context, loggers *logging.Loggers) (*adminClient, error) {
	servers, file := o.String(o.bootstrap), o.String(o.commandConfig)
	if err := o.Err(); err != nil {
		return nil, err
	}
	given, err := readClientProperties(file)
	if err != nil {
		return nil, err
	}
	properties := map[string]string{"client.id": "reassign-partitions-tool"}
	maps.Copy(properties, given)
	return newAdminClient(ctx, loggers, servers, properties)
}

// command reads the values of the options and the files behind them.
func (o *reassignOptions) command() (*reassignCommand, error) {
	c := &reassignCommand{rackAware: !o.Has(o.disableRackAware), additional: o.Has(o.additional), preserve: o.Has(o.preserve)}
	c.throttle, c.logDirThrottle = o.Long(o.throttle), o.Long(o.logDirThrottle)
	c.timeout = time.Duration(o.Long(o.timeout)) * time.Millisecond
	brokers, file, topics := o.String(o.brokers), o.String(o.file), o.String(o.topicsFile)
	if err := o.Err(); err != nil {
		return nil, err
	}
	if o.Has(o.generate) {
		content, err := readWholeFile(topics)
		if err != nil {
			return nil, err
		}
		return c, c.parseGenerate(content, brokers)
	}
	content, err := readWholeFile(file)
	if err != nil {
		return nil, err
	}
	if c.proposal, err = parseProposal(content); err == nil && o.Has(o.execute) {
		err = c.proposal.checkExecutable()
	}
	return c, err
}

// reassignOptions are the options of kafka-reassign-partitions, and what was
// given of them.
type reassignOptions struct {
	parser *jopt.Parser
	*jopt.Set

	verify, generate, execute, cancel, list *jopt.Option
	bootstrap, commandConfig, zookeeper     *jopt.Option
	file, topicsFile, brokers               *jopt.Option
	disableRackAware, additional, preserve  *jopt.Option
	throttle, logDirThrottle, timeout       *jopt.Option
}

func newReassignOptions() *reassignOptions {
	p := jopt.New()
	const throttled = "It is given with --execute when a reassignment is started, and changed by executing the running reassignment again with --additional. " +
		"It should be 1 KB/s at least."
	return &reassignOptions{
		parser:   p,
		verify:   p.Accepts("verify", "Tell how far the reassignment of --reassignment-json-file is. Once it is done, its throttles are taken away."),
		generate: p.Accepts("generate", "Propose a reassignment. Nothing is changed by it."),
		execute:  p.Accepts("execute", "Start the reassignment of --reassignment-json-file."),
		cancel:   p.Accepts("cancel", "Cancel a running reassignment."),
		list:     p.Accepts("list", "Show all running reassignments."),
		bootstrap: p.Accepts("bootstrap-server", "Brokers to ask first. REQUIRED where the file names log directories, and without --zookeeper.").
			RequiredArg("Server(s) to use for bootstrapping"),
		commandConfig: p.Accepts("command-config", "A properties file with settings of the admin client.").RequiredArg("Admin client property file"),
		zookeeper: p.Accepts("zookeeper", "DEPRECATED: use --bootstrap-server. The ZooKeeper servers of the cluster, as host:port, separated by commas, "+
			"with the chroot, if there is one, behind the last.").RequiredArg("urls"),
		file: p.Accepts("reassignment-json-file", "The file with the reassignment, such as\n{\"partitions\":\n\t[{\"topic\": \"first\",\n\t  \"partition\": 1,\n"+
			"\t  \"replicas\": [1,2,3],\n\t  \"log_dirs\": [\"any\",\"/one\",\"/two\"]\n\t }],\n\"version\":1\n}\n"+
			"\"log_dirs\" may be left out; it has one entry for each replica, \"any\" or the absolute path of a log directory of the broker, "+
			"to which the replica is moved.").RequiredArg("manual assignment json file path"),
		topicsFile: p.Accepts("topics-to-move-json-file", "The file with the topics for which --generate proposes replicas on the brokers of --broker-list, such as\n"+
			"{\"topics\":\n\t[{\"topic\": \"first\"},{\"topic\": \"second\"}],\n\"version\":1\n}").RequiredArg("topics to reassign json file path"),
		brokers:          p.Accepts("broker-list", "The ids of the brokers to move to, as \"0,1,2\". REQUIRED with --generate.").RequiredArg("brokerlist"),
		disableRackAware: p.Accepts("disable-rack-aware", "Propose replicas without a look at racks."),
		throttle: p.Accepts("throttle", "How many bytes a second a broker moves from and to others. "+throttled).
			RequiredArg("throttle").Long().Default("-1"),
		logDirThrottle: p.Accepts("replica-alter-log-dirs-throttle", "How many bytes a second a broker moves between its log directories. "+throttled).
			RequiredArg("replicaAlterLogDirsThrottle").Long().Default("-1"),
		timeout: p.Accepts("timeout", "How many milliseconds to wait until moves between log directories begin.").
			RequiredArg("timeout").Long().Default("10000"),
		additional: p.Accepts("additional", "Execute a reassignment although others are running. The throttles of a running one can be changed this way."),
		preserve:   p.Accepts("preserve-throttles", "Leave throttles as they are."),
	}
}

// check refuses options that do not fit together, in Kafka's order.
func (o *reassignOptions) check() error {
	actions := []*jopt.Option{o.generate, o.execute, o.verify, o.cancel, o.list}
	if o.Count(actions...) != 1 {
		return jopt.Usagef("Command must include exactly one action: --generate, --execute, --verify, --cancel, --list")
	}
	if o.Count(o.bootstrap, o.zookeeper) == 0 {
		return jopt.Usagef("Please specify --bootstrap-server")
	}
	for _, action := range actions {
		if o.Has(action) {
			if err := o.checkAction(action); err != nil {
				return err
			}
		}
	}
	if o.Has(o.bootstrap) {
		return nil
	}
	for _, option := range []*jopt.Option{o.additional, o.cancel, o.commandConfig, o.logDirThrottle, o.list, o.preserve, o.timeout} {
		if o.Has(option) {
			return exceptionf("java.lang.RuntimeException", "You must specify --bootstrap-server when using \"%s\"", option)
		}
	}
	return nil
}

// checkAction holds the options against what an action needs and may have.
func (o *reassignOptions) checkAction(action *jopt.Option) error {
	needs, may := []*jopt.Option{o.file}, []*jopt.Option{o.bootstrap, o.commandConfig}
	switch action {
	case o.verify:
		may = append(may, o.preserve, o.zookeeper)
	case o.generate:
		needs = []*jopt.Option{o.topicsFile, o.brokers}
		may = append(may, o.disableRackAware, o.zookeeper)
	case o.execute:
		may = append(may, o.additional, o.throttle, o.logDirThrottle, o.timeout, o.zookeeper)
	case o.cancel:
		may = append(may, o.preserve, o.timeout)
	case o.list:
		needs = nil
	}
	if err := o.Require(needs...); err != nil {
		return err
	}
	allowed := map[*jopt.Option]bool{action: true}
	for _, option := range append(needs, may...) {
		allowed[option] = true
	}
	for _, option := range o.Given() {
		if !allowed[option] {
			return jopt.Usagef("Option \"%s\" can't be used with action \"%s\"", option, action)
		}
	}
	return nil
}

// plural is "" for one and "s" for any other number.
func plural(n int) string {
	if n == 1 {
		return ""
	}
	return "s"
}
