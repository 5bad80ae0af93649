package cli

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gregor/pkg/logging"
)

// silentPeer accepts connections and never answers.
func silentPeer(t *testing.T) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer conn.Close()
				_, _ = io.Copy(io.Discard, conn) // ends when the tool does
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		serving.Wait()
	})
	return listener.Addr().String()
}

// TestToolsGiveUpOnASilentPeer holds that every tool ends by its time-outs when
// a broker takes the connection and says nothing, and what it says then.
func TestToolsGiveUpOnASilentPeer(t *testing.T) {
	peer := silentPeer(t)
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
		return path
	}
	properties := file("properties", "default.api.timeout.ms=400\nrequest.timeout.ms=150\nretry.backoff.ms=10\n")
	move := file("move", `{"version":1,"partitions":[{"topic":"t","partition":0,"replicas":[0]}]}`)
	topics := file("topics", `{"version":1,"topics":[{"topic":"t"}]}`)
	records := file("records", `{"version":1,"partitions":[{"topic":"t","partition":0,"offset":3}]}`)
	for name, tool := range map[string]struct {
		args []string
		says string
	}{
		"topics list":      {[]string{"kafka-topics", "--list"}, "Call(callName=listTopics, "},
		"topics create":    {[]string{"kafka-topics", "--create", "--topic", "t"}, "Call(callName=createTopics, "},
		"topics delete":    {[]string{"kafka-topics", "--delete", "--topic", "t"}, "Call(callName=listTopics, "},
		"configs describe": {[]string{"kafka-configs", "--describe", "--topic", "t"}, "Call(callName=describeConfigs, "},
		"groups list":      {[]string{"kafka-consumer-groups", "--list", "--timeout", "400"}, "Failed to find brokers to send ListGroups"},
		"groups describe":  {[]string{"kafka-consumer-groups", "--describe", "--group", "g", "--timeout", "400"}, "timed out at"},
		"log dirs":         {[]string{"kafka-log-dirs", "--describe"}, "Call(callName=listNodes, "},
		"delete records":   {[]string{"kafka-delete-records", "--offset-json-file", records}, "TimeoutException"},
		"api versions":     {[]string{"kafka-broker-api-versions"}, "Request METADATA failed on brokers List("},
		"reassign list":    {[]string{"kafka-reassign-partitions", "--list"}, "Call(callName=listPartitionReassignments, "},
		"reassign verify":  {[]string{"kafka-reassign-partitions", "--verify", "--reassignment-json-file", move}, "Call(callName=listPartitionReassignments, "},
		"reassign execute": {[]string{"kafka-reassign-partitions", "--execute", "--reassignment-json-file", move}, "Call(callName=listPartitionReassignments, "},
		"reassign generate": {[]string{"kafka-reassign-partitions", "--generate", "--topics-to-move-json-file", topics, "--broker-list", "0"},
			"Call(callName=describeTopics, "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			begun := time.Now()
			stdout, stderr, _ := invoke("", append(tool.args, "--bootstrap-server", peer, "--command-config", properties)...)
			require.Contains(t, stdout+stderr, tool.says)
			require.Less(t, time.Since(begun), 10*time.Second)
		})
	}
}

// The tools of elections have time-outs of their own, whatever the file says.
func TestElectionsHaveTheirOwnTimeouts(t *testing.T) {
	file := filepath.Join(t.TempDir(), "properties")
	require.NoError(t, os.WriteFile(file, []byte("default.api.timeout.ms=3\nrequest.timeout.ms=900000\nretry.backoff.ms=7\n"), 0o644))
	client, err := electionClient(context.Background(), logging.Discard(), "127.0.0.1:1", file, 30*time.Second)
	require.NoError(t, err)
	require.Equal(t, 30*time.Second, client.settings.apiTimeout)
	require.Equal(t, 15*time.Second, client.settings.requestTimeout)
	require.Equal(t, 7*time.Millisecond, client.settings.retryBackoff)
}
