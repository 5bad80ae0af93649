package api

import (
	"context"
	"encoding/hex"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/protocol"
	"gregor/pkg/wire"
)

func handshakeRouter() *Router {
	r := NewRouter()
	h := &Handshake{
		Serves:        func(key int16) bool { return key == 0 || key == 3 || key == 18 },
		FeaturesEpoch: func() int64 { return 0 },
	}
	h.Register(r)
	return r
}

func ask(t *testing.T, r *Router, key, version int16, body []byte) []byte {
	t.Helper()
	a := r.Answer(context.Background(), &wire.Request{Header: wire.Header{Key: key, Version: version}, Body: body, Peer: &wire.Peer{}})
	require.False(t, a.Close)
	require.Len(t, a.Chunks, 1)
	return a.Chunks[0].Bytes
}

func TestApiVersionsTooNewIsAnsweredAsVersion0(t *testing.T) {
	// The answer of a running 2.8 broker, behind the correlation id.
	require.Equal(t, "00230000000100120000"+"0003", hex.EncodeToString(ask(t, handshakeRouter(), 18, 99, []byte{1, 2, 3})))
}

func TestApiVersionsListsWhatIsServed(t *testing.T) {
	for version := int16(0); version <= 3; version++ {
		req := kmsg.NewPtrApiVersionsRequest()
		req.SetVersion(version)
		req.ClientSoftwareName, req.ClientSoftwareVersion = "kgo", "v1.2.3"
		resp := kmsg.NewPtrApiVersionsResponse()
		resp.SetVersion(version)
		require.NoError(t, resp.ReadFrom(ask(t, handshakeRouter(), 18, version, req.AppendTo(nil))))
		require.Zero(t, resp.ErrorCode)
		require.Len(t, resp.ApiKeys, 3)
		require.EqualValues(t, 0, resp.ApiKeys[0].ApiKey)
		require.EqualValues(t, 0, resp.ApiKeys[0].MinVersion)
		require.EqualValues(t, 9, resp.ApiKeys[0].MaxVersion)
		require.EqualValues(t, 11, resp.ApiKeys[1].MaxVersion)
	}
}

func TestApiVersionsChecksTheSoftwareName(t *testing.T) {
	req := kmsg.NewPtrApiVersionsRequest()
	req.SetVersion(3)
	req.ClientSoftwareName, req.ClientSoftwareVersion = "x", " "
	// The answer of a running 2.8 broker, behind the correlation id.
	require.Equal(t, "002a010000000000", hex.EncodeToString(ask(t, handshakeRouter(), 18, 3, req.AppendTo(nil))))
}

func TestApiVersionsRemembersTheSoftware(t *testing.T) {
	req := kmsg.NewPtrApiVersionsRequest()
	req.SetVersion(3)
	req.ClientSoftwareName, req.ClientSoftwareVersion = "apache-kafka-java", "2.8.2"
	peer := &wire.Peer{}
	handshakeRouter().Answer(context.Background(), &wire.Request{Header: wire.Header{Key: 18, Version: 3}, Body: req.AppendTo(nil), Peer: peer})
	require.Equal(t, "apache-kafka-java", peer.SoftwareName)
	require.Equal(t, "2.8.2", peer.SoftwareVersion)
}

func TestSaslIsRefusedOnAListenerWithoutIt(t *testing.T) {
	handshake := kmsg.NewPtrSASLHandshakeRequest()
	handshake.Mechanism = "PLAIN"
	require.Equal(t, "002200000000", hex.EncodeToString(ask(t, handshakeRouter(), 17, 0, handshake.AppendTo(nil))))
	authenticate := kmsg.NewPtrSASLAuthenticateRequest()
	body := ask(t, handshakeRouter(), 36, 0, authenticate.AppendTo(nil))
	require.Equal(t, "0022", hex.EncodeToString(body[:2]))
}

func TestEveryTypedHandlerClosesOnGarbage(t *testing.T) {
	r := handshakeRouter()
	for _, api := range protocol.All() {
		if r.Serves(api.Key) {
			a := r.Answer(context.Background(), &wire.Request{Header: wire.Header{Key: api.Key, Version: api.Max}, Body: []byte{0xff}, Peer: &wire.Peer{}})
			require.True(t, a.Close, api.Name)
		}
	}
}
