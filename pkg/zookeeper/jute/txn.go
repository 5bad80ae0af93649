package jute

import "fmt"

// A transaction as the log holds it:
//
//	long clientId   session id; 0 for what the server did by itself
//	int  cxid       the client's xid; 0 when sessions open and expire
//	long zxid
//	long time       ms since the epoch
//	int  type       an Op
//	record          by type; see the bodies below
//	[int 2, long digest]   of the tree after the transaction; since 3.6
//
// The digest may be missing, and closeSession has no record in logs of
// versions before 3.6.

// digestVersion stands before a digest; part of the format.
const digestVersion int32 = 2

// Txn is one transaction.
type Txn struct {
	SessionID int64
	Cxid      int32
	Zxid      int64
	Time      int64 // ms since the epoch
	Op        Op
	Body      TxnBody // nil only for closeSession of an old log

	HasDigest bool
	Digest    uint64
}

// TxnBody is one of the body types below.
type TxnBody interface{ encode(e *Encoder) }

// CreateTxn is a create of any kind, told apart by the transaction's Op.
type CreateTxn struct {
	Path           string
	Data           []byte
	ACL            []ACL
	Ephemeral      bool  // create and create2 only
	ParentCVersion int32 // the parent's stored cversion afterwards; -1: one more
	TTL            int64 // createTTL only
}

// DeleteTxn is a delete or deleteContainer.
type DeleteTxn struct{ Path string }

// SetDataTxn is a setData or reconfig; Version is the new one.
type SetDataTxn struct {
	Path    string
	Data    []byte
	Version int32
}

// SetACLTxn is a setACL; Version is the new aversion.
type SetACLTxn struct {
	Path    string
	ACL     []ACL
	Version int32
}

// CheckTxn is a check inside a multi.
type CheckTxn struct {
	Path    string
	Version int32
}

// CreateSessionTxn opens a session.
type CreateSessionTxn struct{ Timeout int32 }

// CloseSessionTxn ends a session and names the ephemeral nodes it owned.
type CloseSessionTxn struct{ Paths []string }

// ErrorTxn stands for a request that failed and yet took a zxid.
type ErrorTxn struct{ Code Code }

// MultiTxn is a multi. When one of Txns is an ErrorTxn nothing of it holds.
type MultiTxn struct{ Txns []SubTxn }

// SubTxn is one operation of a multi.
type SubTxn struct {
	Op   Op
	Body TxnBody
}

// Failed reports whether the multi came to nothing.
func (t *MultiTxn) Failed() bool {
	for _, sub := range t.Txns {
		if sub.Op == OpError {
			return true
		}
	}
	return false
}

// Encode appends the transaction.
func (t *Txn) Encode(e *Encoder) {
	e.Long(t.SessionID)
	e.Int(t.Cxid)
	e.Long(t.Zxid)
	e.Long(t.Time)
	e.Int(int32(t.Op))
	encodeBody(e, t.Op, t.Body)
	if t.HasDigest {
		e.Int(digestVersion)
		e.Long(int64(t.Digest))
	}
}

// encodeBody appends a body; the layout of a create depends on its op.
func encodeBody(e *Encoder, op Op, body TxnBody) {
	create, ok := body.(*CreateTxn)
	switch {
	case ok && (op == OpCreate || op == OpCreate2):
		create.encodeTo(e, func() { e.Bool(create.Ephemeral); e.Int(create.ParentCVersion) })
	case ok && op == OpCreateTTL:
		create.encodeTo(e, func() { e.Int(create.ParentCVersion); e.Long(create.TTL) })
	case body != nil:
		body.encode(e)
	}
}

func (t *CreateTxn) encodeTo(e *Encoder, rest func()) {
	e.String(t.Path)
	e.Buffer(t.Data)
	EncodeACLs(e, t.ACL)
	rest()
}

func (t *CreateTxn) encode(e *Encoder) { t.encodeTo(e, func() { e.Int(t.ParentCVersion) }) }
func (t *DeleteTxn) encode(e *Encoder) { e.String(t.Path) }

func (t *SetDataTxn) encode(e *Encoder) {
	e.String(t.Path)
	e.Buffer(t.Data)
	e.Int(t.Version)
}

func (t *SetACLTxn) encode(e *Encoder) {
	e.String(t.Path)
	EncodeACLs(e, t.ACL)
	e.Int(t.Version)
}

func (t *CheckTxn) encode(e *Encoder) {
	e.String(t.Path)
	e.Int(t.Version)
}

func (t *CreateSessionTxn) encode(e *Encoder) { e.Int(t.Timeout) }
func (t *CloseSessionTxn) encode(e *Encoder)  { e.Strings(t.Paths) }
func (t *ErrorTxn) encode(e *Encoder)         { e.Int(int32(t.Code)) }

func (t *MultiTxn) encode(e *Encoder) {
	e.Int(int32(len(t.Txns)))
	for _, sub := range t.Txns {
		var body Encoder
		encodeBody(&body, sub.Op, sub.Body)
		e.Int(int32(sub.Op))
		e.Int(int32(len(body.B)))
		e.B = append(e.B, body.B...)
	}
}

// DecodeTxn reads a transaction that takes the whole of b.
func DecodeTxn(b []byte) (*Txn, error) {
	d := NewDecoder(b)
	t := &Txn{SessionID: d.Long(), Cxid: d.Int(), Zxid: d.Long(), Time: d.Long(), Op: Op(d.Int())}
	if d.Err() != nil {
		return nil, d.Err()
	}
	if t.Op == OpCloseSession && d.Remaining() == 0 {
		return t, nil
	}
	body, err := decodeBody(d, t.Op)
	if err != nil {
		return nil, fmt.Errorf("zxid 0x%x, type %d: %w", uint64(t.Zxid), t.Op, err)
	}
	t.Body = body
	if d.Remaining() >= 12 && d.Int() == digestVersion {
		t.HasDigest = true
		t.Digest = uint64(d.Long())
	}
	return t, nil
}

func decodeBody(d *Decoder, op Op) (TxnBody, error) {
	var body TxnBody
	switch op {
	case OpCreate, OpCreate2, OpCreateContainer, OpCreateTTL:
		body = decodeCreate(d, op)
	case OpDelete, OpDeleteContainer:
		body = &DeleteTxn{Path: d.Path()}
	case OpSetData, OpReconfig:
		body = &SetDataTxn{Path: d.Path(), Data: d.Buffer(), Version: d.Int()}
	case OpSetACL:
		body = &SetACLTxn{Path: d.Path(), ACL: DecodeACLs(d), Version: d.Int()}
	case OpCheck:
		body = &CheckTxn{Path: d.Path(), Version: d.Int()}
	case OpCreateSession:
		body = &CreateSessionTxn{Timeout: d.Int()}
	case OpCloseSession:
		body = &CloseSessionTxn{Paths: d.Strings()}
	case OpError:
		body = &ErrorTxn{Code: Code(d.Int())}
	case OpMulti:
		return decodeMultiTxn(d)
	default:
		return nil, fmt.Errorf("%w: unknown transaction type", ErrMalformed)
	}
	return body, d.Err()
}

func decodeCreate(d *Decoder, op Op) *CreateTxn {
	t := &CreateTxn{Path: d.Path(), Data: d.Buffer(), ACL: DecodeACLs(d), ParentCVersion: -1}
	switch op {
	case OpCreate, OpCreate2:
		t.Ephemeral = d.Bool()
		if op == OpCreate && d.Remaining() == 0 {
			return t // logs of the first versions end here
		}
		t.ParentCVersion = d.Int()
	case OpCreateTTL:
		t.ParentCVersion = d.Int()
		t.TTL = d.Long()
	default:
		t.ParentCVersion = d.Int()
	}
	return t
}

func decodeMultiTxn(d *Decoder) (TxnBody, error) {
	n := d.Count(8)
	t := &MultiTxn{Txns: make([]SubTxn, 0, n)}
	for range n {
		op := Op(d.Int())
		b := d.Buffer()
		if d.Err() != nil {
			return nil, d.Err()
		}
		if op == OpMulti {
			return nil, fmt.Errorf("%w: multi inside multi", ErrMalformed)
		}
		body, err := decodeBody(NewDecoder(b), op)
		if err != nil {
			return nil, err
		}
		t.Txns = append(t.Txns, SubTxn{Op: op, Body: body})
	}
	return t, d.Err()
}
