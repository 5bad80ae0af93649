package zkstore_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gregor/pkg/model"
	"gregor/pkg/zkstore"
)

// story records session events and checks what holds during them.
type story struct {
	mu     sync.Mutex
	events []string
}

func (s *story) add(event string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, event)
}

func (s *story) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.events...)
}

func (s *story) handler(name string) zkstore.SessionHandler {
	return zkstore.SessionHandler{
		BeforeNewSession: func() { s.add("before " + name) },
		AfterNewSession:  func() { s.add("after " + name) },
	}
}

// The server expires the session: handlers run around the new one, in order,
// and the broker can register again though its old node may be there still.
func TestExpiryBeginsANewSession(t *testing.T) {
	zk := zookeeper(t)
	through := newProxy(t, zk.Addr())
	s := open(t, through.addr())
	require.NoError(t, s.CreateTopLevelPaths(ctx))
	var told story
	s.OnSession(told.handler("a"))
	cancel := s.OnSession(told.handler("cancelled"))
	registered := make(chan model.BrokerEpoch, 100)
	register := func() {
		epoch, err := s.RegisterBroker(ctx, broker(0))
		require.NoError(t, err)
		registered <- epoch
	}
	s.OnSession(zkstore.SessionHandler{
		BeforeNewSession: func() {
			_, err := s.Topics(ctx)
			require.ErrorIs(t, err, zkstore.ErrSessionExpired, "at once, not after the next session")
			told.add("before b")
		},
		AfterNewSession: func() { register(); told.add("after b") },
	})
	cancel()
	register()
	epoch, id := <-registered, s.SessionID()
	for round := range 20 {
		through.expire(t)
		var next model.BrokerEpoch
		within(t, "registered again", func() bool {
			select {
			case next = <-registered:
				return true
			default:
				return false
			}
		})
		require.Greater(t, next, epoch, "round %d", round)
		require.NotEqual(t, id, s.SessionID())
		epoch, id = next, s.SessionID()
	}
	within(t, "all handlers", func() bool { return len(told.all()) == 80 })
	require.Equal(t, []string{"before a", "before b", "after a", "after b"}, told.all()[:4])
	got, found, err := s.Broker(ctx, 0)
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, epoch, got.Epoch)
}

// Cut off from every server, a store gives its session up by its own clock,
// and what was asked meanwhile is never executed.
func TestCutOffLosesTheSessionByItsOwnClock(t *testing.T) {
	zk := zookeeper(t)
	through := newProxy(t, zk.Addr())
	s := open(t, through.addr(), sessionTimeout(600*time.Millisecond))
	require.NoError(t, s.CreateTopLevelPaths(ctx))
	lost := make(chan struct{})
	s.OnSession(zkstore.SessionHandler{BeforeNewSession: func() { close(lost) }})
	through.refuse.Store(true)
	through.silent.Store(true)
	through.cut()
	within(t, "disconnected", func() bool { return !s.Connected() })
	err := s.CreateTopic(ctx, "ghost", zkstore.TopicAssignment{}, nil)
	require.ErrorIs(t, err, zkstore.ErrSessionExpired)
	select {
	case <-lost:
	case <-time.After(10 * time.Second):
		t.Fatal("the session is not lost")
	}
	through.refuse.Store(false)
	through.silent.Store(false)
	topics, err := retried(func() ([]string, error) { return s.Topics(ctx) })
	require.NoError(t, err)
	require.Empty(t, topics)
	raw := openRaw(t, zk.Addr())
	require.Equal(t, []string{"/config/topics"}, tree(t, raw, "/config/topics"))
}

// retried repeats an operation that hit the moment between two sessions.
func retried[T any](f func() (T, error)) (T, error) {
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		v, err := f()
		if err == nil || time.Now().After(deadline) {
			return v, err
		}
	}
}

// A cut within the session is not noticed by callers.
func TestReconnectionKeepsTheSession(t *testing.T) {
	zk := zookeeper(t)
	through := newProxy(t, zk.Addr())
	s := open(t, through.addr())
	require.NoError(t, s.CreateTopLevelPaths(ctx))
	var told story
	s.OnSession(told.handler("x"))
	id := s.SessionID()
	through.cut()
	require.NoError(t, s.MarkTopicForDeletion(ctx, "t"))
	topics, err := s.TopicDeletions(ctx)
	require.NoError(t, err)
	require.Equal(t, []string{"t"}, topics)
	require.Equal(t, id, s.SessionID())
	require.Empty(t, told.all())
}

// Writes whose answer is lost were executed; sent again, they find their own
// work and succeed.
func TestLostAnswers(t *testing.T) {
	zk := zookeeper(t)
	through := newProxy(t, zk.Addr())
	s := open(t, through.addr())
	require.NoError(t, s.CreateTopLevelPaths(ctx))
	tp := model.TopicPartition{Topic: "t", Partition: 0}
	state := zkstore.PartitionState{Leader: 1, ISR: []model.BrokerID{1}, ControllerEpoch: 1}
	assignment := zkstore.TopicAssignment{ID: model.NewTopicID(), Partitions: map[int32]zkstore.ReplicaAssignment{0: {Replicas: []model.BrokerID{1}}}}
	var fence zkstore.Fence
	steps := []struct {
		name   string
		answer int32 // which answer is lost
		do     func() error
	}{
		{"register", 1, func() error { _, err := s.RegisterBroker(ctx, broker(0)); return err }},
		{"elect", 4, func() (err error) { // epoch, create epoch, /controller, multi
			var epoch model.ControllerEpoch
			epoch, fence, err = s.RegisterController(ctx, 0)
			require.Equal(t, model.ControllerEpoch(1), epoch)
			return err
		}},
		{"create topic", 1, func() error { return s.CreateTopic(ctx, "t", assignment, nil) }},
		{"create states", 1, func() error {
			failed, err := s.CreatePartitionStates(ctx, map[model.TopicPartition]zkstore.PartitionState{tp: state}, fence)
			require.Empty(t, failed)
			return err
		}},
		{"update states", 1, func() error {
			state.LeaderEpoch = 7
			updated, failed, err := s.UpdatePartitionStates(ctx, map[model.TopicPartition]zkstore.PartitionState{tp: state}, fence)
			require.Empty(t, failed)
			require.Equal(t, model.PartitionEpoch(1), updated[tp].ZkVersion)
			return err
		}},
		{"producer ids", 1, func() error {
			version, err := s.SetProducerIDBlock(ctx, zkstore.ProducerIDBlock{Broker: 0, Start: 0, End: 999}, 0)
			require.EqualValues(t, 1, version)
			return err
		}},
		{"mark", 1, func() error { return s.MarkTopicForDeletion(ctx, "t") }},
		{"delete", 4, func() error { return s.DeleteTopicTree(ctx, "t", fence) }},
		{"resign", 1, func() error { return s.ResignController(ctx, fence) }},
	}
	for _, step := range steps {
		before := through.accepted.Load()
		through.swallow.Store(step.answer)
		require.NoError(t, step.do(), step.name)
		require.Equal(t, before+1, through.accepted.Load(), "%s: the answer was lost and the connection made anew", step.name)
	}
}

// The reply to a conditional write is lost, and somebody else writes before
// it is sent again: that is a real conflict.
func TestLostAnswerAndARealConflict(t *testing.T) {
	zk := zookeeper(t)
	through := newProxy(t, zk.Addr())
	s, other := open(t, through.addr()), open(t, zk.Addr())
	require.NoError(t, s.CreateTopLevelPaths(ctx))
	through.refuse.Store(true)
	through.swallow.Store(1)
	done := make(chan error, 1)
	go func() {
		_, err := s.SetProducerIDBlock(ctx, zkstore.ProducerIDBlock{Broker: 0, Start: 0, End: 999}, 0)
		done <- err
	}()
	within(t, "the first attempt", func() bool {
		_, _, version, err := other.ProducerIDBlock(ctx)
		return err == nil && version == 1
	})
	_, err := other.SetProducerIDBlock(ctx, zkstore.ProducerIDBlock{Broker: 1, Start: 1000, End: 1999}, 1)
	require.NoError(t, err)
	through.refuse.Store(false)
	require.ErrorIs(t, <-done, zkstore.ErrBadVersion)
}

// The servers come back without their data: they turn the old session away,
// and the store begins anew instead of asking for ever.
func TestServerRestartedOnEmptyData(t *testing.T) {
	first := zookeeper(t)
	through := newProxy(t, first.Addr())
	s := open(t, through.addr(), sessionTimeout(600*time.Millisecond))
	require.NoError(t, s.CreateTopLevelPaths(ctx))
	after := make(chan struct{}, 1)
	s.OnSession(zkstore.SessionHandler{AfterNewSession: func() { after <- struct{}{} }})
	through.target.Store(zookeeper(t).Addr())
	require.NoError(t, first.Close())
	select {
	case <-after:
	case <-time.After(10 * time.Second):
		t.Fatal("no new session")
	}
	require.NoError(t, s.CreateTopLevelPaths(ctx))
}

// Names are resolved with every attempt, so a server may move.
func TestServerMovesToAnotherAddress(t *testing.T) {
	first, second := zookeeper(t), zookeeper(t)
	var address atomic.Value
	address.Store(first.Addr())
	s := open(t, "zk.example:2181", sessionTimeout(600*time.Millisecond), func(o *zkstore.Options) {
		o.Dial = func(ctx context.Context, network, name string) (net.Conn, error) {
			require.Equal(t, "zk.example:2181", name, "not resolved before")
			return new(net.Dialer).DialContext(ctx, network, address.Load().(string))
		}
	})
	id := s.SessionID()
	address.Store(second.Addr())
	require.NoError(t, first.Close())
	within(t, "a session with the second", func() bool { return s.Connected() && s.SessionID() != id })
}

func TestCloseIsBoundedWhenTheServerIsGone(t *testing.T) {
	zk := zookeeper(t)
	through := newProxy(t, zk.Addr())
	gone, mute := open(t, through.addr()), open(t, through.addr())
	through.refuse.Store(true)
	through.cut()
	within(t, "disconnected", func() bool { return !gone.Connected() && !mute.Connected() })
	begin := time.Now()
	gone.Close()
	require.Less(t, time.Since(begin), 2*time.Second)
	_, err := gone.Topics(ctx)
	require.ErrorIs(t, err, zkstore.ErrClosed)

	through.refuse.Store(false)
	within(t, "connected", func() bool { return mute.Connected() })
	through.silent.Store(true)
	begin = time.Now()
	mute.Close()
	require.Less(t, time.Since(begin), 3*time.Second)
	mute.Close()
}

// Callers that wait leave when they are cancelled or the store is closed.
func TestWaitingCallersLeave(t *testing.T) {
	zk := zookeeper(t)
	through := newProxy(t, zk.Addr())
	s := open(t, through.addr())
	through.refuse.Store(true)
	through.cut()
	within(t, "disconnected", func() bool { return !s.Connected() })
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	_, err := s.Topics(short)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	_, err = s.TopicAssignments(short, []string{"a", "b"})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	done := make(chan error, 1)
	go func() { _, err := s.Topics(ctx); done <- err }()
	s.Close()
	require.Error(t, <-done)
}

// A long list of children is within the limits, and so are many requests.
func TestLargeAnswers(t *testing.T) {
	zk := zookeeper(t)
	s := open(t, zk.Addr())
	require.NoError(t, s.CreateTopLevelPaths(ctx))
	raw := openRaw(t, zk.Addr())
	const nodes, length = 6000, 500
	var wg sync.WaitGroup
	next := make(chan int, nodes)
	for i := range nodes {
		next <- i
	}
	close(next)
	for range 20 {
		wg.Go(func() {
			for i := range next {
				_, err := raw.Create(ctx, fmt.Sprintf("/brokers/topics/%s%06d", strings.Repeat("x", length-6), i), nil, 0, world())
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	topics, err := s.Topics(ctx) // three megabytes
	require.NoError(t, err)
	require.Len(t, topics, nodes)

	_, err = raw.Set(ctx, "/brokers", make([]byte, 5<<20), -1)
	require.EqualError(t, err, "KeeperErrorCode = MarshallingError for /brokers")
}
