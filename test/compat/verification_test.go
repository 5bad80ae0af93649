//go:build compat

package compat

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Our kafka-replica-verification and Java's say the same of replicas that lie
// on a broker of ours and one of Java's.
func TestReplicaVerification(t *testing.T) {
	zk := zooKeeper(t, gregor, t.TempDir(), 0)
	ours, theirs := broker(t, gregor, 0, zk.Address, t.TempDir(), nil), broker(t, kafka28, 1, zk.Address, t.TempDir(), nil)
	for _, topic := range []string{"first", "second"} {
		r := script(t, "", "kafka-topics.sh", "--zookeeper", zk.Address, "--create", "--topic", topic, "--partitions", "3", "--replication-factor", "2")
		require.Zero(t, r.Status, r.Stderr)
	}
	for i, codec := range []string{"none", "gzip", "lz4"} {
		r := script(t, strings.Repeat(fmt.Sprintf("line %d\n", i), 500), "kafka-console-producer.sh", "--bootstrap-server", theirs.Address, "--topic", "first", "--compression-codec", codec)
		require.Zero(t, r.Status, r.Stderr)
	}
	clock := regexp.MustCompile(`(?m)^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}: `)
	// verify runs a tool until it has told, after others maybe, what it must.
	verify := func(c command, want string) {
		t.Helper()
		p := start(t, "verification", c)
		eventually(t, time.Minute, want, func() bool {
			return slices.Contains(strings.Split(clock.ReplaceAllString(p.output(), ""), "\n"), want)
		})
		require.Equal(t, 143, p.stop(), "TERM")
		lines := strings.Split(strings.TrimSpace(clock.ReplaceAllString(p.output(), "")), "\n")
		require.Equal(t, "verification process is started.", lines[0])
		for _, line := range lines[1:] {
			require.Regexp(t, `^max lag is \d+ for partition first-[0-2] at offset \d+ among 3 partitions$`, line)
		}
	}
	for _, b := range []*server{ours, theirs} {
		for at, want := range map[string]string{"-2": "max lag is 0 for partition first-2 at offset ", "-1": "max lag is 0 for partition first-2 at offset "} {
			args := []string{"--broker-list", b.Address, "--topic-white-list", "first", "--time", at, "--max-wait-ms", "100", "--report-interval-ms", "100"}
			original := command{Path: "java", Args: javaArgs(t, kafka28, "256m", log4j(t, "WARN", "System.err"), "kafka.tools.ReplicaVerificationTool", args)}
			offset := start(t, "java", original)
			var told string
			eventually(t, time.Minute, "Java's tool tells", func() bool {
				for line := range strings.SplitSeq(clock.ReplaceAllString(offset.output(), ""), "\n") {
					if strings.HasPrefix(line, want) && strings.HasSuffix(line, " partitions") {
						told = line
					}
				}
				return told != ""
			})
			offset.kill()
			verify(command{Path: filepath.Join(home(), "bin", "kafka-replica-verification.sh"), Args: args}, told)
		}
	}
	sameAsJava(t, "", "kafka-replica-verification.sh", "kafka.tools.ReplicaVerificationTool", "--broker-list", ours.Address, "--topic-white-list", "(")
	nothing := []string{"--broker-list", ours.Address, "--topic-white-list", "nothere"}
	want, got := java(t, kafka28, "", "kafka.tools.ReplicaVerificationTool", nothing...), script(t, "", "kafka-replica-verification.sh", nothing...)
	require.Equal(t, want.Status, got.Status)
	logged := regexp.MustCompile(`\[.*?\]`)
	require.Equal(t, logged.ReplaceAllString(want.Stderr, ""), logged.ReplaceAllString(got.Stderr, ""))
}
