package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// listenerPrefix is the form of a setting of one listener.
var listenerPrefix = regexp.MustCompile(`^listener\.name\.[^.]*\.(.*)$`)

// baseName is a name without the prefix of a listener, and of a mechanism.
func baseName(name string) string {
	parts := listenerPrefix.FindStringSubmatch(name)
	if parts == nil {
		return name
	}
	for _, mechanism := range []string{"sasl.login.callback.handler.class", "sasl.server.callback.handler.class",
		"connections.max.reauth.ms", "sasl.login.class", "sasl.jaas.config"} {
		if strings.HasSuffix(parts[1], mechanism) {
			return mechanism
		}
	}
	return parts[1]
}

// synonyms are the names that give a setting its value, strongest first.
func synonyms(name string, matchListener bool) []string {
	for _, group := range [][]string{
		{"log.roll.ms", "log.roll.hours"},
		{"log.roll.jitter.ms", "log.roll.jitter.hours"},
		{"log.retention.ms", "log.retention.minutes", "log.retention.hours"},
	} {
		if slices.Contains(group, name) {
			return group
		}
	}
	if name == "log.flush.interval.ms" {
		return []string{name, "log.flush.scheduler.interval.ms"}
	}
	if base := baseName(name); matchListener && base != name {
		return []string{name, base}
	}
	return []string{name}
}

// onlyDynamic are settings of /config/brokers that have no place in a file.
var onlyDynamic = []Key{
	{Name: "leader.replication.throttled.rate", Type: Long, Default: "9223372036854775807", Check: atLeast(0), Importance: Medium, Mode: ClusterWide,
		Doc: "Bytes a second that leaders send to throttled replicas."},
	{Name: "follower.replication.throttled.rate", Type: Long, Default: "9223372036854775807", Check: atLeast(0), Importance: Medium, Mode: ClusterWide,
		Doc: "Bytes a second that throttled followers fetch."},
	{Name: "replica.alter.log.dirs.io.max.bytes.per.second", Type: Long, Default: "9223372036854775807", Check: atLeast(0), Importance: Medium, Mode: ClusterWide,
		Doc: "Bytes a second that replicas moving between log directories are copied with."},
}

// DynamicLong returns a setting that only /config/brokers can hold: what is
// set for this broker, else for all, else the default.
func (b *Broker) DynamicLong(name string) int64 {
	at := slices.IndexFunc(onlyDynamic, func(k Key) bool { return k.Name == name })
	if at < 0 {
		panic("there is no dynamic setting called " + name)
	}
	k := &onlyDynamic[at]
	for _, layer := range []map[string]string{b.perBroker, b.clusterDefault} {
		if text, given := layer[name]; given {
			if v, err := k.parse(text); err == nil {
				return v.number
			}
		}
	}
	return k.defaultValue().number
}

// securityWithPrefix are settings that change while running only with the
// prefix of a listener.
var securityWithPrefix = []string{"ssl.keystore.type", "ssl.keystore.location", "ssl.keystore.password", "ssl.key.password",
	"ssl.keystore.key", "ssl.keystore.certificate.chain", "ssl.truststore.type", "ssl.truststore.location",
	"ssl.truststore.password", "ssl.truststore.certificates"}

// ValidateDynamic checks what is to be written to /config/brokers/ID, or for
// all brokers, as this broker would be with it, and returns that broker.
// Unknown names pass, as in Kafka: plug-ins have settings of their own.
func (b *Broker) ValidateDynamic(props map[string]string, perBroker bool) (*Broker, error) {
	if err := checkDynamicNames(props, perBroker); err != nil {
		return nil, err
	}
	clusterDefault, own := props, b.perBroker
	if perBroker {
		clusterDefault, own = b.clusterDefault, props
	}
	next, err := b.WithDynamic(clusterDefault, own)
	if err != nil {
		return nil, err
	}
	return next, b.checkChange(next)
}

func checkDynamicNames(props map[string]string, perBroker bool) error {
	if bad := readOnlyNames(props); len(bad) > 0 {
		return configError("Cannot update these configs dynamically: %s", scalaSet(bad))
	}
	if bad := unprefixedSecurity(props); len(bad) > 0 {
		return configError("These security configs can be dynamically updated only per-listener using the listener prefix: HashSet(%s)", strings.Join(bad, ", "))
	}
	if err := checkDynamicTypes(props); err != nil {
		return err
	}
	if bad := perBrokerNames(props); !perBroker && len(bad) > 0 {
		return configError("Cannot update these configs at default cluster level, broker id must be specified: %s", scalaSet(bad))
	}
	return nil
}

// scalaSet writes names as Scala prints a set: up to four elements make one
// kind, more another.
func scalaSet(names []string) string {
	kind := "Set("
	if len(names) > 4 {
		kind = "HashSet("
	}
	return kind + strings.Join(names, ", ") + ")"
}

func namesWhere(props map[string]string, keep func(name string) bool) []string {
	var names []string
	for name := range props {
		if keep(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func readOnlyNames(props map[string]string) []string {
	return namesWhere(props, func(name string) bool {
		k := brokerKeyByName[name]
		return k != nil && k.Mode == ReadOnly
	})
}

func unprefixedSecurity(props map[string]string) []string {
	return namesWhere(props, func(name string) bool { return slices.Contains(securityWithPrefix, name) })
}

func perBrokerNames(props map[string]string) []string {
	return namesWhere(props, func(name string) bool {
		if parts := listenerPrefix.FindStringSubmatch(name); parts != nil {
			return parts[1] != "max.connections" && parts[1] != "max.connection.creation.rate"
		}
		k := brokerKeyByName[name]
		return k != nil && k.Mode == PerBroker
	})
}

// dynamicKey finds the key that checks a name in /config/brokers.
func dynamicKey(name string) *Key {
	base := name
	if parts := listenerPrefix.FindStringSubmatch(name); parts != nil {
		base = parts[1]
	}
	for i := range onlyDynamic {
		if onlyDynamic[i].Name == base {
			return &onlyDynamic[i]
		}
	}
	if k := brokerKeyByName[base]; k != nil && k.Mode != ReadOnly {
		return k
	}
	return nil
}

// checkDynamicTypes parses each value, in the order of the table.
func checkDynamicTypes(props map[string]string) error {
	names := namesWhere(props, func(name string) bool { return dynamicKey(name) != nil })
	slices.SortStableFunc(names, func(x, y string) int { return dynamicPlace(x) - dynamicPlace(y) })
	for _, name := range names {
		if _, err := dynamicKey(name).parse(props[name]); err != nil {
			return err
		}
	}
	return nil
}

// dynamicPlace is the place of a name in the order of definition.
func dynamicPlace(name string) int {
	k := dynamicKey(name)
	for i := range BrokerKeys {
		if &BrokerKeys[i] == k {
			return i
		}
	}
	return -1
}

// checkChange refuses changes that no running broker makes in one step.
func (b *Broker) checkChange(next *Broker) error {
	for _, name := range []string{"num.network.threads", "num.io.threads", "num.replica.fetchers", "num.recovery.threads.per.data.dir", "background.threads"} {
		if err := checkThreads(name, b.Int(name), next.Int(name)); err != nil {
			return err
		}
	}
	was, will := b.Int("log.cleaner.threads"), next.Int("log.cleaner.threads")
	switch {
	case was == will:
	case will < 1:
		return badChange("Log cleaner threads should be at least 1")
	case will < was/2:
		return badChange("Log cleaner threads cannot be reduced to less than half the current value %d", was)
	case will > was*2:
		return badChange("Log cleaner threads cannot be increased to more than double the current value %d", was)
	}
	return nil
}

// badChange is the refusal of a change that the file could have made. Kafka
// puts the exception where the value belongs.
func badChange(format string, args ...any) error {
	return configError("Invalid value %s: %s for configuration Invalid dynamic configuration", configException, fmt.Sprintf(format, args...))
}

func checkThreads(name string, was, will int) error {
	prefix := fmt.Sprintf("Dynamic thread count update validation failed for %s=%d", name, will)
	switch {
	case was == will:
		return nil
	case will <= 0:
		return badChange("%s, value should be at least 1", prefix)
	case will < was/2:
		return badChange("%s, value should be at least half the current value %d", prefix, was)
	case will > was*2:
		return badChange("%s, value should not be greater than double the current value %d", prefix, was)
	}
	return nil
}

// CleanDynamic drops what a broker ignores in /config/brokers, and says why
// in the lines that Kafka logs as errors.
func CleanDynamic(props map[string]string, perBroker bool) (clean map[string]string, complaints []string) {
	clean = make(map[string]string, len(props))
	bad := map[string]string{}
	for name, text := range props {
		if k := dynamicKey(name); k != nil {
			if _, err := k.parse(text); err != nil {
				bad[name] = text
				continue
			}
		}
		clean[name] = text
	}
	for _, name := range DynamicPasswords(clean) {
		delete(clean, name)
		complaints = append(complaints, "Dynamic password config "+name+" could not be decoded, ignoring.")
	}
	if len(bad) > 0 {
		where := "default cluster"
		if perBroker {
			where = "broker"
		}
		complaints = append(complaints, fmt.Sprintf("Dynamic %s config contains invalid values: %s, these configs will be ignored", where, scalaMap(bad)))
	}
	drop := func(names []string, why string) {
		if len(names) == 0 {
			return
		}
		for _, name := range names {
			delete(clean, name)
		}
		complaints = append(complaints, why+": "+scalaSet(names))
	}
	drop(readOnlyNames(clean), "Non-dynamic configs configured in ZooKeeper will be ignored")
	drop(unprefixedSecurity(clean), "Security configs can be dynamically updated only using listener prefix, base configs will be ignored")
	if !perBroker {
		drop(perBrokerNames(clean), "Per-broker configs defined at default cluster level will be ignored")
	}
	return clean, complaints
}

// scalaMap writes pairs as Scala prints a map.
func scalaMap(props map[string]string) string {
	names := namesWhere(props, func(string) bool { return true })
	for i, name := range names {
		names[i] = name + " -> " + props[name]
	}
	return "Map(" + strings.Join(names, ", ") + ")"
}

// DynamicPasswords are the names among props that are passwords, which are
// stored encrypted.
func DynamicPasswords(props map[string]string) []string {
	return namesWhere(props, func(name string) bool {
		k := keyOf(name)
		return k != nil && k.Sensitive()
	})
}
