package broker_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"

	"gregor/pkg/testkit"
)

// Brokers replicate over one listener, the controller speaks over another, and
// clients, who may be several kinds, learn the addresses of their own.
func TestEachListenerHasItsUse(t *testing.T) {
	t.Parallel()
	addresses := map[string][]string{}
	names := []string{"CLIENT", "BROKER", "CONTROL"}
	c := testkit.StartClusterOf(t, 3, func(int) map[string]string {
		listeners, protocols := "", ""
		for i, name := range names {
			address := fmt.Sprintf("127.0.0.1:%d", testkit.FreePort(t))
			addresses[name] = append(addresses[name], address)
			if i > 0 {
				listeners, protocols = listeners+",", protocols+","
			}
			listeners, protocols = listeners+name+"://"+address, protocols+name+":PLAINTEXT"
		}
		return map[string]string{"listeners": listeners, "advertised.listeners": listeners, "listener.security.protocol.map": protocols,
			"inter.broker.listener.name": "BROKER", "control.plane.listener.name": "CONTROL"}
	})
	for i, m := range c.Members {
		m.Address = addresses["CLIENT"][i]
	}
	c.AwaitBrokers()
	c.Create("t", 3, "min.insync.replicas", "2")
	for i := range int32(3) {
		c.AwaitISR("t", i, 3)
	}
	w := c.StartWriter("t")
	w.More(t, 30)
	c.RequireAll("t", w.End())
	for _, name := range names[:2] {
		found, err := kadm.NewClient(clientOf(t, addresses[name][0])).ListBrokers(testkit.Deadline(t))
		require.NoError(t, err)
		for i, b := range found {
			require.Equal(t, addresses[name][i], fmt.Sprintf("%s:%d", b.Host, b.Port))
		}
	}
	connected := ""
	for i, m := range c.Members {
		require.Contains(t, m.Log.String(), "Started control-plane acceptor and processor(s) for endpoint : ListenerName(CONTROL)")
		require.Contains(t, m.Log.String(), fmt.Sprintf("BrokerEndPoint(id=%d, host=%s)", (i+1)%3, addresses["BROKER"][(i+1)%3]))
		connected += m.Log.String()
	}
	for i := range c.Members {
		require.Contains(t, connected, fmt.Sprintf("connected to %s (id: %d rack: null) for sending state change requests", addresses["CONTROL"][i], i))
	}
}
