package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/sirupsen/logrus"

	"gregor/pkg/config"
	"gregor/pkg/kerr"
	"gregor/pkg/logging"
	"gregor/pkg/model"
	"gregor/pkg/zkstore"
)

// ResourceType is what a configuration belongs to, by its number on the wire.
type ResourceType int8

const (
	UnknownResource ResourceType = 0
	TopicResource   ResourceType = 2
	BrokerResource  ResourceType = 4
	LoggerResource  ResourceType = 8
)

// Known is the type, or UnknownResource for a number without one.
func (t ResourceType) Known() ResourceType {
	switch t {
	case TopicResource, BrokerResource, LoggerResource:
		return t
	}
	return UnknownResource
}

func (t ResourceType) String() string {
	switch t {
	case TopicResource:
		return "TOPIC"
	case BrokerResource:
		return "BROKER"
	case LoggerResource:
		return "BROKER_LOGGER"
	}
	return "UNKNOWN"
}

// Resource names one configuration. The name of a broker or logger resource
// is a broker id; an empty one means all brokers.
type Resource struct {
	Type ResourceType
	Name string
}

func (r Resource) String() string {
	return fmt.Sprintf("ConfigResource(type=%s, name='%s')", r.Type, r.Name)
}

// ConfigStore is what Configs reads and writes; *ZK does both.
type ConfigStore interface {
	FetchEntityConfig(ctx context.Context, entityType, name string) (map[string]string, error)
	ChangeTopicConfig(ctx context.Context, topic string, settings map[string]string) error
	ChangeBrokerConfig(ctx context.Context, id model.BrokerID, settings map[string]string) error
	ChangeDefaultBrokerConfig(ctx context.Context, settings map[string]string) error
}

// Configs describes and changes the configurations of topics, brokers and
// loggers for clients. Changes are written to ZooKeeper, from where each
// broker, this one too, takes them up (ConfigChanges); levels of loggers are
// this process's alone and change at once. Safe for concurrent use.
type Configs struct {
	broker      *BrokerConfig
	store       ConfigStore
	topicExists func(topic string) bool
	loggers     *logging.Loggers
	log         *logrus.Entry // kafka.server.ZkAdminManager
	describeLog *logrus.Entry // kafka.server.ConfigHelper
}

// NewConfigs returns the configurations as this broker answers for them.
// topicExists asks what the broker knows of the cluster.
func NewConfigs(broker *BrokerConfig, store ConfigStore, topicExists func(topic string) bool, loggers *logging.Loggers) *Configs {
	return &Configs{broker: broker, store: store, topicExists: topicExists, loggers: loggers,
		log: loggers.Logger("kafka.server.ZkAdminManager"), describeLog: loggers.Logger("kafka.server.ConfigHelper")}
}

// Describe lists the settings of a resource; keys, when there are any, choose
// some of them.
func (c *Configs) Describe(ctx context.Context, r Resource, keys []string) ([]config.Entry, error) {
	entries, err := c.describe(ctx, r)
	if err != nil {
		log := c.describeLog.WithError(err)
		shown := "null"
		if keys != nil {
			shown = "[" + strings.Join(keys, ", ") + "]"
		}
		line := fmt.Sprintf("Error processing describe configs request for resource DescribeConfigsResource(resourceType=%d, resourceName='%s', configurationKeys=%s)", r.Type, r.Name, shown)
		switch {
		case errors.Is(err, kerr.UnknownTopicOrPartition): // not worth a line
		case isProtocolError(err):
			log.Info(line)
		default:
			log.Error(line)
		}
		return nil, err
	}
	if len(keys) == 0 {
		return entries, nil
	}
	return choose(entries, keys), nil
}

// choose keeps the entries that are named, in the order that a hash map of
// them alone has.
func choose(entries []config.Entry, keys []string) []config.Entry {
	byName := map[string]config.Entry{}
	var names []string
	for _, e := range entries {
		if slices.Contains(keys, e.Name) {
			byName[e.Name] = e
			names = append(names, e.Name)
		}
	}
	var chosen []config.Entry
	for _, name := range config.HashOrder(names) {
		chosen = append(chosen, byName[name])
	}
	return chosen
}

func isProtocolError(err error) bool {
	var e *kerr.Error
	return errors.As(err, &e)
}

func (c *Configs) describe(ctx context.Context, r Resource) ([]config.Entry, error) {
	switch r.Type {
	case TopicResource:
		return c.describeTopic(ctx, r.Name)
	case BrokerResource:
		if r.Name == "" {
			return c.broker.Current().DescribeClusterDefault(), nil
		}
		if err := c.checkBroker(r.Name, " or empty string, but"); err != nil {
			return nil, err
		}
		return c.broker.Current().Describe(), nil
	case LoggerResource:
		if r.Name == "" {
			return nil, kerr.InvalidRequest.With("Broker id must not be empty")
		}
		if err := c.checkBroker(r.Name, " but"); err != nil {
			return nil, err
		}
		return c.describeLoggers(), nil
	}
	return nil, kerr.InvalidRequest
}

func (c *Configs) describeTopic(ctx context.Context, topic string) ([]config.Entry, error) {
	if err := ValidateTopicName(topic); err != nil {
		return nil, err
	}
	if !c.topicExists(topic) {
		return nil, kerr.UnknownTopicOrPartition
	}
	overrides, err := c.store.FetchEntityConfig(ctx, zkstore.EntityTopics, topic)
	if err != nil {
		return nil, err
	}
	t, err := config.ParseTopic(c.broker.Current(), overrides)
	if err != nil {
		return nil, err
	}
	return t.Describe(), nil
}

// checkBroker refuses a name that is not the id of this broker.
func (c *Configs) checkBroker(name, but string) error {
	id, err := strconv.ParseInt(name, 10, 32)
	if err != nil {
		return kerr.InvalidRequest.With("Broker id must be an integer, but it is: %s", name)
	}
	if model.BrokerID(id) != c.broker.ID() {
		return kerr.InvalidRequest.With("Unexpected broker id, expected %d%s received %s", c.broker.ID(), but, name)
	}
	return nil
}

func (c *Configs) describeLoggers() []config.Entry {
	levels := c.loggers.Levels()
	names := make([]string, 0, len(levels))
	for name := range levels {
		names = append(names, name)
	}
	entries := make([]config.Entry, 0, len(levels))
	for _, name := range config.HashOrder(names) {
		level := levels[name]
		entries = append(entries, config.Entry{Name: name, Value: &level, Source: config.SourceLogger})
	}
	return entries
}
