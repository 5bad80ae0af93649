package cli

import (
	"context"
	"fmt"
)

// classes are the Java classes that users start by kafka-run-class.sh, and
// the commands that stand for them. The start scripts use the names of the
// servers too, so that `ps` shows what people grep for.
var classes = map[string]string{
	"kafka.Kafka": "kafka-server-start",
	"org.apache.zookeeper.server.quorum.QuorumPeerMain":        "zookeeper-server-start",
	"kafka.admin.LogDirsCommand":                               "kafka-log-dirs",
	"kafka.admin.DeleteRecordsCommand":                         "kafka-delete-records",
	"kafka.tools.ReplicaVerificationTool":                      "kafka-replica-verification",
	"kafka.admin.TopicCommand":                                 "kafka-topics",
	"kafka.admin.ConfigCommand":                                "kafka-configs",
	"kafka.admin.ConsumerGroupCommand":                         "kafka-consumer-groups",
	"kafka.admin.LeaderElectionCommand":                        "kafka-leader-election",
	"kafka.admin.PreferredReplicaLeaderElectionCommand":        "kafka-preferred-replica-election",
	"kafka.admin.BrokerApiVersionsCommand":                     "kafka-broker-api-versions",
	"org.apache.kafka.tools.ProducerPerformance":               "kafka-producer-perf-test",
	"kafka.admin.ReassignPartitionsCommand":                    "kafka-reassign-partitions",
	"org.apache.kafka.tools.VerifiableProducer":                "kafka-verifiable-producer",
	"org.apache.kafka.tools.VerifiableConsumer":                "kafka-verifiable-consumer",
	"kafka.tools.ConsumerPerformance":                          "kafka-consumer-perf-test",
	"kafka.tools.ConsoleProducer":                              "kafka-console-producer",
	"kafka.tools.ConsoleConsumer":                              "kafka-console-consumer",
	"kafka.tools.DumpLogSegments":                              "kafka-dump-log",
	"kafka.tools.GetOffsetShell":                               "get-offset-shell",
	"org.apache.zookeeper.ZooKeeperMainWithTlsSupportForKafka": "zookeeper-main",
	"org.apache.zookeeper.ZooKeeperMain":                       "zookeeper-main",
}

var _ = register("kafka-run-class", runClass)

// runClass is kafka-run-class.sh behind its own options, which the script
// takes: a class name, then the arguments of the class.
func runClass(ctx context.Context, env *Env, args []string) int {
	if len(args) == 0 {
		fmt.Fprintf(env.Stdout, "USAGE: %s [-daemon] [-name servicename] [-loggc] classname [opts]\n", env.Program)
		return 1
	}
	c, ok := byClass(args[0])
	if !ok {
		fmt.Fprintf(env.Stderr, "Error: Could not find or load main class %[1]s\nCaused by: java.lang.ClassNotFoundException: %[1]s\n", args[0])
		return 1
	}
	return c(ctx, env, args[1:])
}

// byClass finds the command of a Java class.
func byClass(class string) (Command, bool) {
	name, ok := classes[class]
	if !ok {
		return nil, false
	}
	c, ok := commands[name]
	return c, ok
}
