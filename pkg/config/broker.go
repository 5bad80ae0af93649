package config

import (
	"errors"
	"fmt"
	"maps"

	"gregor/pkg/model"
)

// Broker is an immutable view of one broker's settings: the file, the
// --override options above it, what is set for all brokers while running
// above those, and what is set for this broker on top.
type Broker struct {
	file           *Properties
	static         map[string]string // file and overrides, as written
	overridden     map[string]bool
	clusterDefault map[string]string
	perBroker      map[string]string
	originals      map[string]string // all layers, as written
	values         map[string]value

	listeners       []model.Endpoint
	advertised      []model.Endpoint
	protocols       map[string]model.SecurityProtocol // by listener name
	interBroker     string
	interBrokerSec  model.SecurityProtocol
	perIPOverrides  map[string]int
	protocolVersion Version
	formatVersion   Version
}

// ParseBroker reads and checks a broker's settings. The error is an *Error in
// Kafka's words; the warnings are about settings that are unknown, removed or
// without effect.
func ParseBroker(p *Properties, overrides map[string]string) (*Broker, []Warning, error) {
	static := p.Map()
	overridden := make(map[string]bool, len(overrides))
	for key, text := range overrides {
		static[key], overridden[key] = text, true
	}
	b := &Broker{file: p, static: static, overridden: overridden}
	if err := b.build(); err != nil {
		return nil, nil, b.explain(err)
	}
	return b, b.warnings(), nil
}

// WithDynamic returns the settings with other dynamic layers: what
// /config/brokers/<default> and /config/brokers/ID hold. Keys that cannot
// change while running are left out of them, as Kafka ignores them there.
func (b *Broker) WithDynamic(clusterDefault, perBroker map[string]string) (*Broker, error) {
	next := &Broker{file: b.file, static: b.static, overridden: b.overridden,
		clusterDefault: maps.Clone(clusterDefault), perBroker: maps.Clone(perBroker)}
	if err := next.build(); err != nil {
		return nil, err
	}
	return next, nil
}

// build puts the layers together, parses and checks them.
func (b *Broker) build() error {
	b.originals = maps.Clone(b.static)
	for _, layer := range []map[string]string{b.clusterDefault, b.perBroker} {
		overlay(b.originals, layer)
	}
	values, err := parseAll(BrokerKeys, b.originals)
	if err != nil {
		return err
	}
	b.values = values
	if err := b.derive(); err != nil {
		return err
	}
	return b.checkAcross()
}

// overlay puts a layer over originals. A setting that has several names, in
// milliseconds and in hours for one, hides the other names below it.
func overlay(originals, layer map[string]string) {
	for key, text := range layer {
		for _, name := range synonyms(key, false) {
			delete(originals, name)
		}
		originals[key] = text
	}
}

// parseAll parses every key of a table, in the order of the table.
func parseAll(keys []Key, originals map[string]string) (map[string]value, error) {
	values := make(map[string]value, len(keys))
	for i := range keys {
		k := &keys[i]
		raw, given := originals[k.Name]
		if !given {
			values[k.Name] = k.defaultValue()
			continue
		}
		v, err := k.parse(raw)
		if err != nil {
			return nil, err
		}
		values[k.Name] = v
	}
	return values, nil
}

// explain adds the sentence for people to a refused setting.
func (b *Broker) explain(err error) error {
	var e *Error
	if !errors.As(err, &e) || e.Key == "" || e.Hint != "" {
		return err
	}
	raw, given := b.static[e.Key]
	if !given {
		raw = e.Value
	}
	e.Hint = fmt.Sprintf("%s: %s=%s cannot be used, allowed is %s", b.where(e.Key), e.Key, raw, e.Form)
	return e
}

// where names the place a static setting comes from.
func (b *Broker) where(key string) string {
	if b.overridden[key] {
		return "--override"
	}
	return b.file.where(key)
}

// lookup returns the value of a key of one of the types; a name that is not
// in the table, or a wrong type, is a mistake in our code.
func (b *Broker) lookup(name string, types ...Type) value {
	return lookup(brokerKeyByName, b.values, name, types)
}

func lookup(table map[string]*Key, values map[string]value, name string, types []Type) value {
	k := table[name]
	if k == nil {
		panic("there is no setting called " + name)
	}
	for _, t := range types {
		if k.Type == t {
			return values[name]
		}
	}
	panic("setting " + name + " is of type " + k.Type.String())
}

// Int returns an INT or SHORT setting; 0 when it is null.
func (b *Broker) Int(name string) int { return int(b.lookup(name, Int, Short).number) }

// Short returns a SHORT setting.
func (b *Broker) Short(name string) int16 { return int16(b.lookup(name, Short).number) }

// Long returns a LONG, INT or SHORT setting; 0 when it is null.
func (b *Broker) Long(name string) int64 { return b.lookup(name, Long, Int, Short).number }

// Double returns a DOUBLE setting.
func (b *Broker) Double(name string) float64 { return b.lookup(name, Double).real }

// Bool returns a BOOLEAN setting.
func (b *Broker) Bool(name string) bool { return b.lookup(name, Bool).truth }

// String returns a STRING or CLASS setting; empty when it is null.
func (b *Broker) String(name string) string { return b.lookup(name, String, Class).text }

// StringOrNil returns a STRING or CLASS setting, nil when it is null.
func (b *Broker) StringOrNil(name string) *string {
	v := b.lookup(name, String, Class)
	if !v.set {
		return nil
	}
	return &v.text
}

// List returns a LIST setting; nil when it is null.
func (b *Broker) List(name string) []string {
	return append([]string(nil), b.lookup(name, List).list...)
}

// Password returns a PASSWORD setting; empty when it is null.
func (b *Broker) Password(name string) string { return b.lookup(name, Password).text }

// IsSet reports whether a setting has a value, given or by default.
func (b *Broker) IsSet(name string) bool {
	if brokerKeyByName[name] == nil {
		panic("there is no setting called " + name)
	}
	return b.values[name].set
}

// Original returns a setting as it was written, whether or not it is in the
// table: plug-ins and listener prefixes have settings of their own.
func (b *Broker) Original(name string) (string, bool) {
	text, ok := b.originals[name]
	return text, ok
}

// ClusterDefaults is a copy of the layer set for all brokers while running.
func (b *Broker) ClusterDefaults() map[string]string { return maps.Clone(b.clusterDefault) }

// PerBroker is a copy of the layer set for this broker while running.
func (b *Broker) PerBroker() map[string]string { return maps.Clone(b.perBroker) }
