package commitlog

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"gregor/pkg/model"
	"gregor/pkg/vfs"
)

// The id of the topic is in partition.metadata (KIP-516), part of the format:
// "version: 0", a line end, "topic_id: " and 22 characters.
const partitionMetadataFile = "partition.metadata"

func readPartitionMetadata(p *place) (model.TopicID, error) {
	data, err := vfs.ReadFile(p.fs, p.path(partitionMetadataFile), 4096)
	if errors.Is(err, fs.ErrNotExist) {
		return model.TopicID{}, nil
	}
	if err != nil {
		return model.TopicID{}, err
	}
	return parsePartitionMetadata(p.path(partitionMetadataFile), string(data))
}

func parsePartitionMetadata(path, text string) (model.TopicID, error) {
	first, rest, _ := strings.Cut(text, "\n")
	second, _, _ := strings.Cut(rest, "\n")
	version, found := strings.CutPrefix(first, "version: ")
	n, err := strconv.ParseInt(version, 10, 32)
	if !found || err != nil {
		return model.TopicID{}, brokenMetadata(path, corruption("Malformed line in checkpoint file (%s): '%.80s'", path, first))
	}
	if n != 0 {
		return model.TopicID{}, brokenMetadata(path, corruption("Unrecognized version of partition metadata file (%s): %d", path, n))
	}
	id, found := strings.CutPrefix(second, "topic_id: ")
	if !found {
		return model.TopicID{}, brokenMetadata(path, corruption("Malformed line in checkpoint file (%s): '%.80s'", path, second))
	}
	topicID, err := model.ParseTopicID(id)
	switch {
	case err != nil:
		return model.TopicID{}, &Refusal{Class: "java.lang.IllegalArgumentException", Text: fmt.Sprintf("%q in %s is no topic id", id, path), Err: ErrCorrupt}
	case topicID.IsZero():
		return model.TopicID{}, brokenMetadata(path, corruption("Invalid topic ID in partition metadata file (%s)", path))
	default:
		return topicID, nil
	}
}

func brokenMetadata(path string, err error) error {
	return unreadableFile("partition metadata file", path, err)
}

func writePartitionMetadata(p *place, id model.TopicID) error {
	text := "version: 0\ntopic_id: " + id.String()
	return replaceFile(p.fs, p.path(partitionMetadataFile), []byte(text))
}
