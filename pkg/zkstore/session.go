package zkstore

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/sirupsen/logrus"

	"gregor/pkg/lifecycle"
)

// maxFrame bounds an answer of the server and a request to it, as Kafka sets
// jute.maxbuffer for its own client.
const maxFrame = 4 << 20

type sessionState int

const (
	stateConnecting   sessionState = iota // no session yet
	stateConnected                        // requests are answered
	stateDisconnected                     // the session lives on, unless time runs out
	stateLost                             // never used again
)

// String is the Java client's name of the state.
func (s sessionState) String() string {
	switch s {
	case stateConnected:
		return "CONNECTED"
	case stateLost:
		return "CLOSED"
	}
	return "CONNECTING"
}

// sessionEvents are told what happens in a session. They run on the client
// library's goroutines and must not block.
type sessionEvents struct {
	state     func(sessionState)
	node      func(zk.Event) // paths carry the chroot
	rewatched func()         // the server has taken the watches of before a reconnection
}

// session is one ZooKeeper session over one zk.Conn.
//
// The library would go on with a new session on the same Conn after an
// expiry, and send there what was queued for the old one. So a session that
// is lost refuses to dial, and a connect request for a second session is
// refused by the socket (see socket.Write). A session is lost when a server
// says so, or when nothing was heard from any server for the negotiated
// timeout.
type session struct {
	conn   *zk.Conn
	opts   Options
	chroot string
	events sessionEvents
	log    *logrus.Entry // org.apache.zookeeper.ClientCnxn
	group  *lifecycle.Group

	// mu guards the fields below; no call out while it is held.
	mu          sync.Mutex
	state       sessionState
	changed     chan struct{} // closed and replaced when state changes
	id          int64         // 0 until the first connection
	timeout     time.Duration // requested, then negotiated
	lastContact time.Time     // when a whole frame was last read
	socket      *socket
	failedDials int           // in a row
	lost        chan struct{} // closed with stateLost
}

// openSession starts connecting and returns at once. parent bounds the
// session's goroutines.
func openSession(parent *lifecycle.Group, opts Options, servers []string, chroot string, events sessionEvents) (*session, error) {
	s := &session{
		opts: opts, chroot: chroot, events: events,
		log:     opts.Loggers.Logger("org.apache.zookeeper.ClientCnxn"),
		group:   lifecycle.NewGroup(parent.Context()),
		changed: make(chan struct{}),
		timeout: opts.SessionTimeout,
		lost:    make(chan struct{}),
	}
	opts.Loggers.Logger("org.apache.zookeeper.ZooKeeper").Infof(
		"Initiating client connection, connectString=%s sessionTimeout=%d watcher=kafka.zookeeper.ZooKeeperClient$ZooKeeperClientWatcher$@%x",
		opts.Connect, opts.SessionTimeout.Milliseconds(), rand.Uint32())
	s.log.Infof("zookeeper.request.timeout value is 0. feature enabled=")
	conn, channel, err := zk.Connect(servers, opts.SessionTimeout,
		zk.WithHostProvider(newHostList(servers)), zk.WithDialer(s.dial), zk.WithEventCallback(s.onEvent),
		zk.WithLogger(libraryLog{s.log}), zk.WithLogInfo(false),
		zk.WithMaxBufferSize(maxFrame), zk.WithMaxConnBufferSize(maxFrame))
	if err != nil {
		return nil, err
	}
	s.conn = conn
	s.group.Go("zookeeper-events", func(context.Context) error {
		for range channel { // the callback has seen them; the library closes it in the end
		}
		return nil
	})
	s.group.Go("zookeeper-expiry", s.watchExpiry)
	return s, nil
}

// explainDial says why a connection could not be made.
func (s *session) explainDial(address string, err error) {
	host, port, _ := net.SplitHostPort(address)
	var dns *net.DNSError
	if errors.As(err, &dns) {
		s.opts.Loggers.Logger("org.apache.zookeeper.client.StaticHostProvider").WithError(&unknownHost{dns}).
			Errorf("Unable to resolve address: %s/<unresolved>:%s", host, port)
		return
	}
	server, reason := address, err.Error()
	var op *net.OpError
	if errors.As(err, &op) && op.Addr != nil {
		server = host + "/" + op.Addr.String()
	}
	var number syscall.Errno
	if errors.As(err, &number) {
		reason = number.Error()
	}
	s.log.Infof("Socket error occurred: %s: %s", server, strings.ToUpper(reason[:1])+reason[1:])
}

// unknownHost is shown as Java shows it.
type unknownHost struct{ dns *net.DNSError }

func (e *unknownHost) Error() string     { return e.dns.Name + ": " + e.dns.Err }
func (e *unknownHost) JavaClass() string { return "java.net.UnknownHostException" }

// dial makes one connection. The library's own time limit of a second is
// replaced by a third of the session timeout.
func (s *session) dial(network, address string, _ time.Duration) (net.Conn, error) {
	s.mu.Lock()
	over, limit := s.state == stateLost, max(s.timeout/3, time.Second)
	s.mu.Unlock()
	if over {
		return nil, ErrSessionExpired
	}
	s.log.Infof("Opening socket connection to server %s. Will not attempt to authenticate using SASL (unknown error)", address)
	ctx, cancel := context.WithTimeout(s.group.Context(), limit)
	defer cancel()
	raw, err := s.opts.Dial(ctx, network, address)
	if err != nil {
		s.explainDial(address, err)
		s.mu.Lock()
		s.failedDials++
		s.signalLocked()
		s.mu.Unlock()
		return nil, err
	}
	server := address
	if host, _, err := net.SplitHostPort(address); err == nil {
		server = host + "/" + raw.RemoteAddr().String()
	}
	s.log.Infof("Socket connection established, initiating session, client: /%s, server: %s", raw.LocalAddr(), server)
	sock := newSocket(s, raw, server)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == stateLost {
		raw.Close()
		return nil, ErrSessionExpired
	}
	s.socket = sock
	return sock, nil
}

// onEvent is the library's callback; session events come on its loop
// goroutine, before it goes on.
func (s *session) onEvent(event zk.Event) {
	switch event.Type {
	case zk.EventNodeCreated, zk.EventNodeDeleted, zk.EventNodeDataChanged, zk.EventNodeChildrenChanged:
		if s.events.node != nil {
			s.events.node(event)
		}
	case zk.EventSession:
		switch event.State {
		case zk.StateHasSession:
			s.setState(stateConnected)
		case zk.StateDisconnected:
			s.setState(stateDisconnected)
		case zk.StateExpired:
			s.lose("the server says so")
		}
	}
}

func (s *session) setState(to sessionState) {
	s.mu.Lock()
	// A session that was never there is still being connected to.
	if s.state == stateLost || s.state == to || to == stateDisconnected && s.id == 0 {
		s.mu.Unlock()
		return
	}
	s.state = to
	s.signalLocked()
	if to == stateLost {
		close(s.lost)
	}
	s.mu.Unlock()
	if s.events.state != nil {
		s.events.state(to)
	}
}

func (s *session) signalLocked() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// lose ends the session for good, from any goroutine. Nothing that is queued
// leaves the process any more.
func (s *session) lose(why string) {
	s.setState(stateLost)
	s.mu.Lock()
	sock, id := s.socket, s.id
	s.mu.Unlock()
	if sock != nil {
		sock.kill()
	}
	s.log.Debugf("Session 0x%x is lost: %s", uint64(id), why)
}

// watchExpiry loses the session when no server was heard for its timeout: a
// client that is cut off never learns of its expiry otherwise, and one whose
// last zxid is ahead of the servers' is turned away in silence for ever.
func (s *session) watchExpiry(ctx context.Context) error {
	for {
		s.mu.Lock()
		changed, state := s.changed, s.state
		left := s.timeout - time.Since(s.lastContact)
		connecting := s.id == 0
		s.mu.Unlock()
		if state == stateLost {
			return nil
		}
		if connecting {
			select {
			case <-ctx.Done():
				return nil
			case <-changed:
			}
			continue
		}
		if left <= 0 {
			s.lose("no server was heard within the session timeout")
			return nil
		}
		timer := time.NewTimer(left)
		select {
		case <-ctx.Done():
		case <-s.lost:
		case <-timer.C:
		}
		timer.Stop()
		if ctx.Err() != nil {
			return nil
		}
	}
}

// established is called by the socket when a server has accepted the
// session, before the library knows.
func (s *session) established(id int64, timeout time.Duration, server string) {
	s.mu.Lock()
	s.id, s.timeout, s.lastContact, s.failedDials = id, timeout, time.Now(), 0
	s.mu.Unlock()
	s.log.Infof("Session establishment complete on server %s, sessionid = 0x%x, negotiated timeout = %d",
		server, uint64(id), timeout.Milliseconds())
}

func (s *session) heard() {
	s.mu.Lock()
	s.lastContact = time.Now()
	s.mu.Unlock()
}

// identity is the id and timeout; the id is 0 before the first connection.
func (s *session) identity() (id int64, timeout time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.id, s.timeout
}

func (s *session) currentState() sessionState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// awaitConnected returns nil when requests can be sent, ErrSessionExpired
// when the session is lost.
func (s *session) awaitConnected(ctx context.Context) error {
	return s.awaitAttempts(ctx, math.MaxInt)
}

// awaitAttempts is awaitConnected that gives up with ErrConnectionLoss when
// so many attempts to connect have failed in a row.
func (s *session) awaitAttempts(ctx context.Context, attempts int) error {
	for {
		s.mu.Lock()
		changed, state, failed := s.changed, s.state, s.failedDials
		s.mu.Unlock()
		switch {
		case state == stateConnected:
			return nil
		case state == stateLost:
			return ErrSessionExpired
		case failed >= attempts:
			return ErrConnectionLoss
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

// close ends the session. When it is connected the server is told, so that
// its ephemeral nodes go at once; otherwise it lives on there until it times
// out. It returns when all goroutines are gone, after a second or so at most.
func (s *session) close() {
	wasConnected := s.currentState() == stateConnected
	id, _ := s.identity()
	if !wasConnected {
		s.lose("closed")
	}
	s.conn.Close()
	s.lose("closed")
	s.group.Close() //nolint:errcheck // its goroutines return none
	if wasConnected {
		s.opts.Loggers.Logger("org.apache.zookeeper.ZooKeeper").Infof("Session: 0x%x closed", uint64(id))
		s.log.Infof("EventThread shut down for session: 0x%x", uint64(id))
	}
}

func (s *session) full(path string) string {
	if s.chroot == "" {
		return path
	}
	if path == "/" {
		return s.chroot
	}
	return s.chroot + path
}

func (s *session) strip(path string) string { return stripChroot(s.chroot, path) }

func stripChroot(chroot, path string) string {
	switch {
	case chroot == "" || !hasPrefixPath(path, chroot):
		return path
	case path == chroot:
		return "/"
	}
	return path[len(chroot):]
}

// libraryLog sends the library's few error lines to the log. They repeat
// with every attempt, so they are for those who look for them.
type libraryLog struct{ entry *logrus.Entry }

func (l libraryLog) Printf(format string, args ...any) {
	l.entry.Debug(fmt.Sprintf(format, args...))
}
