package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gregor/pkg/cli/jopt"
	"gregor/pkg/logging"
)

var _ = register("kafka-configs", kafkaConfigs)

// The types of entities that have a configuration, as they are typed and as
// they stand below /config; broker loggers have no znode.
const (
	entityTopics        = "topics"
	entityClients       = "clients"
	entityUsers         = "users"
	entityBrokers       = "brokers"
	entityIPs           = "ips"
	entityBrokerLoggers = "broker-loggers"
)

const invalidConfiguration = "org.apache.kafka.common.errors.InvalidConfigurationException"

// kafkaConfigs is kafka-configs.sh of 2.8: it shows and changes what is
// configured for topics, brokers, their loggers, clients, users and addresses.
//
// This file has the options, their checks and what both ways of connecting
// share; each way is a configService in files of its own.
func kafkaConfigs(ctx context.Context, env *Env, args []string) int {
	o := newConfigOptions()
	err := runConfigs(ctx, env, o, args)
	var usage *jopt.UsageError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errAnswered):
		return o.status
	case errors.As(err, &usage):
		return usageFailure(env, o.parser, usage.Text)
	case isPlainConfigFailure(err):
		fmt.Fprintln(env.Stderr, err)
	default:
		fmt.Fprintf(env.Stderr, "Error while executing config command with args '%s'\n%s", strings.Join(args, " "), trace(err))
	}
	return 1
}

// errAnswered ends the tool with options.status: --help and --version.
var errAnswered = errors.New("answered")

// isPlainConfigFailure reports whether an error is shown as its text alone:
// options that do not fit, and configurations refused by the tool.
func isPlainConfigFailure(err error) bool {
	class := javaClass(err)
	return class == illegalArgument || class == numberFormat || class == invalidConfiguration || strings.HasPrefix(class, "joptsimple.")
}

func runConfigs(ctx context.Context, env *Env, o *configOptions, args []string) error {
	set, err := o.parser.Parse(args)
	if err != nil {
		return err
	}
	o.Set = set
	status, done := helpOrVersion(env, o.parser, set, "This tool helps to manipulate and describe entity config for a topic, client, user, broker or ip")
	if done {
		o.status = status
		return errAnswered
	}
	if err := o.check(); err != nil {
		return err
	}
	service, err := openConfigService(ctx, env, toolLoggers(env), o)
	if err != nil {
		return err
	}
	defer service.close()
	if o.Has(o.describe) {
		return service.describe(ctx, o)
	}
	added, err := o.added(env.Stdout)
	if err != nil {
		return err
	}
	return service.alter(ctx, o, added, o.deleted())
}

// configService is one way of connecting.
type configService interface {
	describe(ctx context.Context, o *configOptions) error
	alter(ctx context.Context, o *configOptions, added map[string]string, deleted []string) error
	close()
}

func openConfigService(ctx context.Context, env *Env, loggers *logging.Loggers, o *configOptions) (configService, error) {
	if o.Has(o.zookeeper) {
		fmt.Fprintln(env.Stdout, "Warning: --zookeeper is deprecated and will be removed in a future version of Kafka.")
		fmt.Fprintln(env.Stdout, "Use --bootstrap-server instead to specify a broker to connect to.")
		return openZooKeeperConfigs(ctx, env, loggers, o)
	}
	bootstrap, file := o.String(o.bootstrap), o.String(o.commandConfig)
	if err := o.Err(); err != nil {
		return nil, err
	}
	properties, err := readClientProperties(file)
	if err != nil {
		return nil, err
	}
	client, err := newAdminClient(ctx, loggers, bootstrap, properties)
	if err != nil {
		return nil, err
	}
	return &bootstrapConfigs{client: client, out: env.Stdout}, nil
}

// pairSeparators are the commas and equals signs of --add-config; those
// between square brackets belong to a value.
var brackets = regexp.MustCompile(`[\[\]]`)

// splitOutside splits text at separators that are not within square brackets.
func splitOutside(text string, separator byte) []string {
	var parts []string
	start := 0
	for i := range len(text) {
		if text[i] != separator {
			continue
		}
		if next := brackets.FindString(text[i+1:]); next == "]" {
			continue
		}
		parts = append(parts, text[start:i])
		start = i + 1
	}
	return append(parts, text[start:])
}

// added reads --add-config or --add-config-file.
func (o *configOptions) added(out io.Writer) (map[string]string, error) {
	configs := map[string]string{}
	if o.Has(o.addConfigFile) {
		properties, err := readClientProperties(o.String(o.addConfigFile))
		if err != nil {
			return nil, err
		}
		configs = properties
	}
	if o.Has(o.addConfig) {
		text := o.String(o.addConfig)
		if err := o.Err(); err != nil {
			return nil, err
		}
		for _, pair := range splitOutside(text, ',') {
			parts := splitOutside(pair, '=')
			if len(parts) != 2 {
				return nil, requirement("Invalid entity config: all configs to be added must be in the format \"key=val\".")
			}
			configs[strings.TrimSpace(parts[0])] = strings.TrimSpace(brackets.ReplaceAllString(parts[1], ""))
		}
	}
	if version, ok := configs["message.format.version"]; ok {
		warnMessageFormat(out, version)
	}
	return configs, nil
}

// deleted reads --delete-config, a list with commas that may be repeated.
func (o *configOptions) deleted() []string {
	var names []string
	for _, list := range o.Strings(o.deleteConfig) {
		words := strings.FieldsFunc(list, func(r rune) bool { return r == ',' })
		if len(words) == 0 {
			words = []string{list}
		}
		for _, word := range words {
			names = append(names, strings.TrimSpace(word))
		}
	}
	return names
}

// missing are the names that are not among the keys of configs.
func missing[V any](names []string, configs map[string]V) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { _, there := configs[name]; return there })
}

// checkDeleted refuses to delete what is not set.
func checkDeleted[V any](deleted []string, configs map[string]V) error {
	if invalid := missing(deleted, configs); len(invalid) > 0 {
		return exceptionf(invalidConfiguration, "Invalid config(s): %s", strings.Join(invalid, ","))
	}
	return nil
}

// configOptions are the options of kafka-configs, and what was given of them.
type configOptions struct {
	parser *jopt.Parser
	*jopt.Set
	status int

	zookeeper, bootstrap, commandConfig, tlsConfig *jopt.Option
	alter, describe, all, force                    *jopt.Option
	entityType, entityName, entityDefault          *jopt.Option
	addConfig, addConfigFile, deleteConfig         *jopt.Option
	topic, client, user, broker, brokerLogger, ip  *jopt.Option
	clientDefaults, userDefaults, brokerDefaults   *jopt.Option
	ipDefaults                                     *jopt.Option
	types, names                                   []string // of the entity; the name "" means the default
}

// shortcuts are the options that name an entity by its type.
func (o *configOptions) shortcuts() (named, defaults []*jopt.Option) {
	return []*jopt.Option{o.topic, o.client, o.user, o.broker, o.brokerLogger, o.ip},
		[]*jopt.Option{o.clientDefaults, o.userDefaults, o.brokerDefaults, o.ipDefaults}
}

// readEntity collects the types and names of the entity in the order that
// counts: --entity-type with --entity-name and --entity-default as typed, then
// the shortcuts.
func (o *configOptions) readEntity() error {
	typeOf := map[*jopt.Option]string{o.topic: entityTopics, o.client: entityClients, o.user: entityUsers, o.broker: entityBrokers,
		o.brokerLogger: entityBrokerLoggers, o.ip: entityIPs,
		o.clientDefaults: entityClients, o.userDefaults: entityUsers, o.brokerDefaults: entityBrokers, o.ipDefaults: entityIPs}
	o.types = slices.Clone(o.Strings(o.entityType))
	names := o.Strings(o.entityName)
	for _, given := range o.Given() {
		switch given {
		case o.entityName:
			o.names, names = append(o.names, names[0]), names[1:]
		case o.entityDefault:
			o.names = append(o.names, "")
		}
	}
	named, defaults := o.shortcuts()
	for _, option := range slices.Concat(named, defaults) {
		if o.Has(option) {
			o.types = append(o.types, typeOf[option])
			o.names = append(o.names, o.String(option))
		}
	}
	return o.Err()
}

// check holds the options against each other; the first trouble in Kafka's
// order is the one that is told.
func (o *configOptions) check() error {
	if o.Count(o.alter, o.describe) != 1 {
		return jopt.Usagef("Command must include exactly one action: --describe, --alter")
	}
	if err := o.Forbid(o.describe, o.addConfig, o.deleteConfig); err != nil {
		return err
	}
	if err := o.readEntity(); err != nil {
		return err
	}
	for _, check := range []func() error{o.checkTypes, o.checkConnection, o.checkNames, o.checkAlter} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (o *configOptions) checkTypes() error {
	var duplicates []string
	for i, t := range o.types {
		if slices.Contains(o.types[:i], t) {
			duplicates = append(duplicates, t)
		}
	}
	if len(duplicates) > 0 {
		return exceptionf(illegalArgument, "Duplicate entity type(s) specified: %s", strings.Join(duplicates, ","))
	}
	allowed, through := []string{entityTopics, entityClients, entityUsers, entityBrokers, entityIPs}, "--zookeeper"
	if o.Has(o.bootstrap) {
		allowed, through = append(allowed, entityBrokerLoggers), "--bootstrap-server"
	}
	for _, t := range o.types {
		if !slices.Contains(allowed, t) {
			return exceptionf(illegalArgument, "Invalid entity type %s, the entity type must be one of %s with the %s argument",
				t, strings.Join(allowed, ","), through)
		}
	}
	if len(o.types) == 0 {
		return exceptionf(illegalArgument, "At least one entity type must be specified")
	}
	if len(o.types) > 1 && !(len(o.types) == 2 && slices.Contains(o.types, entityUsers) && slices.Contains(o.types, entityClients)) {
		return exceptionf(illegalArgument, "Only 'users' and 'clients' entity types may be specified together")
	}
	named, defaults := o.shortcuts()
	if o.Count(o.entityType, o.entityName, o.entityDefault) > 0 && o.Count(slices.Concat(named, defaults)...) > 0 {
		return exceptionf(illegalArgument, "--entity-{type,name,default} should not be used in conjunction with specific entity flags")
	}
	return nil
}

func (o *configOptions) checkConnection() error {
	switch {
	case !o.Has(o.bootstrap) && !o.Has(o.zookeeper):
		return exceptionf(illegalArgument, "One of the required --bootstrap-server or --zookeeper arguments must be specified")
	case o.Has(o.bootstrap) && o.Has(o.zookeeper):
		return exceptionf(illegalArgument, "Only one of --bootstrap-server or --zookeeper must be specified")
	case o.Has(o.all) && o.Has(o.zookeeper):
		return exceptionf(illegalArgument, "--bootstrap-server must be specified for --all")
	}
	return nil
}

func (o *configOptions) hasName() bool {
	return slices.ContainsFunc(o.names, func(name string) bool { return name != "" })
}

func (o *configOptions) checkNames() error {
	for _, name := range o.names {
		if name == "" {
			continue
		}
		switch t := o.types[0]; t {
		case entityBrokers, entityBrokerLoggers:
			if _, err := strconv.ParseInt(name, 10, 32); err != nil {
				return exceptionf(illegalArgument, "The entity name for %s must be a valid integer broker id, but it is: %s", t, name)
			}
		case entityIPs:
			if !(&node{host: name}).resolve(context.Background()) {
				return exceptionf(illegalArgument, "The entity name for %s must be a valid IP or resolvable host, but it is: %s", t, name)
			}
		}
	}
	if o.Has(o.describe) && slices.Contains(o.types, entityBrokerLoggers) && !o.hasName() {
		return exceptionf(illegalArgument, "an entity name must be specified with --describe of %s", strings.Join(o.types, ","))
	}
	return nil
}

func (o *configOptions) checkAlter() error {
	if !o.Has(o.alter) {
		return nil
	}
	switch o.types[0] {
	case entityUsers, entityClients, entityBrokers, entityIPs:
		if len(o.names) == 0 {
			return exceptionf(illegalArgument, "an entity-name or default entity must be specified with --alter of users, clients, brokers or ips")
		}
	default:
		if !o.hasName() {
			return exceptionf(illegalArgument, "an entity name must be specified with --alter of %s", strings.Join(o.types, ","))
		}
	}
	switch {
	case o.Has(o.addConfig) && o.Has(o.addConfigFile):
		return exceptionf(illegalArgument, "Only one of --add-config or --add-config-file must be specified")
	case o.Count(o.addConfig, o.addConfigFile, o.deleteConfig) == 0:
		return exceptionf(illegalArgument, "At least one of --add-config, --add-config-file, or --delete-config must be specified with --alter")
	}
	return nil
}
