// Package protocol is the table of Kafka's APIs: keys, names, the versions
// that Gregor takes and advertises, and the forms of the headers.
//
// Ranges are those of Kafka 2.8 in ZooKeeper mode, for the APIs of which a
// handler exists; network asks the table before it reads a body, and the
// answer to ApiVersions is made of it. Messages themselves are kmsg's.
package protocol

import (
	"encoding/binary"
	"errors"
	"fmt"

	"gregor/pkg/wire"
)

// API is one row of the table.
type API struct {
	Key  int16
	Name string // as in Kafka's ApiKeys: OFFSET_COMMIT
	// Min and Max are the versions that are answered; a request of another
	// version closes the connection.
	Min, Max int16
	// Flexible is the first version with tagged fields and compact strings
	// (KIP-482), or -1.
	Flexible int16
}

var apis = [...]API{
	{0, "PRODUCE", 0, 9, 9},
	{1, "FETCH", 0, 12, 12},
	{2, "LIST_OFFSETS", 0, 6, 6},
	{3, "METADATA", 0, 11, 9},
	{4, "LEADER_AND_ISR", 0, 5, 4},
	{5, "STOP_REPLICA", 0, 3, 2},
	{6, "UPDATE_METADATA", 0, 7, 6},
	{7, "CONTROLLED_SHUTDOWN", 0, 3, 3},
	{8, "OFFSET_COMMIT", 0, 8, 8},
	{9, "OFFSET_FETCH", 0, 7, 6},
	{10, "FIND_COORDINATOR", 0, 3, 3},
	{11, "JOIN_GROUP", 0, 7, 6},
	{12, "HEARTBEAT", 0, 4, 4},
	{13, "LEAVE_GROUP", 0, 4, 4},
	{14, "SYNC_GROUP", 0, 5, 4},
	{15, "DESCRIBE_GROUPS", 0, 5, 5},
	{16, "LIST_GROUPS", 0, 4, 3},
	{17, "SASL_HANDSHAKE", 0, 1, -1},
	{18, "API_VERSIONS", 0, 3, 3},
	{19, "CREATE_TOPICS", 0, 7, 5},
	{20, "DELETE_TOPICS", 0, 6, 4},
	{21, "DELETE_RECORDS", 0, 2, 2},
	{22, "INIT_PRODUCER_ID", 0, 4, 2},
	{23, "OFFSET_FOR_LEADER_EPOCH", 0, 4, 4},
	{24, "ADD_PARTITIONS_TO_TXN", 0, 3, 3},
	{25, "ADD_OFFSETS_TO_TXN", 0, 3, 3},
	{26, "END_TXN", 0, 3, 3},
	{27, "WRITE_TXN_MARKERS", 0, 1, 1},
	{28, "TXN_OFFSET_COMMIT", 0, 3, 3},
	{29, "DESCRIBE_ACLS", 0, 2, 2},
	{30, "CREATE_ACLS", 0, 2, 2},
	{31, "DELETE_ACLS", 0, 2, 2},
	{32, "DESCRIBE_CONFIGS", 0, 4, 4},
	{33, "ALTER_CONFIGS", 0, 2, 2},
	{34, "ALTER_REPLICA_LOG_DIRS", 0, 2, 2},
	{35, "DESCRIBE_LOG_DIRS", 0, 2, 2},
	{36, "SASL_AUTHENTICATE", 0, 2, 2},
	{37, "CREATE_PARTITIONS", 0, 3, 2},
	{38, "CREATE_DELEGATION_TOKEN", 0, 2, 2},
	{39, "RENEW_DELEGATION_TOKEN", 0, 2, 2},
	{40, "EXPIRE_DELEGATION_TOKEN", 0, 2, 2},
	{41, "DESCRIBE_DELEGATION_TOKEN", 0, 2, 2},
	{42, "DELETE_GROUPS", 0, 2, 2},
	{43, "ELECT_LEADERS", 0, 2, 2},
	{44, "INCREMENTAL_ALTER_CONFIGS", 0, 1, 1},
	{45, "ALTER_PARTITION_REASSIGNMENTS", 0, 0, 0},
	{46, "LIST_PARTITION_REASSIGNMENTS", 0, 0, 0},
	{47, "OFFSET_DELETE", 0, 0, -1},
	{48, "DESCRIBE_CLIENT_QUOTAS", 0, 1, 1},
	{49, "ALTER_CLIENT_QUOTAS", 0, 1, 1},
	{50, "DESCRIBE_USER_SCRAM_CREDENTIALS", 0, 0, 0},
	{51, "ALTER_USER_SCRAM_CREDENTIALS", 0, 0, 0},
	{56, "ALTER_ISR", 0, 0, 0},
	{57, "UPDATE_FEATURES", 0, 0, 0},
	{60, "DESCRIBE_CLUSTER", 0, 0, 0},
	{61, "DESCRIBE_PRODUCERS", 0, 0, 0},
}

// Keys that the package or its callers treat by name.
const (
	KeyApiVersions        int16 = 18
	KeyControlledShutdown int16 = 7
)

// ErrHeader is the error for bytes that are no request header.
var ErrHeader = errors.New("malformed request header")

// All lists the table in the order of the keys.
func All() []API { return apis[:] }

// Lookup finds the row of a key.
func Lookup(key int16) (API, bool) {
	for i := range apis {
		if apis[i].Key == key {
			return apis[i], true
		}
	}
	return API{}, false
}

// Takes reports whether the version is answered.
func (a API) Takes(version int16) bool { return version >= a.Min && version <= a.Max }

// IsFlexible reports whether the version has tagged fields.
func (a API) IsFlexible(version int16) bool { return a.Flexible >= 0 && version >= a.Flexible }

// ParseHeader reads the request header at the start of a frame and returns
// the body behind it. A key that is not in the table still gives a header
// with Key and Version, and ErrHeader: how long the rest is cannot be known.
//
//	v0: key int16, version int16, correlation id int32 (ControlledShutdown v0 only)
//	v1: v0, client id nullable string
//	v2: v1, tagged fields (flexible versions; ApiVersions of any version >= 3,
//	    also one that is too new, KIP-511)
func ParseHeader(frame []byte) (h wire.Header, body []byte, err error) {
	if len(frame) < 8 {
		return h, nil, fmt.Errorf("%d bytes: %w", len(frame), ErrHeader)
	}
	h.Key = int16(binary.BigEndian.Uint16(frame))
	h.Version = int16(binary.BigEndian.Uint16(frame[2:]))
	h.CorrelationID = int32(binary.BigEndian.Uint32(frame[4:]))
	body = frame[8:]
	api, ok := Lookup(h.Key)
	if !ok {
		return h, nil, fmt.Errorf("api key %d is unknown: %w", h.Key, ErrHeader)
	}
	if h.Key == KeyControlledShutdown && h.Version == 0 {
		return h, body, nil
	}
	if h.ClientID, body, err = readNullableString(body); err != nil {
		return h, nil, err
	}
	if api.IsFlexible(h.Version) {
		if body, err = skipTags(body); err != nil {
			return h, nil, err
		}
	}
	return h, body, nil
}

func readNullableString(b []byte) (*string, []byte, error) {
	if len(b) < 2 {
		return nil, nil, fmt.Errorf("cut before the client id: %w", ErrHeader)
	}
	n := int(int16(binary.BigEndian.Uint16(b)))
	b = b[2:]
	if n == -1 {
		return nil, b, nil
	}
	if n < 0 || n > len(b) {
		return nil, nil, fmt.Errorf("client id of %d bytes: %w", n, ErrHeader)
	}
	s := string(b[:n])
	return &s, b[n:], nil
}

func skipTags(b []byte) ([]byte, error) {
	count, n := binary.Uvarint(b)
	if n <= 0 || count > uint64(len(b)) {
		return nil, fmt.Errorf("tagged fields: %w", ErrHeader)
	}
	b = b[n:]
	for range count {
		if _, n = binary.Uvarint(b); n <= 0 {
			return nil, fmt.Errorf("tag: %w", ErrHeader)
		}
		b = b[n:]
		size, n := binary.Uvarint(b)
		if n <= 0 || size > uint64(len(b)-n) {
			return nil, fmt.Errorf("tagged field of %d bytes: %w", size, ErrHeader)
		}
		b = b[n+int(size):]
	}
	return b, nil
}

// AppendResponseHeader appends the response header: the correlation id, and
// an empty tag section for flexible versions, which ApiVersions never has
// (KIP-511).
func AppendResponseHeader(dst []byte, h wire.Header) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(h.CorrelationID))
	if api, ok := Lookup(h.Key); ok && h.Key != KeyApiVersions && api.IsFlexible(h.Version) {
		dst = append(dst, 0)
	}
	return dst
}
