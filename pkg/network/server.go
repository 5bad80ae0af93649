package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sync/semaphore"

	"gregor/pkg/lifecycle"
	"gregor/pkg/logging"
	"gregor/pkg/model"
	"gregor/pkg/wire"
)

// Handler answers requests; api.Router is one. Serves tells which keys it
// knows.
type Handler interface {
	Serves(key int16) bool
	Answer(ctx context.Context, r *wire.Request) wire.Answer
}

// Listener is an address to accept on.
type Listener struct {
	model.Endpoint
	InterBroker  bool // brokers use it among themselves
	ControlPlane bool // controllers alone use it (KIP-291)
}

// plane is what the log calls the kind of a listener.
func (l Listener) plane() string {
	if l.ControlPlane {
		return "control-plane"
	}
	return "data-plane"
}

// Options are the limits of a Server; the comments name Kafka's keys.
type Options struct {
	NodeID              model.BrokerID
	Listeners           []Listener
	MaxRequestBytes     int            // socket.request.max.bytes
	MaxQueuedBytes      int64          // queued.max.request.bytes, <= 0 without limit
	SendBufferBytes     int            // socket.send.buffer.bytes, -1 the system's
	ReceiveBufferBytes  int            // socket.receive.buffer.bytes, -1 the system's
	IdleMax             time.Duration  // connections.max.idle.ms, <= 0 without limit
	MaxConnections      int            // max.connections
	MaxConnectionsPerIP int            // max.connections.per.ip
	PerIPOverrides      map[string]int // max.connections.per.ip.overrides
	Loggers             *logging.Loggers
}

// Server is the broker's side of the network. Bind, then Start, then Close.
type Server struct {
	options      Options
	handler      Handler
	bound        []boundListener
	group        *lifecycle.Group
	queued       *semaphore.Weighted // nil without limit
	controlPlane bool                // there is a listener for controllers
	limits       *limits
	strange      strangers
	server       *logrus.Entry // kafka.network.SocketServer
	acceptor     *logrus.Entry // kafka.network.Acceptor
	selector     *logrus.Entry // org.apache.kafka.common.network.Selector
}

type boundListener struct {
	Listener
	socket *net.TCPListener
}

// New returns a server that listens on nothing yet.
func New(options Options, handler Handler) *Server {
	s := &Server{
		options:  options,
		handler:  handler,
		group:    lifecycle.NewGroup(context.Background()),
		limits:   newLimits(options),
		server:   options.Loggers.Logger("kafka.network.SocketServer"),
		acceptor: options.Loggers.Logger("kafka.network.Acceptor"),
		selector: options.Loggers.Logger("org.apache.kafka.common.network.Selector"),
	}
	s.controlPlane = slices.ContainsFunc(options.Listeners, func(l Listener) bool { return l.ControlPlane })
	if options.MaxQueuedBytes > 0 {
		s.queued = semaphore.NewWeighted(options.MaxQueuedBytes)
	}
	return s
}

// prefix begins the server's log lines.
func (s *Server) prefix() string {
	return fmt.Sprintf("[SocketServer listenerType=ZK_BROKER, nodeId=%d] ", s.options.NodeID)
}

// Bind opens the listening sockets. Clients may connect from now on and wait
// in the system's queue until Start. An error has Kafka's text.
func (s *Server) Bind() error {
	for _, l := range s.options.Listeners {
		if err := s.bind(l); err != nil {
			s.closeSockets()
			return err
		}
	}
	return nil
}

func (s *Server) bind(l Listener) error {
	host := l.Host
	shown := host
	if shown == "" {
		shown = "0.0.0.0"
	}
	config := net.ListenConfig{Control: s.setReceiveBuffer}
	socket, err := config.Listen(s.group.Context(), "tcp", net.JoinHostPort(host, strconv.Itoa(int(l.Port))))
	if err != nil {
		return fmt.Errorf("Socket server failed to bind to %s:%d: %s.", shown, l.Port, bindReason(err)) //nolint:staticcheck // Kafka's sentence
	}
	tcp := socket.(*net.TCPListener)
	if l.Port == 0 {
		l.Port = int32(tcp.Addr().(*net.TCPAddr).Port)
	}
	s.bound = append(s.bound, boundListener{l, tcp})
	s.acceptor.Infof("Awaiting socket connections on %s:%d.", shown, l.Port)
	processors := "processors"
	if l.ControlPlane {
		processors = "processor"
	}
	s.server.Infof("%sCreated %s acceptor and %s for endpoint : ListenerName(%s)", s.prefix(), l.plane(), processors, l.Endpoint.Listener)
	return nil
}

// bindReason gives the system's reasons in Java's words.
func bindReason(err error) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return "Address already in use"
	case errors.Is(err, syscall.EACCES):
		return "Permission denied"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "Cannot assign requested address"
	}
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return "Unresolved address"
	}
	return err.Error()
}

// Endpoints are the listeners as bound, in the order of the options: a port
// of 0 has become the real one.
func (s *Server) Endpoints() []model.Endpoint {
	endpoints := make([]model.Endpoint, len(s.bound))
	for i, l := range s.bound {
		endpoints[i] = l.Endpoint
	}
	return endpoints
}

// Start begins to accept.
func (s *Server) Start() {
	s.server.Info(s.prefix() + "Starting socket server acceptors and processors")
	for _, l := range s.bound {
		s.group.Go("acceptor-"+l.Endpoint.Listener, func(ctx context.Context) error { return s.accept(ctx, l) })
		s.server.Infof("%sStarted %s acceptor and processor(s) for endpoint : ListenerName(%s)", s.prefix(), l.plane(), l.Endpoint.Listener)
	}
	s.server.Info(s.prefix() + "Started socket server acceptors and processors")
}

// SetLimits changes how many connections there may be. Those that are open
// stay open.
func (s *Server) SetLimits(total, perIP int, perIPOverrides map[string]int) {
	s.limits.set(total, perIP, perIPOverrides)
}

// StopAccepting closes the listening sockets; open connections go on.
func (s *Server) StopAccepting() {
	s.server.Info(s.prefix() + "Stopping socket server request processors")
	s.closeSockets()
	s.server.Info(s.prefix() + "Stopped socket server request processors")
}

// Close ends every connection, waits for their goroutines and frees the
// ports. It may be called more than once.
func (s *Server) Close() error {
	s.closeSockets()
	s.group.Cancel()
	s.limits.closeAll()
	return s.group.Close()
}

func (s *Server) closeSockets() {
	for _, l := range s.bound {
		l.socket.Close()
	}
}

func (s *Server) accept(ctx context.Context, l boundListener) error {
	for {
		conn, err := l.socket.AcceptTCP()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			// Out of descriptors and the like: tell, breathe, go on.
			s.acceptor.WithError(err).Error("Error while accepting connection: " + err.Error())
			if !sleep(ctx, 100*time.Millisecond) {
				return nil
			}
			continue
		}
		s.admit(ctx, l, conn)
	}
}

// admit applies the limits and starts the connection's goroutine.
func (s *Server) admit(ctx context.Context, l boundListener, tcp *net.TCPConn) {
	host := hostOf(tcp.RemoteAddr())
	c := &connection{server: s, tcp: tcp, queued: s.queued}
	if l.ControlPlane {
		c.queued = nil // what the controller says waits for no client's bytes
	}
	if limit, ok := s.limits.add(ctx, c, host, l.InterBroker || l.ControlPlane); !ok {
		if ctx.Err() == nil {
			s.acceptor.Infof("Rejected connection from /%s, address already has the configured maximum of %d connections.", host, limit)
		}
		tcp.Close()
		return
	}
	s.setBuffers(tcp)
	c.open(l.Listener, host)
	started := s.group.Go("connection", func(ctx context.Context) error {
		defer s.limits.remove(c, host)
		defer tcp.Close()
		c.serve(ctx)
		return nil
	})
	if !started {
		s.limits.remove(c, host)
		tcp.Close()
	}
}

func (s *Server) setBuffers(tcp *net.TCPConn) {
	if n := s.options.SendBufferBytes; n > 0 {
		_ = tcp.SetWriteBuffer(n) // a hint, as in Kafka
	}
	_ = tcp.SetNoDelay(true)
	_ = tcp.SetKeepAlive(true)
}

// setReceiveBuffer sizes the buffer on the listening socket, before the
// window is negotiated.
func (s *Server) setReceiveBuffer(_, _ string, raw syscall.RawConn) error {
	n := s.options.ReceiveBufferBytes
	if n <= 0 {
		return nil
	}
	var failed error
	err := raw.Control(func(fd uintptr) {
		failed = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, n)
	})
	return errors.Join(err, failed)
}

func hostOf(addr net.Addr) string {
	host, _, err := net.SplitHostPort(addr.String())
	if err != nil {
		return addr.String()
	}
	return host
}

// sleep waits for d and reports false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
