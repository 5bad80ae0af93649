package config

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestRefusals holds every check against what a 2.8.2 broker answers. The
// blocks of testdata/refusals.txt are the settings beside
// zookeeper.connect=localhost:2181 and, behind =>, "ok" or the exception.
// Where Gregor differs on purpose the block says so behind "=> gregor:".
func TestRefusals(t *testing.T) {
	text, err := os.ReadFile("testdata/refusals.txt")
	require.NoError(t, err)
	for _, block := range strings.Split(string(text), "\n\n") {
		settings, want, ok := strings.Cut("\n"+block, "\n=> ")
		require.True(t, ok, block)
		want = strings.TrimSuffix(want, "\n")
		if _, ours, differs := strings.Cut(want, "\n=> gregor: "); differs {
			want = ours
		}
		t.Run(strings.TrimSpace(settings), func(t *testing.T) {
			file := "zookeeper.connect=localhost:2181\n" + settings
			if rest, found := strings.CutPrefix(settings, "\n!no zookeeper.connect"); found {
				file = rest
			}
			p, err := ParseProperties("server.properties", []byte(file))
			require.NoError(t, err)
			_, _, err = ParseBroker(p, nil)
			got := "ok"
			var e *Error
			if errors.As(err, &e) {
				got = e.Class + ": " + e.Text
			}
			require.Equal(t, want, got)
		})
	}
}
