package config

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// TestJavaProperties holds the reader against java.util.Properties: each block
// of testdata/properties.txt is a file, quoted, and what Java reads from it.
func TestJavaProperties(t *testing.T) {
	text, err := os.ReadFile("testdata/properties.txt")
	require.NoError(t, err)
	for _, block := range strings.Split(strings.TrimSuffix(string(text), "\n\n"), "\n\n") {
		lines := strings.Split(block, "\n")
		input := strings.TrimPrefix(lines[0], "in  ")
		t.Run(input, func(t *testing.T) {
			file, err := strconv.Unquote(input)
			require.NoError(t, err)
			got := []string{}
			p, err := ParseProperties("f", []byte(file))
			if err != nil {
				got = append(got, "    error "+err.Error())
			} else {
				for _, key := range slices.Sorted(maps.Keys(p.Map())) {
					value, _ := p.Get(key)
					got = append(got, "    "+strconv.QuoteToASCII(key)+" "+strconv.QuoteToASCII(value))
				}
			}
			require.Equal(t, strings.ReplaceAll(strings.Join(lines[1:], "\n"), `\u000b`, `\v`), strings.Join(got, "\n"))
		})
	}
}

func TestPropertiesKnowTheirLines(t *testing.T) {
	p, err := ParseProperties("server.properties", []byte("# comment\n\na=1\nb=2\\\n  3\r\nc=4\ra=5\n"))
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b", "c"}, p.Keys())
	require.Equal(t, []int{7, 4, 6, 0}, []int{p.Line("a"), p.Line("b"), p.Line("c"), p.Line("d")})
	require.Equal(t, "server.properties", p.Path())
	_, ok := p.Get("d")
	require.False(t, ok)
}

func TestReadProperties(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.properties")
	require.NoError(t, os.WriteFile(path, []byte("a=b"), 0o600))
	p, err := ReadProperties(path)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"a": "b"}, p.Map())

	var e *Error
	_, err = ReadProperties(filepath.Join(dir, "none"))
	require.True(t, errors.As(err, &e))
	require.Equal(t, "java.nio.file.NoSuchFileException", e.JavaClass())
	require.Equal(t, filepath.Join(dir, "none"), e.Error())
	_, err = ReadProperties(dir)
	require.True(t, errors.As(err, &e))
	require.Equal(t, "java.io.IOException: Is a directory", e.JavaClass()+": "+e.Error())

	require.NoError(t, os.Truncate(path, maxPropertiesBytes+1))
	_, err = ReadProperties(path)
	require.ErrorContains(t, err, "is larger than")
}

// TestPropertiesRoundTrip writes any keys and values with escapes and reads
// them back.
func TestPropertiesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.MapOf(rapid.StringN(1, -1, -1), rapid.String()).Draw(t, "properties")
		var file strings.Builder
		for key, value := range want {
			file.WriteString(escaped(key) + rapid.SampledFrom([]string{"=", ":", " ", " = ", "\\\n = ", "\t:\t"}).Draw(t, "separator") + escaped(value) +
				rapid.SampledFrom([]string{"\n", "\r\n", "\r", "\n# x\\\n"}).Draw(t, "end"))
		}
		p, err := ParseProperties("f", []byte(file.String()))
		require.NoError(t, err)
		require.Equal(t, want, p.Map())
	})
}

// escaped writes each UTF-16 unit as \uXXXX.
func escaped(text string) string {
	var b strings.Builder
	for _, r := range text {
		if r >= 0x10000 {
			r -= 0x10000
			b.WriteString(unit(0xD800+r>>10) + unit(0xDC00+r&0x3ff))
			continue
		}
		b.WriteString(unit(r))
	}
	return b.String()
}

func unit(r rune) string { return `\u` + strconv.FormatInt(0x10000+int64(r), 16)[1:] }

func FuzzProperties(f *testing.F) {
	for _, name := range []string{"server", "zookeeper", "producer", "consumer", "log4j"} {
		text, err := os.ReadFile("../../config/" + name + ".properties")
		require.NoError(f, err)
		f.Add(text)
	}
	f.Add([]byte("a=\\u00e4\\\n  b\nc\\=d : e"))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := ParseProperties("f", text)
		if err != nil {
			return
		}
		require.Len(t, p.Keys(), len(p.Map()))
		for _, key := range p.Keys() {
			require.Positive(t, p.Line(key))
		}
	})
}
