package cli_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"gregor/pkg/cli"
	"gregor/pkg/testkit"
)

// TestWalkthroughOfACluster runs transcripts against three brokers. Beside
// the tools they have commands of their own: kill-broker, which leaves the
// session to expire; stop-broker, which shuts down in order; start-broker; and
// write, which makes a file in DATA.
func TestWalkthroughOfACluster(t *testing.T) {
	paths, err := filepath.Glob("testdata/cluster/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			t.Parallel()
			// Leaders move when the transcript says so.
			c := testkit.StartCluster(t, 3, map[string]string{"auto.leader.rebalance.enable": "false"})
			data := t.TempDir()
			exec := func(stdin, script string, args []string) (stdout, stderr string, status int) {
				if script == "write" {
					require.NoError(t, os.WriteFile(filepath.Join(data, args[0]), []byte(args[1]), 0o644))
					return "", "", 0
				}
				if brokerCommand(t, c, script, args) {
					return "", "", 0
				}
				name := strings.TrimSuffix(filepath.Base(script), ".sh")
				return cli.Invoke(stdin, append([]string{name}, args...)...)
			}
			testkit.RunTranscript(t, path, exec, "ZOOKEEPER", c.ZooKeeper, "DATA", data,
				"BROKERS", strings.Join([]string{c.Members[0].Address, c.Members[1].Address, c.Members[2].Address}, ","),
				"BROKER0", c.Members[0].Address, "BROKER1", c.Members[1].Address, "BROKER2", c.Members[2].Address)
		})
	}
}

// brokerCommand runs a command that a broker is the object of.
func brokerCommand(t *testing.T, c *testkit.Cluster, script string, args []string) bool {
	run, ok := map[string]func(*testkit.Member){
		"kill-broker":  (*testkit.Member).Kill,
		"stop-broker":  func(m *testkit.Member) { m.Stop() },
		"start-broker": (*testkit.Member).Restart,
	}[script]
	if ok {
		id, err := strconv.Atoi(args[0])
		require.NoError(t, err)
		run(c.Members[id])
	}
	return ok
}
