package broker

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"time"

	"gregor/pkg/model"
)

// Look is what a user wants to know first about a broker that has started.
type Look struct {
	ID        model.BrokerID
	ClusterID string
	Listeners []ListenerLook
	Dirs      []DirLook
}

// ListenerLook is a listener with what clients are told to connect to.
type ListenerLook struct {
	Bound, Advertised model.Endpoint
	// Problem is why clients may not get through, "" when nothing is known.
	Problem string
}

// DirLook is a directory of data.
type DirLook struct {
	Path string
	Hint string // why data may be gone after a reboot, "" when it stays
}

// Look describes the broker after its start.
func (b *Broker) Look(ctx context.Context) Look {
	look := Look{ID: b.id, ClusterID: b.clusterID}
	advertised := b.advertised()
	for _, bound := range b.network.Endpoints() {
		row := ListenerLook{Bound: bound}
		for _, e := range advertised {
			if e.Listener == bound.Listener {
				row.Advertised = e
				row.Problem = resolveProblem(ctx, e.Host)
			}
		}
		look.Listeners = append(look.Listeners, row)
	}
	for _, dir := range b.current().LogDirs() {
		look.Dirs = append(look.Dirs, DirLook{dir, temporaryHint(dir)})
	}
	return look
}

// resolveProblem tells when an advertised name cannot be resolved here.
func resolveProblem(ctx context.Context, host string) string {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if _, err := net.DefaultResolver.LookupHost(ctx, host); err != nil {
		return fmt.Sprintf("the name %s does not resolve on this host; clients that cannot resolve it either will fail", host)
	}
	return ""
}

// temporaryHint tells when a directory does not outlive a reboot.
func temporaryHint(dir string) string {
	absolute, err := filepath.Abs(dir)
	if err != nil {
		absolute = dir
	}
	if absolute == "/tmp" || strings.HasPrefix(absolute, "/tmp/") {
		return "is under /tmp, which many systems empty at a reboot"
	}
	if onTmpfs(absolute) {
		return "lies in memory (tmpfs) and is gone after a reboot"
	}
	return ""
}

// warnAtFirstLook logs what is likely to surprise.
func (b *Broker) warnAtFirstLook(look Look) {
	for _, l := range look.Listeners {
		if l.Problem != "" {
			b.log.Warnf("%slistener %s is advertised as %s: %s", b.prefix(), l.Bound.Listener, l.Advertised, l.Problem)
		}
	}
	for _, d := range look.Dirs {
		if d.Hint != "" {
			b.log.Warnf("%slog directory %s %s", b.prefix(), d.Path, d.Hint)
		}
	}
}
