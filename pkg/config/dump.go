package config

import (
	"slices"
	"strings"
)

// Dump is the block that Kafka logs at the start and after each change of a
// dynamic setting: all settings in the order of their names, passwords
// hidden.
func (b *Broker) Dump() string {
	names := make([]string, 0, len(BrokerKeys))
	for i := range BrokerKeys {
		names = append(names, BrokerKeys[i].Name)
	}
	slices.Sort(names)
	var text strings.Builder
	text.WriteString("KafkaConfig values: \n")
	for _, name := range names {
		if strings.HasPrefix(name, "gregor.") && !b.values[name].set {
			continue // a user of Kafka need not see that there is more
		}
		text.WriteString("\t" + name + " = " + brokerKeyByName[name].dump(b.values[name]) + "\n")
	}
	return text.String()
}

// dump is a value as Java's toString writes it.
func (k *Key) dump(v value) string {
	switch {
	case !v.set:
		return "null"
	case k.Type == Password:
		return hiddenText
	case k.Type == List:
		return "[" + strings.Join(v.list, ", ") + "]"
	case k.Type == Class:
		return "class " + v.text
	default:
		return k.plain(v)
	}
}
