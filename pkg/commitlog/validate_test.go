package commitlog

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"gregor/pkg/compress"
	"gregor/pkg/record"
)

func TestNoTimestampOfTheRangeIsRefused(t *testing.T) {
	const now = 1_700_000_000_000
	l := newTest(t, nil)
	plain := record.NewBuilder(compress.None).Append(now, nil, nil).MustBuild()
	stamped := record.NewBuilder(compress.None)
	stamped.SetLogAppendTime(now)
	appendTime := stamped.Append(now, nil, nil).MustBuild()
	timestamps := []int64{math.MinInt64, -2, -1, 0, 1, now - 1001, now - 1000, now - 999, now, now + 999, now + 1000, now + 1001,
		3 * now, math.MaxInt64 - now, math.MaxInt64 - 1, math.MaxInt64}
	for _, distance := range []int64{-1, 0, 1, 1000, now - 1, now, now + 1, 2 * now, math.MaxInt64 - now, math.MaxInt64} {
		for _, batch := range []record.Batch{plain, appendTime} {
			opts := &Options{TimestampDifferenceMaxMs: distance}
			earliest, latest := timestampsTaken(batch, now, opts)
			for _, timestamp := range timestamps {
				if timestamp >= earliest && timestamp <= latest {
					require.Nil(t, l.refuse(nil, candidate{timestamp: timestamp, appendTime: batch.LogAppendTime()}, now, opts), "%d of [%d, %d], distance %d", timestamp, earliest, latest, distance)
				}
			}
			if batch.LogAppendTime() || distance < 0 {
				require.Greater(t, earliest, latest)
			} else {
				require.LessOrEqual(t, earliest, int64(now))
				require.GreaterOrEqual(t, latest, int64(now))
			}
		}
	}
}
