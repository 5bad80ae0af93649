package server

import (
	"gregor/pkg/zookeeper/jute"
	"gregor/pkg/zookeeper/tree"
)

// readable finds a node that the request's caller may read.
func (s *Server) readable(r *request, path string, perm int32) (*tree.Node, jute.Code) {
	n := s.tree.Get(path)
	if n == nil {
		return nil, jute.NoNode
	}
	if !s.caller(r.c).Permits(n.ACL, perm) {
		return nil, jute.NoAuth
	}
	return n, jute.OK
}

// exists leaves its watch on a node that is not there, too.
func (s *Server) exists(r *request) {
	var q jute.PathWatchRequest
	if q.Decode(r.body) != nil {
		s.reply(r, jute.MarshallingError, nil)
		return
	}
	n, code := s.readable(r, q.Path, jute.PermRead)
	if q.Watch && code != jute.NoAuth {
		s.watches.Add(tree.DataWatches, q.Path, r.c)
	}
	if code != jute.OK {
		s.reply(r, code, nil)
		return
	}
	s.reply(r, jute.OK, func(e *jute.Encoder) { encodeStat(e, n) })
}

func encodeStat(e *jute.Encoder, n *tree.Node) {
	stat := n.Stat()
	stat.Encode(e)
}

func (s *Server) getData(r *request) {
	s.readWatched(r, tree.DataWatches, func(e *jute.Encoder, _ string, n *tree.Node) {
		e.Buffer(n.Data)
		encodeStat(e, n)
	})
}

func (s *Server) getChildren(r *request) {
	s.readWatched(r, tree.ChildWatches, func(e *jute.Encoder, path string, n *tree.Node) {
		e.Strings(s.tree.Children(path))
		if r.op == jute.OpGetChildren2 {
			encodeStat(e, n)
		}
	})
}

// readWatched answers with what encode makes of a node that must be there, and
// leaves a watch on it if the request asks for one.
func (s *Server) readWatched(r *request, kind tree.WatchKind, encode func(e *jute.Encoder, path string, n *tree.Node)) {
	var q jute.PathWatchRequest
	if q.Decode(r.body) != nil {
		s.reply(r, jute.MarshallingError, nil)
		return
	}
	n, code := s.readable(r, q.Path, jute.PermRead)
	if code != jute.OK {
		s.reply(r, code, nil)
		return
	}
	if q.Watch {
		s.watches.Add(kind, q.Path, r.c)
	}
	s.reply(r, jute.OK, func(e *jute.Encoder) { encode(e, q.Path, n) })
}

// getACL shows the hashes of digest entries only to who may set the list.
func (s *Server) getACL(r *request) {
	path := r.body.Path()
	if r.body.Err() != nil {
		s.reply(r, jute.MarshallingError, nil)
		return
	}
	n, code := s.readable(r, path, jute.PermRead|jute.PermAdmin)
	if code != jute.OK {
		s.reply(r, code, nil)
		return
	}
	acls := n.ACL.List()
	if !s.caller(r.c).Permits(n.ACL, jute.PermAdmin) {
		acls = tree.Redact(acls)
	}
	s.reply(r, jute.OK, func(e *jute.Encoder) {
		jute.EncodeACLs(e, acls)
		encodeStat(e, n)
	})
}

// sync has nothing to wait for: replies leave in order.
func (s *Server) sync(r *request) {
	path := r.body.Path()
	if r.body.Err() != nil {
		s.reply(r, jute.MarshallingError, nil)
		return
	}
	s.reply(r, jute.OK, func(e *jute.Encoder) { e.String(path) })
}

// setWatches restores the watches of a client's former connection and tells
// at once what would have ended them meanwhile.
func (s *Server) setWatches(r *request) {
	var q jute.SetWatchesRequest
	if q.Decode(r.body) != nil {
		s.reply(r, jute.MarshallingError, nil)
		return
	}
	for _, path := range q.Data {
		switch n := s.tree.Get(path); {
		case n == nil:
			s.notify(r.c, jute.NodeDeleted, path, -1)
		case n.Mzxid > q.RelativeZxid:
			s.notify(r.c, jute.NodeDataChanged, path, -1)
		default:
			s.watches.Add(tree.DataWatches, path, r.c)
		}
	}
	for _, path := range q.Exist {
		if s.tree.Get(path) != nil {
			s.notify(r.c, jute.NodeCreated, path, -1)
		} else {
			s.watches.Add(tree.DataWatches, path, r.c)
		}
	}
	for _, path := range q.Child {
		switch n := s.tree.Get(path); {
		case n == nil:
			s.notify(r.c, jute.NodeDeleted, path, -1)
		case n.Pzxid > q.RelativeZxid:
			s.notify(r.c, jute.NodeChildrenChanged, path, -1)
		default:
			s.watches.Add(tree.ChildWatches, path, r.c)
		}
	}
	s.reply(r, jute.OK, nil)
}

// removeWatches answers checkWatches as well, which only looks.
func (s *Server) removeWatches(r *request) {
	var q jute.PathTypeRequest
	kind := tree.WatchKind(0)
	if q.Decode(r.body) == nil {
		kind = tree.WatchKind(q.Type)
	}
	if kind < tree.ChildWatches || kind > tree.AnyWatches {
		s.reply(r, jute.MarshallingError, nil)
		return
	}
	had := s.watches.Has(kind, q.Path, r.c)
	if r.op == jute.OpRemoveWatches {
		s.watches.Remove(kind, q.Path, r.c)
	}
	if !had {
		s.reply(r, jute.NoWatcher, nil)
		return
	}
	s.reply(r, jute.OK, nil)
}

// auth adds an identity to the connection. Its reply carries zxid 0.
func (s *Server) auth(r *request) {
	var q jute.AuthRequest
	if q.Decode(r.body) != nil {
		s.reply(r, jute.MarshallingError, nil)
		return
	}
	ids, ok := tree.Authenticate(q.Scheme, q.Auth, r.c.ip, s.cfg.SuperDigest)
	if !ok {
		s.log.server.Warnf("Authentication failed for scheme: %s, from %s", q.Scheme, r.c.remote)
		s.replyLast(r, replyHeader{code: jute.AuthFailed})
		return
	}
	r.c.addIDs(ids)
	s.send(output{c: r.c, frame: encodeReply(r.xid, replyHeader{}, nil), started: r.started})
}

func (c *conn) addIDs(ids []jute.ID) {
next:
	for _, id := range ids {
		for _, known := range c.ids {
			if id == known {
				continue next
			}
		}
		c.ids = append(c.ids, id)
	}
}
