// Package argparse reads command lines the way Kafka's younger tools do,
// whose parser is argparse4j 0.7: kafka-producer-perf-test,
// kafka-verifiable-producer and their like.
//
// A Parser is told the options, Parse gives a Set or the first error. What
// people and scripts see is exact: which words are taken for what, the
// sentences of the errors, the usage, and the layout of the help with its
// justified lines. The rules, by example:
//
//	--topic t  --topic=t     the same; the first = splits
//	--top t                  a prefix that fits one option alone
//	--topic --list           "--list" is no value: expected one argument
//	--throughput -1          a negative number is a value
//	--topic a --topic b      the last one holds
//	word                     unrecognized arguments: 'word …', with all that follows
//
// Values are converted while the line is read. Parser, Option and Set belong
// to one goroutine. The tools of the other parser use package jopt.
package argparse

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// kind is the type of an option's value, as errors name it.
type kind string

const (
	kindString  kind = "String"
	kindInteger kind = "Integer"
	kindLong    kind = "Long"
	kindDouble  kind = "Double"
)

// Option is one option of a parser. Its methods describe it and return it, so
// that they can be chained behind Parser.Accepts.
type Option struct {
	flags    []string
	help     string
	metavar  string
	kind     kind
	flag     bool // takes no value
	many     bool // takes one value or more
	choices  []string
	required bool
	group    *Group
	initial  *string
	forHelp  bool
}

// Metavar is how usage and help show the value; otherwise it is the option's
// name in capitals.
func (o *Option) Metavar(name string) *Option { o.metavar = name; return o }

// Int makes the value a Java int.
func (o *Option) Int() *Option { o.kind = kindInteger; return o }

// Long makes the value a Java long.
func (o *Option) Long() *Option { o.kind = kindLong; return o }

// Double makes the value a Java double.
func (o *Option) Double() *Option { o.kind = kindDouble; return o }

// Flag makes the option take no value.
func (o *Option) Flag() *Option { o.flag = true; return o.Default("false") }

// Many makes the option take all values up to the next option.
func (o *Option) Many() *Option { o.many = true; return o }

// Choices are the only values allowed.
func (o *Option) Choices(values ...string) *Option { o.choices = values; return o }

// Default is the value that holds when none is given; help shows it.
func (o *Option) Default(value string) *Option { o.initial = &value; return o }

// Required makes Parse fail when the option is not given.
func (o *Option) Required() *Option { o.required = true; return o }

// name is the option in errors: "--topic", or "--server/-s".
func (o *Option) name() string { return strings.Join(o.flags, "/") }

func (o *Option) valueName() string {
	if o.metavar != "" {
		return o.metavar
	}
	return strings.ToUpper(strings.ReplaceAll(strings.TrimLeft(o.flags[0], "-"), "-", ""))
}

// Group is a set of options of which one at most may be given.
type Group struct {
	title, description string
	required           bool
	options            []*Option
}

// Parser is the list of options that a tool knows.
type Parser struct {
	program, description string
	options              []*Option
	groups               []*Group
}

// New returns a parser that knows -h and --help.
func New(program, description string) *Parser {
	p := &Parser{program: program, description: description}
	p.Accepts("Print this text.", "-h", "--help").forHelp = true
	p.options[0].flag = true
	return p
}

// Accepts adds an option with a String as its value. The flags are the words
// that name it, with their dashes.
func (p *Parser) Accepts(help string, flags ...string) *Option {
	o := &Option{flags: flags, help: help, kind: kindString}
	p.options = append(p.options, o)
	return o
}

// Exclusive makes a group of options that exclude each other. Help shows them
// in a section of their own, under the title if there is one.
func (p *Parser) Exclusive(title, description string, required bool, options ...*Option) *Group {
	g := &Group{title: title, description: description, required: required, options: options}
	for _, o := range options {
		o.group = g
	}
	p.groups = append(p.groups, g)
	return g
}

// Error is a command line that cannot be read. Help tells that it is no error
// but a call for help.
type Error struct {
	Text string
	Hint string // lines below the text: "\nDid you mean:\n…"
	Help bool
}

func (e *Error) Error() string { return e.Text }

func failf(format string, args ...any) *Error { return &Error{Text: fmt.Sprintf(format, args...)} }

// Set is what a command line held.
type Set struct {
	values map[*Option][]string // has a key for every option given
}

// Has reports whether the option was given.
func (s *Set) Has(o *Option) bool { _, ok := s.values[o]; return ok }

// Strings are the values of an option, its default without any.
func (s *Set) Strings(o *Option) []string {
	if values, ok := s.values[o]; ok {
		return values
	}
	if o.initial != nil {
		return []string{*o.initial}
	}
	return nil
}

// String is the value of an option, "" without one.
func (s *Set) String(o *Option) string {
	if values := s.Strings(o); len(values) > 0 {
		return values[0]
	}
	return ""
}

// Int is the value of an option made with Int, 0 without one.
func (s *Set) Int(o *Option) int32 { return int32(s.Long(o)) }

// Long is the value of an option made with Int or Long, 0 without one. Parse
// has checked it.
func (s *Set) Long(o *Option) int64 {
	n, _ := strconv.ParseInt(s.String(o), 10, 64)
	return n
}

// Double is the value of an option made with Double, 0 without one. Parse has
// checked it.
func (s *Set) Double(o *Option) float64 {
	x, _ := strconv.ParseFloat(s.String(o), 64)
	return x
}

// Parse reads a command line.
func (p *Parser) Parse(args []string) (*Set, *Error) {
	r := reader{parser: p, rest: args, set: &Set{values: map[*Option][]string{}}}
	for len(r.rest) > 0 {
		if err := r.word(); err != nil {
			return nil, err
		}
	}
	return r.set, p.checkRequired(r.set)
}

// checkRequired names the first option that is missing, in the order of
// argparse4j's set of them.
func (p *Parser) checkRequired(s *Set) *Error {
	var missing []*Option
	for _, o := range p.options {
		if o.required && !s.Has(o) {
			missing = append(missing, o)
		}
	}
	if len(missing) > 0 {
		return failf("argument %s is required", firstByHash(missing).name())
	}
	for _, g := range p.groups {
		if g.required && !slices.ContainsFunc(g.options, s.Has) {
			names := make([]string, len(g.options))
			for i, o := range g.options {
				names[i] = o.name()
			}
			return failf("one of the arguments %s is required", strings.Join(names, " "))
		}
	}
	return nil
}

// reader walks over the words of a command line.
type reader struct {
	parser *Parser
	rest   []string
	set    *Set
	free   bool // behind --
}

func (r *reader) word() *Error {
	word := r.rest[0]
	if !r.free && word == "--" {
		r.free, r.rest = true, r.rest[1:]
		return nil
	}
	if r.free || !looksLikeOption(word) {
		return failf("unrecognized arguments: '%s'", strings.Join(r.rest, " "))
	}
	name, value, hasValue := strings.Cut(word, "=")
	o, err := r.parser.find(name)
	if err != nil {
		return err
	}
	r.rest = r.rest[1:]
	if o.forHelp {
		return &Error{Help: true}
	}
	if g := o.group; g != nil {
		for _, other := range g.options {
			if other != o && r.set.Has(other) {
				return failf("argument %s: not allowed with argument %s", o.name(), other.name())
			}
		}
	}
	return r.option(o, value, hasValue)
}

// option notes an option with the value behind its =, or with the words that
// follow.
func (r *reader) option(o *Option, value string, hasValue bool) *Error {
	switch {
	case o.flag && hasValue:
		return failf("argument %s: ignore implicit argument '%s'", o.name(), value)
	case o.flag:
		r.set.values[o] = []string{"true"}
		return nil
	case hasValue:
		r.set.values[o] = []string{value}
	default:
		n := 0
		for n < len(r.rest) && !looksLikeOption(r.rest[n]) && (o.many || n == 0) {
			n++
		}
		if n == 0 && o.many {
			return failf("argument %s: expected 1 argument(s)", o.name())
		}
		if n == 0 {
			return failf("argument %s: expected one argument", o.name())
		}
		r.set.values[o] = slices.Clone(r.rest[:n])
		r.rest = r.rest[n:]
	}
	for _, v := range r.set.values[o] {
		if err := o.check(v); err != nil {
			return err
		}
	}
	return nil
}

// check converts a value to see whether it can be.
func (o *Option) check(value string) *Error {
	var err error
	switch o.kind {
	case kindInteger:
		_, err = strconv.ParseInt(value, 10, 32)
	case kindLong:
		_, err = strconv.ParseInt(value, 10, 64)
	case kindDouble:
		_, err = strconv.ParseFloat(value, 64)
	}
	if err != nil {
		return failf("argument %s: could not convert '%s' to %s (For input string: \"%s\")", o.name(), value, o.kind, value)
	}
	if o.choices != nil && !slices.Contains(o.choices, value) {
		return failf("argument %s: invalid choice: '%s' (choose from {%s})", o.name(), value, strings.Join(o.choices, ","))
	}
	return nil
}

// looksLikeOption reports whether a word names an option: it begins with a
// dash and is no number.
func looksLikeOption(word string) bool {
	if !strings.HasPrefix(word, "-") || word == "-" {
		return false
	}
	_, err := strconv.ParseFloat(word, 64)
	return err != nil
}

// find is the option of a flag, or of a prefix of one long flag alone.
func (p *Parser) find(flag string) (*Option, *Error) {
	var candidates []string
	var found *Option
	for _, o := range p.options {
		if slices.Contains(o.flags, flag) {
			return o, nil
		}
		for _, f := range o.flags {
			if strings.HasPrefix(flag, "--") && strings.HasPrefix(f, flag) {
				candidates, found = append(candidates, f), o
			}
		}
	}
	switch len(candidates) {
	case 0:
		return nil, &Error{Text: "unrecognized arguments: '" + flag + "'", Hint: p.hint(flag)}
	case 1:
		return found, nil
	}
	slices.Sort(candidates)
	return nil, failf("ambiguous option: %s could match %s", flag, strings.Join(candidates, ", "))
}
