package group

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/model"
)

// The records of __consumer_offsets, part of the format. Key and value begin
// with a version; integers are big-endian, a string is int16 length and
// bytes, bytes are int32 length and data, -1 is null.
//
//	key 0, 1   group string, topic string, partition int32     a committed offset
//	key 2      group string                                    a group
//
//	offset value 0   offset int64, metadata string, commit time int64
//	             1   ... and expire time int64
//	             2   as 0
//	             3   offset, leader epoch int32, metadata, commit time
//	             4   3 in the flexible form (read only)
//	group value  0   protocol type string, generation int32, protocol and
//	                 leader nullable string, members
//	             1   members with a rebalance timeout
//	             2   time of the state int64 before the members
//	             3   members with a nullable group.instance.id
//	             4   3 in the flexible form (read only)
//
// A null value is a tombstone.
const (
	offsetKeyVersion = 1
	groupKeyVersion  = 2

	offsetValueNewest = 4
	groupValueNewest  = 4

	// offsetValueExpires is the last value format with an expire time.
	offsetValueExpires = 1
)

var errRecord = errors.New("malformed record of __consumer_offsets")

// storeKind tells why a group record is appended.
type storeKind int

const (
	storeAssignments storeKind = iota // of the leader's SyncGroup
	storeEmpty                        // the last member has gone
	storeStatic                       // a static member has a new id
)

// Store is a group record that is to be appended.
type Store struct {
	Key, Value []byte

	kind        storeKind
	generation  int32
	leader      string
	assignments map[string][]byte
	static      *staticChange
}

// record makes the group's record as of now, with these assignments.
func (g *Group) record(now time.Time, kind storeKind, assignments map[string][]byte) *Store {
	v := kmsg.NewGroupMetadataValue()
	v.Version = g.opts.GroupValueVersion
	v.ProtocolType = g.protocolTypeOrEmpty()
	v.Generation = g.generation
	v.Protocol = g.protocol
	if g.leader != "" {
		v.Leader = &g.leader
	}
	v.CurrentStateTimestamp = g.stateSince
	for _, m := range g.sorted() {
		row := kmsg.NewGroupMetadataValueMember()
		row.MemberID, row.InstanceID = m.id, m.instance
		row.ClientID, row.ClientHost = m.clientID, m.clientHost
		row.RebalanceTimeoutMillis = int32(m.rebalanceTimeout.Milliseconds())
		row.SessionTimeoutMillis = int32(m.sessionTimeout.Milliseconds())
		row.Subscription = nonNil(m.metadata(*g.protocol))
		row.Assignment = nonNil(assignments[m.id])
		v.Members = append(v.Members, row)
	}
	return &Store{
		Key: groupKey(g.id), Value: v.AppendTo(nil),
		kind: kind, generation: g.generation, leader: g.leader, assignments: assignments,
	}
}

// nonNil keeps bytes that are empty from being written as null.
func nonNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

func groupKey(id string) []byte {
	k := kmsg.GroupMetadataKey{Version: groupKeyVersion, Group: id}
	return k.AppendTo(nil)
}

func offsetKey(id string, tp model.TopicPartition) []byte {
	k := kmsg.OffsetCommitKey{Version: offsetKeyVersion, Group: id, Topic: tp.Topic, Partition: tp.Partition}
	return k.AppendTo(nil)
}

func offsetValue(c Committed, version int16) []byte {
	if c.ExpireTimestamp != noTimestamp {
		version = offsetValueExpires
	}
	v := kmsg.OffsetCommitValue{
		Version: version, Offset: c.Offset, LeaderEpoch: int32(c.LeaderEpoch), Metadata: c.Metadata,
		CommitTimestamp: c.CommitTimestamp, ExpireTimestamp: c.ExpireTimestamp,
	}
	return v.AppendTo(nil)
}

// keyKind tells what a record is about.
type keyKind int

const (
	keyUnknown keyKind = iota // of a newer version
	keyOffset
	keyGroup
)

type recordKey struct {
	kind    keyKind
	version int16
	group   string
	tp      model.TopicPartition // of an offset
}

func decodeKey(b []byte) (recordKey, error) {
	if len(b) < 2 {
		return recordKey{}, fmt.Errorf("key of %d bytes: %w", len(b), errRecord)
	}
	version := int16(binary.BigEndian.Uint16(b))
	switch version {
	case 0, offsetKeyVersion:
		var k kmsg.OffsetCommitKey
		if err := k.ReadFrom(b); err != nil {
			return recordKey{}, fmt.Errorf("offset key: %w: %w", err, errRecord)
		}
		return recordKey{keyOffset, version, k.Group, model.TopicPartition{Topic: k.Topic, Partition: k.Partition}}, nil
	case groupKeyVersion:
		var k kmsg.GroupMetadataKey
		if err := k.ReadFrom(b); err != nil {
			return recordKey{}, fmt.Errorf("group key: %w: %w", err, errRecord)
		}
		return recordKey{kind: keyGroup, version: version, group: k.Group}, nil
	}
	return recordKey{kind: keyUnknown, version: version}, nil
}

func decodeOffset(b []byte, logOffset int64) (Committed, error) {
	v := kmsg.NewOffsetCommitValue()
	if err := readValue(b, offsetValueNewest, &v); err != nil {
		return Committed{}, fmt.Errorf("offset value: %w", err)
	}
	c := Committed{
		Offset: v.Offset, LeaderEpoch: model.NoLeaderEpoch, Metadata: v.Metadata,
		CommitTimestamp: v.CommitTimestamp, ExpireTimestamp: noTimestamp, logOffset: logOffset,
	}
	if v.Version >= 3 {
		c.LeaderEpoch = model.LeaderEpoch(v.LeaderEpoch)
	}
	if v.Version == offsetValueExpires {
		c.ExpireTimestamp = v.ExpireTimestamp
	}
	return c, nil
}

// readValue refuses versions that are not known before reading.
func readValue(b []byte, newest int16, v interface{ ReadFrom([]byte) error }) error {
	if len(b) < 2 {
		return fmt.Errorf("%d bytes: %w", len(b), errRecord)
	}
	if version := int16(binary.BigEndian.Uint16(b)); version < 0 || version > newest {
		return fmt.Errorf("version %d: %w", version, errRecord)
	}
	if err := v.ReadFrom(b); err != nil {
		return fmt.Errorf("%w: %w", err, errRecord)
	}
	return nil
}

// restore makes the group what its record says.
func (g *Group) restore(b []byte) error {
	v := kmsg.NewGroupMetadataValue()
	if err := readValue(b, groupValueNewest, &v); err != nil {
		return fmt.Errorf("group value: %w", err)
	}
	if len(v.Members) > 0 && v.Protocol == nil {
		return fmt.Errorf("group value: members without a protocol: %w", errRecord)
	}
	g.forget()
	g.generation, g.protocol, g.stateSince = v.Generation, v.Protocol, v.CurrentStateTimestamp
	if v.ProtocolType != "" {
		g.protocolType = &v.ProtocolType
	}
	for i := range v.Members {
		m := restoredMember(&v.Members[i], v.Version, v.ProtocolType, v.Protocol)
		g.members[m.id] = m
		if m.isStatic() {
			g.static[*m.instance] = m.id
		}
	}
	if len(g.members) > 0 {
		g.state = Stable
	}
	if v.Leader != nil && g.members[*v.Leader] != nil {
		g.leader = *v.Leader
	}
	g.computeSubscribed()
	return nil
}

func restoredMember(row *kmsg.GroupMetadataValueMember, version int16, protocolType string, protocol *string) *member {
	m := &member{
		id: row.MemberID, instance: row.InstanceID, clientID: row.ClientID, clientHost: row.ClientHost,
		sessionTimeout:   time.Duration(row.SessionTimeoutMillis) * time.Millisecond,
		rebalanceTimeout: time.Duration(row.RebalanceTimeoutMillis) * time.Millisecond,
		protocolType:     protocolType,
		protocols:        []Protocol{{Name: *protocol, Metadata: row.Subscription}},
		assignment:       row.Assignment,
	}
	if version == 0 {
		m.rebalanceTimeout = m.sessionTimeout
	}
	return m
}

// forget makes the group one that has no record.
func (g *Group) forget() {
	clear(g.members)
	clear(g.static)
	g.state, g.generation, g.leader = Empty, 0, ""
	g.protocolType, g.protocol, g.subscribed = nil, nil, nil
}
