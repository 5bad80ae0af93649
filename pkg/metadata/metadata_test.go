package metadata

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"

	"gregor/pkg/logging"
	"gregor/pkg/model"
)

func newCache() *Cache { return New(1, "cluster", logging.Discard()) }

// update is a request of one topic; a leader of -2 deletes.
func update(version int16, topic string, leaders ...int32) *kmsg.UpdateMetadataRequest {
	req := kmsg.NewPtrUpdateMetadataRequest()
	req.Version = version
	req.ControllerID = 1
	req.ControllerEpoch = 3
	broker := kmsg.NewUpdateMetadataRequestLiveBroker()
	broker.ID, broker.Host, broker.Port = 1, "h1", 9092
	endpoint := kmsg.NewUpdateMetadataRequestLiveBrokerEndpoint()
	endpoint.Host, endpoint.Port, endpoint.ListenerName = "h1", 9093, "CLIENTS"
	endpoint.SecurityProtocol = int16(model.SSL)
	broker.Endpoints = append(broker.Endpoints, endpoint)
	req.LiveBrokers = append(req.LiveBrokers, broker)
	state := kmsg.NewUpdateMetadataRequestTopicState()
	state.Topic = topic
	state.TopicID = [16]byte{1}
	for i, leader := range leaders {
		p := kmsg.NewUpdateMetadataRequestTopicPartition()
		p.Topic, p.Partition = topic, int32(i)
		p.Leader, p.LeaderEpoch, p.ControllerEpoch, p.ZKVersion = leader, 7, 3, 4
		p.ISR, p.Replicas, p.OfflineReplicas = []int32{leader}, []int32{leader, 9}, []int32{9}
		state.PartitionStates = append(state.PartitionStates, p)
	}
	if len(leaders) == 0 {
		return req
	}
	if version >= 5 {
		req.TopicStates = append(req.TopicStates, state)
	} else {
		req.PartitionStates = state.PartitionStates
	}
	return req
}

// Every version goes over the wire and comes out as the same belief, as far
// as it carries it.
func TestUpdateOfEveryVersion(t *testing.T) {
	for version := int16(0); version <= 7; version++ {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			sent := update(version, "t", 1, 1)
			req := kmsg.NewPtrUpdateMetadataRequest()
			req.Version = version
			require.NoError(t, req.ReadFrom(sent.AppendTo(nil)))
			c := newCache()
			require.False(t, c.Snapshot().Told())
			require.Empty(t, c.Update(req, 5))

			s := c.Snapshot()
			require.True(t, s.Told())
			require.Equal(t, "cluster", s.ClusterID())
			require.Equal(t, model.BrokerID(1), s.ControllerID())
			require.Equal(t, []string{"t"}, s.Topics())
			p, ok := s.Partition(model.TopicPartition{Topic: "t", Partition: 1})
			require.True(t, ok)
			want := &Partition{Index: 1, Leader: 1, LeaderEpoch: 7, ControllerEpoch: 3, PartitionEpoch: 4,
				ISR: []model.BrokerID{1}, Replicas: []model.BrokerID{1, 9}, OfflineReplicas: []model.BrokerID{}}
			if version >= 4 {
				want.OfflineReplicas = []model.BrokerID{9}
			}
			require.Equal(t, want, p)
			require.Equal(t, version >= 7, s.TopicID("t") == model.TopicID{1})

			b, ok := s.Broker(1)
			require.True(t, ok)
			var endpoint model.Endpoint
			switch {
			case version == 0:
				endpoint = model.Endpoint{Listener: "PLAINTEXT", Host: "h1", Port: 9092}
			case version < 3:
				endpoint = model.Endpoint{Listener: "SSL", SecurityProtocol: model.SSL, Host: "h1", Port: 9093}
			default:
				endpoint = model.Endpoint{Listener: "CLIENTS", SecurityProtocol: model.SSL, Host: "h1", Port: 9093}
			}
			require.Equal(t, []model.Endpoint{endpoint}, b.Endpoints)
		})
	}
}

func TestPartitionsMergeBrokersReplace(t *testing.T) {
	c := newCache()
	c.Update(update(7, "a", 1, 1), 1)
	c.Update(update(7, "b", 1), 2)
	before := c.Snapshot()

	only := update(7, "")
	only.LiveBrokers[0].ID = 2
	only.ControllerID = 2
	c.Update(only, 3)
	s := c.Snapshot()
	require.Equal(t, []string{"a", "b"}, s.Topics(), "no partition listed, none changed")
	_, ok := s.Broker(1)
	require.False(t, ok)
	require.Equal(t, model.BrokerID(2), s.ControllerID())
	_, ok = before.Broker(1)
	require.True(t, ok, "an older snapshot stays as it was")

	only.ControllerID = -1
	c.Update(only, 4)
	require.Equal(t, model.NoBroker, c.Snapshot().ControllerID())
}

func TestDeletion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache()
		c.Update(update(7, "t", 1, 1, 1), 1)
		deleted := c.Update(update(7, "t", 1, -2), 2)
		require.Equal(t, []model.TopicPartition{{Topic: "t", Partition: 1}}, deleted)
		s := c.Snapshot()
		require.False(t, s.Contains(model.TopicPartition{Topic: "t", Partition: 1}))
		require.True(t, s.Contains(model.TopicPartition{Topic: "t", Partition: 2}), "behind the gap")
		_, was := s.DeletedAt("t")
		require.False(t, was)
		name, ok := s.TopicName(model.TopicID{1})
		require.True(t, ok)
		require.Equal(t, "t", name)

		deleted = c.Update(update(7, "t", -2, -2, -2), 3)
		require.Len(t, deleted, 3)
		s = c.Snapshot()
		require.Empty(t, s.Topics())
		_, ok = s.TopicName(model.TopicID{1})
		require.False(t, ok)
		at, was := s.DeletedAt("t")
		require.True(t, was)
		require.Equal(t, time.Now(), at)
		time.Sleep(DeletionMemory)
		_, was = s.DeletedAt("t")
		require.False(t, was)

		c.Update(update(7, "t", 1), 4)
		_, was = c.Snapshot().DeletedAt("t")
		require.False(t, was)
	})
}

func TestTopicMadeAnewHasItsNewID(t *testing.T) {
	c := newCache()
	c.Update(update(7, "t", 1), 1)
	again := update(7, "t", 1)
	again.TopicStates[0].TopicID = [16]byte{2}
	c.Update(again, 2)
	require.Equal(t, model.TopicID{2}, c.Snapshot().TopicID("t"))
	_, ok := c.Snapshot().TopicName(model.TopicID{1})
	require.False(t, ok)
}

func TestAwait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache()
		looks := 0
		result := make(chan bool, 1)
		go func() {
			result <- c.Await(t.Context(), func(s *Snapshot) bool { looks++; return s.TopicCount() == 2 })
		}()
		synctest.Wait()
		require.Equal(t, 1, looks)
		c.Update(update(7, "a", 1), 1)
		synctest.Wait()
		require.Equal(t, 2, looks)
		c.Update(update(7, "b", 1), 2)
		require.True(t, <-result)
		require.Equal(t, 3, looks)

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.False(t, c.Await(ctx, func(*Snapshot) bool { return false }))
		require.True(t, c.Await(ctx, func(*Snapshot) bool { return true }), "looks first")
	})
}

func TestStateChangeLine(t *testing.T) {
	var out bytes.Buffer
	c := New(0, "cluster", logging.New(&out))
	c.Update(update(7, "t", 1, -2), 2)
	require.Contains(t, out.String(), "INFO [Broker id=0] Add 1 partitions and deleted 1 partitions from metadata cache in response to UpdateMetadata request sent by controller 1 epoch 3 with correlation id 2 (state.change.logger)\n")
	out.Reset()
	c.Update(update(7, ""), 3)
	require.Empty(t, out.String(), "nothing to say about partitions")
}

func TestListenersThatDiffer(t *testing.T) {
	var out bytes.Buffer
	c := New(1, "cluster", logging.New(&out))
	req := update(7, "")
	other := kmsg.NewUpdateMetadataRequestLiveBroker()
	other.ID = 2
	other.Endpoints = append(other.Endpoints, kmsg.UpdateMetadataRequestLiveBrokerEndpoint{Host: "h2", Port: 1, ListenerName: "OTHER"})
	req.LiveBrokers = append(req.LiveBrokers, other)
	c.Update(req, 1)
	require.Contains(t, out.String(), "Listeners are not identical across brokers: broker 1: CLIENTS; broker 2: OTHER")
}

// Random updates against two maps.
func TestUpdateModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newCache()
		model_ := map[model.TopicPartition]int32{}
		for range rapid.IntRange(1, 30).Draw(t, "updates") {
			topic := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "topic")
			leaders := rapid.SliceOfN(rapid.SampledFrom([]int32{-2, -2, -1, 1, 2}), 0, 4).Draw(t, "leaders")
			version := rapid.SampledFrom([]int16{4, 7}).Draw(t, "version")
			c.Update(update(version, topic, leaders...), 1)
			for i, leader := range leaders {
				tp := model.TopicPartition{Topic: topic, Partition: int32(i)}
				if leader == -2 {
					delete(model_, tp)
				} else {
					model_[tp] = leader
				}
			}
			s := c.Snapshot()
			count := 0
			for _, name := range s.Topics() {
				topic, _ := s.Topic(name)
				named, _ := s.TopicNamed([]byte(name))
				require.Same(t, topic, named)
				require.NotEmpty(t, topic.Partitions)
				for i, p := range topic.Partitions {
					count++
					require.Equal(t, model_[model.TopicPartition{Topic: name, Partition: p.Index}], int32(p.Leader))
					require.True(t, i == 0 || topic.Partitions[i-1].Index < p.Index)
				}
			}
			require.Equal(t, len(model_), count)
			for tp := range model_ {
				require.True(t, s.Contains(tp))
			}
		}
	})
}

func TestLookupAllocatesNothing(t *testing.T) {
	c := newCache()
	c.Update(update(7, "t", 1), 1)
	name := []byte("t")
	require.Zero(t, testing.AllocsPerRun(100, func() {
		s := c.Snapshot()
		topic, _ := s.TopicNamed(name)
		s.Contains(model.TopicPartition{Topic: topic.Name})
	}))
}
