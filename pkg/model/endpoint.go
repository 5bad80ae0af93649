package model

import (
	"fmt"
	"net"
	"strconv"
	"strings"
)

// SecurityProtocol is how a listener authenticates and encrypts. The numbers
// are those of the wire protocol.
type SecurityProtocol int16

const (
	Plaintext     SecurityProtocol = 0
	SSL           SecurityProtocol = 1
	SASLPlaintext SecurityProtocol = 2
	SASLSSL       SecurityProtocol = 3
)

var securityProtocolNames = [...]string{"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"}

func (p SecurityProtocol) String() string {
	if p < 0 || int(p) >= len(securityProtocolNames) {
		return "UNKNOWN"
	}
	return securityProtocolNames[p]
}

// ParseSecurityProtocol reads a protocol name, in any case.
func ParseSecurityProtocol(name string) (SecurityProtocol, error) {
	for i, known := range securityProtocolNames {
		if strings.EqualFold(name, known) {
			return SecurityProtocol(i), nil
		}
	}
	return 0, fmt.Errorf("no security protocol is called %q", name)
}

// Endpoint is one listener of a broker: its name, its protocol, and where it
// is to be reached. An empty Host binds every address.
type Endpoint struct {
	Listener         string
	SecurityProtocol SecurityProtocol
	Host             string
	Port             int32
}

// String is the form of a listeners entry: "PLAINTEXT://host:9092".
func (e Endpoint) String() string {
	return e.Listener + "://" + e.Address()
}

// Address is "host:port", with brackets around an IPv6 host.
func (e Endpoint) Address() string {
	return net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port)))
}

// Broker is a registered broker as controllers announce it.
type Broker struct {
	ID        BrokerID
	Epoch     BrokerEpoch // NoBrokerEpoch when not known
	Rack      *string
	Endpoints []Endpoint
}

// Endpoint finds the endpoint of a listener by its name.
func (b Broker) Endpoint(listener string) (Endpoint, bool) {
	for _, e := range b.Endpoints {
		if e.Listener == listener {
			return e, true
		}
	}
	return Endpoint{}, false
}
