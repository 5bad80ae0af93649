//go:build bench

package bench

import (
	"path/filepath"
	"testing"
	"time"
)

// TestBench measures everything and prints the table at the end. Its subtests
// are the groups of rows.
func TestBench(t *testing.T) {
	tb := &table{}
	defer tb.print()
	zk := zooKeeper(t)
	t.Run("binary", func(t *testing.T) { binarySize(t, tb) })
	t.Run("start", func(t *testing.T) { starts(t, tb, zk) })
	t.Run("quickstart", func(t *testing.T) { quickstart(t, tb) })

	p := &pair{}
	for i, name := range []string{ours, theirs} {
		p[i] = broker(t, name, zk, "/"+name)
		p[i].connect(t).awaitBroker()
	}
	t.Run("idle", func(t *testing.T) { idle(t, tb, p) })
	t.Run("produce", func(t *testing.T) { produce(t, tb, p) })
	t.Run("fetch", func(t *testing.T) { catchUp(t, tb, p) })
	t.Run("topics", func(t *testing.T) { topics(t, tb, p) })
	t.Run("tools", func(t *testing.T) { consoleTools(t, tb, p) })
	t.Run("kcat", func(t *testing.T) { kcat(t, tb, p) })
}

// pair are the two brokers, ours first.
type pair [2]*side

// turns runs a measurement on both sides, turn by turn, and gives the median
// of each.
func (p *pair) turns(runs int, measure func(s *side) float64) (ours, theirs float64) {
	var figures [2][]float64
	for range runs {
		for i, s := range p {
			figures[i] = append(figures[i], measure(s))
		}
	}
	return median(figures[0]), median(figures[1])
}

// turns2 is turns for two figures of one measurement.
func (p *pair) turns2(runs int, measure func(s *side) (float64, float64)) (first, second [2]float64) {
	var a, b [2][]float64
	for range runs {
		for i, s := range p {
			x, y := measure(s)
			a[i], b[i] = append(a[i], x), append(b[i], y)
		}
	}
	for i := range p {
		first[i], second[i] = median(a[i]), median(b[i])
	}
	return first, second
}

func script(name string) string { return filepath.Join(home(), "bin", name) }

const (
	kilo = 1e3
	mega = 1e6
	giga = 1e9
	mebi = 1 << 20
)

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
