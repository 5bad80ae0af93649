package testkit

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTranscriptsAreReadAsWritten(t *testing.T) {
	require.Empty(t, matchLines([]string{"a <n> c", "…", "z"}, "a 12 c\nx\ny\nz\n", false))
	require.NotEmpty(t, matchLines([]string{"a"}, "b\n", false))
	require.NotEmpty(t, matchLines([]string{"a"}, "a\nb\n", false))
	require.NotEmpty(t, matchLines(nil, "a\n", false))
	require.NotEmpty(t, matchLines([]string{"a", "…", "y"}, "a\nz\n", false))
	require.Empty(t, matchLines([]string{"b", "a"}, "a\nb\n", true))
	require.NotEmpty(t, matchLines([]string{"b", "b"}, "a\nb\n", true))
	require.Equal(t, []string{"x", "a b", "", "c"}, split(t, `x 'a b' "" c`))
}
