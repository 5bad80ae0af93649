package config

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// Topic is an immutable view of one topic's settings: the broker's, and above
// them the topic's own.
type Topic struct {
	broker    *Broker
	overrides map[string]string
	values    map[string]value
}

// ParseTopic puts the settings of a topic above those of the broker. A name
// that is not in the table is kept and has no effect; a value that cannot be
// read is an *Error.
func ParseTopic(b *Broker, overrides map[string]string) (*Topic, error) {
	texts := b.topicDefaults()
	maps.Copy(texts, overrides)
	values, err := parseAll(TopicKeys, texts)
	if err != nil {
		return nil, err
	}
	return &Topic{broker: b, overrides: maps.Clone(overrides), values: values}, nil
}

// topicDefaults is what the broker says for each topic setting.
func (b *Broker) topicDefaults() map[string]string {
	texts := make(map[string]string, len(TopicKeys))
	for i := range TopicKeys {
		if server := brokerKeyByName[TopicKeys[i].Server]; server != nil {
			texts[TopicKeys[i].Name] = server.plain(b.values[server.Name])
		}
	}
	texts["segment.ms"] = strconv.FormatInt(b.LogRollMs(), 10)
	texts["segment.jitter.ms"] = strconv.FormatInt(b.LogRollJitterMs(), 10)
	texts["retention.ms"] = strconv.FormatInt(b.LogRetentionMs(), 10)
	texts["flush.ms"] = strconv.FormatInt(b.LogFlushIntervalMs(), 10)
	texts["message.format.version"] = b.formatVersion.String()
	return texts
}

// ValidateTopic checks the settings that a topic is to have of its own.
func ValidateTopic(overrides map[string]string) error {
	names := make([]string, 0, len(overrides))
	for name := range overrides {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if topicKeyByName[name] == nil {
			return &Error{Class: invalidConfig, Key: name, Value: overrides[name], Form: "the name of a topic setting", Text: "Unknown topic config name: " + name}
		}
	}
	values, err := parseAll(TopicKeys, overrides)
	if err != nil {
		return err
	}
	least, most := values["min.compaction.lag.ms"].number, values["max.compaction.lag.ms"].number
	if least > most {
		return &Error{Class: invalidConfig, Text: fmt.Sprintf("conflict topic config setting min.compaction.lag.ms (%d) > max.compaction.lag.ms (%d)", least, most)}
	}
	return nil
}

// RecordMagic is the record format that message.format.version asks for. A
// topic's own version that is newer than what the brokers speak among each
// other is ignored; the broker's own never is.
func (t *Topic) RecordMagic() int8 {
	format, err := ParseVersion(t.String("message.format.version"))
	if err != nil || format > t.broker.protocolVersion {
		format = t.broker.formatVersion
	}
	return format.RecordMagic()
}

// Overrides is a copy of the topic's own settings.
func (t *Topic) Overrides() map[string]string { return maps.Clone(t.overrides) }

// Int returns an INT setting.
func (t *Topic) Int(name string) int {
	return int(lookup(topicKeyByName, t.values, name, []Type{Int}).number)
}

// Long returns a LONG or INT setting.
func (t *Topic) Long(name string) int64 {
	return lookup(topicKeyByName, t.values, name, []Type{Long, Int}).number
}

// Double returns a DOUBLE setting.
func (t *Topic) Double(name string) float64 {
	return lookup(topicKeyByName, t.values, name, []Type{Double}).real
}

// Bool returns a BOOLEAN setting.
func (t *Topic) Bool(name string) bool {
	return lookup(topicKeyByName, t.values, name, []Type{Bool}).truth
}

// String returns a STRING setting.
func (t *Topic) String(name string) string {
	return lookup(topicKeyByName, t.values, name, []Type{String}).text
}

// List returns a LIST setting.
func (t *Topic) List(name string) []string {
	return slices.Clone(lookup(topicKeyByName, t.values, name, []Type{List}).list)
}

// Describe lists the topic's settings in the order in which Kafka answers.
func (t *Topic) Describe() []Entry {
	shown := make(map[string]bool, len(TopicKeys))
	for i := range TopicKeys {
		shown[TopicKeys[i].Name] = true
	}
	for name := range t.overrides {
		shown[name] = true
	}
	return entries(shown, t.entry)
}

func (t *Topic) entry(name string) Entry {
	e := Entry{Name: name, Source: SourceDefault, Sensitive: true}
	own, overridden := t.overrides[name]
	if k := topicKeyByName[name]; k != nil {
		e.Type, e.Sensitive, e.Doc, e.Value = k.Type, k.Sensitive(), &k.Doc, valueText(k, t.values[name])
		own = k.plain(t.values[name])
		if k.Server != "" {
			e.Synonyms = t.broker.synonyms(k.Server, e.Sensitive)
		}
	}
	if overridden {
		s := Synonym{Name: name, Source: SourceTopic}
		if !e.Sensitive {
			s.Value = &own
		}
		e.Synonyms = append([]Synonym{s}, e.Synonyms...)
	}
	if len(e.Synonyms) > 0 {
		e.Source = e.Synonyms[0].Source
	}
	return e
}
