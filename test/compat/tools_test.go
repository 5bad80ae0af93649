//go:build compat

package compat

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// frames are the lines of a stack trace, which our tools do not print.
var frames = regexp.MustCompile(`(?m)^\t(at |\.\.\. ).*\n`)

// untold is what a tool of ours adds to an exception that Java leaves without a
// text.
var untold = strings.NewReplacer("java.util.NoSuchElementException: there is no batch", "java.util.NoSuchElementException\nthere is no batch")

// sameAsJava runs a tool of ours and the class of Apache Kafka on the same
// arguments and holds output and status against each other.
func sameAsJava(t *testing.T, dir, name, class string, args ...string) {
	t.Helper()
	java := run(t, command{Path: "java", Args: javaArgs(t, kafka28, "128m", log4j(t, "WARN", "System.err"), class, args), Dir: dir})
	got := run(t, command{Path: filepath.Join(home(), "bin", name), Args: args, Dir: dir})
	require.Equal(t, java.Stdout, got.Stdout)
	stderr := untold.Replace(got.Stderr)
	if i := strings.Index(stderr, "\nthere is no batch"); i >= 0 {
		stderr = stderr[:i+1]
	}
	require.Equal(t, frames.ReplaceAllString(java.Stderr, ""), stderr)
	require.Equal(t, java.Status, got.Status)
}

// Files of a Java broker in all formats, and what was broken of them.
func TestDumpLogShowsWhatJavaShows(t *testing.T) {
	dir := filepath.Join(home(), "pkg", "cli", "testdata", "dumplog")
	text, err := os.ReadFile(filepath.Join(dir, "lines"))
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	require.Greater(t, len(lines), 30)
	// Java makes files that it misses; it gets a copy.
	clone := t.TempDir()
	require.NoError(t, os.CopyFS(clone, os.DirFS(dir)))
	for _, line := range lines {
		t.Run(line, func(t *testing.T) {
			sameAsJava(t, clone, "kafka-dump-log.sh", "kafka.tools.DumpLogSegments", strings.Fields(line)...)
		})
	}
}

// What a broker of ours wrote: every file of every partition, while it runs
// and after it has stopped.
func TestDumpLogOfOurFiles(t *testing.T) {
	zk := zooKeeper(t, gregor, t.TempDir(), 0)
	b := broker(t, gregor, 0, zk.Address, t.TempDir(), map[string]string{"log.segment.bytes": "2000", "log.index.interval.bytes": "100",
		"offsets.topic.num.partitions": "1"})
	for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		r := script(t, strings.Repeat("a key,a value\nanother,and its value\n", 10), "kafka-console-producer.sh", "--bootstrap-server", b.Address,
			"--topic", "dumped", "--compression-codec", codec, "--property", "parse.key=true", "--property", "key.separator=,")
		require.Zero(t, r.Status, r.Stderr)
	}
	r := script(t, "", "kafka-console-consumer.sh", "--bootstrap-server", b.Address, "--topic", "dumped", "--group", "readers", "--from-beginning", "--max-messages", "100")
	require.Zero(t, r.Status, r.Stderr)
	dump := func(pattern string, args ...string) {
		paths, err := filepath.Glob(filepath.Join(b.Dir, pattern))
		require.NoError(t, err)
		require.NotEmpty(t, paths, pattern)
		sameAsJava(t, "", "kafka-dump-log.sh", "kafka.tools.DumpLogSegments", append([]string{"--files", strings.Join(paths, ",")}, args...)...)
	}
	dump("dumped-0/*.log", "--print-data-log")
	require.Equal(t, 143, b.stop(), "TERM")
	dump("dumped-0/*.log", "--print-data-log")
	dump("dumped-0/*.index")
	dump("dumped-0/*.timeindex")
	dump("dumped-0/*.snapshot")
	dump("__consumer_offsets-0/*.log", "--offsets-decoder")
}

// Enough partitions for the order of the answer to matter.
func TestLogDirsShowsWhatJavaShows(t *testing.T) {
	zk := zooKeeper(t, gregor, t.TempDir(), 0)
	b := broker(t, gregor, 0, zk.Address, t.TempDir(), nil)
	for _, topic := range []string{"one", "another", "third"} {
		r := script(t, "", "kafka-topics.sh", "--bootstrap-server", b.Address, "--create", "--topic", topic, "--partitions", "7")
		require.Zero(t, r.Status, r.Stderr)
	}
	r := script(t, "a\nb\n", "kafka-console-producer.sh", "--bootstrap-server", b.Address, "--topic", "third")
	require.Zero(t, r.Status, r.Stderr)
	for _, args := range []string{"--describe", "--describe --topic-list third,nothere", "--describe --broker-list 0 --topic-list ,another,",
		"--describe --broker-list 0,,0,", "--describe --broker-list x", "--describe --broker-list ,"} {
		t.Run(args, func(t *testing.T) {
			sameAsJava(t, "", "kafka-log-dirs.sh", "kafka.admin.LogDirsCommand", append(strings.Fields(args), "--bootstrap-server", b.Address)...)
		})
	}
}
