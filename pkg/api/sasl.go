package api

// SaslHandshake, key 17, v0-1, and SaslAuthenticate, key 36, v0-2, on a
// listener without SASL: both are refused with ILLEGAL_SASL_STATE, the answer
// to them after authentication has been completed (KIP-152).

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/kerr"
	"gregor/pkg/wire"
)

const (
	keySaslHandshake    int16 = 17
	keySaslAuthenticate int16 = 36
)

func newSaslHandshake() *kmsg.SASLHandshakeRequest { return kmsg.NewPtrSASLHandshakeRequest() }
func newSaslAuthenticate() *kmsg.SASLAuthenticateRequest {
	return kmsg.NewPtrSASLAuthenticateRequest()
}

func saslHandshake(context.Context, *wire.Request, *kmsg.SASLHandshakeRequest) kmsg.Response {
	resp := kmsg.NewPtrSASLHandshakeResponse()
	resp.ErrorCode = kerr.IllegalSASLState.Code
	return resp
}

func saslAuthenticate(context.Context, *wire.Request, *kmsg.SASLAuthenticateRequest) kmsg.Response {
	resp := kmsg.NewPtrSASLAuthenticateResponse()
	resp.ErrorCode = kerr.IllegalSASLState.Code
	message := "SaslAuthenticate request received after successful authentication"
	resp.ErrorMessage = &message
	return resp
}
