//go:build compat

package compat

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"gregor/pkg/testkit"
)

// The scripts as users call them, in processes of their own.
func TestWalkthroughByScripts(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(home(), "pkg", "cli", "testdata", "walkthrough", "*.txt"))
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	exec := func(stdin, name string, args []string) (string, string, int) {
		r := script(t, stdin, filepath.Base(name), args...)
		return r.Stdout, r.Stderr, r.Status
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			zk := zooKeeper(t, gregor, t.TempDir(), 0)
			b := broker(t, gregor, 0, zk.Address, t.TempDir(), map[string]string{"log.segment.bytes": "1073741824"})
			testkit.RunTranscript(t, path, exec, "ZOOKEEPER", zk.Address, "BROKER", b.Address, "DATA", b.Dir)
		})
	}
}

// The same commands against a Java broker: our tools are as good as theirs.
func TestWalkthroughAgainstAJavaBroker(t *testing.T) {
	exec := func(stdin, name string, args []string) (string, string, int) {
		r := script(t, stdin, filepath.Base(name), args...)
		return r.Stdout, r.Stderr, r.Status
	}
	for _, name := range []string{"topics.txt", "console.txt"} {
		t.Run(name, func(t *testing.T) {
			zk := zooKeeper(t, kafka28, t.TempDir(), 0)
			b := broker(t, kafka28, 0, zk.Address, t.TempDir(), map[string]string{"log.segment.bytes": "1073741824"})
			testkit.RunTranscript(t, filepath.Join(home(), "pkg", "cli", "testdata", "walkthrough", name), exec,
				"ZOOKEEPER", zk.Address, "BROKER", b.Address, "DATA", b.Dir)
		})
	}
}
