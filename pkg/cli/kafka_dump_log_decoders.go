package cli

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/model"
)

// recordDecoder turns a record into what is shown as its key and payload; nil
// is not shown.
type recordDecoder func(r *dumpedRecord) (key, payload *string, err error)

const (
	stringDecoder = "kafka.serializer.StringDecoder"

	bufferUnderflow = "java.nio.BufferUnderflowException"
	illegalState    = "java.lang.IllegalStateException"
	deleted         = "<DELETE>"
)

// decoder is the one that the options ask for.
func (o *dumpOptions) decoder() (recordDecoder, error) {
	switch {
	case o.Has(o.offsets):
		return decodeGroupRecord, nil
	case o.Has(o.transactions):
		return decodeTransactionRecord, nil
	}
	value, err := fieldDecoder(o.String(o.valueDecoder))
	if err != nil {
		return nil, err
	}
	key, err := fieldDecoder(o.String(o.keyDecoder))
	if err != nil {
		return nil, err
	}
	return func(r *dumpedRecord) (keyText, payload *string, err error) {
		if keyText, err = decoded(key, r.Key); err == nil {
			payload, err = decoded(value, r.Value)
		}
		return keyText, payload, err
	}, nil
}

func decoded(decode func([]byte) (string, error), b []byte) (*string, error) {
	if b == nil {
		return nil, nil
	}
	text, err := decode(b)
	return &text, err
}

// fieldDecoder is a class of kafka.serializer.
func fieldDecoder(class string) (func([]byte) (string, error), error) {
	number := func(size int, text func([]byte) string) func([]byte) (string, error) {
		return func(b []byte) (string, error) {
			if len(b) < size {
				return "", exceptionf(bufferUnderflow, "%d bytes are no %s", len(b), class)
			}
			return text(b), nil
		}
	}
	switch class {
	case stringDecoder:
		return func(b []byte) (string, error) { return javaUTF8(b), nil }, nil
	case "kafka.serializer.DefaultDecoder":
		// Java shows the identity of an array of bytes; here the same bytes
		// are at least shown as the same.
		return func(b []byte) (string, error) { return fmt.Sprintf("[B@%x", crc32.ChecksumIEEE(b)), nil }, nil
	case "kafka.serializer.LongDecoder":
		return number(8, func(b []byte) string { return strconv.FormatInt(int64(binary.BigEndian.Uint64(b)), 10) }), nil
	case "kafka.serializer.IntegerDecoder":
		return number(4, func(b []byte) string { return strconv.Itoa(int(int32(binary.BigEndian.Uint32(b)))) }), nil
	}
	return nil, exceptionf("java.lang.ClassNotFoundException", "%s", class)
}

// decodeGroupRecord reads a record of __consumer_offsets.
func decodeGroupRecord(r *dumpedRecord) (*string, *string, error) {
	if r.Key == nil {
		return nil, nil, exceptionf(kafkaException, "Failed to decode message using offset topic decoder (message had a missing key)")
	}
	if len(r.Key) < 2 {
		return nil, nil, malformed("key of __consumer_offsets", r)
	}
	switch version := int16(binary.BigEndian.Uint16(r.Key)); version {
	case 0, 1:
		return decodeCommit(r)
	case 2:
		return decodeGroup(r)
	default:
		return nil, nil, exceptionf(illegalState, "Unknown group metadata message version: %d", version)
	}
}

func decodeCommit(r *dumpedRecord) (*string, *string, error) {
	key := kmsg.NewOffsetCommitKey()
	if key.ReadFrom(r.Key) != nil {
		return nil, nil, malformed("key of __consumer_offsets", r)
	}
	name := fmt.Sprintf("offset_commit::group=%s,partition=%s-%d", key.Group, key.Topic, key.Partition)
	payload := deleted
	if r.Value != nil {
		value := kmsg.NewOffsetCommitValue()
		switch err := value.ReadFrom(r.Value); {
		case len(r.Value) >= 2 && (value.Version < 0 || value.Version > 3):
			return nil, nil, exceptionf(illegalState, "Unknown offset message version: %d", value.Version)
		case err != nil:
			return nil, nil, malformed("value of __consumer_offsets", r)
		}
		payload = fmt.Sprintf("offset=%d", value.Offset)
		if value.Metadata != "" {
			payload += ",metadata=" + value.Metadata
		}
	}
	return &name, &payload, nil
}

func decodeGroup(r *dumpedRecord) (*string, *string, error) {
	key := kmsg.NewGroupMetadataKey()
	if key.ReadFrom(r.Key) != nil {
		return nil, nil, malformed("key of __consumer_offsets", r)
	}
	name, payload := "group_metadata::group="+key.Group, deleted
	if r.Value == nil {
		return &name, &payload, nil
	}
	value := kmsg.NewGroupMetadataValue()
	switch err := value.ReadFrom(r.Value); {
	case len(r.Value) >= 2 && (value.Version < 0 || value.Version > 3):
		return nil, nil, exceptionf(illegalState, "Unknown group metadata message version: %d", value.Version)
	case err != nil:
		return nil, nil, malformed("value of __consumer_offsets", r)
	}
	assignments, err := assignmentsText(&value, r)
	if err != nil {
		return nil, nil, err
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	// Members in this order; strings and numbers always have a JSON form.
	if err := encoder.Encode(struct {
		ProtocolType string  `json:"protocolType"`
		Protocol     *string `json:"protocol"`
		Generation   int32   `json:"generationId"`
		Assignment   string  `json:"assignment"`
	}{value.ProtocolType, value.Protocol, value.Generation, assignments}); err != nil {
		return nil, nil, err
	}
	payload = strings.TrimSuffix(text.String(), "\n")
	return &name, &payload, nil
}

// assignmentsText lists what each member was assigned, in the order of the
// map that Kafka keeps members in.
func assignmentsText(value *kmsg.GroupMetadataValue, r *dumpedRecord) (string, error) {
	byID := map[string]string{}
	for _, m := range value.Members {
		if value.ProtocolType != "consumer" {
			byID[m.MemberID] = m.MemberID + "=" + upperHex(m.Assignment)
			continue
		}
		assignment := kmsg.NewConsumerMemberAssignment()
		if assignment.ReadFrom(m.Assignment) != nil {
			return "", malformed("assignment of a member in __consumer_offsets", r)
		}
		var partitions []string
		for _, t := range assignment.Topics {
			for _, p := range t.Partitions {
				partitions = append(partitions, fmt.Sprintf("%s-%d", t.Topic, p))
			}
		}
		text := m.MemberID + "=[" + strings.Join(partitions, ", ") + "]"
		if len(assignment.UserData) > 0 {
			text += ":" + upperHex(assignment.UserData)
		}
		byID[m.MemberID] = text
	}
	var texts []string
	ids := slices.Sorted(maps.Keys(byID))
	for _, id := range scalaHashOrder(ids, func(id string) uint32 { return uint32(model.JavaStringHash(id)) }) {
		texts = append(texts, byID[id])
	}
	return "{" + strings.Join(texts, ",") + "}", nil
}

// upperHex shows bytes as one number in hexadecimal, without leading zeros.
func upperHex(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	return fmt.Sprintf("%X", new(big.Int).SetBytes(b))
}

// txnStates are the states of a transaction by their numbers.
var txnStates = []string{"Empty", "Ongoing", "PrepareCommit", "PrepareAbort", "CompleteCommit", "CompleteAbort", "Dead", "PrepareEpochFence"}

// decodeTransactionRecord reads a record of __transaction_state.
func decodeTransactionRecord(r *dumpedRecord) (*string, *string, error) {
	key := kmsg.NewTxnMetadataKey()
	switch err := key.ReadFrom(r.Key); {
	case len(r.Key) >= 2 && key.Version != 0:
		return nil, nil, exceptionf(illegalState, "Unknown version %d from the transaction log message", key.Version)
	case err != nil:
		return nil, nil, malformed("key of __transaction_state", r)
	}
	name, payload := "transaction_metadata::transactionalId="+key.TransactionalID, deleted
	if r.Value == nil {
		return &name, &payload, nil
	}
	value := kmsg.NewTxnMetadataValue()
	switch err := value.ReadFrom(r.Value); {
	case len(r.Value) >= 2 && value.Version != 0:
		return nil, nil, exceptionf(illegalState, "Unknown version %d from the transaction log message value", value.Version)
	case err != nil:
		return nil, nil, malformed("value of __transaction_state", r)
	}
	state := int(value.State)
	if state < 0 || state >= len(txnStates) {
		return nil, nil, exceptionf(illegalState, "Unknown transaction state id %d from the transaction status message", state)
	}
	var partitions []model.TopicPartition
	for _, t := range value.Topics {
		for _, p := range t.Partitions {
			partitions = append(partitions, model.TopicPartition{Topic: t.Topic, Partition: p})
		}
	}
	payload = fmt.Sprintf("producerId:%d,producerEpoch:%d,state=%s,partitions=%s,txnLastUpdateTimestamp=%d,txnTimeoutMs=%d",
		value.ProducerID, value.ProducerEpoch, txnStates[state], partitionSetText(partitions), value.LastUpdateTimestamp, value.TimeoutMillis)
	return &name, &payload, nil
}

// partitionSetText lists partitions in the order of a mutable HashSet of
// Scala.
func partitionSetText(partitions []model.TopicPartition) string {
	var texts []string
	for _, tp := range scalaHashOrder(partitions, partitionHash) {
		texts = append(texts, fmt.Sprintf("%s-%d", tp.Topic, tp.Partition))
	}
	return "[" + strings.Join(slices.Compact(texts), ",") + "]"
}

func malformed(what string, r *dumpedRecord) error {
	return exceptionf("org.apache.kafka.common.protocol.types.SchemaException", "the %s at offset %d cannot be read", what, r.Offset)
}

// javaUTF8 is how Java reads bytes as UTF-8: what is malformed becomes
// U+FFFD, once for as many bytes as could have begun a character.
func javaUTF8(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	var text strings.Builder
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n == 1 {
			n = malformedLength(b)
		}
		text.WriteRune(r)
		b = b[n:]
	}
	return text.String()
}

// malformedLength counts the bytes that one U+FFFD stands for.
func malformedLength(b []byte) int {
	low, high, size := byte(0x80), byte(0xbf), 0 // of the second byte
	switch c := b[0]; {
	case c >= 0xe0 && c <= 0xef:
		size = 3
		if c == 0xe0 {
			low = 0xa0
		}
	case c >= 0xf0 && c <= 0xf4:
		size = 4
		if c == 0xf0 {
			low = 0x90
		} else if c == 0xf4 {
			high = 0x8f
		}
	}
	n := 1
	for n < size && n < len(b) && b[n] >= low && b[n] <= high {
		n, low, high = n+1, 0x80, 0xbf
	}
	return n
}
