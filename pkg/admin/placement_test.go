package admin

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"gregor/pkg/kerr"
	"gregor/pkg/model"
)

func rack(name string) *string { return &name }

// TestPlacementIsKafkas compares with placements that Kafka 2.8.2 made.
func TestPlacementIsKafkas(t *testing.T) {
	f, err := os.Open("testdata/placement.txt")
	require.NoError(t, err)
	defer f.Close()
	rows := 0
	for lines := bufio.NewScanner(f); lines.Scan(); {
		head, want, ok := strings.Cut(lines.Text(), " {")
		if !ok {
			continue
		}
		var n [6]int
		for i, word := range strings.Fields(head) {
			n[i], err = strconv.Atoi(word)
			require.NoError(t, err)
		}
		racks, brokers := n[0], []Candidate{}
		for i := range n[1] {
			c := Candidate{ID: model.BrokerID(2*i + 1)}
			if racks > 0 {
				c.Rack = rack(fmt.Sprintf("r%d", (i*7+i/2)%racks))
			}
			brokers = append(brokers, c)
		}
		got, err := AssignReplicas(brokers, int32(n[2]), n[3], Placement{Fixed: true, Start: n[4], FirstPartition: int32(n[5])})
		require.NoError(t, err)
		var parts []string
		for p := int32(n[5]); p < int32(n[5]+n[2]); p++ {
			parts = append(parts, fmt.Sprintf("%d=%s", p, strings.ReplaceAll(list(got[p]), ", ", ",")))
		}
		require.Equal(t, want, strings.Join(parts, ", ")+"}", head)
		rows++
	}
	require.Equal(t, 32, rows)
}

// TestPlacementSpreads holds what every placement must keep to.
func TestPlacementSpreads(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 12).Draw(t, "brokers")
		racks := rapid.IntRange(0, 4).Draw(t, "racks")
		factor := rapid.IntRange(1, n).Draw(t, "factor")
		partitions := rapid.Int32Range(1, 40).Draw(t, "partitions")
		var brokers []Candidate
		present := map[string]bool{}
		for i := range n {
			c := Candidate{ID: model.BrokerID(i)}
			if racks > 0 {
				c.Rack = rack(strconv.Itoa(rapid.IntRange(0, racks-1).Draw(t, "rack")))
				present[*c.Rack] = true
			}
			brokers = append(brokers, c)
		}
		got, err := AssignReplicas(brokers, partitions, factor, Placement{Draw: func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "draw") }})
		if err != nil {
			t.Fatal(err)
		}
		leads := map[model.BrokerID]int{}
		for p := range partitions {
			if len(unique(got[p])) != factor {
				t.Fatalf("partition %d has replicas %v", p, got[p])
			}
			leads[got[p][0]]++
			used := map[string]bool{}
			for _, id := range got[p] {
				if racks > 0 {
					used[*brokers[id].Rack] = true
				}
			}
			if racks > 0 && len(used) != min(factor, len(present)) {
				t.Fatalf("partition %d uses %d racks of %d", p, len(used), len(present))
			}
		}
		for id, count := range leads {
			if most := (int(partitions) + n - 1) / n; count > most {
				t.Fatalf("broker %d leads %d of %d", id, count, partitions)
			}
		}
	})
}

func TestPlacementRefusals(t *testing.T) {
	two := []Candidate{{ID: 2}, {ID: 1}}
	for _, tc := range []struct {
		name       string
		brokers    []Candidate
		partitions int32
		factor     int
		code       int16
		text       string
	}{
		{"no partitions", two, 0, 1, kerr.InvalidPartitions.Code, "Number of partitions must be larger than 0."},
		{"too many partitions", two, 2_000_000_000, 1, kerr.InvalidPartitions.Code, "Number of partitions must not be larger than 524288: more do not fit into a topic's znode."},
		{"no replicas", two, 1, 0, kerr.InvalidReplicationFactor.Code, "Replication factor must be larger than 0."},
		{"too many replicas", two, 1, 3, kerr.InvalidReplicationFactor.Code, "Replication factor: 3 larger than available brokers: 2."},
		{"nobody is there", nil, 1, 1, kerr.InvalidReplicationFactor.Code, "Replication factor: 1 larger than available brokers: 0."},
		{"some racks", []Candidate{{ID: 1, Rack: rack("a")}, {ID: 2}}, 1, 1, kerr.UnknownServerError.Code, "Not all brokers have rack information for replica rack aware assignment."},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := AssignReplicas(tc.brokers, tc.partitions, tc.factor, Placement{})
			require.EqualError(t, err, tc.text)
			require.Equal(t, tc.code, kerr.Code(err))
		})
	}
	got, err := AssignReplicas(two, 2, 1, Placement{Fixed: true})
	require.NoError(t, err)
	require.Equal(t, []model.BrokerID{1}, got[0], "brokers count by their ids")
	require.Equal(t, []Candidate{{ID: 2}, {ID: 1}}, two, "the caller's list stays as it is")
}

func TestTopicNames(t *testing.T) {
	long := strings.Repeat("x", 250)
	for name, want := range map[string]string{
		"":         "Topic name is illegal, it can't be empty",
		".":        `Topic name cannot be "." or ".."`,
		"..":       `Topic name cannot be "." or ".."`,
		"a b":      `Topic name "a b" is illegal, it contains a character other than ASCII alphanumerics, '.', '_' and '-'`,
		"größe":    `Topic name "größe" is illegal, it contains a character other than ASCII alphanumerics, '.', '_' and '-'`,
		"a/../b":   `Topic name "a/../b" is illegal, it contains a character other than ASCII alphanumerics, '.', '_' and '-'`,
		long:       "Topic name is illegal, it can't be longer than 249 characters, topic name: " + long,
		"...":      "",
		"A-z_0.9":  "",
		long[:249]: "",
	} {
		err := ValidateTopicName(name)
		if want == "" {
			require.NoError(t, err)
			continue
		}
		require.EqualError(t, err, want)
		require.Equal(t, kerr.InvalidTopicException.Code, kerr.Code(err))
	}
	require.True(t, HasCollisionChars("a.b") && HasCollisionChars("a_b") && !HasCollisionChars("a-b"))
	require.True(t, TopicNamesCollide("a.b_c", "a_b.c"))
	require.False(t, TopicNamesCollide("a.b", "a-b"))
}

func FuzzTopicName(f *testing.F) {
	for _, seed := range []string{"", ".", "a.b", "a/b", "\x00", "größe", strings.Repeat("x", 300)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if ValidateTopicName(name) != nil {
			return
		}
		require.LessOrEqual(t, len(name), 249)
		require.False(t, slices.ContainsFunc([]byte(name), func(b byte) bool { return b <= ' ' || b == '/' || b > '~' }), "%q", name)
	})
}
