// Package api answers Kafka's requests: one file per API, which decodes, calls
// one collaborator and answers.
//
// Handlers come in families that share collaborators (Handshake, Data, Topics,
// Groups, Producers, Configs, ControlPlane, Cluster); each family is a struct
// whose Register method enters its handlers into a Router. The Router is what
// network calls: on the connection's own goroutine, one request at a time for
// each connection, so a handler may block for as long as the API allows it to
// and must return when ctx is done. The package owns no goroutine.
//
// Locks: those of the fetch sessions (fetchSessions.mu, then fetchSession.mu)
// and of mentions; all are held for memory work only.
//
// Not here: reading frames, checking versions, writing answers (network).
package api

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/wire"
)

// Handler answers one API. It runs on the connection's goroutine.
type Handler func(ctx context.Context, r *wire.Request) wire.Answer

// Router finds the handler of an API key. It is filled before the listeners
// open and only read afterwards.
type Router struct {
	handlers map[int16]Handler
}

// NewRouter returns a router without handlers.
func NewRouter() *Router { return &Router{handlers: map[int16]Handler{}} }

// Handle enters the handler of a key. A key is entered once.
func (r *Router) Handle(key int16, h Handler) {
	if _, twice := r.handlers[key]; twice {
		panic(fmt.Sprintf("api key %d has two handlers", key))
	}
	r.handlers[key] = h
}

// Serves reports whether the key has a handler; only such keys are
// advertised.
func (r *Router) Serves(key int16) bool { return r.handlers[key] != nil }

// Answer calls the handler of the request's key. The caller has checked key
// and version. A body that cannot be decoded closes the connection, as in
// Kafka.
func (r *Router) Answer(ctx context.Context, req *wire.Request) wire.Answer {
	return r.handlers[req.Key](ctx, req)
}

// Typed makes a Handler of a function over kmsg types: it decodes the body
// and encodes the response in the request's version. A body that does not have
// the shape of its key and version is not decoded; it closes the connection,
// as does a nil response. Strings are copied out of the frame; byte fields of
// the decoded request still point into it.
func Typed[Req kmsg.Request](newRequest func() Req, answer func(ctx context.Context, r *wire.Request, req Req) kmsg.Response) Handler {
	return func(ctx context.Context, r *wire.Request) wire.Answer {
		if !wellFormed(r.Key, r.Version, r.Body) {
			return wire.Answer{Close: true}
		}
		req := newRequest()
		req.SetVersion(r.Version)
		if err := req.ReadFrom(r.Body); err != nil {
			return wire.Answer{Close: true}
		}
		resp := answer(ctx, r, req)
		if resp == nil {
			return wire.Answer{Close: true}
		}
		resp.SetVersion(r.Version)
		return wire.Bytes(resp.AppendTo(nil))
	}
}
