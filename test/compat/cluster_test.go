//go:build compat

package compat

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gregor/pkg/model"
	"gregor/pkg/testkit"
	"gregor/pkg/zkstore"
)

// The classes of Java's tools for clusters; 3.9 has moved some.
func clusterTools(v kind) (reassign, election, verification string) {
	if v == kafka39 {
		return "org.apache.kafka.tools.reassign.ReassignPartitionsCommand", "org.apache.kafka.tools.LeaderElectionCommand", ""
	}
	return "kafka.admin.ReassignPartitionsCommand", "kafka.admin.LeaderElectionCommand", "kafka.tools.ReplicaVerificationTool"
}

// Java's tools of a cluster against three brokers of ours.
func TestJavaClusterToolsAgainstOurs(t *testing.T) {
	for _, v := range []kind{kafka28, kafka39} {
		t.Run(string(v), func(t *testing.T) {
			m := startMixed(t, map[string]string{"offsets.topic.replication.factor": "3"}, gregor, gregor, gregor)
			reassign, election, verification := clusterTools(v)
			tool := func(class string, args ...string) string {
				t.Helper()
				got := java(t, v, "", class, append([]string{"--bootstrap-server", m.seeds()}, args...)...)
				require.Zero(t, got.Status, "%s: %s%s", class, got.Stdout, got.Stderr)
				return got.Stdout
			}
			tool(topicCommand(v), "--create", "--topic", "t", "--replica-assignment", "0:1,1:2", "--config", "min.insync.replicas=2")
			m.awaitISR("t", 2)
			require.Regexp(t, `Topic: t.*PartitionCount: 2\s+ReplicationFactor: 2`, tool(topicCommand(v), "--describe", "--topic", "t"))

			// Producer and consumer that check what they do; without these
			// settings the producer tries nothing twice.
			settings := filepath.Join(t.TempDir(), "producer.properties")
			require.NoError(t, os.WriteFile(settings, []byte("retries=2147483647\nenable.idempotence=true\nmax.in.flight.requests.per.connection=5\n"), 0o644))
			producer := start(t, "verifiable-producer", command{Path: "java", Args: javaArgs(t, v, "256m", log4j(t, "WARN", "System.err"),
				"org.apache.kafka.tools.VerifiableProducer", []string{bootstrapOption(v), m.seeds(), "--topic", "t", "--acks", "-1", "--throughput", "200", "--max-messages", "4000", "--producer.config", settings})})

			// Another place for each partition, while that goes on.
			plan := filepath.Join(t.TempDir(), "plan.json")
			text := `{"version":1,"partitions":[{"topic":"t","partition":0,"replicas":[2,0]},{"topic":"t","partition":1,"replicas":[0,1]}]}`
			require.NoError(t, os.WriteFile(plan, []byte(text), 0o644))
			eventually(t, time.Minute, "it produces", func() bool { return strings.Count(producer.output(), "producer_send_success") > 200 })
			require.Contains(t, tool(reassign, "--reassignment-json-file", plan, "--execute", "--throttle", "10000000"), "Successfully started partition reassignments for t-0,t-1")
			eventually(t, time.Minute, "the reassignment is complete", func() bool {
				out := tool(reassign, "--reassignment-json-file", plan, "--verify")
				return strings.Contains(out, "Reassignment of partition t-0 is complete") && strings.Contains(out, "Reassignment of partition t-1 is complete")
			})
			require.Contains(t, tool(reassign, "--list"), "No partition reassignments found.")
			m.awaitStates("t", "the replicas are new", func(p int32, s zkstore.PartitionState) bool {
				return len(s.ISR) == 2 && s.Leader >= 0 && !slices.Contains(s.ISR, []model.BrokerID{1, 2}[p])
			})

			// A broker is killed and comes back; preferred leaders are elected.
			m.nodes[0].Kill()
			m.awaitStates("t", "0 is out", func(_ int32, s zkstore.PartitionState) bool { return s.Leader > 0 && len(s.ISR) == 1 })
			require.Contains(t, tool(topicCommand(v), "--describe", "--under-replicated-partitions"), "Topic: t")
			require.Contains(t, tool(topicCommand(v), "--describe", "--under-min-isr-partitions"), "Topic: t")
			m.nodes[0].Restart()
			m.awaitISR("t", 2)
			tool(election, "--election-type", "preferred", "--all-topic-partitions")
			m.awaitStates("t", "the preferred lead", func(p int32, s zkstore.PartitionState) bool { return s.Leader == []model.BrokerID{2, 0}[p] })

			select {
			case <-producer.done:
			case <-time.After(time.Minute):
				t.Fatal("the producer does not end")
			}
			acked := regexp.MustCompile(`"acked":(\d+)`).FindStringSubmatch(producer.output())
			require.NotNil(t, acked, producer.tail())
			require.Equal(t, "4000", acked[1], "with acks=all everything is acknowledged in the end")
			consumed := java(t, v, "", "org.apache.kafka.tools.VerifiableConsumer", bootstrapOption(v), m.seeds(), "--topic", "t", "--group-id", "verifiable", "--max-messages", "4000", "--reset-policy", "earliest")
			require.Zero(t, consumed.Status, consumed.Stderr)
			require.Equal(t, 4000, consumedBy(t, consumed.Stdout))

			// All replicas of a partition are compared from outside. 3.9.1's
			// tool asks with a version that no broker of 2.8 has.
			if verification != "" {
				verify := start(t, "verification", command{Path: "java", Args: javaArgs(t, v, "256m", log4j(t, "WARN", "System.err"), verification,
					[]string{"--broker-list", m.seeds(), "--topic-white-list", "t", "--report-interval-ms", "500"})})
				verify.await("max lag is 0 for partition t-")
				verify.kill()
			}
			for p, at := range [][]int{{2, 0}, {0, 1}} {
				tp := model.TopicPartition{Topic: "t", Partition: int32(p)}
				one := testkit.LogBytes(t, m.nodes[at[0]].LogDir(), tp)
				require.NotEmpty(t, one)
				require.Equal(t, one, testkit.LogBytes(t, m.nodes[at[1]].LogDir(), tp))
				require.Empty(t, testkit.CheckLogBytes(one))
			}
			tool(topicCommand(v), "--delete", "--topic", "t")
			eventually(t, 20*time.Second, "the topic is gone", func() bool {
				_, found, err := m.store.TopicAssignment(t.Context(), "t")
				return err == nil && !found
			})
		})
	}
}

// bootstrapOption is how the verifiable clients are told where the brokers
// are.
func bootstrapOption(v kind) string {
	if v == kafka39 {
		return "--bootstrap-server"
	}
	return "--broker-list"
}

// consumedBy adds what a verifiable consumer says it has consumed.
func consumedBy(t *testing.T, output string) int {
	t.Helper()
	sum := 0
	for _, m := range regexp.MustCompile(`"name":"records_consumed","count":(\d+)`).FindAllStringSubmatch(output, -1) {
		n, err := strconv.Atoi(m[1])
		require.NoError(t, err)
		sum += n
	}
	return sum
}
