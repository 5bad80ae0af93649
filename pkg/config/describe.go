package config

import (
	"slices"

	"gregor/pkg/model"
)

// Source says which layer a value comes from, by its number on the wire.
type Source int8

const (
	SourceTopic          Source = 1
	SourceBroker         Source = 2 // /config/brokers/ID
	SourceClusterDefault Source = 3 // /config/brokers/<default>
	SourceFile           Source = 4
	SourceDefault        Source = 5
	SourceLogger         Source = 6
)

// Synonym is one place that could give a setting its value.
type Synonym struct {
	Name   string
	Value  *string // nil when sensitive
	Source Source
}

// Entry is one setting as DescribeConfigs answers it.
type Entry struct {
	Name      string
	Value     *string // nil when null or sensitive
	Type      Type    // 0 for a name that is not in the table
	Source    Source
	ReadOnly  bool
	Sensitive bool
	Synonyms  []Synonym // the places that give a value, strongest first
	Doc       *string
}

// Describe lists the settings of this broker, and whatever else its file
// says, in the order in which Kafka answers.
func (b *Broker) Describe() []Entry {
	shown := make(map[string]bool, len(b.originals)+len(BrokerKeys))
	for name := range b.originals {
		shown[name] = true
	}
	for i := range BrokerKeys {
		if !BrokerKeys[i].Internal {
			shown[BrokerKeys[i].Name] = true
		}
	}
	return entries(shown, func(name string) Entry {
		k := brokerKeyByName[name]
		if k == nil || k.Internal {
			text := b.originals[name]
			return b.entry(name, &text, true)
		}
		return b.entry(name, valueText(k, b.values[name]), true)
	})
}

// DescribeClusterDefault lists what is set for all brokers while running.
func (b *Broker) DescribeClusterDefault() []Entry {
	shown := make(map[string]bool, len(b.clusterDefault))
	for name := range b.clusterDefault {
		shown[name] = true
	}
	return entries(shown, func(name string) Entry {
		text := b.clusterDefault[name]
		return b.entry(name, &text, false)
	})
}

func entries(shown map[string]bool, entry func(name string) Entry) []Entry {
	all := make([]Entry, 0, len(shown))
	for _, name := range hashOrder(shown) {
		all = append(all, entry(name))
	}
	return all
}

// entry describes one broker setting. perBroker is false when only what is
// set for all brokers counts.
func (b *Broker) entry(name string, text *string, perBroker bool) Entry {
	e := Entry{Name: name, Value: text, ReadOnly: true, Sensitive: true, Source: SourceDefault}
	if k := keyOf(name); k != nil {
		e.Type, e.Sensitive, e.Doc = k.Type, k.Sensitive(), &k.Doc
		e.ReadOnly = k.Mode == ReadOnly || k.Name != name
	}
	if e.Sensitive {
		e.Value = nil
	}
	e.Synonyms = b.synonyms(name, e.Sensitive)
	if !perBroker {
		e.Synonyms = slices.DeleteFunc(e.Synonyms, func(s Synonym) bool { return s.Source != SourceClusterDefault })
	}
	if len(e.Synonyms) > 0 {
		e.Source = e.Synonyms[0].Source
	}
	return e
}

// keyOf finds the key of a name, also of one with a listener's prefix.
func keyOf(name string) *Key {
	if k := brokerKeyByName[name]; k != nil {
		return k
	}
	return brokerKeyByName[baseName(name)]
}

// synonyms lists the places that give the setting a value, layer by layer.
// Names that stand before the setting's own are left out.
func (b *Broker) synonyms(name string, sensitive bool) []Synonym {
	var all []Synonym
	own := false
	add := func(name string, text string, source Source) {
		s := Synonym{Name: name, Source: source}
		if !sensitive {
			s.Value = &text
		}
		all = append(all, s)
	}
	for _, layer := range []struct {
		values map[string]string
		source Source
	}{{b.perBroker, SourceBroker}, {b.clusterDefault, SourceClusterDefault}, {b.static, SourceFile}, {defaultTexts, SourceDefault}} {
		for _, synonym := range synonyms(name, true) {
			text, ok := layer.values[synonym]
			if ok && (own || synonym == name) {
				own = true
				add(synonym, text, layer.source)
			}
		}
	}
	return all
}

// defaultTexts are the defaults of all settings that have one.
var defaultTexts = func() map[string]string {
	texts := make(map[string]string, len(BrokerKeys))
	for i := range BrokerKeys {
		if k := &BrokerKeys[i]; k.Default != Null {
			texts[k.Name] = k.plain(k.defaultValue())
		}
	}
	return texts
}()

// valueText is a value for an answer; nil for null.
func valueText(k *Key, v value) *string {
	text, ok := k.show(v)
	if !ok {
		return nil
	}
	return &text
}

// HashOrder sorts names as Kafka's answers and znodes have them: it keeps
// them in hash maps.
func HashOrder(names []string) []string {
	set := make(map[string]bool, len(names))
	for _, name := range names {
		set[name] = true
	}
	return hashOrder(set)
}

// hashOrder sorts names as a hash map of Scala 2.13 holds them, which is the
// order of Kafka's answers: by the slot of the mixed hash in a table that is
// a power of two and at most three quarters full, then by the hash.
func hashOrder(set map[string]bool) []string {
	names := make([]string, 0, len(set))
	for name := range set {
		names = append(names, name)
	}
	size := 16
	for len(names) > size/4*3 {
		size *= 2
	}
	mix := func(name string) int32 {
		hash := uint32(model.JavaStringHash(name))
		return int32(hash ^ hash>>16)
	}
	slices.SortFunc(names, func(x, y string) int {
		hx, hy := mix(x), mix(y)
		if slot := int(hx)&(size-1) - int(hy)&(size-1); slot != 0 {
			return slot
		}
		if hx != hy {
			if hx < hy {
				return -1
			}
			return 1
		}
		if x < y {
			return -1
		}
		return 1
	})
	return names
}
