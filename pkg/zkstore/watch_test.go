package zkstore_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gregor/pkg/zkstore"
)

// fired counts the calls of a watch's function.
type fired struct{ n atomic.Int32 }

func (f *fired) fn()        { f.n.Add(1) }
func (f *fired) count() int { return int(f.n.Load()) }

// more waits for a call after the given count and returns the new one.
func (f *fired) more(t testing.TB, than int) int {
	t.Helper()
	within(t, "a watch fires", func() bool { return f.count() > than })
	return f.count()
}

func TestWatchesOfANode(t *testing.T) {
	zk := zookeeper(t)
	s := open(t, zk.Addr())
	raw := openRaw(t, zk.Addr())
	var data, children fired
	cancelData := s.WatchNode("/w", data.fn) // neither exists yet
	cancelChildren := s.WatchChildren("/w", children.fn)
	d, c := data.more(t, 0), children.more(t, 0)

	_, err := raw.Create(ctx, "/w", nil, 0, world())
	require.NoError(t, err)
	d, c = data.more(t, d), children.more(t, c)
	for i := range 20 {
		_, err = raw.Set(ctx, "/w", []byte(fmt.Sprint(i)), -1)
		require.NoError(t, err)
		d = data.more(t, d)
		_, err = raw.Create(ctx, fmt.Sprintf("/w/%d", i), nil, 0, world())
		require.NoError(t, err)
		c = children.more(t, c)
		require.NoError(t, raw.Delete(ctx, fmt.Sprintf("/w/%d", i), -1))
		c = children.more(t, c)
	}
	require.NoError(t, raw.Delete(ctx, "/w", -1))
	d, c = data.more(t, d), children.more(t, c)

	cancelData()
	cancelData()
	cancelChildren()
	var again fired
	s.WatchNode("/w", again.fn)
	a := again.more(t, 0)
	_, err = raw.Create(ctx, "/w", nil, 0, world())
	require.NoError(t, err)
	again.more(t, a)
	require.Equal(t, d, data.count(), "cancelled")
	require.Equal(t, c, children.count(), "cancelled")
}

// Whatever happens to the connection and the session, the last state that the
// function's reader sees is the true one.
func TestWatchesSurviveFaults(t *testing.T) {
	zk := zookeeper(t)
	through := newProxy(t, zk.Addr())
	s := open(t, through.addr())
	require.NoError(t, s.CreateTopLevelPaths(ctx))
	raw := openRaw(t, zk.Addr())

	changed := make(chan struct{}, 1)
	s.WatchChildren(zkstore.DeleteTopicsPath, func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	})
	var mu sync.Mutex
	var seen int
	stop := make(chan struct{})
	var reader sync.WaitGroup
	reader.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-changed:
				marks, err := retried(func() ([]string, error) { return s.TopicDeletions(ctx) })
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				seen = len(marks)
				mu.Unlock()
			}
		}
	})
	for i := range 30 {
		switch i % 3 {
		case 0:
			through.cut()
		case 1:
			through.cut()
			time.AfterFunc(time.Millisecond, through.cut) // again, perhaps before the watches are sent
		case 2:
			if i%6 == 2 {
				through.expire(t)
			}
		}
		_, err := raw.Create(ctx, fmt.Sprintf("%s/%d", zkstore.DeleteTopicsPath, i), nil, 0, world())
		require.NoError(t, err)
		if i%5 == 4 { // wait for the reader to catch up from time to time
			within(t, "the reader sees all", func() bool { mu.Lock(); defer mu.Unlock(); return seen == i+1 })
		}
	}
	close(stop)
	reader.Wait()
}

// Thousands of watches are set by the pipeline and sent again, in frames
// below the limit, after a cut.
func TestManyWatches(t *testing.T) {
	zk := zookeeper(t)
	through := newProxy(t, zk.Addr())
	s := open(t, through.addr())
	raw := openRaw(t, zk.Addr())
	const many = 5000
	var fires atomic.Int32
	name := func(i int) string { return fmt.Sprintf("/a-rather-long-name-of-a-node-that-is-watched-%06d", i) }
	for i := range many {
		s.WatchNode(name(i), func() { fires.Add(1) })
	}
	within(t, "all set", func() bool { return fires.Load() >= many })
	through.cut()
	within(t, "all again", func() bool { return fires.Load() >= 2*many })
	var last fired
	s.WatchNode(name(many-1), last.fn)
	n := last.more(t, 0)
	_, err := raw.Create(ctx, name(many-1), nil, 0, world())
	require.NoError(t, err)
	last.more(t, n)
}

// A function may cancel its own watch and take out others.
func TestWatchCancelledByItsOwnFunction(t *testing.T) {
	zk := zookeeper(t)
	s := open(t, zk.Addr())
	raw := openRaw(t, zk.Addr())
	ready := make(chan struct{})
	var calls fired
	var cancel func()
	cancel = s.WatchNode("/x", func() { <-ready; calls.fn(); cancel() })
	close(ready)
	calls.more(t, 0)
	var other fired
	s.WatchNode("/x", other.fn)
	n := other.more(t, 0)
	_, err := raw.Create(ctx, "/x", nil, 0, world())
	require.NoError(t, err)
	other.more(t, n)
	require.Equal(t, 1, calls.count())
}

// Handlers of the new session come before functions of watches.
func TestWatchesComeAfterSessionHandlers(t *testing.T) {
	zk := zookeeper(t)
	through := newProxy(t, zk.Addr())
	s := open(t, through.addr())
	var told story
	var first fired
	s.WatchNode("/x", func() { told.add("watch"); first.fn() })
	n := first.more(t, 0)
	s.OnSession(zkstore.SessionHandler{
		BeforeNewSession: func() {
			s.WatchNode("/other", func() { told.add("other") }) // marked while nothing can be done
			told.add("before")
		},
		AfterNewSession: func() {
			_, err := s.Topics(ctx)
			require.NoError(t, err)
			told.add("after")
		},
	})
	through.expire(t)
	first.more(t, n)
	within(t, "both watches", func() bool { return len(told.all()) >= 5 })
	require.Equal(t, []string{"watch", "before", "after"}, told.all()[:3])
}
