//go:build compat

package compat

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Records are deleted by our tool and Java's, with the same words; then a
// Java broker finds the log as far as it is left.
func TestDeleteRecordsAsJavaDoes(t *testing.T) {
	zk, dir := zooKeeper(t, gregor, t.TempDir(), 0), t.TempDir()
	b := broker(t, gregor, 0, zk.Address, dir, nil)
	for _, topic := range []string{"one --partitions 7", "two", "kept --config cleanup.policy=compact"} {
		r := script(t, "", "kafka-topics.sh", append([]string{"--bootstrap-server", b.Address, "--create", "--topic"}, strings.Fields(topic)...)...)
		require.Zero(t, r.Status, r.Stderr)
	}
	r := script(t, "a\nb\nc\nd\n", "kafka-console-producer.sh", "--bootstrap-server", b.Address, "--topic", "two")
	require.Zero(t, r.Status, r.Stderr)
	files := map[string]string{
		"empty file":  "",
		"no JSON":     "{",
		"empty list":  `{"partitions":[],"version":1}`,
		"old version": `{"partitions":[],"version":0}`,
		"text":        `"text"`,
		"null":        `{"partitions":null}`,
		"float":       `{"partitions":[{"topic":"two","partition":0,"offset":1.0}]}`,
		"huge":        `{"partitions":[{"topic":"two","partition":0,"offset":99999999999999999999}]}`,
		"no topic":    `{"partitions":[{"partition":0,"offset":1}]}`,
		"twice": `{"partitions":[{"topic":"two","partition":0,"offset":1},{"topic":"one","partition":3,"offset":1},{"topic":"one","partition":1,"offset":1},
			{"topic":"two","partition":0,"offset":2},{"topic":"one","partition":3,"offset":1}]}`,
		"some": `{"partitions":[{"topic":"two","partition":0,"offset":2}]}`,
		"many": `{"version":1,"partitions":[{"topic":"one","partition":0,"offset":0},{"topic":"one","partition":1,"offset":1},{"topic":"one","partition":2,"offset":-1},
			{"topic":"one","partition":3,"offset":-2},{"topic":"one","partition":4,"offset":0},{"topic":"one","partition":99,"offset":0},
			{"topic":"two","partition":0,"offset":3},{"topic":"kept","partition":0,"offset":0},{"topic":"nowhere","partition":0,"offset":0}]}`,
	}
	at := t.TempDir()
	for name, content := range files {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, os.WriteFile(filepath.Join(at, "offsets"), []byte(content), 0o644))
			sameAsJava(t, at, "kafka-delete-records.sh", "kafka.admin.DeleteRecordsCommand", "--bootstrap-server", b.Address, "--offset-json-file", "offsets")
		})
	}
	require.Equal(t, 143, b.stop(), "TERM")
	text, err := os.ReadFile(filepath.Join(dir, "log-start-offset-checkpoint"))
	require.NoError(t, err)
	require.Equal(t, "0\n1\ntwo 0 3\n", string(text))
	b = broker(t, kafka28, 0, zk.Address, dir, nil)
	r = script(t, "", "kafka-console-consumer.sh", "--bootstrap-server", b.Address, "--topic", "two", "--from-beginning", "--max-messages", "1")
	require.Equal(t, "d\n", r.Stdout, r.Stderr)
}
