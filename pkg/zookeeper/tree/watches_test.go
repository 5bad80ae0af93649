package tree

import (
	"testing"

	"github.com/stretchr/testify/require"

	"gregor/pkg/zookeeper/jute"
)

// trigger collects who is told.
func trigger(w *Watches[string], typ jute.EventType, path string) []string {
	var told []string
	w.Trigger(Event{Type: typ, Path: path}, func(who string, _ Event) { told = append(told, who) })
	return told
}

func TestWatchesAreOneShot(t *testing.T) {
	w := NewWatches[string]()
	w.Add(DataWatches, "/a", "x")
	w.Add(DataWatches, "/a", "x")
	w.Add(ChildWatches, "/a", "y")
	require.Equal(t, 2, w.Count())
	require.Equal(t, []string{"x"}, trigger(w, jute.NodeDataChanged, "/a"))
	require.Empty(t, trigger(w, jute.NodeDataChanged, "/a"))
	require.Equal(t, []string{"y"}, trigger(w, jute.NodeChildrenChanged, "/a"))
	require.Zero(t, w.Count())
}

func TestDeletionIsToldOnce(t *testing.T) {
	w := NewWatches[string]()
	w.Add(DataWatches, "/a", "both")
	w.Add(ChildWatches, "/a", "both")
	w.Add(ChildWatches, "/a", "children")
	require.ElementsMatch(t, []string{"both", "children"}, trigger(w, jute.NodeDeleted, "/a"))
	require.Zero(t, w.Count())
}

func TestWatchesAreTakenBack(t *testing.T) {
	w := NewWatches[string]()
	w.Add(DataWatches, "/a", "x")
	w.Add(ChildWatches, "/a", "x")
	w.Add(DataWatches, "", "x")
	require.False(t, w.Has(DataWatches, "/", "x"))
	require.True(t, w.Remove(ChildWatches, "/a", "x"))
	require.False(t, w.Remove(ChildWatches, "/a", "x"))
	require.True(t, w.Has(AnyWatches, "/a", "x"))
	w.Add(DataWatches, "/a", "y")
	w.RemoveAll("x")
	require.Equal(t, 1, w.Count())
	require.Equal(t, []string{"y"}, trigger(w, jute.NodeCreated, "/a"))
}
