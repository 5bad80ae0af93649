package server

import (
	"encoding/binary"
	"fmt"
	"time"
)

// What people point at a ZooKeeper port by mistake is named in the log, with
// the address it comes from; a length error in its place helps nobody.

// foreignHead names the protocol of a connection by its first four bytes, ""
// when they can be the length of a frame.
func foreignHead(head [4]byte) string {
	switch string(head[:]) {
	case "GET ", "POST", "PUT ", "HEAD", "DELE", "OPTI", "CONN", "PATC", "TRAC", "PRI ":
		return "an HTTP request"
	case "SSH-":
		return "an SSH client's greeting"
	}
	if head[0] == 0x16 && head[1] == 3 {
		return "a TLS client hello (TLS is not enabled on this port)"
	}
	return ""
}

// foreignBody names what the first frame holds when that is no connect
// request.
func foreignBody(body []byte) string {
	if name := kafkaRequest(body); name != "" {
		return name
	}
	return fmt.Sprintf("a first frame of %d bytes that is not a connect request", len(body))
}

// kafkaRequest recognises the header of a Kafka request: int16 key, int16
// version, int32 correlation id, int16 length and client id.
func kafkaRequest(body []byte) string {
	if len(body) < 10 {
		return ""
	}
	key, version := binary.BigEndian.Uint16(body), binary.BigEndian.Uint16(body[2:])
	length := int16(binary.BigEndian.Uint16(body[8:]))
	if key > 100 || version > 30 || length < -1 || int(length) > len(body)-10 {
		return ""
	}
	client := ""
	if length >= 0 {
		client = fmt.Sprintf(" of client %q", body[10:10+length])
	}
	name := fmt.Sprintf("request with key %d", key)
	switch key {
	case 3:
		name = "Metadata request"
	case 18:
		name = "ApiVersions request"
	}
	return fmt.Sprintf("a Kafka %s, version %d,%s", name, version, client)
}

// foreignQuiet: a client that tries again and again is named once in so long.
const foreignQuiet = 10 * time.Second

// foreignMax bounds how many addresses are remembered.
const foreignMax = 1000

// foreignSeen is what an address sent since it was named last.
type foreignSeen struct {
	logged time.Time
	more   int
}

func (c *conn) logForeign(name string) {
	repeated, quiet := c.s.countForeign(c.ip, time.Now())
	if quiet {
		return
	}
	since := ""
	if repeated > 0 {
		since = fmt.Sprintf(" (and %d more such connections from there since the last line)", repeated)
	}
	c.s.log.cnxn.Warnf("Closed connection from %s: it sent %s, and this is the ZooKeeper port %s%s", c.remote, name, c.nc.LocalAddr(), since)
}

// countForeign counts a foreign connection from ip, and says whether to keep
// quiet about it, and else how many were kept quiet about before.
func (s *Server) countForeign(ip string, now time.Time) (repeated int, quiet bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen, known := s.foreign[ip]
	if known && now.Sub(seen.logged) < foreignQuiet {
		seen.more++
		s.foreign[ip] = seen
		return 0, true
	}
	if len(s.foreign) >= foreignMax {
		clear(s.foreign)
	}
	s.foreign[ip] = foreignSeen{logged: now}
	return seen.more, false
}
