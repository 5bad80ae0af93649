package cli_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"gregor/pkg/cli"
	"gregor/pkg/record"
	"gregor/pkg/testkit"
)

// Batches end at batch.size, which segments that are smaller than a request
// rely on. A record that is larger has a batch of its own, in its place.
func TestBatchesOfTheConsoleProducer(t *testing.T) {
	broker := testkit.StartBroker(t, testkit.ZooKeeper(t), nil)
	_, stderr, status := cli.Invoke("", "kafka-topics", "--bootstrap-server", broker.Address, "--create", "--topic", "lines", "--config", "segment.bytes=100000")
	require.Zero(t, status, stderr)
	var lines []string
	for i := range 6000 {
		lines = append(lines, fmt.Sprintf("line %d of those that are short", i))
	}
	lines[3000] = strings.Repeat("long", 12_000)
	_, stderr, status = cli.Invoke(strings.Join(lines, "\n")+"\n", "kafka-console-producer", "--bootstrap-server", broker.Address, "--topic", "lines")
	require.Zero(t, status, stderr)
	require.Empty(t, stderr)

	names, err := filepath.Glob(filepath.Join(broker.Dir, "lines-0", "*.log"))
	require.NoError(t, err)
	require.Greater(t, len(names), 1)
	var read []string
	for _, name := range names {
		records, err := os.ReadFile(name)
		require.NoError(t, err)
		for len(records) > 0 {
			batch, rest, err := record.Split(records)
			require.NoError(t, err)
			if len(batch) > 16384 {
				require.EqualValues(t, 1, batch.Count())
			}
			in := batch.Records(1 << 20)
			for in.Next() {
				read = append(read, string(in.Record().Value))
			}
			require.NoError(t, in.Err())
			in.Close()
			records = rest
		}
	}
	require.Equal(t, lines, read)
}
