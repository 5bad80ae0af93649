package cli

import (
	"bytes"
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gregor/pkg/logging"
)

// refusedAddress is an address of the loopback where nobody listens.
func refusedAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	return listener.Addr().String()
}

func TestReconnectPauses(t *testing.T) {
	for failures, want := range map[int]time.Duration{1: 50, 2: 100, 3: 200, 5: 800, 6: 1000, 1000: 1000} {
		want *= time.Millisecond
		for range 50 {
			pause := reconnectPause(50*time.Millisecond, time.Second, failures)
			require.GreaterOrEqual(t, pause, want*8/10)
			require.LessOrEqual(t, pause, want*12/10)
		}
	}
	require.LessOrEqual(t, reconnectPause(time.Second, time.Millisecond, 9), 1200*time.Millisecond)
}

func TestAnAddressThatFailsIsLeftAlone(t *testing.T) {
	address := refusedAddress(t)
	var out bytes.Buffer
	v, err := parseClientValues(logging.New(&out).Logger("x"), nil, map[string]string{"reconnect.backoff.ms": "30", "reconnect.backoff.max.ms": "60"})
	require.NoError(t, err)
	network, _, err := commonOptions(context.Background(), logging.New(&out), v, address, "Producer clientId=p", "p")
	require.NoError(t, err)
	started := time.Now()
	for range 4 {
		_, err := network.dial(context.Background(), "tcp", address)
		require.Error(t, err)
	}
	require.GreaterOrEqual(t, time.Since(started), (24+48+48)*time.Millisecond)
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Len(t, lines, 8)
	require.Regexp(t, `^\[[^]]*\] WARN \[Producer clientId=p\] Connection to node -1 \(/127\.0\.0\.1:\d+\) could not be established\. Broker may not be available\. \(org\.apache\.kafka\.clients\.NetworkClient\)$`, lines[0])
	require.Contains(t, lines[1], "WARN [Producer clientId=p] Bootstrap broker "+address+" (id: -1 rack: null) disconnected")

	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = network.dial(ctx, "tcp", address)
	require.ErrorIs(t, err, context.Canceled)
	require.Len(t, strings.Split(strings.TrimSpace(out.String()), "\n"), 8)
}

func TestAnAddressThatAnswersIsForgiven(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	var out bytes.Buffer
	v, err := parseClientValues(logging.New(&out).Logger("x"), nil, nil)
	require.NoError(t, err)
	network, _, err := commonOptions(context.Background(), logging.New(&out), v, listener.Addr().String(), "Consumer clientId=c", "c")
	require.NoError(t, err)
	network.waits[listener.Addr().String()] = &wait{failures: 9}
	conn, err := network.dial(context.Background(), "tcp", listener.Addr().String())
	require.NoError(t, err)
	require.NoError(t, conn.Close())
	require.Empty(t, network.waits)
	require.Empty(t, out.String())
}

func TestProducerGivesUpOnAnUnreachableBroker(t *testing.T) {
	_, stderr, status := invoke("x\n", "kafka-console-producer", "--bootstrap-server", refusedAddress(t), "--topic", "t", "--max-block-ms", "300")
	require.Zero(t, status)
	require.GreaterOrEqual(t, strings.Count(stderr, "could not be established"), 2, stderr)
	require.LessOrEqual(t, strings.Count(stderr, "could not be established"), 4, stderr)
	require.Contains(t, stderr, "ERROR Error when sending message to topic t with key: null, value: 1 bytes with error: (org.apache.kafka.clients.producer.internals.ErrorLoggingCallback)\n"+
		"org.apache.kafka.common.errors.TimeoutException: Topic t not present in metadata after 300 ms.\n")
}
