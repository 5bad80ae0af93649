package zkstore

import (
	"testing"

	"github.com/stretchr/testify/require"

	"gregor/pkg/model"
)

func TestStatesAsKafkaWritesThemAreScanned(t *testing.T) {
	want := PartitionState{Leader: 1, LeaderEpoch: 2, ISR: []model.BrokerID{0, 1}, ControllerEpoch: 3}
	for _, text := range []string{string(encodePartitionState(want)),
		`{"controller_epoch":3,"leader":1,"version":1,"leader_epoch":2,"isr":[0,1]}`} {
		got, ok := scanPartitionState([]byte(text))
		require.True(t, ok, text)
		require.Equal(t, want, got)
	}
	for _, text := range []string{``, `{}`, `{"leader":1}`, `{"controller_epoch":3,"leader":1,"version":1,"leader_epoch":2,"isr":[0,1],"more":1}`,
		`{"controller_epoch":3,"leader":1,"version":1,"leader_epoch":2,"isr":[0,1]}x`, `{"controller_epoch":3,"leader":01,"version":1,"leader_epoch":2,"isr":[0,1]}`,
		`{"controller_epoch":3,"leader":4294967296,"version":1,"leader_epoch":2,"isr":[0,1]}`} {
		_, ok := scanPartitionState([]byte(text))
		require.False(t, ok, text)
	}
}

// FuzzPartitionStateScan: what is scanned is what encoding/json reads.
func FuzzPartitionStateScan(f *testing.F) {
	f.Add([]byte(`{"controller_epoch":3,"leader":-1,"version":1,"leader_epoch":2,"isr":[]}`))
	f.Add([]byte(`{"leader":1,"isr":[2,3],"controller_epoch":3,"leader":4,"version":1,"leader_epoch":2,"isr":[0,-0]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, ok := scanPartitionState(data)
		if !ok {
			return
		}
		want, err := parsePartitionState(model.TopicPartition{Topic: "t"}, data)
		require.NoError(t, err)
		require.Equal(t, want, got)
	})
}

func BenchmarkDecodePartitionState(b *testing.B) {
	data := encodePartitionState(PartitionState{Leader: 1, LeaderEpoch: 2, ISR: []model.BrokerID{0, 1, 2}, ControllerEpoch: 3})
	for b.Loop() {
		if _, err := decodePartitionState(model.TopicPartition{Topic: "t"}, data); err != nil {
			b.Fatal(err)
		}
	}
}
