package cli_test

import (
	"path/filepath"
	"testing"

	"os"

	"github.com/stretchr/testify/require"

	"gregor/pkg/testkit"
)

// TestDeletionByHand is what the courses teach for a cluster that does not
// delete topics: with the broker running, then stopped, then started again.
func TestDeletionByHand(t *testing.T) {
	zooKeeper, dir := testkit.ZooKeeper(t), t.TempDir()
	settings := map[string]string{"delete.topic.enable": "false", "log.dirs": dir}
	b := testkit.StartBroker(t, zooKeeper, settings)
	play := func(name string) {
		testkit.RunTranscript(t, filepath.Join("testdata/walkthrough/deletion", name), inProcess, "ZOOKEEPER", zooKeeper, "BROKER", b.Address, "DATA", dir)
	}
	play("1-disabled.txt")
	require.Contains(t, b.Log.String(), "INFO [Controller id=0] Removing Set(gone) since delete topic is disabled (kafka.controller.KafkaController)")
	b.Stop()
	play("2-stopped.txt")
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "gone-0")))
	b = testkit.StartBroker(t, zooKeeper, settings)
	require.NoDirExists(t, filepath.Join(dir, "gone-0"))
	play("3-again.txt")
}
