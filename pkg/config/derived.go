package config

import (
	"slices"
	"strconv"
	"strings"

	"gregor/pkg/model"
)

// derive reads the settings that have a form of their own.
func (b *Broker) derive() error {
	b.protocolVersion, _ = ParseVersion(b.String("inter.broker.protocol.version"))
	b.formatVersion, _ = ParseVersion(b.String("log.message.format.version"))
	overrides, err := parsePerIP(b.String("max.connections.per.ip.overrides"))
	if err != nil {
		return err
	}
	b.perIPOverrides = overrides
	if codec := b.Int("offsets.topic.compression.codec"); codec < 0 || codec > 4 {
		return &Error{Class: "kafka.common.UnknownCodecException", Text: strconv.Itoa(codec) + " is an unknown compression codec",
			Key: "offsets.topic.compression.codec", Value: strconv.Itoa(codec), Form: "a whole number from 0 to 4"}
	}
	return nil
}

// parsePerIP reads host:count pairs.
func parsePerIP(text string) (map[string]int, error) {
	const key = "max.connections.per.ip.overrides"
	pairs, err := csvMap(key, text)
	if err != nil {
		return nil, err
	}
	overrides := make(map[string]int, len(pairs))
	for _, pair := range pairs {
		count, err := strconv.ParseInt(pair[1], 10, 32)
		if err != nil {
			return nil, &Error{Class: numberFormat, Text: numberFormatText(pair[1]), Key: key, Value: text, Form: "host:count pairs, separated by commas"}
		}
		overrides[pair[0]] = int(count)
	}
	return overrides, nil
}

// numberFormatText is the message of Integer.parseInt.
func numberFormatText(text string) string {
	return `For input string: "` + text + `"`
}

// csvMap reads name:value pairs separated by commas; the last colon divides.
func csvMap(key, text string) ([][2]string, error) {
	if text == "" {
		return nil, nil
	}
	var pairs [][2]string
	for _, part := range splitCommas(text) {
		colon := strings.LastIndexByte(part, ':')
		if colon < 0 {
			return nil, &Error{Class: illegalArgument, Key: key, Value: text, Form: "name:value pairs, separated by commas",
				Text: "Error parsing configuration property '" + key + "': begin 0, end -1, length " + strconv.Itoa(len(part))}
		}
		pairs = append(pairs, [2]string{trim(part[:colon]), trim(part[colon+1:])})
	}
	return pairs, nil
}

// splitCommas splits on commas with white space around them; as with
// String.split of Java, empty elements at the end go away.
func splitCommas(text string) []string {
	parts := splitList(text)
	for len(parts) > 0 && parts[len(parts)-1] == "" {
		parts = parts[:len(parts)-1]
	}
	return parts
}

// csvList is a list without its empty elements.
func csvList(text string) []string {
	return slices.DeleteFunc(splitList(text), func(s string) bool { return s == "" })
}

// BrokerID is broker.id; model.NoBroker when one is to be drawn.
func (b *Broker) BrokerID() model.BrokerID { return model.BrokerID(b.Int("broker.id")) }

// LogDirs are the directories of log.dirs, or else log.dir.
func (b *Broker) LogDirs() []string {
	if dirs := b.StringOrNil("log.dirs"); dirs != nil {
		return csvList(*dirs)
	}
	return csvList(b.String("log.dir"))
}

// LogRetentionMs is the retention of the log by the finest setting given; -1
// for ever.
func (b *Broker) LogRetentionMs() int64 {
	ms := int64(b.Int("log.retention.hours")) * 60 * 60 * 1000
	switch {
	case b.IsSet("log.retention.ms"):
		ms = b.Long("log.retention.ms")
	case b.IsSet("log.retention.minutes"):
		ms = int64(b.Int("log.retention.minutes")) * 60 * 1000
	}
	if ms < 0 {
		return -1
	}
	return ms
}

// LogRollMs is log.roll.ms, or else log.roll.hours.
func (b *Broker) LogRollMs() int64 {
	if b.IsSet("log.roll.ms") {
		return b.Long("log.roll.ms")
	}
	return int64(b.Int("log.roll.hours")) * 60 * 60 * 1000
}

// LogRollJitterMs is log.roll.jitter.ms, or else log.roll.jitter.hours.
func (b *Broker) LogRollJitterMs() int64 {
	if b.IsSet("log.roll.jitter.ms") {
		return b.Long("log.roll.jitter.ms")
	}
	return int64(b.Int("log.roll.jitter.hours")) * 60 * 60 * 1000
}

// LogFlushIntervalMs is log.flush.interval.ms, or else the scheduler's.
func (b *Broker) LogFlushIntervalMs() int64 {
	if b.IsSet("log.flush.interval.ms") {
		return b.Long("log.flush.interval.ms")
	}
	return b.Long("log.flush.scheduler.interval.ms")
}

// ZooKeeperConnectionTimeoutMs is zookeeper.connection.timeout.ms, or else
// the session timeout.
func (b *Broker) ZooKeeperConnectionTimeoutMs() int {
	if b.IsSet("zookeeper.connection.timeout.ms") {
		return b.Int("zookeeper.connection.timeout.ms")
	}
	return b.Int("zookeeper.session.timeout.ms")
}

// InterBrokerProtocol is inter.broker.protocol.version.
func (b *Broker) InterBrokerProtocol() Version { return b.protocolVersion }

// MaxConnectionsPerIPOverrides is max.connections.per.ip.overrides by host.
func (b *Broker) MaxConnectionsPerIPOverrides() map[string]int {
	overrides := make(map[string]int, len(b.perIPOverrides))
	for host, count := range b.perIPOverrides {
		overrides[host] = count
	}
	return overrides
}
