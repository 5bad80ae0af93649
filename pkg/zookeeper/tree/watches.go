package tree

import (
	"slices"
	"strings"

	"gregor/pkg/zookeeper/jute"
)

// Watches is the table of one-shot watches. A W is somebody who watches: a
// connection. Watching costs a map entry and no goroutine. Not safe for
// concurrent use.
type Watches[W comparable] struct {
	data, child watchTable[W]
}

// WatchKind tells the two tables apart; its values are the protocol's.
type WatchKind int32

// The kinds of watches.
const (
	ChildWatches WatchKind = 1
	DataWatches  WatchKind = 2
	AnyWatches   WatchKind = 3
)

// NewWatches returns an empty table.
func NewWatches[W comparable]() *Watches[W] {
	return &Watches[W]{data: newWatchTable[W](), child: newWatchTable[W]()}
}

// Add registers w for the next event of the kind on path. Paths are taken as
// they come: who watches the root as "" hears nothing, as in ZooKeeper.
func (t *Watches[W]) Add(kind WatchKind, path string, w W) {
	if kind == ChildWatches {
		t.child.add(path, w)
	} else {
		t.data.add(path, w)
	}
}

// Trigger removes the watches that an event ends and calls notify for each of
// their owners. Who watched both data and children of a deleted node is told
// once.
func (t *Watches[W]) Trigger(ev Event, notify func(w W, ev Event)) {
	if ev.Type == jute.NodeChildrenChanged {
		for _, w := range t.child.remove(ev.Path) {
			notify(w, ev)
		}
		return
	}
	told := t.data.remove(ev.Path)
	for _, w := range told {
		notify(w, ev)
	}
	if ev.Type == jute.NodeDeleted {
		for _, w := range t.child.remove(ev.Path) {
			if !slices.Contains(told, w) {
				notify(w, ev)
			}
		}
	}
}

// Has reports whether w has a watch of the kind on path.
func (t *Watches[W]) Has(kind WatchKind, path string, w W) bool {
	return kind != DataWatches && t.child.has(path, w) || kind != ChildWatches && t.data.has(path, w)
}

// Remove takes back w's watches of the kind on path and reports whether there
// were any.
func (t *Watches[W]) Remove(kind WatchKind, path string, w W) bool {
	had := t.Has(kind, path, w)
	if kind != DataWatches {
		t.child.drop(path, w)
	}
	if kind != ChildWatches {
		t.data.drop(path, w)
	}
	return had
}

// RemoveAll forgets w.
func (t *Watches[W]) RemoveAll(w W) {
	t.data.removeAll(w)
	t.child.removeAll(w)
}

// Count is the number of watches.
func (t *Watches[W]) Count() int { return t.data.count + t.child.count }

// watchTable holds watches by path and by watcher. Invariant: w is in
// byPath[p] iff p is in byWatcher[w].
type watchTable[W comparable] struct {
	byPath    map[string]map[W]struct{}
	byWatcher map[W]map[string]struct{}
	count     int
}

func newWatchTable[W comparable]() watchTable[W] {
	return watchTable[W]{byPath: map[string]map[W]struct{}{}, byWatcher: map[W]map[string]struct{}{}}
}

func (t *watchTable[W]) has(path string, w W) bool {
	_, ok := t.byPath[path][w]
	return ok
}

func (t *watchTable[W]) add(path string, w W) {
	if t.has(path, w) {
		return
	}
	t.count++
	if t.byPath[path] == nil {
		path = strings.Clone(path)
		t.byPath[path] = map[W]struct{}{}
	}
	t.byPath[path][w] = struct{}{}
	if t.byWatcher[w] == nil {
		t.byWatcher[w] = map[string]struct{}{}
	}
	t.byWatcher[w][path] = struct{}{}
}

func (t *watchTable[W]) drop(path string, w W) {
	if !t.has(path, w) {
		return
	}
	t.count--
	delete(t.byPath[path], w)
	if len(t.byPath[path]) == 0 {
		delete(t.byPath, path)
	}
	delete(t.byWatcher[w], path)
	if len(t.byWatcher[w]) == 0 {
		delete(t.byWatcher, w)
	}
}

func (t *watchTable[W]) remove(path string) []W {
	watchers := make([]W, 0, len(t.byPath[path]))
	for w := range t.byPath[path] {
		watchers = append(watchers, w)
	}
	for _, w := range watchers {
		t.drop(path, w)
	}
	return watchers
}

func (t *watchTable[W]) removeAll(w W) {
	for path := range t.byWatcher[w] {
		t.drop(path, w)
	}
}
