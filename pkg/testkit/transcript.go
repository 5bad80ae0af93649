package testkit

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Exec runs a script, such as "bin/kafka-topics.sh", with its arguments.
type Exec func(stdin, script string, args []string) (stdout, stderr string, status int)

// RunTranscript runs a file with what a book shows: commands, and what they
// print. Its lines:
//
//	# comment
//	$ bin/kafka-topics.sh ...      a command; printf '...' | and echo ... | feed its input
//	text                           a line of standard output
//	2> text                        a line of standard error
//	(exit N)                       the status, when it is not 0
//	~ N                            the command may be tried for N seconds until it comes out as shown
//
// In expected lines <word> stands for anything, ⇥ for a tab; a line … stands
// for any lines, and "(any order)" in front of the output lets its lines come
// in any order; "" is an empty line where one at the end matters. Words of the commands are replaced first, in pairs of old and
// new: addresses and directories of the test.
func RunTranscript(t testing.TB, path string, exec Exec, replacements ...string) {
	t.Helper()
	readTranscript(t, path).run(t, exec, strings.NewReplacer(replacements...))
}

type transcript struct {
	path  string
	steps []*step
}

type step struct {
	line           int
	command        string
	stdout, stderr []string
	status         int
	patience       time.Duration
	anyOrder       bool
}

func readTranscript(t testing.TB, path string) *transcript {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	tr := &transcript{path: path}
	var current *step
	for i, line := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n") {
		switch {
		case strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "$ "):
			current = &step{line: i + 1, command: line[2:]}
			tr.steps = append(tr.steps, current)
		case current == nil:
			require.Empty(t, line, "%s:%d: output without a command", path, i+1)
		case strings.HasPrefix(line, "(exit "):
			current.status, err = strconv.Atoi(strings.TrimSuffix(line[6:], ")"))
			require.NoError(t, err)
		case strings.HasPrefix(line, "~ "):
			seconds, err := strconv.Atoi(line[2:])
			require.NoError(t, err)
			current.patience = time.Duration(seconds) * time.Second
		case line == "(any order)":
			current.anyOrder = true
		case strings.HasPrefix(line, "2>"):
			current.stderr = append(current.stderr, strings.TrimPrefix(strings.TrimPrefix(line, "2>"), " "))
		default:
			current.stdout = append(current.stdout, line)
		}
	}
	for _, s := range tr.steps {
		s.stdout = trimBlank(s.stdout)
	}
	return tr
}

// trimBlank drops the empty lines that set the steps of a transcript apart.
func trimBlank(lines []string) []string {
	for len(lines) > 0 && lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	for i := range lines {
		if lines[i] == `""` {
			lines[i] = ""
		}
	}
	return lines
}

func (tr *transcript) run(t testing.TB, exec Exec, replace *strings.Replacer) {
	t.Helper()
	for _, s := range tr.steps {
		deadline := time.Now().Add(s.patience)
		for {
			stdout, stderr, status := shell(t, replace.Replace(s.command), exec)
			problem := s.compare(stdout, stderr, status)
			if problem == "" {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s:%d: $ %s\n%s\nstatus %d, standard output:\n%s\nstandard error:\n%s", tr.path, s.line, s.command, problem, status, stdout, stderr)
			}
			<-time.After(50 * time.Millisecond)
		}
	}
}

func (s *step) compare(stdout, stderr string, status int) string {
	if status != s.status {
		return fmt.Sprintf("the status is %d, want %d", status, s.status)
	}
	if problem := matchLines(s.stdout, stdout, s.anyOrder); problem != "" {
		return "standard output: " + problem
	}
	if problem := matchLines(s.stderr, stderr, false); problem != "" {
		return "standard error: " + problem
	}
	return ""
}

// matchLines tells how text differs from the expected lines.
func matchLines(want []string, text string, anyOrder bool) string {
	var got []string
	if text != "" {
		got = strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	}
	if anyOrder {
		return matchAnyOrder(want, got)
	}
	for i, line := range want {
		if line == "…" {
			rest := want[i+1:]
			if len(rest) > len(got) {
				return "too few lines for those behind …"
			}
			return matchLines(rest, strings.Join(got[len(got)-len(rest):], "\n"), false)
		}
		if len(got) == 0 {
			return fmt.Sprintf("missing line %q", line)
		}
		if !pattern(line).MatchString(got[0]) {
			return fmt.Sprintf("line %q, want %q", got[0], line)
		}
		got = got[1:]
	}
	if len(got) > 0 {
		return fmt.Sprintf("unexpected line %q", got[0])
	}
	return ""
}

func matchAnyOrder(want, got []string) string {
	if len(want) != len(got) {
		return fmt.Sprintf("%d lines, want %d", len(got), len(want))
	}
	used := make([]bool, len(got))
next:
	for _, line := range want {
		for i := range got {
			if !used[i] && pattern(line).MatchString(got[i]) {
				used[i] = true
				continue next
			}
		}
		return fmt.Sprintf("missing line %q", line)
	}
	return ""
}

var wildcard = regexp.MustCompile(`<[^<>]+>`)

// pattern is an expected line as an expression.
func pattern(line string) *regexp.Regexp {
	line = strings.ReplaceAll(line, "⇥", "\t")
	var b strings.Builder
	for {
		at := wildcard.FindStringIndex(line)
		if at == nil {
			break
		}
		b.WriteString(regexp.QuoteMeta(line[:at[0]]) + ".*")
		line = line[at[1]:]
	}
	return regexp.MustCompile("^" + b.String() + regexp.QuoteMeta(line) + "$")
}

// shell runs the little of a shell that transcripts use.
func shell(t testing.TB, line string, exec Exec) (stdout, stderr string, status int) {
	t.Helper()
	stdin := ""
	if feeder, rest, piped := strings.Cut(line, " | bin/"); piped {
		words := split(t, feeder)
		switch words[0] {
		case "printf":
			stdin = strings.NewReplacer(`\n`, "\n", `\t`, "\t").Replace(words[1])
		case "echo":
			stdin = strings.Join(words[1:], " ") + "\n"
		default:
			t.Fatalf("what feeds a command is printf or echo: %s", line)
		}
		line = "bin/" + rest
	}
	words := split(t, line)
	return exec(stdin, words[0], words[1:])
}

// split splits a command into words; single and double quotes group.
func split(t testing.TB, line string) []string {
	t.Helper()
	var words []string
	var word strings.Builder
	var quote rune
	open := false
	for _, r := range line {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, open = r, true
		case r == ' ':
			if open {
				words = append(words, word.String())
				word.Reset()
				open = false
			}
		default:
			word.WriteRune(r)
			open = true
		}
	}
	require.Zero(t, quote, "an open quote in %s", line)
	if open {
		words = append(words, word.String())
	}
	return words
}
