package model

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
)

// BrokerID is the number of a broker, as in broker.id and /brokers/ids/N.
type BrokerID int32

// NoBroker stands for "no leader" and "no controller".
const NoBroker BrokerID = -1

func (id BrokerID) String() string { return strconv.Itoa(int(id)) }

// LeaderEpoch counts the leaders of one partition. It starts at 0.
type LeaderEpoch int32

// NoLeaderEpoch means that the epoch is unknown or not checked.
const NoLeaderEpoch LeaderEpoch = -1

// LeaderDuringDelete is the leader, and the leader epoch, that a controller
// announces for a partition whose topic is being deleted.
const (
	LeaderDuringDelete BrokerID    = -2
	EpochDuringDelete  LeaderEpoch = -2
)

// ControllerEpoch counts the controllers of a cluster; it is the value of
// /controller_epoch.
type ControllerEpoch int32

// BrokerEpoch is the czxid of a broker's registration (KIP-380).
type BrokerEpoch int64

// NoBrokerEpoch is what peers older than 2.2 send: the epoch is not checked.
const NoBrokerEpoch BrokerEpoch = -1

// PartitionEpoch is the data version of a partition's state znode, called
// zkVersion in the older requests.
type PartitionEpoch int32

// TopicPartition names a partition of a topic.
type TopicPartition struct {
	Topic     string
	Partition int32
}

// String is the name of the partition's directory: "topic-0".
func (tp TopicPartition) String() string {
	return tp.Topic + "-" + strconv.Itoa(int(tp.Partition))
}

// Compare orders by topic name, then by partition number.
func (tp TopicPartition) Compare(other TopicPartition) int {
	if c := strings.Compare(tp.Topic, other.Topic); c != 0 {
		return c
	}
	return int(tp.Partition) - int(other.Partition)
}

// ParseTopicPartition reads "topic-0"; the last dash separates.
func ParseTopicPartition(name string) (TopicPartition, error) {
	dash := strings.LastIndexByte(name, '-')
	if dash <= 0 || dash == len(name)-1 {
		return TopicPartition{}, fmt.Errorf("%q is not of the form topic-partition", name)
	}
	partition, err := strconv.ParseInt(name[dash+1:], 10, 32)
	if err != nil || partition < 0 {
		return TopicPartition{}, fmt.Errorf("%q is not of the form topic-partition", name)
	}
	return TopicPartition{Topic: name[:dash], Partition: int32(partition)}, nil
}

// TopicID is the unique id of a topic (KIP-516). The zero value means none.
type TopicID [16]byte

// NewTopicID draws a random (version 4) id whose text form does not begin
// with a dash, so that it can be typed after an option. It is never zero.
func NewTopicID() TopicID {
	for {
		var id TopicID
		rand.Read(id[:]) // never fails, see crypto/rand
		id[6] = id[6]&0x0f | 0x40
		id[8] = id[8]&0x3f | 0x80
		if id.String()[0] != '-' {
			return id
		}
	}
}

// ParseTopicID reads the 22 characters of TopicID.String.
func ParseTopicID(text string) (TopicID, error) {
	var id TopicID
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(raw) != len(id) {
		return TopicID{}, fmt.Errorf("%q is not a topic id", text)
	}
	copy(id[:], raw)
	return id, nil
}

// IsZero reports whether id is the "no id" value.
func (id TopicID) IsZero() bool { return id == TopicID{} }

// String is the URL-safe base64 form without padding, 22 characters.
func (id TopicID) String() string { return base64.RawURLEncoding.EncodeToString(id[:]) }
