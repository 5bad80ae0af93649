package group

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/kerr"
	"gregor/pkg/logging"
	"gregor/pkg/model"
)

const testPartitions = 50

// house is a coordinator that owns all partitions, with its log.
type house struct {
	*Coordinator
	log   *memLog
	lines *lockedBuffer
}

// lockedBuffer is what loggers write to while a test reads.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// open starts a coordinator over the log and waits until it has loaded. It is
// to be called in a synctest bubble.
func open(t *testing.T, log *memLog, change ...func(*Config)) *house {
	t.Helper()
	config := DefaultConfig()
	config.Log, config.InitialRebalanceDelay = log, 0
	h := &house{log: log, lines: &lockedBuffer{}}
	config.Loggers = logging.New(h.lines)
	for _, c := range change {
		c(&config)
	}
	h.Coordinator = New(config)
	h.Start(testPartitions)
	for p := range int32(testPartitions) {
		h.OnElection(p, 0)
	}
	synctest.Wait()
	return h
}

func (h *house) close(t *testing.T) {
	t.Helper()
	require.NoError(t, h.Shutdown())
}

// logged looks for a text in what was logged, and shows no more than the end
// of it when it is not there.
func (h *house) logged(t *testing.T, text string) {
	t.Helper()
	if all := h.lines.String(); !strings.Contains(all, text) {
		require.Fail(t, "not logged", "%s\nlast lines:\n%s", text, all[max(0, len(all)-1500):])
	}
}

func joinRequest(group, memberID string, version int16, topics ...string) *kmsg.JoinGroupRequest {
	req := kmsg.NewPtrJoinGroupRequest()
	req.Version, req.Group, req.MemberID, req.ProtocolType = version, group, memberID, "consumer"
	req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = 10_000, 60_000
	metadata := kmsg.ConsumerMemberMetadata{Topics: topics}
	req.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: metadata.AppendTo(nil)}}
	return req
}

func syncRequest(group, memberID string, generation int32, assignments map[string]string) *kmsg.SyncGroupRequest {
	req := kmsg.NewPtrSyncGroupRequest()
	req.Version, req.Group, req.MemberID, req.Generation = 3, group, memberID, generation
	for id, bytes := range assignments {
		req.GroupAssignment = append(req.GroupAssignment, kmsg.SyncGroupRequestGroupAssignment{MemberID: id, MemberAssignment: []byte(bytes)})
	}
	return req
}

func commitRequest(group, memberID string, generation int32, topic string, partition int32, offset int64, metadata string) *kmsg.OffsetCommitRequest {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Version, req.Group, req.MemberID, req.Generation = 7, group, memberID, generation
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Partition, p.Offset, p.Metadata = partition, offset, &metadata
	req.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: topic, Partitions: []kmsg.OffsetCommitRequestTopicPartition{p}}}
	return req
}

func (h *house) mustCommit(t *testing.T, group, topic string, partition int32, offset int64) {
	t.Helper()
	require.Zero(t, h.commit(group, "", -1, topic, partition, offset))
}

func (h *house) commit(group, memberID string, generation int32, topic string, partition int32, offset int64) int16 {
	return h.OffsetCommit(context.Background(), commitRequest(group, memberID, generation, topic, partition, offset, "m")).Topics[0].Partitions[0].ErrorCode
}

// offset is -1 without a committed offset, and -100 minus the code of an error.
func (h *house) offset(group, topic string, partition int32) int64 {
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Version, req.Group, req.RequireStable = 7, group, true
	req.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: topic, Partitions: []int32{partition}}}
	resp := h.OffsetFetch(req)
	if resp.ErrorCode != 0 {
		return -100 - int64(resp.ErrorCode)
	}
	if row := resp.Topics[0].Partitions[0]; row.ErrorCode == 0 {
		return row.Offset
	} else {
		return -100 - int64(row.ErrorCode)
	}
}

func (h *house) heartbeatCode(group, memberID string, generation int32) int16 {
	req := kmsg.NewPtrHeartbeatRequest()
	req.Group, req.MemberID, req.Generation = group, memberID, generation
	return h.Heartbeat(req).ErrorCode
}

// settle joins one member into a group of its own and returns its id and
// generation.
func (h *house) settle(t *testing.T, group string, topics ...string) (string, int32) {
	t.Helper()
	resp := h.JoinGroup(context.Background(), joinRequest(group, "", 0, topics...), Client{"c", "/127.0.0.1"})
	require.Zero(t, resp.ErrorCode)
	synced := h.SyncGroup(context.Background(), syncRequest(group, resp.MemberID, resp.Generation, map[string]string{resp.MemberID: "all"}))
	require.Zero(t, synced.ErrorCode)
	return resp.MemberID, resp.Generation
}

// TestTwoConsumers is the life of an ordinary group: two members join, one
// leads, both have assignments, offsets are committed and read, one leaves.
func TestTwoConsumers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, newMemLog(), func(c *Config) { c.InitialRebalanceDelay = 3 * time.Second })
		defer h.close(t)
		first := make([]*kmsg.JoinGroupResponse, 2)
		var both sync.WaitGroup
		for i := range first {
			both.Go(func() {
				required := h.JoinGroup(t.Context(), joinRequest("g", "", 5, "t"), Client{"c", "/127.0.0.1"})
				require.Equal(t, kerr.MemberIDRequired.Code, required.ErrorCode)
				first[i] = h.JoinGroup(t.Context(), joinRequest("g", required.MemberID, 5, "t"), Client{"c", "/127.0.0.1"})
			})
		}
		both.Wait()
		leader, follower := first[0], first[1]
		if leader.LeaderID != leader.MemberID {
			leader, follower = follower, leader
		}
		require.Equal(t, leader.MemberID, follower.LeaderID)
		require.Len(t, leader.Members, 2)
		require.Empty(t, follower.Members)
		require.EqualValues(t, 1, leader.Generation)
		require.Equal(t, "range", *leader.Protocol)

		var followerSync *kmsg.SyncGroupResponse
		both.Go(func() { followerSync = h.SyncGroup(t.Context(), syncRequest("g", follower.MemberID, 1, nil)) })
		synctest.Wait()
		require.Nil(t, followerSync, "the follower waits for the leader")
		leaderSync := h.SyncGroup(t.Context(), syncRequest("g", leader.MemberID, 1, map[string]string{leader.MemberID: "p0", follower.MemberID: "p1"}))
		both.Wait()
		require.Equal(t, "p0", string(leaderSync.MemberAssignment))
		require.Equal(t, "p1", string(followerSync.MemberAssignment))

		require.Zero(t, h.heartbeatCode("g", leader.MemberID, 1))
		require.Zero(t, h.commit("g", leader.MemberID, 1, "t", 0, 42))
		require.EqualValues(t, 42, h.offset("g", "t", 0))
		require.EqualValues(t, -1, h.offset("g", "t", 1))

		leave := kmsg.NewPtrLeaveGroupRequest()
		leave.Version, leave.Group = 3, "g"
		leave.Members = []kmsg.LeaveGroupRequestMember{{MemberID: follower.MemberID}, {MemberID: "ghost"}}
		left := h.LeaveGroup(leave)
		require.Zero(t, left.ErrorCode)
		require.Zero(t, left.Members[0].ErrorCode)
		require.Equal(t, kerr.UnknownMemberID.Code, left.Members[1].ErrorCode)
		require.Equal(t, kerr.RebalanceInProgress.Code, h.heartbeatCode("g", leader.MemberID, 1))
		again := h.JoinGroup(t.Context(), joinRequest("g", leader.MemberID, 5, "t"), Client{"c", "/127.0.0.1"})
		require.Zero(t, again.ErrorCode)
		require.EqualValues(t, 2, again.Generation)
		require.Len(t, again.Members, 1)
	})
}

// TestANewCoordinatorKnowsWhatTheOldOneKnew moves the partitions.
func TestANewCoordinatorKnowsWhatTheOldOneKnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemLog()
		old := open(t, log)
		id, generation := old.settle(t, "g", "t")
		require.Zero(t, old.commit("g", id, generation, "t", 0, 5))
		old.mustCommit(t, "simple", "t", 1, 7)
		before := old.Describe("g")
		old.close(t)

		h := open(t, log)
		defer h.close(t)
		require.Equal(t, before, h.Describe("g"))
		require.Equal(t, "Stable", before.State)
		require.EqualValues(t, 5, h.offset("g", "t", 0))
		require.EqualValues(t, 7, h.offset("simple", "t", 1))
		require.Equal(t, "Empty", h.Describe("simple").State)
		require.Zero(t, h.heartbeatCode("g", id, generation), "the member goes on as if nothing had been")
		// Its session runs here, and ends here.
		time.Sleep(10 * time.Second)
		synctest.Wait()
		require.Equal(t, "Empty", h.Describe("g").State)
		h.logged(t, "Group g: member "+id+" (client id c) at /127.0.0.1 missed session timeout 10000 ms by 0 ms")
	})
}

func TestWhoWaitsIsToldWhenThePartitionMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, newMemLog())
		defer h.close(t)
		h.settle(t, "g", "t")
		var code int16
		var waiting sync.WaitGroup
		waiting.Go(func() {
			code = h.JoinGroup(t.Context(), joinRequest("g", "", 0, "t"), Client{"d", "/127.0.0.1"}).ErrorCode
		})
		synctest.Wait()
		partition := h.PartitionFor("g")
		h.OnResignation(partition, 1)
		waiting.Wait()
		require.Equal(t, kerr.NotCoordinator.Code, code)
		require.Equal(t, kerr.NotCoordinator.Code, h.heartbeatCode("g", "x", 1))
		h.OnElection(partition, 0) // of an older epoch
		require.Equal(t, kerr.NotCoordinator.Code, h.heartbeatCode("g", "x", 1))
		h.OnElection(partition, 2)
		synctest.Wait()
		require.Equal(t, "Stable", h.Describe("g").State)
		h.OnResignation(partition, model.NoLeaderEpoch) // StopReplica without an epoch
		require.Equal(t, kerr.NotCoordinator.Code, h.Describe("g").ErrorCode)
	})
}

// TestAClientThatHangsUpStaysAMember is the rule for a JoinGroup whose
// connection is closed.
func TestAClientThatHangsUpStaysAMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, newMemLog())
		defer h.close(t)
		h.settle(t, "g", "t")
		ctx, hangUp := context.WithCancel(t.Context())
		var gone sync.WaitGroup
		gone.Go(func() {
			require.Nil(t, h.JoinGroup(ctx, joinRequest("g", "", 0, "t"), Client{"d", "/127.0.0.1"}))
		})
		synctest.Wait()
		hangUp()
		gone.Wait()
		require.Len(t, h.Describe("g").Members, 2)
		require.Equal(t, "PreparingRebalance", h.Describe("g").State)
	})
}

// TestCommitsWaitForReplicas holds back the acknowledgement.
func TestCommitsWaitForReplicas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemLog()
		acknowledge := make(chan error)
		log.await = func(ctx context.Context) error {
			select {
			case err := <-acknowledge:
				return err
			case <-ctx.Done():
				return kerr.RequestTimedOut
			}
		}
		h := open(t, log)
		defer h.close(t)
		answer := make(chan int16, 1)
		begin := func(offset int64) { go func() { answer <- h.commit("g", "", -1, "t", 0, offset) }() }
		begin(1)
		synctest.Wait()
		require.EqualValues(t, -1, h.offset("g", "t", 0), "not seen before it is safe")
		acknowledge <- nil
		require.Zero(t, <-answer)
		require.EqualValues(t, 1, h.offset("g", "t", 0))

		begin(2)
		acknowledge <- kerr.NotEnoughReplicasAfterAppend
		require.Equal(t, kerr.CoordinatorNotAvailable.Code, <-answer)
		require.EqualValues(t, 1, h.offset("g", "t", 0))

		began := time.Now()
		begin(3)
		require.Equal(t, kerr.RequestTimedOut.Code, <-answer)
		require.Equal(t, 5*time.Second, time.Since(began))
		require.EqualValues(t, 1, h.offset("g", "t", 0))
	})
}

func TestAssignmentsWaitForReplicas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemLog()
		h := open(t, log)
		defer h.close(t)
		joined := h.JoinGroup(t.Context(), joinRequest("g", "", 0, "t"), Client{"c", "/127.0.0.1"})
		log.await = func(ctx context.Context) error { <-ctx.Done(); return kerr.RequestTimedOut }
		synced := h.SyncGroup(t.Context(), syncRequest("g", joined.MemberID, 1, nil))
		require.Equal(t, kerr.RebalanceInProgress.Code, synced.ErrorCode)
		require.Equal(t, "PreparingRebalance", h.Describe("g").State)
	})
}

func TestAppendErrors(t *testing.T) {
	rows := []struct{ append, group, commit *kerr.Error }{
		{nil, nil, nil},
		{kerr.UnknownTopicOrPartition, kerr.CoordinatorNotAvailable, kerr.CoordinatorNotAvailable},
		{kerr.NotEnoughReplicas, kerr.CoordinatorNotAvailable, kerr.CoordinatorNotAvailable},
		{kerr.NotEnoughReplicasAfterAppend, kerr.CoordinatorNotAvailable, kerr.CoordinatorNotAvailable},
		{kerr.NotLeaderOrFollower, kerr.NotCoordinator, kerr.NotCoordinator},
		{kerr.KafkaStorageError, kerr.NotCoordinator, kerr.NotCoordinator},
		{kerr.RequestTimedOut, kerr.RebalanceInProgress, kerr.RequestTimedOut},
		{kerr.MessageTooLarge, kerr.UnknownServerError, kerr.InvalidCommitOffsetSize},
		{kerr.RecordListTooLarge, kerr.UnknownServerError, kerr.InvalidCommitOffsetSize},
		{kerr.InvalidFetchSize, kerr.UnknownServerError, kerr.InvalidCommitOffsetSize},
	}
	for _, r := range rows {
		var err error
		if r.append != nil {
			err = r.append
		}
		require.Same(t, r.group, groupError(err))
		require.Same(t, r.commit, commitError(err))
	}
}

func TestPartitionFor(t *testing.T) {
	c := New(DefaultConfig())
	c.partitions = 50
	require.EqualValues(t, 29, c.PartitionFor("grp"))
	require.EqualValues(t, 24, c.PartitionFor("console-consumer-1"))
	require.EqualValues(t, 14, c.PartitionFor("grüppe-😀"), "over UTF-16")
	require.EqualValues(t, 0, c.PartitionFor(""))
}
