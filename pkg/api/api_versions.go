package api

// ApiVersions, key 18, v0-3.
//
//	v1: throttle time   v2: throttled by the client   v3: client software
//	name and version (KIP-511), features (KIP-584)
//
// What surprises: a version that is too new is answered in the form of v0,
// with UNSUPPORTED_VERSION and the range of this one API (KIP-511), so that
// the client can ask again; the response header never has tags.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/kerr"
	"gregor/pkg/protocol"
	"gregor/pkg/wire"
)

func (h *Handshake) apiVersions(_ context.Context, r *wire.Request) wire.Answer {
	own, _ := protocol.Lookup(protocol.KeyApiVersions)
	resp := kmsg.NewPtrApiVersionsResponse()
	if !own.Takes(r.Version) {
		resp.ErrorCode = kerr.UnsupportedVersion.Code
		resp.ApiKeys = []kmsg.ApiVersionsResponseApiKey{rangeOf(own)}
		return wire.Bytes(resp.AppendTo(nil))
	}
	if !wellFormed(r.Key, r.Version, r.Body) {
		return wire.Answer{Close: true}
	}
	req := kmsg.NewPtrApiVersionsRequest()
	req.SetVersion(r.Version)
	if err := req.ReadFrom(r.Body); err != nil {
		return wire.Answer{Close: true}
	}
	resp.SetVersion(r.Version)
	if r.Version >= 3 {
		if !softwareName.MatchString(req.ClientSoftwareName) || !softwareName.MatchString(req.ClientSoftwareVersion) {
			resp.ErrorCode = kerr.InvalidRequest.Code
			return wire.Bytes(resp.AppendTo(nil))
		}
		r.Peer.SoftwareName, r.Peer.SoftwareVersion = req.ClientSoftwareName, req.ClientSoftwareVersion
	}
	resp.FinalizedFeaturesEpoch = h.FeaturesEpoch()
	for _, api := range protocol.All() {
		if h.Serves(api.Key) {
			resp.ApiKeys = append(resp.ApiKeys, rangeOf(api))
		}
	}
	return wire.Bytes(resp.AppendTo(nil))
}

func rangeOf(api protocol.API) kmsg.ApiVersionsResponseApiKey {
	row := kmsg.NewApiVersionsResponseApiKey()
	row.ApiKey, row.MinVersion, row.MaxVersion = api.Key, api.Min, api.Max
	return row
}
