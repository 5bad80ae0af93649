package jute

// ID names somebody: a scheme and what the scheme calls him.
type ID struct{ Scheme, ID string }

// ACL is one entry of an access control list.
type ACL struct {
	Perms int32
	ID
}

// Stat is what clients are told of a node beside its data. 68 bytes.
type Stat struct {
	Czxid, Mzxid, Ctime, Mtime  int64
	Version, Cversion, Aversion int32
	EphemeralOwner              int64
	DataLength, NumChildren     int32
	Pzxid                       int64
}

// Encode appends the stat.
func (s *Stat) Encode(e *Encoder) {
	e.Long(s.Czxid)
	e.Long(s.Mzxid)
	e.Long(s.Ctime)
	e.Long(s.Mtime)
	e.Int(s.Version)
	e.Int(s.Cversion)
	e.Int(s.Aversion)
	e.Long(s.EphemeralOwner)
	e.Int(s.DataLength)
	e.Int(s.NumChildren)
	e.Long(s.Pzxid)
}

// EncodeACLs appends a vector of ACL entries.
func EncodeACLs(e *Encoder, acls []ACL) {
	e.Int(int32(len(acls)))
	for _, a := range acls {
		e.Int(a.Perms)
		e.String(a.Scheme)
		e.String(a.ID.ID)
	}
}

// DecodeACLs reads a vector of ACL entries.
func DecodeACLs(d *Decoder) []ACL {
	n := d.Count(12)
	acls := make([]ACL, 0, n)
	for range n {
		acls = append(acls, ACL{Perms: d.Int(), ID: ID{Scheme: d.String(), ID: d.String()}})
	}
	return acls
}

// ConnectRequest is the first frame of a connection.
type ConnectRequest struct {
	ProtocolVersion int32
	LastZxidSeen    int64
	Timeout         int32 // ms
	SessionID       int64 // 0 asks for a new session
	Password        []byte
	HasReadOnly     bool // clients before 3.4 leave the last field out
	ReadOnly        bool
}

// Decode reads the request.
func (r *ConnectRequest) Decode(d *Decoder) error {
	r.ProtocolVersion = d.Int()
	r.LastZxidSeen = d.Long()
	r.Timeout = d.Int()
	r.SessionID = d.Long()
	r.Password = d.Buffer()
	if d.Err() == nil && d.Remaining() > 0 {
		r.HasReadOnly = true
		r.ReadOnly = d.Bool()
	}
	return d.Err()
}

// ConnectResponse answers a ConnectRequest; a zero one refuses the session.
type ConnectResponse struct {
	Timeout      int32
	SessionID    int64
	Password     [16]byte
	WithReadOnly bool // as the request had it
}

// Encode appends the response.
func (r *ConnectResponse) Encode(e *Encoder) {
	e.Int(0)
	e.Int(r.Timeout)
	e.Long(r.SessionID)
	e.Buffer(r.Password[:])
	if r.WithReadOnly {
		e.Bool(false)
	}
}

// RequestHeader stands before every request but the first.
type RequestHeader struct {
	Xid int32
	Op  Op
}

// Decode reads the header.
func (h *RequestHeader) Decode(d *Decoder) error {
	h.Xid = d.Int()
	h.Op = Op(d.Int())
	return d.Err()
}

// ReplyHeader stands before every reply and notification.
type ReplyHeader struct {
	Xid  int32
	Zxid int64
	Err  Code
}

// Encode appends the header.
func (h *ReplyHeader) Encode(e *Encoder) {
	e.Int(h.Xid)
	e.Long(h.Zxid)
	e.Int(int32(h.Err))
}

// Flags of a create.
const (
	FlagEphemeral  int32 = 1
	FlagSequential int32 = 2

	FlagContainer     int32 = 4
	FlagTTL           int32 = 5
	FlagTTLSequential int32 = 6
)

// CreateRequest is the body of create and create2.
type CreateRequest struct {
	Path  string
	Data  []byte
	ACL   []ACL
	Flags int32
}

// Decode reads the request.
func (r *CreateRequest) Decode(d *Decoder) error {
	r.Path = d.Path()
	r.Data = d.Buffer()
	r.ACL = DecodeACLs(d)
	r.Flags = d.Int()
	return d.Err()
}

// FlagsKnown reports whether the flags mean something.
func (r *CreateRequest) FlagsKnown() bool { return r.Flags >= 0 && r.Flags <= FlagTTLSequential }

// PathVersionRequest is the body of delete and check.
type PathVersionRequest struct {
	Path    string
	Version int32
}

// Decode reads the request.
func (r *PathVersionRequest) Decode(d *Decoder) error {
	r.Path = d.Path()
	r.Version = d.Int()
	return d.Err()
}

// SetDataRequest is the body of setData.
type SetDataRequest struct {
	Path    string
	Data    []byte
	Version int32
}

// Decode reads the request.
func (r *SetDataRequest) Decode(d *Decoder) error {
	r.Path = d.Path()
	r.Data = d.Buffer()
	r.Version = d.Int()
	return d.Err()
}

// SetACLRequest is the body of setACL; Version is that of the ACL.
type SetACLRequest struct {
	Path    string
	ACL     []ACL
	Version int32
}

// Decode reads the request.
func (r *SetACLRequest) Decode(d *Decoder) error {
	r.Path = d.Path()
	r.ACL = DecodeACLs(d)
	r.Version = d.Int()
	return d.Err()
}

// PathWatchRequest is the body of exists, getData, getChildren and
// getChildren2.
type PathWatchRequest struct {
	Path  string
	Watch bool
}

// Decode reads the request.
func (r *PathWatchRequest) Decode(d *Decoder) error {
	r.Path = d.Path()
	r.Watch = d.Bool()
	return d.Err()
}

// PathTypeRequest is the body of checkWatches and removeWatches.
type PathTypeRequest struct {
	Path string
	Type int32
}

// Decode reads the request.
func (r *PathTypeRequest) Decode(d *Decoder) error {
	r.Path = d.Path()
	r.Type = d.Int()
	return d.Err()
}

// AuthRequest is the body of auth.
type AuthRequest struct {
	Type   int32
	Scheme string
	Auth   []byte
}

// Decode reads the request.
func (r *AuthRequest) Decode(d *Decoder) error {
	r.Type = d.Int()
	r.Scheme = d.String()
	r.Auth = d.Buffer()
	return d.Err()
}

// SetWatchesRequest is the body of setWatches: what a client watched on its
// former connection.
type SetWatchesRequest struct {
	RelativeZxid       int64
	Data, Exist, Child []string
}

// Decode reads the request.
func (r *SetWatchesRequest) Decode(d *Decoder) error {
	r.RelativeZxid = d.Long()
	r.Data = d.Strings()
	r.Exist = d.Strings()
	r.Child = d.Strings()
	return d.Err()
}

// MultiHeader stands before each operation of a multi and before each of its
// results; a header with Done ends the list.
type MultiHeader struct {
	Op   Op
	Done bool
	Err  Code
}

// Encode appends the header.
func (h *MultiHeader) Encode(e *Encoder) {
	e.Int(int32(h.Op))
	e.Bool(h.Done)
	e.Int(int32(h.Err))
}

// Decode reads the header.
func (h *MultiHeader) Decode(d *Decoder) error {
	h.Op = Op(d.Int())
	h.Done = d.Bool()
	h.Err = Code(d.Int())
	return d.Err()
}

// MultiEnd is the header that ends a list.
var MultiEnd = MultiHeader{Op: OpError, Done: true, Err: -1}

// MultiOp is one operation of a multi: Request is a *CreateRequest,
// *PathVersionRequest or *SetDataRequest.
type MultiOp struct {
	Op      Op
	Request any
}

// DecodeMulti reads the operations of a multi request. Operations that
// cannot be part of one make it malformed. Container and TTL creates are
// returned with a CreateRequest, so that the caller can refuse them.
func DecodeMulti(d *Decoder) ([]MultiOp, error) {
	var ops []MultiOp
	for {
		var h MultiHeader
		if err := h.Decode(d); err != nil {
			return nil, err
		}
		if h.Done {
			return ops, nil
		}
		op := MultiOp{Op: h.Op}
		var err error
		switch h.Op {
		case OpCreate, OpCreate2, OpCreateContainer, OpCreateTTL:
			r := &CreateRequest{}
			err = r.Decode(d)
			if h.Op == OpCreateTTL {
				d.Long()
				d.Fail(err)
				err = d.Err()
			}
			op.Request = r
		case OpDelete, OpCheck:
			r := &PathVersionRequest{}
			err = r.Decode(d)
			op.Request = r
		case OpSetData:
			r := &SetDataRequest{}
			err = r.Decode(d)
			op.Request = r
		default:
			err = ErrMalformed
		}
		if err != nil {
			return nil, err
		}
		ops = append(ops, op)
	}
}
