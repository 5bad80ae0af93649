//go:build compat

package compat

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/record"
)

// Offsets that are committed while the log's format is an old one lie in the
// offsets topic in that format, and are there after a restart, also under a
// Java broker on our directory, and under ours again.
func TestGroupsInOldFormats(t *testing.T) {
	for magic, format := range []string{"0.9.0", "0.10.2"} {
		t.Run(format, func(t *testing.T) {
			zk := zooKeeper(t, gregor, t.TempDir(), 0)
			dir := t.TempDir()
			changes := map[string]string{"log.message.format.version": format, "offsets.topic.compression.codec": "1", "offsets.topic.num.partitions": "1"}
			want := int64(0)
			for _, k := range []kind{gregor, kafka28, gregor} {
				b := broker(t, k, 0, zk.Address, dir, changes)
				c := (&side{t: t, name: string(k), address: b.Address, answers: map[string][]string{}}).open()
				registered(c)
				coordinator(c)
				if want == 0 {
					require.IsType(t, &kmsg.CreateTopicsResponse{}, c.send(4, creating("t", 1)))
				} else {
					require.Equal(t, want, committedOffset(c), "%s goes on with what was committed", k)
				}
				want++
				commitOffset(c, want)
				require.Equal(t, want, committedOffset(c))
				c.close()
				b.stop()
				requireFormat(t, filepath.Join(dir, "__consumer_offsets-0", "00000000000000000000.log"), int8(magic))
			}
		})
	}
}

func commitOffset(c *conv, offset int64) {
	eventually(c.t, 20*time.Second, "a commit", func() bool {
		req := kmsg.NewPtrOffsetCommitRequest()
		req.Group, req.Generation = "g", -1
		rt, rp := kmsg.NewOffsetCommitRequestTopic(), kmsg.NewOffsetCommitRequestTopicPartition()
		rp.Offset = offset
		rt.Topic, rt.Partitions = "t", append(rt.Partitions, rp)
		req.Topics = append(req.Topics, rt)
		resp, ok := c.send(2, req).(*kmsg.OffsetCommitResponse)
		return ok && resp.Topics[0].Partitions[0].ErrorCode == 0
	})
}

func committedOffset(c *conv) int64 {
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Group = "g"
	rt := kmsg.NewOffsetFetchRequestTopic()
	rt.Topic, rt.Partitions = "t", []int32{0}
	req.Topics = append(req.Topics, rt)
	resp, ok := c.send(1, req).(*kmsg.OffsetFetchResponse)
	require.True(c.t, ok)
	return resp.Topics[0].Partitions[0].Offset
}

// requireFormat finds batches of one format in a segment, and nothing else.
func requireFormat(t *testing.T, path string, magic int8) {
	t.Helper()
	set, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NotEmpty(t, set)
	for len(set) > 0 {
		b, rest, err := record.SplitAny(set)
		require.NoError(t, err)
		require.Equal(t, magic, b.Magic(), path)
		set = rest
	}
}
