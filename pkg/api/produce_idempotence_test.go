package api

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/commitlog"
	"gregor/pkg/compress"
	"gregor/pkg/record"
)

// idempotent is a batch of n records of a producer.
func idempotent(producer int64, epoch int16, sequence int32, n int) []byte {
	builder := record.NewBuilder(compress.None)
	for range n {
		builder.Append(1600000000000, []byte("k"), []byte("v"))
	}
	b := builder.MustBuild()
	binary.BigEndian.PutUint64(b[43:], uint64(producer))
	binary.BigEndian.PutUint16(b[51:], uint16(epoch))
	binary.BigEndian.PutUint32(b[53:], uint32(sequence))
	return signed(b)
}

// signed makes the CRC of a batch right after its bytes were changed.
func signed(b record.Batch) []byte {
	b.SetMaxTimestamp(b.LogAppendTime(), b.MaxTimestamp()+1)
	b.SetMaxTimestamp(b.LogAppendTime(), b.MaxTimestamp()-1)
	return b
}

// answered is "error base time logstart".
func answered(p kmsg.ProduceResponseTopicPartition) string {
	return fmt.Sprint(p.ErrorCode, p.BaseOffset, p.LogAppendTime, p.LogStartOffset)
}

// The table of coordinator.md Part C and the answers of apis.md 14, line 2.8.
func TestProduceIdempotence(t *testing.T) {
	p := newDataPlane(t)
	p.lead("t", 1)
	for _, c := range []struct {
		name     string
		epoch    int16
		sequence int32
		n        int
		want     string
	}{
		{"a producer nobody knows may begin anywhere", 0, 5, 2, "0 0 -1 0"},
		{"the next", 0, 7, 1, "0 2 -1 0"},
		{"the same again", 0, 7, 1, "0 2 1600000000000 0"},
		{"an older one again", 0, 5, 2, "0 0 1600000000000 0"},
		{"a gap", 0, 9, 1, "45 -1 -1 0"},
		{"an overlap", 0, 6, 2, "45 -1 -1 0"},
		{"part of one again", 0, 5, 1, "45 -1 -1 0"},
		{"a new epoch in the middle", 1, 3, 1, "45 -1 -1 0"},
		{"a new epoch", 1, 0, 1, "0 3 -1 0"},
		{"the old epoch", 0, 8, 1, "47 -1 -1 0"},
	} {
		require.Equal(t, c.want, answered(p.produced(produceOf(8, -1, "t", 0, idempotent(77, c.epoch, c.sequence, c.n)))), c.name)
	}
	require.Equal(t, "0 4 -1 0", answered(p.produced(produceOf(8, -1, "t", 0, idempotent(78, 0, 2147483647, 1)))))
	require.Equal(t, "0 5 -1 0", answered(p.produced(produceOf(8, -1, "t", 0, idempotent(78, 0, 0, 1)))), "after the last sequence comes 0")
	require.Equal(t, int64(6), p.fetched(fetchOf(12, "t", 0, 0)).HighWatermark)

	// More than five batches back nothing is recognised.
	for i := int32(0); i < 6; i++ {
		require.Zero(t, p.produced(produceOf(8, -1, "t", 0, idempotent(79, 0, i, 1))).ErrorCode)
	}
	require.Equal(t, "0 7 1600000000000 0", answered(p.produced(produceOf(8, -1, "t", 0, idempotent(79, 0, 1, 1)))))
	require.Equal(t, "45 -1 -1 0", answered(p.produced(produceOf(8, -1, "t", 0, idempotent(79, 0, 0, 1)))))
}

// Batches that contradict themselves are refused with the log start.
func TestProduceInvalidBatches(t *testing.T) {
	p := newDataPlane(t)
	p.lead("t", 1)
	change := func(at int, bytes ...byte) []byte {
		b := batchOf("a", "b")
		copy(b[at:], bytes)
		return signed(b)
	}
	for name, b := range map[string][]byte{
		"last offset delta":         change(23, 0, 0, 0, 5),
		"count":                     change(57, 0, 0, 0, 5),
		"no record":                 change(57, 0, 0, 0, 0),
		"base offset":               func() []byte { b := batchOf("a"); b[7] = 5; return b }(),
		"producer without a seq.":   idempotent(5, 0, -1, 1),
		"control batch of a client": change(21, 0, 1<<5),
	} {
		require.Equal(t, "87 -1 -1 0", answered(p.produced(produceOf(8, 1, "t", 0, b))), name)
	}
	require.Equal(t, "0 0 -1 0", answered(p.produced(produceOf(8, 1, "t", 0, idempotent(5, -1, 0, 1)))), "an epoch of -1 is one like others")
	require.Equal(t, "0 0 1600000000000 0", answered(p.produced(produceOf(8, 1, "t", 0, idempotent(5, -1, 0, 1)))), "and is recognised again")
}

// Records that are refused one by one are named, from version 8 on.
func TestProduceRecordErrors(t *testing.T) {
	p := newDataPlane(t)
	p.lead("t", 1)
	options := commitlog.DefaultOptions()
	options.Compact, options.Delete = true, false
	p.logs.UpdateTopicOptions("t", options)
	builder := record.NewBuilder(compress.None)
	builder.Append(1600000000000, nil, []byte("v")).Append(1600000000000, []byte("k"), []byte("v")).Append(1600000000000, nil, []byte("v"))
	for version := int16(3); version <= 9; version++ {
		part := p.produced(produceOf(version, -1, "t", 0, builder.MustBuild()))
		require.Equal(t, int16(87), part.ErrorCode)
		if version < 8 {
			continue
		}
		require.Equal(t, "One or more records have been rejected", *part.ErrorMessage)
		require.Len(t, part.ErrorRecords, 2)
		require.Equal(t, int32(0), part.ErrorRecords[0].RelativeOffset)
		require.Equal(t, int32(2), part.ErrorRecords[1].RelativeOffset)
		require.Equal(t, "Compacted topic cannot accept message without key in topic partition t-0.", *part.ErrorRecords[0].ErrorMessage)
	}

	options = commitlog.DefaultOptions()
	options.TimestampDifferenceMaxMs = 1000
	p.logs.UpdateTopicOptions("t", options)
	part := p.produced(produceOf(8, -1, "t", 0, batchOf("old")))
	require.Equal(t, int16(32), part.ErrorCode)
	require.Equal(t, "One or more records have been rejected due to invalid timestamp", *part.ErrorMessage)
	require.Regexp(t, `^Timestamp 1600000000000 of message with offset 0 is out of range. The timestamp should be within \[\d+, \d+\]$`, *part.ErrorRecords[0].ErrorMessage)

	options = commitlog.DefaultOptions()
	options.MaxMessageBytes = 10
	p.logs.UpdateTopicOptions("t", options)
	require.Equal(t, "10 -1 -1 -1", answered(p.produced(produceOf(8, -1, "t", 0, batchOf("v")))))
	options.LogAppendTime, options.MaxMessageBytes = true, 1000
	p.logs.UpdateTopicOptions("t", options)
	require.Greater(t, p.produced(produceOf(8, -1, "t", 0, batchOf("v"))).LogAppendTime, int64(1600000000000))
}
