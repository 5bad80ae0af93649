package cli_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"gregor/pkg/cli"
	"gregor/pkg/testkit"
)

// TestWalkthrough runs what the courses show, each transcript against a new
// ZooKeeper and a new broker in this process.
func TestWalkthrough(t *testing.T) {
	paths, err := filepath.Glob("testdata/walkthrough/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			zooKeeper := testkit.ZooKeeper(t)
			broker := testkit.StartBroker(t, zooKeeper, nil)
			testkit.RunTranscript(t, path, inProcess, "ZOOKEEPER", zooKeeper, "BROKER", broker.Address, "DATA", broker.Dir)
		})
	}
}

// inProcess runs a script's command in this process.
func inProcess(stdin, script string, args []string) (stdout, stderr string, status int) {
	name := strings.TrimSuffix(filepath.Base(script), ".sh")
	return cli.Invoke(stdin, append([]string{name}, args...)...)
}
