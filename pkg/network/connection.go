package network

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"gregor/pkg/protocol"
	"gregor/pkg/wire"
)

const (
	readBufferBytes = 4 << 10
	// growBytes is how much of a large frame is allocated before its bytes
	// have begun to arrive.
	growBytes = 1 << 20
)

// connection is one client. Its goroutine is the only user of every field.
type connection struct {
	server  *Server
	tcp     *net.TCPConn
	counted bool                // see limits
	queued  *semaphore.Weighted // of the bytes of frames; nil without limit
	peer    wire.Peer
	reader  *bufio.Reader
	sender  sender
}

var connectionIndex atomic.Int64

func (c *connection) open(l Listener, host string) {
	local, remote := c.tcp.LocalAddr(), c.tcp.RemoteAddr()
	c.peer = wire.Peer{
		ConnectionID:     fmt.Sprintf("%s-%s-%d", local, remote, connectionIndex.Add(1)-1),
		Address:          remote,
		Host:             host,
		Listener:         l.Endpoint.Listener,
		SecurityProtocol: l.SecurityProtocol,
		Principal:        "User:ANONYMOUS",
		Privileged:       l.ControlPlane || l.InterBroker && !c.server.controlPlane,
		SoftwareName:     "unknown",
		SoftwareVersion:  "unknown",
	}
	c.reader = bufio.NewReaderSize(c.tcp, readBufferBytes)
	c.sender.tcp = c.tcp
}

// serve answers requests until the client goes, errs, or ctx ends.
func (c *connection) serve(ctx context.Context) {
	for ctx.Err() == nil {
		frame, err := c.readFrame(ctx)
		if err != nil {
			c.reportReadError(err)
			return
		}
		goOn := c.answer(ctx, frame)
		wire.PutBuffer(frame)
		if c.queued != nil {
			c.queued.Release(min(int64(len(frame)), c.server.options.MaxQueuedBytes))
		}
		if !goOn {
			return
		}
	}
}

// errNotKafka is the error for a first frame that is another protocol's.
type errNotKafka struct{ what string }

func (e errNotKafka) Error() string { return e.what }

// errFrameSize is the error for a length field that is out of bounds.
type errFrameSize struct{ size, max int }

func (e errFrameSize) Error() string {
	if e.size < 0 {
		return fmt.Sprintf("Invalid receive (size = %d)", e.size)
	}
	return fmt.Sprintf("Invalid receive (size = %d larger than %d)", e.size, e.max)
}

// readFrame reads one frame, without its length field, into a pooled buffer.
func (c *connection) readFrame(ctx context.Context) ([]byte, error) {
	if idle := c.server.options.IdleMax; idle > 0 {
		if err := c.tcp.SetDeadline(time.Now().Add(idle)); err != nil {
			return nil, err
		}
	}
	head, err := c.reader.Peek(4)
	if err != nil {
		return nil, err
	}
	size := int(int32(binary.BigEndian.Uint32(head)))
	if what := nameStranger(c.reader, size); what != "" {
		return nil, errNotKafka{what}
	}
	if size < 0 || size > c.server.options.MaxRequestBytes {
		return nil, errFrameSize{size, c.server.options.MaxRequestBytes}
	}
	if _, err := c.reader.Discard(4); err != nil {
		return nil, err
	}
	if c.queued != nil {
		// A frame above the whole budget waits until it is alone.
		if err := c.queued.Acquire(ctx, min(int64(size), c.server.options.MaxQueuedBytes)); err != nil {
			return nil, err
		}
	}
	frame, err := c.readBody(size)
	if err != nil && c.queued != nil {
		c.queued.Release(min(int64(size), c.server.options.MaxQueuedBytes))
	}
	return frame, err
}

// readBody reads size bytes. What a client only announces costs no memory:
// beyond growBytes the buffer doubles as the bytes come in.
func (c *connection) readBody(size int) ([]byte, error) {
	frame := wire.GetBuffer(min(size, growBytes))
	for got := 0; ; {
		if _, err := io.ReadFull(c.reader, frame[got:]); err != nil {
			wire.PutBuffer(frame)
			return nil, err
		}
		if got = len(frame); got == size {
			return frame, nil
		}
		larger := wire.GetBuffer(min(size, 2*got))
		copy(larger, frame)
		wire.PutBuffer(frame)
		frame = larger
	}
}

// answer handles one frame and reports whether to read on.
func (c *connection) answer(ctx context.Context, frame []byte) bool {
	header, body, err := protocol.ParseHeader(frame)
	if !c.accepts(header, err) {
		return false
	}
	request := &wire.Request{Header: header, Body: body, Size: len(frame), Received: time.Now(), Peer: &c.peer}
	a := c.server.handler.Answer(ctx, request)
	switch {
	case a.Close:
		a.Release()
		return false
	case a.None:
		return c.throttle(ctx, a.Throttle)
	case ctx.Err() != nil:
		a.Release()
		return false
	}
	if idle := c.server.options.IdleMax; idle > 0 {
		if err := c.tcp.SetWriteDeadline(time.Now().Add(idle)); err != nil {
			a.Release()
			return false
		}
	}
	if err := c.sender.send(header, a); err != nil {
		return false
	}
	return c.throttle(ctx, a.Throttle)
}

// accepts checks key and version; a request that is refused here closes the
// connection, which is logged with what its sender called itself.
func (c *connection) accepts(h wire.Header, headerErr error) bool {
	api, known := protocol.Lookup(h.Key)
	var why string
	switch {
	case !known || !c.server.handler.Serves(h.Key):
		why = fmt.Sprintf("Received request api key %d which is not enabled", h.Key)
	case headerErr != nil:
		why = fmt.Sprintf("Error getting request for apiKey: %s, apiVersion: %d: %s", api.Name, h.Version, headerErr)
	case !api.Takes(h.Version) && h.Key != protocol.KeyApiVersions:
		why = fmt.Sprintf("Received request for api with key %d (%s) and unsupported version %d", h.Key, api.Name, h.Version)
	default:
		return true
	}
	c.server.server.Errorf("%sClosing socket for %s because of error: %s, listener name: %s, client: %s %s, principal: %s",
		c.server.prefix(), c.peer.ConnectionID, why, c.peer.Listener, c.peer.SoftwareName, c.peer.SoftwareVersion, c.peer.Principal)
	return false
}

// throttle keeps the connection mute for d.
func (c *connection) throttle(ctx context.Context, d time.Duration) bool {
	return d <= 0 || sleep(ctx, d)
}

func (c *connection) reportReadError(err error) {
	var size errFrameSize
	var stranger errNotKafka
	switch {
	case errors.As(err, &stranger):
		c.server.strange.report(c.server.selector, &c.peer, stranger.what)
	case errors.As(err, &size):
		c.server.selector.Warnf("%sUnexpected error from /%s; closing connection\norg.apache.kafka.common.network.InvalidReceiveException: %s",
			c.server.prefix(), c.peer.Host, size)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed), errors.Is(err, context.Canceled):
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.server.selector.Debugf("%sAbout to close the idle connection from %s due to being idle for %d millis",
			c.server.prefix(), c.peer.ConnectionID, c.server.options.IdleMax.Milliseconds())
	default:
		c.server.selector.Debugf("%sConnection with /%s disconnected: %s", c.server.prefix(), c.peer.Host, err)
	}
}
