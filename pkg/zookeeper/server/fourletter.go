package server

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"gregor/pkg/zookeeper/txnlog"
)

// fourLetterWords is the table of commands. Each makes its answer, which goes
// out before the connection is closed. They do not count as sessions and are
// answered whatever the clients are doing.
var fourLetterWords = map[string]func(c *conn, w *strings.Builder){
	"ruok": func(_ *conn, w *strings.Builder) { w.WriteString("imok") },
	"isro": func(_ *conn, w *strings.Builder) { w.WriteString("rw") },
	"srvr": func(c *conn, w *strings.Builder) { c.s.writeServer(w, nil) },
	"stat": func(c *conn, w *strings.Builder) { c.s.writeServer(w, (*conn).describeShort) },
	"mntr": func(c *conn, w *strings.Builder) { c.s.writeMonitor(w) },
	"conf": func(c *conn, w *strings.Builder) { c.s.writeConf(w) },
	"cons": func(c *conn, w *strings.Builder) {
		c.s.writeClients(w, (*conn).describe)
		w.WriteByte('\n')
	},
	"envi": func(_ *conn, w *strings.Builder) {
		w.WriteString("Environment:\n")
		for _, pair := range environment() {
			fmt.Fprintf(w, "%s=%s\n", pair[0], pair[1])
		}
	},
	"crst": func(c *conn, w *strings.Builder) { c.s.resetConnStats(); w.WriteString("Connection stats reset.\n") },
	"srst": func(c *conn, w *strings.Builder) { c.s.resetStats(); w.WriteString("Server stats reset.\n") },
	"dirs": func(c *conn, w *strings.Builder) {
		fmt.Fprintf(w, "datadir_size: %d\nlogdir_size: %d\n", txnlog.DirSize(c.s.snapDir), txnlog.DirSize(c.s.logDir))
	},
}

// fourLetterWord answers a connection whose first four bytes are a command,
// and reports whether they are.
func (c *conn) fourLetterWord(word string) bool {
	command, known := fourLetterWords[word]
	if !known {
		return false
	}
	c.s.log.cnxn.Infof("Processing %s command from %s", word, c.remote)
	c.s.mu.Lock()
	c.received()
	c.s.mu.Unlock()
	var w strings.Builder
	if c.s.allowed(word) {
		command(c, &w)
	} else {
		fmt.Fprintf(&w, "%s is not executed because it is not in the whitelist.\n", word)
	}
	c.s.mu.Lock()
	c.s.release(output{c: c, frame: []byte(w.String())})
	c.s.mu.Unlock()
	return true
}

func (s *Server) allowed(word string) bool {
	return slices.Contains(s.cfg.FourLetterWords, "*") || slices.Contains(s.cfg.FourLetterWords, word)
}

// writeServer writes what srvr and, with a description of clients, stat
// answer.
func (s *Server) writeServer(w *strings.Builder, describe func(c *conn) string) {
	fmt.Fprintf(w, "Zookeeper version: %s\n", version)
	if describe != nil {
		w.WriteString("Clients:\n")
		s.writeClients(w, describe)
		w.WriteByte('\n')
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	l := &s.stats.latency
	fmt.Fprintf(w, "Latency min/avg/max: %d/%d/%d\n", l.minimum(), l.average(), l.max)
	fmt.Fprintf(w, "Received: %d\nSent: %d\nConnections: %d\nOutstanding: %d\n", s.stats.received, s.stats.sent, len(s.conns), s.outstanding)
	fmt.Fprintf(w, "Zxid: 0x%x\nMode: standalone\nNode count: %d\n", uint64(s.zxid), s.nodeCount())
}

// nodeCount counts the root twice, as ZooKeeper does.
func (s *Server) nodeCount() int { return s.tree.Count() + 1 }

func (s *Server) writeClients(w *strings.Builder, describe func(c *conn) string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	lines := make([]string, 0, len(s.conns))
	for c := range s.conns {
		lines = append(lines, describe(c))
	}
	slices.Sort(lines)
	for _, line := range lines {
		fmt.Fprintf(w, " %s\n", line)
	}
}

// describeShort is a connection in the list of stat.
func (c *conn) describeShort() string {
	interest := 0
	if c.session != nil {
		interest = 1
	}
	return fmt.Sprintf("%s[%d](queued=0,recved=%d,sent=%d)", c.remote, interest, c.stats.received, c.stats.sent)
}

// describe is a connection in the list of cons.
func (c *conn) describe() string {
	if c.session == nil {
		return c.describeShort()
	}
	st := &c.stats
	cxid := ""
	if st.lastCxid >= 0 {
		cxid = fmt.Sprintf(",lcxid=0x%x", st.lastCxid)
	}
	return fmt.Sprintf("%s[1](queued=0,recved=%d,sent=%d,sid=0x%x,lop=%s,est=%d,to=%d%s,lzxid=0x%x,lresp=%d,llat=%d,minlat=%d,avglat=%d,maxlat=%d)",
		c.remote, st.received, st.sent, uint64(c.session.ID), st.lastOp.Short(), st.established.UnixMilli(), c.session.Timeout.Milliseconds(),
		cxid, uint64(st.lastZxid), st.lastResponse.Milliseconds(), st.lastLatency, st.latency.minimum(), st.latency.average(), st.latency.max)
}

func (s *Server) writeMonitor(w *strings.Builder) {
	s.mu.Lock()
	l := s.stats.latency
	rows := []struct {
		name  string
		value any
	}{
		{"version", version}, {"avg_latency", l.average()}, {"max_latency", l.max}, {"min_latency", l.minimum()},
		{"packets_received", s.stats.received}, {"packets_sent", s.stats.sent}, {"num_alive_connections", len(s.conns)},
		{"outstanding_requests", s.outstanding}, {"server_state", "standalone"}, {"znode_count", s.nodeCount()},
		{"watch_count", s.watches.Count()}, {"ephemerals_count", s.tree.EphemeralCount()}, {"approximate_data_size", s.tree.DataSize()},
	}
	s.mu.Unlock()
	for _, row := range rows {
		fmt.Fprintf(w, "zk_%s\t%v\n", row.name, row.value)
	}
	if entries, err := os.ReadDir("/proc/self/fd"); err == nil {
		fmt.Fprintf(w, "zk_open_file_descriptor_count\t%d\n", len(entries))
	}
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) == nil {
		fmt.Fprintf(w, "zk_max_file_descriptor_count\t%d\n", limit.Cur)
	}
}

// writeConf shows what the server runs with.
func (s *Server) writeConf(w *strings.Builder) {
	fmt.Fprintf(w, "clientPort=%d\nsecureClientPort=-1\n", s.port())
	fmt.Fprintf(w, "dataDir=%s\ndataDirSize=%d\n", s.snapDir, txnlog.DirSize(s.snapDir))
	fmt.Fprintf(w, "dataLogDir=%s\ndataLogSize=%d\n", s.logDir, txnlog.DirSize(s.logDir))
	fmt.Fprintf(w, "tickTime=%d\nmaxClientCnxns=%d\n", s.cfg.TickTime.Milliseconds(), s.cfg.MaxClientCnxns)
	fmt.Fprintf(w, "minSessionTimeout=%d\nmaxSessionTimeout=%d\n", s.cfg.MinSessionTimeout.Milliseconds(), s.cfg.MaxSessionTimeout.Milliseconds())
	w.WriteString("serverId=0\n")
}

func (s *Server) resetStats() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.reset()
}

func (s *Server) resetConnStats() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.stats = connStats{established: time.Now(), lastOp: c.stats.lastOp, lastCxid: c.stats.lastCxid}
	}
}
