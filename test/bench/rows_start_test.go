//go:build bench

package bench

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func binarySize(t *testing.T, tb *table) {
	info, err := os.Stat(script("gregor"))
	require.NoError(t, err)
	tb.add(t, "binary", "MB", float64(info.Size())/mega, 0, goal{atMost: 25})
}

// starts measures from exec of the start script to the first answer that
// names a broker, in an empty directory and an empty chroot.
func starts(t *testing.T, tb *table, zk string) {
	var figures [2][]float64
	for i := range 7 {
		for j, name := range []string{ours, theirs} {
			if name == theirs && i > 2 {
				continue
			}
			s := broker(t, name, zk, fmt.Sprintf("/start-%s-%d", name, i), nil)
			s.connect(t).awaitBroker()
			figures[j] = append(figures[j], milliseconds(time.Since(s.started)))
			s.stop()
		}
	}
	tb.add(t, "start to the first Metadata", "ms", median(figures[0]), median(figures[1]), goal{atMost: 100})
}

// quickstart measures what `make run` starts, ZooKeeper and broker in one
// process.
func quickstart(t *testing.T, tb *table) {
	var figures []float64
	for range 5 {
		s := &side{name: ours, address: fmt.Sprintf("127.0.0.1:%d", freePort(t))}
		port := freePort(t)
		zk := properties(t, "zookeeper.properties", map[string]string{
			"dataDir": t.TempDir(), "clientPort": fmt.Sprint(port), "clientPortAddress": "127.0.0.1"})
		config := properties(t, "server.properties", map[string]string{
			"listeners": "PLAINTEXT://" + s.address, "log.dirs": t.TempDir(), "zookeeper.connect": fmt.Sprintf("127.0.0.1:%d", port)})
		s.process = start(t, script("gregor"), []string{"quickstart", zk, config}, "LOG_DIR="+t.TempDir(), "GREGOR_HOME="+home())
		s.connect(t).awaitBroker()
		figures = append(figures, milliseconds(time.Since(s.started)))
		s.stop()
	}
	tb.add(t, "make run to the first Metadata", "ms", median(figures), 0, goal{atMost: 300})
}

// idle measures brokers that have nothing to do.
func idle(t *testing.T, tb *table, p *pair) {
	const watched = 20 * time.Second
	watch := func() (cpu [2]float64) {
		var before [2]time.Duration
		for i, s := range p {
			before[i] = s.cpu()
		}
		began := time.Now()
		time.Sleep(watched)
		for i, s := range p {
			cpu[i] = 100 * float64(s.cpu()-before[i]) / float64(time.Since(began))
		}
		return cpu
	}
	time.Sleep(2 * time.Second) // what is done after a start
	tb.add(t, "memory, empty", "MB", p[0].resident()/mega, p[1].resident()/mega, goal{atMost: 25})
	for _, s := range p {
		s.connect(t).create("idle", 1000)
	}
	time.Sleep(2 * time.Second)
	cpu := watch()
	tb.add(t, "memory, 1,000 idle partitions", "MB", p[0].resident()/mega, p[1].resident()/mega, goal{atMost: 60})
	tb.add(t, "CPU, 1,000 idle partitions", "% of a core", cpu[0], cpu[1], goal{atMost: 1})
	for i, s := range p {
		files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.cmd.Process.Pid))
		require.NoError(t, err)
		cpu[i] = float64(len(files))
	}
	tb.add(t, "descriptors, 1,000 idle partitions", "", cpu[0], cpu[1], goal{})
}
