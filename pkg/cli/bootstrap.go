package cli

import (
	"context"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"github.com/sirupsen/logrus"
)

// node is a broker as a client knows it: a bootstrap address has an id of
// -1, -2 and so on, a broker that was learnt from metadata its own.
type node struct {
	id        int32
	host      string // as written
	port      int32
	addresses []string // of the host; empty until it was resolved
	next      int      // the address to try next
}

// name is the node as Java prints a resolved address: "localhost/127.0.0.1:9092",
// or "/127.0.0.1:9092" when the host is an address itself.
func (n *node) name() string {
	address := n.address()
	shown := address
	if ip, err := netip.ParseAddr(address); err == nil && ip.Is6() {
		shown = javaIPv6(ip)
	}
	host := n.host
	if _, err := netip.ParseAddr(host); err == nil {
		host = ""
	}
	return host + "/" + shown + ":" + strconv.Itoa(int(n.port))
}

// address is the address in turn, or the host while it is not resolved.
func (n *node) address() string {
	if len(n.addresses) == 0 {
		return n.host
	}
	return n.addresses[n.next%len(n.addresses)]
}

// resolve looks the host up, once; it reports whether there is an address.
func (n *node) resolve(ctx context.Context) bool {
	if len(n.addresses) > 0 {
		return true
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", n.host)
	if err != nil {
		return false
	}
	var four, six []string // as in Java, IPv4 first
	for _, ip := range ips {
		if ip = ip.Unmap(); ip.Is4() {
			four = append(four, ip.String())
		} else {
			six = append(six, ip.String())
		}
	}
	n.addresses = append(four, six...)
	return len(n.addresses) > 0
}

// javaIPv6 writes an address as Inet6Address of Java does: eight groups, no
// zeros left out.
func javaIPv6(ip netip.Addr) string {
	bytes := ip.As16()
	groups := make([]string, 8)
	for i := range groups {
		groups[i] = strconv.FormatUint(uint64(bytes[2*i])<<8|uint64(bytes[2*i+1]), 16)
	}
	return strings.Join(groups, ":")
}

// hostPort is what Kafka's clients take for one entry of bootstrap.servers; a
// protocol in front of it is ignored.
var hostPort = regexp.MustCompile(`^(?:.*?://)?\[?([0-9a-zA-Z\-%._:]*)\]?:([0-9]+)$`)

// parseBootstrap reads a comma list of host:port. An entry whose host has no
// address is left out with a WARN; at least one must remain. The errors are
// the clients' ConfigExceptions.
func parseBootstrap(ctx context.Context, list string, log *logrus.Entry) ([]*node, error) {
	var nodes []*node
	for entry := range strings.SplitSeq(list, ",") {
		if entry = strings.TrimSpace(entry); entry == "" {
			continue
		}
		match := hostPort.FindStringSubmatch(entry)
		if match == nil || match[1] == "" {
			return nil, exceptionf(configException, "Invalid url in bootstrap.servers: %s", entry)
		}
		port, err := strconv.ParseUint(match[2], 10, 16)
		if err != nil {
			return nil, exceptionf(configException, "Invalid port in bootstrap.servers: %s", entry)
		}
		n := &node{id: -1 - int32(len(nodes)), host: match[1], port: int32(port)}
		if !n.resolve(ctx) {
			log.Warnf("Couldn't resolve server %s from bootstrap.servers as DNS resolution failed for %s", entry, n.host)
			continue
		}
		nodes = append(nodes, n)
	}
	if len(nodes) == 0 {
		return nil, exceptionf(configException, "No resolvable bootstrap urls given in bootstrap.servers")
	}
	return nodes, nil
}
