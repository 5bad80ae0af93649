package cli

import (
	"context"
	"net"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/compress"
	"gregor/pkg/kerr"
	"gregor/pkg/record"
)

func TestReplicaVerificationOptions(t *testing.T) {
	usage := func(sentence string) string { return "2> " + sentence + "\n2> <usage>\n(exit 1)\n" }
	sentence := "Compares the replicas of partitions record batch by record batch."
	for line, want := range map[string]string{
		"":                                       usage(sentence),
		"--help":                                 usage(sentence),
		"--version":                              "2.8.2 (Commit:3146c6ff4a24cc24)\n",
		"--time -1":                              usage(`Missing required argument "[broker-list]"`),
		"--broker-list localhost":                "2> Please provide valid host:port like host1:9091,host2:9092\n2>  \n2> <usage>\n(exit 1)\n",
		"--broker-list a:1 --time":               "2> Exception in thread \"main\" joptsimple.OptionMissingRequiredArgumentException: Option time requires an argument\n(exit 1)\n",
		"--broker-list a:1 --topic-white-list (": "2> Exception in thread \"main\" java.lang.RuntimeException: ( is an invalid regex.\n(exit 1)\n",
		"--broker-list a:1 --bootstrap-server a:1":  "2> Exception in thread \"main\" joptsimple.UnrecognizedOptionException: bootstrap-server is not a recognized option\n(exit 1)\n",
		"--broker-list a:1 --fetch-size x --time y": "2> Exception in thread \"main\" joptsimple.OptionArgumentConversionException: Cannot parse argument 'x' of option fetch-size\n(exit 1)\n",
	} {
		t.Run(line, func(t *testing.T) {
			require.Equal(t, want, withoutHelp(transcript("kafka-replica-verification "+line)))
		})
	}
	_, help, status := invoke("", "kafka-replica-verification", "--help")
	require.Equal(t, 1, status)
	compareGolden(t, "kafka-replica-verification_help.txt", help)
	require.Equal(t, transcript("kafka-replica-verification"), transcript("kafka.tools.ReplicaVerificationTool"))
}

// replicas are two brokers with a replica of t-0 each: what a fetch from an
// offset gives them.
func replicas(t *testing.T, logs [2]map[int64][]byte, high [2]int64) *wireBroker {
	var brokers [2]*wireBroker
	for i := range brokers {
		brokers[i] = newWireBroker(t)
		brokers[i].id = int32(i)
	}
	metadata := kmsg.NewPtrMetadataResponse()
	for _, b := range brokers {
		host, port, err := net.SplitHostPort(b.addr)
		require.NoError(t, err)
		n, err := strconv.Atoi(port)
		require.NoError(t, err)
		node := kmsg.NewMetadataResponseBroker()
		node.NodeID, node.Host, node.Port = b.id, host, int32(n)
		metadata.Brokers = append(metadata.Brokers, node)
	}
	metadata.Topics = append(metadata.Topics, wireTopic("t", "1 1,0 1,0"))
	for i, b := range brokers {
		b.answers[3] = func(kmsg.Request) kmsg.Response { return metadata }
		b.answers[2] = func(req kmsg.Request) kmsg.Response {
			asked := req.(*kmsg.ListOffsetsRequest).Topics[0].Partitions[0]
			resp := kmsg.NewPtrListOffsetsResponse()
			p := kmsg.NewListOffsetsResponseTopicPartition()
			if i != 1 {
				p.ErrorCode = kerr.NotLeaderOrFollower.Code
			} else if p.Offset = 0; asked.Timestamp > 0 {
				p.Offset = -1
			}
			resp.Topics = []kmsg.ListOffsetsResponseTopic{{Topic: "t", Partitions: []kmsg.ListOffsetsResponseTopicPartition{p}}}
			return resp
		}
		b.answers[1] = func(req kmsg.Request) kmsg.Response {
			fetch := req.(*kmsg.FetchRequest)
			if fetch.ReplicaID != -2 {
				return nil
			}
			p := kmsg.NewFetchResponseTopicPartition()
			p.HighWatermark, p.RecordBatches = high[i], logs[i][fetch.Topics[0].Partitions[0].FetchOffset]
			resp := kmsg.NewPtrFetchResponse()
			resp.Topics = []kmsg.FetchResponseTopic{{Topic: "t", Partitions: []kmsg.FetchResponseTopicPartition{p}}}
			return resp
		}
	}
	return brokers[0]
}

// until runs a command line up to the first line with a text, or to its end.
func until(line, text string) string {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	w := &endingWriter{text: text, end: cancel}
	status := Run(ctx, &Env{Stdin: strings.NewReader(""), Stdout: w, Stderr: w, Getenv: func(string) string { return "" }}, shellWords(line))
	if status != 0 {
		return w.out.String() + "(exit " + strconv.Itoa(status) + ")\n"
	}
	return w.out.String()
}

// endingWriter calls end when a text is written, and takes nothing behind it.
type endingWriter struct {
	out  strings.Builder
	text string
	end  func()
}

func (w *endingWriter) Write(p []byte) (int, error) {
	if !strings.Contains(w.out.String(), w.text) {
		w.out.Write(p)
	}
	if strings.Contains(w.out.String(), w.text) {
		w.end()
	}
	return len(p), nil
}

func batchAt(offset int64, values ...string) []byte {
	b := record.NewBuilder(compress.None)
	for _, v := range values {
		b.Append(1, nil, []byte(v))
	}
	batch := b.MustBuild()
	batch.SetBaseOffset(offset)
	return batch
}

func TestReplicaVerification(t *testing.T) {
	same := append(batchAt(0, "a", "b"), batchAt(2, "c")...)
	clock := regexp.MustCompile(`(?m)^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}: `)
	checksum := func(b []byte) string { return strconv.FormatUint(uint64(record.Any(b).CRC()), 10) }
	for _, c := range []struct {
		name string
		logs [2]map[int64][]byte
		high [2]int64
		want string
	}{
		{"records that differ, then offsets",
			[2]map[int64][]byte{
				{0: same, 3: append(batchAt(3, "d"), batchAt(4, "one", "two")...)},
				{0: same, 3: append(batchAt(3, "other"), batchAt(4, "one", "two", "three")...)},
			}, [2]int64{7, 100},
			"partition t-0 has unmatched checksum at offset 3; replica 0's checksum " + checksum(batchAt(3, "d")) + "; replica 1's checksum " + checksum(batchAt(3, "other")) + "\n" +
				"partition t-0: replica 0's offset 5 doesn't match replica 1's offset 6\n(exit 1)\n"},
		{"nothing above a high watermark is compared",
			[2]map[int64][]byte{
				{0: same, 2: batchAt(2, "c", "d")},
				{0: same, 2: batchAt(2, "c", "d")},
			}, [2]int64{2, 9},
			"max lag is 7 for partition t-0 at offset 2 among 1 partitions\n"},
		{"an incomplete batch waits for its rest",
			[2]map[int64][]byte{{0: same, 2: nil}, {0: same[:len(same)-1], 2: nil}}, [2]int64{9, 9},
			"max lag is 7 for partition t-0 at offset 2 among 1 partitions\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := replicas(t, c.logs, c.high)
			line := "kafka-replica-verification --broker-list " + b.addr + " --time -2 --max-wait-ms 10 --report-interval-ms "
			interval := "100000"
			if c.want[:3] == "max" {
				interval = "0"
			}
			got := clock.ReplaceAllString(until(line+interval, "max lag"), "")
			require.Equal(t, "verification process is started.\n"+c.want, got)
		})
	}
	b := replicas(t, [2]map[int64][]byte{}, [2]int64{})
	line := "kafka-replica-verification --broker-list " + b.addr
	require.Contains(t, transcript(line+" --topic-white-list nowhere"), "ERROR No topics found. [topic-white-list] if specified, is either filtering out all topics or there is no topic. (kafka.tools.ReplicaVerificationTool$)\n(exit 1)\n")
	require.Equal(t, "2> Exception in thread \"main\" java.lang.NullPointerException\n(exit 1)\n", transcript(line+" --time 5"))
	require.Equal(t, "2> Exception in thread \"main\" java.lang.IllegalArgumentException: The target time for partition t-0 is -3. The target time cannot be negative.\n(exit 1)\n", transcript(line+" --time -3"))
}
