package cli

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func regexpQuote(s string) string { return regexp.QuoteMeta(s) }

func TestAPIVersionsText(t *testing.T) {
	text := apiVersionsText([]kmsg.ApiVersionsResponseApiKey{{ApiKey: 70, MaxVersion: 1}, {ApiKey: 0, MinVersion: 3, MaxVersion: 9}, {ApiKey: 1, MinVersion: 13, MaxVersion: 16},
		{ApiKey: 2, MaxVersion: 99}, {ApiKey: 3, MinVersion: -2, MaxVersion: -1}, {ApiKey: 45}, {ApiKey: 55, MaxVersion: 1}})
	lines := strings.Split(text, "\n")
	require.Equal(t, []string{"(", "\tProduce(0): 3 to 9 [usable: 9],", "\tFetch(1): 13 to 16 [unusable: node too new],", "\tListOffsets(2): 0 to 99 [usable: 6],",
		"\tMetadata(3): -2 to -1 [unusable: node too old],", "\tLeaderAndIsr(4): UNSUPPORTED,"}, lines[:6])
	require.Contains(t, text, "\tAlterPartitionReassignments(45): 0 [usable: 0],\n")
	require.Contains(t, text, "\tDescribeQuorum(55): 0 to 1 [usable: 0],\n\tAlterIsr(56): UNSUPPORTED,\n")
	require.Equal(t, []string{"\tUNKNOWN(70): 0 to 1", ")"}, lines[len(lines)-2:])
}

func TestAPIVersionsOfNobody(t *testing.T) {
	stdout, stderr, status := invoke("", "kafka-broker-api-versions", "--bootstrap-server", refusedAddress(t))
	require.Equal(t, 1, status)
	require.Empty(t, stdout)
	require.Equal(t, 3, strings.Count(stderr, "WARN [LegacyAdminClient clientId=admin-1] Connection to node -1 (/127.0.0.1:"), stderr)
	require.Contains(t, stderr, "Exception in thread \"main\" java.lang.RuntimeException: Request METADATA failed on brokers List(127.0.0.1:")
}
