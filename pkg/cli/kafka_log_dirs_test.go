package cli

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/kerr"
)

func TestLogDirsOptions(t *testing.T) {
	usage := func(sentence string) string { return "2> " + sentence + "\n2> <usage>\n(exit 1)\n" }
	sentence := "Shows how much of their log directories brokers use."
	for line, want := range map[string]string{
		"":                     usage(sentence),
		"--help":               usage(sentence),
		"--version":            "2.8.2 (Commit:3146c6ff4a24cc24)\n",
		"--describe":           usage(`Missing required argument "[bootstrap-server]"`),
		"--bootstrap-server b": usage(`Missing required argument "[describe]"`),
		"--list":               "2> Exception in thread \"main\" joptsimple.UnrecognizedOptionException: list is not a recognized option\n(exit 1)\n",
		"--describe --bootstrap-server localhost:1 --broker-list 1,x": "2> Exception in thread \"main\" java.lang.NumberFormatException: For input string: \"x\"\n(exit 1)\n",
		"--describe --bootstrap-server a:1 --bootstrap-server b:1": "2> Exception in thread \"main\" joptsimple.MultipleArgumentsForOptionException: " +
			"Found multiple arguments for option bootstrap-server, but you asked for only one\n(exit 1)\n",
	} {
		t.Run(line, func(t *testing.T) {
			require.Equal(t, want, withoutHelp(transcript("kafka-log-dirs "+line)))
		})
	}
	_, help, status := invoke("", "kafka-log-dirs", "--help")
	require.Equal(t, 1, status)
	compareGolden(t, "kafka-log-dirs_help.txt", help)
	require.Equal(t, transcript("kafka-log-dirs"), transcript("kafka.admin.LogDirsCommand"))
}

func TestLogDirs(t *testing.T) {
	b := newWireBroker(t)
	b.id = 3
	resp := kmsg.NewPtrDescribeLogDirsResponse()
	healthy, failed := kmsg.NewDescribeLogDirsResponseDir(), kmsg.NewDescribeLogDirsResponseDir()
	healthy.Dir, failed.Dir, failed.ErrorCode = "/data/a", "/data/b", kerr.KafkaStorageError.Code
	for _, name := range []string{"t", "<u>"} {
		topic := kmsg.NewDescribeLogDirsResponseDirTopic()
		topic.Topic = name
		for n := range int32(2) {
			p := kmsg.NewDescribeLogDirsResponseDirTopicPartition()
			p.Partition, p.Size, p.OffsetLag, p.IsFuture = n, 1<<33, int64(n), n == 1
			topic.Partitions = append(topic.Partitions, p)
		}
		healthy.Topics = append(healthy.Topics, topic)
	}
	resp.Dirs = append(resp.Dirs, healthy, failed)
	b.answers[35] = func(kmsg.Request) kmsg.Response { return resp }

	const head = "Querying brokers for log directories information\nReceived log directory information from brokers 3\n"
	one := func(name, number, lag, future string) string {
		return `{"partition":"` + name + `-` + number + `","size":8589934592,"offsetLag":` + lag + `,"isFuture":` + future + `}`
	}
	const start = `{"version":1,"brokers":[{"broker":3,"logDirs":[{"logDir":"/data/a","error":null,"partitions":[`
	const end = `]},{"logDir":"/data/b","error":"org.apache.kafka.common.errors.KafkaStorageException","partitions":[]}]}]}` + "\n"
	tool := "kafka-log-dirs --describe --bootstrap-server BROKER"
	t0, t1 := one("t", "0", "0", "false"), one("t", "1", "1", "true")
	require.Equal(t, head+start+t1+","+t0+end, b.run(tool+" --topic-list t"), "in the order of a Java HashMap")
	require.Equal(t, head+start+end, b.run(tool+" --topic-list nothere --broker-list 3"))
	all := b.run(tool)
	require.Contains(t, all, one("<u>", "0", "0", "false"))
	require.Contains(t, all, t1)
	require.Equal(t, "Querying brokers for log directories information\nReceived log directory information from brokers \n"+
		`{"version":1,"brokers":[]}`+"\n", b.run(tool+" --broker-list ,"))
	for _, req := range b.asked(35) {
		require.Nil(t, req.(*kmsg.DescribeLogDirsRequest).Topics, "all topics are asked for")
	}

	resp.Dirs = nil
	require.Equal(t, "Querying brokers for log directories information\n2> Exception in thread \"main\" java.util.concurrent.ExecutionException: "+
		"org.apache.kafka.common.errors.ClusterAuthorizationException: Cluster authorization failed.\n"+
		"2> Caused by: org.apache.kafka.common.errors.ClusterAuthorizationException: Cluster authorization failed.\n(exit 1)\n", b.run(tool))
}
