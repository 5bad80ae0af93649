package config

import (
	"slices"
	"strings"

	"gregor/pkg/model"
)

// checkAcross holds the settings against one another, in Kafka's order.
func (b *Broker) checkAcross() error {
	for _, check := range []func() error{b.checkIdentity, b.checkLog, b.checkReplication, b.deriveListeners, b.checkAdvertised, b.checkVersions, b.checkSockets, b.checkServed} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// must is nil when ok holds, otherwise a failed requirement.
func must(ok bool, format string, args ...any) error {
	if ok {
		return nil
	}
	return requirement(format, args...)
}

// first is the first error that is not nil.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (b *Broker) checkIdentity() error {
	if roles := b.List("process.roles"); len(roles) > 0 {
		e := configError("process.roles=%s asks for a broker without ZooKeeper, which Gregor is not", strings.Join(roles, ","))
		e.Key, e.Value, e.Form = "process.roles", strings.Join(roles, ","), "nothing: leave the setting out and give zookeeper.connect"
		return e
	}
	if !b.IsSet("zookeeper.connect") {
		e := configError("Missing required configuration `zookeeper.connect` which has no default value.")
		e.Hint = b.file.where("zookeeper.connect") + ": add a line such as zookeeper.connect=localhost:2181"
		return e
	}
	id := b.Int("broker.id")
	if !b.Bool("broker.id.generation.enable") {
		return must(id >= 0, "broker.id must be greater than or equal to 0")
	}
	return must(id >= -1 && id <= b.Int("reserved.broker.max.id"),
		"broker.id must be greater than or equal to -1 and not greater than reserved.broker.max.id")
}

func (b *Broker) checkLog() error {
	retention := b.LogRetentionMs()
	return first(
		must(b.LogRollMs() >= 1, "log.roll.ms must be greater than or equal to 1"),
		must(b.LogRollJitterMs() >= 0, "log.roll.jitter.ms must be greater than or equal to 0"),
		must(retention >= 1 || retention == -1, "log.retention.ms must be unlimited (-1) or, greater than or equal to 1"),
		must(len(b.LogDirs()) > 0, "At least one log directory must be defined via log.dirs or log.dir."),
		b.checkCleanerBuffer(),
	)
}

func (b *Broker) checkCleanerBuffer() error {
	threads := b.Long("log.cleaner.threads")
	if threads == 0 {
		return &Error{Class: "java.lang.ArithmeticException", Text: "/ by zero", Key: "log.cleaner.threads", Value: "0", Form: "a whole number of at least 1"}
	}
	return must(b.Long("log.cleaner.dedupe.buffer.size")/threads > 1<<20, "log.cleaner.dedupe.buffer.size must be at least 1MB per cleaner thread.")
}

func (b *Broker) checkReplication() error {
	wait := b.Long("replica.fetch.wait.max.ms")
	acks := b.Int("offsets.commit.required.acks")
	return first(
		must(wait <= b.Long("replica.socket.timeout.ms"), "replica.socket.timeout.ms should always be at least replica.fetch.wait.max.ms to prevent unnecessary socket timeouts"),
		must(wait <= b.Long("replica.lag.time.max.ms"), "replica.fetch.wait.max.ms should always be less than or equal to replica.lag.time.max.ms to prevent frequent changes in ISR"),
		must(acks >= -1 && acks <= b.Int("offsets.topic.replication.factor"),
			"offsets.commit.required.acks must be greater or equal -1 and less or equal to offsets.topic.replication.factor"),
		must(slices.Contains(compressionTypes, b.String("compression.type")), "compression.type : %s is not valid. Valid options are %s",
			b.String("compression.type"), strings.Join(compressionTypes, ",")),
	)
}

// compressionTypes are the values of compression.type.
var compressionTypes = []string{"uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"}

func (b *Broker) checkAdvertised() error {
	advertised, bound := listenerNames(b.advertised), listenerNames(b.listeners)
	subset := !slices.ContainsFunc(advertised, func(name string) bool { return !slices.Contains(bound, name) })
	anywhere := slices.ContainsFunc(b.advertised, func(e model.Endpoint) bool { return e.Host == "0.0.0.0" })
	err := first(
		must(slices.Contains(advertised, b.interBroker), "inter.broker.listener.name must be a listener name defined in advertised.listeners. The valid options based on currently configured listeners are %s", strings.Join(advertised, ",")),
		must(subset, "advertised.listeners listener names must be equal to or a subset of the ones defined in listeners. Found %s. The valid options based on the current configuration are %s",
			strings.Join(advertised, ","), strings.Join(bound, ",")),
		must(!anywhere, "advertised.listeners cannot use the nonroutable meta-address 0.0.0.0. Use a routable IP address."),
	)
	control := b.StringOrNil("control.plane.listener.name")
	if err != nil || control == nil {
		return err
	}
	name := strings.ToUpper(*control)
	if _, known := b.protocols[name]; !known {
		e := configError("Listener with %s defined in control.plane.listener.name not found in listener.security.protocol.map.", name)
		e.Key, e.Value, e.Form = "control.plane.listener.name", *control, "a name of listener.security.protocol.map"
		return e
	}
	return first(
		must(slices.Contains(advertised, name), "control.plane.listener.name must be a listener name defined in advertised.listeners. The valid options based on currently configured listeners are %s", strings.Join(advertised, ",")),
		must(name != b.interBroker, "control.plane.listener.name, when defined, should have a different value from the inter broker listener name. Currently they both have the value ListenerName(%s)", name),
	)
}

func listenerNames(endpoints []model.Endpoint) []string {
	var names []string
	for _, e := range endpoints {
		names = append(names, e.Listener)
	}
	return names
}

func (b *Broker) checkVersions() error {
	magic := b.formatVersion.RecordMagic()
	return first(
		must(b.protocolVersion.RecordMagic() >= magic, "log.message.format.version %s can only be used when inter.broker.protocol.version is set to version %s or higher",
			b.String("log.message.format.version"), oldestWithMagic(magic).Release()),
		b.checkSASL(),
	)
}

func (b *Broker) checkSASL() error {
	if b.interBrokerSec != model.SASLPlaintext && b.interBrokerSec != model.SASLSSL {
		return nil
	}
	mechanism := b.String("sasl.mechanism.inter.broker.protocol")
	return first(
		must(b.protocolVersion >= IBP_0_10_0_IV1 || mechanism == "GSSAPI", "Only GSSAPI mechanism is supported for inter-broker communication with SASL when inter.broker.protocol.version is set to %s", b.String("inter.broker.protocol.version")),
		must(slices.Contains(b.List("sasl.enabled.mechanisms"), mechanism), "sasl.mechanism.inter.broker.protocol must be included in sasl.enabled.mechanisms when SASL is used for inter-broker communication"),
	)
}

func (b *Broker) checkSockets() error {
	queued, idle, delay := b.Long("queued.max.request.bytes"), b.Long("connections.max.idle.ms"), b.Long("connection.failed.authentication.delay.ms")
	err := first(
		must(queued <= 0 || queued >= b.Long("socket.request.max.bytes"), "queued.max.request.bytes must be larger or equal to socket.request.max.bytes"),
		must(b.Int("max.connections.per.ip") != 0 || len(b.perIPOverrides) > 0, "max.connections.per.ip can be set to zero only if max.connections.per.ip.overrides property is set."),
	)
	if err != nil {
		return err
	}
	var bad []string
	for host := range b.perIPOverrides {
		if !isHostPattern(host) {
			bad = append(bad, host)
		}
	}
	if len(bad) > 0 {
		slices.Sort(bad)
		return illegal("max.connections.per.ip.overrides contains invalid addresses : %s", strings.Join(bad, ","))
	}
	return must(idle < 0 || delay < idle, "connection.failed.authentication.delay.ms=%d should always be less than connections.max.idle.ms=%d to prevent failed authentication responses from timing out", delay, idle)
}

// isHostPattern reports whether text can be a host name or an address.
func isHostPattern(text string) bool {
	return text != "" && strings.Trim(text, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-%._:") == ""
}

// checkServed refuses listeners with a security protocol that is not spoken
// yet: they must not be served in the clear.
func (b *Broker) checkServed() error {
	for _, e := range b.listeners {
		if e.SecurityProtocol != model.Plaintext {
			refused := configError("Listener %s has the security protocol %s, which Gregor does not speak yet", e.Listener, e.SecurityProtocol)
			refused.Key, refused.Value, refused.Form = "listeners", e.String(), "listeners that speak PLAINTEXT by listener.security.protocol.map"
			return refused
		}
	}
	return nil
}
