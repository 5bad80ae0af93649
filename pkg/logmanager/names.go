package logmanager

import (
	"crypto/rand"
	"encoding/hex"
	"strconv"
	"strings"

	"gregor/pkg/model"
)

// kind says what a directory inside a log directory is.
type kind int

const (
	kindForeign kind = iota // none of Kafka's
	kindLog
	kindDelete  // <topic>-<partition>.<unique id>-delete
	kindFuture  // <topic>-<partition>.<unique id>-future
	kindSkipped // Kafka's, and nothing of a ZooKeeper broker
)

const (
	deleteSuffix = "-delete"
	futureSuffix = "-future"
	strayDir     = "-stray" // of newer brokers; same form as the two above
)

// parseDir reads a directory's name. The last dash separates topic and
// partition.
func parseDir(name string) (model.TopicPartition, kind) {
	if strings.HasPrefix(name, "__cluster_metadata-") || name == "remote-log-index-cache" {
		return model.TopicPartition{}, kindSkipped
	}
	k := kindLog
	for suffix, suffixKind := range map[string]kind{deleteSuffix: kindDelete, futureSuffix: kindFuture, strayDir: kindSkipped} {
		stem, ok := strings.CutSuffix(name, suffix)
		if !ok {
			continue
		}
		dot := strings.LastIndexByte(stem, '.')
		if dot < 0 || dot == len(stem)-1 {
			return model.TopicPartition{}, kindForeign
		}
		name, k = stem[:dot], suffixKind
		break
	}
	dash := strings.LastIndexByte(name, '-')
	if dash <= 0 || dash == len(name)-1 {
		return model.TopicPartition{}, kindForeign
	}
	partition, err := strconv.ParseInt(name[dash+1:], 10, 32)
	if err != nil {
		return model.TopicPartition{}, kindForeign
	}
	return model.TopicPartition{Topic: name[:dash], Partition: int32(partition)}, k
}

const nameMax = 255

// deleteName is the name that a partition's directory has until it is
// removed. The topic is cut so that it fits a file name.
func deleteName(tp model.TopicPartition) string {
	suffix := uniqueSuffix(tp, deleteSuffix)
	return tp.Topic[:min(len(tp.Topic), nameMax-len(suffix))] + suffix
}

// futureName is the name of the directory that a partition is copied to. It
// may be too long for a file, since the topic cannot be cut.
func futureName(tp model.TopicPartition) string { return tp.Topic + uniqueSuffix(tp, futureSuffix) }

// uniqueSuffix is what follows the topic in the name of a directory that is
// not the partition's own.
func uniqueSuffix(tp model.TopicPartition, end string) string {
	var id [16]byte
	rand.Read(id[:]) // never fails, see crypto/rand
	return "-" + strconv.Itoa(int(tp.Partition)) + "." + hex.EncodeToString(id[:]) + end
}
