package zkstore

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"gregor/pkg/logging"
)

// Options say which ensemble a Store talks to and how. Zero values take the
// defaults named in the fields' comments.
type Options struct {
	Connect           string        // host:port,host:port/chroot, as in zookeeper.connect
	SessionTimeout    time.Duration // default 18 s
	ConnectionTimeout time.Duration // for the first session; default SessionTimeout
	MaxInFlight       int           // unanswered requests at a time; default 10
	SetACL            bool          // zookeeper.set.acl
	Name              string        // in log lines: "Kafka server"
	CreateChroot      bool          // make the chroot when it is missing, as a broker does
	Loggers           *logging.Loggers

	// PreviousSessionID is the last session of this broker's former process,
	// 0 when not known. Nodes that it left behind (/brokers/ids/N,
	// /controller) are taken over instead of refused. It must come from where
	// only this broker writes and while it holds the lock of its data
	// directory, so that the former process is surely gone.
	PreviousSessionID int64
	// OnSessionID is told the id of a session before the first ephemeral node
	// is made in it; a broker keeps it for its next start. A session without
	// such nodes is not told, so that the id of one that left some behind is
	// not forgotten for it. It must not block for long.
	OnSessionID func(id int64)

	// Dial replaces the way TCP connections are made; for tests.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

func (o Options) withDefaults() Options {
	if o.SessionTimeout <= 0 {
		o.SessionTimeout = 18 * time.Second
	}
	if o.ConnectionTimeout <= 0 {
		o.ConnectionTimeout = o.SessionTimeout
	}
	if o.MaxInFlight <= 0 {
		o.MaxInFlight = 10
	}
	if o.Loggers == nil {
		o.Loggers = logging.Discard()
	}
	if o.Dial == nil {
		o.Dial = (&net.Dialer{}).DialContext
	}
	return o
}

const defaultPort = "2181"

// parseConnect splits a connect string into servers and chroot. The chroot is
// empty or begins with a slash and does not end with one.
func parseConnect(connect string) (servers []string, chroot string, err error) {
	hosts := connect
	if slash := strings.IndexByte(connect, '/'); slash >= 0 {
		hosts, chroot = connect[:slash], strings.TrimRight(connect[slash:], "/")
		if err := ValidatePath(chroot); chroot != "" && err != nil {
			return nil, "", fmt.Errorf("chroot of %q: %w", connect, err)
		}
	}
	for _, server := range strings.Split(hosts, ",") {
		server = strings.TrimSpace(server)
		if server == "" {
			continue
		}
		address, err := serverAddress(server)
		if err != nil {
			return nil, "", fmt.Errorf("%q: %w", connect, err)
		}
		servers = append(servers, address)
	}
	if len(servers) == 0 {
		return nil, "", fmt.Errorf("%q names no ZooKeeper server", connect)
	}
	return servers, chroot, nil
}

// serverAddress gives host:port for one entry. A bare IPv6 address has no
// port; a bracketed one may have.
func serverAddress(server string) (string, error) {
	if strings.Count(server, ":") > 1 && !strings.HasPrefix(server, "[") {
		return net.JoinHostPort(server, defaultPort), nil
	}
	host, port, err := net.SplitHostPort(server)
	if err != nil {
		host, port = strings.Trim(server, "[]"), defaultPort
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return "", fmt.Errorf("%q is not a port", port)
	}
	if host == "" {
		return "", fmt.Errorf("%q has no host", server)
	}
	return net.JoinHostPort(host, port), nil
}

// ValidatePath reports what is wrong with a znode path, nil when nothing is.
func ValidatePath(path string) error {
	switch {
	case path == "":
		return fmt.Errorf("Path length must be > 0")
	case path[0] != '/':
		return fmt.Errorf("Path must start with / character")
	case path == "/":
		return nil
	case path[len(path)-1] == '/':
		return fmt.Errorf("Path must not end with / character")
	}
	at := 1
	for _, part := range strings.Split(path[1:], "/") {
		if reason := invalidPart(part, at); reason != "" {
			return fmt.Errorf("Invalid path string \"%s\" caused by %s", path, reason)
		}
		at += len([]rune(part)) + 1
	}
	return nil
}

func invalidPart(part string, at int) string {
	switch part {
	case "":
		return fmt.Sprintf("empty node name specified @%d", at)
	case ".", "..":
		return fmt.Sprintf("relative paths not allowed @%d", at+len(part)-1)
	}
	for i, r := range []rune(part) {
		switch {
		case r == 0:
			return fmt.Sprintf("null character not allowed @%d", at+i)
		case r > 0 && r < 0x20, r > 0x7e && r < 0xa0, r > 0xd7ff && r < 0xf900, r > 0xffef && r < 0x10000:
			return fmt.Sprintf("invalid character @%d", at+i)
		}
	}
	return ""
}
