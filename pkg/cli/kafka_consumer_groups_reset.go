package cli

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"gregor/pkg/cli/jopt"
	"gregor/pkg/model"
)

// partitionOffset is a partition and the offset that it is to get.
type partitionOffset struct {
	model.TopicPartition
	offset int64
}

// groupPlan is what --reset-offsets makes of one group.
type groupPlan struct {
	group   string
	offsets []partitionOffset
}

// resetOffsets is --reset-offsets: it makes a plan for each group without
// members, carries it out with --execute, and shows it.
func (c *groupCommand) resetOffsets(ctx context.Context) error {
	ids, err := c.groupIDs(ctx)
	if err != nil {
		return err
	}
	groups, err := c.client.describe(ctx, ids)
	if err != nil {
		return err
	}
	var plans []groupPlan
	for _, id := range hashMapOrder(sortedKeys(groups), len(groups)*4/3+1) {
		if state := groups[id].State; state != "Empty" && state != "Dead" {
			c.printError("Assignments can only be reset if the group '" + id + "' is inactive, but the current state is " + state + ".")
			continue
		}
		offsets, err := c.plan(ctx, id)
		if err != nil {
			return err
		}
		offsets = inScalaOrder(offsets)
		if c.Has(c.execute) {
			if err := c.client.commit(ctx, id, offsets); err != nil {
				return err
			}
		}
		plans = append(plans, groupPlan{id, offsets})
	}
	if c.Has(c.export) {
		return c.exportPlans(plans)
	}
	c.showPlans(plans)
	return nil
}

func inScalaOrder(rows []partitionOffset) []partitionOffset {
	offsets, partitions := map[model.TopicPartition]int64{}, []model.TopicPartition(nil)
	for _, row := range rows {
		if _, twice := offsets[row.TopicPartition]; !twice {
			partitions = append(partitions, row.TopicPartition)
		}
		offsets[row.TopicPartition] = row.offset
	}
	ordered := make([]partitionOffset, 0, len(partitions))
	for _, tp := range scalaMapOrder(partitions) {
		ordered = append(ordered, partitionOffset{tp, offsets[tp]})
	}
	return ordered
}

func (c *groupCommand) showPlans(plans []groupPlan) {
	const layout = "%-30s %-30s %-10s %-15s\n"
	fmt.Fprintf(c.out, "\n"+layout, "GROUP", "TOPIC", "PARTITION", "NEW-OFFSET")
	for _, plan := range plans {
		for _, row := range plan.offsets {
			fmt.Fprintf(c.out, layout, plan.group, row.Topic, strconv.Itoa(int(row.Partition)), strconv.FormatInt(row.offset, 10))
		}
	}
}

// exportPlans writes the plans as --from-file reads them. One group is not
// named in the lines.
func (c *groupCommand) exportPlans(plans []groupPlan) error {
	w := csv.NewWriter(c.out)
	for _, plan := range plans {
		for _, row := range plan.offsets {
			record := []string{row.Topic, strconv.Itoa(int(row.Partition)), strconv.FormatInt(row.offset, 10)}
			if !c.oneGroup() {
				record = append([]string{plan.group}, record...)
			}
			if err := w.Write(record); err != nil {
				return err
			}
		}
	}
	w.Flush()
	fmt.Fprintln(c.out)
	return w.Error()
}

func (c *groupCommand) oneGroup() bool { return len(c.Strings(c.group)) == 1 }

// plan finds the new offsets of a group, as the scenario says.
func (c *groupCommand) plan(ctx context.Context, group string) ([]partitionOffset, error) {
	partitions, err := c.scope(ctx, group)
	if err != nil {
		return nil, err
	}
	switch {
	case c.Has(c.toOffset):
		offset := c.Long(c.toOffset)
		if err := c.Err(); err != nil {
			return nil, err
		}
		rows := make([]partitionOffset, len(partitions))
		for i, tp := range partitions {
			rows[i] = partitionOffset{tp, offset}
		}
		return c.clamp(ctx, rows)
	case c.Has(c.toEarliest):
		return c.at(ctx, partitions, earliestTime)
	case c.Has(c.toLatest):
		return c.at(ctx, partitions, latestTime)
	case c.Has(c.shiftBy):
		return c.shift(ctx, group, partitions)
	case c.Has(c.toDatetime), c.Has(c.byDuration):
		time, err := c.time()
		if err != nil {
			return nil, err
		}
		return c.at(ctx, partitions, time)
	case c.Has(c.fromFile):
		return c.planFromFile(ctx, group)
	case c.Has(c.toCurrent):
		return c.keep(ctx, group, partitions)
	}
	return nil, jopt.Usagef("Option '%s' requires one of the following scenarios: %s", c.reset, c.scenarioNames())
}

// scope finds the partitions that are to be reset.
func (c *groupCommand) scope(ctx context.Context, group string) ([]model.TopicPartition, error) {
	switch {
	case c.Has(c.allTopics):
		offsets, err := c.client.committedOffsets(ctx, group)
		if err != nil {
			return nil, err
		}
		return offsets.partitions, nil
	case c.Has(c.topic):
		return c.topicScope(ctx, c.Strings(c.topic))
	case c.Has(c.fromFile):
		return nil, nil
	}
	return nil, jopt.Usagef("One of the reset scopes should be defined: --all-topics, --topic.")
}

// topicScope reads --topic: the partitions that are written out, then those of
// whole topics.
func (c *groupCommand) topicScope(ctx context.Context, words []string) ([]model.TopicPartition, error) {
	var partitions []model.TopicPartition
	var topics []string
	for _, word := range words {
		if !strings.Contains(word, ":") {
			topics = append(topics, word)
			continue
		}
		written, err := parseTopicPartitions(word)
		if err != nil {
			return nil, err
		}
		partitions = append(partitions, written...)
	}
	for _, topic := range hashMapOrder(topics, 16) {
		all, err := c.client.topicPartitions(ctx, topic)
		if err != nil {
			return nil, err
		}
		partitions = append(partitions, all...)
	}
	return partitions, nil
}

// parseTopicPartitions reads "orders:0,1".
func parseTopicPartitions(word string) ([]model.TopicPartition, error) {
	parts := splitLikeJava(word, ":")
	if len(parts) < 2 {
		return nil, exceptionf("java.lang.ArrayIndexOutOfBoundsException", "Index %[1]d out of bounds for length %[1]d", len(parts))
	}
	var partitions []model.TopicPartition
	for _, number := range splitLikeJava(parts[1], ",") {
		n, err := strconv.ParseInt(number, 10, 32)
		if err != nil {
			return nil, exceptionf(numberFormat, "For input string: \"%s\"", number)
		}
		partitions = append(partitions, model.TopicPartition{Topic: parts[0], Partition: int32(n)})
	}
	return partitions, nil
}

// splitLikeJava is String.split: empty pieces at the end do not count.
func splitLikeJava(text, separator string) []string {
	parts := strings.Split(text, separator)
	for len(parts) > 0 && parts[len(parts)-1] == "" {
		parts = parts[:len(parts)-1]
	}
	return parts
}

// at finds the offsets of a time; where there is no such record, the end.
func (c *groupCommand) at(ctx context.Context, partitions []model.TopicPartition, time int64) ([]partitionOffset, error) {
	found, err := c.client.listOffsets(ctx, partitions, time)
	if err != nil {
		return nil, err
	}
	var without []model.TopicPartition
	for _, tp := range partitions {
		if found[tp] < 0 {
			without = append(without, tp)
		}
	}
	ends, err := c.client.listOffsets(ctx, without, latestTime)
	if err != nil {
		return nil, err
	}
	rows := make([]partitionOffset, len(partitions))
	for i, tp := range partitions {
		rows[i] = partitionOffset{tp, found[tp]}
		if found[tp] < 0 {
			rows[i].offset = ends[tp]
		}
	}
	return rows, nil
}

// shift moves what the group has committed.
func (c *groupCommand) shift(ctx context.Context, group string, partitions []model.TopicPartition) ([]partitionOffset, error) {
	by := c.Long(c.shiftBy)
	if err := c.Err(); err != nil {
		return nil, err
	}
	offsets, err := c.client.committedOffsets(ctx, group)
	if err != nil {
		return nil, err
	}
	rows := make([]partitionOffset, len(partitions))
	for i, tp := range partitions {
		current, ok := offsets.offsets[tp]
		if !ok {
			return nil, exceptionf(illegalArgument, "Cannot shift offset for partition %s since there is no current committed offset", tp)
		}
		rows[i] = partitionOffset{tp, current + by}
	}
	return c.clamp(ctx, rows)
}

// keep takes what the group has committed, and the end where it has nothing.
func (c *groupCommand) keep(ctx context.Context, group string, partitions []model.TopicPartition) ([]partitionOffset, error) {
	offsets, err := c.client.committedOffsets(ctx, group)
	if err != nil {
		return nil, err
	}
	var rows []partitionOffset
	var without []model.TopicPartition
	for _, tp := range partitions {
		if current, ok := offsets.offsets[tp]; ok {
			rows = append(rows, partitionOffset{tp, current})
		} else {
			without = append(without, tp)
		}
	}
	ends, err := c.at(ctx, without, latestTime)
	return append(rows, ends...), err
}

// clamp moves offsets into the logs, with a WARN for each that is moved.
func (c *groupCommand) clamp(ctx context.Context, rows []partitionOffset) ([]partitionOffset, error) {
	partitions := make([]model.TopicPartition, len(rows))
	for i, row := range rows {
		partitions[i] = row.TopicPartition
	}
	starts, err := c.client.listOffsets(ctx, partitions, earliestTime)
	if err != nil {
		return nil, err
	}
	ends, err := c.client.listOffsets(ctx, partitions, latestTime)
	if err != nil {
		return nil, err
	}
	for i, row := range rows {
		start, end := starts[row.TopicPartition], ends[row.TopicPartition]
		switch {
		case row.offset > end:
			c.log.Warnf("New offset (%d) is higher than latest offset for topic partition %s. Value will be set to %d", row.offset, row.TopicPartition, end)
			rows[i].offset = end
		case row.offset < start:
			c.log.Warnf("New offset (%d) is lower than earliest offset for topic partition %s. Value will be set to %d", row.offset, row.TopicPartition, start)
			rows[i].offset = start
		}
	}
	return rows, nil
}

// planFromFile takes the lines of --from-file that are for this group.
func (c *groupCommand) planFromFile(ctx context.Context, group string) ([]partitionOffset, error) {
	path := c.String(c.fromFile)
	if err := c.Err(); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		cause := exceptionf("java.io.IOException", "%s", err)
		if errors.Is(err, fs.ErrNotExist) {
			cause = exceptionf(noSuchFile, "%s", path)
		}
		return nil, causedBy(cause, "java.io.IOException", "Unable to read file %s", path)
	}
	plans, err := c.parsePlans(string(text))
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(plans, func(p groupPlan) bool { return p.group == group })
	if i < 0 {
		c.printError("No reset plan for group " + group + " found")
		return nil, nil
	}
	return c.clamp(ctx, plans[i].offsets)
}

// parsePlans reads "topic,partition,offset" for one group, which is the one
// of --group, or "group,topic,partition,offset".
func (c *groupCommand) parsePlans(text string) ([]groupPlan, error) {
	lines := splitLikeJava(text, "\n")
	if len(lines) == 0 {
		lines = []string{""}
	}
	short := false
	if c.oneGroup() {
		_, err := parsePlanLine(lines[0], 3)
		short = err == nil
	}
	var plans []groupPlan
	for _, line := range lines {
		group, fields := "", 4
		if short {
			group, fields = c.Strings(c.group)[0], 3
		}
		row, err := parsePlanLine(line, fields)
		if err != nil {
			return nil, err
		}
		if !short {
			group = row.group
		}
		i := slices.IndexFunc(plans, func(p groupPlan) bool { return p.group == group })
		if i < 0 {
			plans, i = append(plans, groupPlan{group: group}), len(plans)
		}
		plans[i].offsets = append(plans[i].offsets, row.offsets...)
	}
	return plans, nil
}

// parsePlanLine reads a line of up to so many fields; the last three are
// topic, partition and offset. As with Kafka, what is missing at the end of a
// line is 0.
func parsePlanLine(line string, fields int) (groupPlan, error) {
	reader := csv.NewReader(strings.NewReader(line))
	reader.FieldsPerRecord = -1
	record, err := reader.Read()
	switch {
	case err == io.EOF:
		return groupPlan{}, exceptionf(mismatchedInput, "No content to map due to end-of-input\n at [Source: UNKNOWN; line: -1, column: -1]")
	case err != nil:
		return groupPlan{}, exceptionf(mismatchedInput, "%q is not a line of CSV: %s", line, err)
	case len(record) > fields:
		return groupPlan{}, exceptionf(mismatchedInput, "%q has more than the %d fields %s", line, fields, planForms[fields])
	}
	for len(record) < fields-2 {
		record = append(record, "null")
	}
	numbers := [2]int64{}
	for i, word := range record[fields-2:] {
		if numbers[i], err = strconv.ParseInt(strings.TrimSpace(word), 10, 64); err != nil || i == 0 && int64(int32(numbers[i])) != numbers[i] {
			return groupPlan{}, exceptionf("com.fasterxml.jackson.databind.exc.InvalidFormatException",
				"%q: %q is not a number, in a line of the form %s", line, word, planForms[fields])
		}
	}
	tp := model.TopicPartition{Topic: record[fields-3], Partition: int32(numbers[0])}
	return groupPlan{record[0], []partitionOffset{{tp, numbers[1]}}}, nil
}

const mismatchedInput = "com.fasterxml.jackson.databind.exc.MismatchedInputException"

var planForms = map[int]string{3: "topic,partition,offset", 4: "group,topic,partition,offset"}
