package admin

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	"gregor/pkg/config"
	"gregor/pkg/kerr"
	"gregor/pkg/model"
	"gregor/pkg/zkstore"
)

// DefaultEntity is the name of the configuration that holds for all entities
// of a type without one of their own.
const DefaultEntity = "<default>"

// ChangeTopicConfig replaces the settings of a topic and tells the brokers.
func (z *ZK) ChangeTopicConfig(ctx context.Context, name string, overrides map[string]string) error {
	if err := ValidateTopicName(name); err != nil {
		return err
	}
	exists, err := z.store.TopicExists(ctx, name)
	switch {
	case err != nil:
		return err
	case !exists:
		return kerr.UnknownTopicOrPartition.With("Topic '%s' does not exist.", name)
	}
	if err := config.ValidateTopic(overrides); err != nil {
		return err
	}
	return z.changeEntity(ctx, zkstore.EntityTopics, name, overrides)
}

// ChangeBrokerConfig replaces the dynamic settings of a broker. The caller
// has checked and encrypted them.
func (z *ZK) ChangeBrokerConfig(ctx context.Context, id model.BrokerID, overrides map[string]string) error {
	return z.changeEntity(ctx, zkstore.EntityBrokers, id.String(), overrides)
}

// ChangeDefaultBrokerConfig replaces the dynamic settings of all brokers.
func (z *ZK) ChangeDefaultBrokerConfig(ctx context.Context, overrides map[string]string) error {
	return z.changeEntity(ctx, zkstore.EntityBrokers, DefaultEntity, overrides)
}

// ChangeClientConfig replaces the quotas of a client id. Its name is
// sanitized already.
func (z *ZK) ChangeClientConfig(ctx context.Context, sanitized string, overrides map[string]string) error {
	if err := checkQuotas(overrides, clientQuotas); err != nil {
		return err
	}
	return z.changeEntity(ctx, zkstore.EntityClients, sanitized, overrides)
}

// ChangeUserConfig replaces the quotas and credentials of a user, or the
// quotas of a client of a user ("U/clients/C"). The name is sanitized already.
func (z *ZK) ChangeUserConfig(ctx context.Context, sanitized string, overrides map[string]string) error {
	allowed := userSettings
	if sanitized == DefaultEntity || strings.Contains(sanitized, "/clients") {
		allowed = clientQuotas
	}
	if err := checkQuotas(overrides, allowed); err != nil {
		return err
	}
	return z.changeEntity(ctx, zkstore.EntityUsers, sanitized, overrides)
}

// ChangeIPConfig replaces the connection quota of an address.
func (z *ZK) ChangeIPConfig(ctx context.Context, ip string, overrides map[string]string) error {
	if ip != DefaultEntity {
		if _, err := net.DefaultResolver.LookupHost(ctx, ip); err != nil {
			return operationError("%s is not a valid IP or resolvable host.", ip)
		}
	}
	if err := checkQuotas(overrides, ipQuotas); err != nil {
		return err
	}
	return z.changeEntity(ctx, zkstore.EntityIPs, ip, overrides)
}

// changeEntity writes the entity's node and then the notification.
func (z *ZK) changeEntity(ctx context.Context, entityType, name string, overrides map[string]string) error {
	if err := z.store.SetEntityConfig(ctx, entityType, name, overrides); err != nil {
		return err
	}
	return z.store.NotifyConfigChange(ctx, entityType, name)
}

// FetchEntityConfig reads the settings of an entity, sanitized by name; an
// entity without any has an empty map.
func (z *ZK) FetchEntityConfig(ctx context.Context, entityType, name string) (map[string]string, error) {
	return z.store.EntityConfig(ctx, entityType, name)
}

// FetchEntityConfigs reads the settings of all entities of a type, by their
// sanitized names.
func (z *ZK) FetchEntityConfigs(ctx context.Context, entityType string) (map[string]map[string]string, error) {
	names, err := z.store.EntityNames(ctx, entityType)
	if err != nil {
		return nil, err
	}
	return z.store.EntityConfigs(ctx, entityType, names)
}

// settingType is how the value of a dynamic setting is read.
type settingType int

const (
	textSetting settingType = iota
	intSetting
	longSetting
	doubleSetting
)

// The settings of entities other than topics and brokers.
var (
	clientQuotas = map[string]settingType{"producer_byte_rate": longSetting, "consumer_byte_rate": longSetting,
		"request_percentage": doubleSetting, "controller_mutation_rate": doubleSetting}
	userSettings = map[string]settingType{"producer_byte_rate": longSetting, "consumer_byte_rate": longSetting,
		"request_percentage": doubleSetting, "controller_mutation_rate": doubleSetting,
		"SCRAM-SHA-256": textSetting, "SCRAM-SHA-512": textSetting}
	ipQuotas = map[string]settingType{"connection_creation_rate": intSetting}
)

func checkQuotas(settings map[string]string, allowed map[string]settingType) error {
	names := slices.Sorted(maps.Keys(settings))
	var unknown []string
	for _, name := range names {
		if _, ok := allowed[name]; !ok {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) > 0 {
		return &OperationError{Class: "java.lang.IllegalArgumentException",
			Text: "requirement failed: Unknown Dynamic Configuration: Set(" + strings.Join(unknown, ", ") + ")."}
	}
	for _, name := range names {
		if why := allowed[name].refuse(strings.TrimSpace(settings[name])); why != "" {
			return &OperationError{Class: "org.apache.kafka.common.config.ConfigException",
				Text: fmt.Sprintf("Invalid value %s for configuration %s: %s", settings[name], name, why)}
		}
	}
	return nil
}

func (t settingType) refuse(text string) string {
	var err error
	switch t {
	case intSetting:
		var n int64
		if n, err = strconv.ParseInt(text, 10, 32); err == nil && n < 0 {
			return "Value must be at least 0"
		}
	case longSetting:
		_, err = strconv.ParseInt(text, 10, 64)
	case doubleSetting:
		_, err = strconv.ParseFloat(text, 64)
	}
	if err != nil {
		return "Not a number of type " + [...]string{"STRING", "INT", "LONG", "DOUBLE"}[t]
	}
	return ""
}
