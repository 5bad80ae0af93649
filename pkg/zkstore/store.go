package zkstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/sirupsen/logrus"

	"gregor/pkg/lifecycle"
)

// Store is a client of one ensemble. Safe for concurrent use.
type Store struct {
	opts    Options
	servers []string
	chroot  string
	log     *logrus.Entry // kafka.zookeeper.ZooKeeperClient
	client  *logrus.Entry // kafka.zk.KafkaZkClient
	group   *lifecycle.Group
	slots   chan struct{} // one for each request in flight
	watches *watches
	closing atomic.Bool

	// mu guards the fields below. Order: mu, then session.mu.
	mu        sync.Mutex
	current   *session
	handlers  []*SessionHandler
	announced int64   // the session whose id the owner was told
	former    []int64 // our sessions that are over; nodes of theirs are taken over
}

// SessionHandler is told about the change from a lost session to the next.
// Either function may be nil. They run on the session manager's goroutine,
// one after another in the order of registration.
type SessionHandler struct {
	// BeforeNewSession is awaited before a new session is begun. Operations
	// fail with ErrSessionExpired while it runs.
	BeforeNewSession func()
	// AfterNewSession runs when the new session stands; operations work. A
	// watch's function runs after it.
	AfterNewSession func()
}

// Open connects to the ensemble and returns when the first session stands. It
// fails with a *TimeoutError when there is none within
// Options.ConnectionTimeout.
func Open(ctx context.Context, opts Options) (*Store, error) {
	opts = opts.withDefaults()
	servers, chroot, err := parseConnect(opts.Connect)
	if err != nil {
		return nil, err
	}
	if chroot != "" && opts.CreateChroot {
		if err := createChroot(ctx, opts, servers, chroot); err != nil {
			return nil, err
		}
	}
	return open(ctx, opts, servers, chroot)
}

// createChroot makes the chroot in a session of its own.
func createChroot(ctx context.Context, opts Options, servers []string, chroot string) error {
	outer := opts
	outer.Connect, _, _ = strings.Cut(opts.Connect, "/")
	outer.OnSessionID = nil
	s, err := open(ctx, outer, servers, "")
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.ensurePath(ctx, chroot); err != nil {
		return fmt.Errorf("chroot %s: %w", chroot, err)
	}
	opts.Loggers.Logger("kafka.server.KafkaServer").Infof("Created zookeeper path %s", chroot)
	return nil
}

func open(ctx context.Context, opts Options, servers []string, chroot string) (*Store, error) {
	s := &Store{
		opts: opts, servers: servers, chroot: chroot,
		log:    opts.Loggers.Logger("kafka.zookeeper.ZooKeeperClient"),
		client: opts.Loggers.Logger("kafka.zk.KafkaZkClient"),
		group:  lifecycle.NewGroup(context.Background()),
		slots:  make(chan struct{}, opts.MaxInFlight),
	}
	if opts.PreviousSessionID != 0 {
		s.former = append(s.former, opts.PreviousSessionID)
	}
	s.watches = newWatches(s)
	s.log.Infof("%sInitializing a new session to %s.", s.prefix(), opts.Connect)
	first, err := s.begin()
	if err != nil {
		s.group.Close()
		return nil, err
	}
	s.log.Infof("%sWaiting until connected.", s.prefix())
	waiting, cancel := context.WithTimeout(ctx, opts.ConnectionTimeout)
	defer cancel()
	if err := first.awaitConnected(waiting); err != nil {
		s.Close()
		if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
			err = &TimeoutError{State: stateConnecting.String()}
		}
		return nil, err
	}
	s.log.Infof("%sConnected.", s.prefix())
	s.group.Go("zookeeper-session-manager", s.manageSessions)
	s.group.Go("zookeeper-watches", s.watches.run)
	return s, nil
}

func (s *Store) prefix() string {
	if s.opts.Name == "" {
		return "[ZooKeeperClient] "
	}
	return "[ZooKeeperClient " + s.opts.Name + "] "
}

// begin makes a session and puts it in the current one's place.
func (s *Store) begin() (*session, error) {
	events := sessionEvents{node: s.watches.event, rewatched: s.watches.fireAll}
	next, err := openSession(s.group, s.opts, s.servers, s.chroot, events)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.current = next
	s.mu.Unlock()
	return next, nil
}

// announce tells the owner the id of the session, once, before an ephemeral
// node is made in it.
func (s *Store) announce(sess *session) {
	id, _ := sess.identity()
	s.mu.Lock()
	known := s.announced == id
	s.announced = id
	s.mu.Unlock()
	if !known && id != 0 && s.opts.OnSessionID != nil {
		s.opts.OnSessionID(id)
	}
}

// manageSessions replaces each lost session by a new one.
func (s *Store) manageSessions(ctx context.Context) error {
	for {
		sess := s.session()
		select {
		case <-ctx.Done():
			return nil
		case <-sess.lost:
		}
		if s.closing.Load() {
			return nil
		}
		if err := s.replace(ctx, sess); err != nil {
			return err
		}
	}
}

// replace goes from a lost session to the next: handlers before, a new
// session, handlers after. Only a closed store ends the attempts.
func (s *Store) replace(ctx context.Context, old *session) error {
	s.watches.hold()
	s.log.Infof("%sSession expired.", s.prefix())
	id, _ := old.identity()
	s.mu.Lock()
	if id != 0 {
		s.former = append(s.former, id)
		if surplus := len(s.former) - formerMax; surplus > 0 {
			s.former = slices.Delete(s.former, 0, surplus)
		}
	}
	handlers := slices.Clone(s.handlers)
	s.mu.Unlock()
	for _, h := range handlers {
		if h.BeforeNewSession != nil {
			h.BeforeNewSession()
		}
	}
	s.group.Go("zookeeper-session-close", func(context.Context) error { old.close(); return nil })
	if ctx.Err() != nil {
		return nil
	}
	s.log.Infof("%sInitializing a new session to %s.", s.prefix(), s.opts.Connect)
	next, err := s.begin()
	if err != nil {
		return err
	}
	if err := next.awaitConnected(ctx); err != nil {
		return nil // closed, or lost again: the caller's loop sees which
	}
	for _, h := range handlers {
		if h.AfterNewSession != nil {
			h.AfterNewSession()
		}
	}
	s.watches.release()
	return nil
}

// formerMax is how many of our former sessions are remembered. One that is
// older has surely expired.
const formerMax = 16

// Close ends the session and all goroutines. Ephemeral nodes go at once when
// the ensemble can be reached.
func (s *Store) Close() {
	if s.closing.Swap(true) {
		s.group.Close() //nolint:errcheck // reported by the first call
		return
	}
	s.log.Infof("%sClosing.", s.prefix())
	// The manager may be between two sessions: end it first, so that the
	// session closed here is the last one.
	s.group.Cancel()
	s.session().close()
	if err := s.group.Close(); err != nil {
		s.log.Errorf("%sError while closing: %v", s.prefix(), err)
	}
	s.session().close()
	s.log.Infof("%sClosed.", s.prefix())
}

// OnSession registers a handler; the returned function takes it out again.
func (s *Store) OnSession(h SessionHandler) (cancel func()) {
	entry := &h
	s.mu.Lock()
	s.handlers = append(s.handlers, entry)
	s.mu.Unlock()
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.handlers = slices.DeleteFunc(slices.Clone(s.handlers), func(e *SessionHandler) bool { return e == entry })
	}
}

// SessionID is the id of the session in use; 0 while a new one is awaited.
func (s *Store) SessionID() int64 {
	id, _ := s.session().identity()
	return id
}

// SessionTimeout is what the server agreed to, or what was asked for as long
// as no session stands.
func (s *Store) SessionTimeout() time.Duration {
	_, timeout := s.session().identity()
	return timeout
}

// Connected reports whether requests are answered at this moment.
func (s *Store) Connected() bool { return s.session().currentState() == stateConnected }

// State is the Java client's name of the session's state: CONNECTING,
// CONNECTED or CLOSED.
func (s *Store) State() string { return s.session().currentState().String() }

func (s *Store) session() *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current
}

// ownedByFormerSession reports whether owner is a session of ours that is
// over, so that what it left behind is ours to take away.
func (s *Store) ownedByFormerSession(owner int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return owner != 0 && slices.Contains(s.former, owner)
}

// acl is what a node is created with (zookeeper.set.acl).
func (s *Store) acl(path string) []zk.ACL {
	open := zk.WorldACL(zk.PermAll)
	if !s.opts.SetACL || path == ConsumersPath || hasPrefixPath(path, ConsumersPath) {
		return open
	}
	own := zk.AuthACL(zk.PermAll)
	for _, secret := range []string{ConfigPath + "/users", ConfigPath + "/brokers", "/delegation_token/tokens"} {
		if hasPrefixPath(path, secret) {
			return own
		}
	}
	return append(own, zk.WorldACL(zk.PermRead)...)
}
