package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"gregor/pkg/cli/jopt"
)

var _ = register("kafka-consumer-groups", kafkaConsumerGroups)

// kafkaConsumerGroups is kafka-consumer-groups.sh of 2.8: it lists, describes
// and deletes groups, and sets or deletes the offsets they committed.
//
// This file has the options, their checks and how an action ends; the actions
// and the requests they are made of have files of their own. What goes wrong
// while an action runs leaves the status 0, as it always did.
func kafkaConsumerGroups(ctx context.Context, env *Env, args []string) int {
	o := newGroupOptions()
	set, err := o.parser.Parse(args)
	if err != nil {
		return optionFailure(env, o.parser, err)
	}
	o.Set = set
	if err := o.check(env.Stderr); err != nil {
		return optionFailure(env, o.parser, err)
	}
	if status, done := helpOrVersion(env, o.parser, set,
		"This tool helps to list all consumer groups, describe a consumer group, delete consumer group info, or reset consumer group offsets."); done {
		return status
	}
	if o.Count(o.list, o.describe, o.delete, o.reset, o.deleteOffsets) != 1 {
		return usageFailure(env, o.parser, "Command must include exactly one action: --list, --describe, --delete, --reset-offsets, --delete-offsets")
	}
	bootstrap, file := o.String(o.bootstrap), o.String(o.commandConfig)
	if err := o.Err(); err != nil {
		return usageFailure(env, o.parser, err.Error())
	}
	properties, err := readClientProperties(file)
	if err != nil {
		return uncaught(env, err)
	}
	loggers := toolLoggers(env)
	client, err := newAdminClient(ctx, loggers, bootstrap, properties)
	if err != nil {
		return uncaught(env, err)
	}
	defer client.Close()
	c := &groupCommand{groupOptions: o, client: &groupClient{client}, out: env.Stdout, err: env.Stderr,
		log: loggers.Logger("kafka.admin.ConsumerGroupCommand$")}
	return c.end(env, c.run(ctx))
}

// groupCommand is one run of the tool.
type groupCommand struct {
	*groupOptions
	client   *groupClient
	out, err io.Writer
	log      *logrus.Entry
}

// run does what the command line asks for.
func (c *groupCommand) run(ctx context.Context) error {
	timeout := c.Long(c.timeout)
	if err := c.Err(); err != nil {
		return err
	}
	c.client.settings.apiTimeout = time.Duration(int32(timeout)) * time.Millisecond
	switch {
	case c.Has(c.list):
		return c.listGroups(ctx)
	case c.Has(c.describe):
		return c.describeGroups(ctx)
	case c.Has(c.delete):
		return c.deleteGroups(ctx)
	case c.Has(c.reset):
		return c.resetOffsets(ctx)
	default:
		return c.deleteCommitted(ctx)
	}
}

// end shows how an action failed: as a wrong command line, or as an error.
func (c *groupCommand) end(env *Env, err error) int {
	var usage *jopt.UsageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		return usageFailure(env, c.parser, usage.Text)
	case javaClass(err) == illegalArgument || javaClass(err) == numberFormat:
		return usageFailure(env, c.parser, err.Error())
	}
	c.printError("Executing consumer group command failed due to " + err.Error())
	fmt.Fprint(c.err, trace(err))
	return 0
}

// printError is the tool's own error line, which goes to standard output.
func (c *groupCommand) printError(text string) { fmt.Fprintf(c.out, "\nError: %s\n", text) }

// groupIDs are the groups of --group, or all there are.
func (c *groupCommand) groupIDs(ctx context.Context) ([]string, error) {
	if !c.Has(c.allGroups) {
		return c.Strings(c.group), nil
	}
	groups, err := c.client.listGroups(ctx, nil)
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(groups))
	for i, g := range groups {
		ids[i] = g.Group
	}
	return ids, nil
}

// groupOptions are the options of kafka-consumer-groups, and what was given
// of them.
type groupOptions struct {
	parser *jopt.Parser
	*jopt.Set

	bootstrap, commandConfig, timeout  *jopt.Option
	group, allGroups, topic, allTopics *jopt.Option
	list, describe, delete, reset      *jopt.Option
	deleteOffsets                      *jopt.Option
	members, offsets, state, verbose   *jopt.Option
	dryRun, execute, export            *jopt.Option
	toOffset, toDatetime, byDuration   *jopt.Option
	toEarliest, toLatest, toCurrent    *jopt.Option
	shiftBy, fromFile                  *jopt.Option
	scenarios/* in the order they are named */ []*jopt.Option
}

func newGroupOptions() *groupOptions {
	p := jopt.New()
	o := &groupOptions{
		parser: p,
		bootstrap: p.Accepts("bootstrap-server", "REQUIRED: a broker to ask, as host:port; several are separated by commas.").
			RequiredArg("server to connect to"),
		group: p.Accepts("group", "A consumer group. May be repeated.").RequiredArg("consumer group"),
		topic: p.Accepts("topic", "A topic whose offsets are to be reset or deleted, or only some of its partitions, "+
			"written like `orders:0,1,2`. May be repeated.").RequiredArg("topic"),
		allTopics: p.Accepts("all-topics", "With --reset-offsets: every topic for which the group has offsets."),
		list:      p.Accepts("list", "Show the ids of all groups."),
		describe:  p.Accepts("describe", "Show how far groups have read and how much there is left to read."),
		allGroups: p.Accepts("all-groups", "All groups there are, in place of --group."),
		delete:    p.Accepts("delete", "Delete groups that have no members, with all their offsets. For instance --group g1 --group g2"),
		timeout: p.Accepts("timeout", "Milliseconds that an answer may take, for instance while the coordinator of a new group is still being found.").
			RequiredArg("timeout (ms)").Long().Default("5000"),
		commandConfig: p.Accepts("command-config", "A properties file with settings of the admin client.").
			RequiredArg("command config property file"),
		reset: p.Accepts("reset-offsets", "Set the offsets of a group that has no members.\n"+
			"Say where to: --to-datetime, --by-duration, --to-earliest, --to-latest, --shift-by, --to-offset, --from-file or --to-current.\n"+
			"Say what: --topic or --all-topics; with --from-file the file says it.\n"+
			"Nothing is changed without --execute; --export shows the plan as CSV."),
		deleteOffsets: p.Accepts("delete-offsets", "Delete the offsets that one group has for one or more topics."),
		dryRun:        p.Accepts("dry-run", "With --reset-offsets: only show the plan."),
		execute:       p.Accepts("execute", "With --reset-offsets: change the offsets."),
		export:        p.Accepts("export", "With --reset-offsets: write the plan as CSV, as --from-file reads it."),
		toOffset:      p.Accepts("to-offset", "Reset to this offset.").RequiredArg("offset").Long(),
		fromFile:      p.Accepts("from-file", "Reset to the offsets of a CSV file.").RequiredArg("path to CSV file"),
		toDatetime: p.Accepts("to-datetime", "Reset to the first record of this time or later, written 'YYYY-MM-DDTHH:mm:SS.sss'").
			RequiredArg("datetime"),
		byDuration: p.Accepts("by-duration", "Reset to the first record that is no older than this, written 'PnDTnHnMnS'").
			RequiredArg("duration"),
		toEarliest: p.Accepts("to-earliest", "Reset to the oldest record."),
		toLatest:   p.Accepts("to-latest", "Reset behind the newest record."),
		toCurrent:  p.Accepts("to-current", "Reset to where the group is now."),
		shiftBy: p.Accepts("shift-by", "Reset by so many records forward, or backward with a negative number.").
			RequiredArg("number-of-offsets").Long(),
	}
	o.members = p.Accepts("members", "With --describe: show the members.\nExample: --bootstrap-server localhost:9092 --describe --group group1 --members").
		AvailableIf(o.describe)
	o.verbose = p.Accepts("verbose", "With --describe --members: show the partitions of each member too.").AvailableIf(o.describe)
	o.offsets = p.Accepts("offsets", "With --describe: show the offsets, which is what it shows anyway.").AvailableIf(o.describe)
	o.state = p.Accepts("state", "With --describe: show the coordinator and the state.\n"+
		"With --list: show the states too, of all groups or of those in the states that are given.\n"+
		"Example: --bootstrap-server localhost:9092 --list --state Stable,Empty").OptionalArg("").AvailableIf(o.describe, o.list)
	o.scenarios = []*jopt.Option{o.byDuration, o.toOffset, o.fromFile, o.toDatetime, o.toEarliest, o.toCurrent, o.shiftBy, o.toLatest}
	return o
}

// check holds the options against each other, in Kafka's order.
func (o *groupOptions) check(stderr io.Writer) error {
	if err := o.Require(o.bootstrap); err != nil {
		return err
	}
	noGroups := !o.Has(o.group) && !o.Has(o.allGroups)
	oneOf := func(action *jopt.Option) error {
		return jopt.Usagef("Option %s takes one of these options: %s, %s", action, o.group, o.allGroups)
	}
	if o.Has(o.describe) {
		switch {
		case noGroups:
			return oneOf(o.describe)
		case o.Count(o.members, o.offsets, o.state) > 1:
			return jopt.Usagef("Option %s takes at most one of these options: %s, %s, %s", o.describe, o.members, o.offsets, o.state)
		case o.HasArgument(o.state):
			return jopt.Usagef("Option %s does not take a value for %s", o.describe, o.state)
		}
	}
	if o.Has(o.delete) {
		switch {
		case noGroups:
			return oneOf(o.delete)
		case o.Has(o.topic):
			return jopt.Usagef("The consumer does not support topic-specific offset deletion from a consumer group.")
		}
	}
	if o.Has(o.deleteOffsets) && o.Count(o.group, o.topic) != 2 {
		return jopt.Usagef("Option %s takes the following options: %s, %s", o.deleteOffsets, o.group, o.topic)
	}
	if o.Has(o.reset) {
		if err := o.checkReset(stderr, noGroups, oneOf); err != nil {
			return err
		}
	}
	if err := o.Forbid(o.group, o.allGroups); err != nil {
		return err
	}
	if err := o.Forbid(o.group, o.list); err != nil {
		return err
	}
	return o.Forbid(o.topic, o.list, o.describe)
}

func (o *groupOptions) checkReset(stderr io.Writer, noGroups bool, oneOf func(*jopt.Option) error) error {
	switch o.Count(o.dryRun, o.execute) {
	case 2:
		return jopt.Usagef("Option %s only accepts one of %s and %s", o.reset, o.execute, o.dryRun)
	case 0:
		fmt.Fprintln(stderr, "WARN: No action will be performed as the --execute option is missing."+
			"In a future major release, the default behavior of this command will be to prompt the user before executing the reset "+
			"rather than doing a dry run. You should add the --dry-run option explicitly if you are scripting this command "+
			"and want to keep the current default behavior without prompting.")
	}
	if noGroups {
		return oneOf(o.reset)
	}
	for _, scenario := range []*jopt.Option{o.toOffset, o.toDatetime, o.byDuration, o.toEarliest, o.toLatest, o.toCurrent, o.shiftBy, o.fromFile} {
		for _, other := range o.scenarios {
			if other == scenario {
				continue
			}
			if err := o.Forbid(scenario, other); err != nil {
				return err
			}
		}
	}
	return nil
}

// scenarioNames lists the scenarios as the tool's message does.
func (o *groupOptions) scenarioNames() string {
	names := make([]string, len(o.scenarios))
	for i, s := range o.scenarios {
		names[i] = s.String()
	}
	return "HashSet(" + strings.Join(names, ", ") + ")"
}
