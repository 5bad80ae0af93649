package group

import (
	"encoding/hex"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"gregor/pkg/compress"
	"gregor/pkg/kerr"
	"gregor/pkg/model"
	"gregor/pkg/record"
)

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	require.NoError(t, err)
	return b
}

// Records of running brokers.
const (
	groupKeyHex = "0002 0003 677270"

	instanceID   = "inst1-12345678-1234-1234-1234-123456789abc" // 42 bytes
	subscription = "0001 00000002 0002 7478 0001 67 ffffffff 00000000"
	assignment   = "0001 00000002 0002 7478 00000001 00000000 0001 67 00000002 00000000 00000001 ffffffff"

	offsetKeyHex   = "0001 0006 73696d706c65 0005 706c61696e 00000000"
	offsetValueHex = "0003 0000000000000005 ffffffff 0001 6d 000001a1f7042c1e"

	emptyGroupHex = "0003 0008 636f6e73756d6572 00000002 ffff ffff 000001a1f7045307 00000000"

	// A transactional commit of group txgrp, g-0 to 7, producer 1.
	txnBatchHex = "000000000000000000000064000000000207efe0b1001000000000000001a1f7041579000001a1f7041579" +
		"00000000000000010000000000000000000164000000200001000574786772700001670000000038000300000000000000070000" +
		"000000046d657461000001a1f704157500"
)

func stableGroupHex() string {
	id := hex.EncodeToString([]byte(instanceID))
	return "0003 0008 636f6e73756d6572 00000001 0005 72616e6765 002a" + id + "000001a1f7041793 00000001" +
		"002a" + id + "0005 696e737431 0005 636f6e7331 000a 2f3132372e302e302e31 000493e0 00002710" +
		"00000015" + subscription + "00000025" + assignment
}

func goldenOptions() *Options {
	return &Options{MaxSize: 100, OffsetsRetention: time.Hour, GroupValueVersion: 3, OffsetValueVersion: 3,
		NewMemberID: func(string) string { return instanceID }}
}

// TestGroupRecordsAreKafkas brings a group into the captured states.
func TestGroupRecordsAreKafkas(t *testing.T) {
	at := func(ms int64) time.Time { return time.UnixMilli(ms) }
	g := NewGroup("grp", "__consumer_offsets-29", goldenOptions(), at(0))
	instance := "inst1"
	joined := at(0x1a1f7041793)
	g.Join(joined, Join{Ticket: 1, Instance: &instance, ClientID: "cons1", ClientHost: "/127.0.0.1",
		SessionTimeout: 10 * time.Second, RebalanceTimeout: 5 * time.Minute, ProtocolType: "consumer",
		Protocols: []Protocol{{"range", unhex(t, subscription)}}})
	g.Tick(joined)
	out := g.Sync(joined, Sync{Ticket: 2, MemberID: instanceID, Instance: &instance, Generation: 1,
		Assignments: map[string][]byte{instanceID: unhex(t, assignment)}})
	require.Equal(t, unhex(t, groupKeyHex), out.Store.Key)
	require.Equal(t, unhex(t, stableGroupHex()), out.Store.Value)
	g.Stored(joined, out.Store, nil)
	require.True(t, g.isSubscribedTo("tx"))
	require.True(t, g.isSubscribedTo("g"))
	require.False(t, g.isSubscribedTo("other"))

	failed := at(0x1a1f7045307)
	out = g.Tick(failed)
	require.Equal(t, unhex(t, emptyGroupHex), out.Store.Value)
}

func TestOlderGroupRecords(t *testing.T) {
	for version, want := range map[int16]string{
		0: "0000 0008 636f6e73756d6572 00000001 0005 72616e6765 0001 6d 00000001" + // no state time
			"0001 6d 0001 63 0002 2f68 00001388 00000001 78 00000001 61",
		1: "0001 0008 636f6e73756d6572 00000001 0005 72616e6765 0001 6d 00000001" +
			"0001 6d 0001 63 0002 2f68 00001770 00001388 00000001 78 00000001 61",
		2: "0002 0008 636f6e73756d6572 00000001 0005 72616e6765 0001 6d 0000000000000007 00000001" +
			"0001 6d 0001 63 0002 2f68 00001770 00001388 00000001 78 00000001 61",
	} {
		opts := goldenOptions()
		opts.GroupValueVersion = version
		protocolType, protocol := "consumer", "range"
		g := NewGroup("grp", "p", opts, time.UnixMilli(7))
		g.generation, g.protocolType, g.protocol, g.leader = 1, &protocolType, &protocol, "m"
		g.members["m"] = &member{id: "m", clientID: "c", clientHost: "/h", sessionTimeout: 5 * time.Second, rebalanceTimeout: 6 * time.Second,
			protocols: []Protocol{{"range", []byte("x")}}}
		st := g.record(time.UnixMilli(7), storeAssignments, map[string][]byte{"m": []byte("a")})
		require.Equal(t, unhex(t, want), st.Value)

		loaded := NewGroup("grp", "p", opts, time.UnixMilli(7))
		require.NoError(t, loaded.restore(st.Value))
		require.Equal(t, Stable, loaded.state)
		rebalance := 6 * time.Second
		if version == 0 {
			rebalance = 5 * time.Second
		}
		require.Equal(t, rebalance, loaded.members["m"].rebalanceTimeout)
		since := int64(7)
		if version < 2 {
			since = noTimestamp
		}
		require.Equal(t, since, loaded.stateSince)
	}
}

func TestOffsetRecordsAreKafkas(t *testing.T) {
	tp := model.TopicPartition{Topic: "plain"}
	require.Equal(t, unhex(t, offsetKeyHex), offsetKey("simple", tp))
	c := Committed{Offset: 5, LeaderEpoch: -1, Metadata: "m", CommitTimestamp: 0x1a1f7042c1e, ExpireTimestamp: noTimestamp}
	require.Equal(t, unhex(t, offsetValueHex), offsetValue(c, 3))
	require.Equal(t, unhex(t, "0002 0000000000000005 0001 6d 000001a1f7042c1e"), offsetValue(c, 2))
	c.ExpireTimestamp = 0x1a1f7042c1f
	require.Equal(t, unhex(t, "0001 0000000000000005 0001 6d 000001a1f7042c1e 000001a1f7042c1f"), offsetValue(c, 3), "only version 1 has an expire time")

	for _, row := range []struct {
		hex  string
		want Committed
	}{
		{"0000 0000000000000005 0001 6d 000001a1f7042c1e", Committed{5, -1, "m", 0x1a1f7042c1e, -1, 9}},
		{"0001 0000000000000005 0001 6d 000001a1f7042c1e 0000000000000007", Committed{5, -1, "m", 0x1a1f7042c1e, 7, 9}},
		{"0001 0000000000000005 0001 6d 000001a1f7042c1e ffffffffffffffff", Committed{5, -1, "m", 0x1a1f7042c1e, -1, 9}},
		{"0002 0000000000000005 0001 6d 000001a1f7042c1e", Committed{5, -1, "m", 0x1a1f7042c1e, -1, 9}},
		{"0003 0000000000000005 00000002 0001 6d 000001a1f7042c1e", Committed{5, 2, "m", 0x1a1f7042c1e, -1, 9}},
		{"0004 0000000000000005 00000002 02 6d 000001a1f7042c1e 00", Committed{5, 2, "m", 0x1a1f7042c1e, -1, 9}},
	} {
		got, err := decodeOffset(unhex(t, row.hex), 9)
		require.NoError(t, err)
		require.Equal(t, row.want, got)
	}
}

// TestACommitIsOneBatch holds the header of a commit and of a group record.
func TestACommitIsOneBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, newMemLog())
		defer h.close(t)
		now := time.Now().UnixMilli()
		req := commitRequest("g", "", -1, "t", 0, 5, "m")
		second := commitRequest("g", "", -1, "t", 1, 6, strings.Repeat("x", 4097))
		third := commitRequest("g", "", -1, "u", 0, 7, "")
		req.Topics = append(req.Topics, second.Topics[0], third.Topics[0])
		resp := h.OffsetCommit(t.Context(), req)
		require.Zero(t, resp.Topics[0].Partitions[0].ErrorCode)
		require.Equal(t, kerr.OffsetMetadataTooLarge.Code, resp.Topics[1].Partitions[0].ErrorCode)
		require.Zero(t, resp.Topics[2].Partitions[0].ErrorCode)
		batch, rest, err := record.Split(h.log.bytes(h.PartitionFor("g")))
		require.NoError(t, err)
		require.Empty(t, rest)
		require.True(t, batch.Valid())
		require.EqualValues(t, 2, batch.Count())
		require.Zero(t, batch.BaseSequence())
		require.EqualValues(t, -1, batch.ProducerID())
		require.EqualValues(t, -1, batch.ProducerEpoch())
		require.Equal(t, now, batch.BaseTimestamp())
		require.Equal(t, now, batch.MaxTimestamp())

		h.settle(t, "other", "t")
		batch, _, err = record.Split(h.log.bytes(h.PartitionFor("other")))
		require.NoError(t, err)
		require.EqualValues(t, 1, batch.Count())
		require.EqualValues(t, -1, batch.BaseSequence())
	})
}

// load opens a coordinator over batches in the partition of the group.
func load(t *testing.T, group string, batches ...record.Batch) *house {
	t.Helper()
	log := newMemLog()
	c := New(DefaultConfig())
	c.partitions = testPartitions
	for _, b := range batches {
		_, err := log.Append(c.PartitionFor(group), b, 0)
		require.NoError(t, err)
	}
	return open(t, log)
}

func batchOf(pairs ...[]byte) record.Batch {
	b := record.NewBuilder(compress.None)
	for i := 0; i < len(pairs); i += 2 {
		b.Append(1, pairs[i], pairs[i+1])
	}
	return b.MustBuild()
}

func TestLoadingTransactionalOffsets(t *testing.T) {
	commit := record.NewEndTxnMarker(record.EndTxnMarker{Type: record.ControlCommit}, 1, 0, 1)
	abort := record.NewEndTxnMarker(record.EndTxnMarker{Type: record.ControlAbort}, 1, 0, 1)
	plain := batchOf(offsetKey("txgrp", model.TopicPartition{Topic: "g"}), offsetValue(Committed{Offset: 3, LeaderEpoch: -1, ExpireTimestamp: -1}, 3))
	rows := []struct {
		name    string
		batches []record.Batch
		want    int64
	}{
		{"open", []record.Batch{plain, unhex(t, txnBatchHex)}, -100 - int64(kerr.UnstableOffsetCommit.Code)},
		{"committed", []record.Batch{plain, unhex(t, txnBatchHex), commit}, 7},
		{"aborted", []record.Batch{plain, unhex(t, txnBatchHex), abort}, 3},
		{"overtaken by a later commit", []record.Batch{unhex(t, txnBatchHex), plain, commit}, 3},
		{"of another producer", []record.Batch{unhex(t, txnBatchHex), record.NewEndTxnMarker(record.EndTxnMarker{Type: record.ControlCommit}, 2, 0, 1)}, -100 - int64(kerr.UnstableOffsetCommit.Code)},
		{"removed by a tombstone", []record.Batch{unhex(t, txnBatchHex), commit, batchOf(offsetKey("txgrp", model.TopicPartition{Topic: "g"}), nil)}, -1},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := load(t, "txgrp", r.batches...)
				defer h.close(t)
				require.Equal(t, r.want, h.offset("txgrp", "g", 0))
			})
		})
	}
}

func TestLoadingWhatAnotherBrokerWrote(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := load(t, "grp",
			batchOf(unhex(t, groupKeyHex), unhex(t, stableGroupHex()),
				[]byte{0, 3, 0, 1, 'x'}, []byte("of a newer version"),
				offsetKey("gone", model.TopicPartition{Topic: "t"}), nil,
				groupKey("gone too"), nil))
		defer h.close(t)
		row := h.Describe("grp")
		require.Equal(t, "Stable", row.State)
		require.Equal(t, "range", row.Protocol)
		require.Equal(t, "inst1", *row.Members[0].InstanceID)
		require.Equal(t, unhex(t, assignment), row.Members[0].MemberAssignment)
		require.Equal(t, "Dead", h.Describe("gone").State)
		h.logged(t, "WARN [GroupMetadataManager brokerId=0] Unknown message key with version 3 while loading offsets and group metadata from __consumer_offsets-29.")
		h.logged(t, "Finished loading offsets and group metadata from __consumer_offsets-29 in 0 milliseconds for epoch 0, of which 0 milliseconds was spent in the scheduler.")
		h.logged(t, "Loading group metadata for grp with generation 1")
	})
}

// TestLoadingStopsAtAMalformedRecord keeps what was read before it.
func TestLoadingStopsAtAMalformedRecord(t *testing.T) {
	tp := model.TopicPartition{Topic: "t"}
	good := offsetValue(Committed{Offset: 3, LeaderEpoch: -1, ExpireTimestamp: -1}, 3)
	for name, bad := range map[string]record.Batch{
		"key of one byte":     batchOf([]byte{0}, good),
		"null key":            batchOf(nil, good),
		"cut offset key":      batchOf(offsetKey("grp", tp)[:7], good),
		"cut offset value":    batchOf(offsetKey("grp", tp), good[:9]),
		"newer offset value":  batchOf(offsetKey("grp", tp), []byte{0, 9}),
		"cut group value":     batchOf(unhex(t, groupKeyHex), unhex(t, stableGroupHex())[:80]),
		"newer group value":   batchOf(unhex(t, groupKeyHex), []byte{0, 5, 0}),
		"negative version":    batchOf(unhex(t, groupKeyHex), []byte{0xff, 0xff, 0}),
		"empty group value":   batchOf(unhex(t, groupKeyHex), []byte{}),
		"no protocol":         batchOf(unhex(t, groupKeyHex), unhex(t, "0000 0000 00000001 ffff ffff 00000001 0001 6d 0001 63 0002 2f68 00001388 00000000 00000000")),
		"bytes that no batch": record.Batch("no batch at all, but long enough to have a header"),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := newMemLog()
				c := New(DefaultConfig())
				c.partitions = testPartitions
				p := c.PartitionFor("grp")
				log.logs[p] = append(append([]byte{}, batchOf(offsetKey("grp", tp), offsetValue(Committed{Offset: 2, LeaderEpoch: -1, ExpireTimestamp: -1}, 3))...), bad...)
				h := open(t, log)
				defer h.close(t)
				require.EqualValues(t, 2, h.offset("grp", "t", 0))
				h.logged(t, "ERROR [GroupMetadataManager brokerId=0] Error loading offsets from __consumer_offsets-29: ")
			})
		})
	}
}

func FuzzLoad(f *testing.F) {
	f.Add(unhex(f, groupKeyHex), unhex(f, stableGroupHex()))
	f.Add(unhex(f, groupKeyHex), unhex(f, emptyGroupHex))
	f.Add(unhex(f, offsetKeyHex), unhex(f, offsetValueHex))
	f.Add(unhex(f, offsetKeyHex), unhex(f, "0004 0000000000000005 00000002 02 6d 000001a1f7042c1e 01 00 10 00112233445566778899aabbccddeeff"))
	f.Add(unhex(f, groupKeyHex), unhex(f, "0003 0008 636f6e73756d6572 00000001 0005 72616e6765 0001 6d 000001a1f7041793 7fffffff"))
	f.Add([]byte{0, 7}, []byte{})
	config := DefaultConfig()
	f.Fuzz(func(t *testing.T, key, value []byte) {
		c := New(config)
		s := newShard(0)
		b := record.NewBuilder(compress.None)
		if err := c.replay(s, b.Append(1, key, value).Append(1, key, nil).Append(1, key, value).MustBuild()); err != nil {
			return
		}
		for _, g := range s.groups {
			checkInvariants(t, g)
			if g.protocolType == nil {
				continue
			}
			// What was read is written so that it reads the same.
			st := g.record(time.UnixMilli(1), storeAssignments, g.assignments())
			again := NewGroup(g.id, g.partition, &c.opts, time.UnixMilli(1))
			require.NoError(t, again.restore(st.Value))
			require.Equal(t, g.members, again.members)
			require.Equal(t, g.generation, again.generation)
		}
	})
}

func FuzzSubscription(f *testing.F) {
	f.Add(unhex(f, subscription))
	f.Add(unhex(f, "0000 7fffffff 0000"))
	f.Fuzz(func(t *testing.T, b []byte) {
		topics := map[string]bool{}
		if addTopics(topics, b) {
			require.LessOrEqual(t, len(topics), len(b))
		}
	})
}
