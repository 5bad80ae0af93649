//go:build soak

package soak

import (
	"cmp"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gregor/pkg/testkit"
)

// binary is the program under test: GREGOR_BIN, or what make build has made.
func binary(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs(cmp.Or(os.Getenv("GREGOR_BIN"), filepath.Join("..", "..", "bin", "gregor")))
	require.NoError(t, err)
	require.FileExists(t, path, "make build makes it")
	return path
}

// number is that of an environment variable.
func number(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err)
	return n
}

const session = 1500 * time.Millisecond

// GREGOR_FAULTS faults, 500 without it, in histories of 25 each. Seeds follow
// one another, so that a history that fails can be repeated alone.
func TestSoak(t *testing.T) {
	const each = 25
	seed := testkit.Seed(t)
	total := number(t, "GREGOR_FAULTS", 500)
	for first := 0; first < total; first += each {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) { history(t, seed, min(each, total-first)) })
		if t.Failed() {
			t.Fatalf("to repeat the history that failed: GREGOR_SEED=%d GREGOR_FAULTS=%d", seed, min(each, total-first))
		}
		seed++
	}
}

func history(t *testing.T, seed uint64, faults int) {
	protocol := []string{"2.8", "2.8", "2.4"}[seed%3]
	t.Logf("inter.broker.protocol.version %s", protocol)
	run(t, seed, protocol, nil, testkit.HistoryOptions{Faults: faults, Topics: true})
}

// run runs one history in a cluster of its own.
func run(t *testing.T, seed uint64, protocol string, settings map[string]string, o testkit.HistoryOptions) {
	zooKeeper := testkit.StartProcessZooKeeper(t, testkit.ZooKeeperBinary(binary(t)), 100*time.Millisecond)
	var nodes []testkit.Node
	for id := range number(t, "GREGOR_BROKERS", 3) {
		properties := map[string]string{"inter.broker.protocol.version": protocol, "broker.rack": "r" + strconv.Itoa(id)}
		maps.Copy(properties, settings)
		nodes = append(nodes, testkit.StartNode(t, id, testkit.Binary(binary(t)), zooKeeper.Address, session, properties))
	}
	o.Session = session
	testkit.RunHistory(t, seed, nodes, zooKeeper, zooKeeper.Address, o)
}
