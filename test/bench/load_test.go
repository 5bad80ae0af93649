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

	"gregor/pkg/record"
)

// window is how many requests of a connection are under way.
const window = 5

// produce sends a frame again and again and reads the answers.
func (c *client) produce(frame []byte, times int) {
	c.t.Helper()
	require.NoError(c.t, c.conn.SetDeadline(time.Now().Add(time.Minute)))
	tokens := make(chan struct{}, window)
	failed := make(chan error, 1)
	go func() {
		defer close(failed)
		for range times {
			body, err := c.answer()
			if err == nil {
				err = producedError(body)
			}
			if err != nil {
				failed <- err
				c.conn.Close()
				return
			}
			<-tokens
		}
	}()
	for range times {
		tokens <- struct{}{}
		if _, err := c.conn.Write(frame); err != nil {
			break
		}
	}
	require.NoError(c.t, <-failed)
}

// producedError is the error in the answer to a produceFrame.
func producedError(body []byte) error {
	// topics, a name, partitions, an index, then the code
	name := int(binary.BigEndian.Uint16(body[4:]))
	if code := int16(binary.BigEndian.Uint16(body[4+2+name+4+4:])); code != 0 {
		return fmt.Errorf("produce was answered with error %d", code)
	}
	return nil
}

// fetchBytes is how much a fetch asks for.
const fetchBytes = 1 << 20

// fetchFrame is a fetch of version 11 without a session, of one partition.
func fetchFrame(topic string, offset int64) []byte {
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.SessionEpoch = 500, 1, fetchBytes, -1
	of := kmsg.NewFetchRequestTopic()
	of.Topic = topic
	p := kmsg.NewFetchRequestTopicPartition()
	p.FetchOffset, p.PartitionMaxBytes, p.CurrentLeaderEpoch = offset, fetchBytes, -1
	of.Partitions = append(of.Partitions, p)
	req.Topics = append(req.Topics, of)
	return frame(req, 11)
}

// catchUp fetches the records from the beginning up to an offset and returns
// how many bytes of them came. Nothing is decoded but the batches' headers.
func (c *client) catchUp(topic string, end int64) (bytes int64) { return c.catchUpTo(topic, 0, end) }

// catchUpTo fetches the records from an offset on, waiting for those that are
// not there yet.
func (c *client) catchUpTo(topic string, offset, end int64) (bytes int64) {
	c.t.Helper()
	require.NoError(c.t, c.conn.SetDeadline(time.Now().Add(2*time.Minute)))
	buffer := make([]byte, 0, fetchBytes+4096)
	for offset < end {
		_, err := c.conn.Write(fetchFrame(topic, offset))
		require.NoError(c.t, err)
		var head [4]byte
		_, err = io.ReadFull(c.conn, head[:])
		require.NoError(c.t, err)
		buffer = buffer[:binary.BigEndian.Uint32(head[:])]
		_, err = io.ReadFull(c.conn, buffer)
		require.NoError(c.t, err)
		records := fetchedRecords(c.t, buffer[4:], topic)
		next := offset
		for {
			one, rest, err := record.Split(records)
			if err != nil {
				break // cut by the limit
			}
			next, records, bytes = one.LastOffset()+1, rest, bytes+int64(len(one))
		}
		offset = next
	}
	return bytes
}

// end is a partition's high watermark.
func (c *client) end(topic string) int64 {
	c.t.Helper()
	req, resp := kmsg.NewPtrListOffsetsRequest(), kmsg.NewPtrListOffsetsResponse()
	of, p := kmsg.NewListOffsetsRequestTopic(), kmsg.NewListOffsetsRequestTopicPartition()
	of.Topic, p.Timestamp = topic, -1
	of.Partitions = append(of.Partitions, p)
	req.Topics = append(req.Topics, of)
	c.ask(req, 1, resp)
	require.Zero(c.t, resp.Topics[0].Partitions[0].ErrorCode)
	return resp.Topics[0].Partitions[0].Offset
}

// fetchedRecords finds the records in an answer to a fetchFrame.
func fetchedRecords(t testing.TB, body []byte, topic string) []byte {
	t.Helper()
	// throttle, error, session, topics, the name, partitions; the partition:
	// index, error, three offsets, aborted, preferred replica, length
	at := 4 + 2 + 4 + 4 + 2 + len(topic) + 4
	require.Zero(t, binary.BigEndian.Uint16(body[4:]), "error of the answer")
	require.Zero(t, binary.BigEndian.Uint16(body[at+4:]), "error of the partition")
	aborted := int32(binary.BigEndian.Uint32(body[at+4+2+24:]))
	at += 4 + 2 + 24 + 4 + max(0, int(aborted))*16 + 4
	return body[at+4:][:binary.BigEndian.Uint32(body[at:])]
}
