package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"gregor/pkg/model"
)

// groupStates are the states that --list --state takes, as it names them.
var groupStates = []string{"PreparingRebalance", "CompletingRebalance", "Stable", "Dead", "Empty"}

// listGroups is --list.
func (c *groupCommand) listGroups(ctx context.Context) error {
	if !c.Has(c.state) {
		groups, err := c.client.listGroups(ctx, nil)
		for _, g := range groups {
			fmt.Fprintln(c.out, g.Group)
		}
		return err
	}
	states, err := c.chosenStates()
	if err != nil {
		return err
	}
	groups, err := c.client.listGroups(ctx, states)
	if err != nil {
		return err
	}
	width := 15
	for _, g := range groups {
		width = max(width, javaLength(g.Group))
	}
	fmt.Fprintf(c.out, "%-*s %s\n", width, "GROUP", "STATE")
	for _, g := range groups {
		fmt.Fprintf(c.out, "%-*s %s\n", width, g.Group, g.GroupState)
	}
	return nil
}

// chosenStates reads the value of --state; none means all.
func (c *groupCommand) chosenStates() ([]string, error) {
	text := c.String(c.state)
	if err := c.Err(); err != nil || text == "" {
		return nil, err
	}
	var states []string
	for word := range strings.SplitSeq(text, ",") {
		state := strings.TrimSpace(word)
		if !slices.Contains(groupStates, state) {
			return nil, exceptionf(illegalArgument, "Invalid state list '%s'. Valid states are: %s", text, strings.Join(groupStates, ", "))
		}
		if !slices.Contains(states, state) {
			states = append(states, state)
		}
	}
	return states, nil
}

// javaLength is the length of a string as Java counts it.
func javaLength(s string) int {
	n := 0
	for _, r := range s {
		n++
		if r > 0xffff {
			n++
		}
	}
	return n
}

// describeGroups is --describe.
func (c *groupCommand) describeGroups(ctx context.Context) error {
	ids, err := c.groupIDs(ctx)
	if err != nil {
		return err
	}
	groups, err := c.client.describe(ctx, ids)
	if err != nil {
		return err
	}
	if c.Count(c.members, c.state) == 0 {
		return c.describeOffsets(ctx, groups)
	}
	for _, id := range sortedKeys(groups) {
		if c.Has(c.members) {
			err = c.showMembers(groups[id])
		} else {
			err = c.showState(groups[id])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// worthShowing tells of the state of a group and reports whether its rows are
// to be shown.
func (c *groupCommand) worthShowing(g *groupDescription, rows int) (bool, error) {
	switch g.State {
	case "Stable":
	case "Dead":
		c.printError("Consumer group '" + g.Group + "' does not exist.")
		return false, nil
	case "Empty":
		fmt.Fprintf(c.err, "\nConsumer group '%s' has no active members.\n", g.Group)
	case "PreparingRebalance", "CompletingRebalance":
		fmt.Fprintf(c.err, "\nWarning: Consumer group '%s' is rebalancing.\n", g.Group)
	default:
		return false, exceptionf(kafkaException, "Expected a valid consumer group state, but found 'Unknown'.")
	}
	return rows > 0, nil
}

// none is what a column without a value shows.
const none = "-"

// offsetRow is a line of --describe --offsets.
type offsetRow struct {
	partition                model.TopicPartition
	current                  *int64
	consumer, host, clientID string
}

// describeOffsets shows where groups are. All requests come before the first
// line of output.
func (c *groupCommand) describeOffsets(ctx context.Context, groups map[string]*groupDescription) error {
	rows, ends := map[string][]offsetRow{}, map[string]map[model.TopicPartition]int64{}
	for id, g := range groups {
		offsets, err := c.client.committedOffsets(ctx, id)
		if err != nil {
			return err
		}
		rows[id] = offsetRows(g, offsets)
		if len(rows[id]) == 0 {
			continue
		}
		partitions := make([]model.TopicPartition, 0, len(rows[id]))
		for _, row := range rows[id] {
			partitions = append(partitions, row.partition)
		}
		if ends[id], err = c.client.listOffsets(ctx, partitions, latestTime); err != nil {
			return err
		}
	}
	for _, id := range sortedKeys(groups) {
		show, err := c.worthShowing(groups[id], len(rows[id]))
		if err != nil {
			return err
		}
		if show {
			c.showOffsets(id, rows[id], ends[id])
		}
	}
	return nil
}

// offsetRows lists the partitions of the members, those with the most first,
// then the ones that have an offset but no member. The order of a member's
// partitions, and that of the others, is as it falls out of Kafka's maps.
func offsetRows(g *groupDescription, offsets *committed) []offsetRow {
	members := slices.DeleteFunc(slices.Clone(g.members), func(m groupMember) bool { return len(m.partitions) == 0 })
	slices.SortStableFunc(members, func(a, b groupMember) int { return len(b.partitions) - len(a.partitions) })
	var rows []offsetRow
	assigned := map[model.TopicPartition]bool{}
	add := func(partitions []model.TopicPartition, row offsetRow) {
		for _, tp := range partitions {
			row.partition, row.current = tp, nil
			if offset, ok := offsets.offsets[tp]; ok {
				row.current = &offset
			}
			rows = append(rows, row)
		}
	}
	for _, m := range members {
		partitions := slices.Clone(m.partitions)
		slices.SortStableFunc(partitions, func(a, b model.TopicPartition) int { return cmp.Compare(a.Partition, b.Partition) })
		for _, tp := range partitions {
			assigned[tp] = true
		}
		add(scalaMapOrder(partitions), offsetRow{consumer: m.MemberID, host: m.ClientHost, clientID: m.ClientID})
	}
	unassigned := slices.DeleteFunc(slices.Clone(offsets.partitions), func(tp model.TopicPartition) bool { return assigned[tp] })
	add(unassigned, offsetRow{consumer: none, host: none, clientID: none})
	return rows
}

func (c *groupCommand) showOffsets(group string, rows []offsetRow, ends map[model.TopicPartition]int64) {
	groupWidth, topic, consumer, host := max(15, javaLength(group)), 15, 15, 15
	for _, row := range rows {
		topic, consumer, host = max(topic, javaLength(row.partition.Topic)), max(consumer, javaLength(row.consumer)), max(host, javaLength(row.host))
	}
	line := func(words ...string) {
		fmt.Fprintf(c.out, "%-*s %-*s %-10s %-15s %-15s %-15s %-*s %-*s %s\n", groupWidth, words[0], topic, words[1], words[2], words[3],
			words[4], words[5], consumer, words[6], host, words[7], words[8])
	}
	fmt.Fprintln(c.out)
	line("GROUP", "TOPIC", "PARTITION", "CURRENT-OFFSET", "LOG-END-OFFSET", "LAG", "CONSUMER-ID", "HOST", "CLIENT-ID")
	for _, row := range rows {
		current, lag, end := none, none, ends[row.partition]
		if row.current != nil {
			current, lag = strconv.FormatInt(*row.current, 10), strconv.FormatInt(end-*row.current, 10)
		}
		line(group, row.partition.Topic, strconv.Itoa(int(row.partition.Partition)), current, strconv.FormatInt(end, 10), lag,
			row.consumer, row.host, row.clientID)
	}
}

// showMembers is --describe --members.
func (c *groupCommand) showMembers(g *groupDescription) error {
	show, err := c.worthShowing(g, len(g.members))
	if !show {
		return err
	}
	group, consumer, instance, host, client, static := max(15, javaLength(g.Group)), 15, 17, 15, 15, false
	for _, m := range g.members {
		consumer, host, client = max(consumer, javaLength(m.MemberID)), max(host, javaLength(m.ClientHost)), max(client, javaLength(m.ClientID))
		if m.InstanceID != nil && *m.InstanceID != "" {
			static, instance = true, max(instance, javaLength(*m.InstanceID))
		}
	}
	line := func(groupID, consumerID, instanceID, hostName, clientID, partitions, assignment string) {
		fmt.Fprintf(c.out, "%-*s %-*s ", group, groupID, consumer, consumerID)
		if static {
			fmt.Fprintf(c.out, "%-*s ", instance, instanceID)
		}
		fmt.Fprintf(c.out, "%-*s %-*s %-15s ", host, hostName, client, clientID, partitions)
		if c.Has(c.verbose) {
			fmt.Fprint(c.out, assignment)
		}
		fmt.Fprintln(c.out)
	}
	fmt.Fprintln(c.out)
	line("GROUP", "CONSUMER-ID", "GROUP-INSTANCE-ID", "HOST", "CLIENT-ID", "#PARTITIONS", "ASSIGNMENT")
	for _, m := range g.members {
		instanceID := ""
		if m.InstanceID != nil {
			instanceID = *m.InstanceID
		}
		line(g.Group, m.MemberID, instanceID, m.ClientHost, m.ClientID, strconv.Itoa(len(m.partitions)), assignmentText(m.partitions))
	}
	return nil
}

// assignmentText writes partitions as "orders(0,1), users(2)".
func assignmentText(partitions []model.TopicPartition) string {
	if len(partitions) == 0 {
		return none
	}
	var words []string
	for topic, numbers := range byTopic(partitions) {
		slices.Sort(numbers)
		words = append(words, topic+"("+joinIDs(numbers)+")")
	}
	slices.Sort(words)
	return strings.Join(words, ", ")
}

// showState is --describe --state.
func (c *groupCommand) showState(g *groupDescription) error {
	show, err := c.worthShowing(g, 1)
	if !show {
		return err
	}
	coordinator := fmt.Sprintf("%s:%d (%d)", g.coordinator.host, g.coordinator.port, g.coordinator.id)
	width := max(25, len(coordinator))
	line := func(words ...any) {
		fmt.Fprintf(c.out, "%-*s %-25s %-20s %-15s %v\n", append([]any{width}, words...)...)
	}
	fmt.Fprintln(c.out)
	line("GROUP", "COORDINATOR (ID)", "ASSIGNMENT-STRATEGY", "STATE", "#MEMBERS")
	line(g.Group, coordinator, g.Protocol, g.State, len(g.members))
	return nil
}
