package server

import (
	"math"
	"os"
	"os/user"
	"runtime"
	"time"

	"github.com/sirupsen/logrus"

	"gregor/pkg/logging"
	"gregor/pkg/zookeeper/jute"
)

// version is the release of Apache ZooKeeper whose operations this server
// has, in the form that monitoring tools parse.
const version = "3.5.9-gregor, built on 01/06/2021 19:49 GMT"

// serverLogs are the loggers, by the names of the classes that users know.
type serverLogs struct {
	server, cnxn, factory, txnSnap, txnLog, purge *logrus.Entry
}

func newServerLogs(l *logging.Loggers) serverLogs {
	const base = "org.apache.zookeeper.server."
	return serverLogs{
		server:  l.Logger(base + "ZooKeeperServer"),
		cnxn:    l.Logger(base + "NIOServerCnxn"),
		factory: l.Logger(base + "NIOServerCnxnFactory"),
		txnSnap: l.Logger(base + "persistence.FileTxnSnapLog"),
		txnLog:  l.Logger(base + "persistence.FileTxnLog"),
		purge:   l.Logger(base + "DatadirCleanupManager"),
	}
}

// environment is what the envi command and the log show of the process.
func environment() [][2]string {
	host, err := os.Hostname()
	if err != nil {
		host = "<NA>"
	}
	env := [][2]string{{"zookeeper.version", version}, {"host.name", host}, {"go.version", runtime.Version()},
		{"os.name", runtime.GOOS}, {"os.arch", runtime.GOARCH}}
	if u, err := user.Current(); err == nil {
		env = append(env, [2]string{"user.name", u.Username}, [2]string{"user.home", u.HomeDir})
	}
	if dir, err := os.Getwd(); err == nil {
		env = append(env, [2]string{"user.dir", dir})
	}
	return env
}

func (s *Server) logEnvironment() {
	for _, pair := range environment() {
		s.log.server.Infof("Server environment:%s=%s", pair[0], pair[1])
	}
}

// latency is in ms.
type latency struct {
	count, sum, min, max int64
}

func (l *latency) reset() { *l = latency{min: math.MaxInt64} }

func (l *latency) add(d time.Duration) {
	ms := d.Milliseconds()
	l.count++
	l.sum += ms
	l.min = min(l.min, ms)
	l.max = max(l.max, ms)
}

func (l *latency) minimum() int64 {
	if l.count == 0 {
		return 0
	}
	return l.min
}

func (l *latency) average() int64 {
	if l.count == 0 {
		return 0
	}
	return l.sum / l.count
}

// stats are the server's counters. Guarded by Server.mu.
type stats struct {
	received, sent int64
	latency        latency
}

func (s *stats) reset() {
	*s = stats{}
	s.latency.reset()
}

// connStats are a connection's counters. Guarded by Server.mu.
type connStats struct {
	established    time.Time
	received, sent int64
	lastOp         jute.Op
	lastCxid       int32
	lastZxid       int64
	lastResponse   time.Duration // on the session clock
	lastLatency    int64
	latency        latency
}

// received counts a request. Server.mu must be held.
func (c *conn) received() {
	c.stats.received++
	c.s.stats.received++
}

// sent counts a reply or notification. Server.mu must be held.
func (s *Server) sent(o output) {
	s.stats.sent++
	o.c.stats.sent++
	if o.started.IsZero() {
		return
	}
	took := time.Since(o.started)
	s.stats.latency.add(took)
	st := &o.c.stats
	if st.latency.count == 0 {
		st.latency.reset()
	}
	st.latency.add(took)
	st.lastLatency = took.Milliseconds()
	st.lastResponse = s.now()
	st.lastZxid = s.zxid
}
