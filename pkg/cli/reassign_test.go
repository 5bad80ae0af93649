package cli

import (
	"bytes"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"gregor/pkg/admin"
	"gregor/pkg/model"
)

func ids(list ...model.BrokerID) []model.BrokerID { return list }

func r1(partition int32) model.TopicPartition {
	return model.TopicPartition{Topic: "r1", Partition: partition}
}

// As Kafka 2.8.2 throttled: a second reassignment beside one that runs.
func TestThrottlesOfMoves(t *testing.T) {
	running := map[model.TopicPartition]runningMove{r1(0): {replicas: ids(2, 1, 0), adding: ids(2), removing: ids(0)}}
	p, err := parseProposal([]byte(`{"partitions":[{"topic":"r1","partition":1,"replicas":[1,2]},{"topic":"r1","partition":10,"replicas":[3,4]}]}`))
	require.NoError(t, err)
	moves, err := planMoves(running, p, map[model.TopicPartition][]model.BrokerID{r1(1): ids(1, 2), r1(10): ids(4, 5)})
	require.NoError(t, err)
	topics, brokers := throttles(moves)
	require.Equal(t, map[string]throttledReplicas{"r1": {leader: "0:0,0:1,10:4,10:5,1:1,1:2", follower: "0:2,10:3"}}, topics)
	require.Equal(t, ids(0, 1, 2, 3, 4, 5), brokers)

	_, err = planMoves(nil, p, nil)
	require.EqualError(t, err, "Trying to reassign a topic partition r1-1 with 0 replicas")
}

func TestProposalsThatAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		``:                             "The input string shouldn't be empty\n at [Source: UNKNOWN; line: -1, column: -1]",
		`xx`:                           "The input string is not a valid JSON",
		`[]`:                           "Expected JSON object, received []",
		`{"version":2}`:                "Not supported version field value 2",
		`{"version":"x"}`:              "Expected `Int` value, received \"x\"",
		`{"partitions":5}`:             "Expected JSON array, received 5",
		`{"partitions":[{"topic":5}]}`: "Expected `String` value, received 5",
		`{"partitions":[{"topic":"r1","replicas":[0]}]}`:                                    "No such field exists: `partition`",
		`{"partitions":[{"topic":"r1","partition":0}]}`:                                     "No such field exists: `replicas`",
		`{"partitions":[{"topic":"r1","partition":0,"replicas":["a"]}]}`:                    "Expected `Int` value, received \"a\"",
		`{"partitions":[{"topic":"r1","partition":0,"replicas":[0,1],"log_dirs":["any"]}]}`: "Size of replicas list List(0, 1) is different from size of log dirs list List(any) for partition r1-0",
		`{}`: "Partition reassignment list cannot be empty",
		`{"partitions":[{"topic":"r1","partition":0,"replicas":[]}]}`:                                              "Partition replica list cannot be empty",
		`{"partitions":[{"topic":"r1","partition":0,"replicas":[0]},{"topic":"r1","partition":0,"replicas":[0]}]}`: "Partition reassignment contains duplicate topic partitions: r1-0",
		`{"partitions":[{"topic":"r1","partition":0,"replicas":[0,0]}]}`:                                           "Partition replica lists may not contain duplicate entries: r1-0 contains multiple entries for 0",
	} {
		p, err := parseProposal([]byte(text))
		if err == nil {
			err = p.checkExecutable()
		}
		require.EqualError(t, err, want, text)
	}
}

// TestDirProgress holds the sentence for each state of a replica.
func TestDirProgress(t *testing.T) {
	at := func(broker model.BrokerID) replicaOf { return replicaOf{r1(0), broker} }
	p := &proposal{dirs: map[replicaOf]string{}}
	states := map[replicaOf]dirProgress{at(1): {true, "", ""}, at(2): {true, "/a", "/b"}, at(3): {true, "/a", "/c"}, at(4): {true, "/b", ""}, at(5): {true, "/a", ""}}
	var out bytes.Buffer
	require.False(t, showDirProgress(&out, p, states))
	require.Equal(t, "\n", out.String())
	for broker := range model.BrokerID(6) {
		p.dirs[at(broker)] = "/b"
	}
	out.Reset()
	require.True(t, showDirProgress(&out, p, states))
	require.Equal(t, `Partition r1-0 cannot be found in any live log directory on broker 0.
Partition r1-0 is not found in any live log dir on broker 1. There is likely an offline log directory on the broker.
Reassignment of replica r1-0-2 is still in progress.
Partition r1-0 on broker 3 is being moved to log dir /c instead of /b.
Reassignment of replica r1-0-4 completed successfully.
Partition r1-0 on broker 5 is not being moved from log dir /a to /b.
`, out.String())
	for _, done := range []model.BrokerID{0, 1, 2, 3} {
		delete(p.dirs, at(done))
	}
	require.False(t, showDirProgress(&out, p, states), "nothing moves any more")
}

// Whatever is proposed keeps the number of replicas, uses only the brokers
// that were asked for, each once a partition, and can be read back.
func TestProposals(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		brokers := rapid.IntRange(1, 6).Draw(t, "brokers")
		factor := rapid.IntRange(1, brokers).Draw(t, "replication factor")
		partitions := rapid.Int32Range(1, 12).Draw(t, "partitions")
		var all []admin.Candidate
		racks := []string{"a", "b"}
		for i := range brokers + 2 {
			all = append(all, admin.Candidate{ID: model.BrokerID(i), Rack: &racks[i%2]})
		}
		c := &reassignCommand{rackAware: rapid.Bool().Draw(t, "rack aware")}
		for i := range brokers {
			c.brokers = append(c.brokers, int32(i))
		}
		current := map[model.TopicPartition][]model.BrokerID{}
		for n := range partitions {
			for i := range factor {
				current[r1(n)] = append(current[r1(n)], model.BrokerID(100+i))
			}
		}
		chosen, err := c.placementBrokers(all)
		require.NoError(t, err)
		proposed, err := proposeReplicas(current, chosen)
		require.NoError(t, err)
		text, err := assignmentJSON(proposed)
		require.NoError(t, err)
		p, err := parseProposal([]byte(text))
		require.NoError(t, err)
		require.NoError(t, p.checkExecutable())
		require.Len(t, p.replicas, int(partitions))
		for _, replicas := range p.replicas {
			require.Len(t, replicas, factor)
			require.Less(t, slices.Max(replicas), model.BrokerID(brokers))
		}
	})
}

func FuzzParseProposal(f *testing.F) {
	f.Add([]byte(`{"version":1,"partitions":[{"topic":"t","partition":0,"replicas":[1,2],"log_dirs":["any","/a"]}]}`))
	f.Add([]byte(`{"partitions":[null]}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		if p, err := parseProposal(content); err == nil {
			_ = p.checkExecutable() // may refuse, must not panic
			c := reassignCommand{}
			_ = c.parseGenerate(content, "0")
		}
	})
}
