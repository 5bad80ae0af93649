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

	t.Run("replication", func(t *testing.T) { replication(t, tb, zk) })
	t.Run("control", func(t *testing.T) { control(t, tb, zk) })

	p := &pair{}
	for i, name := range []string{ours, theirs} {
		p[i] = broker(t, name, zk, "/"+name, nil)
		p[i].connect(t).awaitBroker()
	}
	t.Run("idle", func(t *testing.T) { idle(t, tb, p) })
	t.Run("produce", func(t *testing.T) { produce(t, tb, p) })
	t.Run("fetch", func(t *testing.T) { catchUp(t, tb, p) })
	t.Run("formats", func(t *testing.T) { formats(t, tb, p) })
	t.Run("topics", func(t *testing.T) { topics(t, tb, p) })
	t.Run("tools", func(t *testing.T) { consoleTools(t, tb, p) })
	t.Run("kcat", func(t *testing.T) { kcat(t, tb, p) })
	t.Run("rate", func(t *testing.T) { rates(t, tb, p) })
	t.Run("cold", func(t *testing.T) { cold(t, tb, p) })
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

// cost is what a run of a load took of a broker, by the unit of the load.
type cost struct {
	cpu  float64 // seconds
	user float64 // of it not in the kernel
	rate float64 // units per second
}

// costs is turns for whole costs: the median of each part.
func (p *pair) costs(runs int, measure func(s *side) cost) (medians [2]cost) {
	var all [2][]cost
	for range runs {
		for i, s := range p {
			all[i] = append(all[i], measure(s))
		}
	}
	for i := range p {
		part := func(of func(c cost) float64) float64 {
			var figures []float64
			for _, c := range all[i] {
				figures = append(figures, of(c))
			}
			return median(figures)
		}
		medians[i] = cost{
			cpu:  part(func(c cost) float64 { return c.cpu }),
			user: part(func(c cost) float64 { return c.user }),
			rate: part(func(c cost) float64 { return c.rate }),
		}
	}
	return medians
}

// costOf runs a load of so many units.
func costOf(s *side, units float64, load func()) cost {
	cpu, user, began := s.cpu(), s.user(), time.Now()
	load()
	took := time.Since(began)
	return cost{(s.cpu() - cpu).Seconds() / units, (s.user() - user).Seconds() / units, units / took.Seconds()}
}

func script(name string) string { return filepath.Join(home(), "bin", name) }

const (
	kilo = 1e3
	mega = 1e6
	giga = 1e9
	mebi = 1 << 20
)

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
