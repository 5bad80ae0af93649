package config

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestDump compares with what a 2.8.2 broker logs for the same files.
func TestDump(t *testing.T) {
	for _, name := range []string{"shipped", "rich"} {
		t.Run(name, func(t *testing.T) {
			p, err := ReadProperties("testdata/" + name + ".properties")
			require.NoError(t, err)
			b, _, err := ParseBroker(p, nil)
			require.NoError(t, err)
			want, err := os.ReadFile("testdata/" + name + ".dump")
			require.NoError(t, err)
			require.Equal(t, string(want), b.Dump())
		})
	}
}
