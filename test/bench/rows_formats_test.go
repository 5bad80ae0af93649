//go:build bench

package bench

import (
	"encoding/binary"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/compress"
	"gregor/pkg/record"
)

// formats measures conversion between record formats: old messages that are
// produced into format 2, and format 2 that is fetched as format 1. Records
// have 100 bytes; a GB is a GB of them.
func formats(t *testing.T, tb *table, p *pair) {
	for _, codec := range []compress.Codec{compress.None, compress.LZ4} {
		convertUp(t, tb, p, codec)
		convertDown(t, tb, p, codec)
	}
	tb.add(t, "memory at most, after conversions", "MB", p[0].status("VmHWM:")/mega, p[1].status("VmHWM:")/mega, goal{})
}

const (
	convertRecords = 600
	convertBytes   = convertRecords * 100
	convertTotal   = 150_000_000
)

// oldSet is a set of messages of format 1, as sarama or an old Java client
// sends it.
func oldSet(t testing.TB, codec compress.Codec) []byte {
	b := record.NewOldBuilder(1, codec)
	for i := range convertRecords {
		b.Append(int64(i), time.Now().UnixMilli(), nil, convertValue(i))
	}
	set, err := b.Build()
	require.NoError(t, err)
	return set
}

// convertValue is a value that compresses to about the half.
func convertValue(i int) []byte {
	value := make([]byte, 100)
	for j := range value {
		value[j] = 'a' + byte(i*j*7%26)
		if j >= 50 {
			value[j] = byte((i*31 + j*j*17) >> 2)
		}
	}
	return value
}

func convertUp(t *testing.T, tb *table, p *pair, codec compress.Codec) {
	set, run := oldSet(t, codec), 0
	measure := func(s *side) cost {
		c := s.connect(t)
		defer c.close()
		topic := fmt.Sprintf("up-%s-%d", codec, run)
		run++
		c.create(topic, 1)
		request := oldProduceFrame(topic, set)
		times := convertTotal / convertBytes
		got := costOf(s, float64(convertTotal)/giga, func() { c.produce(request, times) })
		c.remove(topic)
		return got
	}
	measure(p[0])
	measure(p[1])
	got := p.costs(5, measure)
	tb.add(t, fmt.Sprintf("format 1 produced into format 2, %s", codec), "CPU s / GB", got[0].cpu, got[1].cpu, goal{ratioAtMost: 0.5})
	tb.add(t, "", "GB/s", got[0].rate, got[1].rate, goal{})
}

// oldProduceFrame is a produce request of version 2.
func oldProduceFrame(topic string, records []byte) []byte {
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = 1, 30_000
	of, p := kmsg.NewProduceRequestTopic(), kmsg.NewProduceRequestTopicPartition()
	of.Topic, p.Records = topic, records
	of.Partitions = append(of.Partitions, p)
	req.Topics = append(req.Topics, of)
	return frame(req, 2)
}

func convertDown(t *testing.T, tb *table, p *pair, codec compress.Codec) {
	topic := fmt.Sprintf("down-%s", codec)
	b := record.NewBuilder(codec)
	for i := range convertRecords {
		b.Append(time.Now().UnixMilli(), nil, convertValue(i))
	}
	one, err := b.Build()
	require.NoError(t, err)
	times := convertTotal / convertBytes
	for _, s := range p {
		c := s.connect(t)
		c.create(topic, 1)
		c.produce(produceFrame(topic, one), times)
		c.close()
	}
	measure := func(s *side) cost {
		c := s.connect(t)
		defer c.close()
		return costOf(s, float64(convertTotal)/giga, func() { c.catchUpOld(topic, int64(times*convertRecords)) })
	}
	measure(p[0])
	measure(p[1])
	got := p.costs(5, measure)
	tb.add(t, fmt.Sprintf("format 2 fetched as format 1, %s", codec), "CPU s / GB", got[0].cpu, got[1].cpu, goal{ratioAtMost: 0.5})
	tb.add(t, "", "GB/s", got[0].rate, got[1].rate, goal{})
	for _, s := range p {
		s.connect(t).remove(topic)
	}
}

// catchUpOld fetches with version 3 up to an offset.
func (c *client) catchUpOld(topic string, end int64) {
	c.t.Helper()
	require.NoError(c.t, c.conn.SetDeadline(time.Now().Add(2*time.Minute)))
	buffer := make([]byte, 0, fetchBytes+4096)
	for offset := int64(0); offset < end; {
		req := kmsg.NewPtrFetchRequest()
		req.MaxWaitMillis, req.MinBytes, req.MaxBytes = 500, 1, fetchBytes
		of, p := kmsg.NewFetchRequestTopic(), kmsg.NewFetchRequestTopicPartition()
		of.Topic, p.FetchOffset, p.PartitionMaxBytes = topic, offset, fetchBytes
		of.Partitions = append(of.Partitions, p)
		req.Topics = append(req.Topics, of)
		_, err := c.conn.Write(frame(req, 3))
		require.NoError(c.t, err)
		var head [4]byte
		_, err = io.ReadFull(c.conn, head[:])
		require.NoError(c.t, err)
		buffer = buffer[:binary.BigEndian.Uint32(head[:])]
		_, err = io.ReadFull(c.conn, buffer)
		require.NoError(c.t, err)
		// id, throttle, topics, the name, partitions, index, error, high
		// watermark, length
		at := 4 + 4 + 4 + 2 + len(topic) + 4 + 4
		require.Zero(c.t, binary.BigEndian.Uint16(buffer[at:]), "error of the partition")
		records := buffer[at+2+8+4:]
		before := offset
		for {
			m, rest, err := record.SplitAny(records)
			if err != nil {
				break // cut by the limit
			}
			offset, records = m.LastOffset()+1, rest
		}
		require.Greater(c.t, offset, before, "a fetch that gets ahead")
	}
}
