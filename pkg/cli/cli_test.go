package cli

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// invoke runs a command as the binary would and returns what it left.
func invoke(stdin string, args ...string) (stdout, stderr string, status int) {
	var out, err bytes.Buffer
	env := &Env{Stdin: strings.NewReader(stdin), Stdout: &out, Stderr: &err, Getenv: func(string) string { return "" }, Program: "bin/" + args[0] + ".sh"}
	status = Run(context.Background(), env, args)
	return out.String(), err.String(), status
}

func TestUnknownCommandsAreNamed(t *testing.T) {
	stdout, stderr, status := invoke("", "kafka-nothing")
	require.Equal(t, 1, status)
	require.Empty(t, stdout)
	require.True(t, strings.HasPrefix(stderr, "gregor: there is no command \"kafka-nothing\"\nusage: gregor COMMAND"), stderr)
}

func TestRunClass(t *testing.T) {
	stdout, _, status := invoke("", "kafka-run-class")
	require.Equal(t, 1, status)
	require.Equal(t, "USAGE: bin/kafka-run-class.sh [-daemon] [-name servicename] [-loggc] classname [opts]\n", stdout)
	_, stderr, status := invoke("", "kafka-run-class", "kafka.tools.Nothing")
	require.Equal(t, 1, status)
	require.Equal(t, "Error: Could not find or load main class kafka.tools.Nothing\nCaused by: java.lang.ClassNotFoundException: kafka.tools.Nothing\n", stderr)
}

func TestStopWithNothingToStop(t *testing.T) {
	found := stopCommand("kafka", "a-command-that-never-runs")
	var out bytes.Buffer
	env := &Env{Stdout: &out, Stderr: &out, Getenv: func(string) string { return "" }}
	require.Equal(t, 1, found(context.Background(), env, nil))
	require.Equal(t, "No kafka server to stop\n", out.String())

	out.Reset()
	env.Getenv = func(string) string { return "NONE" }
	require.Equal(t, 1, found(context.Background(), env, nil))
	require.Contains(t, out.String(), "SIGNAL=NONE")
}

func TestEveryClassHasACommand(t *testing.T) {
	for class, command := range classes {
		require.Contains(t, commands, command, class)
	}
}
