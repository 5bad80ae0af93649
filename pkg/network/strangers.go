package network

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"gregor/pkg/wire"
)

// nameStranger recognises what is not Kafka's protocol by the first bytes of
// a frame, of which the reader has at least four. It returns "" for anything
// that may be Kafka's.
func nameStranger(r *bufio.Reader, size int) string {
	head, _ := r.Peek(4)
	switch {
	case isHTTP(head):
		return "an HTTP request"
	case head[0] == 0x16 && head[1] == 0x03:
		return "a TLS hello, and this listener is plaintext"
	case isFourLetterWord(head):
		return "a ZooKeeper four-letter word"
	case size == 44 || size == 45:
		if isZooKeeperConnect(r) {
			return "a ZooKeeper client's connect request"
		}
	}
	return ""
}

func isHTTP(head []byte) bool {
	for _, method := range []string{"GET ", "POST", "PUT ", "HEAD", "DELE", "OPTI", "PATC", "CONN", "PRI "} {
		if string(head) == method {
			return true
		}
	}
	return false
}

func isFourLetterWord(head []byte) bool {
	for _, word := range []string{"ruok", "stat", "srvr", "mntr", "conf", "cons", "envi", "isro", "dump", "wchs"} {
		if string(head) == word {
			return true
		}
	}
	return false
}

// isZooKeeperConnect looks for a ConnectRequest of ZooKeeper behind the
// length: protocol version 0 and a password of 16 bytes. The same bytes as a
// Kafka frame would be a Produce v0 with the correlation id 0 and an empty
// client id, which no client sends.
func isZooKeeperConnect(r *bufio.Reader) bool {
	head, err := r.Peek(32)
	return err == nil && bytes.Equal(head[4:8], []byte{0, 0, 0, 0}) && binary.BigEndian.Uint32(head[28:32]) == 16
}

// strangerInterval is how often one kind of stranger from one host is worth a
// line; the ones in between are counted.
const strangerInterval = time.Minute

// strangers remembers who was reported, so that a port scanner or a health
// check cannot fill the log.
type strangers struct {
	mu   sync.Mutex
	seen map[strangerKey]*strangerCount
}

type strangerKey struct{ host, listener, what string }

type strangerCount struct {
	last  time.Time
	quiet int
}

// maxStrangers bounds the memory; beyond it the oldest knowledge is dropped.
const maxStrangers = 1000

func (s *strangers) report(log *logrus.Entry, peer *wire.Peer, what string) {
	s.mu.Lock()
	if s.seen == nil || len(s.seen) >= maxStrangers {
		s.seen = map[strangerKey]*strangerCount{}
	}
	key := strangerKey{peer.Host, peer.Listener, what}
	count, known := s.seen[key]
	now := time.Now()
	if known && now.Sub(count.last) < strangerInterval {
		count.quiet++
		s.mu.Unlock()
		return
	}
	quiet := 0
	if known {
		quiet = count.quiet
	}
	s.seen[key] = &strangerCount{last: now}
	s.mu.Unlock()
	if quiet > 0 {
		log.Warnf("Closed a connection from %s on listener %s: it sent %s, not Kafka's protocol (%d more from this host since the last line)", peer.Address, peer.Listener, what, quiet)
		return
	}
	log.Warnf("Closed a connection from %s on listener %s: it sent %s, not Kafka's protocol", peer.Address, peer.Listener, what)
}
