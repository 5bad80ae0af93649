package cli

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"gregor/pkg/kerr"
	"gregor/pkg/model"
)

// deleteGroups is --delete.
func (c *groupCommand) deleteGroups(ctx context.Context) error {
	ids, err := c.groupIDs(ctx)
	if err != nil {
		return err
	}
	var deleted, failed []string
	failures := map[string]error{}
	for _, id := range hashMapOrder(distinct(ids), 16) {
		if err := c.client.deleteGroup(ctx, id); err != nil {
			failed, failures[id] = append(failed, id), err
		} else {
			deleted = append(deleted, id)
		}
	}
	quoted := "'" + strings.Join(deleted, "', '") + "'"
	if len(failed) == 0 {
		fmt.Fprintf(c.out, "Deletion of requested consumer groups (%s) was successful.\n", quoted)
		return nil
	}
	c.printError("Deletion of some consumer groups failed:")
	for _, id := range failed {
		fmt.Fprintf(c.out, "* Group '%s' could not be deleted due to: %s\n", id, describe(failures[id]))
	}
	if len(deleted) > 0 {
		fmt.Fprintf(c.out, "\nThese consumer groups were deleted successfully: %s\n", quoted)
	}
	return nil
}

// distinct leaves repetitions out.
func distinct(words []string) []string {
	var kept []string
	for _, word := range words {
		if !slices.Contains(kept, word) {
			kept = append(kept, word)
		}
	}
	return kept
}

// deleteCommitted is --delete-offsets.
func (c *groupCommand) deleteCommitted(ctx context.Context) error {
	group := c.String(c.group)
	if err := c.Err(); err != nil {
		return err
	}
	topics := c.Strings(c.topic)
	partitions, results, err := c.deletionScope(ctx, topics)
	if err != nil {
		return err
	}
	codes, err := c.client.deleteOffsets(ctx, group, partitions)
	c.showDeletion(group, topics, firstFailure(partitions, codes, err))
	for _, tp := range partitions {
		failure := err
		if failure == nil {
			failure = protocolError(codes[tp], nil)
		}
		results[tp] = failure
	}
	c.showDeletedPartitions(results)
	return nil
}

// deletionScope finds the partitions whose offsets are to be deleted, and the
// topics that are not there, as partition -1.
func (c *groupCommand) deletionScope(ctx context.Context, words []string) ([]model.TopicPartition, map[model.TopicPartition]error, error) {
	var partitions []model.TopicPartition
	results := map[model.TopicPartition]error{}
	for _, word := range words {
		if strings.Contains(word, ":") {
			written, err := parseTopicPartitions(word)
			if err != nil {
				return nil, nil, err
			}
			partitions = append(partitions, written...)
			continue
		}
		all, err := c.client.topicPartitions(ctx, word)
		if err != nil {
			results[model.TopicPartition{Topic: word, Partition: -1}] = err.(*exception).cause
			continue
		}
		partitions = append(partitions, all...)
	}
	return partitions, results, nil
}

// firstFailure is how the deletion went as a whole.
func firstFailure(partitions []model.TopicPartition, codes map[model.TopicPartition]int16, err error) error {
	for _, tp := range partitions {
		if err == nil {
			err = protocolError(codes[tp], nil)
		}
	}
	return err
}

// showDeletion tells how the deletion went as a whole.
func (c *groupCommand) showDeletion(group string, topics []string, err error) {
	switch kerr.Of(err) {
	case nil:
		fmt.Fprintf(c.out, "Request succeed for deleting offsets with topic %s group %s\n", strings.Join(topics, ", "), group)
	case kerr.InvalidGroupID:
		c.printError("'" + group + "' is not valid.")
	case kerr.GroupIDNotFound:
		c.printError("'" + group + "' does not exist.")
	case kerr.GroupAuthorizationFailed:
		c.printError("Access to '" + group + "' is not authorized.")
	case kerr.NonEmptyGroup:
		c.printError("Deleting offsets of a consumer group '" + group + "' is forbidden if the group is not empty.")
	case kerr.GroupSubscribedToTopic, kerr.TopicAuthorizationFailed, kerr.UnknownTopicOrPartition:
		c.printError("Encounter some partition level error, see the follow-up details:")
	default:
		c.printError("Encounter some unknown error: " + kerr.Of(err).Name)
	}
}

func (c *groupCommand) showDeletedPartitions(results map[model.TopicPartition]error) {
	const layout = "%-30s %-15s %-15s\n"
	fmt.Fprintf(c.out, "\n"+layout, "TOPIC", "PARTITION", "STATUS")
	partitions := make([]model.TopicPartition, 0, len(results))
	for tp := range results {
		partitions = append(partitions, tp)
	}
	key := func(tp model.TopicPartition) string { return tp.Topic + strconv.Itoa(int(tp.Partition)) }
	slices.SortFunc(partitions, func(a, b model.TopicPartition) int { return strings.Compare(key(a), key(b)) })
	for _, tp := range partitions {
		partition, status := "Not Provided", "Successful"
		if tp.Partition >= 0 {
			partition = strconv.Itoa(int(tp.Partition))
		}
		if err := results[tp]; err != nil {
			status = "Error: " + describe(err)
		}
		fmt.Fprintf(c.out, layout, tp.Topic, partition, status)
	}
}
