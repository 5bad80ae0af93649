package zkstore

import (
	"context"
	"errors"
	"sync"

	"github.com/go-zookeeper/zk"
)

// WatchNode calls fn when the node's data may have changed, or the node may
// have come or gone. The node need not exist. See the package comment for
// when fn runs; it runs on the store's goroutine and must not block. After
// cancel it does not start again.
func (s *Store) WatchNode(path string, fn func()) (cancel func()) {
	return s.watches.add(watchKey{path: path}, fn)
}

// WatchChildren is WatchNode for the list of a node's children.
func (s *Store) WatchChildren(path string, fn func()) (cancel func()) {
	return s.watches.add(watchKey{path: path, children: true}, fn)
}

// watchKey is one watch at the server: a node's data or existence, or its
// children.
type watchKey struct {
	path     string
	children bool
}

// watcher is one registered function.
type watcher struct {
	key watchKey
	fn  func()
}

// watches keeps the watches of the current session set at the server, and
// runs their functions. At most one is outstanding for each key, because the
// library has no way to take one back.
//
// A key is marked as set before the request is sent: its event may come in
// before the answer is looked at, and must not be undone by it.
type watches struct {
	store *Store
	wake  chan struct{}

	mu       sync.Mutex
	watchers map[watchKey][]*watcher
	set      map[watchKey]bool // outstanding at the server
	due      []watchKey        // to set if need be, and to run, in order
	isDue    map[watchKey]bool
	held     bool // the session is lost: nothing is set or run until release
	releases int  // counts calls of release
}

func newWatches(s *Store) *watches {
	return &watches{
		store: s, wake: make(chan struct{}, 1),
		watchers: map[watchKey][]*watcher{}, set: map[watchKey]bool{}, isDue: map[watchKey]bool{},
	}
}

func (w *watches) add(key watchKey, fn func()) (cancel func()) {
	entry := &watcher{key: key, fn: fn}
	w.mu.Lock()
	w.watchers[key] = append(w.watchers[key], entry)
	w.markLocked(key)
	w.mu.Unlock()
	return func() { w.remove(entry) }
}

func (w *watches) remove(entry *watcher) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var left []*watcher
	for _, other := range w.watchers[entry.key] {
		if other != entry {
			left = append(left, other)
		}
	}
	if left == nil {
		delete(w.watchers, entry.key)
		return
	}
	w.watchers[entry.key] = left
}

func (w *watches) markLocked(key watchKey) {
	if !w.isDue[key] {
		w.isDue[key] = true
		w.due = append(w.due, key)
	}
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// event is called for every watch event, on the library's goroutine.
func (w *watches) event(e zk.Event) {
	path := stripChroot(w.store.chroot, e.Path)
	node, children := watchKey{path: path}, watchKey{path: path, children: true}
	w.mu.Lock()
	defer w.mu.Unlock()
	if e.Type != zk.EventNodeChildrenChanged {
		w.firedLocked(node)
	}
	// A children watch of an absent node waits for the node.
	if e.Type != zk.EventNodeDataChanged {
		w.firedLocked(children)
	}
}

func (w *watches) firedLocked(key watchKey) {
	delete(w.set, key)
	if len(w.watchers[key]) > 0 {
		w.markLocked(key)
	}
}

// fireAll runs every function soon, and sets watches that are not set.
func (w *watches) fireAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for key := range w.watchers {
		w.markLocked(key)
	}
}

// hold stops everything between two sessions: the new one knows no watch, and
// handlers of the change come before functions of watches.
func (w *watches) hold() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held = true
	clear(w.set)
}

// release sets all watches in the new session and runs their functions.
func (w *watches) release() {
	w.mu.Lock()
	w.held = false
	w.releases++
	w.mu.Unlock()
	w.fireAll()
}

// run sets watches and then calls their functions, in that order, so that a
// change after what the function reads is seen by the watch.
func (w *watches) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.wake:
		}
		due, release := w.takeDue()
		if err := w.setAll(ctx, due); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			w.putBack(due, release)
			continue
		}
		for _, key := range due {
			w.call(ctx, key)
		}
	}
}

// takeDue gives what there is to do, nothing while held, and the release it
// belongs to.
func (w *watches) takeDue() ([]watchKey, int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.held {
		return nil, w.releases
	}
	due := w.due
	w.due = nil
	clear(w.isDue)
	return due, w.releases
}

// putBack is called when the session was lost under the work. The release
// that comes with the next session resumes it, unless it has come already.
func (w *watches) putBack(due []watchKey, release int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.releases == release {
		w.held = true
	}
	for _, key := range due {
		if len(w.watchers[key]) > 0 {
			w.markLocked(key)
		}
	}
}

// setAll sets the watches of those keys that have none at the server.
func (w *watches) setAll(ctx context.Context, due []watchKey) error {
	keys := w.unset(due)
	ops := make([]op, len(keys))
	for i, key := range keys {
		ops[i] = op{kind: opExists, path: key.path, watch: true}
		if key.children {
			ops[i].kind = opChildren
		}
	}
	results, err := w.store.batch(ctx, ops)
	if err != nil {
		w.clearSet(keys)
		return err
	}
	var absent []watchKey
	for i, r := range results {
		switch {
		case r.err == nil, errors.Is(r.err, ErrNoNode) && !keys[i].children:
		case errors.Is(r.err, ErrNoNode):
			absent = append(absent, keys[i])
		default:
			w.clearSet(keys[i : i+1])
			w.store.client.Errorf("Error while watching %s: %v", keys[i].path, r.err)
		}
	}
	return w.setAbsent(ctx, absent)
}

// setAbsent waits for nodes whose children are watched before they exist.
func (w *watches) setAbsent(ctx context.Context, keys []watchKey) error {
	ops := make([]op, len(keys))
	for i, key := range keys {
		ops[i] = op{kind: opExists, path: key.path, watch: true}
	}
	results, err := w.store.batch(ctx, ops)
	if err != nil {
		w.clearSet(keys)
		return err
	}
	for i, r := range results {
		if r.err == nil { // it has come meanwhile: try again
			w.mu.Lock()
			delete(w.set, keys[i])
			w.markLocked(keys[i])
			w.mu.Unlock()
		}
	}
	return nil
}

// unset picks the keys without a watch at the server and marks them as set.
func (w *watches) unset(due []watchKey) []watchKey {
	w.mu.Lock()
	defer w.mu.Unlock()
	var keys []watchKey
	for _, key := range due {
		if len(w.watchers[key]) > 0 && !w.set[key] {
			w.set[key] = true
			keys = append(keys, key)
		}
	}
	return keys
}

func (w *watches) clearSet(keys []watchKey) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, key := range keys {
		delete(w.set, key)
	}
}

func (w *watches) call(ctx context.Context, key watchKey) {
	w.mu.Lock()
	entries := w.watchers[key]
	w.mu.Unlock()
	for _, entry := range entries {
		if ctx.Err() == nil && w.registered(entry) {
			entry.fn()
		}
	}
}

func (w *watches) registered(entry *watcher) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, other := range w.watchers[entry.key] {
		if other == entry {
			return true
		}
	}
	return false
}
