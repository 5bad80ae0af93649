package server

import (
	"gregor/pkg/zookeeper/jute"
	"gregor/pkg/zookeeper/tree"
)

// txn is the transaction of a request.
func (r *request) txn(op jute.Op, body jute.TxnBody) *jute.Txn {
	return &jute.Txn{SessionID: r.c.session.ID, Cxid: r.xid, Op: op, Body: body}
}

// refuse answers a write that is not carried out. It takes a zxid and is logged, as
// in ZooKeeper.
func (s *Server) refuse(r *request, code jute.Code) {
	s.commit(r.txn(jute.OpError, &jute.ErrorTxn{Code: code}))
	s.reply(r, code, nil)
}

func (s *Server) create(r *request) {
	var q jute.CreateRequest
	if q.Decode(r.body) != nil {
		s.refuse(r, jute.MarshallingError)
		return
	}
	body, code := s.tree.PrepareCreate(s.caller(r.c), &q)
	if code != jute.OK {
		s.refuse(r, code)
		return
	}
	s.commit(r.txn(r.op, body))
	s.reply(r, jute.OK, func(e *jute.Encoder) {
		e.String(body.Path)
		if r.op == jute.OpCreate2 {
			encodeStat(e, s.tree.Get(body.Path))
		}
	})
}

func (s *Server) delete(r *request) {
	var q jute.PathVersionRequest
	if q.Decode(r.body) != nil {
		s.refuse(r, jute.MarshallingError)
		return
	}
	body, code := s.tree.PrepareDelete(s.caller(r.c), &q)
	if code != jute.OK {
		s.refuse(r, code)
		return
	}
	s.commit(r.txn(jute.OpDelete, body))
	s.reply(r, jute.OK, nil)
}

func (s *Server) setData(r *request) {
	var q jute.SetDataRequest
	if q.Decode(r.body) != nil {
		s.refuse(r, jute.MarshallingError)
		return
	}
	body, code := s.tree.PrepareSetData(s.caller(r.c), &q)
	if code != jute.OK {
		s.refuse(r, code)
		return
	}
	s.commit(r.txn(jute.OpSetData, body))
	s.reply(r, jute.OK, func(e *jute.Encoder) { encodeStat(e, s.tree.Get(q.Path)) })
}

func (s *Server) setACL(r *request) {
	var q jute.SetACLRequest
	if q.Decode(r.body) != nil {
		s.refuse(r, jute.MarshallingError)
		return
	}
	body, code := s.tree.PrepareSetACL(s.caller(r.c), &q)
	if code != jute.OK {
		s.refuse(r, code)
		return
	}
	s.commit(r.txn(jute.OpSetACL, body))
	s.reply(r, jute.OK, func(e *jute.Encoder) { encodeStat(e, s.tree.Get(q.Path)) })
}

// result is what one operation of a multi came to.
type result struct {
	op   jute.Op
	path string    // create, create2
	stat jute.Stat // create2, setData
}

// multi carries out all of its operations or none. They share a zxid and see
// each other's effects.
func (s *Server) multi(r *request) {
	ops, err := jute.DecodeMulti(r.body)
	if err != nil {
		s.refuse(r, jute.MarshallingError)
		return
	}
	body := &jute.MultiTxn{}
	txn := r.txn(jute.OpMulti, body)
	s.stamp(txn)
	caller := s.caller(r.c)
	var events []tree.Event
	var results []result
	s.tree.Begin()
	for i, op := range ops {
		sub, code := s.prepareSub(caller, op)
		if code != jute.OK {
			s.tree.Rollback()
			s.failMulti(r, txn, len(ops), i, code)
			return
		}
		body.Txns = append(body.Txns, sub)
		events = s.tree.ApplySub(txn, sub.Op, sub.Body, events)
		results = append(results, s.subResult(sub))
	}
	s.tree.Commit()
	s.record(txn)
	s.fire(events)
	s.reply(r, jute.OK, func(e *jute.Encoder) { encodeResults(e, results) })
}

func (s *Server) prepareSub(caller *tree.Caller, op jute.MultiOp) (jute.SubTxn, jute.Code) {
	sub := jute.SubTxn{Op: op.Op}
	code := jute.Unimplemented
	switch op.Op {
	case jute.OpCreate, jute.OpCreate2:
		sub.Body, code = s.tree.PrepareCreate(caller, op.Request.(*jute.CreateRequest))
	case jute.OpDelete:
		sub.Body, code = s.tree.PrepareDelete(caller, op.Request.(*jute.PathVersionRequest))
	case jute.OpSetData:
		sub.Body, code = s.tree.PrepareSetData(caller, op.Request.(*jute.SetDataRequest))
	case jute.OpCheck:
		sub.Body, code = s.tree.PrepareCheck(caller, op.Request.(*jute.PathVersionRequest))
	}
	return sub, code
}

func (s *Server) subResult(sub jute.SubTxn) result {
	res := result{op: sub.Op}
	switch body := sub.Body.(type) {
	case *jute.CreateTxn:
		res.path = body.Path
		res.stat = s.tree.Get(body.Path).Stat()
	case *jute.SetDataTxn:
		res.stat = s.tree.Get(body.Path).Stat()
	}
	return res
}

func encodeResults(e *jute.Encoder, results []result) {
	for _, res := range results {
		h := jute.MultiHeader{Op: res.op}
		h.Encode(e)
		switch res.op {
		case jute.OpCreate:
			e.String(res.path)
		case jute.OpCreate2:
			e.String(res.path)
			res.stat.Encode(e)
		case jute.OpSetData:
			res.stat.Encode(e)
		}
	}
	end := jute.MultiEnd
	end.Encode(e)
}

// failMulti logs and answers a multi of which operation failed was refused.
// The log keeps what came before it; the reply has no error of its own, but
// one for each operation.
func (s *Server) failMulti(r *request, txn *jute.Txn, count, failed int, code jute.Code) {
	body := txn.Body.(*jute.MultiTxn)
	codes := make([]jute.Code, count)
	for i := range codes {
		if i >= failed {
			codes[i] = jute.RuntimeInconsistency
			if i == failed {
				codes[i] = code
			}
			body.Txns = append(body.Txns, jute.SubTxn{Op: jute.OpError, Body: &jute.ErrorTxn{Code: codes[i]}})
		}
	}
	s.record(txn)
	s.reply(r, jute.OK, func(e *jute.Encoder) {
		for _, code := range codes {
			h := jute.MultiHeader{Op: jute.OpError, Err: code}
			h.Encode(e)
			e.Int(int32(code))
		}
		end := jute.MultiEnd
		end.Encode(e)
	})
}

// closeSession ends the caller's session: an empty reply, then the
// connection.
func (s *Server) closeSession(r *request) {
	s.endSession(r.c.session.ID, r.xid)
	s.replyLast(r, replyHeader{zxid: s.zxid})
}

// endSession is the transaction that ends a session and its ephemeral nodes.
func (s *Server) endSession(id int64, cxid int32) {
	s.sessions.Remove(id)
	delete(s.owners, id)
	s.commit(&jute.Txn{SessionID: id, Cxid: cxid, Op: jute.OpCloseSession,
		Body: &jute.CloseSessionTxn{Paths: s.tree.Ephemerals(id)}})
}
