package server

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gregor/pkg/zookeeper/jute"
)

// raw is a client that says exactly what a test wants.
type raw struct {
	t        *testing.T
	nc       net.Conn
	session  int64
	password []byte
	timeout  int32
	xid      int32
}

const ioTimeout = 10 * time.Second

func connectTCP(t *testing.T, s *Server) *raw {
	t.Helper()
	nc, err := net.Dial("tcp", s.Addr())
	require.NoError(t, err)
	require.NoError(t, nc.SetDeadline(time.Now().Add(ioTimeout)))
	t.Cleanup(func() { nc.Close() })
	return &raw{t: t, nc: nc}
}

// open connects and opens a new session.
func open(t *testing.T, s *Server, timeout time.Duration) *raw {
	t.Helper()
	r := connectTCP(t, s)
	r.connect(0, timeout, 0, make([]byte, 16))
	require.NotZero(t, r.session)
	return r
}

func (r *raw) connect(lastZxid int64, timeout time.Duration, session int64, password []byte) {
	r.t.Helper()
	var e jute.Encoder
	e.Int(0)
	e.Long(lastZxid)
	e.Int(int32(timeout / time.Millisecond))
	e.Long(session)
	e.Buffer(password)
	e.Bool(false)
	r.frame(e.B)
	b, err := r.recv()
	require.NoError(r.t, err)
	d := jute.NewDecoder(b)
	require.Zero(r.t, d.Int())
	r.timeout, r.session, r.password = d.Int(), d.Long(), d.Buffer()
	require.NoError(r.t, d.Err())
	require.Len(r.t, b, 37, "the flag comes back when it was sent")
}

func (r *raw) frame(body []byte) {
	r.t.Helper()
	_, err := r.nc.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...))
	require.NoError(r.t, err)
}

func (r *raw) recv() ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r.nc, head[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint32(head[:]))
	_, err := io.ReadFull(r.nc, b)
	return b, err
}

// send writes a request without waiting.
func (r *raw) send(xid int32, op jute.Op, body func(e *jute.Encoder)) {
	r.t.Helper()
	var e jute.Encoder
	e.Int(xid)
	e.Int(int32(op))
	if body != nil {
		body(&e)
	}
	r.frame(e.B)
}

// answer is a reply or a notification.
type answer struct {
	xid   int32
	zxid  int64
	code  jute.Code
	body  *jute.Decoder
	bytes []byte // what body reads
}

func (r *raw) next() answer {
	r.t.Helper()
	b, err := r.recv()
	require.NoError(r.t, err)
	d := jute.NewDecoder(b)
	return answer{d.Int(), d.Long(), jute.Code(d.Int()), d, b[16:]}
}

// call sends a request and takes its reply.
func (r *raw) call(op jute.Op, body func(e *jute.Encoder)) answer {
	r.t.Helper()
	r.xid++
	r.send(r.xid, op, body)
	a := r.next()
	require.Equal(r.t, r.xid, a.xid)
	return a
}

// closed checks that the server has closed the connection.
func (r *raw) closed() {
	r.t.Helper()
	b, err := r.recv()
	require.Error(r.t, err, "%x", b)
	var timeout net.Error
	require.False(r.t, errors.As(err, &timeout) && timeout.Timeout(), "it is still open")
}

// event checks that a is a notification.
func (r *raw) event(a answer, typ jute.EventType, path string) {
	r.t.Helper()
	require.Equal(r.t, jute.XidNotification, a.xid)
	require.EqualValues(r.t, typ, a.body.Int())
	require.Equal(r.t, jute.StateConnected, a.body.Int())
	require.Equal(r.t, path, a.body.String())
	require.Zero(r.t, a.body.Remaining())
}

var worldAll = []jute.ACL{{Perms: jute.PermAll, ID: jute.ID{Scheme: "world", ID: "anyone"}}}

func create(path string, flags int32, acl []jute.ACL) func(e *jute.Encoder) {
	return func(e *jute.Encoder) {
		e.String(path)
		e.Buffer(nil)
		jute.EncodeACLs(e, acl)
		e.Int(flags)
	}
}

func pathWatch(path string, watch bool) func(e *jute.Encoder) {
	return func(e *jute.Encoder) { e.String(path); e.Bool(watch) }
}

func pathVersion(path string, version int32) func(e *jute.Encoder) {
	return func(e *jute.Encoder) { e.String(path); e.Int(version) }
}

func setData(path, data string, version int32) func(e *jute.Encoder) {
	return func(e *jute.Encoder) { e.String(path); e.Buffer([]byte(data)); e.Int(version) }
}

func onlyPath(path string) func(e *jute.Encoder) {
	return func(e *jute.Encoder) { e.String(path) }
}

// lines is a log that tests can read.
type lines struct {
	mu sync.Mutex
	b  []byte
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b = append(l.b, b...)
	return len(b), nil
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.b)
}

// await waits until the condition holds.
func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(ioTimeout)
	for !condition() {
		require.True(t, time.Now().Before(deadline), what)
		time.Sleep(time.Millisecond)
	}
}
