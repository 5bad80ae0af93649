package zkstore

import (
	"context"
	"errors"
	"maps"
	"strings"
)

type configJSON struct {
	Version int                `json:"version"`
	Config  *map[string]string `json:"config"`
}

func encodeConfig(config map[string]string) []byte {
	if config == nil {
		config = map[string]string{}
	}
	return encodeJSON(configJSON{Version: 1, Config: &config})
}

// decodeConfig reads an entity's configuration. An entity may have a node
// without content, when only something below it is configured.
func decodeConfig(path string, data []byte) (map[string]string, error) {
	if len(data) == 0 {
		return map[string]string{}, nil
	}
	var j configJSON
	if err := decodeJSON(path, data, &j); err != nil {
		return nil, err
	}
	if j.Version != 1 {
		return nil, badData(path, "version %d of a configuration, not 1", j.Version)
	}
	if j.Config == nil {
		return nil, badData(path, "no config in %s", quoteShort(data))
	}
	config := maps.Clone(*j.Config)
	if config == nil {
		config = map[string]string{}
	}
	return config, nil
}

// EntityConfig reads the overrides of an entity, an empty map when it has
// none. Names of users, clients and ips are sanitized (SanitizeName);
// a client of a user is ("users", "U/clients/C").
func (s *Store) EntityConfig(ctx context.Context, entityType, name string) (map[string]string, error) {
	path := EntityPath(entityType, name)
	data, _, err := s.get(ctx, path)
	if errors.Is(err, ErrNoNode) {
		return map[string]string{}, nil
	}
	if err != nil {
		return nil, err
	}
	return decodeConfig(path, data)
}

// EntityConfigs reads the overrides of many entities of one type at once;
// those without a node have an empty map. It returns the good ones together
// with an ErrBadData for others.
func (s *Store) EntityConfigs(ctx context.Context, entityType string, names []string) (map[string]map[string]string, error) {
	paths := make([]string, len(names))
	for i, name := range names {
		paths[i] = EntityPath(entityType, name)
	}
	results, err := s.getAll(ctx, paths)
	if err != nil {
		return nil, err
	}
	configs := make(map[string]map[string]string, len(names))
	var bad []error
	for i, r := range results {
		config, err := map[string]string{}, r.err
		if err == nil {
			config, err = decodeConfig(paths[i], r.data)
		}
		if err != nil && !errors.Is(err, ErrNoNode) {
			bad = append(bad, err)
			continue
		}
		configs[names[i]] = config
	}
	return configs, errors.Join(bad...)
}

// SetEntityConfig replaces the overrides of an entity; its node is created
// when there is none. It tells nobody: see NotifyConfigChange.
func (s *Store) SetEntityConfig(ctx context.Context, entityType, name string, config map[string]string) error {
	path, data := EntityPath(entityType, name), encodeConfig(config)
	_, err := s.set(ctx, path, data, anyVersion, NoFence)
	if !errors.Is(err, ErrNoNode) {
		return err
	}
	err = s.createRecursive(ctx, path, data)
	if errors.Is(err, ErrNodeExists) { // somebody else made it, or an attempt of ours did
		_, err = s.set(ctx, path, data, anyVersion, NoFence)
	}
	return err
}

// DeleteTopicConfig removes /config/topics/T, as the last but one step of a
// topic's deletion.
func (s *Store) DeleteTopicConfig(ctx context.Context, topic string, fence Fence) error {
	return s.deleteRecursive(ctx, EntityPath(EntityTopics, topic), fence)
}

// EntityNames lists the names below /config/TYPE, sanitized and sorted; the
// type may be a path such as "users/U/clients".
func (s *Store) EntityNames(ctx context.Context, entityType string) ([]string, error) {
	return s.sortedChildren(ctx, ConfigPath+"/"+entityType)
}

// ConfigChange is a notification below /config/changes: the entity whose
// configuration was written.
type ConfigChange struct {
	Notification
	EntityType string // "topics", "users", ...
	EntityName string // sanitized; "U/clients/C" for a client of a user
	Err        error  // ErrBadData when the content cannot be understood
}

type configChangeJSON struct {
	Version    int     `json:"version"`
	EntityPath *string `json:"entity_path,omitempty"`
	EntityType *string `json:"entity_type,omitempty"`
	EntityName *string `json:"entity_name,omitempty"`
}

const configChangePrefix = "config_change_"

// NotifyConfigChange tells every broker to read the configuration of an
// entity again.
func (s *Store) NotifyConfigChange(ctx context.Context, entityType, name string) error {
	_, err := s.createSequential(ctx, ConfigChangesPath+"/"+configChangePrefix, encodeConfigChange(entityType, name))
	return err
}

func encodeConfigChange(entityType, name string) []byte {
	entity := entityType + "/" + name
	return encodeJSON(configChangeJSON{Version: 2, EntityPath: &entity})
}

// ConfigChanges reads the notifications with numbers above after, in order;
// -1 reads all.
func (s *Store) ConfigChanges(ctx context.Context, after int64) ([]ConfigChange, error) {
	notes, err := s.notifications(ctx, ConfigChangesPath, configChangePrefix, after)
	if err != nil {
		return nil, err
	}
	var changes []ConfigChange
	for _, n := range notes {
		change := ConfigChange{Notification: n}
		change.EntityType, change.EntityName, change.Err = decodeConfigChange(ConfigChangesPath+"/"+n.Name, n.Data)
		changes = append(changes, change)
	}
	return changes, nil
}

// decodeConfigChange reads version 2, and version 1 with its two keys.
func decodeConfigChange(path string, data []byte) (entityType, name string, err error) {
	var j configChangeJSON
	if err := decodeJSON(path, data, &j); err != nil {
		return "", "", err
	}
	switch {
	case j.Version == 1 && j.EntityType != nil && j.EntityName != nil:
		entityType, name = *j.EntityType, *j.EntityName
		if entityType != EntityTopics && entityType != EntityClients {
			return "", "", badData(path, "%q is not an entity type of version 1", entityType)
		}
	case j.Version == 2 && j.EntityPath != nil:
		entityType, name, _ = strings.Cut(*j.EntityPath, "/")
	default:
		return "", "", badData(path, "neither version 1 nor version 2 of a configuration change: %s", quoteShort(data))
	}
	if entityType == "" || name == "" || strings.HasSuffix(name, "/") {
		return "", "", badData(path, "no entity in %s", quoteShort(data))
	}
	return entityType, name, nil
}
