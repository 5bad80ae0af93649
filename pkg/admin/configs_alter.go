package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"gregor/pkg/config"
	"gregor/pkg/kerr"
	"gregor/pkg/logging"
	"gregor/pkg/zkstore"
)

// ConfigOp is what to do with one setting, by its number on the wire.
type ConfigOp int8

const (
	OpSet ConfigOp = iota
	OpDelete
	OpAppend
	OpSubtract
)

func (op ConfigOp) String() string {
	if op < OpSet || op > OpSubtract {
		return "null"
	}
	return [...]string{"SET", "DELETE", "APPEND", "SUBTRACT"}[op]
}

// ConfigChange is a change of one setting.
type ConfigChange struct {
	Name  string
	Value *string
	Op    ConfigOp // OpSet in a request that replaces everything
}

// Alter replaces all settings of a topic or a broker.
func (c *Configs) Alter(ctx context.Context, r Resource, changes []ConfigChange, validateOnly bool) error {
	shown := make([]string, len(changes))
	settings := make(map[string]string, len(changes))
	var nulls []string
	for i, change := range changes {
		if change.Value == nil {
			nulls = append(nulls, change.Name)
			continue
		}
		settings[change.Name] = *change.Value
		shown[i] = change.Name + " -> " + loggable(r.key(change.Name), *change.Value)
	}
	err := c.replace(ctx, r, settings, nulls, validateOnly)
	return c.refused(r, strings.Join(shown, ","), err)
}

func (c *Configs) replace(ctx context.Context, r Resource, settings map[string]string, nulls []string, validateOnly bool) error {
	if len(nulls) > 0 {
		return kerr.InvalidRequest.With("Null value not supported for : %s", strings.Join(nulls, ","))
	}
	switch r.Type {
	case TopicResource:
		return c.alterTopic(ctx, r, settings, validateOnly)
	case BrokerResource:
		return c.alterBroker(ctx, r, settings, validateOnly)
	}
	return kerr.InvalidRequest.With("AlterConfigs is only supported for topics and brokers, but resource type is %s", r.Type)
}

// IncrementalAlter changes some settings and keeps the others. Two requests
// at once for one resource: the later one wins, as in Kafka.
func (c *Configs) IncrementalAlter(ctx context.Context, r Resource, changes []ConfigChange, validateOnly bool) error {
	return c.refused(r, showChanges(changes), c.increment(ctx, r, changes, validateOnly))
}

func (c *Configs) increment(ctx context.Context, r Resource, changes []ConfigChange, validateOnly bool) error {
	if err := checkChanges(changes); err != nil {
		return err
	}
	switch r.Type {
	case TopicResource:
		if r.Name == "" { // what ZooKeeper's client says to such a path
			return kerr.InvalidRequest.With("Invalid config value for resource %s: Path must not end with / character", r)
		}
		settings, err := c.store.FetchEntityConfig(ctx, zkstore.EntityTopics, r.Name)
		if err != nil {
			return err
		}
		if settings, err = applyChanges(settings, changes, config.TopicKey); err != nil {
			return err
		}
		return c.alterTopic(ctx, r, settings, validateOnly)
	case BrokerResource:
		name := DefaultEntity
		if r.Name != "" {
			if err := c.checkBroker(r.Name, ", but"); err != nil {
				return err
			}
			name = c.broker.ID().String()
		}
		stored, err := c.store.FetchEntityConfig(ctx, zkstore.EntityBrokers, name)
		if err != nil {
			return err
		}
		settings, _ := config.CleanDynamic(stored, r.Name != "")
		if settings, err = applyChanges(settings, changes, config.BrokerKey); err != nil {
			return err
		}
		return c.alterBroker(ctx, r, settings, validateOnly)
	case LoggerResource:
		if r.Name != "" {
			if err := c.checkBroker(r.Name, ", but"); err != nil {
				return err
			}
		}
		return c.alterLoggers(changes, validateOnly)
	}
	return kerr.InvalidRequest.With("AlterConfigs is only supported for topics and brokers, but resource type is %s", r.Type)
}

// checkChanges refuses a setting that is named twice, and missing values.
func checkChanges(changes []ConfigChange) error {
	seen := map[string]bool{}
	var twice, nulls []string
	for _, change := range changes {
		if seen[change.Name] && !slices.Contains(twice, change.Name) {
			twice = append(twice, change.Name)
		}
		seen[change.Name] = true
		if change.Value == nil && change.Op != OpDelete {
			nulls = append(nulls, change.Op.String()+":"+change.Name)
		}
	}
	if len(twice) > 0 {
		return kerr.InvalidRequest.With("Error due to duplicate config keys : %s", strings.Join(twice, ","))
	}
	if len(nulls) > 0 {
		return kerr.InvalidRequest.With("Null value not supported for : %s", strings.Join(nulls, ","))
	}
	return nil
}

// applyChanges makes new settings of those stored.
func applyChanges(stored map[string]string, changes []ConfigChange, keyOf func(string) *config.Key) (map[string]string, error) {
	settings := make(map[string]string, len(stored)+len(changes))
	for name, value := range stored {
		settings[name] = value
	}
	for _, change := range changes {
		switch change.Op {
		case OpSet:
			settings[change.Name] = *change.Value
		case OpDelete:
			delete(settings, change.Name)
		case OpAppend, OpSubtract:
			value, err := changeList(settings, change, keyOf(change.Name))
			if err != nil {
				return nil, err
			}
			settings[change.Name] = value
		default:
			return nil, kerr.UnknownServerError
		}
	}
	return settings, nil
}

// changeList appends to, or takes away from, a list: the one that is set or
// else the default.
func changeList(settings map[string]string, change ConfigChange, k *config.Key) (string, error) {
	if k == nil {
		return "", kerr.InvalidConfig.With("Unknown topic config name: %s", change.Name)
	}
	if k.Type != config.List {
		return "", kerr.InvalidRequest.With("Config value %s is not allowed for config key: %s", strings.ToLower(change.Op.String()), change.Name)
	}
	old, set := settings[change.Name]
	if !set && k.Default != config.Null {
		old = k.Default
	}
	var words []string
	if old != "" {
		words = strings.Split(old, ",")
	}
	for _, word := range strings.Split(*change.Value, ",") {
		at := slices.Index(words, word)
		switch {
		case change.Op == OpAppend:
			words = append(words, word)
		case at >= 0:
			words = slices.Delete(words, at, at+1)
		}
	}
	return strings.Join(words, ","), nil
}

func (c *Configs) alterTopic(ctx context.Context, r Resource, settings map[string]string, validateOnly bool) error {
	if !c.topicExists(r.Name) {
		return kerr.UnknownTopicOrPartition.With("The topic '%s' does not exist.", r.Name)
	}
	if err := config.ValidateTopic(settings); err != nil {
		return err
	}
	if validateOnly {
		return nil
	}
	c.info("Updating topic %s with new configuration : %s", r.Name, r.showSettings(settings))
	return c.store.ChangeTopicConfig(ctx, r.Name, settings)
}

func (c *Configs) alterBroker(ctx context.Context, r Resource, settings map[string]string, validateOnly bool) error {
	perBroker := r.Name != ""
	if perBroker {
		if err := c.checkBroker(r.Name, ", but"); err != nil {
			return err
		}
	}
	if _, err := c.broker.Current().ValidateDynamic(settings, perBroker); err != nil {
		return err
	}
	if validateOnly {
		return nil
	}
	if !perBroker {
		c.info("Updating brokers with new configuration : %s", r.showSettings(settings))
		return c.store.ChangeDefaultBrokerConfig(ctx, settings)
	}
	c.info("Updating broker %d with new configuration : %s", c.broker.ID(), r.showSettings(settings))
	if err := c.checkPasswords(settings); err != nil {
		return err
	}
	return c.store.ChangeBrokerConfig(ctx, c.broker.ID(), settings)
}

// checkPasswords refuses to store passwords: they must be encrypted, which
// needs password.encoder.secret and is not implemented yet.
func (c *Configs) checkPasswords(settings map[string]string) error {
	if len(config.DynamicPasswords(settings)) == 0 {
		return nil
	}
	if !c.broker.Current().IsSet("password.encoder.secret") {
		return &config.Error{Class: "org.apache.kafka.common.config.ConfigException", Text: "Password encoder secret not configured"}
	}
	return &config.Error{Class: "org.apache.kafka.common.config.ConfigException", Text: "Passwords cannot be stored in ZooKeeper: their encryption is not implemented yet"}
}

// alterLoggers checks all changes of levels, then makes them.
func (c *Configs) alterLoggers(changes []ConfigChange, validateOnly bool) error {
	for _, change := range changes {
		if err := c.checkLogger(change); err != nil {
			return err
		}
	}
	if validateOnly {
		return nil
	}
	for _, change := range changes {
		if change.Op == OpDelete {
			c.info("Unset the log level of %s", change.Name)
			c.loggers.UnsetLevel(change.Name)
			continue
		}
		c.info("Updating the log level of %s to %s", change.Name, *change.Value)
		if err := c.loggers.SetLevel(change.Name, *change.Value); err != nil {
			return err
		}
	}
	return nil
}

// loggerLevels are the levels a client may set, in the order in which the
// refusal of another one lists them.
var loggerLevels = []string{"TRACE", "ERROR", "INFO", "FATAL", "DEBUG", "WARN"}

func (c *Configs) checkLogger(change ConfigChange) error {
	switch {
	case change.Op == OpAppend || change.Op == OpSubtract:
		return kerr.InvalidRequest.With("%s operation is not allowed for the BROKER_LOGGER resource", change.Op)
	case change.Op != OpSet && change.Op != OpDelete:
		return kerr.UnknownServerError
	case !c.loggers.Exists(change.Name):
		return illegalConfig("Logger %s does not exist!", change.Name)
	case change.Op == OpDelete && change.Name == logging.Root:
		return kerr.InvalidRequest.With("Removing the log level of the root logger is not allowed")
	case change.Op == OpSet && !slices.Contains(loggerLevels, *change.Value):
		return illegalConfig("Cannot set the log level of %s to %s as it is not a supported log level. Valid log levels are %s",
			change.Name, *change.Value, strings.Join(loggerLevels, ", "))
	}
	return nil
}

func illegalConfig(format string, args ...any) error {
	return &config.Error{Class: "org.apache.kafka.common.config.ConfigException", Text: fmt.Sprintf(format, args...)}
}

func (c *Configs) info(format string, args ...any) {
	c.log.Infof("[Admin Manager on Broker %d]: "+format, append([]any{c.broker.ID()}, args...)...)
}

// refused logs why a change was not made and turns the error into the one
// for the client.
func (c *Configs) refused(r Resource, shown string, err error) error {
	var bad *config.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &bad) && !strings.HasSuffix(bad.Class, ".InvalidConfigurationException"):
		text := fmt.Sprintf("Invalid config value for resource %s: %s", r, bad.Text)
		c.info("%s", text)
		return kerr.InvalidRequest.With("%s", text)
	case bad != nil:
		err = kerr.InvalidConfig.With("%s", bad.Text)
	}
	log, line := c.log.WithError(err), fmt.Sprintf("[Admin Manager on Broker %d]: Error processing alter configs request for resource %s, config %s", c.broker.ID(), r, shown)
	if isProtocolError(err) && !errors.Is(err, kerr.UnknownServerError) {
		log.Info(line)
	} else {
		log.Error(line)
	}
	return err
}

// key finds the table's entry for a setting of the resource.
func (r Resource) key(name string) *config.Key {
	if r.Type == TopicResource {
		return config.TopicKey(name)
	}
	return config.BrokerKey(name)
}

// showSettings writes settings for a log line, secrets hidden.
func (r Resource) showSettings(settings map[string]string) string {
	names := make([]string, 0, len(settings))
	for name := range settings {
		names = append(names, name)
	}
	names = config.HashOrder(names)
	for i, name := range names {
		names[i] = name + " -> " + loggable(r.key(name), settings[name])
	}
	return strings.Join(names, ",")
}

// showChanges writes changes as Kafka's log lines have them.
func showChanges(changes []ConfigChange) string {
	parts := make([]string, len(changes))
	for i, change := range changes {
		value := "null"
		if change.Value != nil {
			value = "[hidden]"
			if k := config.BrokerKey(change.Name); config.TopicKey(change.Name) != nil || k != nil && !k.Sensitive() {
				value = *change.Value
			}
		}
		parts[i] = fmt.Sprintf("AlterConfigOp{opType=%s, configEntry=ConfigEntry(name=%s, value=%s, source=UNKNOWN, isSensitive=false, isReadOnly=false, synonyms=[])}", change.Op, change.Name, value)
	}
	return "ArrayBuffer(" + strings.Join(parts, ", ") + ")"
}
