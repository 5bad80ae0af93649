package zkstore

import (
	"context"
	"errors"
	"strings"

	"github.com/go-zookeeper/zk"
)

// anyVersion makes a write unconditional.
const anyVersion = -1

// Fence is the data version of /controller_epoch that an active controller
// holds; see RegisterController.
type Fence int32

// NoFence writes without a check of /controller_epoch.
const NoFence Fence = -1

type opKind int

const (
	opGet opKind = iota
	opExists
	opChildren
	opCreate
	opSet
	opDelete
	opCheck
	opMulti
)

// op is one request. Paths are without the chroot.
type op struct {
	kind    opKind
	path    string
	data    []byte
	version int32
	flags   int32 // of a create
	watch   bool
	ops     []op // of a multi
}

// result is the answer to an op.
type result struct {
	err      error // *Error, or why there is no answer
	data     []byte
	stat     zk.Stat
	created  string // path of a create
	children []string
	each     []result // of a multi, also when it failed
	lossy    bool     // sent more than once: an earlier attempt may have succeeded
}

func hasPrefixPath(path, prefix string) bool {
	return path == prefix || strings.HasPrefix(path, prefix+"/")
}

// one executes a request, again and again while its session lives and the
// connection is lost under it.
func (s *Store) one(ctx context.Context, o op) result {
	if s.closing.Load() {
		return result{err: ErrClosed}
	}
	sess, lossy := s.session(), false
	for {
		if err := sess.awaitConnected(ctx); err != nil {
			if s.closing.Load() {
				err = ErrClosed
			}
			return result{err: err, lossy: lossy}
		}
		select {
		case <-ctx.Done():
			return result{err: ctx.Err(), lossy: lossy}
		case s.slots <- struct{}{}:
		}
		r := s.attempt(ctx, sess, o)
		if errors.Is(r.err, ErrSessionExpired) {
			sess.lose("a request was answered so") // on a connection that the server left open
		}
		if !errors.Is(r.err, ErrConnectionLoss) {
			r.lossy = lossy
			return r
		}
		lossy = true
	}
}

// attempt sends a request once and gives the slot back when it is answered,
// which may be after a cancelled caller has gone.
func (s *Store) attempt(ctx context.Context, sess *session, o op) result {
	if ctx.Done() == nil {
		defer func() { <-s.slots }()
		return sess.execute(o, s.acl)
	}
	answer := make(chan result, 1)
	started := s.group.Go("zookeeper-request", func(context.Context) error {
		defer func() { <-s.slots }()
		answer <- sess.execute(o, s.acl)
		return nil
	})
	if !started {
		<-s.slots
		return result{err: ErrClosed}
	}
	select {
	case r := <-answer:
		return r
	case <-ctx.Done():
		return result{err: ctx.Err()}
	}
}

// batch executes requests of which none depends on another, several at a
// time. results[i] answers ops[i]. The error is that of a lost session, a
// closed store or a cancelled context; the results of single requests are in
// their place. Requests that are under way when ctx is cancelled are not
// waited for.
func (s *Store) batch(ctx context.Context, ops []op) ([]result, error) {
	results := make([]result, len(ops))
	if len(ops) == 0 {
		return results, nil
	}
	type item struct {
		at int
		r  result
	}
	// A request that can be cancelled costs a goroutine of its own: here the
	// collector below is the one that leaves early.
	whole := context.WithoutCancel(ctx)
	answers := make(chan item, len(ops))
	next := make(chan int, len(ops))
	for i := range ops {
		next <- i
	}
	close(next)
	for range min(len(ops), s.opts.MaxInFlight) {
		started := s.group.Go("zookeeper-batch", func(context.Context) error {
			for i := range next {
				if err := ctx.Err(); err != nil {
					answers <- item{i, result{err: err}}
					continue
				}
				answers <- item{i, s.one(whole, ops[i])}
			}
			return nil
		})
		if !started {
			return nil, ErrClosed
		}
	}
	var fatal error
	for range ops {
		select {
		case <-ctx.Done():
			return results, ctx.Err()
		case got := <-answers:
			results[got.at] = got.r
			if fatal == nil && isFatal(got.r.err) {
				fatal = got.r.err
			}
		}
	}
	return results, fatal
}

// isFatal reports whether err says nothing about the single request.
func isFatal(err error) bool {
	return err != nil && (errors.Is(err, ErrSessionExpired) || errors.Is(err, ErrClosed) ||
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded))
}

// execute sends one request on the session's connection and waits for the
// answer.
func (s *session) execute(o op, acl func(path string) []zk.ACL) result {
	if o.size() > maxFrame-requestOverhead {
		return result{err: &Error{Code: CodeMarshallingError, Path: o.path}}
	}
	var (
		r    result
		stat *zk.Stat
		err  error
		path = s.full(o.path)
	)
	switch o.kind {
	case opGet:
		r.data, stat, err = s.data(path, o.watch)
	case opExists:
		stat, err = s.exists(path, o.watch)
	case opChildren:
		r.children, stat, err = s.childrenOf(path, o.watch)
	case opCreate:
		if o.flags == FlagContainer {
			r.created, err = s.conn.CreateContainer(path, o.data, o.flags, acl(o.path))
		} else {
			r.created, err = s.conn.Create(path, o.data, o.flags, acl(o.path))
		}
		r.created = s.strip(r.created)
	case opSet:
		stat, err = s.conn.Set(path, o.data, o.version)
	case opDelete:
		err = s.conn.Delete(path, o.version)
	case opMulti:
		return s.executeMulti(o, acl)
	default:
		panic("zkstore: a check stands in a multi only")
	}
	if stat != nil {
		r.stat = *stat
	}
	r.err = asError(err, o.path)
	return r
}

func (s *session) data(path string, watch bool) ([]byte, *zk.Stat, error) {
	if !watch {
		return s.conn.Get(path)
	}
	data, stat, _, err := s.conn.GetW(path) // the event comes through the callback
	return data, stat, err
}

func (s *session) exists(path string, watch bool) (*zk.Stat, error) {
	var (
		found bool
		stat  *zk.Stat
		err   error
	)
	if watch {
		found, stat, _, err = s.conn.ExistsW(path) // the event comes through the callback
	} else {
		found, stat, err = s.conn.Exists(path)
	}
	if err == nil && !found {
		err = zk.ErrNoNode
	}
	return stat, err
}

func (s *session) childrenOf(path string, watch bool) ([]string, *zk.Stat, error) {
	if !watch {
		return s.conn.Children(path)
	}
	children, stat, _, err := s.conn.ChildrenW(path) // the event comes through the callback
	return children, stat, err
}

func (s *session) executeMulti(o op, acl func(path string) []zk.ACL) result {
	requests := make([]any, len(o.ops))
	for i, part := range o.ops {
		path := s.full(part.path)
		switch part.kind {
		case opCreate:
			requests[i] = &zk.CreateRequest{Path: path, Data: part.data, Acl: acl(part.path), Flags: part.flags}
		case opSet:
			requests[i] = &zk.SetDataRequest{Path: path, Data: part.data, Version: part.version}
		case opDelete:
			requests[i] = &zk.DeleteRequest{Path: path, Version: part.version}
		case opCheck:
			requests[i] = &zk.CheckVersionRequest{Path: path, Version: part.version}
		default:
			panic("zkstore: a read cannot stand in a multi")
		}
	}
	responses, err := s.conn.Multi(requests...)
	r := result{err: asError(err, "")}
	if len(responses) != len(o.ops) {
		if r.err == nil {
			r.err = &Error{Code: CodeMarshallingError}
		}
		return r
	}
	r.each = make([]result, len(responses))
	for i, response := range responses {
		each := &r.each[i]
		each.err = asError(response.Error, o.ops[i].path)
		each.created = s.strip(response.String)
		if response.Stat != nil {
			each.stat = *response.Stat
		}
		var own *Error
		if errors.As(r.err, &own) && own.Path == "" && each.err != nil && errors.Is(each.err, &Error{Code: own.Code}) {
			own.Path = o.ops[i].path
		}
	}
	return r
}

// requestOverhead is more than what a request adds to paths and data.
const requestOverhead = 4096

// size is roughly what the request takes on the wire.
func (o op) size() int {
	n := len(o.path) + len(o.data) + 128
	for _, part := range o.ops {
		n += part.size()
	}
	return n
}

// asError gives the *Error of what the library returned.
func asError(err error, path string) error {
	if err == nil {
		return nil
	}
	code, _ := codeOf(err)
	return &Error{Code: code, Path: path}
}

// fenced wraps a write of a controller in a check of /controller_epoch.
func fenced(fence Fence, o op) op {
	if fence == NoFence {
		return o
	}
	check := op{kind: opCheck, path: ControllerEpochPath, version: int32(fence)}
	return op{kind: opMulti, ops: []op{check, o}}
}

// unfenced takes the answer to the write out of the answer to fenced.
func unfenced(fence Fence, r result) result {
	if fence == NoFence || len(r.each) != 2 {
		return r
	}
	inner := r.each[1]
	inner.lossy = r.lossy
	if errors.Is(r.each[0].err, ErrBadVersion) {
		inner.err = ErrControllerMoved
	} else if r.each[0].err != nil && !errors.Is(r.each[0].err, &Error{Code: CodeRuntimeInconsistency}) {
		inner.err = r.each[0].err
	}
	return inner
}

// The plain requests of the typed operations.

func (s *Store) get(ctx context.Context, path string) ([]byte, zk.Stat, error) {
	r := s.one(ctx, op{kind: opGet, path: path})
	return r.data, r.stat, r.err
}

func (s *Store) exists(ctx context.Context, path string) (bool, error) {
	r := s.one(ctx, op{kind: opExists, path: path})
	if errors.Is(r.err, ErrNoNode) {
		return false, nil
	}
	return r.err == nil, r.err
}

func (s *Store) children(ctx context.Context, path string) ([]string, zk.Stat, error) {
	r := s.one(ctx, op{kind: opChildren, path: path})
	return r.children, r.stat, r.err
}

func (s *Store) create(ctx context.Context, path string, data []byte) error {
	return s.one(ctx, op{kind: opCreate, path: path, data: data}).err
}

// createSequential returns the path with its number. A lost connection may
// leave a second node; readers of notifications do not mind.
func (s *Store) createSequential(ctx context.Context, prefix string, data []byte) (string, error) {
	r := s.one(ctx, op{kind: opCreate, path: prefix, data: data, flags: zk.FlagSequence})
	return r.created, r.err
}

func (s *Store) set(ctx context.Context, path string, data []byte, version int32, fence Fence) (zk.Stat, error) {
	r := unfenced(fence, s.one(ctx, fenced(fence, op{kind: opSet, path: path, data: data, version: version})))
	return r.stat, r.err
}

// delete takes a node that an attempt before a lost connection removed as
// removed.
func (s *Store) delete(ctx context.Context, path string, version int32, fence Fence) error {
	r := unfenced(fence, s.one(ctx, fenced(fence, op{kind: opDelete, path: path, version: version})))
	if r.lossy && errors.Is(r.err, ErrNoNode) {
		return nil
	}
	return r.err
}
