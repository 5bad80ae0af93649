package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// clientMetrics counts what a kgo client does, and shows it under the names of
// Kafka's client metrics as --print-metrics of the performance tools does. It
// has those that can be measured here; rates are those of the whole run.
//
// The client calls the hooks from many goroutines.
type clientMetrics struct {
	kind, clientID string // kind: producer or consumer
	begun          time.Time
	counted        chan struct{} // holds one when a batch was counted

	mu                  sync.Mutex // guards the fields below
	nodes               map[int32]*requestMetrics
	moved               requestMetrics // the produce or fetch requests of all nodes
	connections, closed int64
	topics              map[string]*batchMetrics
}

// requestMetrics is traffic with a broker, or of one kind of request.
type requestMetrics struct {
	requests, responses    int64
	outgoing, incoming     int64   // bytes
	largest, largestAnswer int64   // bytes
	latency, latencyMax    float64 // ms
}

// batchMetrics is what was moved of a topic.
type batchMetrics struct{ batches, records, bytes, plainBytes, largest int64 }

func newClientMetrics(kind, clientID string) *clientMetrics {
	return &clientMetrics{kind: kind, clientID: clientID, begun: time.Now(), counted: make(chan struct{}, 1),
		nodes: map[int32]*requestMetrics{}, topics: map[string]*batchMetrics{}}
}

// OnBrokerConnect counts a connection.
func (m *clientMetrics) OnBrokerConnect(_ kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err == nil {
		m.connections++
	}
}

// OnBrokerDisconnect counts a connection that ends.
func (m *clientMetrics) OnBrokerDisconnect(kgo.BrokerMetadata, net.Conn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed++
}

// OnBrokerE2E counts a request and its answer.
func (m *clientMetrics) OnBrokerE2E(meta kgo.BrokerMetadata, key int16, e kgo.BrokerE2E) {
	const produce, fetch = 0, 1
	m.mu.Lock()
	defer m.mu.Unlock()
	node := m.nodes[meta.NodeID]
	if node == nil {
		node = &requestMetrics{}
		m.nodes[meta.NodeID] = node
	}
	node.add(e)
	if key == produce || key == fetch {
		m.moved.add(e)
	}
}

func (r *requestMetrics) add(e kgo.BrokerE2E) {
	r.requests++
	r.outgoing += int64(e.BytesWritten)
	r.incoming += int64(e.BytesRead)
	r.largest = max(r.largest, int64(e.BytesWritten))
	r.largestAnswer = max(r.largestAnswer, int64(e.BytesRead))
	if e.Err() == nil {
		r.responses++
		ms := float64(e.DurationE2E()) / float64(time.Millisecond)
		r.latency += ms
		r.latencyMax = max(r.latencyMax, ms)
	}
}

// OnProduceBatchWritten counts a batch that was stored.
func (m *clientMetrics) OnProduceBatchWritten(_ kgo.BrokerMetadata, topic string, _ int32, b kgo.ProduceBatchMetrics) {
	m.batch(topic, b.NumRecords, b.CompressedBytes, b.UncompressedBytes)
}

// OnFetchBatchRead counts a batch that was read.
func (m *clientMetrics) OnFetchBatchRead(_ kgo.BrokerMetadata, topic string, _ int32, b kgo.FetchBatchMetrics) {
	m.batch(topic, b.NumRecords, b.CompressedBytes, b.UncompressedBytes)
}

func (m *clientMetrics) batch(topic string, records, bytes, plainBytes int) {
	defer func() {
		select {
		case m.counted <- struct{}{}:
		default: // one is enough
		}
	}()
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.topics[topic]
	if t == nil {
		t = &batchMetrics{}
		m.topics[topic] = t
	}
	t.add(batchMetrics{1, int64(records), int64(bytes), int64(plainBytes), int64(bytes)})
}

// await waits until so many records were counted, but not for long: the client
// counts a batch a moment after it has told of its records.
func (m *clientMetrics) await(ctx context.Context, records int64) {
	const patience = time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		m.mu.Lock()
		sum := m.sumLocked()
		m.mu.Unlock()
		if sum.records >= records {
			return
		}
		select {
		case <-m.counted:
		case <-ctx.Done():
			return
		}
	}
}

// sumLocked is what was moved of all topics.
func (m *clientMetrics) sumLocked() batchMetrics {
	var sum batchMetrics
	for _, t := range m.topics {
		sum.add(*t)
	}
	return sum
}

func (b *batchMetrics) add(o batchMetrics) {
	b.batches += o.batches
	b.records += o.records
	b.bytes += o.bytes
	b.plainBytes += o.plainBytes
	b.largest = max(b.largest, o.largest)
}

// metricRows are metrics by the name that is shown.
type metricRows struct {
	seconds float64
	rows    map[string]string
}

func (r *metricRows) set(group, name, tags string, value float64) {
	text := fmt.Sprintf("%.3f", value)
	if math.IsNaN(value) {
		text = "NaN"
	}
	r.rows[group+":"+name+":{"+tags+"}"] = text
}

// total sets name-rate and name-total.
func (r *metricRows) total(group, name, tags string, n int64) {
	r.set(group, name+"-rate", tags, float64(n)/r.seconds)
	r.set(group, name+"-total", tags, float64(n))
}

func (r *metricRows) avgMax(group, name, tags string, sum float64, n int64, most float64) {
	if n == 0 {
		most = math.NaN()
	}
	r.set(group, name+"-avg", tags, sum/float64(n))
	r.set(group, name+"-max", tags, most)
}

func (r *metricRows) requests(group, tags string, q *requestMetrics) {
	r.total(group, "outgoing-byte", tags, q.outgoing)
	r.total(group, "incoming-byte", tags, q.incoming)
	r.total(group, "request", tags, q.requests)
	r.total(group, "response", tags, q.responses)
	r.avgMax(group, "request-size", tags, float64(q.outgoing), q.requests, float64(q.largest))
}

// print shows what was counted.
func (m *clientMetrics) print(out io.Writer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := &metricRows{seconds: max(time.Since(m.begun).Seconds(), 0.001), rows: map[string]string{}}
	client := "client-id=" + m.clientID
	for name, value := range map[string]string{"version": "2.8.2", "commit-id": "3146c6ff4a24cc24", "start-time-ms": fmt.Sprint(m.begun.UnixMilli())} {
		r.rows["app-info:"+name+":{"+client+"}"] = value
	}
	group := m.kind + "-metrics"
	var all requestMetrics
	for id, node := range m.nodes {
		if id < -1 {
			id = math.MinInt32 - id - 1 // the client counts addresses it was given from the least
		}
		tags := fmt.Sprintf("%s, node-id=node-%d", client, id)
		r.requests(m.kind+"-node-metrics", tags, node)
		r.avgMax(m.kind+"-node-metrics", "request-latency", tags, node.latency, node.responses, node.latencyMax)
		all.merge(node)
	}
	r.requests(group, client, &all)
	r.total(group, "network-io", client, all.requests+all.responses)
	r.total(group, "connection-creation", client, m.connections)
	r.total(group, "connection-close", client, m.closed)
	r.set(group, "connection-count", client, float64(m.connections-m.closed))
	sum := m.sumLocked()
	if m.kind == "producer" {
		m.producerRows(r, group, client, &sum)
	} else {
		m.consumerRows(r, client, &sum)
	}
	r.print(out)
}

func (r *requestMetrics) merge(o *requestMetrics) {
	r.requests += o.requests
	r.responses += o.responses
	r.outgoing += o.outgoing
	r.incoming += o.incoming
	r.largest = max(r.largest, o.largest)
}

func (m *clientMetrics) producerRows(r *metricRows, group, client string, sum *batchMetrics) {
	r.avgMax(group, "request-latency", client, m.moved.latency, m.moved.responses, m.moved.latencyMax)
	r.avgMax(group, "batch-size", client, float64(sum.bytes), sum.batches, float64(sum.largest))
	r.set(group, "compression-rate-avg", client, float64(sum.bytes)/float64(sum.plainBytes))
	r.set(group, "records-per-request-avg", client, float64(sum.records)/float64(m.moved.requests))
	r.total(group, "record-send", client, sum.records)
	for topic, t := range m.topics {
		tags := client + ", topic=" + topic
		r.total("producer-topic-metrics", "byte", tags, t.bytes)
		r.total("producer-topic-metrics", "record-send", tags, t.records)
		r.set("producer-topic-metrics", "compression-rate", tags, float64(t.bytes)/float64(t.plainBytes))
	}
}

func (m *clientMetrics) consumerRows(r *metricRows, client string, sum *batchMetrics) {
	const group = "consumer-fetch-manager-metrics"
	r.avgMax(group, "fetch-latency", client, m.moved.latency, m.moved.responses, m.moved.latencyMax)
	r.avgMax(group, "fetch-size", client, float64(sum.bytes), m.moved.responses, float64(m.moved.largestAnswer))
	r.total(group, "fetch", client, m.moved.requests)
	r.total(group, "bytes-consumed", client, sum.bytes)
	r.total(group, "records-consumed", client, sum.records)
	r.set(group, "records-per-request-avg", client, float64(sum.records)/float64(m.moved.requests))
	for topic, t := range m.topics {
		tags := client + ", topic=" + topic
		r.total(group, "bytes-consumed", tags, t.bytes)
		r.total(group, "records-consumed", tags, t.records)
	}
}

// print shows the rows in the order of their names, in two columns.
func (r *metricRows) print(out io.Writer) {
	names := slices.Sorted(maps.Keys(r.rows))
	width := 0
	for _, name := range names {
		width = max(width, len(name))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n%-*s   %s\n", width, "Metric Name", "Value")
	for _, name := range names {
		fmt.Fprintf(&b, "%-*s : %s\n", width, name, r.rows[name])
	}
	_, _ = io.WriteString(out, b.String()) // nobody is there to tell
}
