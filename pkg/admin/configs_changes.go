package admin

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"gregor/pkg/config"
	"gregor/pkg/lifecycle"
	"gregor/pkg/logging"
	"gregor/pkg/zkstore"
)

// ConfigApplier puts the configuration of one entity in force. An entity
// whose configuration was removed has an empty map. Names of users, clients
// and ips are sanitized; a client of a user is "U/clients/C".
type ConfigApplier func(name string, settings map[string]string)

// ConfigSource is where configurations and the news of them come from;
// *zkstore.Store is it.
type ConfigSource interface {
	ConfigReader
	EntityNames(ctx context.Context, entityType string) ([]string, error)
	// EntityConfigs reads many at once; it returns those that can be read
	// together with a zkstore.ErrBadData for the others.
	EntityConfigs(ctx context.Context, entityType string, names []string) (map[string]map[string]string, error)
	ConfigChanges(ctx context.Context, after int64) ([]zkstore.ConfigChange, error)
	PurgeConfigChanges(ctx context.Context, now time.Time, maxAge time.Duration) error
	WatchChildren(path string, fn func()) (cancel func())
}

// ConfigChanges watches /config/changes and hands each entity that changed to
// the applier of its type: the rule of DynamicConfigManager. Notifications
// are taken in the order of their numbers, each once; old ones are purged by
// whoever comes across them. It owns one goroutine, on which appliers run.
type ConfigChanges struct {
	source   ConfigSource
	appliers map[string]ConfigApplier // by entity type
	wake     chan struct{}
	last     int64 // number of the last notification taken; the goroutine's
	group    *lifecycle.Group
	cancel   func()

	log, listenerLog, threadLog *logrus.Entry
}

// configChangesThread is the name of Kafka's thread in its lines.
const configChangesThread = "[/config/changes-event-process-thread]: "

// NewConfigChanges returns a listener with an applier for each entity type
// that it shall look after.
func NewConfigChanges(source ConfigSource, appliers map[string]ConfigApplier, loggers *logging.Loggers) *ConfigChanges {
	return &ConfigChanges{source: source, appliers: appliers, wake: make(chan struct{}, 1), last: -1,
		log:         loggers.Logger("kafka.server.DynamicConfigManager"),
		listenerLog: loggers.Logger("kafka.common.ZkNodeChangeNotificationListener"),
		threadLog:   loggers.Logger("kafka.common.ZkNodeChangeNotificationListener$ChangeEventProcessThread")}
}

// Start applies everything that is configured now and goes on to follow
// changes until Shutdown.
func (c *ConfigChanges) Start(ctx context.Context) error {
	c.group = lifecycle.NewGroup(context.WithoutCancel(ctx))
	c.threadLog.Info(configChangesThread + "Starting")
	c.cancel = c.source.WatchChildren(zkstore.ConfigChangesPath, func() {
		select {
		case c.wake <- struct{}{}:
		default:
		}
	})
	if err := c.applyAll(ctx); err != nil {
		c.Shutdown()
		return err
	}
	c.group.Go("config-changes", c.follow)
	return nil
}

// Shutdown stops following. It waits for an applier that runs.
func (c *ConfigChanges) Shutdown() {
	c.threadLog.Info(configChangesThread + "Shutting down")
	c.cancel()
	c.group.Close()
	c.threadLog.Info(configChangesThread + "Stopped")
	c.threadLog.Info(configChangesThread + "Shutdown completed")
}

// applyAll hands every configured entity to its applier. What changes
// meanwhile is notified and applied again.
func (c *ConfigChanges) applyAll(ctx context.Context) error {
	for entityType, apply := range c.appliers {
		names, err := c.entities(ctx, entityType)
		if err != nil {
			return err
		}
		configs, err := c.source.EntityConfigs(ctx, entityType, names)
		if errors.Is(err, zkstore.ErrBadData) {
			c.log.Error(err)
		} else if err != nil {
			return err
		}
		for _, name := range names {
			if settings, ok := configs[name]; ok {
				apply(name, settings)
			}
		}
	}
	return nil
}

// entities lists the entities of a type; users have clients below them.
func (c *ConfigChanges) entities(ctx context.Context, entityType string) ([]string, error) {
	names, err := c.source.EntityNames(ctx, entityType)
	if err != nil || entityType != zkstore.EntityUsers {
		return names, err
	}
	all := names
	for _, user := range names {
		clients, err := c.source.EntityNames(ctx, entityType+"/"+user+"/clients")
		if err != nil {
			return nil, err
		}
		for _, client := range clients {
			all = append(all, user+"/clients/"+client)
		}
	}
	return all, nil
}

// follow is the goroutine: after each sign of a change it takes what is new.
func (c *ConfigChanges) follow(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-c.wake:
		}
		if err := c.take(ctx); err != nil && ctx.Err() == nil {
			// A new session runs the watch's function again.
			c.listenerLog.WithError(err).Error("Error while processing notification change for path = " + zkstore.ConfigChangesPath)
		}
	}
}

// take processes the notifications that are new and purges old ones.
func (c *ConfigChanges) take(ctx context.Context) error {
	changes, err := c.source.ConfigChanges(ctx, c.last)
	if err != nil || len(changes) == 0 {
		return err
	}
	c.listenerLog.Info("Processing notification(s) to " + zkstore.ConfigChangesPath)
	for _, change := range changes {
		if err := c.process(ctx, change); err != nil {
			return err
		}
		c.last = change.Number
	}
	return c.source.PurgeConfigChanges(ctx, time.Now(), zkstore.NotificationMaxAge)
}

func (c *ConfigChanges) process(ctx context.Context, change zkstore.ConfigChange) error {
	apply := c.appliers[change.EntityType]
	if change.Err != nil || apply == nil {
		c.listenerLog.Errorf("Error while processing data change (data = %s)", change.Data)
		return nil
	}
	settings, err := c.source.EntityConfig(ctx, change.EntityType, change.EntityName)
	if errors.Is(err, zkstore.ErrBadData) {
		c.listenerLog.WithError(err).Errorf("Error while processing data change (data = %s)", change.Data)
		return nil
	}
	if err != nil {
		return err
	}
	c.log.Infof("Processing override for entityPath: %s/%s with config: %s", change.EntityType, change.EntityName, showOverride(change.EntityType, settings))
	apply(change.EntityName, settings)
	return nil
}

// showOverride writes settings as Scala prints a map. Kafka hides passwords
// and credentials only.
func showOverride(entityType string, settings map[string]string) string {
	names := make([]string, 0, len(settings))
	for name := range settings {
		names = append(names, name)
	}
	names = config.HashOrder(names)
	for i, name := range names {
		value := settings[name]
		isScram := entityType == zkstore.EntityUsers && strings.HasPrefix(name, "SCRAM-")
		if isScram || len(config.DynamicPasswords(map[string]string{name: value})) > 0 {
			value = "[hidden]"
		}
		names[i] = name + " -> " + value
	}
	return "HashMap(" + strings.Join(names, ", ") + ")"
}
