//go:build bench

package bench

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestStorage measures what the log costs beside the data: syncs, partitions,
// starts. It prints a table of its own.
func TestStorage(t *testing.T) {
	tb := &table{}
	defer tb.print()
	zk := zooKeeper(t)
	t.Run("flushed", func(t *testing.T) { flushed(t, tb, zk) })
	t.Run("empty", func(t *testing.T) { emptyPartitions(t, tb, zk) })
	t.Run("cleanStart", func(t *testing.T) { cleanStart(t, tb, zk) })
	t.Run("killed", func(t *testing.T) { killed(t, tb, zk) })
}

// flushed measures 64 connections that each wait until their record is on the
// disk before they send the next one (flush.messages=1). The directory of the
// data is below TMPDIR, which has to be on a disk for this.
func flushed(t *testing.T, tb *table, zk string) {
	const connections, lasts = 64, 5 * time.Second
	for _, partitions := range []int32{1, 16} {
		var rate, cpu [2]float64
		for i, name := range []string{ours, theirs} {
			s := broker(t, name, zk, fmt.Sprintf("/flushed-%d-%s", partitions, name), map[string]string{"log.flush.interval.messages": "1"})
			admin := s.connect(t)
			admin.awaitBroker()
			admin.create("flushed", partitions)
			one := batch(t, 1, 100)
			var clients []*client
			for range connections {
				clients = append(clients, s.connect(t))
			}
			var done atomic.Int64
			measure := func(lasts time.Duration) {
				done.Store(0)
				until := time.Now().Add(lasts)
				var wait sync.WaitGroup
				for n, c := range clients {
					wait.Go(func() {
						request := produceFrameTo("flushed", int32(n)%partitions, one)
						for time.Now().Before(until) {
							c.produce(request, 1)
							done.Add(1)
						}
					})
				}
				wait.Wait()
			}
			measure(2 * time.Second) // the virtual machine compiles what is hot
			used := s.cpu()
			measure(lasts)
			rate[i] = float64(done.Load()) / lasts.Seconds()
			cpu[i] = (s.cpu() - used).Seconds() / float64(done.Load()) * mega
			s.stop()
		}
		what := fmt.Sprintf("flush.messages=1, 64 connections, %d partition(s)", partitions)
		tb.add(t, what, "records/s", rate[0], rate[1], goal{ratioAtLeast: 5})
		tb.add(t, "", "CPU s / 1M records", cpu[0], cpu[1], goal{})
	}
}

// emptyPartitions measures a broker with many partitions that nobody uses.
func emptyPartitions(t *testing.T, tb *table, zk string) {
	const partitions, watched = 10000, 20 * time.Second
	var memory, cpu, files [2]float64
	for i, name := range []string{ours, theirs} {
		s := broker(t, name, zk, "/empty-"+name, nil)
		c := s.connect(t)
		c.awaitBroker()
		c.create("empty", partitions)
		time.Sleep(5 * time.Second) // what is done after a creation
		used, began := s.cpu(), time.Now()
		time.Sleep(watched)
		cpu[i] = 100 * float64(s.cpu()-used) / float64(time.Since(began))
		memory[i] = s.resident() / mega
		open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.cmd.Process.Pid))
		require.NoError(t, err)
		files[i] = float64(len(open))
		s.stop()
	}
	tb.add(t, "memory, 10,000 empty partitions", "MB", memory[0], memory[1], goal{atMost: 150})
	tb.add(t, "CPU, 10,000 empty partitions", "% of a core", cpu[0], cpu[1], goal{ratioAtMost: 0.3})
	tb.add(t, "descriptors, 10,000 empty partitions", "", files[0], files[1], goal{})
}

const manyPartitions = 2000

// filled makes a topic of many partitions with some records in each, and of
// large of them a segment that is not flushed.
func filled(t *testing.T, s *side, large, times int) {
	t.Helper()
	c := s.connect(t)
	c.awaitBroker()
	c.create("many", manyPartitions)
	small, big := batch(t, 10, 100), batch(t, 950, 1024)
	for p := range int32(manyPartitions) {
		c.produce(produceFrameTo("many", p, small), 1)
	}
	for p := range int32(large) {
		c.produce(produceFrameTo("many", p, big), times)
	}
}

// served is the time from exec until every partition is led.
func served(t *testing.T, s *side) time.Duration {
	t.Helper()
	c := s.connect(t)
	c.awaitBroker()
	for !c.led("many", manyPartitions) {
		time.Sleep(time.Millisecond)
	}
	return time.Since(s.started)
}

// cleanStart measures a start on many partitions with data after a shutdown in
// order.
func cleanStart(t *testing.T, tb *table, zk string) {
	var took, loaded [2]float64
	for i, name := range []string{ours, theirs} {
		s := broker(t, name, zk, "/clean-"+name, nil)
		filled(t, s, 0, 0)
		s.stop()
		again := broker(t, name, zk, "/clean-"+name, map[string]string{"log.dirs": s.dir})
		took[i] = milliseconds(served(t, again))
		loaded[i] = loadedIn(t, again)
		again.stop()
	}
	tb.add(t, "clean start with 2,000 partitions, all led", "ms", took[0], took[1], goal{atMost: 1000})
	tb.add(t, "", "ms for the logs", loaded[0], loaded[1], goal{})
}

// killed measures a start after kill -9 with many partitions and several GB in
// segments that were not flushed.
func killed(t *testing.T, tb *table, zk string) {
	const large, times = 6, 1000 // of 1 MB
	s := broker(t, ours, zk, "/killed", nil)
	filled(t, s, large, times)
	require.NoError(t, s.cmd.Process.Kill())
	<-s.done
	again := broker(t, ours, zk, "/killed", map[string]string{"log.dirs": s.dir})
	took := served(t, again)
	tb.add(t, fmt.Sprintf("kill -9 with 2,000 partitions and %d GB not flushed, all led", large*times/1000), "ms", milliseconds(took), 0, goal{atMost: 2000})
	tb.add(t, "", "ms for the logs", loadedIn(t, again), 0, goal{})
	again.stop()
}

// loadedIn is how long a broker says that its logs took.
func loadedIn(t *testing.T, s *side) float64 {
	t.Helper()
	var logs int
	var ms float64
	_, line, _ := strings.Cut(s.output(), "Loaded ")
	if n, err := fmt.Sscanf(line, "%d logs in %fms", &logs, &ms); n == 2 && err == nil {
		return ms
	}
	require.Fail(t, "the broker does not say how long it loaded")
	return 0
}
