package server

import (
	"encoding/binary"
	"time"

	"gregor/pkg/zookeeper/jute"
	"gregor/pkg/zookeeper/tree"
)

// request is one request while it is carried out.
type request struct {
	c       *conn
	xid     int32
	op      jute.Op
	body    *jute.Decoder
	started time.Time
}

// caller is who asks, for the tree's checks.
func (s *Server) caller(c *conn) *tree.Caller {
	return &tree.Caller{Session: c.sessionID(), IDs: c.ids, SkipACL: s.cfg.SkipACL}
}

// handle carries out the request in a frame and reports whether the
// connection may send more.
func (s *Server) handle(c *conn, frame []byte, started time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.outstanding >= s.cfg.GlobalOutstandingLimit && !s.stopping {
		s.room.Wait()
	}
	if s.stopping || c.finished || c.session.Closing {
		c.out.finish()
		return false
	}
	c.received()
	s.sessions.Touch(s.now(), c.session)
	r := &request{c: c, body: jute.NewDecoder(frame), started: started}
	var h jute.RequestHeader
	if err := h.Decode(r.body); err != nil {
		s.log.cnxn.Warnf("Closed connection from %s: a frame of %d bytes has no request header", c.remote, len(frame))
		c.finished = true
		c.out.finish()
		return false
	}
	r.xid, r.op = h.Xid, h.Op
	c.stats.lastOp, c.stats.lastCxid = r.op, r.xid
	s.dispatch(r)
	return !c.finished
}

// dispatch is the table of operations. What ZooKeeper has and this server
// does not is refused and the connection goes on; with a number that nobody
// has it ends.
func (s *Server) dispatch(r *request) {
	switch r.op {
	case jute.OpPing:
		r.xid = jute.XidPing
		s.reply(r, jute.OK, nil)
	case jute.OpExists:
		s.exists(r)
	case jute.OpGetData:
		s.getData(r)
	case jute.OpGetChildren, jute.OpGetChildren2:
		s.getChildren(r)
	case jute.OpGetACL:
		s.getACL(r)
	case jute.OpSync:
		s.sync(r)
	case jute.OpSetWatches:
		s.setWatches(r)
	case jute.OpCheckWatches, jute.OpRemoveWatches:
		s.removeWatches(r)
	case jute.OpAuth:
		s.auth(r)
	case jute.OpCreate, jute.OpCreate2:
		s.create(r)
	case jute.OpDelete:
		s.delete(r)
	case jute.OpSetData:
		s.setData(r)
	case jute.OpSetACL:
		s.setACL(r)
	case jute.OpMulti:
		s.multi(r)
	case jute.OpCloseSession:
		s.closeSession(r)
	case jute.OpReconfig, jute.OpCreateContainer, jute.OpCreateTTL, jute.OpMultiRead, jute.OpSASL, jute.OpGetEphemerals,
		jute.OpGetAllChildrenNumber, jute.OpSetWatches2, jute.OpAddWatch, jute.OpWhoAmI:
		s.reply(r, jute.Unimplemented, nil)
	default:
		s.replyLast(r, replyHeader{zxid: -1, code: jute.Unimplemented})
	}
}

// frame is an encoder whose first four bytes are its length.
type frame struct{ jute.Encoder }

func (f *frame) begin() { f.B = append(make([]byte, 0, 128), 0, 0, 0, 0) }

func (f *frame) end() []byte {
	binary.BigEndian.PutUint32(f.B, uint32(len(f.B)-4))
	return f.B
}

// output is a frame on its way to a client.
type output struct {
	c       *conn
	frame   []byte
	started time.Time // of the request; zero for notifications
	last    bool      // the connection ends behind it
}

type replyHeader struct {
	zxid int64
	code jute.Code
}

// reply answers a request; body adds the record, if there is one.
func (s *Server) reply(r *request, code jute.Code, body func(e *jute.Encoder)) {
	s.send(output{c: r.c, frame: encodeReply(r.xid, replyHeader{s.zxid, code}, body), started: r.started})
}

// replyLast answers a request and ends the connection.
func (s *Server) replyLast(r *request, h replyHeader) {
	r.c.finished = true
	s.send(output{c: r.c, frame: encodeReply(r.xid, h, nil), started: r.started, last: true})
}

func encodeReply(xid int32, h replyHeader, body func(e *jute.Encoder)) []byte {
	var f frame
	f.begin()
	header := jute.ReplyHeader{Xid: xid, Zxid: h.zxid, Err: h.code}
	header.Encode(&f.Encoder)
	if body != nil {
		body(&f.Encoder)
	}
	return f.end()
}

// notify tells a connection what its watch saw. zxid is -1 for what happened
// before the watch was set.
func (s *Server) notify(c *conn, typ jute.EventType, path string, zxid int64) {
	s.send(output{c: c, frame: encodeReply(jute.XidNotification, replyHeader{zxid, jute.OK}, func(e *jute.Encoder) {
		e.Int(int32(typ))
		e.Int(jute.StateConnected)
		e.String(path)
	})})
}

// fire tells the watchers of events, those who may read the node.
func (s *Server) fire(events []tree.Event) {
	for _, ev := range events {
		s.watches.Trigger(ev, func(c *conn, ev tree.Event) {
			if s.caller(c).Permits(ev.ACL, jute.PermRead) {
				s.notify(c, ev.Type, ev.Path, s.zxid)
			}
		})
	}
}
