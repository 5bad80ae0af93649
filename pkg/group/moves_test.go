package group

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"gregor/pkg/kerr"
	"gregor/pkg/model"
)

// TestCommittedOffsetsSurviveMoves commits from many clients while their
// partitions move, replicas are slow and appends fail: an acknowledged commit
// is never behind what a fetch shows later.
func TestCommittedOffsetsSurviveMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemLog()
		log.await = func(ctx context.Context) error {
			select {
			case <-ctx.Done():
				return kerr.RequestTimedOut
			case <-time.After(time.Duration(rand.IntN(5)) * time.Millisecond):
			}
			if rand.IntN(20) == 0 {
				return kerr.NotEnoughReplicasAfterAppend
			}
			return nil
		}
		log.fail = func(int32) error {
			if rand.IntN(20) == 0 {
				return kerr.NotEnoughReplicas
			}
			return nil
		}
		h := open(t, log)
		done := make(chan struct{})
		var mover, clients sync.WaitGroup
		mover.Go(func() { h.moveAbout(done) })
		for group := range 4 {
			for partition := range int32(4) {
				clients.Go(func() { h.commitOnAndOn(t, fmt.Sprintf("g%d", group), partition) })
			}
		}
		clients.Wait()
		close(done)
		mover.Wait()
		h.close(t)
	})
}

// moveAbout lets partitions resign and come back, epoch by epoch.
func (h *house) moveAbout(done <-chan struct{}) {
	var partitions []int32
	for _, group := range []string{"g", "g0", "g1", "g2", "g3"} {
		partitions = append(partitions, h.PartitionFor(group))
	}
	for epoch := model.LeaderEpoch(1); ; epoch += 2 {
		select {
		case <-done:
			return
		case <-time.After(time.Duration(rand.IntN(100)) * time.Millisecond):
		}
		for _, p := range partitions {
			h.OnResignation(p, epoch)
		}
		time.Sleep(time.Duration(rand.IntN(3)) * time.Millisecond)
		for _, p := range partitions {
			h.OnElection(p, epoch+1)
		}
	}
}

func (h *house) commitOnAndOn(t *testing.T, group string, partition int32) {
	acknowledged, attempted := int64(-1), int64(-1)
	for offset := range int64(100) {
		attempted = offset
		if h.commit(group, "", -1, "t", partition, offset) == 0 {
			acknowledged = offset
		}
		time.Sleep(time.Duration(rand.IntN(2)) * time.Millisecond)
		seen := h.offset(group, "t", partition)
		if seen <= -100 {
			continue // moving
		}
		// A commit that failed may be in the log all the same.
		require.GreaterOrEqual(t, seen, acknowledged, "%s %d", group, partition)
		require.LessOrEqual(t, seen, attempted)
	}
	require.Positive(t, acknowledged)
}

// TestMembersSurviveMoves runs consumers that join, sync, beat and commit
// while the coordinator moves, until all of them are in one generation.
func TestMembersSurviveMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, newMemLog())
		done := make(chan struct{})
		ctx, stop := context.WithCancel(t.Context())
		var mover, consumers sync.WaitGroup
		mover.Go(func() { h.moveAbout(done) })
		for i := range 5 {
			consumers.Go(func() { h.consume(ctx, fmt.Sprintf("c%d", i)) })
		}
		time.Sleep(5 * time.Second)
		close(done)
		mover.Wait()
		time.Sleep(3 * time.Minute)
		row := h.Describe("g")
		require.Equal(t, "Stable", row.State)
		require.Len(t, row.Members, 5)
		for _, m := range row.Members {
			require.Equal(t, m.MemberID, string(m.MemberAssignment))
		}
		stop()
		consumers.Wait()
		h.close(t)
	})
}

// consume is a member that does what clients do with each error.
func (h *house) consume(ctx context.Context, clientID string) {
	id := ""
	for ctx.Err() == nil {
		joined := h.JoinGroup(ctx, joinRequest("g", id, 5, "t"), Client{clientID, "/127.0.0.1"})
		switch {
		case joined == nil:
			return
		case joined.ErrorCode == kerr.MemberIDRequired.Code:
			id = joined.MemberID
			continue
		case joined.ErrorCode == kerr.UnknownMemberID.Code:
			id = ""
			continue
		case joined.ErrorCode != 0:
			time.Sleep(100 * time.Millisecond)
			continue
		}
		assignments := map[string]string{}
		for _, m := range joined.Members {
			assignments[m.MemberID] = m.MemberID
		}
		synced := h.SyncGroup(ctx, syncRequest("g", id, joined.Generation, assignments))
		if synced == nil {
			return
		}
		for synced.ErrorCode == 0 && ctx.Err() == nil {
			time.Sleep(time.Second)
			code := h.heartbeatCode("g", id, joined.Generation)
			if code == kerr.NotCoordinator.Code || code == kerr.CoordinatorNotAvailable.Code {
				continue
			}
			if code != 0 {
				break
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
}
