package cli

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// dumpLines are command lines on files that Apache Kafka 2.8.2 wrote, and on
// what was broken of them. Package compat runs them in Java too.
func dumpLines(t testing.TB) []string {
	text, err := os.ReadFile(filepath.Join("testdata", "dumplog", "lines"))
	require.NoError(t, err)
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

func TestDumpLog(t *testing.T) {
	lines := dumpLines(t)
	golden, err := filepath.Abs("testdata")
	require.NoError(t, err)
	t.Chdir(filepath.Join("testdata", "dumplog"))
	dir, err := os.Getwd()
	require.NoError(t, err)
	var out strings.Builder
	for _, line := range lines {
		text := transcript("kafka-dump-log " + line)
		out.WriteString("$ " + line + "\n" + strings.ReplaceAll(text, dir, "DIR"))
	}
	t.Chdir(filepath.Dir(golden))
	compareGolden(t, "kafka-dump-log.txt", out.String())
}

func TestDumpLogOptions(t *testing.T) {
	usage := func(sentence string) string { return "2> " + sentence + "\n2> <usage>\n(exit 1)\n" }
	sentence := "Shows the content of the files of a partition, to look into a log that seems to be broken."
	jopt := func(text string) string { return "2> Exception in thread \"main\" joptsimple." + text + "\n(exit 1)\n" }
	for line, want := range map[string]string{
		"":                                   usage(sentence),
		"--help":                             usage(sentence),
		"--version":                          "2.8.2 (Commit:3146c6ff4a24cc24)\n",
		"--print-data-log":                   usage(`Missing required argument "[files]"`),
		"--files":                            jopt("OptionMissingRequiredArgumentException: Option files requires an argument"),
		"--files a --files b":                jopt("MultipleArgumentsForOptionException: Found multiple arguments for option files, but you asked for only one"),
		"--file a":                           jopt("UnrecognizedOptionException: file is not a recognized option"),
		"--max-message-size x --files a.log": jopt("OptionArgumentConversionException: Cannot parse argument 'x' of option max-message-size"),
		"--files a.log --cluster-metadata-decoder": usage(`Option "[cluster-metadata-decoder]" is not supported: there is no metadata log in a cluster with ZooKeeper`),
		"--files , --deep-iteration":               "",
	} {
		t.Run(line, func(t *testing.T) {
			require.Equal(t, want, withoutHelp(transcript("kafka-dump-log "+line)))
		})
	}
	_, help, status := invoke("", "kafka-dump-log", "--help")
	require.Equal(t, 1, status)
	compareGolden(t, "kafka-dump-log_help.txt", help)
	require.Equal(t, transcript("kafka-dump-log"), transcript("kafka.tools.DumpLogSegments"))
}

// What is allocated ahead in the indexes of an active segment: zeros.
func TestDumpLogOfAnActiveSegment(t *testing.T) {
	dir := t.TempDir()
	for _, suffix := range []string{".log", ".index", ".timeindex"} {
		data, err := os.ReadFile("testdata/dumplog/v2-0/00000000000000000000" + suffix)
		require.NoError(t, err)
		if suffix != ".log" {
			data = append(data, make([]byte, 1200)...)
		}
		require.NoError(t, os.WriteFile(filepath.Join(dir, "00000000000000000000"+suffix), data, 0o644))
	}
	for _, suffix := range []string{".index", ".timeindex"} {
		closed, _, _ := invoke("", "kafka-dump-log", "--files", "testdata/dumplog/v2-0/00000000000000000000"+suffix)
		active, _, status := invoke("", "kafka-dump-log", "--files", filepath.Join(dir, "00000000000000000000"+suffix))
		require.Zero(t, status)
		_, closed, _ = strings.Cut(closed, "\n")
		_, active, _ = strings.Cut(active, "\n")
		require.Equal(t, closed, active)
	}
}

func TestDumpLogCannotRead(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "7.log"), 0o755))
	require.Equal(t, "Dumping DIR/7.log\nStarting offset: 7\n2> Exception in thread \"main\" org.apache.kafka.common.KafkaException: "+
		"java.io.IOException: Is a directory\n2> Caused by: java.io.IOException: Is a directory\n(exit 1)\n",
		strings.ReplaceAll(transcript("kafka-dump-log --files "+dir+"/7.log"), dir, "DIR"))
}

func TestJavaUTF8(t *testing.T) {
	const bad = "\uFFFD"
	for in, want := range map[string]string{
		"":                      "",
		"abc €":                 "abc €",
		"\xff\xfe":              bad + bad,
		"\xe2\x82 ":             bad + " ",
		"\xe2\x82":              bad,
		"\xe2 ":                 bad + " ",
		"\xc3(":                 bad + "(",
		"\xc0\x80":              bad + bad,
		"\xe0\x80\x80":          bad + bad + bad,
		"\xf0\x9f\x98x":         bad + "x",
		"\xf0\x80\x80\x80":      bad + bad + bad + bad,
		"\xf4\x90\x80\x80":      bad + bad + bad + bad,
		"\xf5\x80":              bad + bad,
		"\xf0\x9f\x98\x80":      "😀",
		"a\x80b":                "a" + bad + "b",
		"\xef\xbf\xbd\xe2\x82é": bad + bad + "é",
	} {
		require.Equal(t, want, javaUTF8([]byte(in)), "%x", in)
	}
}

func TestHashOrderOfScala(t *testing.T) {
	hash := func(n int) uint32 { return uint32(n) }
	require.Equal(t, []int{16, 1, 33, 2, 3}, scalaHashOrder([]int{3, 33, 2, 1, 16}, hash))
	many := make([]int, 13)
	for i := range many {
		many[i] = 13 + i
	}
	require.True(t, slices.IsSorted(scalaHashOrder(many, hash)), "more than twelve have 32 places")
}

// FuzzDumpLog gives the tool any bytes as any of its files.
func FuzzDumpLog(f *testing.F) {
	kinds := []string{".log", ".index", ".timeindex", ".snapshot", ".txnindex"}
	files, err := filepath.Glob("testdata/dumplog/*/*")
	require.NoError(f, err)
	for _, path := range files {
		if kind := slices.Index(kinds, filepath.Ext(path)); kind >= 0 {
			data, err := os.ReadFile(path)
			require.NoError(f, err)
			f.Add(uint8(kind), uint8(len(data)), data)
		}
	}
	whole, err := os.ReadFile("testdata/dumplog/v1-0/00000000000000000000.log")
	require.NoError(f, err)
	options := []string{"--print-data-log", "--deep-iteration", "--offsets-decoder", "--transaction-log-decoder", "--index-sanity-check",
		"--verify-index-only", "--key-decoder-class=kafka.serializer.IntegerDecoder"}
	f.Fuzz(func(t *testing.T, kind, option uint8, data []byte) {
		dir := t.TempDir()
		for _, suffix := range []string{".log", ".index", ".timeindex"} {
			require.NoError(t, os.WriteFile(filepath.Join(dir, "0"+suffix), whole[:min(len(whole), 700)], 0o644))
		}
		path := filepath.Join(dir, "0"+kinds[int(kind)%len(kinds)])
		require.NoError(t, os.WriteFile(path, data, 0o644))
		var stderr bytes.Buffer
		env := &Env{Stdout: io.Discard, Stderr: &stderr}
		switch status := kafkaDumpLog(t.Context(), env, []string{"--files", path, options[int(option)%len(options)]}); status {
		case 0:
		case 1:
			scanner := bufio.NewScanner(&stderr)
			require.True(t, scanner.Scan())
			require.True(t, strings.HasPrefix(scanner.Text(), "Exception in thread \"main\" "), scanner.Text())
		default:
			t.Fatalf("status %d", status)
		}
	})
}
