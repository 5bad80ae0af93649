package zkstore_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"gregor/pkg/zkstore"
	"gregor/pkg/zookeeper/server"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// startServer runs a ZooKeeper for the test. Sessions expire in steps of
// 20 ms.
func startServer(t testing.TB, dir string, port int) *server.Server {
	t.Helper()
	s, err := server.Start(context.Background(), server.Config{
		DataDir: dir, ClientPortAddress: "127.0.0.1", ClientPort: port, TickTime: 20 * time.Millisecond,
		MinSessionTimeout: 100 * time.Millisecond, MaxSessionTimeout: time.Minute, NoForceSync: true, JuteMaxBuffer: 4 << 20,
	})
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

func zookeeper(t testing.TB) *server.Server { return startServer(t, t.TempDir(), 0) }

// open returns a store that is closed with the test.
func open(t testing.TB, connect string, change ...func(*zkstore.Options)) *zkstore.Store {
	t.Helper()
	opts := zkstore.Options{Connect: connect, SessionTimeout: 10 * time.Second, Name: "Kafka server"}
	for _, f := range change {
		f(&opts)
	}
	s, err := zkstore.Open(context.Background(), opts)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s
}

func sessionTimeout(d time.Duration) func(*zkstore.Options) {
	return func(o *zkstore.Options) { o.SessionTimeout, o.ConnectionTimeout = d, 10*time.Second }
}

// within fails the test when ok does not come true soon.
func within(t testing.TB, what string, ok func() bool) {
	t.Helper()
	require.Eventually(t, ok, 10*time.Second, 2*time.Millisecond, what)
}

// proxy stands between a store and its server and makes faults.
type proxy struct {
	listener net.Listener
	target   atomic.Value // address of the server
	wg       sync.WaitGroup

	silent   atomic.Bool  // take connections and bytes, pass nothing on
	refuse   atomic.Bool  // close new connections at once
	swallow  atomic.Int32 // so many answers are kept, then the connection is cut
	accepted atomic.Int32
	slow     atomic.Int64 // delay of each answer, ns

	gate sync.Mutex

	mu       sync.Mutex
	conns    map[net.Conn]bool
	greeting []byte // the last answer to a connect request
}

func newProxy(t testing.TB, target string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &proxy{listener: listener, conns: map[net.Conn]bool{}}
	p.target.Store(target)
	p.wg.Add(1)
	go p.accept()
	t.Cleanup(func() {
		listener.Close()
		p.cut()
		p.wg.Wait()
	})
	return p
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

func (p *proxy) accept() {
	defer p.wg.Done()
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.accepted.Add(1)
		p.gate.Lock() // while a session is being closed, its owner must wait
		refuse := p.refuse.Load()
		p.gate.Unlock()
		if refuse {
			client.Close()
			continue
		}
		srv, err := net.Dial("tcp", p.target.Load().(string))
		if err != nil {
			client.Close()
			continue
		}
		p.mu.Lock()
		p.conns[client], p.conns[srv] = true, true
		p.mu.Unlock()
		p.wg.Add(2)
		go p.pass(srv, client, false)
		go p.pass(client, srv, true)
	}
}

// pass copies frames from one side to the other until either ends.
func (p *proxy) pass(to, from net.Conn, answers bool) {
	defer p.wg.Done()
	defer p.drop(to, from)
	for first := true; ; first = false {
		var head [4]byte
		if _, err := io.ReadFull(from, head[:]); err != nil {
			return
		}
		frame := make([]byte, 4+binary.BigEndian.Uint32(head[:]))
		copy(frame, head[:])
		if _, err := io.ReadFull(from, frame[4:]); err != nil {
			return
		}
		if answers && first {
			p.mu.Lock()
			p.greeting = frame[4:]
			p.mu.Unlock()
		}
		xid := int32(binary.BigEndian.Uint32(frame[4:]))
		if answers && !first && xid > 0 {
			if p.swallow.Load() > 0 && p.swallow.Add(-1) == 0 {
				return
			}
			time.Sleep(time.Duration(p.slow.Load()))
		}
		if p.silent.Load() {
			continue
		}
		if _, err := to.Write(frame); err != nil {
			return
		}
	}
}

func (p *proxy) drop(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		c.Close()
		delete(p.conns, c)
	}
}

// cut ends the connections of this moment.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.Close()
	}
}

// expire closes the session behind the store's back: a connection with its id
// and password sends closeSession.
func (p *proxy) expire(t testing.TB) {
	t.Helper()
	p.gate.Lock()
	defer p.gate.Unlock()
	p.mu.Lock()
	greeting := p.greeting
	p.mu.Unlock()
	require.GreaterOrEqual(t, len(greeting), 36)
	conn, err := net.Dial("tcp", p.target.Load().(string))
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	request := binary.BigEndian.AppendUint32(nil, 44)
	request = binary.BigEndian.AppendUint32(request, 0)           // protocol
	request = binary.BigEndian.AppendUint64(request, 0)           // last zxid
	request = append(request, greeting[4:8]...)                   // timeout
	request = append(request, greeting[8:16]...)                  // session
	request = append(request, greeting[16:36]...)                 // password
	request = append(request, 0, 0, 0, 8, 0, 0, 0, 1)             // closeSession
	request = binary.BigEndian.AppendUint32(request, ^uint32(10)) // -11
	_, err = conn.Write(request)
	require.NoError(t, err)
	_, err = io.ReadAll(conn) // the server closes when it is done
	require.NoError(t, err)
	p.cut() // Apache's server leaves the other connection open
}
