package api

import (
	"regexp"

	"gregor/pkg/protocol"
)

// Handshake is the family of what a client says first: ApiVersions and the
// SASL requests, which a listener without SASL refuses.
type Handshake struct {
	// Serves tells which keys are advertised.
	Serves func(key int16) bool
	// FeaturesEpoch is the data version of /feature, -1 when it is not known.
	FeaturesEpoch func() int64
}

// Register enters the family's handlers.
func (h *Handshake) Register(r *Router) {
	r.Handle(protocol.KeyApiVersions, h.apiVersions)
	r.Handle(keySaslHandshake, Typed(newSaslHandshake, saslHandshake))
	r.Handle(keySaslAuthenticate, Typed(newSaslAuthenticate, saslAuthenticate))
}

// softwareName is the form of a client's name and version (KIP-511).
var softwareName = regexp.MustCompile(`^[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?$`)
