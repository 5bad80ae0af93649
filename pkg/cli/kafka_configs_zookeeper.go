package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"gregor/pkg/admin"
	"gregor/pkg/config"
	"gregor/pkg/logging"
	"gregor/pkg/model"
	"gregor/pkg/zkstore"
)

// zooKeeperConfigs works in ZooKeeper, past the brokers.
type zooKeeperConfigs struct {
	store *zkstore.Store
	admin *admin.ZK
	out   io.Writer
}

func openZooKeeperConfigs(ctx context.Context, env *Env, loggers *logging.Loggers, o *configOptions) (configService, error) {
	connect, tls := o.String(o.zookeeper), o.String(o.tlsConfig)
	if err := o.Err(); err != nil {
		return nil, err
	}
	if tls != "" {
		if _, err := readClientProperties(tls); err != nil {
			return nil, err
		}
		return nil, exceptionf(configException, "--zk-tls-config-file: the tools connect to ZooKeeper without TLS only")
	}
	store, err := openZooKeeper(ctx, loggers, connect, "")
	if err != nil {
		return nil, err
	}
	return &zooKeeperConfigs{store: store, admin: admin.NewZK(store, loggers), out: env.Stdout}, nil
}

func (s *zooKeeperConfigs) close() { s.store.Close() }

// configEntity is an entity below /config: a type with a name, or a user
// with, inside it, clients. A nil name stands for all of the type.
type configEntity struct {
	kind  string
	name  *string // as in the znode's path
	child *configEntity
}

// parseEntity makes the entity of the options.
func parseEntity(o *configOptions) (*configEntity, error) {
	types, names := slices.Clone(o.types), slices.Clone(o.names)
	quoted := types[0] == entityUsers || types[0] == entityClients
	if !quoted {
		return &configEntity{kind: types[0], name: pathName(names, 0, false)}, nil
	}
	if o.Has(o.alter) && len(names) != len(types) {
		return nil, exceptionf(illegalArgument, "--entity-name or --entity-default must be specified with each --entity-type for --alter")
	}
	if len(types) == 2 && types[0] == entityClients {
		slices.Reverse(types)
		if len(names) == 2 {
			slices.Reverse(names)
		}
	}
	entity := &configEntity{kind: types[0], name: pathName(names, 0, true)}
	if len(types) == 2 {
		entity.child = &configEntity{kind: types[1], name: pathName(names, 1, true)}
	}
	return entity, nil
}

// pathName is the i-th name as it stands in a path; nil without one.
func pathName(names []string, i int, sanitize bool) *string {
	if i >= len(names) {
		return nil
	}
	name := names[i]
	switch {
	case name == "":
		name = admin.DefaultEntity
	case sanitize:
		name = zkstore.SanitizeName(name)
	}
	return &name
}

// path is the entity's name below its type: "U/clients/C".
func (e *configEntity) path() string {
	path := *e.name
	if e.child != nil {
		path += "/" + e.child.kind + "/" + *e.child.name
	}
	return path
}

// String is the entity as the tool shows it.
func (e *configEntity) String() string {
	kind := e.kind
	switch kind {
	case entityUsers:
		kind = "user-principal"
	case entityClients:
		kind = "client-id"
	case entityTopics:
		kind = "topic"
	}
	text := kind
	switch {
	case e.name == nil:
	case *e.name == admin.DefaultEntity:
		text = "default " + kind
	default:
		name := *e.name
		if e.kind == entityUsers || e.kind == entityClients {
			if plain, err := zkstore.DesanitizeName(name); err == nil {
				name = plain
			}
		}
		text = kind + " '" + name + "'"
	}
	if e.child != nil {
		text += ", " + e.child.String()
	}
	return text
}

// all lists the entities that e stands for: itself, or all of its type.
func (s *zooKeeperConfigs) all(ctx context.Context, e *configEntity) ([]*configEntity, error) {
	users := []*configEntity{e}
	if e.name == nil {
		var err error
		if users, err = s.named(ctx, e.kind, e.kind, e.child); err != nil {
			return nil, err
		}
	}
	if e.child == nil || e.child.name != nil {
		return users, nil
	}
	var found []*configEntity
	for _, user := range users {
		clients, err := s.named(ctx, e.kind+"/"+*user.name+"/"+e.child.kind, e.child.kind, nil)
		if err != nil {
			return nil, err
		}
		for _, c := range clients {
			found = append(found, &configEntity{kind: e.kind, name: user.name, child: c})
		}
	}
	return found, nil
}

// named lists the entities below a path, each with the given child.
func (s *zooKeeperConfigs) named(ctx context.Context, path, kind string, child *configEntity) ([]*configEntity, error) {
	names, err := s.entityNames(ctx, path, kind)
	if err != nil {
		return nil, err
	}
	entities := make([]*configEntity, len(names))
	for i := range names {
		entities[i] = &configEntity{kind: kind, name: &names[i], child: child}
	}
	return entities, nil
}

// entityNames lists all topics, or the names below /config/PATH.
func (s *zooKeeperConfigs) entityNames(ctx context.Context, path, kind string) ([]string, error) {
	if kind == entityTopics {
		names, err := s.store.Topics(ctx)
		slices.Sort(names)
		return names, err
	}
	return s.store.EntityNames(ctx, path)
}

func (s *zooKeeperConfigs) describe(ctx context.Context, o *configOptions) error {
	entity, err := parseEntity(o)
	if err != nil {
		return err
	}
	entities, err := s.all(ctx, entity)
	if err != nil {
		return err
	}
	allUsers := entity.kind == entityUsers && entity.name == nil && entity.child == nil
	for _, e := range entities {
		configs, err := s.store.EntityConfig(ctx, e.kind, e.path())
		if err != nil {
			return err
		}
		if len(configs) == 0 && allUsers {
			continue // a node that is there for its clients only
		}
		if _, err := fmt.Fprintf(s.out, "Configs for %s are %s\n", e, strings.Join(configPairs(configs), ",")); err != nil {
			return err
		}
	}
	return nil
}

func (s *zooKeeperConfigs) alter(ctx context.Context, o *configOptions, added map[string]string, deleted []string) error {
	e, err := parseEntity(o)
	if err != nil {
		return err
	}
	switch e.kind {
	case entityUsers:
		err = deriveCredentials(added)
	case entityBrokers:
		err = s.checkBrokerConfigs(ctx, *e.name, added)
	}
	if err != nil {
		return err
	}
	configs, err := s.store.EntityConfig(ctx, e.kind, e.path())
	if err != nil {
		return err
	}
	if err := checkDeleted(deleted, configs); err != nil {
		return err
	}
	next := maps.Clone(added)
	for name, value := range configs {
		if _, replaced := next[name]; !replaced {
			next[name] = value
		}
	}
	for _, name := range deleted {
		delete(next, name)
	}
	if err := s.change(ctx, e, next); err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.out, "Completed updating config for entity: %s.\n", e)
	return err
}

func (s *zooKeeperConfigs) change(ctx context.Context, e *configEntity, configs map[string]string) error {
	path := e.path()
	switch e.kind {
	case entityTopics:
		return s.admin.ChangeTopicConfig(ctx, path, configs)
	case entityClients:
		return s.admin.ChangeClientConfig(ctx, path, configs)
	case entityUsers:
		return s.admin.ChangeUserConfig(ctx, path, configs)
	case entityIPs:
		return s.admin.ChangeIPConfig(ctx, path, configs)
	}
	if path == admin.DefaultEntity {
		return s.admin.ChangeDefaultBrokerConfig(ctx, configs)
	}
	id, err := strconv.ParseInt(path, 10, 32)
	if err != nil {
		return exceptionf(numberFormat, "For input string: \"%s\"", path)
	}
	return s.admin.ChangeBrokerConfig(ctx, model.BrokerID(id), configs)
}

// deriveCredentials replaces the passwords of SCRAM settings by credentials.
func deriveCredentials(configs map[string]string) error {
	for _, m := range scramMechanisms {
		text, given := configs[m.name]
		if !given {
			continue
		}
		iterations, password, err := m.parse(text, m.enum)
		if err != nil {
			return err
		}
		c, err := m.credential(password, iterations)
		if err != nil {
			return err
		}
		configs[m.name] = c.String()
	}
	return nil
}

// checkBrokerConfigs lets settings of brokers be written only while those
// brokers are down, which is for passwords that must be there when a broker
// starts; the replication quotas may change at any time.
func (s *zooKeeperConfigs) checkBrokerConfigs(ctx context.Context, name string, added map[string]string) error {
	names := slices.DeleteFunc(sortedKeys(added), func(key string) bool { return slices.Contains(replicationQuotas, key) })
	if len(names) == 0 {
		return nil
	}
	running, where, err := s.running(ctx, name)
	if err != nil {
		return err
	}
	if running {
		return requirement("--bootstrap-server option must be specified to update broker configs Set(%s). %s. Broker configuration updates using ZooKeeper "+
			"are supported for bootstrapping before brokers are started to enable encrypted password configs to be stored in ZooKeeper.",
			strings.Join(names, ", "), where)
	}
	return checkDynamicBrokerConfigs(names, added, name != admin.DefaultEntity)
}

// running reports whether a broker, or with the default entity any broker, is
// registered, and how the refusal names it.
func (s *zooKeeperConfigs) running(ctx context.Context, name string) (running bool, where string, err error) {
	if name == admin.DefaultEntity {
		ids, err := s.store.BrokerIDs(ctx)
		return len(ids) > 0, "for default cluster if any broker is running", err
	}
	id, err := strconv.ParseInt(name, 10, 32)
	if err != nil {
		return false, "", exceptionf(numberFormat, "For input string: \"%s\"", name)
	}
	_, found, err := s.store.Broker(ctx, model.BrokerID(id))
	return found, "when broker " + name + " is running", err
}

// checkDynamicBrokerConfigs refuses what no broker takes while it runs, and
// values of the wrong type. Names that are not known pass, as in Kafka.
func checkDynamicBrokerConfigs(names []string, configs map[string]string, perBroker bool) error {
	var readOnly, unprefixed, perBrokerOnly, passwords []string
	overrides := map[string]string{}
	for _, name := range names {
		key := config.BrokerKey(listenerKey(name))
		switch {
		case key == nil:
			continue
		case key.Mode == config.ReadOnly && !strings.HasPrefix(name, "password.encoder."):
			readOnly = append(readOnly, name)
		case key.Mode == config.PerBroker:
			perBrokerOnly = append(perBrokerOnly, name)
		}
		if onlyWithPrefix(name) {
			unprefixed = append(unprefixed, name)
		}
		if key.Sensitive() && !strings.HasPrefix(name, "password.encoder.") {
			passwords = append(passwords, name)
		}
		overrides[name] = configs[name]
	}
	if len(readOnly) > 0 {
		return exceptionf(configException, "Cannot update these configs dynamically: Set(%s)", strings.Join(readOnly, ", "))
	}
	if len(unprefixed) > 0 {
		return exceptionf(configException, "These security configs can be dynamically updated only per-listener using the listener prefix: HashSet(%s)",
			strings.Join(unprefixed, ", "))
	}
	if _, _, err := config.ParseBroker(config.NewProperties(map[string]string{"zookeeper.connect": "localhost:2181"}), overrides); err != nil {
		return err
	}
	if !perBroker && len(perBrokerOnly) > 0 {
		return exceptionf(configException, "Cannot update these configs at default cluster level, broker id must be specified: Set(%s)",
			strings.Join(perBrokerOnly, ", "))
	}
	if len(passwords) == 0 {
		return nil
	}
	if _, given := configs["password.encoder.secret"]; given {
		return exceptionf(configException, "Passwords of brokers cannot be encrypted by this tool; set them with --bootstrap-server: Set(%s)",
			strings.Join(passwords, ", "))
	}
	return requirement("password.encoder.secret must be specified to update Set(%s). Other password encoder configs like cipher algorithm and iterations "+
		"may also be specified to override the default encoding parameters. Password encoder configs will not be persisted in ZooKeeper.",
		strings.Join(passwords, ", "))
}

// onlyWithPrefix reports whether a setting may change only for one listener.
func onlyWithPrefix(name string) bool {
	return name == "ssl.key.password" || strings.HasPrefix(name, "ssl.keystore.") || strings.HasPrefix(name, "ssl.truststore.")
}

// listenerKey takes listener.name.X. off a setting of a listener.
func listenerKey(name string) string {
	if rest, found := strings.CutPrefix(name, "listener.name."); found {
		if _, key, found := strings.Cut(rest, "."); found {
			return key
		}
	}
	return name
}
