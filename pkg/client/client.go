// Package client is how one broker talks to another: a connection that sends
// kmsg requests in a version the caller chose and returns their responses.
//
// A Conn has one request in flight at a time, which is all that Kafka's
// controller, fetchers and controlled shutdown use. Between brokers versions
// follow inter.broker.protocol.version, so nothing is negotiated here. A
// failed or timed out request breaks the connection: the caller dials again.
//
// Callers: controller (one Conn for each broker), broker (controlled
// shutdown). The package owns no goroutine. Conn.turn is its only lock; it is
// held across network I/O because it is the turn to use the connection.
//
// Not here: retries, choosing a broker, authentication (a Dialer brings the
// connection ready to use).
package client

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/model"
)

// maxResponseBytesDefault is Kafka's limit for requests; no response between
// brokers that is not a fetch comes near it.
const maxResponseBytesDefault = 100 << 20

// readBytesLeast is the least buffer for answers.
const readBytesLeast = 16 << 10

// Keys whose headers are exceptions.
const (
	keyControlledShutdown = 7
	keyApiVersions        = 18
)

var (
	// ErrClosed is returned by a connection that was closed or broken before.
	ErrClosed = errors.New("the connection is closed")
	// ErrProtocol marks bytes from the peer that are no answer to the request.
	ErrProtocol = errors.New("malformed response")
)

// Dialer opens a connection to an endpoint, ready for the first request. It
// is where TLS and SASL come in.
type Dialer func(ctx context.Context, to model.Endpoint) (net.Conn, error)

// Options describe a connection.
type Options struct {
	// ClientID goes into every request header; brokers use their own id.
	ClientID string
	// RequestTimeout bounds one request with its response, and the dialing.
	// 0 means that only the caller's context does.
	RequestTimeout time.Duration
	// MaxResponseBytes bounds a response before it is read; 0 is 100 MiB.
	MaxResponseBytes int
	// ReceiveBufferBytes is the system's buffer for what arrives; with 0 or
	// less the system finds its size.
	ReceiveBufferBytes int
	// Dial replaces plain TCP, for endpoints that are not PLAINTEXT.
	Dial Dialer
}

// Conn is a connection to a broker. Safe for concurrent use; requests wait
// for each other.
type Conn struct {
	opts      Options
	raw       net.Conn
	closeOnce sync.Once
	closed    chan struct{}

	// turn guards the fields below and the use of raw.
	turn          sync.Mutex
	correlationID int32 // of the next request
	buf           []byte
}

// Dial connects to an endpoint. Without Options.Dial only PLAINTEXT endpoints
// can be reached.
func Dial(ctx context.Context, to model.Endpoint, opts Options) (*Conn, error) {
	if opts.MaxResponseBytes == 0 {
		opts.MaxResponseBytes = maxResponseBytesDefault
	}
	dial := opts.Dial
	if dial == nil {
		dial = dialPlaintext
	}
	if opts.RequestTimeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, opts.RequestTimeout)
		defer cancel()
	}
	raw, err := dial(ctx, to)
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", to, err)
	}
	if tcp, ok := raw.(*net.TCPConn); ok && opts.ReceiveBufferBytes > 0 {
		_ = tcp.SetReadBuffer(opts.ReceiveBufferBytes) // a hint, as in Kafka
	}
	return &Conn{opts: opts, raw: raw, closed: make(chan struct{})}, nil
}

func dialPlaintext(ctx context.Context, to model.Endpoint) (net.Conn, error) {
	if to.SecurityProtocol != model.Plaintext {
		return nil, fmt.Errorf("no way to connect over %s", to.SecurityProtocol)
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", to.Address())
}

// Close ends the connection; a request under way fails with ErrClosed.
func (c *Conn) Close() error {
	var err error
	c.closeOnce.Do(func() {
		close(c.closed)
		err = c.raw.Close()
	})
	return err
}

// LastCorrelationID is the correlation id of the latest request, -1 before
// the first; they count from 0.
func (c *Conn) LastCorrelationID() int32 {
	c.turn.Lock()
	defer c.turn.Unlock()
	return c.correlationID - 1
}

// Request sends req in the version that is set in it and returns its
// response. After any error the connection is closed.
func (c *Conn) Request(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
	c.turn.Lock()
	defer c.turn.Unlock()
	select {
	case <-c.closed:
		return nil, ErrClosed
	default:
	}
	resp, err := c.roundTrip(ctx, req)
	if err == nil {
		return resp, nil
	}
	name := kmsg.NameForKey(req.Key())
	select {
	case <-c.closed:
		return nil, fmt.Errorf("%s: %w", name, ErrClosed)
	default:
	}
	c.Close()
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return nil, fmt.Errorf("%s v%d: %w", name, req.GetVersion(), err)
}

// roundTrip writes one request and reads its response, within the request
// timeout and for as long as ctx lives. A ctx that ends meanwhile fails it in
// any case: the deadline that ends the waiting may be set any moment, and must
// not hit the next request.
func (c *Conn) roundTrip(ctx context.Context, req kmsg.Request) (resp kmsg.Response, err error) {
	deadline := time.Time{}
	if c.opts.RequestTimeout > 0 {
		deadline = time.Now().Add(c.opts.RequestTimeout)
	}
	if err := c.raw.SetDeadline(deadline); err != nil {
		return nil, err
	}
	undisturbed := context.AfterFunc(ctx, func() { c.raw.SetDeadline(time.Unix(1, 0)) })
	defer func() {
		if !undisturbed() {
			resp, err = nil, ctx.Err()
		}
	}()

	id := c.correlationID
	c.correlationID = (id + 1) & math.MaxInt32
	c.buf = appendRequest(c.buf[:0], req, id, c.opts.ClientID)
	if _, err := c.raw.Write(c.buf); err != nil {
		return nil, timeoutAs(err, "sending the request")
	}
	frame, err := c.readFrame()
	if err != nil {
		return nil, timeoutAs(err, "waiting for the response")
	}
	return decodeResponse(frame, req, id)
}

// appendRequest appends a whole frame: length, header, body. The header is
//
//	v0: key int16, version int16, correlation id int32 (ControlledShutdown v0)
//	v1: v0, client id nullable string
//	v2: v1, tagged fields (flexible versions)
//
// kmsg's own formatter is not used: it leaves out the body of
// ControlledShutdown v0.
func appendRequest(dst []byte, req kmsg.Request, correlationID int32, clientID string) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	dst = binary.BigEndian.AppendUint16(dst, uint16(req.Key()))
	dst = binary.BigEndian.AppendUint16(dst, uint16(req.GetVersion()))
	dst = binary.BigEndian.AppendUint32(dst, uint32(correlationID))
	if req.Key() != keyControlledShutdown || req.GetVersion() != 0 {
		dst = kbin.AppendString(dst, clientID)
		if req.IsFlexible() {
			dst = append(dst, 0)
		}
	}
	dst = req.AppendTo(dst)
	binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start-4))
	return dst
}

// timeoutAs names what the deadline cut off.
func timeoutAs(err error, doing string) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("timed out %s: %w", doing, os.ErrDeadlineExceeded)
	}
	return err
}

// readFrame reads one length-prefixed frame; its bytes are valid until the
// next request. Since nothing follows an answer, whatever has come is taken at
// once: a short answer costs one system call.
//
// Hot path of followers: no allocation once the buffer has grown.
func (c *Conn) readFrame() ([]byte, error) {
	if cap(c.buf) < readBytesLeast {
		c.buf = make([]byte, readBytesLeast)
	}
	buf := c.buf[:cap(c.buf)]
	got, err := io.ReadAtLeast(c.raw, buf, 4)
	if err != nil {
		return nil, err
	}
	n := int(int32(binary.BigEndian.Uint32(buf)))
	switch {
	case n < 4 || n > c.opts.MaxResponseBytes:
		return nil, fmt.Errorf("response of %d bytes, want 4 to %d: %w", n, c.opts.MaxResponseBytes, ErrProtocol)
	case got > 4+n:
		return nil, fmt.Errorf("%d bytes behind the response: %w", got-4-n, ErrProtocol)
	case len(buf) < 4+n:
		c.buf = make([]byte, 4+n)
		copy(c.buf, buf[:got])
		buf = c.buf
	}
	if _, err = io.ReadFull(c.raw, buf[got:4+n]); errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return buf[4 : 4+n], err
}

// decodeResponse reads the response header (v1 with tagged fields for
// flexible versions, except ApiVersions) and the body.
func decodeResponse(frame []byte, req kmsg.Request, correlationID int32) (kmsg.Response, error) {
	if len(frame) < 4 {
		return nil, fmt.Errorf("header of %d bytes: %w", len(frame), ErrProtocol)
	}
	if got := int32(binary.BigEndian.Uint32(frame)); got != correlationID {
		return nil, fmt.Errorf("correlation id %d, want %d: %w", got, correlationID, ErrProtocol)
	}
	body := frame[4:]
	if req.IsFlexible() && req.Key() != keyApiVersions {
		var err error
		if body, err = skipTags(body); err != nil {
			return nil, err
		}
	}
	resp := req.ResponseKind()
	resp.SetVersion(req.GetVersion())
	if err := resp.ReadFrom(body); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	return resp, nil
}

func skipTags(b []byte) ([]byte, error) {
	count, n := binary.Uvarint(b)
	if n <= 0 || count > uint64(len(b)) {
		return nil, fmt.Errorf("tagged fields of the header: %w", ErrProtocol)
	}
	b = b[n:]
	for range count {
		var size uint64
		for range 2 { // the tag, then the size
			if size, n = binary.Uvarint(b); n <= 0 {
				return nil, fmt.Errorf("tagged field of the header: %w", ErrProtocol)
			}
			b = b[n:]
		}
		if size > uint64(len(b)) {
			return nil, fmt.Errorf("tagged field of %d bytes: %w", size, ErrProtocol)
		}
		b = b[size:]
	}
	return b, nil
}
