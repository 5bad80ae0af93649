package jopt

import (
	"bytes"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// sample has one option of each kind.
type sample struct {
	*Parser
	list, topic, config, partitions, size, state, codec, members, n, v *Option
}

func newSample() sample {
	p := New()
	s := sample{Parser: p}
	s.list = p.Accepts("list", "Show all.")
	s.topic = p.Accepts("topic", "The name.").RequiredArg("topic")
	s.config = p.Accepts("config", "A setting.").RequiredArg("name=value")
	s.partitions = p.Accepts("partitions", "How many.").RequiredArg("# of partitions").Int()
	s.size = p.Accepts("size", "Bytes.").RequiredArg("").Long().Default("16384")
	s.state = p.Accepts("state", "A state.").OptionalArg("")
	s.codec = p.Accepts("retries", "How often.").OptionalArg("n").Int()
	s.members = p.Accepts("members", "Only with list.").AvailableIf(s.list)
	s.n = p.Accepts("n", "A letter.")
	s.v = p.Accepts("v", "A letter with a value.").RequiredArg("")
	return s
}

func TestParse(t *testing.T) {
	type values = map[string][]string
	for _, test := range []struct {
		name, line string
		want       values
		free       []string
	}{
		{"two words", "--topic t", values{"topic": {"t"}}, nil},
		{"equals sign", "--topic=t", values{"topic": {"t"}}, nil},
		{"first equals sign splits", "--config=a=b --config c=d=e", values{"config": {"a=b", "c=d=e"}}, nil},
		{"empty value", "--topic= --list", values{"topic": {""}, "list": nil}, nil},
		{"one dash", "-topic t -list -config=a=b", values{"topic": {"t"}, "list": nil, "config": {"a=b"}}, nil},
		{"a required argument takes any word", "--topic --list", values{"topic": {"--list"}}, nil},
		{"even two dashes", "--topic -- --list", values{"topic": {"--"}, "list": nil}, nil},
		{"an optional argument takes no option", "--state --list", values{"state": nil, "list": nil}, nil},
		{"nor a word with one dash", "--state -list", values{"state": nil, "list": nil}, nil},
		{"an optional argument", "--state Empty --list", values{"state": {"Empty"}, "list": nil}, nil},
		{"an optional argument at the end", "--list --state", values{"state": nil, "list": nil}, nil},
		{"an optional number takes no other word", "--retries x", values{"retries": nil}, []string{"x"}},
		{"an optional number", "--retries 3 x", values{"retries": {"3"}}, []string{"x"}},
		{"a flag drops its value", "--list=x", values{"list": nil}, nil},
		{"free words", "all --list - more", values{"list": nil}, []string{"all", "-", "more"}},
		{"the end of options", "--list -- --topic t", values{"list": nil}, []string{"--topic", "t"}},
		{"repetition", "--list --list --config a --config b", values{"list": nil, "config": {"a", "b"}}, nil},
		{"letters", "-nn", values{"n": nil}, nil},
		{"letters with a value", "-nvx=y", values{"n": nil, "v": {"x=y"}}, nil},
		{"letters with a value behind", "-nv x", values{"n": nil, "v": {"x"}}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSample()
			set, err := s.Parse(strings.Fields(test.line))
			require.NoError(t, err)
			got := values{}
			for _, o := range s.options {
				if set.Has(o) {
					got[o.name] = set.values[o]
				}
			}
			require.Equal(t, test.want, got)
			require.Equal(t, test.free, set.Free())
			require.False(t, set.Empty())
		})
	}
}

func TestParseErrors(t *testing.T) {
	for _, test := range []struct{ name, line, class, text string }{
		{"unknown", "--foo", "UnrecognizedOptionException", "foo is not a recognized option"},
		{"unknown with a value", "--foo=3", "UnrecognizedOptionException", "foo is not a recognized option"},
		{"no abbreviations", "--part 3", "UnrecognizedOptionException", "part is not a recognized option"},
		{"unknown with one dash", "-foo", "UnrecognizedOptionException", "f is not a recognized option"},
		{"the first unknown letter", "-nxv", "UnrecognizedOptionException", "x is not a recognized option"},
		{"no name", "--=3", "UnrecognizedOptionException", " is not a recognized option"},
		{"no name with one dash", "-=3", "UnrecognizedOptionException", "= is not a recognized option"},
		{"no argument", "--list --topic", "OptionMissingRequiredArgumentException", "Option topic requires an argument"},
		{"unavailable", "--members", "UnavailableOptionException", "Option(s) [members] are unavailable given other options on the command line"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := newSample().Parse(strings.Fields(test.line))
			var failure *Error
			require.ErrorAs(t, err, &failure)
			require.Equal(t, "joptsimple."+test.class, failure.JavaClass())
			require.Equal(t, test.text, failure.Error())
		})
	}
	t.Run("missing", func(t *testing.T) {
		s := newSample()
		s.topic.Required()
		s.size.Required()
		_, err := s.Parse([]string{"--list"})
		require.EqualError(t, err, "Missing required option(s) [topic, size]")
		_, err = s.Parse([]string{"--help", "--members"})
		require.NoError(t, err, "help lifts what is required")
		_, err = s.Parse([]string{"--members", "--topic", "t", "--size", "1", "--version"})
		require.NoError(t, err, "so does version")
	})
}

func TestValues(t *testing.T) {
	s := newSample()
	parse := func(line string) *Set {
		set, err := s.Parse(strings.Fields(line))
		require.NoError(t, err)
		return set
	}
	set := parse("--partitions +3 --topic t")
	require.EqualValues(t, 3, set.Int(s.partitions))
	require.Equal(t, "t", set.String(s.topic))
	require.EqualValues(t, 16384, set.Long(s.size), "the default")
	require.False(t, set.Has(s.size), "a default is not given")
	require.Equal(t, []string{"16384"}, set.Strings(s.size))
	require.Empty(t, set.String(s.config))
	require.Empty(t, set.Strings(s.config))
	require.NoError(t, set.Err())
	require.True(t, set.HasArgument(s.topic))
	require.False(t, parse("--state").HasArgument(s.state))
	require.Equal(t, []*Option{s.config, s.list, s.config}, parse("--config a --list --config b").Given())

	set = parse("--partitions abc --size 99999999999999999999 --topic a --topic b")
	require.Zero(t, set.Int(s.partitions))
	require.Zero(t, set.Long(s.size))
	require.Empty(t, set.String(s.topic))
	require.EqualError(t, set.Err(), "Cannot parse argument 'abc' of option partitions", "the first failure is kept")
	require.Equal(t, []string{"a", "b"}, set.Strings(s.topic))

	set = parse("--topic a --topic b")
	require.Empty(t, set.String(s.topic))
	require.EqualError(t, set.Err(), "Found multiple arguments for option topic, but you asked for only one")

	set = parse("--partitions 99999999999")
	require.Zero(t, set.Int(s.partitions))
	require.EqualError(t, set.Err(), "Cannot parse argument '99999999999' of option partitions")
}

func TestChecks(t *testing.T) {
	s := newSample()
	set, err := s.Parse(strings.Fields("--list --topic t --config a"))
	require.NoError(t, err)
	require.NoError(t, set.Require(s.topic, s.list))
	require.EqualError(t, set.Require(s.topic, s.partitions), `Missing required argument "[partitions]"`)
	require.NoError(t, set.Forbid(s.partitions, s.list))
	require.NoError(t, set.Forbid(s.topic, s.size))
	require.EqualError(t, set.Forbid(s.config, s.size, s.list), `Option "[config]" can't be used with option "[list]"`)
	require.NoError(t, set.ForbidTogether([]*Option{s.topic, s.size}, "", s.list))
	require.EqualError(t, set.ForbidTogether([]*Option{s.topic, s.config}, " (why)", s.size, s.list),
		`Option combination "[topic],[config]" can't be used with option "[list]" (why)`)
	var usage *UsageError
	require.ErrorAs(t, set.Require(s.partitions), &usage)
	require.Equal(t, 2, set.Count(s.list, s.size, s.topic))

	set, err = s.Parse(nil)
	require.NoError(t, err)
	require.True(t, set.Empty())
}

func TestHelp(t *testing.T) {
	p := New()
	p.Accepts("bootstrap-server", "REQUIRED: where a broker listens.").RequiredArg("server to connect to")
	p.Accepts("broker-list", "The old name of bootstrap-server; HOST1:PORT1, HOST2:PORT2. Without effect when bootstrap-server is there.").RequiredArg("broker-list")
	p.Accepts("compression-codec", "The codec.").OptionalArg("compression-codec")
	p.Accepts("key-deserializer", "").RequiredArg("deserializer for key")
	p.Accepts("partitions", "The number of partitions.").RequiredArg("# of partitions").Int()
	p.Accepts("replica-assignment", "Brokers by hand.").
		RequiredArg("broker_id_for_part1_replica1 : broker_id_for_part1_replica2 , broker_id_for_part2_replica1 : broker_id_for_part2_replica2 , ...")
	p.Accepts("config", "One of:\n\tcleanup.policy\n\tleader.replication.throttled.replicas.that.goes.on\nand no other.").RequiredArg("name=value")
	p.Accepts("size", "Bytes.").RequiredArg("").Long().Default("16384")
	p.Accepts("servers", "Several.").RequiredArg("").Default("a", "b")
	golden(t, "help.txt", p)
}

func TestHelpNarrow(t *testing.T) {
	p := New()
	p.Accepts("files", "What to read.").RequiredArg("file").Required()
	golden(t, "narrow.txt", p)
}

func golden(t *testing.T, name string, p *Parser) {
	var out bytes.Buffer
	require.NoError(t, p.WriteHelp(&out))
	path := "testdata/" + name
	if *update {
		require.NoError(t, os.WriteFile(path, out.Bytes(), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), out.String())
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	for _, line := range lines {
		require.Len(t, line, len(lines[0]), "every line is filled up")
		require.LessOrEqual(t, len(line), tableWidth)
	}
}

// Whatever is written in the = form is read like the form of two words.
func TestFormsAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.String().Draw(t, "value")
		dash := rapid.SampledFrom([]string{"-", "--"}).Draw(t, "dash")
		s := newSample()
		one, err := s.Parse([]string{dash + "topic=" + value})
		require.NoError(t, err)
		two, err := s.Parse([]string{dash + "topic", value})
		require.NoError(t, err)
		require.Equal(t, []string{value}, one.Strings(s.topic))
		require.Equal(t, one.Strings(s.topic), two.Strings(s.topic))
	})
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"--topic t", "--topic=t --list", "-nvx", "-", "--", "-- x", "--state -1", "-ä", "--=", "--partitions x"} {
		f.Add(strings.ReplaceAll(seed, " ", "\x00"))
	}
	f.Fuzz(func(t *testing.T, line string) {
		s := newSample()
		args := strings.Split(line, "\x00")
		set, err := s.Parse(slices.Clone(args))
		if err != nil {
			var failure *Error
			require.ErrorAs(t, err, &failure)
			return
		}
		set.Int(s.partitions)
		set.Long(s.size)
		total := len(set.Free())
		for _, o := range s.options {
			total += len(set.values[o])
		}
		require.LessOrEqual(t, total, len(args), "no word is taken twice")
	})
}
