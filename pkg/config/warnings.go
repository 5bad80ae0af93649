package config

import (
	"fmt"
	"slices"
	"strings"
)

// warnings looks through what the file and --override say, in the order of
// the file: one warning for each setting that is not known, was removed, or
// has a value other than its default and no effect.
func (b *Broker) warnings() []Warning {
	var all []Warning
	for _, name := range b.staticNames() {
		text := b.warning(name)
		if text == "" {
			continue
		}
		all = append(all, Warning{Key: name, Text: b.where(name) + ": " + text, Unknown: brokerKeyByName[name] == nil && pluginOf(name) == ""})
	}
	return all
}

// staticNames are the settings given, those of the file first.
func (b *Broker) staticNames() []string {
	names := b.file.Keys()
	var added []string
	for name := range b.overridden {
		if _, inFile := b.file.Get(name); !inFile {
			added = append(added, name)
		}
	}
	slices.Sort(added)
	return append(names, added...)
}

// warning is the sentence about one setting; empty when there is nothing to
// say.
func (b *Broker) warning(name string) string {
	if k := brokerKeyByName[name]; k != nil {
		text := k.plain(b.values[name])
		if k.Inert == "" || text == k.plain(k.defaultValue()) || text == shipped[name] {
			return ""
		}
		return fmt.Sprintf("%s=%s has no effect: %s", name, k.dump(b.values[name]), k.Inert)
	}
	switch {
	case removed[name] != "":
		return name + " is ignored: " + removed[name]
	case newer[name] != "":
		return name + " is ignored: it came with Kafka " + newer[name]
	case strings.HasPrefix(name, "listener.name."):
		return name + " has no effect: settings of one listener alone are not implemented yet"
	case dynamicKey(name) != nil:
		return name + " is ignored here: it is set with kafka-configs while the broker runs"
	case pluginOf(name) != "":
		return name + " has no effect: it belongs to " + pluginOf(name) + ", not implemented yet"
	case ofOtherRole(name):
		return ""
	}
	text := name + " is not a known setting and is ignored"
	if close := nearest(name); close != "" {
		text += "; did you mean " + close + "?"
	}
	return text
}

// shipped are values of config/server.properties, as Kafka ships it, that are
// not the default. Nobody who keeps them asks for anything.
var shipped = map[string]string{
	"transaction.state.log.replication.factor": "1",
	"transaction.state.log.min.isr":            "1",
}

// pluginOf names whom Kafka would hand a setting to that is not in its table;
// empty when it is nobody's.
func pluginOf(name string) string {
	switch {
	case name == "super.users", name == "allow.everyone.if.no.acl.found", strings.HasPrefix(name, "authorizer."):
		return "the authorizer"
	case strings.HasPrefix(name, "kafka.csv.metrics."):
		return "kafka.metrics.KafkaCSVMetricsReporter"
	case name == "config.providers", strings.HasPrefix(name, "config.providers."):
		return "the configuration providers"
	}
	return ""
}

// ofOtherRole reports whether a name is meant for somebody else who reads the
// same file.
func ofOtherRole(name string) bool {
	for _, prefix := range []string{"producer.", "consumer.", "admin.", "confluent.", "cruise.control."} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// nearest is the known setting that a name is most likely a slip of; empty
// when none is near.
func nearest(name string) string {
	if k := topicKeyByName[name]; k != nil && k.Server != "" {
		return k.Server
	}
	best, distance := "", max(2, len(name)/5)+1
	lower := strings.ToLower(name)
	lower = lower[:min(len(lower), 200)]
	for i := range BrokerKeys {
		if d := editDistance(lower, BrokerKeys[i].Name); d < distance {
			best, distance = BrokerKeys[i].Name, d
		}
	}
	return best
}

// editDistance counts the letters to insert, delete, replace or swap.
func editDistance(x, y string) int {
	before, above, row := make([]int, len(y)+1), make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range above {
		above[j] = j
	}
	for i := 1; i <= len(x); i++ {
		row[0] = i
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			row[j] = min(above[j]+1, row[j-1]+1, above[j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, above, row = above, row, before
	}
	return above[len(y)]
}
