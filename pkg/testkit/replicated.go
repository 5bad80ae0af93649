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
	ZooKeeper string           // its address, for the tools
	Server    *ZooKeeperServer // what is there
	Members   []*Member        // by id, from 0

	t     testing.TB
	admin *kadm.Client // see Admin
}

// Member is a broker of a cluster. Its Broker is another one after Restart.
type Member struct {
	*Broker
	cluster    *Cluster
	earlier    []*Log // of its former lives
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
	server := StartZooKeeper(t, 100*time.Millisecond)
	zooKeeper := server.Address
	c := &Cluster{ZooKeeper: zooKeeper, Server: server, t: t}
	for id := range brokers {
		port := FreePort(t)
		m := &Member{t: t, cluster: c, zooKeeper: NewLink(t, zooKeeper), network: NewLink(t, fmt.Sprintf("127.0.0.1:%d", port))}
		m.properties = map[string]string{
			"broker.id": strconv.Itoa(id), "listeners": Listener(port), "advertised.listeners": "PLAINTEXT://" + m.network.Address,
			"zookeeper.session.timeout.ms": "1000", "zookeeper.connection.timeout.ms": "20000", "replica.lag.time.max.ms": "2000", "replica.fetch.wait.max.ms": "100",
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
	c.Server.Interrupt()
}

// StartZooKeeper brings it back on its data, at its address.
func (c *Cluster) StartZooKeeper() {
	c.t.Helper()
	c.Server.Repair()
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
	m.abandon()
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
	m.earlier = append(m.earlier, m.Log)
	m.Broker = StartBroker(m.t, m.zooKeeper.Address, m.properties)
	m.Address = m.network.Address
}

// StopInOrder is Stop, with nobody there afterwards.
func (m *Member) StopInOrder() {
	m.Stop()
	m.network.Down()
}

// Pause is what others see of a process that was stopped by a signal: it
// neither hears nor answers, and its requests come late.
func (m *Member) Pause() { m.letAll(Held) }

// Resume ends Pause.
func (m *Member) Resume() { m.letAll(Open) }

func (m *Member) letAll(p Passage) {
	m.network.Let(Anybody, p)
	m.zooKeeper.Let(Anybody, p)
	for _, other := range m.cluster.Members {
		if other != m {
			other.network.Let(int(m.ID()), p)
		}
	}
}

// Links are everybody's way to the member and its own to ZooKeeper.
func (m *Member) Links() (network, zooKeeper *Link) { return m.network, m.zooKeeper }

// LogDir is log.dirs.
func (m *Member) LogDir() string { return m.Dir }

// Seed is where clients reach it.
func (m *Member) Seed() string { return m.network.Address }

// Output is what it has logged in all its lives.
func (m *Member) Output() string {
	text := ""
	for _, l := range m.earlier {
		text += l.String()
	}
	return text + m.Log.String()
}

// Nodes are the members as a history has them.
func (c *Cluster) Nodes() []Node {
	var nodes []Node
	for _, m := range c.Members {
		nodes = append(nodes, m)
	}
	return nodes
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
