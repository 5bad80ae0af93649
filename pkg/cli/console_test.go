package cli

import (
	"bufio"
	"bytes"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestLineReader(t *testing.T) {
	for name, row := range map[string]struct {
		input      string
		properties map[string]string
		want       []string // key|value, or value
		err        string
	}{
		"lines":                {input: "a\n\nb", want: []string{"a", "", "b"}},
		"line ends":            {input: "a\r\nb\rc\n", want: []string{"a", "b", "c"}},
		"nothing":              {input: ""},
		"keys":                 {input: "k\tv\nk2\tv\tw\nk3\t\n", properties: map[string]string{"parse.key": "true"}, want: []string{"k|v", "k2|v\tw", "k3|"}},
		"other separator":      {input: "k::v\n", properties: map[string]string{"parse.key": "TRUE", "key.separator": "::"}, want: []string{"k|v"}},
		"no key":               {input: "k\tv\nabc\n", properties: map[string]string{"parse.key": "true"}, want: []string{"k|v"}, err: "No key found on line 2: abc"},
		"no key, but no error": {input: "abc\n", properties: map[string]string{"parse.key": "true", "ignore.error": "true"}, want: []string{"abc"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newLineReader(strings.NewReader(row.input), "t", row.properties)
			var got []string
			for {
				record, err := r.read()
				if err != nil {
					if row.err == "" {
						require.ErrorIs(t, err, io.EOF)
					} else {
						require.EqualError(t, err, row.err)
					}
					break
				}
				require.NotNil(t, record.Value)
				text := string(record.Value)
				if record.Key != nil {
					text = string(record.Key) + "|" + text
				}
				got = append(got, text)
			}
			require.Equal(t, row.want, got)
		})
	}
}

func TestDefaultFormatter(t *testing.T) {
	record := &kgo.Record{Topic: "t", Partition: 2, Offset: 7, Timestamp: time.UnixMilli(1600000000000), Key: []byte("k"), Value: []byte("v"),
		Headers: []kgo.RecordHeader{{Key: "a", Value: []byte("1")}, {Key: "b"}}}
	for name, row := range map[string]struct {
		properties map[string]string
		record     *kgo.Record
		want       string
	}{
		"value":     {nil, record, "v\n"},
		"nulls":     {map[string]string{"print.key": "true"}, &kgo.Record{}, "null\tnull\n"},
		"all parts": {map[string]string{"print.timestamp": "true", "print.partition": "true", "print.offset": "true", "print.headers": "true", "print.key": "true"}, record, "CreateTime:1600000000000\tPartition:2\tOffset:7\ta:1,b:null\tk\tv\n"},
		"no value":  {map[string]string{"print.key": "true", "print.value": "false"}, record, "k\n"},
		"words":     {map[string]string{"print.key": "true", "key.separator": "=", "line.separator": ";", "null.literal": "~"}, &kgo.Record{Key: []byte("k")}, "k=~;"},
		"headers":   {map[string]string{"print.headers": "true"}, &kgo.Record{Value: []byte("v")}, "NO_HEADERS\tv\n"},
		"long":      {map[string]string{"value.deserializer": "org.apache.kafka.common.serialization.LongDeserializer"}, &kgo.Record{Value: []byte{255, 255, 255, 255, 255, 255, 255, 254}}, "-2\n"},
		"double":    {map[string]string{"value.deserializer": "org.apache.kafka.common.serialization.DoubleDeserializer"}, &kgo.Record{Value: []byte{0x40, 0x09, 0, 0, 0, 0, 0, 0}}, "3.125\n"},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := newFormatter("", row.properties)
			require.NoError(t, err)
			var out bytes.Buffer
			w := bufio.NewWriter(&out)
			require.NoError(t, f.write(w, row.record))
			require.NoError(t, w.Flush())
			require.Equal(t, row.want, out.String())
		})
	}
}

func TestFormattersThatCannotBe(t *testing.T) {
	_, err := newFormatter("no.Such", nil)
	require.Equal(t, "java.lang.ClassNotFoundException: no.Such", describe(err))
	_, err = newFormatter("", map[string]string{"key.deserializer": "no.Such"})
	require.Error(t, err)
	f, err := newFormatter("", map[string]string{"value.deserializer": "org.apache.kafka.common.serialization.IntegerDeserializer"})
	require.NoError(t, err)
	require.ErrorContains(t, f.write(bufio.NewWriter(io.Discard), &kgo.Record{Value: []byte("x")}), "Size of data received by IntegerDeserializer is not 4")
}

func TestCommittedOffsetsFormatter(t *testing.T) {
	f, err := newFormatter(offsetsFormatter, nil)
	require.NoError(t, err)
	var out bytes.Buffer
	w := bufio.NewWriter(&out)
	key := []byte("\x00\x01\x00\x06simple\x00\x05plain\x00\x00\x00\x00")
	value := []byte("\x00\x03\x00\x00\x00\x00\x00\x00\x00\x05\xff\xff\xff\xff\x00\x01m\x00\x00\x01\xa1\xf7\x04\x2c\x1e")
	require.NoError(t, f.write(w, &kgo.Record{Key: key, Value: value}))
	require.NoError(t, f.write(w, &kgo.Record{Key: key}))
	require.NoError(t, f.write(w, &kgo.Record{Key: []byte("\x00\x02\x00\x03grp")}))
	require.Error(t, f.write(w, &kgo.Record{Key: key[:9]}))
	require.NoError(t, w.Flush())
	require.Equal(t, "[simple,plain,0]::OffsetAndMetadata(offset=5, leaderEpoch=Optional.empty, metadata=m, commitTimestamp=1795145608222, expireTimestamp=None)\n"+
		"[simple,plain,0]::NULL\n", out.String())
}

func TestConsoleToolsRefuseWhatDoesNotFit(t *testing.T) {
	producer, consumer := "kafka-console-producer", "kafka-console-consumer"
	for _, row := range []struct {
		args  []string
		first string // line of stderr
		table bool
	}{
		{[]string{producer}, "Missing required option(s) [bootstrap-server]", true},
		{[]string{producer, "--help"}, "This tool helps to read data from standard input and publish it to Kafka.", true},
		{[]string{producer, "--foo"}, "foo is not a recognized option", true},
		{[]string{producer, "--topic", "t", "--zookeeper", "localhost:2181", "--bootstrap-server", "localhost:9092"}, "zookeeper is not a recognized option", true},
		{[]string{producer, "--broker-list", "localhost:1"}, `Missing required argument "[topic]"`, true},
		{[]string{producer, "--broker-list", "localhost", "--topic", "x"}, "Please provide valid host:port like host1:9091,host2:9092", true},
		{[]string{producer, "--broker-list", "localhost:1", "--topic", "x", "--timeout", "soon"}, "Cannot parse argument 'soon' of option timeout", false},
		{[]string{producer, "--broker-list", "localhost:1", "--topic", "x", "--producer-property", "acks=7"},
			"org.apache.kafka.common.config.ConfigException: Invalid value 7 for configuration acks: String must be one of: all, -1, 0, 1", false},
		{[]string{producer, "--broker-list", "localhost:1", "--topic", "x", "--producer.config", "/none"}, "java.nio.file.NoSuchFileException: /none", false},
		{[]string{consumer}, "This tool helps to read data from Kafka topics and outputs it to standard output.", true},
		{[]string{consumer, "--bootstrap-server", "localhost:1"}, "Exactly one of whitelist/topic is required.", true},
		{[]string{consumer, "--topic", "t"}, `Missing required argument "[bootstrap-server]"`, true},
		{[]string{consumer, "--bootstrap-server", "localhost:1", "--topic", "t", "--offset", "1"}, "The partition is required when offset is specified.", true},
		{[]string{consumer, "--bootstrap-server", "localhost:1", "--whitelist", "t", "--partition", "1"}, "The topic is required when partition is specified.", true},
		{[]string{consumer, "--bootstrap-server", "localhost:1", "--topic", "t", "--partition", "1", "--offset", "x"},
			"The provided offset value 'x' is incorrect. Valid values are 'earliest', 'latest', or a non-negative long.", true},
		{[]string{consumer, "--bootstrap-server", "localhost:1", "--topic", "t", "--partition", "1", "--group", "g"},
			"Options group and partition cannot be specified together.", true},
		{[]string{consumer, "--bootstrap-server", "localhost:1", "--topic", "t", "--group", "a", "--consumer-property", "group.id=b"},
			"The group ids provided in different places (directly using '--group', via '--consumer-property', or via '--consumer.config') do not match. Detected group ids: 'a', 'b'", true},
		{[]string{consumer, "--bootstrap-server", "localhost:1", "--topic", "t", "--from-beginning", "--consumer-property", "auto.offset.reset=latest"},
			"Can't simultaneously specify --from-beginning and 'auto.offset.reset=latest', please remove one option", false},
	} {
		stdout, stderr, status := invoke("", row.args...)
		require.Equal(t, 1, status, row.args)
		require.Empty(t, stdout, row.args)
		first, rest, _ := strings.Cut(stderr, "\n")
		require.Equal(t, row.first, first, row.args)
		require.Equal(t, row.table, strings.Contains(rest, "Option "), "%v: %s", row.args, stderr)
	}
}
