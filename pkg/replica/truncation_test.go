package replica

import (
	"testing"

	"github.com/stretchr/testify/require"

	"gregor/pkg/commitlog"
	"gregor/pkg/config"
	"gregor/pkg/model"
)

// Our log has epoch 1 from 0, 3 from 10, 5 from 20, and ends at 30.
func TestCutFor(t *testing.T) {
	b := newBroker(t)
	log, err := b.logs.GetOrCreate(tp(0), true, model.TopicID{})
	require.NoError(t, err)
	for offset := range 30 {
		_, err := log.AppendAsLeader(batch("x"), []model.LeaderEpoch{1, 3, 5}[offset/10], commitlog.OriginClient)
		require.NoError(t, err)
	}
	for name, c := range map[string]struct {
		answer EpochEnd
		want   cut
	}{
		"the leader knows nothing":        {EpochEnd{-1, -1}, cut{7, true}},
		"version 0":                       {EpochEnd{-1, 12}, cut{12, true}},
		"version 0, more than here":       {EpochEnd{-1, 99}, cut{30, true}},
		"same epoch, shorter there":       {EpochEnd{5, 25}, cut{25, true}},
		"same epoch, longer there":        {EpochEnd{5, 99}, cut{30, true}},
		"older epoch, shorter there":      {EpochEnd{3, 15}, cut{15, true}},
		"older epoch, longer there":       {EpochEnd{3, 18}, cut{18, true}},
		"older epoch, ends later there":   {EpochEnd{3, 28}, cut{20, true}},
		"epoch that is not here":          {EpochEnd{4, 25}, cut{20, false}},
		"epoch between the first two":     {EpochEnd{2, 14}, cut{10, false}},
		"epoch above all here":            {EpochEnd{9, 28}, cut{28, true}},
		"epoch below all here":            {EpochEnd{0, 4}, cut{0, true}},
		"epoch above all here, far ahead": {EpochEnd{9, 99}, cut{30, true}},
	} {
		require.Equal(t, c.want, cutFor(log, c.answer, 7), name)
	}
}

// A leader's log may begin within a batch, after DeleteRecords; an empty
// follower takes the whole batch.
func TestFollowerOfALogThatBeginsWithinABatch(t *testing.T) {
	_, one, two := pair(t, config.IBP_2_8_IV1)
	lead(0, one, []int32{1}, one)
	require.NoError(t, one.put(0, -1, 0, "a", "b", "c", "d").Err)
	require.NoError(t, one.logs.Get(tp(0)).IncrementLogStartOffset(2, "a test"))
	lead(0, one, []int32{1}, two)
	requireSame(t, one, two)
	require.Equal(t, int64(2), two.logs.Get(tp(0)).LogStartOffset())
	require.Equal(t, int64(0), two.logs.Get(tp(0)).FirstSegmentBase())
}
