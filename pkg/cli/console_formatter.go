package cli

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// messageFormatter shows a record on standard output.
type messageFormatter interface {
	write(out *bufio.Writer, r *kgo.Record) error
}

const (
	defaultFormatter = "kafka.tools.DefaultMessageFormatter"
	loggingFormatter = "kafka.tools.LoggingMessageFormatter"
	noOpFormatter    = "kafka.tools.NoOpMessageFormatter"
	groupsFormatter  = "kafka.coordinator.group.GroupMetadataManager$GroupMetadataMessageFormatter"
	offsetsFormatter = "kafka.coordinator.group.GroupMetadataManager$OffsetsMessageFormatter"
)

// newFormatter makes the formatter of a class name.
func newFormatter(class string, properties map[string]string) (messageFormatter, error) {
	switch class {
	case defaultFormatter, loggingFormatter, "":
		return newDefaultFormatter(properties)
	case noOpFormatter:
		return silentFormatter{}, nil
	case offsetsFormatter, strings.Replace(offsetsFormatter, "$", ".", 1):
		return committedOffsets{}, nil
	case groupsFormatter, strings.Replace(groupsFormatter, "$", ".", 1):
		return storedGroups{}, nil
	}
	return nil, exceptionf("java.lang.ClassNotFoundException", "%s", class)
}

// silentFormatter shows nothing.
type silentFormatter struct{}

func (silentFormatter) write(*bufio.Writer, *kgo.Record) error { return nil }

// textFormatter is Kafka's DefaultMessageFormatter: the parts that are asked
// for, in a fixed order.
type textFormatter struct {
	timestamp, partition, offset, headers, key, value bool

	keySeparator, lineSeparator, headersSeparator, nullLiteral string
	keyText, valueText, headersText                            deserializer
}

func newDefaultFormatter(properties map[string]string) (messageFormatter, error) {
	f := &textFormatter{value: true, keySeparator: "\t", lineSeparator: "\n", headersSeparator: ",", nullLiteral: "null"}
	for name, flag := range map[string]*bool{
		"print.timestamp": &f.timestamp, "print.partition": &f.partition, "print.offset": &f.offset,
		"print.headers": &f.headers, "print.key": &f.key, "print.value": &f.value,
	} {
		if text, ok := properties[name]; ok {
			*flag = strings.EqualFold(strings.TrimSpace(text), "true")
		}
	}
	for name, text := range map[string]*string{
		"key.separator": &f.keySeparator, "line.separator": &f.lineSeparator,
		"headers.separator": &f.headersSeparator, "null.literal": &f.nullLiteral,
	} {
		if given, ok := properties[name]; ok {
			*text = given
		}
	}
	for name, d := range map[string]*deserializer{
		"key.deserializer": &f.keyText, "value.deserializer": &f.valueText, "headers.deserializer": &f.headersText,
	} {
		found, err := deserializerOf(properties[name])
		if err != nil {
			return nil, err
		}
		*d = found
	}
	return f, nil
}

func (f *textFormatter) write(out *bufio.Writer, r *kgo.Record) error {
	separate := func(more bool) {
		if more {
			out.WriteString(f.keySeparator)
		} else {
			out.WriteString(f.lineSeparator)
		}
	}
	if f.timestamp {
		out.WriteString(timestampText(r))
		separate(f.partition || f.offset || f.headers || f.key || f.value)
	}
	if f.partition {
		out.WriteString("Partition:" + strconv.Itoa(int(r.Partition)))
		separate(f.offset || f.headers || f.key || f.value)
	}
	if f.offset {
		out.WriteString("Offset:" + strconv.FormatInt(r.Offset, 10))
		separate(f.headers || f.key || f.value)
	}
	if f.headers {
		if err := f.writeHeaders(out, r.Headers); err != nil {
			return err
		}
		separate(f.key || f.value)
	}
	if f.key {
		if err := f.writeField(out, f.keyText, r.Key); err != nil {
			return err
		}
		separate(f.value)
	}
	if f.value {
		if err := f.writeField(out, f.valueText, r.Value); err != nil {
			return err
		}
		out.WriteString(f.lineSeparator)
	}
	return nil
}

func timestampText(r *kgo.Record) string {
	switch r.Attrs.TimestampType() {
	case 0:
		return "CreateTime:" + strconv.FormatInt(r.Timestamp.UnixMilli(), 10)
	case 1:
		return "LogAppendTime:" + strconv.FormatInt(r.Timestamp.UnixMilli(), 10)
	}
	return "NO_TIMESTAMP"
}

func (f *textFormatter) writeHeaders(out *bufio.Writer, headers []kgo.RecordHeader) error {
	if len(headers) == 0 {
		out.WriteString("NO_HEADERS")
		return nil
	}
	for i, h := range headers {
		if i > 0 {
			out.WriteString(f.headersSeparator)
		}
		out.WriteString(h.Key + ":")
		if err := f.writeField(out, f.headersText, h.Value); err != nil {
			return err
		}
	}
	return nil
}

func (f *textFormatter) writeField(out *bufio.Writer, d deserializer, b []byte) error {
	if b == nil {
		out.WriteString(f.nullLiteral)
		return nil
	}
	if d == nil {
		out.Write(b)
		return nil
	}
	text, err := d(b)
	if err != nil {
		return err
	}
	out.WriteString(text)
	return nil
}

// deserializer turns bytes into what Java prints for the object.
type deserializer func(b []byte) (string, error)

const serializationException = "org.apache.kafka.common.errors.SerializationException"

// deserializerOf finds the deserializer of a Java class; none for no name.
func deserializerOf(class string) (deserializer, error) {
	const javaPackage = "org.apache.kafka.common.serialization."
	switch strings.TrimPrefix(class, javaPackage) {
	case "":
		return nil, nil
	case "ByteArrayDeserializer", "BytesDeserializer", "ByteBufferDeserializer", "StringDeserializer":
		return func(b []byte) (string, error) { return string(b), nil }, nil
	case "IntegerDeserializer":
		return fixed(4, "IntegerDeserializer", func(b []byte) string { return strconv.Itoa(int(int32(binary.BigEndian.Uint32(b)))) }), nil
	case "LongDeserializer":
		return fixed(8, "LongDeserializer", func(b []byte) string { return strconv.FormatInt(int64(binary.BigEndian.Uint64(b)), 10) }), nil
	case "ShortDeserializer":
		return fixed(2, "ShortDeserializer", func(b []byte) string { return strconv.Itoa(int(int16(binary.BigEndian.Uint16(b)))) }), nil
	case "FloatDeserializer":
		return fixed(4, "Deserializer", func(b []byte) string {
			return javaDouble(float64(math.Float32frombits(binary.BigEndian.Uint32(b))), 32)
		}), nil
	case "DoubleDeserializer":
		return fixed(8, "Deserializer", func(b []byte) string { return javaDouble(math.Float64frombits(binary.BigEndian.Uint64(b)), 64) }), nil
	case "UUIDDeserializer":
		return func(b []byte) (string, error) { return string(b), nil }, nil
	}
	return nil, exceptionf("java.lang.ClassNotFoundException", "%s", class)
}

// fixed is a deserializer of a number with a length of its own.
func fixed(size int, name string, text func(b []byte) string) deserializer {
	return func(b []byte) (string, error) {
		if len(b) != size {
			return "", exceptionf(serializationException, "Size of data received by %s is not %d", name, size)
		}
		return text(b), nil
	}
}

// javaDouble is Double.toString of Java for the common range.
func javaDouble(v float64, bits int) string {
	switch {
	case math.IsNaN(v):
		return "NaN"
	case math.IsInf(v, 1):
		return "Infinity"
	case math.IsInf(v, -1):
		return "-Infinity"
	}
	if a := math.Abs(v); a != 0 && (a < 1e-3 || a >= 1e7) {
		mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(v, 'E', -1, bits), "E")
		if !strings.Contains(mantissa, ".") {
			mantissa += ".0"
		}
		n, _ := strconv.Atoi(exponent) // FormatFloat writes a number there
		return mantissa + "E" + strconv.Itoa(n)
	}
	text := strconv.FormatFloat(v, 'f', -1, bits)
	if !strings.Contains(text, ".") {
		text += ".0"
	}
	return text
}

// committedOffsets shows the offset commits of __consumer_offsets.
type committedOffsets struct{}

func (committedOffsets) write(out *bufio.Writer, r *kgo.Record) error {
	if len(r.Key) < 2 || binary.BigEndian.Uint16(r.Key) > 1 {
		return nil // a group's own record
	}
	key := kmsg.NewOffsetCommitKey()
	if err := key.ReadFrom(bytes.Clone(r.Key)); err != nil {
		return exceptionf(kafkaException, "offset commit key at offset %d: %s", r.Offset, err)
	}
	fmt.Fprintf(out, "[%s,%s,%d]::", key.Group, key.Topic, key.Partition)
	if r.Value == nil {
		out.WriteString("NULL\n")
		return nil
	}
	value := kmsg.NewOffsetCommitValue()
	if err := value.ReadFrom(bytes.Clone(r.Value)); err != nil {
		return exceptionf(kafkaException, "offset commit value at offset %d: %s", r.Offset, err)
	}
	epoch, expire := "Optional.empty", "None"
	if value.Version >= 3 && value.LeaderEpoch >= 0 {
		epoch = fmt.Sprintf("Optional[%d]", value.LeaderEpoch)
	}
	if value.Version == 1 && value.ExpireTimestamp != -1 {
		expire = fmt.Sprintf("Some(%d)", value.ExpireTimestamp)
	}
	fmt.Fprintf(out, "OffsetAndMetadata(offset=%d, leaderEpoch=%s, metadata=%s, commitTimestamp=%d, expireTimestamp=%s)\n",
		value.Offset, epoch, value.Metadata, value.CommitTimestamp, expire)
	return nil
}
