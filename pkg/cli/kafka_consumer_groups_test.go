package cli

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"

	"gregor/pkg/model"
)

func partitionsOf(topic string, numbers ...int32) []model.TopicPartition {
	partitions := make([]model.TopicPartition, len(numbers))
	for i, n := range numbers {
		partitions[i] = model.TopicPartition{Topic: topic, Partition: n}
	}
	return partitions
}

// The orders are those that the tools of 2.8.2 print.
func TestOrderOfPartitionsInMaps(t *testing.T) {
	wide := partitionsOf("wide", 0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
	require.Equal(t, partitionsOf("wide", 5, 1, 4, 3, 9, 6, 8, 2, 0, 7), scalaMapOrder(wide))
	require.Equal(t, partitionsOf("w2", 4, 2, 3, 0, 1), scalaMapOrder(partitionsOf("w2", 0, 1, 2, 3, 4)))
	require.Equal(t, partitionsOf("w5", 0, 1, 2, 3), scalaMapOrder(partitionsOf("w5", 0, 1, 2, 3)))

	three := append(append(partitionsOf("w2", 0, 1, 2, 3, 4), partitionsOf("w5", 0, 1, 2, 3)...), partitionsOf("w9", 0, 1, 2)...)
	want := append(append(partitionsOf("w9", 2, 1, 0), partitionsOf("w2", 4, 3, 2, 1, 0)...), partitionsOf("w5", 3, 2, 1, 0)...)
	require.Equal(t, want, partitionsInHashOrder(three, 16))
	require.Equal(t, wide, partitionsInHashOrder(wide, 16))
}

func TestOrdersLoseNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var partitions []model.TopicPartition
		for _, topic := range rapid.SliceOfDistinct(rapid.StringMatching(`[a-z]{1,3}`), rapid.ID[string]).Draw(t, "topics") {
			for n := range rapid.Int32Range(0, 40).Draw(t, "partitions") {
				partitions = append(partitions, model.TopicPartition{Topic: topic, Partition: n})
			}
		}
		require.ElementsMatch(t, partitions, scalaMapOrder(partitions))
		require.ElementsMatch(t, partitions, partitionsInHashOrder(partitions, 16))
	})
}

func TestDatetimes(t *testing.T) {
	at := func(year int, month time.Month, day, hour, minute, second, ms int) int64 {
		return time.Date(year, month, day, hour, minute, second, ms*1e6, time.UTC).UnixMilli()
	}
	for text, want := range map[string]int64{
		"2026-11-20T10:20:30.456":       at(2026, 11, 20, 10, 20, 30, 456),
		"2026-11-20T10:20:30.456Z":      at(2026, 11, 20, 10, 20, 30, 456),
		"2026-11-20T10:20:30.456+01:00": at(2026, 11, 20, 9, 20, 30, 456),
		"2026-11-20T10:20:30.456-0130":  at(2026, 11, 20, 11, 50, 30, 456),
		"2026-11-20T10:20:30.456+02":    at(2026, 11, 20, 8, 20, 30, 456),
		"2026-1-2T3:4:5.6":              at(2026, 1, 2, 3, 4, 5, 6),
	} {
		got, err := parseJavaDatetime(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	for text, want := range map[string]string{
		"yesterday":               "Error parsing timestamp. It does not contain a 'T' according to ISO8601 format",
		"2026-11-20T":             "Error parsing timestamp. It does not contain a 'T' according to ISO8601 format",
		"2026-11-20T10:20:30":     `Unparseable date: "2026-11-20T10:20:30Z"`,
		"2026-13-02T03:04:05.600": `Unparseable date: "2026-13-02T03:04:05.600Z"`,
		"2026-02-29T03:04:05.600": `Unparseable date: "2026-02-29T03:04:05.600Z"`,
		"2026-02-28T24:00:00.000": `Unparseable date: "2026-02-28T24:00:00.000Z"`,
		"99999999999-1-1T1:1:1.0": `Unparseable date: "99999999999-1-1T1:1:1.0Z"`,
	} {
		_, err := parseJavaDatetime(text)
		require.EqualError(t, err, want, text)
		require.Equal(t, parseException, javaClass(err))
	}
}

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"P1D": 24 * time.Hour, "PT1H30M": 90 * time.Minute, "P1DT1H1M1.5S": 25*time.Hour + time.Minute + 1500*time.Millisecond,
		"-P1D": -24 * time.Hour, "P-1D": -24 * time.Hour, "PT-1.5S": -1500 * time.Millisecond, "PT0S": 0, "pt5m": 5 * time.Minute,
	} {
		got, err := parseJavaDuration(text)
		require.NoError(t, err, text)
		require.Equal(t, want.Milliseconds(), got, text)
	}
	for _, text := range []string{"", "P", "PT", "P1DT", "P1X", "1D", "P1H", "PT1D", "PT.5S", "P99999999999999999999D"} {
		_, err := parseJavaDuration(text)
		require.EqualError(t, err, "Text cannot be parsed to a Duration", text)
	}
	_, err := parseJavaDuration("P999999999999D")
	require.EqualError(t, err, "long overflow")
}

func FuzzTimes(f *testing.F) {
	for _, seed := range []string{"2026-11-20T10:20:30.456+01:00", "P1DT1H1M1.5S", "-PT-1S", "T", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		parseJavaDatetime(text)
		parseJavaDuration(text)
		parsePlanLine(text, 3)
		parsePlanLine(text, 4)
		parseTopicPartitions(text)
	})
}

// planCommand is a command with the given --group options.
func planCommand(t *testing.T, groups ...string) *groupCommand {
	t.Helper()
	args := []string{"--bootstrap-server", "x:1"}
	for _, g := range groups {
		args = append(args, "--group", g)
	}
	o := newGroupOptions()
	set, err := o.parser.Parse(args)
	require.NoError(t, err)
	o.Set = set
	return &groupCommand{groupOptions: o}
}

func TestPlansOfFiles(t *testing.T) {
	row := func(topic string, partition int32, offset int64) partitionOffset {
		return partitionOffset{model.TopicPartition{Topic: topic, Partition: partition}, offset}
	}
	one, two := planCommand(t, "g1"), planCommand(t, "g1", "g2")

	plans, err := one.parsePlans("keyed,0,5\n\"with,comma\",1,6\n\n")
	require.NoError(t, err)
	require.Equal(t, []groupPlan{{"g1", []partitionOffset{row("keyed", 0, 5), row("with,comma", 1, 6)}}}, plans)

	plans, err = two.parsePlans("g1,keyed,0,5\ng2,keyed,1,6\ng1,keyed,2,7\n")
	require.NoError(t, err)
	require.Equal(t, []groupPlan{{"g1", []partitionOffset{row("keyed", 0, 5), row("keyed", 2, 7)}}, {"g2", []partitionOffset{row("keyed", 1, 6)}}}, plans)

	plans, err = one.parsePlans("g9,keyed,0,5") // with the group, though one is asked for
	require.NoError(t, err)
	require.Equal(t, []groupPlan{{"g9", []partitionOffset{row("keyed", 0, 5)}}}, plans)

	plans, err = one.parsePlans("keyed") // what is missing is 0
	require.NoError(t, err)
	require.Equal(t, []groupPlan{{"g1", []partitionOffset{row("keyed", 0, 0)}}}, plans)

	for text, want := range map[string]string{
		"":                       "No content to map due to end-of-input\n at [Source: UNKNOWN; line: -1, column: -1]",
		"keyed,0,5\nkeyed,x,5":   `"keyed,x,5": "x" is not a number, in a line of the form topic,partition,offset`,
		"a,b,c,d,e":              `"a,b,c,d,e" has more than the 4 fields group,topic,partition,offset`,
		"keyed,0,5\nkeyed,3e9,5": `"keyed,3e9,5": "3e9" is not a number, in a line of the form topic,partition,offset`,
	} {
		_, err := one.parsePlans(text)
		require.EqualError(t, err, want, text)
	}
}

func TestRowsOfAGroup(t *testing.T) {
	member := func(id string, partitions ...model.TopicPartition) groupMember {
		return groupMember{kmsg.DescribeGroupsResponseGroupMember{MemberID: id, ClientID: "c", ClientHost: "/h"}, partitions}
	}
	g := &groupDescription{members: []groupMember{member("none"), member("one", partitionsOf("t", 0)...), member("two", partitionsOf("t", 2, 1)...)}}
	offsets := &committed{offsets: map[model.TopicPartition]int64{{Topic: "t", Partition: 2}: 7, {Topic: "u", Partition: 0}: 9},
		partitions: append(partitionsOf("u", 0), partitionsOf("t", 2)...)}
	var got []string
	for _, row := range offsetRows(g, offsets) {
		current := none
		if row.current != nil {
			current = string(rune('0' + *row.current))
		}
		got = append(got, row.consumer+" "+row.partition.String()+" "+current)
	}
	require.Equal(t, []string{"two t-1 -", "two t-2 7", "one t-0 -", "- u-0 9"}, got)
}

func TestAssignmentText(t *testing.T) {
	require.Equal(t, "-", assignmentText(nil))
	require.Equal(t, "orders(0,10), users(2)", assignmentText(append(partitionsOf("users", 2), partitionsOf("orders", 10, 0)...)))
}

func TestJavaLength(t *testing.T) {
	require.Equal(t, 5, javaLength("größe"))
	require.Equal(t, 2, javaLength("\U0001F600"))
}

func TestGroupOptionsThatDoNotFit(t *testing.T) {
	const actions = "Command must include exactly one action: --list, --describe, --delete, --reset-offsets, --delete-offsets"
	for _, row := range []struct {
		args []string
		want string
	}{
		{nil, `Missing required argument "[bootstrap-server]"`},
		{[]string{"--list"}, `Missing required argument "[bootstrap-server]"`},
		{[]string{"--bootstrap-server", "x:1"}, actions},
		{[]string{"--bootstrap-server", "x:1", "--list", "--delete", "--all-groups"}, actions},
		{[]string{"--bootstrap-server", "x:1", "--describe"}, "Option [describe] takes one of these options: [group], [all-groups]"},
		{[]string{"--bootstrap-server", "x:1", "--describe", "--group", "g", "--members", "--offsets"},
			"Option [describe] takes at most one of these options: [members], [offsets], [state]"},
		{[]string{"--bootstrap-server", "x:1", "--describe", "--group", "g", "--state", "Stable"}, "Option [describe] does not take a value for [state]"},
		{[]string{"--bootstrap-server", "x:1", "--describe", "--group", "g", "--topic", "t"}, `Option "[topic]" can't be used with option "[describe]"`},
		{[]string{"--bootstrap-server", "x:1", "--describe", "--group", "g", "--all-groups"}, `Option "[group]" can't be used with option "[all-groups]"`},
		{[]string{"--bootstrap-server", "x:1", "--list", "--group", "g"}, `Option "[group]" can't be used with option "[list]"`},
		{[]string{"--bootstrap-server", "x:1", "--delete"}, "Option [delete] takes one of these options: [group], [all-groups]"},
		{[]string{"--bootstrap-server", "x:1", "--delete", "--group", "g", "--topic", "t"},
			"The consumer does not support topic-specific offset deletion from a consumer group."},
		{[]string{"--bootstrap-server", "x:1", "--delete-offsets", "--group", "g"}, "Option [delete-offsets] takes the following options: [group], [topic]"},
		{[]string{"--bootstrap-server", "x:1", "--reset-offsets", "--group", "g", "--execute", "--dry-run"},
			"Option [reset-offsets] only accepts one of [execute] and [dry-run]"},
		{[]string{"--bootstrap-server", "x:1", "--reset-offsets", "--dry-run"}, "Option [reset-offsets] takes one of these options: [group], [all-groups]"},
		{[]string{"--bootstrap-server", "x:1", "--reset-offsets", "--group", "g", "--dry-run", "--to-earliest", "--to-latest", "--to-current"},
			`Option "[to-earliest]" can't be used with option "[to-current]"`},
		{[]string{"--bootstrap-server", "x:1", "--list", "--help"},
			"This tool helps to list all consumer groups, describe a consumer group, delete consumer group info, or reset consumer group offsets."},
		{[]string{"--bootstrap-server", "x:1", "--bootstrap-server", "y:1", "--list"}, "Found multiple arguments for option bootstrap-server, but you asked for only one"},
	} {
		stdout, stderr, status := invoke("", append([]string{"kafka-consumer-groups"}, row.args...)...)
		require.Equal(t, 1, status, row.args)
		require.Empty(t, stdout)
		require.Regexp(t, `^`+regexpQuote(row.want)+"\nOption +Description *\n------ +-----------", stderr)
	}
	_, stderr, status := invoke("", "kafka-consumer-groups", "--bootstrap-server", "x:1", "--list", "--members")
	require.Equal(t, 1, status)
	require.Equal(t, "Exception in thread \"main\" joptsimple.UnavailableOptionException: Option(s) [members] are unavailable given other options on the command line\n", stderr)
}
