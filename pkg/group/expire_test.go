package group

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/compress"
	"gregor/pkg/kerr"
	"gregor/pkg/model"
	"gregor/pkg/record"
)

// TestExpired goes through the table of KIP-211.
func TestExpired(t *testing.T) {
	const retention = int64(time.Hour / time.Millisecond)
	now := time.UnixMilli(100 * retention)
	ms := now.UnixMilli()
	consumer, connect := "consumer", "connect"
	fresh, old := ms-retention+1, ms-retention
	rows := []struct {
		name         string
		protocolType *string
		state        State
		stateSince   int64
		subscribed   map[string]bool
		committed    Committed
		want         bool
	}{
		{"empty, for long enough", &consumer, Empty, old, map[string]bool{}, Committed{CommitTimestamp: ms, ExpireTimestamp: -1}, true},
		{"empty, not long enough", &consumer, Empty, fresh, map[string]bool{}, Committed{CommitTimestamp: 0, ExpireTimestamp: -1}, false},
		{"empty of another type", &connect, Empty, old, nil, Committed{CommitTimestamp: ms, ExpireTimestamp: -1}, true},
		{"empty, time not known, old commit", &consumer, Empty, noTimestamp, map[string]bool{}, Committed{CommitTimestamp: old, ExpireTimestamp: -1}, true},
		{"empty, time not known, fresh commit", &consumer, Empty, noTimestamp, map[string]bool{}, Committed{CommitTimestamp: fresh, ExpireTimestamp: -1}, false},
		{"stable, not subscribed", &consumer, Stable, ms, map[string]bool{"other": true}, Committed{CommitTimestamp: old, ExpireTimestamp: -1}, true},
		{"stable, not subscribed, fresh", &consumer, Stable, ms, map[string]bool{"other": true}, Committed{CommitTimestamp: fresh, ExpireTimestamp: -1}, false},
		{"stable, subscribed", &consumer, Stable, ms, map[string]bool{"t": true}, Committed{CommitTimestamp: 0, ExpireTimestamp: -1}, false},
		{"stable, subscriptions not known", &consumer, Stable, ms, nil, Committed{CommitTimestamp: 0, ExpireTimestamp: -1}, false},
		{"stable of another type", &connect, Stable, ms, nil, Committed{CommitTimestamp: 0, ExpireTimestamp: -1}, false},
		{"rebalancing", &consumer, PreparingRebalance, ms, map[string]bool{}, Committed{CommitTimestamp: 0, ExpireTimestamp: -1}, false},
		{"simple, old", nil, Empty, ms, nil, Committed{CommitTimestamp: old, ExpireTimestamp: -1}, true},
		{"simple, fresh", nil, Empty, 0, nil, Committed{CommitTimestamp: fresh, ExpireTimestamp: -1}, false},
		{"explicit, reached", nil, Empty, ms, nil, Committed{CommitTimestamp: fresh, ExpireTimestamp: ms}, true},
		{"explicit, not reached", nil, Empty, ms, nil, Committed{CommitTimestamp: 0, ExpireTimestamp: ms + 1}, false},
		{"explicit, group in use", &consumer, PreparingRebalance, ms, map[string]bool{}, Committed{CommitTimestamp: 0, ExpireTimestamp: ms}, false},
	}
	tp := model.TopicPartition{Topic: "t"}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			g := NewGroup("g", "p", &Options{OffsetsRetention: time.Hour}, now)
			g.protocolType, g.state, g.stateSince, g.subscribed = r.protocolType, r.state, r.stateSince, r.subscribed
			g.offsets.put(tp, r.committed)
			require.Equal(t, r.want, len(g.expired(now)) == 1)
			g.offsets.inFlight[tp] = 1
			require.Empty(t, g.expired(now), "in flight")
			delete(g.offsets.inFlight, tp)
			g.offsets.stage(1, tp, r.committed)
			require.Empty(t, g.expired(now), "in an open transaction")
		})
	}
}

func TestExpiryLeavesTombstones(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemLog()
		h := open(t, log)
		id, generation := h.settle(t, "g", "t")
		require.Zero(t, h.commit("g", id, generation, "t", 0, 5))
		h.mustCommit(t, "simple", "t", 0, 6)
		time.Sleep(time.Minute) // the session ends
		synctest.Wait()
		require.Equal(t, "Empty", h.Describe("g").State)
		time.Sleep(7*24*time.Hour - 2*time.Minute)
		require.EqualValues(t, 5, h.offset("g", "t", 0))
		time.Sleep(20 * time.Minute)
		require.EqualValues(t, -1, h.offset("g", "t", 0))
		require.EqualValues(t, -1, h.offset("simple", "t", 0))
		require.Equal(t, "Dead", h.Describe("g").State)
		h.logged(t, "INFO [GroupMetadataManager brokerId=0] Group g: 1 committed offsets have expired after 168h0m0s: t-0")
		h.logged(t, "INFO [GroupMetadataManager brokerId=0] Removed 1 expired offsets in 0 milliseconds.")
		h.logged(t, "INFO [GroupMetadataManager brokerId=0] Group g transitioned to Dead in generation 2")
		h.close(t)

		again := open(t, log)
		defer again.close(t)
		require.Equal(t, "Dead", again.Describe("g").State)
		require.EqualValues(t, -1, again.offset("simple", "t", 0))
	})
}

// TestRetentionOfARequest is for clients of version 2 to 4.
func TestRetentionOfARequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, newMemLog())
		defer h.close(t)
		req := commitRequest("g", "", -1, "t", 0, 5, "")
		req.Version, req.RetentionTimeMillis = 2, 1000
		require.Zero(t, h.OffsetCommit(t.Context(), req).Topics[0].Partitions[0].ErrorCode)
		time.Sleep(11 * time.Minute)
		require.EqualValues(t, -1, h.offset("g", "t", 0))
		var expire int64
		batch, _, err := record.Split(h.log.bytes(h.PartitionFor("g")))
		require.NoError(t, err)
		records := batch.Records(1 << 20)
		require.True(t, records.Next())
		c, err := decodeOffset(records.Record().Value, 0)
		require.NoError(t, err)
		expire = c.ExpireTimestamp - c.CommitTimestamp
		require.EqualValues(t, 1000, expire)
	})
}

func TestDeletedTopicsTakeTheirOffsetsAlong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemLog()
		h := open(t, log)
		h.mustCommit(t, "a", "t", 0, 5)
		h.mustCommit(t, "a", "u", 0, 6)
		h.mustCommit(t, "b", "t", 1, 7)
		h.OnPartitionsDeleted([]model.TopicPartition{{Topic: "t", Partition: 0}, {Topic: "t", Partition: 1}})
		h.logged(t, "INFO [GroupCoordinator 0]: Removed 2 offsets associated with deleted partitions: t-0, t-1. (kafka.coordinator.group.GroupCoordinator)")
		require.EqualValues(t, -1, h.offset("a", "t", 0))
		require.EqualValues(t, 6, h.offset("a", "u", 0))
		h.close(t)
		again := open(t, log)
		defer again.close(t)
		require.EqualValues(t, -1, again.offset("a", "t", 0))
		require.EqualValues(t, 6, again.offset("a", "u", 0))
		require.Equal(t, "Dead", again.Describe("b").State)
	})
}

func TestDeleteGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemLog()
		h := open(t, log)
		h.mustCommit(t, "a", "t", 0, 5)
		h.settle(t, "busy", "t")
		req := kmsg.NewPtrDeleteGroupsRequest()
		req.Groups = []string{"a", "busy", "none", "a", ""}
		codes := map[string]int16{}
		resp := h.DeleteGroups(req)
		for _, g := range resp.Groups {
			codes[g.Group] = g.ErrorCode
		}
		require.Len(t, resp.Groups, 4)
		require.Equal(t, map[string]int16{"a": 0, "busy": kerr.NonEmptyGroup.Code, "none": kerr.GroupIDNotFound.Code, "": kerr.GroupIDNotFound.Code}, codes)
		h.logged(t, "The following groups were deleted: a. A total of 1 offsets were removed.")
		h.close(t)
		again := open(t, log)
		defer again.close(t)
		require.EqualValues(t, -1, again.offset("a", "t", 0))
	})
}

func TestOffsetDelete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, newMemLog())
		defer h.close(t)
		id, generation := h.settle(t, "g", "t")
		require.Zero(t, h.commit("g", id, generation, "t", 0, 5))
		require.Zero(t, h.commit("g", id, generation, "u", 0, 6))
		req := kmsg.NewPtrOffsetDeleteRequest()
		req.Group = "g"
		for _, topic := range []string{"t", "u"} {
			req.Topics = append(req.Topics, kmsg.OffsetDeleteRequestTopic{Topic: topic, Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 0}}})
		}
		resp := h.OffsetDelete(req)
		require.Zero(t, resp.ErrorCode)
		require.Equal(t, kerr.GroupSubscribedToTopic.Code, resp.Topics[0].Partitions[0].ErrorCode)
		require.Zero(t, resp.Topics[1].Partitions[0].ErrorCode)
		require.EqualValues(t, 5, h.offset("g", "t", 0))
		require.EqualValues(t, -1, h.offset("g", "u", 0))
		h.logged(t, "The following offsets of the group g were deleted: u-0. A total of 1 offsets were removed.")

		join := joinRequest("connect", "", 0)
		join.ProtocolType = "connect"
		require.Zero(t, h.JoinGroup(t.Context(), join, Client{}).ErrorCode)
		req.Group = "connect"
		require.Equal(t, kerr.NonEmptyGroup.Code, h.OffsetDelete(req).ErrorCode)
		req.Group = "none"
		require.Equal(t, kerr.GroupIDNotFound.Code, h.OffsetDelete(req).ErrorCode)
		req.Group = ""
		require.Equal(t, kerr.InvalidGroupID.Code, h.OffsetDelete(req).ErrorCode)
	})
}

func TestLostTombstonesAreLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, newMemLog())
		defer h.close(t)
		h.mustCommit(t, "a", "t", 0, 5)
		h.log.setFail(func(int32) error { return kerr.NotLeaderOrFollower })
		req := kmsg.NewPtrDeleteGroupsRequest()
		req.Groups = []string{"a"}
		require.Zero(t, h.DeleteGroups(req).Groups[0].ErrorCode)
		h.logged(t, "ERROR [GroupMetadataManager brokerId=0] Failed to append 1 tombstones to __consumer_offsets-")
		require.Equal(t, kerr.NotCoordinator.Code, h.commit("a", "", -1, "t", 0, 1))
	})
}

func TestCompressedRecordsOfGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemLog()
		h := open(t, log, func(c *Config) { c.Codec = compress.Gzip })
		h.settle(t, "g", strings.Repeat("t", 200))
		h.close(t)
		again := open(t, log)
		defer again.close(t)
		require.Equal(t, "Stable", again.Describe("g").State)
	})
}
