package zkstore_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gregor/pkg/zkstore"
	"gregor/pkg/zookeeper/server"
)

// A start that fails closes the store while others still ask. Requests that
// go out behind the end of the session meet a connection that the server has
// closed.
func TestCloseWhileOthersAsk(t *testing.T) {
	zk, err := server.Start(context.Background(), server.Config{DataDir: t.TempDir(), ClientPortAddress: "127.0.0.1", TickTime: time.Second})
	require.NoError(t, err)
	defer zk.Close()
	for range 200 {
		s, err := zkstore.Open(context.Background(), zkstore.Options{Connect: zk.Addr(), SessionTimeout: 10 * time.Second, Name: "test"})
		require.NoError(t, err)
		over := make(chan struct{})
		asked := make(chan struct{}, 1)
		s.WatchNode("/absent", func() { asked <- struct{}{} })
		var asking sync.WaitGroup
		for range 8 {
			asking.Go(func() {
				for err := error(nil); err == nil; {
					_, _, err = s.Feature(context.Background())
				}
			})
		}
		asking.Go(func() {
			select {
			case <-asked:
				s.Feature(context.Background()) //nolint:errcheck // what counts is that it returns
			case <-over:
			}
		})
		closed := make(chan struct{})
		go func() {
			s.Close()
			close(over)
			asking.Wait()
			close(closed)
		}()
		select {
		case <-closed:
		case <-time.After(20 * time.Second):
			panic("Close does not return")
		}
	}
}
