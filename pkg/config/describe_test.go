package config

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestDescribe compares names, values, sources, synonyms and their order with
// what a 2.8.2 broker with the same file answered.
func TestDescribe(t *testing.T) {
	text, err := os.ReadFile("testdata/described.txt")
	require.NoError(t, err)
	p, err := ReadProperties("testdata/described.properties")
	require.NoError(t, err)
	b, _, err := ParseBroker(p, nil)
	require.NoError(t, err)
	topic := func(overrides map[string]string) []Entry {
		parsed, err := ParseTopic(b, overrides)
		require.NoError(t, err)
		return parsed.Describe()
	}
	described := map[string][]Entry{
		"topic": topic(nil),
		"topic with flush.messages=1 and max.message.bytes=64000": topic(map[string]string{"flush.messages": "1", "max.message.bytes": "64000"}),
		"broker": b.Describe(),
	}
	for _, block := range strings.Split(strings.TrimPrefix(string(text), "## "), "\n## ") {
		name, want, _ := strings.Cut(block, "\n")
		t.Run(name, func(t *testing.T) {
			var got strings.Builder
			for _, e := range described[name] {
				got.WriteString(entryLine(e) + "\n")
			}
			require.NotEmpty(t, described[name])
			require.Equal(t, strings.TrimRight(want, "\n")+"\n", got.String())
		})
	}
}

func entryLine(e Entry) string {
	text := func(s *string) string {
		if s == nil {
			return "<nil>"
		}
		return *s
	}
	line := fmt.Sprintf("%s=%s src=%d ro=%v sens=%v type=%d syn=[", e.Name, text(e.Value), e.Source, e.ReadOnly, e.Sensitive, e.Type)
	for _, s := range e.Synonyms {
		line += fmt.Sprintf("%d:%s=%s ", s.Source, s.Name, text(s.Value))
	}
	return line + "]"
}
