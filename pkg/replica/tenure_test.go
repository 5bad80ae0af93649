package replica

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gregor/pkg/kerr"
)

// A produce request that waits while its broker loses the leadership and gets
// it back is not acknowledged by the high watermark of the new time: what it
// wrote may have been cut away, and other records be where it was.
func TestAckIsOfOneLeadership(t *testing.T) {
	b := newBroker(t)
	b.live(1, 1, 2)
	require.Equal(t, "t-0=NONE", b.apply(leaderAndIsr(0, state{0, 1, 1, []int32{1, 2}, []int32{1, 2}})))
	waiting := &AppendRequest{Acks: -1, Timeout: 10 * time.Second, Appends: []Append{{TopicPartition: tp(0), Records: batch("lost")}}}
	b.Write(waiting)
	require.NoError(t, waiting.Appends[0].Err)

	require.Equal(t, "t-0=NONE", b.apply(leaderAndIsr(0, state{0, 2, 2, []int32{2}, []int32{1, 2}})))
	require.NoError(t, b.logs.Get(tp(0)).TruncateTo(0))
	require.Equal(t, "t-0=NONE", b.apply(leaderAndIsr(0, state{0, 1, 3, []int32{1}, []int32{1, 2}})))
	require.NoError(t, b.put(0, 1, 0, "another").Err)
	require.EqualValues(t, 1, b.logs.Get(tp(0)).HighWatermark())

	b.Await(t.Context(), waiting)
	require.ErrorIs(t, waiting.Appends[0].Err, kerr.NotLeaderOrFollower)

	// A new epoch of the same leadership keeps what was written.
	require.Equal(t, "t-0=NONE", b.apply(leaderAndIsr(0, state{0, 1, 4, []int32{1, 2}, []int32{1, 2}})))
	kept := &AppendRequest{Acks: -1, Timeout: 10 * time.Second, Appends: []Append{{TopicPartition: tp(0), Records: batch("kept")}}}
	b.Write(kept)
	require.Equal(t, "t-0=NONE", b.apply(leaderAndIsr(0, state{0, 1, 5, []int32{1}, []int32{1, 2}})))
	b.Await(t.Context(), kept)
	require.NoError(t, kept.Appends[0].Err)
}
