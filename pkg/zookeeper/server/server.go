package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"gregor/pkg/lifecycle"
	"gregor/pkg/zookeeper/session"
	"gregor/pkg/zookeeper/tree"
	"gregor/pkg/zookeeper/txnlog"
)

// ErrDataDir says that a data directory cannot be used.
var ErrDataDir = errors.New("data directory is not usable")

// Server is a running ZooKeeper server. Its exported methods are safe for
// concurrent use.
type Server struct {
	cfg              Config
	snapDir, logDir  string // the version-2 directories
	locks            []*os.File
	listener         net.Listener
	group            *lifecycle.Group
	log              serverLogs
	started          time.Time // the zero of the session clock
	wakeCommitter    chan struct{}
	snapshotting     chan struct{}  // holds a token while a snapshot is being written
	writer           *txnlog.Writer // the committer's
	untilSnapshot    int            // the committer's: transactions
	untilSnapshotLen int64          // the committer's: bytes

	// mu guards the fields below. It comes before outbox.mu and is never
	// held over I/O.
	mu       sync.Mutex
	room     *sync.Cond // signalled when outstanding falls, and at the end
	tree     *tree.Tree
	watches  *tree.Watches[*conn]
	sessions *session.Tracker
	owners   map[int64]*conn // the connection of a session, if it has one
	conns    map[*conn]struct{}
	perIP    map[string]int
	foreign  map[string]foreignSeen // by address
	zxid     int64                  // of the last transaction, which may not be on disk yet
	stopping bool
	failure  error // why the server stopped by itself

	// The commit pipeline. Invariant: batch holds no output while nothing is
	// unsynced, that is while !syncing and batch has no records.
	batch       *batch
	syncing     bool // the committer has a batch
	outstanding int  // requests whose replies are held

	stats stats
}

// Start opens the directories, recovers what is in them, and serves until ctx
// is done or Close is called. When it returns, the port accepts sessions.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, log: newServerLogs(cfg.Loggers), started: time.Now(),
		snapDir: filepath.Join(cfg.DataDir, "version-2"), logDir: filepath.Join(cfg.DataLogDir, "version-2"),
		wakeCommitter: make(chan struct{}, 1), snapshotting: make(chan struct{}, 1),
		watches: tree.NewWatches[*conn](), owners: map[int64]*conn{}, conns: map[*conn]struct{}{},
		perIP: map[string]int{}, foreign: map[string]foreignSeen{}, batch: &batch{}}
	s.room = sync.NewCond(&s.mu)
	s.stats.reset()
	if err := s.open(); err != nil {
		return nil, errors.Join(err, s.unlock())
	}
	s.serve(ctx)
	return s, nil
}

// open takes the directories and the port and recovers the state.
func (s *Server) open() error {
	s.log.txnSnap.Infof("zookeeper.snapshot.trust.empty : %t", s.cfg.TrustEmptySnapshot)
	s.logEnvironment()
	if err := s.openDirs(); err != nil {
		return err
	}
	s.log.server.Infof("minSessionTimeout set to %d", s.cfg.MinSessionTimeout.Milliseconds())
	s.log.server.Infof("maxSessionTimeout set to %d", s.cfg.MaxSessionTimeout.Milliseconds())
	s.log.server.Infof("Created server with tickTime %d minSessionTimeout %d maxSessionTimeout %d datadir %s snapdir %s",
		s.cfg.TickTime.Milliseconds(), s.cfg.MinSessionTimeout.Milliseconds(), s.cfg.MaxSessionTimeout.Milliseconds(), s.logDir, s.snapDir)
	s.log.factory.Infof("binding to port %s", s.cfg.bindAddress())
	listener, err := net.Listen("tcp", net.JoinHostPort(s.cfg.ClientPortAddress, strconv.Itoa(s.cfg.ClientPort)))
	if err != nil {
		return err
	}
	s.listener = listener
	if err := s.recover(); err != nil {
		return errors.Join(err, listener.Close())
	}
	return nil
}

func (s *Server) openDirs() error {
	dirs := []string{s.cfg.DataDir}
	if s.cfg.DataLogDir != s.cfg.DataDir {
		dirs = append(dirs, s.cfg.DataLogDir)
	}
	for _, dir := range dirs {
		if err := os.MkdirAll(filepath.Join(dir, "version-2"), 0o755); err != nil {
			return fmt.Errorf("%w: %w", ErrDataDir, err)
		}
		if err := s.lock(dir); err != nil {
			return err
		}
	}
	if len(dirs) == 2 {
		return s.checkDirs()
	}
	return nil
}

// lock keeps a second server off the directory. ZooKeeper itself takes no
// lock and ignores the file.
func (s *Server) lock(dir string) error {
	file, err := os.OpenFile(filepath.Join(dir, ".gregor.lock"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDataDir, err)
	}
	s.locks = append(s.locks, file)
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("%w: another ZooKeeper server is running on %s (it holds %s)", ErrDataDir, dir, file.Name())
	}
	return nil
}

func (s *Server) unlock() error {
	var err error
	for _, file := range s.locks {
		err = errors.Join(err, file.Close())
	}
	s.locks = nil
	return err
}

// checkDirs refuses directories that were exchanged or shared before: the
// files in the wrong one would be missed.
func (s *Server) checkDirs() error {
	if snapshots, err := txnlog.Snapshots(s.logDir); err != nil || len(snapshots) > 0 {
		return errors.Join(fmt.Errorf("%w: Log directory has snapshot files. Check if dataLogDir and dataDir configuration is correct.", ErrDataDir), err)
	}
	if logs, err := txnlog.Logs(s.snapDir); err != nil || len(logs) > 0 {
		return errors.Join(fmt.Errorf("%w: Snapshot directory has log files. Check if dataLogDir and dataDir configuration is correct.", ErrDataDir), err)
	}
	return nil
}

// recover loads the state. A directory without a snapshot gets one before
// anything is logged, for without one its log could not be read again.
func (s *Server) recover() error {
	state, err := txnlog.Recover(txnlog.Options{SnapDir: s.snapDir, LogDir: s.logDir, TrustEmpty: s.cfg.TrustEmptySnapshot})
	if err != nil {
		return err
	}
	for _, warning := range state.Warnings {
		s.log.txnSnap.Warn(warning)
	}
	s.tree, s.zxid = state.Tree, state.Zxid
	s.sessions = session.NewTracker(s.cfg.TickTime, s.started)
	for id, timeout := range state.Sessions {
		s.sessions.Add(s.now(), id, time.Duration(timeout)*time.Millisecond)
	}
	s.writer = txnlog.NewWriter(s.logDir, s.cfg.PreAllocSize, func(name string) {
		s.log.txnLog.Infof("Creating new log file: %s", name)
	})
	s.resetSnapshotCount()
	if state.SnapshotZxid != s.zxid || len(state.Warnings) > 0 {
		return s.writeSnapshot(s.capture())
	}
	return nil
}

func (s *Server) serve(ctx context.Context) {
	s.group = lifecycle.NewGroup(ctx)
	s.group.Go("stop", func(ctx context.Context) error {
		<-ctx.Done()
		s.stop()
		return nil
	})
	s.group.Go("committer", s.commitBatches)
	s.group.Go("expirer", s.expireSessions)
	s.group.Go("acceptor", s.accept)
	if s.cfg.PurgeInterval > 0 {
		s.group.Go("purger", s.purge)
	}
}

// Addr is the address that the server listens on; with all interfaces it is
// the one to connect to from this machine.
func (s *Server) Addr() string {
	addr := s.listener.Addr().(*net.TCPAddr)
	if addr.IP.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", strconv.Itoa(addr.Port))
	}
	return addr.String()
}

func (s *Server) port() int { return s.listener.Addr().(*net.TCPAddr).Port }

// Done is closed when the server begins to stop, for whatever reason.
func (s *Server) Done() <-chan struct{} { return s.group.Context().Done() }

// Err is why the server stopped by itself, nil when it did not.
func (s *Server) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failure
}

// Close ends all connections, writes out what was accepted, and waits for
// everything to end. Sessions stay alive on disk: a client that comes back
// after a restart finds its session and its ephemeral nodes.
func (s *Server) Close() error {
	err := s.group.Close()
	return errors.Join(err, s.Err(), s.unlock())
}

// stop makes every goroutine of the group come to its end.
func (s *Server) stop() {
	s.mu.Lock()
	s.stopping = true
	s.room.Broadcast()
	conns := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		conns = append(conns, c)
	}
	s.mu.Unlock()
	if err := s.listener.Close(); err != nil {
		s.log.factory.Warnf("closing the listener: %v", err)
	}
	for _, c := range conns {
		c.shut()
	}
}

// fail stops the server because the disk failed it.
func (s *Server) fail(err error) {
	s.mu.Lock()
	if s.failure == nil {
		s.failure = err
	}
	s.stopping = true
	s.mu.Unlock()
	s.log.server.Errorf("The transaction log cannot be written, so the server stops: %v", err)
	s.group.Cancel()
}

// now is the session clock: it does not jump when the wall clock is set.
func (s *Server) now() time.Duration { return time.Since(s.started) }

func (s *Server) accept(ctx context.Context) error {
	for {
		nc, err := s.listener.Accept()
		if ctx.Err() != nil {
			if err == nil {
				nc.Close()
			}
			return nil
		}
		if err != nil {
			// Out of descriptors, most likely: wait for some to be given back.
			s.log.factory.Warnf("Error accepting new connection: %v", err)
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
			continue
		}
		if c := s.admit(nc); c != nil {
			s.group.Go("reader "+c.remote, c.read)
			s.group.Go("writer "+c.remote, c.write)
		}
	}
}

// admit enters a connection, or closes it when its address has too many.
func (s *Server) admit(nc net.Conn) *conn {
	c := newConn(s, nc)
	s.mu.Lock()
	limit := s.cfg.MaxClientCnxns
	tooMany := limit > 0 && s.perIP[c.ip] >= limit
	refused := tooMany || s.stopping
	if !refused {
		s.conns[c] = struct{}{}
		s.perIP[c.ip]++
	}
	s.mu.Unlock()
	if tooMany {
		s.log.factory.Warnf("Too many connections from /%s - max is %d", c.ip, limit)
	}
	if refused {
		nc.Close()
		return nil
	}
	return c
}

// forget takes a connection and its watches out of the tables.
func (s *Server) forget(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if s.perIP[c.ip]--; s.perIP[c.ip] == 0 {
		delete(s.perIP, c.ip)
	}
	s.watches.RemoveAll(c)
	if c.session != nil && s.owners[c.session.ID] == c {
		delete(s.owners, c.session.ID)
	}
	c.gone = true
}
