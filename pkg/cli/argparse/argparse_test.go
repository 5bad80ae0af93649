package argparse

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// sample is a parser with an option of each kind.
type sample struct {
	*Parser
	topic, records, delimiter, throughput, props, config, metrics, id, acks, size, file *Option
}

func newSample() sample {
	p := New("producer-performance", "A sentence about the tool.")
	s := sample{Parser: p}
	s.topic = p.Accepts("The topic.", "--topic").Required()
	s.records = p.Accepts("How many.", "--num-records").Metavar("NUM-RECORDS").Long().Required()
	s.delimiter = p.Accepts("What stands between.", "--payload-delimiter").Metavar("PAYLOAD-DELIMITER").Default("\\n")
	s.throughput = p.Accepts("How fast.", "--throughput").Int().Required()
	s.props = p.Accepts("Settings.", "--producer-props").Metavar("PROP-NAME=PROP-VALUE").Many()
	s.config = p.Accepts("A file.", "--producer.config").Metavar("CONFIG-FILE")
	s.metrics = p.Accepts("More at the end.", "--print-metrics").Flag()
	s.id = p.Accepts("An id.", "--transactional-id").Metavar("TRANSACTIONAL-ID")
	s.acks = p.Accepts("Acks.", "--acks").Int().Choices("0", "1", "-1").Default("-1")
	s.size = p.Accepts("Bytes.", "--record-size").Metavar("RECORD-SIZE").Int()
	s.file = p.Accepts("Lines.", "--payload-file").Metavar("PAYLOAD-FILE")
	p.Exclusive("", "one of the two", true, s.size, s.file)
	return s
}

const needed = "--topic t --num-records 5 --throughput -1 --record-size 10 "

func TestParse(t *testing.T) {
	for _, test := range []struct {
		line string
		want func(s sample, set *Set) any
		is   any
	}{
		{needed, func(s sample, set *Set) any { return set.Long(s.throughput) }, int64(-1)},
		{needed, func(s sample, set *Set) any { return set.String(s.delimiter) }, "\\n"},
		{needed, func(s sample, set *Set) any { return set.Has(s.metrics) }, false},
		{needed + "--print-metrics", func(s sample, set *Set) any { return set.Has(s.metrics) }, true},
		{needed + "--topic u", func(s sample, set *Set) any { return set.String(s.topic) }, "u"},
		{needed + "--topic=", func(s sample, set *Set) any { return set.String(s.topic) }, ""},
		{needed + "--producer-p a=b c=d=e -1", func(s sample, set *Set) any { return set.Strings(s.props) }, []string{"a=b", "c=d=e", "-1"}},
		{needed + "--num=7", func(s sample, set *Set) any { return set.Long(s.records) }, int64(7)},
		{needed + "--acks 0", func(s sample, set *Set) any { return set.Int(s.acks) }, int32(0)},
	} {
		s := newSample()
		set, err := s.Parse(strings.Fields(test.line))
		require.Nil(t, err, test.line)
		require.Equal(t, test.is, test.want(s, set), test.line)
	}
}

func TestErrors(t *testing.T) {
	for _, test := range []struct{ line, want string }{
		{"--topic", "error: argument --topic: expected one argument"},
		{"--topic t", "error: argument --throughput is required"},
		{"--topic t --throughput 5", "error: argument --num-records is required"},
		{"--topic t --num-records 5 --throughput -1", "error: one of  the arguments --record-size --payload-\nfile is required"},
		{"--num-records x", "error: argument --num-records:  could not convert 'x'\nto Long (For input string: \"x\")"},
		{"--throughput 1.5", "producer-performance:  error:  argument  --throughput:  could  not  convert\n'1.5' to Integer (For input string: \"1.5\")"},
		{"--record-size 10 --payload-file x", "error:  argument  --payload-file:  not  allowed  with\nargument --record-size"},
		{"--foo", "error: unrecognized arguments: '--foo'\n\nDid you mean:\n\t--topic"},
		{"--producer.cofnig a", "error: unrecognized arguments: '--producer.cofnig'\n\nDid you mean:\n\t--producer.config"},
		{"-x", "error: unrecognized arguments: '-x'"},
		{"--p 10", "error: ambiguous option:  --p  could match --payload-\ndelimiter, --payload-file,  --print-metrics,  --producer-props, --producer.\nconfig"},
		{"word --topic t --topic u --throughput 1 --num-records 3 --record-size 10 --producer-props bootstrap.servers=127.0.0.1:55055",
			"error: unrecognized  arguments:  'word  --topic  t --\ntopic u --throughput 1  --num-records  3  --record-size 10 --producer-props\nbootstrap.servers=127.0.0.1:55055'"},
		{"--producer-props", "error: argument --producer-props: expected 1 argument\n(s)"},
		{"--print-metrics=5", "producer-performance:  error:  argument  --print-metrics:  ignore  implicit\nargument '5'"},
		{"-- x", "error: unrecognized arguments: 'x'"},
	} {
		s := newSample()
		_, err := s.Parse(strings.Fields(test.line))
		require.NotNil(t, err, test.line)
		var b bytes.Buffer
		require.NoError(t, s.WriteError(&b, err))
		require.True(t, strings.HasPrefix(b.String(), "usage: producer-performance [-h] --topic TOPIC --num-records NUM-RECORDS\n"), b.String())
		require.True(t, strings.HasSuffix(b.String(), test.want+"\n"), "%s\n%s", test.line, b.String())
	}
}

// TestHelp holds the layout: usage broken between options, texts justified.
func TestHelp(t *testing.T) {
	s := newSample()
	_, err := s.Parse([]string{"--he"})
	require.True(t, err.Help)
	s.delimiter.help = "provides delimiter to be used when --payload-file is provided. Defaults to new line. Note that this parameter will be ignored if --payload-file is not provided."
	s.props.help = "kafka producer related configuration properties like bootstrap.servers,client.id etc. These configs take precedence over those passed via --producer.config."
	s.acks.help = "The max age of each transaction. The commitTransaction will be called after this time has elapsed. Transactions are only enabled if this value is positive."
	var b bytes.Buffer
	require.NoError(t, s.WriteHelp(&b))
	require.Equal(t, `usage: producer-performance [-h] --topic TOPIC --num-records NUM-RECORDS
                            [--payload-delimiter PAYLOAD-DELIMITER]
                            --throughput THROUGHPUT
                            [--producer-props PROP-NAME=PROP-VALUE [PROP-NAME=PROP-VALUE ...]]
                            [--producer.config CONFIG-FILE]
                            [--print-metrics]
                            [--transactional-id TRANSACTIONAL-ID]
                            [--acks ACKS] (--record-size RECORD-SIZE |
                            --payload-file PAYLOAD-FILE)

A sentence about the tool.

optional arguments:
  -h, --help             Print this text.
  --topic TOPIC          The topic.
  --num-records NUM-RECORDS
                         How many.
  --payload-delimiter PAYLOAD-DELIMITER
                         provides delimiter to be  used when --payload-file
                         is provided. Defaults to new  line. Note that this
                         parameter will  be  ignored  if  --payload-file is
                         not provided. (default: \n)
  --throughput THROUGHPUT
                         How fast.
  --producer-props PROP-NAME=PROP-VALUE [PROP-NAME=PROP-VALUE ...]
                         kafka producer  related  configuration  properties
                         like   bootstrap.servers,client.id    etc.   These
                         configs take precedence over  those  passed via --
                         producer.config.
  --producer.config CONFIG-FILE
                         A file.
  --print-metrics        More at the end. (default: false)
  --transactional-id TRANSACTIONAL-ID
                         An id.
  --acks ACKS            The   max   age    of    each   transaction.   The
                         commitTransaction will be  called  after this time
                         has elapsed.  Transactions  are  only  enabled  if
                         this value is positive. (default: -1)

  one of the two

  --record-size RECORD-SIZE
                         Bytes.
  --payload-file PAYLOAD-FILE
                         Lines.
`, b.String())
}

func FuzzParse(f *testing.F) {
	f.Add(needed)
	f.Add("--p -1 -- = --=x -h")
	f.Fuzz(func(t *testing.T, line string) {
		s := newSample()
		if _, err := s.Parse(strings.Fields(line)); err != nil {
			require.NoError(t, s.WriteError(&bytes.Buffer{}, err))
		}
	})
}
