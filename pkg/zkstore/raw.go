package zkstore

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/go-zookeeper/zk"

	"gregor/pkg/lifecycle"
)

// Raw is one session as the ZooKeeper shell uses it: paths and bytes, every
// answer as it comes, nothing retried. When the session is lost it stays so.
// Safe for concurrent use.
type Raw struct {
	session *session
	group   *lifecycle.Group
	servers int
	over    atomic.Bool // closed by its owner
}

// RawEvent is a watch event or a change of the session's state, in the words
// of the Java client.
type RawEvent struct {
	State string // SyncConnected, Disconnected, Expired
	Type  string // None for a change of state; NodeCreated, NodeDeleted, NodeDataChanged, NodeChildrenChanged
	Path  string // empty for a change of state
}

// RawStat is the statistics of a node.
type RawStat = zk.Stat

// RawACL is one entry of a node's access list; Perms is a sum of 1 read,
// 2 write, 4 create, 8 delete, 16 admin.
type RawACL = zk.ACL

// The flags of Raw.Create.
const (
	FlagEphemeral  = zk.FlagEphemeral
	FlagSequential = zk.FlagSequence
	FlagContainer  = zk.FlagContainer
)

// OpenRaw begins to connect and returns at once; AwaitConnected waits.
// onEvent is called on the client library's goroutines and must not block.
func OpenRaw(opts Options, onEvent func(RawEvent)) (*Raw, error) {
	opts = opts.withDefaults()
	servers, chroot, err := parseConnect(opts.Connect)
	if err != nil {
		return nil, err
	}
	r := &Raw{group: lifecycle.NewGroup(context.Background()), servers: len(servers)}
	events := sessionEvents{
		state: func(state sessionState) {
			if !r.over.Load() {
				onEvent(RawEvent{State: rawStates[state], Type: "None"})
			}
		},
		node: func(e zk.Event) {
			onEvent(RawEvent{State: "SyncConnected", Type: rawTypes[e.Type], Path: stripChroot(chroot, e.Path)})
		},
	}
	r.session, err = openSession(r.group, opts, servers, chroot, events)
	return r, err
}

var rawStates = map[sessionState]string{
	stateConnected: "SyncConnected", stateDisconnected: "Disconnected", stateLost: "Expired",
}

var rawTypes = map[zk.EventType]string{
	zk.EventNodeCreated: "NodeCreated", zk.EventNodeDeleted: "NodeDeleted",
	zk.EventNodeDataChanged: "NodeDataChanged", zk.EventNodeChildrenChanged: "NodeChildrenChanged",
}

// AwaitConnected returns nil when requests are answered, a *TimeoutError when
// they are not within the limit.
func (r *Raw) AwaitConnected(ctx context.Context, limit time.Duration) error {
	waiting, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := r.session.awaitConnected(waiting)
	if err != nil && ctx.Err() == nil && waiting.Err() != nil {
		return &TimeoutError{State: r.State()}
	}
	return err
}

// State is the Java client's name of the session's state.
func (r *Raw) State() string { return r.session.currentState().String() }

// SessionID is 0 before the first connection.
func (r *Raw) SessionID() int64 {
	id, _ := r.session.identity()
	return id
}

// Abandon ends the connection and leaves the session to its timeout, with its
// ephemeral nodes, as a process does that just ends. It does not wait for the
// client library's goroutines, which take up to a second to notice.
func (r *Raw) Abandon() {
	r.over.Store(true)
	r.session.lose("abandoned")
	r.group.Go("zookeeper-abandoned", func(context.Context) error { r.session.close(); return nil })
}

// Close ends the session; its ephemeral nodes go.
func (r *Raw) Close() {
	r.over.Store(true)
	r.session.close()
	r.group.Close() //nolint:errcheck // its goroutines return none
}

// Ready waits until requests are answered, or until every server was tried in
// vain.
func (r *Raw) Ready(ctx context.Context) error { return r.ready(ctx, "") }

// ready waits for a connection first, so that a request does not lie in the
// library's queue without an end. It fails like a lost connection when every
// server was tried in vain.
func (r *Raw) ready(ctx context.Context, path string) error {
	err := r.session.awaitAttempts(ctx, r.servers)
	var own *Error
	if errors.As(err, &own) {
		return &Error{Code: own.Code, Path: path}
	}
	return err
}

// call sends one request.
func (r *Raw) call(ctx context.Context, o op, acl []RawACL) (result, error) {
	if err := r.ready(ctx, o.path); err != nil {
		return result{}, err
	}
	answer := r.session.execute(o, func(string) []zk.ACL { return acl })
	return answer, answer.err
}

// Get reads a node.
func (r *Raw) Get(ctx context.Context, path string, watch bool) ([]byte, RawStat, error) {
	a, err := r.call(ctx, op{kind: opGet, path: path, watch: watch}, nil)
	return a.data, a.stat, err
}

// Stat reads a node's statistics; ErrNoNode when it is absent, which a watch
// then waits for.
func (r *Raw) Stat(ctx context.Context, path string, watch bool) (RawStat, error) {
	a, err := r.call(ctx, op{kind: opExists, path: path, watch: watch}, nil)
	return a.stat, err
}

// Children lists the names below a node, in no order.
func (r *Raw) Children(ctx context.Context, path string, watch bool) ([]string, RawStat, error) {
	a, err := r.call(ctx, op{kind: opChildren, path: path, watch: watch}, nil)
	return a.children, a.stat, err
}

// Create makes a node and returns its path.
func (r *Raw) Create(ctx context.Context, path string, data []byte, flags int32, acl []RawACL) (string, error) {
	a, err := r.call(ctx, op{kind: opCreate, path: path, data: data, flags: flags}, acl)
	return a.created, err
}

// CreateTTL makes a node that the server removes when nothing was written to
// it, and nothing was below it, for the time ttl. flags may be FlagSequential.
func (r *Raw) CreateTTL(ctx context.Context, path string, data []byte, flags int32, acl []RawACL, ttl time.Duration) (string, error) {
	if err := r.ready(ctx, path); err != nil {
		return "", err
	}
	mode := int32(zk.FlagTTL)
	if flags&FlagSequential != 0 {
		mode = zk.FlagPersistentSequentialWithTTL
	}
	created, err := r.session.conn.CreateTTL(r.session.full(path), data, mode, acl, ttl)
	return r.session.strip(created), asError(err, path)
}

// Set replaces a node's data; version -1 whatever its version.
func (r *Raw) Set(ctx context.Context, path string, data []byte, version int32) (RawStat, error) {
	a, err := r.call(ctx, op{kind: opSet, path: path, data: data, version: version}, nil)
	return a.stat, err
}

// Delete removes a node without children.
func (r *Raw) Delete(ctx context.Context, path string, version int32) error {
	_, err := r.call(ctx, op{kind: opDelete, path: path, version: version}, nil)
	return err
}

// GetACL reads a node's access list.
func (r *Raw) GetACL(ctx context.Context, path string) ([]RawACL, RawStat, error) {
	if err := r.ready(ctx, path); err != nil {
		return nil, RawStat{}, err
	}
	acl, stat, err := r.session.conn.GetACL(r.session.full(path))
	if err != nil {
		return nil, RawStat{}, asError(err, path)
	}
	return acl, *stat, nil
}

// SetACL replaces a node's access list; version -1 whatever its version.
func (r *Raw) SetACL(ctx context.Context, path string, acl []RawACL, version int32) (RawStat, error) {
	if err := r.ready(ctx, path); err != nil {
		return RawStat{}, err
	}
	stat, err := r.session.conn.SetACL(r.session.full(path), acl, version)
	if err != nil {
		return RawStat{}, asError(err, path)
	}
	return *stat, nil
}

// AddAuth adds an identity to the session.
func (r *Raw) AddAuth(ctx context.Context, scheme string, auth []byte) error {
	if err := r.ready(ctx, ""); err != nil {
		return err
	}
	return asError(r.session.conn.AddAuth(scheme, auth), "")
}

// Sync makes what the ensemble's leader has visible to this session.
func (r *Raw) Sync(ctx context.Context, path string) error {
	if err := r.ready(ctx, path); err != nil {
		return err
	}
	_, err := r.session.conn.Sync(r.session.full(path))
	return asError(err, path)
}
