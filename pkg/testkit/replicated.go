package testkit

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
)

// Cluster is a ZooKeeper and several brokers in this process, each reachable
// through links that can be cut.
type Cluster struct {
	ZooKeeper string    // its address, for the tools
	Members   []*Member // by id, from 0

	t      testing.TB
	keeper *keeper
	admin  *kadm.Client // see Admin
}

// Member is a broker of a cluster. Its Broker is another one after Restart.
type Member struct {
	*Broker
	t          testing.TB
	properties map[string]string
	zooKeeper  *Link // its way to ZooKeeper
	network    *Link // everybody's way to it, and what it advertises
}

// StartCluster starts brokers with ids from 0. Sessions last a second, so
// that a dead broker is soon found out; otherwise the settings are those of
// StartBroker and properties.
func StartCluster(t testing.TB, brokers int, properties map[string]string) *Cluster {
	t.Helper()
	return StartClusterOf(t, brokers, func(int) map[string]string { return properties })
}

// StartClusterOf is StartCluster for brokers that differ in their properties.
func StartClusterOf(t testing.TB, brokers int, properties func(id int) map[string]string) *Cluster {
	t.Helper()
	k := startKeeper(t, 100*time.Millisecond)
	zooKeeper := k.server.Addr()
	c := &Cluster{ZooKeeper: zooKeeper, t: t, keeper: k}
	for id := range brokers {
		port := FreePort(t)
		m := &Member{t: t, zooKeeper: NewLink(t, zooKeeper), network: NewLink(t, fmt.Sprintf("127.0.0.1:%d", port))}
		m.properties = map[string]string{
			"broker.id": strconv.Itoa(id), "listeners": Listener(port), "advertised.listeners": "PLAINTEXT://" + m.network.Address,
			"zookeeper.session.timeout.ms": "1000", "replica.lag.time.max.ms": "2000", "replica.fetch.wait.max.ms": "100",
			"replica.fetch.backoff.ms": "100", "log.dirs": t.TempDir(), "controlled.shutdown.retry.backoff.ms": "200",
		}
		maps.Copy(m.properties, properties(id))
		m.Broker = StartBroker(t, m.zooKeeper.Address, m.properties)
		m.Address = m.network.Address
		c.Members = append(c.Members, m)
	}
	return c
}

// StopZooKeeper takes ZooKeeper away from everybody. The sessions that it has
// live on: it knows them again when it is started.
func (c *Cluster) StopZooKeeper() {
	c.t.Helper()
	require.NoError(c.t, c.keeper.server.Close())
}

// StartZooKeeper brings it back on its data, at its address.
func (c *Cluster) StartZooKeeper() {
	c.t.Helper()
	c.keeper.start()
}

// Kill makes the broker vanish as if its process was killed: nobody reaches
// it or hears from it any more, its session is left to expire, and what
// Restart finds are its files as they are at this moment.
func (m *Member) Kill() {
	m.t.Helper()
	m.network.Down()
	m.zooKeeper.Cut()
	image := m.t.TempDir()
	require.NoError(m.t, copyTree(image, m.Dir))
	m.Stop()
	require.NoError(m.t, os.RemoveAll(m.Dir))
	require.NoError(m.t, os.Rename(image, m.Dir))
}

// CutZooKeeper takes the broker's way to ZooKeeper away until MendZooKeeper.
func (m *Member) CutZooKeeper() { m.zooKeeper.Cut() }

// MendZooKeeper gives it back.
func (m *Member) MendZooKeeper() { m.zooKeeper.Mend() }

// Cut keeps everybody, the other brokers too, from reaching the broker, which
// goes on reaching others, until Mend.
func (m *Member) Cut() { m.network.Cut() }

// Mend lets the others reach the broker again.
func (m *Member) Mend() { m.network.Mend() }

// Restart starts the broker on its directory and port.
func (m *Member) Restart() {
	m.t.Helper()
	m.network.Mend()
	m.zooKeeper.Mend()
	m.Broker = StartBroker(m.t, m.zooKeeper.Address, m.properties)
	m.Address = m.network.Address
}

// copyTree copies a directory whose files are written to meanwhile. A file
// that goes away while it is copied is left out, as it would be on a disk.
func copyTree(to, from string) error {
	return filepath.WalkDir(from, func(path string, entry os.DirEntry, err error) error {
		if os.IsNotExist(err) {
			return nil
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o755)
		}
		content, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			return nil
		}
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), content, 0o644)
	})
}
