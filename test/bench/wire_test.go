//go:build bench

package bench

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/record"
)

// client is one connection to a broker. Requests have versions before the
// flexible ones, whose headers are all of one form.
type client struct {
	t      testing.TB
	conn   *net.TCPConn
	reader *bufio.Reader
}

var format = kmsg.NewRequestFormatter(kmsg.FormatterClientID("bench"))

// connect opens a connection to a broker, waiting for its port.
func (s *side) connect(t testing.TB) *client {
	t.Helper()
	c := &client{t: t, conn: dial(t, s.process, s.address)}
	c.reader = bufio.NewReaderSize(c.conn, 64<<10)
	t.Cleanup(c.close)
	return c
}

func (c *client) close() { c.conn.Close() }

// frame is a request as it goes over the wire.
func frame(req kmsg.Request, version int16) []byte {
	req.SetVersion(version)
	return format.AppendRequest(nil, req, 1)
}

// ask sends a request and reads the answer into resp.
func (c *client) ask(req kmsg.Request, version int16, resp kmsg.Response) {
	c.t.Helper()
	require.NoError(c.t, c.conn.SetDeadline(time.Now().Add(time.Minute)))
	_, err := c.conn.Write(frame(req, version))
	require.NoError(c.t, err)
	body, err := c.answer()
	require.NoError(c.t, err)
	resp.SetVersion(version)
	require.NoError(c.t, resp.ReadFrom(body))
}

// answer reads an answer behind its header.
func (c *client) answer() ([]byte, error) {
	var head [8]byte
	if _, err := io.ReadFull(c.reader, head[:]); err != nil {
		return nil, err
	}
	body := make([]byte, binary.BigEndian.Uint32(head[:])-4)
	_, err := io.ReadFull(c.reader, body)
	return body, err
}

// awaitBroker asks for metadata until a broker is in it.
func (c *client) awaitBroker() {
	c.t.Helper()
	for c.brokers() == 0 {
		time.Sleep(200 * time.Microsecond)
	}
}

// brokers is how many brokers this one knows.
func (c *client) brokers() int {
	c.t.Helper()
	req, resp := kmsg.NewPtrMetadataRequest(), kmsg.NewPtrMetadataResponse()
	req.Topics = []kmsg.MetadataRequestTopic{}
	c.ask(req, 5, resp)
	return len(resp.Brokers)
}

// create makes a topic and waits until every partition of it has its leader.
func (c *client) create(topic string, partitions int32) {
	c.t.Helper()
	req, resp := kmsg.NewPtrCreateTopicsRequest(), kmsg.NewPtrCreateTopicsResponse()
	req.TimeoutMillis = 60_000
	of := kmsg.NewCreateTopicsRequestTopic()
	of.Topic, of.NumPartitions, of.ReplicationFactor = topic, partitions, 1
	req.Topics = append(req.Topics, of)
	c.ask(req, 4, resp)
	require.NoError(c.t, kerr.ErrorForCode(resp.Topics[0].ErrorCode))
	for !c.led(topic, partitions) {
		time.Sleep(time.Millisecond)
	}
}

func (c *client) led(topic string, partitions int32) bool {
	c.t.Helper()
	req, resp := kmsg.NewPtrMetadataRequest(), kmsg.NewPtrMetadataResponse()
	of := kmsg.NewMetadataRequestTopic()
	of.Topic = &topic
	req.Topics = append(req.Topics, of)
	c.ask(req, 5, resp)
	led := int32(0)
	for _, p := range resp.Topics[0].Partitions {
		if p.ErrorCode == 0 && p.Leader >= 0 {
			led++
		}
	}
	return led == partitions
}

// remove deletes a topic.
func (c *client) remove(topic string) {
	c.t.Helper()
	req, resp := kmsg.NewPtrDeleteTopicsRequest(), kmsg.NewPtrDeleteTopicsResponse()
	req.TimeoutMillis, req.TopicNames = 60_000, []string{topic}
	c.ask(req, 3, resp)
	require.NoError(c.t, kerr.ErrorForCode(resp.Topics[0].ErrorCode))
}

// batch is one batch of records without keys.
func batch(t testing.TB, records, size int) []byte {
	t.Helper()
	b := record.NewBuilder(0)
	value := make([]byte, size)
	for i := range records {
		for j := range value {
			value[j] = 'a' + byte((i+j)%26)
		}
		b.Append(time.Now().UnixMilli(), nil, value)
	}
	built, err := b.Build()
	require.NoError(t, err)
	return built
}

// produceFrame is a produce request as librdkafka sends it: version 7, one
// batch for one partition, acks 1.
func produceFrame(topic string, records []byte) []byte { return produceFrameTo(topic, 0, records) }

func produceFrameTo(topic string, partition int32, records []byte) []byte {
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = 1, 30_000
	of := kmsg.NewProduceRequestTopic()
	of.Topic = topic
	p := kmsg.NewProduceRequestTopicPartition()
	p.Partition, p.Records = partition, records
	of.Partitions = append(of.Partitions, p)
	req.Topics = append(req.Topics, of)
	return frame(req, 7)
}
