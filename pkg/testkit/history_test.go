package testkit

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"gregor/pkg/compress"
	"gregor/pkg/model"
	"gregor/pkg/record"
	"gregor/pkg/zkstore"
)

var partition0 = model.TopicPartition{Topic: "t"}

// finals are records of writer 1 as an idempotent producer left them.
func finals(seqs ...int64) []FinalRecord {
	var list []FinalRecord
	for _, seq := range seqs {
		list = append(list, FinalRecord{RecordID{1, seq}.Payload(), 7, 0})
	}
	return list
}

// What must not be is found, and what may be is not taken for it.
func TestHistoryChecker(t *testing.T) {
	read := func(h *History, reader string, offset int64, seq int64) {
		h.Read(reader, partition0, offset, RecordID{1, seq}.Payload())
	}
	for _, c := range []struct {
		name    string
		happens func(h *History)
		want    string // a part of the only problem; "" for none
	}{
		{"all is well", func(h *History) {
			h.Acked(RecordID{1, 1}, partition0, 0)
			h.Acked(RecordID{1, 2}, partition0, 1)
			read(h, "a", 0, 1)
			read(h, "a", 1, 2)
			h.Final(partition0, finals(1, 2, 3)) // the third was never acknowledged
		}, ""},
		{"lost", func(h *History) {
			h.Acked(RecordID{1, 1}, partition0, 0)
			h.Acked(RecordID{1, 2}, partition0, 1)
			h.Final(partition0, finals(1))
		}, "w1-2 at offset 1 of t-0, known by the acknowledgement to writer 1, is lost"},
		{"read and lost", func(h *History) {
			read(h, "a", 0, 1)
			h.Final(partition0, nil)
		}, "known by a, is lost"},
		{"moved", func(h *History) {
			h.Acked(RecordID{1, 2}, partition0, 0)
			h.Final(partition0, finals(1, 2))
		}, "offset 0 of t-0: w1-2 to the acknowledgement to writer 1, w1-1 to the last reading"},
		{"different to two readers", func(h *History) {
			read(h, "a", 0, 1)
			read(h, "b", 0, 2)
			h.Final(partition0, finals(1))
		}, "w1-1 to a, w1-2 to b"},
		{"changed", func(h *History) {
			value := RecordID{1, 1}.Payload()
			h.Read("a", partition0, 0, append(value[:len(value)-1:len(value)-1], '!'))
			h.Final(partition0, finals(1))
		}, "record w1-1 was changed"},
		{"foreign", func(h *History) {
			h.Final(partition0, []FinalRecord{{Value: []byte("hello")}})
		}, "is no record of this history"},
		{"twice", func(h *History) {
			h.Exact(1)
			h.Final(partition0, finals(1, 2, 1))
		}, "w1-1 is in t-0 twice: at 0 and 2"},
		{"twice, from one that may", func(h *History) { h.Final(partition0, finals(1, 2, 1)) }, ""},
		{"twice, with another producer id", func(h *History) {
			h.Exact(1)
			again := finals(1)
			again[0].ProducerEpoch = 1
			h.Final(partition0, append(finals(1, 2), again...))
		}, ""},
		{"out of order", func(h *History) {
			h.Exact(1)
			h.Final(partition0, finals(2, 1))
		}, "w1-1 of t-0 at offset 1 comes behind w1-2"},
		{"a duplicate that is nowhere", func(h *History) {
			h.Acked(RecordID{1, 5}, partition0, -1)
			h.Final(partition0, finals(1))
		}, "w1-5, acknowledged as a duplicate, is not in t-0"},
		{"a reader went back", func(h *History) {
			read(h, "a", 0, 1)
			read(h, "a", 1, 2)
			read(h, "a", 0, 1)
			h.Final(partition0, finals(1, 2))
		}, "a of t-0 came from offset 1 to 0"},
		{"a reader missed one", func(h *History) {
			read(h, "a", 0, 1)
			read(h, "a", 2, 3)
			h.Final(partition0, finals(1, 2, 3))
		}, "a of t-0 came from offset 0 to 2"},
		{"the end went back", func(h *History) {
			h.End("a", partition0, 3, 10)
			h.End("a", partition0, 4, 9)
		}, "the end of t-0 went back from 10 (epoch 3) to 9 (epoch 4)"},
		{"a leader of the past knows less", func(h *History) {
			h.End("a", partition0, 3, 10)
			h.End("a", partition0, 2, 9)
			h.End("a", partition0, 3, 10)
		}, ""},
		{"a committed offset is lost", func(h *History) {
			h.Committing("g", partition0, 5)
			h.Committed("g", partition0, 5)
			h.Offset("g", partition0, 4)
		}, "group g has offset 4 for t-0; 5 was committed"},
		{"a commit that nobody heard of", func(h *History) {
			h.Committing("g", partition0, 5)
			h.Committed("g", partition0, 5)
			h.Committing("g", partition0, 6)
			h.Offset("g", partition0, 6)
		}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := NewHistory()
			c.happens(h)
			problems := h.Check()
			if c.want == "" {
				require.Empty(t, problems)
				return
			}
			require.Len(t, problems, 1)
			require.Contains(t, problems[0], c.want)
		})
	}
}

func TestStatesChecker(t *testing.T) {
	state := func(version, epoch, leader int32, isr ...model.BrokerID) zkstore.PartitionState {
		return zkstore.PartitionState{Leader: model.BrokerID(leader), LeaderEpoch: model.LeaderEpoch(epoch), ISR: isr, ZkVersion: model.PartitionEpoch(version), ControllerEpoch: 1}
	}
	older := state(2, 1, 1, 1)
	older.ControllerEpoch = 0
	replicas := []model.BrokerID{1, 2}
	for name, c := range map[string]struct {
		states []zkstore.PartitionState
		want   string
	}{
		"all is well":        {[]zkstore.PartitionState{state(0, 0, 1, 1, 2), state(1, 0, 1, 1), state(2, 1, -1, 1), state(3, 2, 2, 2)}, ""},
		"version":            {[]zkstore.PartitionState{state(1, 0, 1, 1), state(0, 0, 1, 1)}, "older version"},
		"leader epoch":       {[]zkstore.PartitionState{state(0, 2, 1, 1), state(1, 1, 1, 1)}, "older leader epoch"},
		"controller":         {[]zkstore.PartitionState{state(1, 1, 1, 1), older}, "older controller"},
		"no ISR":             {[]zkstore.PartitionState{state(0, 0, -1)}, "empty ISR"},
		"leader outside":     {[]zkstore.PartitionState{state(0, 0, 1, 2)}, "leader outside the ISR"},
		"stranger":           {[]zkstore.PartitionState{state(0, 0, 1, 1, 3)}, "3 in the ISR, which is none of the replicas"},
		"twice":              {[]zkstore.PartitionState{state(0, 0, 1, 1, 2, 2)}, "2 in the ISR twice"},
		"two in one epoch":   {[]zkstore.PartitionState{state(0, 1, 1, 1, 2), state(1, 1, 2, 1, 2)}, "two leaders in epoch 1"},
		"seen twice is once": {[]zkstore.PartitionState{state(0, 0, 1, 1), state(0, 0, 1, 1)}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := NewHistory()
			s := NewStates(h)
			for _, state := range c.states {
				s.See(partition0, state, replicas)
			}
			if c.want == "" {
				require.Empty(t, h.Problems())
				return
			}
			require.Len(t, h.Problems(), 1)
			require.Contains(t, h.Problems()[0], c.want)
		})
	}
	h := NewHistory()
	s := NewStates(h)
	s.Leaderships("[Broker id=1] Leader t-0 starts at leader epoch 4 from offset 7 with\n[Broker id=1] Leader other-0 starts at leader epoch 4 from offset 7\n", "t")
	require.Empty(t, h.Problems())
	s.Leaderships("[x] INFO [Broker id=2] Leader t-0 starts at leader epoch 4 from offset 7 with", "t")
	require.Len(t, h.Problems(), 1)
	s.SeeController(3)
	s.SeeController(2)
	require.Len(t, h.Problems(), 2)
}

func TestCheckLogBytes(t *testing.T) {
	batch := func(offset int64, epoch int32) []byte {
		b := record.NewBuilder(compress.None)
		b.BaseOffset, b.LeaderEpoch = offset, epoch
		return b.Append(1, nil, []byte("value")).MustBuild()
	}
	log := func(batches ...[]byte) string {
		var all []byte
		for _, b := range batches {
			all = append(all, b...)
		}
		return CheckLogBytes(all)
	}
	require.Empty(t, log(batch(5, 1), batch(6, 1), batch(7, 3)))
	require.Contains(t, log(batch(5, 1), batch(7, 1)), "offset 7, want 6")
	require.Contains(t, log(batch(5, 2), batch(6, 1)), "leader epoch 1 behind 2")
	bad := batch(6, 1)
	bad[len(bad)-1]++
	require.Contains(t, log(batch(5, 1), bad), "checksum")
	require.Contains(t, log(batch(5, 1), batch(6, 1)[:20]), "end within")
}

// The same seed makes the same faults, another seed others, and all kinds
// occur.
func TestSchedule(t *testing.T) {
	weights := DefaultWeights()
	one := Schedule(1, 200, 3, 1000, weights)
	require.Equal(t, one, Schedule(1, 200, 3, 1000, weights))
	require.NotEqual(t, one, Schedule(2, 200, 3, 1000, weights))
	kinds := map[string]bool{}
	for i, f := range one {
		kinds[f.Kind] = true
		require.Len(t, f.Nodes, 2)
		require.False(t, f.Beside && i > 0 && one[i-1].Beside, "at most two at a time")
	}
	require.Len(t, kinds, len(weights))
	require.True(t, strings.HasPrefix(one[0].String(), one[0].Kind))
}
