package cli

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/kerr"
)

func TestDeleteRecordsOptions(t *testing.T) {
	usage := func(sentence string) string { return "2> " + sentence + "\n2> <usage>\n(exit 1)\n" }
	sentence := "Deletes records of partitions below given offsets."
	for line, want := range map[string]string{
		"":                     usage(sentence),
		"--help":               usage(sentence),
		"--version":            "2.8.2 (Commit:3146c6ff4a24cc24)\n",
		"--bootstrap-server b": usage(`Missing required argument "[offset-json-file]"`),
		"--offset-json-file f": usage(`Missing required argument "[bootstrap-server]"`),
		"--offsets f":          "2> Exception in thread \"main\" joptsimple.UnrecognizedOptionException: offsets is not a recognized option\n(exit 1)\n",
		"--bootstrap-server localhost:1 --offset-json-file /nowhere/f": "2> Exception in thread \"main\" java.io.IOException: Unable to read file /nowhere/f\n" +
			"2> Caused by: java.nio.file.NoSuchFileException: /nowhere/f\n(exit 1)\n",
	} {
		t.Run(line, func(t *testing.T) {
			require.Equal(t, want, withoutHelp(transcript("kafka-delete-records "+line)))
		})
	}
	_, help, status := invoke("", "kafka-delete-records", "--help")
	require.Equal(t, 1, status)
	compareGolden(t, "kafka-delete-records_help.txt", help)
	require.Equal(t, transcript("kafka-delete-records"), transcript("kafka.admin.DeleteRecordsCommand"))
}

func TestDeleteRecordsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "offsets.json")
	for content, want := range map[string]string{
		`{`:                 "kafka.admin.AdminOperationException: The input string is not a valid JSON",
		`[]`:                "com.fasterxml.jackson.databind.JsonMappingException: Expected JSON object, received []",
		`{"version":2}`:     "kafka.admin.AdminOperationException: Not supported version field value 2",
		`{"version":"1"}`:   "com.fasterxml.jackson.databind.JsonMappingException: Expected `Int` value, received \"1\"",
		`{}`:                "kafka.admin.AdminOperationException: Missing partitions field",
		`{"partitions":{}}`: "com.fasterxml.jackson.databind.JsonMappingException: Expected JSON array, received {}",
		`{"partitions":[{"topic":"t","partition":0}]}`:                "com.fasterxml.jackson.databind.JsonMappingException: No such field exists: `offset`",
		`{"partitions":[{"topic":"t","partition":0,"offset":"3"}]}`:   "com.fasterxml.jackson.databind.JsonMappingException: Expected `Long` value, received \"3\"",
		`{"partitions":[{"topic":"t","partition":1.5,"offset":"3"}]}`: "com.fasterxml.jackson.databind.JsonMappingException: Expected `Int` value, received 1.5",
		`{"partitions":[{"topic":7}]}`:                                "com.fasterxml.jackson.databind.JsonMappingException: Expected `String` value, received 7",
		`{"version":1,"partitions":[{"topic":"t","partition":0,"offset":1},{"topic":"u","partition":0,"offset":1},{"topic":"t","partition":0,"offset":2}]}`: "kafka.common.AdminCommandFailedException: Offset json file contains duplicate topic partitions: t-0",
	} {
		require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
		require.Equal(t, "2> Exception in thread \"main\" "+want+"\n(exit 1)\n", transcript("kafka-delete-records --bootstrap-server localhost:1 --offset-json-file "+path))
	}
}

func TestDeleteRecords(t *testing.T) {
	b := newWireBroker(t)
	gone := wireTopic("gone")
	gone.ErrorCode = kerr.UnknownTopicOrPartition.Code
	b.topics = append(b.topics, wireTopic("t", "0 0 0", "0 0 0", "-1 0 0"), wireTopic("u", "0 0 0"), gone)
	b.answers[21] = func(req kmsg.Request) kmsg.Response {
		resp := kmsg.NewPtrDeleteRecordsResponse()
		for _, t := range req.(*kmsg.DeleteRecordsRequest).Topics {
			topic := kmsg.NewDeleteRecordsResponseTopic()
			topic.Topic = t.Topic
			for _, p := range t.Partitions {
				done := kmsg.NewDeleteRecordsResponseTopicPartition()
				done.Partition, done.LowWatermark = p.Partition, p.Offset
				if p.Offset > 100 {
					done.LowWatermark, done.ErrorCode = -1, kerr.OffsetOutOfRange.Code
				}
				topic.Partitions = append(topic.Partitions, done)
			}
			resp.Topics = append(resp.Topics, topic)
		}
		return resp
	}
	path := filepath.Join(t.TempDir(), "offsets.json")
	run := func(partitions string) string {
		require.NoError(t, os.WriteFile(path, []byte(`{"partitions":[`+partitions+`],"version":1}`), 0o644))
		return b.run("kafka-delete-records --bootstrap-server BROKER --offset-json-file " + path)
	}
	const head = "Executing records delete operation\nRecords delete operation completed:\n"
	require.Equal(t, head, run(""))
	require.Empty(t, b.asked(21), "nothing to ask for")
	const errors = "\terror: org.apache.kafka.common.errors."
	require.Equal(t, head+
		"partition: gone-0"+errors+"UnknownTopicOrPartitionException: This server does not host this topic-partition.\n"+
		"partition: t-2"+errors+"LeaderNotAvailableException: There is no leader for this topic-partition as we are in the middle of a leadership election.\n"+
		"partition: t-1"+errors+"OffsetOutOfRangeException: The requested offset is not within the range of offsets maintained by the server.\n"+
		"partition: t-0\tlow_watermark: 3\n"+
		"partition: u-0\tlow_watermark: -1\n",
		run(`{"topic":"t","partition":0,"offset":3},{"topic":"t","partition":1,"offset":101},{"topic":"t","partition":2,"offset":0},`+
			`{"topic":"u","partition":0,"offset":-1},{"topic":"gone","partition":0,"offset":0}`))
	require.Len(t, b.asked(21), 1, "one request for each leader")
	require.Equal(t, int32(30000), b.asked(21)[0].(*kmsg.DeleteRecordsRequest).TimeoutMillis)
	for _, req := range b.asked(3) {
		require.False(t, req.(*kmsg.MetadataRequest).AllowAutoTopicCreation)
	}
}
