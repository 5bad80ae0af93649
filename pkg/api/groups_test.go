package api

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/coordinator"
	"gregor/pkg/group"
	"gregor/pkg/kerr"
	"gregor/pkg/logging"
	"gregor/pkg/model"
	"gregor/pkg/protocol"
	"gregor/pkg/record"
	"gregor/pkg/wire"
)

// groupLog keeps the batches of __consumer_offsets in memory.
type groupLog struct {
	mu   sync.Mutex
	logs map[int32][]byte
	next map[int32]int64
}

func (l *groupLog) Append(partition int32, batch []byte, _ int16) (coordinator.Appended, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := record.Batch(bytes.Clone(batch))
	b.SetBaseOffset(l.next[partition])
	l.next[partition] = b.NextOffset()
	l.logs[partition] = append(l.logs[partition], b...)
	return coordinator.Appended{Offset: b.BaseOffset()}, nil
}

func (l *groupLog) Read(_ context.Context, partition int32, visit func([]byte) error) error {
	l.mu.Lock()
	data := bytes.Clone(l.logs[partition])
	l.mu.Unlock()
	return visit(data)
}

// groupCluster is a cluster of one broker with the topics of the map.
type groupCluster struct {
	topics    map[string]int32
	created   []string
	createErr error
	zookeeper map[string]int64
}

func (c *groupCluster) HasTopic(topic string) bool { return c.topics[topic] > 0 }
func (c *groupCluster) HasPartition(tp model.TopicPartition) bool {
	return tp.Partition >= 0 && tp.Partition < c.topics[tp.Topic]
}

func (c *groupCluster) Leader(tp model.TopicPartition, listener string) (model.BrokerID, model.Endpoint, bool) {
	return 7, model.Endpoint{Host: "kafka", Port: 9092}, c.HasPartition(tp) && listener == "PLAINTEXT"
}

func (c *groupCluster) CreateInternal(_ context.Context, topic string) error {
	c.created = append(c.created, topic)
	return c.createErr
}

func (c *groupCluster) ConsumerOffset(_ context.Context, group string, tp model.TopicPartition) (int64, bool, error) {
	if group == "away" {
		return 0, false, errors.New("connection loss")
	}
	offset, ok := c.zookeeper[group+"/"+tp.String()]
	return offset, ok, nil
}

func (c *groupCluster) SetConsumerOffset(_ context.Context, group string, tp model.TopicPartition, offset int64) error {
	c.zookeeper[group+"/"+tp.String()] = offset
	return nil
}

// groupHouse is the family over a coordinator that owns all partitions.
type groupHouse struct {
	*Router
	family  *Groups
	cluster *groupCluster
	lines   *bytes.Buffer
}

func openGroups(t *testing.T) *groupHouse {
	t.Helper()
	config := group.DefaultConfig()
	config.Log = &groupLog{logs: map[int32][]byte{}, next: map[int32]int64{}}
	config.InitialRebalanceDelay = 0
	c := group.New(config)
	c.Start(5)
	t.Cleanup(func() { require.NoError(t, c.Shutdown()) })
	for p := range int32(5) {
		c.OnElection(p, 0)
	}
	require.Eventually(t, func() bool { return c.ListGroups(kmsg.NewPtrListGroupsRequest()).ErrorCode == 0 }, 5*time.Second, time.Millisecond)
	h := &groupHouse{Router: NewRouter(), lines: &bytes.Buffer{},
		cluster: &groupCluster{topics: map[string]int32{"t": 2, group.Topic: 5}, zookeeper: map[string]int64{}}}
	h.family = &Groups{
		Coordinator: c, Cluster: h.cluster, Topics: h.cluster, Consumers: h.cluster, StaticMembers: true,
		Log: logging.New(h.lines).Logger("kafka.server.KafkaApis"),
	}
	h.family.Register(h.Router)
	return h
}

// send takes the request through its bytes and back, as a connection does.
func send[Resp kmsg.Response](t *testing.T, h *groupHouse, req kmsg.Request, version int16) Resp {
	t.Helper()
	resp, ok := req.ResponseKind().(Resp)
	require.True(t, ok)
	body := sendRaw(t, h, req, version)
	resp.SetVersion(version)
	require.NoError(t, resp.ReadFrom(body))
	return resp
}

func sendRaw(t *testing.T, h *groupHouse, req kmsg.Request, version int16) []byte {
	t.Helper()
	req.SetVersion(version)
	id := "cli"
	a := h.Answer(t.Context(), &wire.Request{
		Header: wire.Header{Key: req.Key(), Version: version, ClientID: &id}, Body: req.AppendTo(nil),
		Peer: &wire.Peer{Host: "127.0.0.1", Listener: "PLAINTEXT"},
	})
	require.False(t, a.Close)
	require.Len(t, a.Chunks, 1)
	return a.Chunks[0].Bytes
}

func joinOf(groupID, memberID string) *kmsg.JoinGroupRequest {
	req := kmsg.NewPtrJoinGroupRequest()
	req.Group, req.MemberID, req.ProtocolType = groupID, memberID, "consumer"
	req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = 10_000, 60_000
	req.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: []byte{0, 0, 0, 0, 0, 0}}}
	return req
}

// TestAGroupInEveryVersion takes one member through its life in each version
// of each request.
func TestAGroupInEveryVersion(t *testing.T) {
	h := openGroups(t)
	top := map[int16]int16{}
	for _, key := range []int16{8, 9, 11, 12, 13, 14, 15, 16, 42} {
		api, known := protocol.Lookup(key)
		require.True(t, known)
		top[key] = api.Max
	}
	for round := int16(0); round <= 8; round++ {
		version := func(key int16) int16 { return min(round, top[key]) }
		joined := send[*kmsg.JoinGroupResponse](t, h, joinOf("g", ""), version(11))
		if version(11) >= 4 {
			require.Equal(t, kerr.MemberIDRequired.Code, joined.ErrorCode)
			joined = send[*kmsg.JoinGroupResponse](t, h, joinOf("g", joined.MemberID), version(11))
		}
		require.Zero(t, joined.ErrorCode)
		require.True(t, strings.HasPrefix(joined.MemberID, "cli-"))
		require.Len(t, joined.Members, 1)

		sync := kmsg.NewPtrSyncGroupRequest()
		sync.Group, sync.MemberID, sync.Generation = "g", joined.MemberID, joined.Generation
		sync.ProtocolType, sync.Protocol = kmsg.StringPtr("consumer"), kmsg.StringPtr("range")
		sync.GroupAssignment = []kmsg.SyncGroupRequestGroupAssignment{{MemberID: joined.MemberID, MemberAssignment: []byte("all")}}
		synced := send[*kmsg.SyncGroupResponse](t, h, sync, version(14))
		require.Zero(t, synced.ErrorCode)
		require.Equal(t, "all", string(synced.MemberAssignment))

		beat := kmsg.NewPtrHeartbeatRequest()
		beat.Group, beat.MemberID, beat.Generation = "g", joined.MemberID, joined.Generation
		require.Zero(t, send[*kmsg.HeartbeatResponse](t, h, beat, version(12)).ErrorCode)

		commit := commitOf("g", joined.MemberID, joined.Generation, map[int32]int64{0: int64(round) + 5, 9: 1})
		committed := send[*kmsg.OffsetCommitResponse](t, h, commit, version(8))
		require.Zero(t, committed.Topics[0].Partitions[0].ErrorCode)
		require.Equal(t, kerr.UnknownTopicOrPartition.Code, committed.Topics[0].Partitions[1].ErrorCode)

		fetch := kmsg.NewPtrOffsetFetchRequest()
		fetch.Group, fetch.Topics = "g", []kmsg.OffsetFetchRequestTopic{{Topic: "t", Partitions: []int32{0, 1}}}
		fetched := send[*kmsg.OffsetFetchResponse](t, h, fetch, version(9))
		require.Zero(t, fetched.ErrorCode)
		require.EqualValues(t, round+5, fetched.Topics[0].Partitions[0].Offset)
		require.EqualValues(t, -1, fetched.Topics[0].Partitions[1].Offset)

		describe := kmsg.NewPtrDescribeGroupsRequest()
		describe.Groups, describe.IncludeAuthorizedOperations = []string{"g", "none"}, round == 3
		described := send[*kmsg.DescribeGroupsResponse](t, h, describe, version(15))
		require.Equal(t, "Stable", described.Groups[0].State)
		require.Equal(t, "/127.0.0.1", described.Groups[0].Members[0].ClientHost)
		require.Equal(t, "Dead", described.Groups[1].State)
		require.Zero(t, described.Groups[1].ErrorCode)
		if round == 3 {
			require.EqualValues(t, 328, described.Groups[0].AuthorizedOperations)
		} else {
			require.EqualValues(t, -1<<31, described.Groups[0].AuthorizedOperations)
		}

		list := kmsg.NewPtrListGroupsRequest()
		list.StatesFilter = []string{"Stable"}
		if version(16) < 4 {
			list.StatesFilter = nil
		}
		require.Len(t, send[*kmsg.ListGroupsResponse](t, h, list, version(16)).Groups, 1)

		drop := kmsg.NewPtrDeleteGroupsRequest()
		drop.Groups = []string{"g", "g", "none"}
		dropped := send[*kmsg.DeleteGroupsResponse](t, h, drop, version(42))
		require.Len(t, dropped.Groups, 2)
		require.Equal(t, kerr.NonEmptyGroup.Code, dropped.Groups[0].ErrorCode)
		require.Equal(t, kerr.GroupIDNotFound.Code, dropped.Groups[1].ErrorCode)

		leave := kmsg.NewPtrLeaveGroupRequest()
		leave.Group, leave.MemberID = "g", joined.MemberID
		leave.Members = []kmsg.LeaveGroupRequestMember{{MemberID: joined.MemberID}}
		require.Zero(t, send[*kmsg.LeaveGroupResponse](t, h, leave, version(13)).ErrorCode)
		dropped = send[*kmsg.DeleteGroupsResponse](t, h, drop, version(42))
		require.Zero(t, dropped.Groups[0].ErrorCode)
	}
}

func commitOf(groupID, memberID string, generation int32, offsets map[int32]int64) *kmsg.OffsetCommitRequest {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.MemberID, req.Generation = groupID, memberID, generation
	topic := kmsg.NewOffsetCommitRequestTopic()
	topic.Topic = "t"
	for _, p := range sortedPartitions(offsets) {
		row := kmsg.NewOffsetCommitRequestTopicPartition()
		row.Partition, row.Offset = p, offsets[p]
		topic.Partitions = append(topic.Partitions, row)
	}
	req.Topics = []kmsg.OffsetCommitRequestTopic{topic}
	return req
}

func sortedPartitions(offsets map[int32]int64) []int32 {
	var list []int32
	for p := range int32(100) {
		if _, ok := offsets[p]; ok {
			list = append(list, p)
		}
	}
	return list
}

// TestAnswersOfARunningBroker compares with bytes of Kafka 2.8, behind the
// correlation id.
func TestAnswersOfARunningBroker(t *testing.T) {
	h := openGroups(t)
	hexOf := func(req kmsg.Request, version int16) string { return hex.EncodeToString(sendRaw(t, h, req, version)) }

	beat := kmsg.NewPtrHeartbeatRequest()
	beat.Group = "nobody"
	require.Equal(t, "0019", hexOf(beat, 0))
	beat.Group = ""
	require.Equal(t, "0018", hexOf(beat, 0))

	short := joinOf("g", "")
	short.SessionTimeoutMillis = 1
	require.Equal(t, "001a"+"ffffffff"+"0000"+"0000"+"0000"+"00000000", hexOf(short, 0))

	dynamic := hexOf(joinOf("g", ""), 5)
	require.True(t, strings.HasPrefix(dynamic, "00000000"+"004f"+"ffffffff"+"0000"+"0000"+"0028"+hex.EncodeToString([]byte("cli-"))), dynamic)
	require.True(t, strings.HasSuffix(dynamic, "00000000"))

	fetch := kmsg.NewPtrOffsetFetchRequest()
	fetch.Group, fetch.Topics = "simple", []kmsg.OffsetFetchRequestTopic{{Topic: "x", Partitions: []int32{0}}}
	head := "00000001" + "000178" + "00000001" + "00000000"
	require.Equal(t, head+"ffffffffffffffff"+"0000"+"0003", hexOf(fetch, 0))
	require.Equal(t, head+"ffffffffffffffff"+"0000"+"0000", hexOf(fetch, 1))

	commit := commitOf("simple", "", -1, map[int32]int64{0: 5})
	commit.Topics[0].Partitions[0].Metadata = kmsg.StringPtr("m")
	sendRaw(t, h, commit, 2)
	fetch.Topics = nil
	require.Equal(t, "00000001"+"000174"+"00000001"+"00000000"+"0000000000000005"+"00016d"+"0000"+"0000", hexOf(fetch, 2))
}

func TestFindCoordinator(t *testing.T) {
	h := openGroups(t)
	req := kmsg.NewPtrFindCoordinatorRequest()
	req.CoordinatorKey = "g"
	for version := int16(0); version <= 3; version++ {
		resp := send[*kmsg.FindCoordinatorResponse](t, h, req, version)
		require.Zero(t, resp.ErrorCode)
		require.EqualValues(t, 7, resp.NodeID)
		require.Equal(t, "kafka", resp.Host)
		require.EqualValues(t, 9092, resp.Port)
	}
	req.CoordinatorType = 1
	resp := send[*kmsg.FindCoordinatorResponse](t, h, req, 3)
	require.Equal(t, kerr.UnsupportedVersion.Code, resp.ErrorCode)
	require.Equal(t, "This broker does not support transactions.", *resp.ErrorMessage)
	require.EqualValues(t, -1, resp.NodeID)
	req.CoordinatorType = 2
	require.Equal(t, kerr.InvalidRequest.Code, send[*kmsg.FindCoordinatorResponse](t, h, req, 3).ErrorCode)
}

func TestTheFirstFindCoordinatorCreatesTheTopic(t *testing.T) {
	h := openGroups(t)
	h.cluster.topics = map[string]int32{"t": 2}
	req := kmsg.NewPtrFindCoordinatorRequest()
	req.CoordinatorKey = "g"
	resp := send[*kmsg.FindCoordinatorResponse](t, h, req, 2)
	require.Equal(t, kerr.CoordinatorNotAvailable.Code, resp.ErrorCode)
	require.EqualValues(t, -1, resp.NodeID)
	require.Empty(t, resp.Host)
	require.EqualValues(t, -1, resp.Port)
	require.Equal(t, []string{"__consumer_offsets"}, h.cluster.created)

	h.cluster.createErr = kerr.InvalidReplicationFactor.With("told already")
	send[*kmsg.FindCoordinatorResponse](t, h, req, 2)
	require.Empty(t, h.lines.String())
	h.cluster.createErr = errors.New("no")
	send[*kmsg.FindCoordinatorResponse](t, h, req, 2)
	require.Contains(t, h.lines.String(), "WARN Topic __consumer_offsets could not be created: no (kafka.server.KafkaApis)")

	// There, but without a leader on this listener.
	h.cluster.topics = map[string]int32{group.Topic: 1}
	r := kmsg.NewPtrFindCoordinatorRequest()
	r.CoordinatorKey = keyOutside(h, 1)
	require.Equal(t, kerr.CoordinatorNotAvailable.Code, send[*kmsg.FindCoordinatorResponse](t, h, r, 2).ErrorCode)
}

// keyOutside finds a group that does not live in the first partitions.
func keyOutside(h *groupHouse, partitions int32) string {
	key := "g"
	for h.family.Coordinator.PartitionFor(key) < partitions {
		key += "x"
	}
	return key
}

func TestOffsetsOfVersion0AreInZooKeeper(t *testing.T) {
	h := openGroups(t)
	commit := commitOf("old", "", -1, map[int32]int64{0: 5, 1: 6})
	long := strings.Repeat("x", 4097)
	commit.Topics[0].Partitions[1].Metadata = &long
	resp := send[*kmsg.OffsetCommitResponse](t, h, commit, 0)
	require.Zero(t, resp.Topics[0].Partitions[0].ErrorCode)
	require.Equal(t, kerr.OffsetMetadataTooLarge.Code, resp.Topics[0].Partitions[1].ErrorCode)
	require.Equal(t, map[string]int64{"old/t-0": 5}, maps.Clone(h.cluster.zookeeper))

	fetch := kmsg.NewPtrOffsetFetchRequest()
	fetch.Group, fetch.Topics = "old", []kmsg.OffsetFetchRequestTopic{{Topic: "t", Partitions: []int32{0, 1}}}
	old := send[*kmsg.OffsetFetchResponse](t, h, fetch, 0).Topics[0].Partitions
	require.EqualValues(t, 5, old[0].Offset)
	require.Zero(t, old[0].ErrorCode)
	require.Equal(t, kerr.UnknownTopicOrPartition.Code, old[1].ErrorCode)
	require.EqualValues(t, -1, send[*kmsg.OffsetFetchResponse](t, h, fetch, 1).Topics[0].Partitions[0].Offset, "later versions look elsewhere")
	fetch.Group = "away"
	require.Equal(t, kerr.UnknownServerError.Code, send[*kmsg.OffsetFetchResponse](t, h, fetch, 0).Topics[0].Partitions[0].ErrorCode)
}

func TestStaticMembersNeedAProtocolThatStoresThem(t *testing.T) {
	h := openGroups(t)
	h.family.StaticMembers = false
	i := "i"
	join, sync, beat, commit := joinOf("g", ""), kmsg.NewPtrSyncGroupRequest(), kmsg.NewPtrHeartbeatRequest(), commitOf("g", "", -1, map[int32]int64{0: 1})
	join.InstanceID, sync.InstanceID, beat.InstanceID, commit.InstanceID = &i, &i, &i, &i
	want := kerr.UnsupportedVersion.Code
	require.Equal(t, want, send[*kmsg.JoinGroupResponse](t, h, join, 5).ErrorCode)
	require.Equal(t, want, send[*kmsg.SyncGroupResponse](t, h, sync, 3).ErrorCode)
	require.Equal(t, want, send[*kmsg.HeartbeatResponse](t, h, beat, 3).ErrorCode)
	require.Equal(t, want, send[*kmsg.OffsetCommitResponse](t, h, commit, 7).Topics[0].Partitions[0].ErrorCode)
}

func TestSyncGroupOfVersion5NamesItsProtocol(t *testing.T) {
	h := openGroups(t)
	sync := kmsg.NewPtrSyncGroupRequest()
	sync.Group = "g"
	require.Equal(t, kerr.InconsistentGroupProtocol.Code, send[*kmsg.SyncGroupResponse](t, h, sync, 5).ErrorCode)
	require.Equal(t, kerr.UnknownMemberID.Code, send[*kmsg.SyncGroupResponse](t, h, sync, 4).ErrorCode)
}

func TestOffsetDelete(t *testing.T) {
	h := openGroups(t)
	sendRaw(t, h, commitOf("g", "", -1, map[int32]int64{0: 5}), 2)
	req := kmsg.NewPtrOffsetDeleteRequest()
	req.Group = "g"
	req.Topics = []kmsg.OffsetDeleteRequestTopic{{Topic: "t", Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 0}, {Partition: 1}, {Partition: 9}}}}
	resp := send[*kmsg.OffsetDeleteResponse](t, h, req, 0)
	require.Zero(t, resp.ErrorCode)
	codes := map[int32]int16{}
	for _, topic := range resp.Topics {
		for _, p := range topic.Partitions {
			codes[p.Partition] = p.ErrorCode
		}
	}
	require.Equal(t, map[int32]int16{0: 0, 1: 0, 9: kerr.UnknownTopicOrPartition.Code}, codes)
	resp = send[*kmsg.OffsetDeleteResponse](t, h, req, 0)
	require.Equal(t, kerr.GroupIDNotFound.Code, resp.ErrorCode, "nothing was left of the group")
}

func TestJoinGroupOfAClientThatHangsUp(t *testing.T) {
	h := openGroups(t)
	joined := send[*kmsg.JoinGroupResponse](t, h, joinOf("g", ""), 0)
	require.Zero(t, joined.ErrorCode)
	ctx, hangUp := context.WithCancel(t.Context())
	hangUp()
	second := joinOf("g", "")
	a := h.Answer(ctx, &wire.Request{Header: wire.Header{Key: 11}, Body: second.AppendTo(nil), Peer: &wire.Peer{Host: "127.0.0.1"}})
	require.True(t, a.Close)
}

type countingIDs struct {
	next int64
	err  error
}

func (c *countingIDs) Next(context.Context) (int64, error) {
	c.next++
	return c.next, c.err
}

func TestInitProducerID(t *testing.T) {
	ids := &countingIDs{}
	h := &groupHouse{Router: NewRouter()}
	(&Producers{IDs: ids, Log: logging.Discard().Logger("kafka.server.KafkaApis")}).Register(h.Router)
	empty, tid := "", "tid"
	rows := []struct {
		name    string
		version int16
		id      *string
		timeout int32
		pid     int64
		epoch   int16
		want    *kerr.Error
	}{
		{"plain", 0, nil, 0, -1, -1, nil},
		{"plain, newest", 4, nil, 0, -1, -1, nil},
		{"with an id of before", 4, nil, 0, 5, 1, nil},
		{"id without epoch", 3, nil, 0, 5, -1, kerr.InvalidRequest},
		{"epoch without id", 3, nil, 0, -1, 1, kerr.InvalidRequest},
		{"empty transactional id", 0, &empty, 1000, -1, -1, kerr.InvalidRequest},
		{"timeout 0", 0, &tid, 0, -1, -1, kerr.InvalidTransactionTimeout},
		{"transactional", 1, &tid, 1000, -1, -1, kerr.UnsupportedVersion},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			req := kmsg.NewPtrInitProducerIDRequest()
			req.TransactionalID, req.TransactionTimeoutMillis, req.ProducerID, req.ProducerEpoch = r.id, r.timeout, r.pid, r.epoch
			resp := send[*kmsg.InitProducerIDResponse](t, h, req, r.version)
			if r.want == nil {
				require.Zero(t, resp.ErrorCode)
				require.Equal(t, ids.next, resp.ProducerID)
				require.Zero(t, resp.ProducerEpoch)
				return
			}
			require.Equal(t, r.want.Code, resp.ErrorCode)
			require.EqualValues(t, -1, resp.ProducerID)
			require.EqualValues(t, -1, resp.ProducerEpoch)
		})
	}
	ids.err = errors.New("connection loss")
	require.Equal(t, kerr.CoordinatorNotAvailable.Code, send[*kmsg.InitProducerIDResponse](t, h, kmsg.NewPtrInitProducerIDRequest(), 0).ErrorCode)
}
