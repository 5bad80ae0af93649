package config

import (
	"regexp"
	"strconv"
	"strings"

	"gregor/pkg/model"
)

// endpointForm is an entry of listeners: NAME://host:port, the host perhaps
// empty or an IPv6 address in brackets.
var endpointForm = regexp.MustCompile(`^(.*)://\[?([0-9a-zA-Z\-%._:]*)\]?:(-?[0-9]+)$`)

// deriveListeners reads the listeners in the order in which Kafka comes
// across them, so that the first of several mistakes is the same.
func (b *Broker) deriveListeners() (err error) {
	if b.protocols, err = b.listenerProtocols(); err != nil {
		return err
	}
	written := "PLAINTEXT://" + b.String("host.name") + ":" + strconv.Itoa(b.Int("port"))
	if given := b.StringOrNil("listeners"); given != nil {
		written = *given
	}
	switch given := b.StringOrNil("advertised.listeners"); {
	case given != nil:
		b.advertised, err = parseEndpoints("advertised.listeners", *given, b.protocols, false)
	case b.IsSet("advertised.host.name") || b.IsSet("advertised.port"):
		b.advertised, err = parseEndpoints("advertised.host.name", b.oldAdvertised(), b.protocols, false)
	default:
		b.advertised, err = parseEndpoints("listeners", written, b.protocols, true)
	}
	if err != nil {
		return err
	}
	if b.listeners, err = parseEndpoints("listeners", written, b.protocols, true); err != nil {
		return err
	}
	return b.deriveInterBroker()
}

// oldAdvertised is what advertised.host.name and advertised.port say
// together.
func (b *Broker) oldAdvertised() string {
	host, port := b.String("host.name"), b.Int("port")
	if given := b.StringOrNil("advertised.host.name"); given != nil {
		host = *given
	}
	if b.IsSet("advertised.port") {
		port = b.Int("advertised.port")
	}
	return "PLAINTEXT://" + host + ":" + strconv.Itoa(port)
}

// listenerProtocols is listener.security.protocol.map by listener name.
func (b *Broker) listenerProtocols() (map[string]model.SecurityProtocol, error) {
	const key = "listener.security.protocol.map"
	pairs, err := csvMap(key, b.String(key))
	if err != nil {
		return nil, err
	}
	protocols := make(map[string]model.SecurityProtocol, len(pairs))
	for _, pair := range pairs {
		protocol, err := securityProtocol(pair[1], key)
		if err != nil {
			return nil, err
		}
		protocols[strings.ToUpper(pair[0])] = protocol
	}
	return protocols, nil
}

func securityProtocol(name, key string) (model.SecurityProtocol, error) {
	protocol, err := model.ParseSecurityProtocol(name)
	if err != nil {
		e := configError("Invalid security protocol `%s` defined in %s", name, key)
		e.Key, e.Value, e.Form = key, name, "PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL as the protocol"
		return 0, e
	}
	return protocol, nil
}

// deriveInterBroker finds the listener that brokers use among themselves.
func (b *Broker) deriveInterBroker() error {
	name := b.StringOrNil("inter.broker.listener.name")
	if name == nil {
		protocol, err := securityProtocol(b.String("security.inter.broker.protocol"), "security.inter.broker.protocol")
		if err != nil {
			return err
		}
		b.interBroker, b.interBrokerSec = protocol.String(), protocol
		return nil
	}
	if _, both := b.originals["security.inter.broker.protocol"]; both {
		return configError("Only one of inter.broker.listener.name and security.inter.broker.protocol should be set.")
	}
	b.interBroker = strings.ToUpper(*name)
	protocol, ok := b.protocols[b.interBroker]
	if !ok {
		e := configError("Listener with name %s defined in inter.broker.listener.name not found in listener.security.protocol.map.", b.interBroker)
		e.Key, e.Value, e.Form = "inter.broker.listener.name", *name, "a name of listener.security.protocol.map"
		return e
	}
	b.interBrokerSec = protocol
	return nil
}

// parseEndpoints reads a list of listeners.
func parseEndpoints(key, text string, protocols map[string]model.SecurityProtocol, distinctPorts bool) ([]model.Endpoint, error) {
	var endpoints []model.Endpoint
	for _, entry := range csvList(text) {
		endpoint, why := parseEndpoint(entry, protocols)
		if why != "" {
			e := illegal("Error creating broker listeners from '%s': %s", text, why)
			e.Key, e.Value, e.Form = key, text, "NAME://host:port, separated by commas"
			return nil, e
		}
		endpoints = append(endpoints, endpoint)
	}
	return endpoints, checkDistinct(text, endpoints, distinctPorts)
}

func parseEndpoint(entry string, protocols map[string]model.SecurityProtocol) (model.Endpoint, string) {
	parts := endpointForm.FindStringSubmatch(entry)
	if parts == nil {
		return model.Endpoint{}, "Unable to parse " + entry + " to a broker endpoint"
	}
	port, err := strconv.ParseInt(parts[3], 10, 32)
	if err != nil {
		return model.Endpoint{}, numberFormatText(parts[3])
	}
	name := strings.ToUpper(parts[1])
	protocol, ok := protocols[name]
	if !ok {
		return model.Endpoint{}, "No security protocol defined for listener " + name
	}
	return model.Endpoint{Listener: name, SecurityProtocol: protocol, Host: parts[2], Port: int32(port)}, ""
}

// checkDistinct refuses two listeners with one name, or one port.
func checkDistinct(text string, endpoints []model.Endpoint, distinctPorts bool) error {
	names, ports := map[string]bool{}, map[int32]bool{}
	for _, e := range endpoints {
		if names[e.Listener] {
			return requirement("Each listener must have a different name, listeners: %s", text)
		}
		names[e.Listener] = true
	}
	for _, e := range endpoints {
		if distinctPorts && e.Port != 0 && ports[e.Port] {
			return requirement("Each listener must have a different port, listeners: %s", text)
		}
		ports[e.Port] = true
	}
	return nil
}

// Listeners are the endpoints to bind. An empty host is the default
// interface.
func (b *Broker) Listeners() []model.Endpoint { return append([]model.Endpoint(nil), b.listeners...) }

// AdvertisedListeners are the endpoints to publish. An empty host stands for
// the canonical name of this machine.
func (b *Broker) AdvertisedListeners() []model.Endpoint {
	return append([]model.Endpoint(nil), b.advertised...)
}

// InterBrokerListener is the name of the listener that brokers use among
// themselves.
func (b *Broker) InterBrokerListener() string { return b.interBroker }

// ControlPlaneListener is the name of the listener that controllers use; it is
// the inter-broker listener unless control.plane.listener.name says otherwise.
func (b *Broker) ControlPlaneListener() string {
	if name := b.StringOrNil("control.plane.listener.name"); name != nil {
		return strings.ToUpper(*name)
	}
	return b.interBroker
}
