//go:build bench

package bench

import (
	"context"
	"encoding/binary"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// replication measures three brokers of each side, whose topics have three
// replicas, under producers that wait for all of them.
func replication(t *testing.T, tb *table, zk string) {
	p := clusters{startCluster(t, ours, zk), startCluster(t, theirs, zk)}
	t.Run("throughput", func(t *testing.T) { p.throughput(t, tb) })
	t.Run("latency", func(t *testing.T) { p.latency(t, tb) })
	t.Run("end-to-end", func(t *testing.T) { p.endToEnd(t, tb) })
	t.Run("idle", func(t *testing.T) { p.idle(t, tb) })
	t.Run("shutdown", func(t *testing.T) { p.shutdown(t, tb) })
}

// clusters are the two sides, ours first.
type clusters [2]*cluster

// turns runs a measurement on both sides, turn by turn, and gives the medians
// of each figure.
func (p clusters) turns(runs int, measure func(c *cluster) []float64) (medians [2][]float64) {
	var all [2][][]float64
	for range runs {
		for i, c := range p {
			all[i] = append(all[i], measure(c))
		}
	}
	for i := range p {
		for figure := range all[i][0] {
			var one []float64
			for _, run := range all[i] {
				one = append(one, run[figure])
			}
			medians[i] = append(medians[i], median(one))
		}
	}
	return medians
}

var performance = regexp.MustCompile(`(\d+) records sent, ([0-9.]+) records/sec`)

// throughput is what the Java producer's own test of speed gets through.
func (p clusters) throughput(t *testing.T, tb *table) {
	for _, l := range []struct {
		what            string
		size, records   int
		ratio, ratioCPU float64
	}{{"100 B", 100, 1_000_000, 1.5, 0.3}, {"1 KiB", 1024, 200_000, 1.9, 0.3}} {
		run := 0
		measure := func(c *cluster) []float64 {
			run++
			topic := fmt.Sprintf("throughput-%d-%d", l.size, run)
			c.create(t, topic, 3)
			cpu := c.cpu()
			done := runTool(t, "java", javaArgs(t, []string{"-Xmx512M"}, "org.apache.kafka.tools.ProducerPerformance", "--topic", topic, "--num-records", fmt.Sprint(l.records),
				"--record-size", fmt.Sprint(l.size), "--throughput", "-1", "--producer-props", "bootstrap.servers="+c.addresses(), "acks=all")...)
			cpu = c.cpu() - cpu
			last := performance.FindAllStringSubmatch(done.stdout, -1)
			require.NotEmpty(t, last, done.stdout)
			rate, err := strconv.ParseFloat(last[len(last)-1][2], 64)
			require.NoError(t, err)
			c.remove(t, topic)
			return []float64{rate / mega, cpu.Seconds() / float64(l.records) * mega}
		}
		measure(p[0])
		measure(p[1]) // the virtual machine compiles what is hot
		got := p.turns(3, measure)
		tb.add(t, "three replicas, acks=all, Java producer, "+l.what, "1M records/s", got[0][0], got[1][0], goal{ratioAtLeast: l.ratio})
		tb.add(t, "", "CPU s / 1M records, three brokers", got[0][1], got[1][1], goal{ratioAtMost: l.ratioCPU})
	}
	tb.add(t, "memory of the largest broker, after that", "MB", p[0].residentMost()/mega, p[1].residentMost()/mega, goal{})
}

func runTool(t testing.TB, path string, args ...string) finished {
	t.Helper()
	return run(t, nil, nil, path, args...)
}

const (
	latencyRate  = 2000
	latencyTotal = 20_000
)

// latency is how long a record takes to be confirmed by all replicas while
// few are under way.
func (p clusters) latency(t *testing.T, tb *table) {
	for _, c := range p {
		c.create(t, "latency", 3)
	}
	measure := func(c *cluster) []float64 {
		client := c.client(t, kgo.RequiredAcks(kgo.AllISRAcks()), kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.ProducerLinger(0))
		defer client.Close()
		value := noise(100)
		var mu sync.Mutex
		var all latencies
		cpu := c.cpu()
		paced(t.Context(), latencyRate, latencyTotal, func(int) {
			began := time.Now()
			client.Produce(t.Context(), &kgo.Record{Topic: "latency", Value: value}, func(_ *kgo.Record, err error) {
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Error(err)
				}
				all = append(all, time.Since(began))
			})
		})
		require.NoError(t, client.Flush(t.Context()))
		cpu = c.cpu() - cpu
		return []float64{all.percentile(50), all.percentile(99), all.percentile(99.9), cpu.Seconds() / latencyTotal * mega}
	}
	measure(p[0])
	measure(p[1])
	got := p.turns(3, measure)
	tb.add(t, "acks=all at 2,000 records/s, median", "ms", got[0][0], got[1][0], goal{})
	tb.add(t, "", "ms, p99", got[0][1], got[1][1], goal{ratioAtMost: 0.15})
	tb.add(t, "", "ms, p99.9", got[0][2], got[1][2], goal{ratioAtMost: 0.15})
	tb.add(t, "", "CPU s / 1M records, three brokers", got[0][3], got[1][3], goal{})
}

// endToEnd is how long a record takes from a producer to a consumer.
func (p clusters) endToEnd(t *testing.T, tb *table) {
	for _, c := range p {
		c.create(t, "end-to-end", 3)
	}
	measure := func(c *cluster) []float64 {
		reader := c.client(t, kgo.ConsumeTopics("end-to-end"), kgo.ConsumeResetOffset(kgo.NewOffset().AtEnd()), kgo.FetchMinBytes(1))
		defer reader.Close()
		writer := c.client(t, kgo.RequiredAcks(kgo.AllISRAcks()), kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.ProducerLinger(0), kgo.DefaultProduceTopic("end-to-end"))
		defer writer.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		stamp := func() []byte { return binary.BigEndian.AppendUint64(nil, uint64(time.Since(began))) }
		var all latencies
		var mu sync.Mutex
		go func() { // until the reader is closed
			for ctx.Err() == nil {
				reader.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
					mu.Lock()
					defer mu.Unlock()
					all = append(all, time.Since(began)-time.Duration(binary.BigEndian.Uint64(r.Value)))
				})
			}
		}()
		seen := func() int { mu.Lock(); defer mu.Unlock(); return len(all) }
		for seen() < 3 { // the reader is at the end of every partition
			require.NoError(t, writer.ProduceSync(ctx, &kgo.Record{Value: stamp()}).FirstErr())
		}
		mu.Lock()
		all = nil
		mu.Unlock()
		const total = 10_000
		paced(ctx, 1000, total, func(int) { writer.Produce(ctx, &kgo.Record{Value: stamp()}, nil) })
		require.NoError(t, writer.Flush(ctx))
		for seen() < total && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
		mu.Lock()
		defer mu.Unlock()
		return []float64{all.percentile(50), all.percentile(99)}
	}
	measure(p[0])
	measure(p[1])
	got := p.turns(3, measure)
	tb.add(t, "end to end at 1,000 records/s, median", "ms", got[0][0], got[1][0], goal{})
	tb.add(t, "", "ms, p99", got[0][1], got[1][1], goal{ratioAtMost: 0.25})
}

// idle is what replicas cost to which nothing happens.
func (p clusters) idle(t *testing.T, tb *table) {
	var made [2]float64
	for i, c := range p {
		began := time.Now()
		c.create(t, "idle", 1000)
		made[i] = milliseconds(time.Since(began))
	}
	tb.add(t, "a topic of 1,000 partitions with three replicas, until all are led", "ms", made[0], made[1], goal{atMost: 1500})
	time.Sleep(3 * time.Second) // what is done after a start
	const watched = 20 * time.Second
	var before [2]time.Duration
	for i, c := range p {
		before[i] = c.cpu()
	}
	began := time.Now()
	time.Sleep(watched)
	var cpu [2]float64
	for i, c := range p {
		cpu[i] = 100 * float64(c.cpu()-before[i]) / float64(time.Since(began)) / float64(len(c.brokers))
	}
	tb.add(t, "1,000 idle partitions with three replicas", "% of a core, a broker", cpu[0], cpu[1], goal{ratioAtMost: 0.3})
	tb.add(t, "", "MB, the largest broker", p[0].residentMost()/mega, p[1].residentMost()/mega, goal{atMost: 40})
}

// shutdown is how long a broker takes to hand its leaderships over when it is
// told to stop.
func (p clusters) shutdown(t *testing.T, tb *table) {
	var took [2]float64
	for i, c := range p {
		c.createLed(t, "handed-over", 2000, 0)
		b := c.brokers[0]
		began := time.Now()
		require.NoError(t, b.cmd.Process.Signal(syscall.SIGTERM))
		for !strings.Contains(b.output(), "Controlled shutdown succeeded") {
			require.Less(t, time.Since(began), time.Minute)
			time.Sleep(time.Millisecond)
		}
		took[i] = milliseconds(time.Since(began))
		<-b.done
	}
	tb.add(t, "2,000 leaderships handed over at a stop", "ms", took[0], took[1], goal{atMost: 1000})
}
