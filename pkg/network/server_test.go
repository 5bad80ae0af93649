package network

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"gregor/pkg/logging"
	"gregor/pkg/model"
	"gregor/pkg/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// handlerFunc answers every key.
type handlerFunc func(ctx context.Context, r *wire.Request) wire.Answer

func (handlerFunc) Serves(key int16) bool { return key != 61 }
func (f handlerFunc) Answer(ctx context.Context, r *wire.Request) wire.Answer {
	return f(ctx, r)
}

// echo answers with the body.
var echo = handlerFunc(func(_ context.Context, r *wire.Request) wire.Answer {
	return wire.Bytes(bytes.Clone(r.Body))
})

// logBuffer is a log that tests read while it is written.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func start(t *testing.T, h Handler, change func(*Options)) (*Server, string, *logBuffer) {
	t.Helper()
	log := &logBuffer{}
	o := Options{
		Listeners:       []Listener{{Endpoint: model.Endpoint{Listener: "PLAINTEXT", Host: "127.0.0.1"}, InterBroker: true}},
		MaxRequestBytes: 100 << 20, MaxConnections: 1 << 30, MaxConnectionsPerIP: 1 << 30,
		SendBufferBytes: 102400, ReceiveBufferBytes: 102400, IdleMax: time.Minute,
		Loggers: logging.New(log),
	}
	if change != nil {
		change(&o)
	}
	s := New(o, h)
	require.NoError(t, s.Bind())
	s.Start()
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s, s.Endpoints()[0].Address(), log
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	return conn
}

// request frames a Metadata v1 request with any body.
func request(correlation int32, body []byte) []byte {
	b := []byte{0, 3, 0, 1}
	b = binary.BigEndian.AppendUint32(b, uint32(correlation))
	b = append(b, 0, 1, 'c')
	b = append(b, body...)
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)
}

func readAnswer(t *testing.T, r io.Reader) (correlation int32, body []byte) {
	t.Helper()
	var size [4]byte
	_, err := io.ReadFull(r, size[:])
	require.NoError(t, err)
	frame := make([]byte, binary.BigEndian.Uint32(size[:]))
	_, err = io.ReadFull(r, frame)
	require.NoError(t, err)
	return int32(binary.BigEndian.Uint32(frame)), frame[4:]
}

func requireClosed(t *testing.T, conn net.Conn) {
	t.Helper()
	_, err := conn.Read(make([]byte, 1))
	require.Error(t, err)
	require.NotErrorIs(t, err, os.ErrDeadlineExceeded)
}

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	require.Eventually(t, cond, 10*time.Second, 2*time.Millisecond, what)
}

func TestAnswersComeInOrderOfTheRequests(t *testing.T) {
	_, address, _ := start(t, echo, nil)
	conn := dial(t, address)
	var all []byte
	for i := range int32(50) {
		all = append(all, request(i, fmt.Appendf(nil, "body %d", i))...)
	}
	_, err := conn.Write(all)
	require.NoError(t, err)
	for i := range int32(50) {
		correlation, body := readAnswer(t, conn)
		require.Equal(t, i, correlation)
		require.Equal(t, fmt.Sprintf("body %d", i), string(body))
	}
}

func TestTheNextRequestIsNotBegunBeforeTheAnswer(t *testing.T) {
	var inWork, most atomic.Int32
	hold := make(chan struct{})
	h := handlerFunc(func(_ context.Context, r *wire.Request) wire.Answer {
		most.Store(max(most.Load(), inWork.Add(1)))
		<-hold
		inWork.Add(-1)
		return wire.Bytes(nil)
	})
	_, address, _ := start(t, h, nil)
	conn := dial(t, address)
	_, err := conn.Write(append(request(1, nil), request(2, nil)...))
	require.NoError(t, err)
	close(hold)
	readAnswer(t, conn)
	readAnswer(t, conn)
	require.EqualValues(t, 1, most.Load())
}

func TestLargeFrames(t *testing.T) {
	_, address, _ := start(t, echo, nil)
	conn := dial(t, address)
	for _, size := range []int{4081, 4096, growBytes, growBytes + 1, 5<<20 + 3} {
		body := bytes.Repeat([]byte{7}, size)
		_, err := conn.Write(request(1, body))
		require.NoError(t, err)
		_, got := readAnswer(t, conn)
		require.True(t, bytes.Equal(body, got), "%d bytes", size)
	}
}

func TestRegionsAreSentAndReleasedOnce(t *testing.T) {
	content := make([]byte, 3<<20)
	for i := range content {
		content[i] = byte(i * 31 >> 3)
	}
	path := filepath.Join(t.TempDir(), "segment")
	require.NoError(t, os.WriteFile(path, content, 0o644))
	file, err := os.Open(path)
	require.NoError(t, err)
	defer file.Close()
	for name, source := range map[string]io.ReaderAt{"file": file, "memory": bytes.NewReader(content)} {
		t.Run(name, func(t *testing.T) {
			var released atomic.Int32
			region := func(position, length int64) wire.Chunk {
				return wire.Chunk{Region: &wire.FileRegion{File: source, Position: position, Length: length, Release: func() { released.Add(1) }}}
			}
			h := handlerFunc(func(context.Context, *wire.Request) wire.Answer {
				return wire.Answer{Chunks: []wire.Chunk{
					{Bytes: []byte("head")}, region(5, 2<<20), {Bytes: []byte("mid")}, {Bytes: []byte("dle")},
					region(100, 1000), region(7, 0), region(1<<20, 2<<20), {Bytes: []byte("tail")},
				}}
			})
			_, address, _ := start(t, h, nil)
			var want []byte
			want = append(want, "head"...)
			want = append(want, content[5:5+2<<20]...)
			want = append(want, "middle"...)
			want = append(want, content[100:1100]...)
			want = append(want, content[1<<20:3<<20]...)
			want = append(want, "tail"...)
			var clients sync.WaitGroup
			for range 4 {
				conn := dial(t, address)
				clients.Add(1)
				go func() {
					defer clients.Done()
					for range 3 {
						if _, err := conn.Write(request(1, nil)); err != nil {
							t.Error(err)
							return
						}
						_, got := readAnswer(t, conn)
						if !bytes.Equal(want, got) {
							t.Errorf("got %d bytes, want %d", len(got), len(want))
						}
					}
				}()
			}
			clients.Wait()
			require.EqualValues(t, 4*3*4, released.Load())
		})
	}
}

func TestRegionsOfAnAnswerThatCannotBeSentAreReleased(t *testing.T) {
	var released atomic.Int32
	asked := make(chan struct{})
	h := handlerFunc(func(ctx context.Context, _ *wire.Request) wire.Answer {
		close(asked)
		<-ctx.Done()
		return wire.Answer{Chunks: []wire.Chunk{{Region: &wire.FileRegion{Length: 1, Release: func() { released.Add(1) }}}}}
	})
	s, address, _ := start(t, h, nil)
	conn := dial(t, address)
	_, err := conn.Write(request(1, nil))
	require.NoError(t, err)
	<-asked
	require.NoError(t, s.Close())
	require.EqualValues(t, 1, released.Load())
	requireClosed(t, conn)
}

func TestWhatClosesAConnection(t *testing.T) {
	frame := func(b ...byte) []byte {
		return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)
	}
	zooKeeper := make([]byte, 48)
	zooKeeper[3], zooKeeper[31] = 44, 16
	for name, row := range map[string]struct {
		bytes []byte
		logs  string
	}{
		"negative size":       {[]byte{255, 255, 255, 255, 0}, "Invalid receive (size = -1)"},
		"size above the max":  {[]byte{127, 255, 255, 255}, "Invalid receive (size = 2147483647 larger than 104857600)"},
		"unknown api key":     {frame(3, 231, 0, 0, 0, 0, 0, 7, 0, 0), "api key 999 which is not enabled"},
		"key not served":      {frame(0, 61, 0, 0, 0, 0, 0, 7, 0, 0, 0), "api key 61 which is not enabled"},
		"unsupported version": {frame(0, 3, 0, 99, 0, 0, 0, 7, 0, 0, 0), "key 3 (METADATA) and unsupported version 99"},
		"cut header":          {frame(0, 3, 0, 1, 0), "5 bytes: malformed request header"},
		"client id too long":  {frame(0, 3, 0, 1, 0, 0, 0, 7, 0, 9, 'x'), "client id of 9 bytes"},
		"empty frame":         {frame(), "0 bytes: malformed request header"},
		"HTTP":                {[]byte("GET / HTTP/1.1\r\n\r\n"), "it sent an HTTP request, not Kafka's protocol"},
		"TLS":                 {[]byte{0x16, 0x03, 0x01, 0x02, 0x00, 0x01}, "it sent a TLS hello, and this listener is plaintext"},
		"four letters":        {[]byte("ruok"), "it sent a ZooKeeper four-letter word"},
		"ZooKeeper":           {zooKeeper, "it sent a ZooKeeper client's connect request"},
	} {
		t.Run(name, func(t *testing.T) {
			h := handlerFunc(func(_ context.Context, r *wire.Request) wire.Answer {
				t.Errorf("asked: %+v", r.Header)
				return wire.Answer{Close: true}
			})
			_, address, log := start(t, h, nil)
			conn := dial(t, address)
			_, err := conn.Write(row.bytes)
			require.NoError(t, err)
			requireClosed(t, conn)
			eventually(t, row.logs, func() bool { return strings.Contains(log.String(), row.logs) })
		})
	}
}

func TestApiVersionsOfAnyVersionReachesTheHandler(t *testing.T) {
	_, address, _ := start(t, echo, nil)
	conn := dial(t, address)
	b := []byte{0, 18, 0, 99, 0, 0, 0, 7, 255, 255, 0, 'x'}
	_, err := conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...))
	require.NoError(t, err)
	correlation, body := readAnswer(t, conn)
	require.EqualValues(t, 7, correlation)
	require.Equal(t, "x", string(body))
}

func TestAnswersThatAreNone(t *testing.T) {
	h := handlerFunc(func(_ context.Context, r *wire.Request) wire.Answer {
		switch r.CorrelationID {
		case 1:
			return wire.Answer{None: true}
		case 3:
			return wire.Answer{Close: true}
		}
		return wire.Bytes(nil)
	})
	_, address, _ := start(t, h, nil)
	conn := dial(t, address)
	_, err := conn.Write(append(append(request(1, nil), request(2, nil)...), request(3, nil)...))
	require.NoError(t, err)
	correlation, _ := readAnswer(t, conn)
	require.EqualValues(t, 2, correlation)
	requireClosed(t, conn)
}

func TestConnectionsOfOneAddressAreLimited(t *testing.T) {
	_, address, log := start(t, echo, func(o *Options) {
		o.MaxConnectionsPerIP = 100
		o.PerIPOverrides = map[string]int{"127.0.0.1": 2}
	})
	first, second := dial(t, address), dial(t, address)
	for i, conn := range []net.Conn{first, second} {
		_, err := conn.Write(request(int32(i), nil))
		require.NoError(t, err)
		readAnswer(t, conn)
	}
	requireClosed(t, dial(t, address))
	require.Contains(t, log.String(), "Rejected connection from /127.0.0.1, address already has the configured maximum of 2 connections.")
	first.Close()
	eventually(t, "a slot is free again", func() bool {
		conn, err := net.Dial("tcp", address)
		require.NoError(t, err)
		defer conn.Close()
		require.NoError(t, conn.SetDeadline(time.Now().Add(5*time.Second)))
		_, err = conn.Write(request(9, nil))
		if err != nil {
			return false
		}
		_, err = io.ReadFull(conn, make([]byte, 8))
		return err == nil
	})
}

func TestConnectionsAboveTheTotalWait(t *testing.T) {
	_, address, _ := start(t, echo, func(o *Options) { o.MaxConnections = 1 })
	first := dial(t, address)
	_, err := first.Write(request(1, nil))
	require.NoError(t, err)
	readAnswer(t, first)
	second := dial(t, address)
	_, err = second.Write(request(2, nil))
	require.NoError(t, err)
	first.Close()
	correlation, _ := readAnswer(t, second)
	require.EqualValues(t, 2, correlation)
}

func TestLimitsChangeWhileConnectionsWait(t *testing.T) {
	s, address, _ := start(t, echo, func(o *Options) { o.MaxConnections = 1 })
	first := dial(t, address)
	_, err := first.Write(request(1, nil))
	require.NoError(t, err)
	readAnswer(t, first)
	second := dial(t, address)
	_, err = second.Write(request(2, nil))
	require.NoError(t, err)
	s.SetLimits(2, 100, nil)
	correlation, _ := readAnswer(t, second)
	require.EqualValues(t, 2, correlation, "the first is still open")
	s.SetLimits(100, 1, nil)
	requireClosed(t, dial(t, address))
}

func TestIdleConnectionsAreClosed(t *testing.T) {
	_, address, _ := start(t, echo, func(o *Options) { o.IdleMax = 50 * time.Millisecond })
	requireClosed(t, dial(t, address))
}

func TestQueuedBytesAreBounded(t *testing.T) {
	hold := make(chan struct{})
	var inWork, most atomic.Int32
	h := handlerFunc(func(context.Context, *wire.Request) wire.Answer {
		most.Store(max(most.Load(), inWork.Add(1)))
		<-hold
		inWork.Add(-1)
		return wire.Bytes(nil)
	})
	_, address, _ := start(t, h, func(o *Options) { o.MaxQueuedBytes = 1000 })
	conns := make([]net.Conn, 3)
	for i := range conns {
		conns[i] = dial(t, address)
		_, err := conns[i].Write(request(1, make([]byte, 800+i*1000)))
		require.NoError(t, err)
	}
	close(hold)
	for _, conn := range conns {
		readAnswer(t, conn)
	}
	require.EqualValues(t, 1, most.Load())
}

// What the controller says is heard although clients have used up the memory
// for requests and the connections.
func TestTheControlPlaneWaitsForNoClient(t *testing.T) {
	hold := make(chan struct{})
	h := handlerFunc(func(_ context.Context, r *wire.Request) wire.Answer {
		if r.Peer.Listener != "CONTROL" {
			<-hold
		}
		return wire.Bytes([]byte(fmt.Sprintf("%s %t", r.Peer.Listener, r.Peer.Privileged)))
	})
	s, _, log := start(t, h, func(o *Options) {
		o.MaxQueuedBytes, o.MaxConnections = 1000, 2
		of := func(name string) model.Endpoint { return model.Endpoint{Listener: name, Host: "127.0.0.1"} }
		o.Listeners = []Listener{{Endpoint: of("CONTROL"), ControlPlane: true}, {Endpoint: of("BROKERS"), InterBroker: true}, {Endpoint: of("CLIENTS")}}
	})
	t.Cleanup(func() { close(hold) })
	for range 2 {
		_, err := dial(t, s.Endpoints()[2].Address()).Write(request(1, make([]byte, 900)))
		require.NoError(t, err)
	}
	for range 2 {
		conn := dial(t, s.Endpoints()[0].Address())
		_, err := conn.Write(request(1, make([]byte, 2000)))
		require.NoError(t, err)
		_, body := readAnswer(t, conn)
		require.Equal(t, "CONTROL true", string(body))
	}
	require.Contains(t, log.String(), "Created control-plane acceptor and processor for endpoint : ListenerName(CONTROL)")
	require.Contains(t, log.String(), "Started control-plane acceptor and processor(s) for endpoint : ListenerName(CONTROL)")
	require.Contains(t, log.String(), "Started data-plane acceptor and processor(s) for endpoint : ListenerName(BROKERS)")
}

func TestBindTellsWhyInKafkasWords(t *testing.T) {
	_, address, _ := start(t, echo, nil)
	_, port, _ := net.SplitHostPort(address)
	var number int32
	_, err := fmt.Sscan(port, &number)
	require.NoError(t, err)
	s := New(Options{
		Listeners: []Listener{{Endpoint: model.Endpoint{Listener: "PLAINTEXT", Host: "127.0.0.1", Port: number}}},
		Loggers:   logging.Discard(),
	}, echo)
	require.EqualError(t, s.Bind(), "Socket server failed to bind to 127.0.0.1:"+port+": Address already in use.")
	require.NoError(t, s.Close())
}

func BenchmarkEcho(b *testing.B) {
	s := New(Options{
		Listeners:       []Listener{{Endpoint: model.Endpoint{Listener: "PLAINTEXT", Host: "127.0.0.1"}}},
		MaxRequestBytes: 100 << 20, MaxConnectionsPerIP: 100, Loggers: logging.Discard(),
	}, handlerFunc(func(_ context.Context, r *wire.Request) wire.Answer { return wire.Bytes(r.Body[:8]) }))
	require.NoError(b, s.Bind())
	s.Start()
	defer s.Close()
	conn, err := net.Dial("tcp", s.Endpoints()[0].Address())
	require.NoError(b, err)
	defer conn.Close()
	frame := request(1, make([]byte, 16<<10))
	answer := make([]byte, 16)
	b.SetBytes(int64(len(frame)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := conn.Write(frame); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(conn, answer); err != nil {
			b.Fatal(err)
		}
	}
}
