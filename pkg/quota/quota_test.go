package quota

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gregor/pkg/model"
)

var start = time.Date(2021, 4, 19, 12, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time {
	return start.Add(time.Duration(seconds * float64(time.Second)))
}

func TestRate(t *testing.T) {
	type event struct {
		at    float64
		bytes float64 // 0 looks only
		want  float64
	}
	for name, events := range map[string][]event{
		"nothing":                        {{at: 5, want: 0}},
		"one record counts for a sample": {{at: 1, bytes: 500, want: 500}, {at: 1.5, want: 500}, {at: 3, want: 250}},
		"samples add up":                 {{at: 0, bytes: 100, want: 100}, {at: 0.5, bytes: 100, want: 200}, {at: 1, bytes: 300, want: 500}, {at: 2, bytes: 100, want: 300}},
		"three samples, the oldest goes": {{at: 0, bytes: 900, want: 900}, {at: 1, bytes: 90, want: 990}, {at: 2, bytes: 90, want: 540}, {at: 3, bytes: 90, want: 135}},
		"a pause forgets":                {{at: 0, bytes: 900, want: 900}, {at: 2.9, want: 900 / 2.9}, {at: 3, want: 0}, {at: 60, bytes: 10, want: 10}},
		"samples begin with a record":    {{at: 0, bytes: 100, want: 100}, {at: 1.8, bytes: 100, want: 200 / 1.8}, {at: 2.7, bytes: 100, want: 300 / 2.7}, {at: 3.5, want: 200 / 1.7}},
	} {
		t.Run(name, func(t *testing.T) {
			r := NewRate(Windows{3, time.Second})
			for _, e := range events {
				if e.bytes > 0 {
					r.Record(e.bytes, at(e.at))
				}
				require.InDelta(t, e.want, r.PerSecond(at(e.at)), 0.001, "at %v", e.at)
			}
		})
	}
}

// Whoever stops while the quota is exceeded copies, over a while, what the
// limit says.
func TestALimitIsKept(t *testing.T) {
	q := NewReplication(Windows{11, time.Second})
	q.SetLimit(1_000_000)
	tp := model.TopicPartition{Topic: "t"}
	q.Throttle("t", AllPartitions)
	random := rand.New(rand.NewPCG(1, 2))
	copied, now := 0, start
	for now.Before(at(60)) {
		now = now.Add(time.Duration(random.IntN(50)) * time.Millisecond)
		if !q.Holds(tp, now) {
			n := random.IntN(300_000)
			q.Record(n, now)
			copied += n
		}
	}
	require.InEpsilon(t, 60*1_000_000, copied, 0.05)
	q.SetLimit(Unlimited)
	require.False(t, q.Holds(tp, now))
}

func TestPartitions(t *testing.T) {
	for _, row := range []struct {
		list      []string
		throttled []int32
		bad       bool
	}{
		{list: nil},
		{list: []string{""}},
		{list: []string{"*"}, throttled: []int32{0, 1, 2, 3}},
		{list: []string{"0:1", " 2:1", "1:2", "3:11"}, throttled: []int32{0, 2}},
		{list: []string{"0:2"}},
		{list: []string{"0"}, bad: true},
		{list: []string{"0:x"}, bad: true},
		{list: []string{"99999999999:1"}, bad: true},
	} {
		got, err := ParsePartitions(row.list, 1)
		require.Equal(t, row.bad, err != nil, "%v", row.list)
		q := NewReplication(Windows{11, time.Second})
		q.Throttle("t", got)
		q.Throttle("other", AllPartitions)
		q.Throttle("other", Partitions{})
		var throttled []int32
		for i := range int32(4) {
			if q.Throttles(model.TopicPartition{Topic: "t", Partition: i}) {
				throttled = append(throttled, i)
			}
			require.False(t, q.Throttles(model.TopicPartition{Topic: "other", Partition: i}))
		}
		require.Equal(t, row.throttled, throttled, "%v", row.list)
	}
}

func TestAskingDoesNotAllocate(t *testing.T) {
	q := NewReplication(Windows{11, time.Second})
	q.SetLimit(10)
	q.Throttle("t", AllPartitions)
	tp := model.TopicPartition{Topic: "t", Partition: 3}
	require.Zero(t, testing.AllocsPerRun(100, func() {
		q.Record(5, start)
		q.Holds(tp, start)
	}))
}
