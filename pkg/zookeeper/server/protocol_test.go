package server

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gregor/pkg/logging"
	"gregor/pkg/zookeeper/jute"
)

func TestHandshake(t *testing.T) {
	s := start(t, func(c *Config) { c.TickTime = 2 * time.Second; c.MaxSessionTimeout = 0 })
	for asked, want := range map[time.Duration]int32{time.Second: 4000, 1000 * time.Second: 40000, 5 * time.Second: 5000, -time.Second: 4000} {
		r := open(t, s, asked)
		require.Equal(t, want, r.timeout, asked)
		require.Len(t, r.password, 16)
	}
	// The form of older clients, without the last field, and a short password.
	r := connectTCP(t, s)
	r.frame(append(make([]byte, 4+8+4+8), 0, 0, 0, 3, 1, 2, 3))
	b, err := r.recv()
	require.NoError(t, err)
	require.Len(t, b, 36)
}

func TestResume(t *testing.T) {
	s := start(t)
	a := open(t, s, 5*time.Second)
	require.Equal(t, jute.OK, a.call(jute.OpCreate, create("/e", 1, worldAll)).code)

	wrong := connectTCP(t, s)
	wrong.connect(0, time.Second, a.session, make([]byte, 16))
	require.Zero(t, wrong.session)
	require.Zero(t, wrong.timeout)
	wrong.closed()
	unknown := connectTCP(t, s)
	unknown.connect(0, time.Second, 12345, a.password)
	require.Zero(t, unknown.session)
	unknown.closed()
	require.Equal(t, jute.OK, a.call(jute.OpExists, pathWatch("/e", true)).code, "the owner was left alone")

	b := connectTCP(t, s)
	b.connect(0, 7*time.Second, a.session, a.password)
	require.Equal(t, a.session, b.session)
	require.EqualValues(t, 7000, b.timeout)
	a.closed()
	require.Equal(t, jute.OK, b.call(jute.OpDelete, pathVersion("/e", -1)).code)
	require.Equal(t, jute.OK, b.call(jute.OpSync, onlyPath("/")).code, "no event: watches end with their connection")
}

func TestClientFromTheFutureIsTurnedAway(t *testing.T) {
	s := start(t)
	r := connectTCP(t, s)
	var e jute.Encoder
	e.Int(0)
	e.Long(1 << 40)
	e.Int(1000)
	e.Long(0)
	e.Buffer(make([]byte, 16))
	r.frame(e.B)
	r.closed()
}

func TestXidsAndZxids(t *testing.T) {
	s := start(t)
	r := open(t, s, time.Second)
	for _, xid := range []int32{0, -100, -1 << 31, 5, 5} {
		r.send(xid, jute.OpSync, onlyPath("/nowhere"))
		a := r.next()
		require.Equal(t, xid, a.xid)
		require.EqualValues(t, 1, a.zxid, "that of createSession")
		require.Equal(t, "/nowhere", a.body.String())
	}
	r.send(99, jute.OpPing, nil)
	require.Equal(t, jute.XidPing, r.next().xid)
	require.EqualValues(t, 2, r.call(jute.OpDelete, pathVersion("/none", -1)).zxid, "a failed write takes a zxid")
}

func TestBadRequests(t *testing.T) {
	s := start(t)
	for _, op := range []jute.Op{jute.OpCreate, jute.OpDelete, jute.OpExists, jute.OpGetData, jute.OpSetData, jute.OpGetACL, jute.OpSetACL,
		jute.OpGetChildren, jute.OpSync, jute.OpMulti, jute.OpSetWatches, jute.OpAuth, jute.OpCheckWatches, jute.OpRemoveWatches} {
		r := open(t, s, time.Second)
		require.Equal(t, jute.MarshallingError, r.call(op, func(e *jute.Encoder) { e.Bool(true) }).code, op)
		require.Equal(t, jute.OK, r.call(jute.OpSync, onlyPath("/")).code, "the connection goes on")
	}
	for _, op := range []jute.Op{jute.OpCreateContainer, jute.OpCreateTTL, jute.OpReconfig, jute.OpSASL, jute.OpAddWatch} {
		r := open(t, s, time.Second)
		require.Equal(t, jute.Unimplemented, r.call(op, nil).code, op)
		require.Equal(t, jute.OK, r.call(jute.OpSync, onlyPath("/")).code, "the connection goes on")
	}
	for _, op := range []jute.Op{99, 10, -3, jute.OpCheck, jute.OpCreateSession, jute.OpDeleteContainer, jute.OpError} {
		r := open(t, s, time.Second)
		a := r.call(op, nil)
		require.Equal(t, jute.Unimplemented, a.code, op)
		require.EqualValues(t, -1, a.zxid)
		r.closed()
	}
	r := open(t, s, time.Second)
	r.frame([]byte{1, 2})
	r.closed()
}

func TestCreateAnswers(t *testing.T) {
	s := start(t)
	r := open(t, s, time.Second)
	a := r.call(jute.OpCreate2, create("/a", 1, worldAll))
	require.Equal(t, "/a", a.body.String())
	require.Equal(t, 68, a.body.Remaining())
	a = r.call(jute.OpGetData, pathWatch("/a", false))
	require.EqualValues(t, -1, a.body.Int(), "null data stays null")
	a = r.call(jute.OpGetChildren2, pathWatch("/", false))
	require.Equal(t, []string{"a", "zookeeper"}, a.body.Strings())
	require.Equal(t, 68, a.body.Remaining())
	require.Equal(t, jute.NoNode, r.call(jute.OpGetChildren, pathWatch("/none", true)).code)
	require.Equal(t, jute.OK, r.call(jute.OpExists, pathWatch("", false)).code, "the root")
}

func TestEventComesBeforeTheReply(t *testing.T) {
	s := start(t)
	r := open(t, s, time.Second)
	require.Equal(t, jute.NoNode, r.call(jute.OpExists, pathWatch("/w", true)).code)
	r.call(jute.OpGetChildren, pathWatch("/", true))
	r.send(50, jute.OpCreate, create("/w", 0, worldAll))
	r.event(r.next(), jute.NodeCreated, "/w")
	r.event(r.next(), jute.NodeChildrenChanged, "/")
	require.EqualValues(t, 50, r.next().xid)

	// Data and child watch of a deleted node: one event.
	r.call(jute.OpGetData, pathWatch("/w", true))
	r.call(jute.OpGetChildren, pathWatch("/w", true))
	r.send(51, jute.OpDelete, pathVersion("/w", 0))
	r.event(r.next(), jute.NodeDeleted, "/w")
	require.EqualValues(t, 51, r.next().xid)
}

func TestSetWatches(t *testing.T) {
	s := start(t)
	r := open(t, s, time.Second)
	for _, path := range []string{"/same", "/changed", "/children"} {
		r.call(jute.OpCreate, create(path, 0, worldAll))
	}
	seen := r.call(jute.OpSync, onlyPath("/")).zxid
	r.call(jute.OpSetData, setData("/changed", "x", -1))
	r.call(jute.OpCreate, create("/children/c", 0, worldAll))
	r.send(-8, jute.OpSetWatches, func(e *jute.Encoder) {
		e.Long(seen)
		e.Strings([]string{"/same", "/changed", "/gone"})
		e.Strings([]string{"/same", "/absent"})
		e.Strings([]string{"/same", "/children", "/gone"})
	})
	r.event(r.next(), jute.NodeDataChanged, "/changed")
	r.event(r.next(), jute.NodeDeleted, "/gone")
	r.event(r.next(), jute.NodeCreated, "/same")
	r.event(r.next(), jute.NodeChildrenChanged, "/children")
	r.event(r.next(), jute.NodeDeleted, "/gone")
	require.EqualValues(t, -8, r.next().xid)

	r.send(1, jute.OpCreate, create("/absent", 0, worldAll))
	r.event(r.next(), jute.NodeCreated, "/absent")
	r.next()
	r.send(2, jute.OpCreate, create("/same/c", 0, worldAll))
	r.event(r.next(), jute.NodeChildrenChanged, "/same")
	r.next()
}

func TestRemoveWatches(t *testing.T) {
	s := start(t)
	r := open(t, s, time.Second)
	r.call(jute.OpExists, pathWatch("/w", true))
	require.Equal(t, jute.NoWatcher, r.call(jute.OpCheckWatches, pathVersion("/w", 1)).code)
	require.Equal(t, jute.OK, r.call(jute.OpCheckWatches, pathVersion("/w", 3)).code)
	require.Equal(t, jute.MarshallingError, r.call(jute.OpCheckWatches, pathVersion("/w", 9)).code)
	require.Equal(t, jute.OK, r.call(jute.OpRemoveWatches, pathVersion("/w", 2)).code)
	require.Equal(t, jute.NoWatcher, r.call(jute.OpRemoveWatches, pathVersion("/w", 2)).code)
}

func TestFailedMultiBytes(t *testing.T) {
	s := start(t)
	r := open(t, s, time.Second)
	r.call(jute.OpCreate, create("/a", 0, worldAll))
	before := r.call(jute.OpSync, onlyPath("/")).zxid
	a := r.call(jute.OpMulti, func(e *jute.Encoder) {
		header := func(op jute.Op) { (&jute.MultiHeader{Op: op, Err: -1}).Encode(e) }
		header(jute.OpCreate)
		create("/m1", 0, worldAll)(e)
		header(jute.OpCheck)
		pathVersion("/a", 99)(e)
		header(jute.OpDelete)
		pathVersion("/b", -1)(e)
		end := jute.MultiEnd
		end.Encode(e)
	})
	require.Equal(t, jute.OK, a.code)
	require.Equal(t, before+1, a.zxid)
	want := "ffffffff 00 00000000 00000000 ffffffff 00 ffffff99 ffffff99 ffffffff 00 fffffffe fffffffe ffffffff 01 ffffffff"
	require.Equal(t, strings.ReplaceAll(want, " ", ""), hex.EncodeToString(a.bytes))
	require.Equal(t, jute.NoNode, r.call(jute.OpExists, pathWatch("/m1", false)).code)
}

func TestAuthAndACLs(t *testing.T) {
	s := start(t)
	owner, other := open(t, s, time.Second), open(t, s, time.Second)
	owner.send(-4, jute.OpAuth, authBody("digest", "u:p"))
	a := owner.next()
	require.EqualValues(t, -4, a.xid)
	require.Zero(t, a.zxid)
	mine := []jute.ACL{{Perms: jute.PermAll, ID: jute.ID{Scheme: "auth"}}, {Perms: jute.PermRead, ID: jute.ID{Scheme: "digest", ID: "v:h"}}}
	require.Equal(t, jute.OK, owner.call(jute.OpCreate, create("/mine", 0, mine)).code)
	require.Equal(t, jute.NoAuth, other.call(jute.OpGetData, pathWatch("/mine", true)).code)
	require.Equal(t, jute.NoAuth, other.call(jute.OpExists, pathWatch("/mine", true)).code)
	require.Equal(t, jute.NoAuth, other.call(jute.OpSetData, setData("/mine", "x", -1)).code)
	require.Equal(t, jute.NoAuth, other.call(jute.OpCreate, create("/mine/c", 0, worldAll)).code)
	require.Equal(t, jute.NoAuth, other.call(jute.OpGetACL, onlyPath("/mine")).code)
	require.Equal(t, jute.OK, other.call(jute.OpGetChildren, pathWatch("/", false)).code)

	a = owner.call(jute.OpGetACL, onlyPath("/mine"))
	require.Equal(t, "u:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ=", jute.DecodeACLs(a.body)[0].ID.ID)
	require.Equal(t, jute.OK, owner.call(jute.OpSetACL, func(e *jute.Encoder) {
		e.String("/mine")
		jute.EncodeACLs(e, append(mine, jute.ACL{Perms: jute.PermRead, ID: jute.ID{Scheme: "ip", ID: "127.0.0.0/8"}}))
		e.Int(0)
	}).code)
	a = other.call(jute.OpGetACL, onlyPath("/mine"))
	require.Equal(t, "u:x", jute.DecodeACLs(a.body)[0].ID.ID, "hashes are for the administrator")

	bad := open(t, s, time.Second)
	require.Equal(t, jute.AuthFailed, bad.call(jute.OpAuth, authBody("nobody", "x")).code)
	bad.closed()
}

// An event about a node that the watcher may not read is not told.
func TestEventsAreFilteredByACL(t *testing.T) {
	s := start(t)
	owner, other := open(t, s, time.Second), open(t, s, time.Second)
	owner.call(jute.OpAuth, authBody("digest", "u:p"))
	other.call(jute.OpExists, pathWatch("/secret", true))
	mine := []jute.ACL{{Perms: jute.PermAll, ID: jute.ID{Scheme: "auth"}}}
	require.Equal(t, jute.OK, owner.call(jute.OpCreate, create("/secret", 0, mine)).code)
	require.Equal(t, jute.OK, other.call(jute.OpSync, onlyPath("/")).code, "no event in front")
}

func authBody(scheme, credential string) func(e *jute.Encoder) {
	return func(e *jute.Encoder) { e.Int(0); e.String(scheme); e.Buffer([]byte(credential)) }
}

func TestSuperUserAndSkipACL(t *testing.T) {
	nobody := []jute.ACL{{Perms: 0, ID: jute.ID{Scheme: "world", ID: "anyone"}}}
	s := start(t, func(c *Config) { c.SuperDigest = "super:xQJmxLMiHGwaqBvst5y6rkB6HQs=" })
	r := open(t, s, time.Second)
	r.call(jute.OpCreate, create("/x", 0, nobody))
	require.Equal(t, jute.NoAuth, r.call(jute.OpGetData, pathWatch("/x", false)).code)
	r.call(jute.OpAuth, authBody("digest", "super:admin"))
	require.Equal(t, jute.OK, r.call(jute.OpGetData, pathWatch("/x", false)).code)

	s = start(t, func(c *Config) { c.SkipACL = true })
	r = open(t, s, time.Second)
	r.call(jute.OpCreate, create("/x", 0, nobody))
	require.Equal(t, jute.OK, r.call(jute.OpGetData, pathWatch("/x", false)).code)
}

func TestCloseAndExpiry(t *testing.T) {
	var log lines
	s := start(t, func(c *Config) { c.Loggers = logging.New(&log) })
	watcher := open(t, s, time.Minute)
	closing := open(t, s, time.Second)
	closing.call(jute.OpCreate, create("/closing", 1, worldAll))
	watcher.call(jute.OpExists, pathWatch("/closing", true))
	a := closing.call(jute.OpCloseSession, nil)
	require.Equal(t, jute.OK, a.code)
	closing.closed()
	watcher.event(watcher.next(), jute.NodeDeleted, "/closing")

	silent := open(t, s, 200*time.Millisecond)
	began := time.Now()
	silent.call(jute.OpCreate, create("/silent", 1, worldAll))
	watcher.call(jute.OpExists, pathWatch("/silent", true))
	watcher.event(watcher.next(), jute.NodeDeleted, "/silent")
	require.GreaterOrEqual(t, time.Since(began), 200*time.Millisecond)
	silent.closed()
	require.Contains(t, log.String(), fmt.Sprintf("INFO Expiring session 0x%x, timeout of 200ms exceeded (org.apache.zookeeper.server.ZooKeeperServer)", silent.session))
	gone := connectTCP(t, s)
	gone.connect(0, time.Second, silent.session, silent.password)
	require.Zero(t, gone.session)
}

func TestSessionOutlivesItsConnection(t *testing.T) {
	s := start(t)
	watcher := open(t, s, time.Minute)
	r := open(t, s, 300*time.Millisecond)
	r.call(jute.OpCreate, create("/e", 1, worldAll))
	watcher.call(jute.OpExists, pathWatch("/e", true))
	require.NoError(t, r.nc.Close())
	watcher.event(watcher.next(), jute.NodeDeleted, "/e")
}

func TestFrameLimits(t *testing.T) {
	var log lines
	s := start(t, func(c *Config) { c.JuteMaxBuffer = 1000; c.Loggers = logging.New(&log) })
	r := open(t, s, time.Second)
	r.frame(append(binary.BigEndian.AppendUint32(nil, 7), make([]byte, 996)...)) // exactly the limit
	require.EqualValues(t, 7, r.next().xid)
	for _, head := range []string{"\x00\x00\x03\xe9", "\xff\xff\xff\xff", "\x7f\xff\xff\xff"} {
		r := open(t, s, time.Second)
		_, err := io.WriteString(r.nc, head)
		require.NoError(t, err)
		r.closed()
	}
	require.Contains(t, log.String(), "Len error 1001")
}

func TestTooManyConnections(t *testing.T) {
	var log lines
	s := start(t, func(c *Config) { c.MaxClientCnxns = 2; c.Loggers = logging.New(&log) })
	a, b := open(t, s, time.Second), open(t, s, time.Second)
	connectTCP(t, s).closed()
	require.Contains(t, log.String(), "Too many connections from /127.0.0.1 - max is 2")
	require.NoError(t, a.nc.Close())
	await(t, "a place", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.perIP["127.0.0.1"] == 1
	})
	open(t, s, time.Second)
	require.Equal(t, jute.OK, b.call(jute.OpSync, onlyPath("/")).code)
}

func TestForeignBytesAreNamed(t *testing.T) {
	kafka := append([]byte{0, 0, 0, 20}, "\x00\x12\x00\x03\x00\x00\x00\x01\x00\x05rdkaf\x00\x00\x00\x00\x00"...)
	for name, row := range map[string]struct {
		bytes []byte
		want  string
	}{
		"kafka":   {kafka, `it sent a Kafka ApiVersions request, version 3, of client "rdkaf"`},
		"http":    {[]byte("GET / HTTP/1.1\r\n\r\n"), "it sent an HTTP request"},
		"tls":     {[]byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), "it sent a TLS client hello"},
		"garbage": {[]byte("\x00\x00\x00\x05\xff\xff\xff\xff\xff"), "a first frame of 5 bytes that is not a connect request"},
	} {
		t.Run(name, func(t *testing.T) {
			var log lines
			s := start(t, func(c *Config) { c.Loggers = logging.New(&log) })
			r := connectTCP(t, s)
			_, err := r.nc.Write(row.bytes)
			require.NoError(t, err)
			r.closed()
			require.Contains(t, log.String(), row.want)
			require.Contains(t, log.String(), "from /"+r.nc.LocalAddr().String())
		})
	}
}

func TestRepeatedForeignBytesAreCounted(t *testing.T) {
	s := start(t)
	now := time.Now()
	for i := range 5 {
		_, quiet := s.countForeign("10.0.0.1", now)
		require.Equal(t, i > 0, quiet)
	}
	_, quiet := s.countForeign("10.0.0.2", now)
	require.False(t, quiet)
	repeated, quiet := s.countForeign("10.0.0.1", now.Add(foreignQuiet))
	require.False(t, quiet)
	require.Equal(t, 4, repeated)
	for i := range 2 * foreignMax {
		s.countForeign(fmt.Sprint(i), now)
	}
	require.LessOrEqual(t, len(s.foreign), foreignMax)
}

func FuzzServer(f *testing.F) {
	seed := func(text string) {
		b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
		require.NoError(f, err)
		f.Add(b)
	}
	seed("00000001 00000001 00000002 2f61 ffffffff 00000001 0000001f 00000005 776f726c64 00000006 616e796f6e65 00000003")
	seed("00000002 0000000e 0000000d 00 ffffffff 00000002 2f61 00000003 ffffffff 01 ffffffff")
	seed("fffffff8 00000065 0000000000000000 00000001 00000002 2f61 00000000 00000000")
	f.Fuzz(func(t *testing.T, frame []byte) {
		s := start(t, func(c *Config) { c.NoForceSync = true; c.PreAllocSize = -1 })
		r := open(t, s, time.Second)
		r.frame(frame)
		probe := open(t, s, time.Second)
		require.Equal(t, jute.OK, probe.call(jute.OpSync, onlyPath("/")).code)
	})
}
