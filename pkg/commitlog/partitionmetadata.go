package commitlog

import (
	"errors"
	"fmt"
	"io/fs"
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
	id, err := parsePartitionMetadata(string(data))
	if err != nil {
		return id, fmt.Errorf("%s: %w", p.path(partitionMetadataFile), err)
	}
	return id, nil
}

func parsePartitionMetadata(text string) (model.TopicID, error) {
	version, rest, _ := strings.Cut(text, "\n")
	id, found := strings.CutPrefix(strings.TrimSpace(rest), "topic_id: ")
	if strings.TrimSpace(version) != "version: 0" || !found {
		return model.TopicID{}, fmt.Errorf("malformed partition metadata: %w", ErrCorrupt)
	}
	topicID, err := model.ParseTopicID(id)
	if err != nil || topicID.IsZero() {
		return model.TopicID{}, fmt.Errorf("invalid topic id %q: %w", id, ErrCorrupt)
	}
	return topicID, nil
}

func writePartitionMetadata(p *place, id model.TopicID) error {
	text := "version: 0\ntopic_id: " + id.String()
	return replaceFile(p.fs, p.path(partitionMetadataFile), []byte(text))
}
