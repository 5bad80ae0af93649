package zkstore_test

import (
	"bytes"
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gregor/pkg/logging"
	"gregor/pkg/zkstore"
)

// lockedBuffer is written by the store's goroutines.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func TestFailedConnectionsAreTold(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	refusing := l.Addr().String()
	require.NoError(t, l.Close())
	for _, row := range []struct {
		name, connect string
		dial          func(context.Context, string, string) (net.Conn, error)
		line          string
	}{
		{"refused", refusing, nil, "INFO Socket error occurred: 127.0.0.1/" + refusing + ": Connection refused (org.apache.zookeeper.ClientCnxn)"},
		{"unknown host", "nohost.invalid:2181", func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "nohost.invalid", IsNotFound: true}}
		}, "ERROR Unable to resolve address: nohost.invalid/<unresolved>:2181 (org.apache.zookeeper.client.StaticHostProvider)\njava.net.UnknownHostException: nohost.invalid: no such host\n"},
	} {
		t.Run(row.name, func(t *testing.T) {
			var log lockedBuffer
			_, err := zkstore.Open(context.Background(), zkstore.Options{Connect: row.connect, SessionTimeout: 10 * time.Second, ConnectionTimeout: 100 * time.Millisecond,
				Name: "test", Dial: row.dial, Loggers: logging.New(&log)})
			require.Error(t, err)
			require.Contains(t, log.String(), row.line)
		})
	}
}
