package replica_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"gregor/pkg/testkit"
)

// Links break while records are written: others do not reach a broker, it does
// not reach ZooKeeper, or both, for shorter and longer than sessions last.
// Nothing that was acknowledged is lost, and all replicas end the same.
func TestBrokenLinks(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	c := testkit.StartCluster(t, 3, map[string]string{"replica.lag.time.max.ms": "800", "log.segment.bytes": "20000"})
	c.AwaitBrokers()
	c.Create("t", 3, "min.insync.replicas", "2")
	for i := range int32(3) {
		c.AwaitISR("t", i, 3)
	}
	w := c.StartWriter("t")
	w.More(t, 50)
	for range 5 {
		m := c.Members[random.IntN(3)]
		kind, length := random.IntN(3), time.Duration(100+random.IntN(2000))*time.Millisecond
		t.Logf("broker %d, kind %d, for %v", m.ID(), kind, length)
		if kind != 0 {
			m.CutZooKeeper()
		}
		if kind != 1 {
			m.Cut()
		}
		time.Sleep(length)
		m.MendZooKeeper()
		m.Mend()
		if random.IntN(2) == 0 {
			w.More(t, 20)
		}
	}
	for i := range int32(3) {
		c.AwaitISR("t", i, 3)
	}
	w.More(t, 20)
	c.RequireAll("t", w.End())
	for i := range int32(3) {
		c.RequireSameFiles("t", i)
	}
}
