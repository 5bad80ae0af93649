// Package jopt reads command lines the way Kafka's tools do, whose parser is
// jopt-simple 5.0.4 with abbreviations switched off.
//
// A Parser is told the options, Parse gives a Set, and the Set is asked for
// values. What people and scripts see is exact: which words are taken for
// what, the sentences of the errors with their Java class, and the layout of
// the help table. The rules, by example:
//
//	--topic t  --topic=t  -topic t  -topic=t   the same; the first = splits
//	--topic --list      "--list" is the topic: a required argument takes any word
//	--state --list      an optional argument takes no word that looks like an option
//	--list=x            a flag drops its value
//	-xyz                an unknown word with one dash: "x is not a recognized option"
//	--                  everything behind it is a free word
//
// An option may be given several times: Strings collects, the other getters
// fail. Values are converted when they are asked for, not before; a failed
// getter returns the zero value and the Set keeps the first failure for Err,
// so that a tool reads all it wants and then looks once.
//
// Parser, Option and Set belong to one goroutine. The package prints only
// through WriteHelp; how a tool shows an error is told in package cli.
package jopt

import (
	"strconv"
	"strings"
)

// argument says whether an option takes a value.
type argument int

const (
	noArgument argument = iota
	optionalArgument
	requiredArgument
)

// kind is the type of an option's value; its name stands in the help table.
type kind string

const (
	kindString  kind = "String"
	kindInteger kind = "Integer"
	kindLong    kind = "Long"
)

// Option is one option of a parser. Its methods describe it and return it, so
// that they can be chained behind Parser.Accepts.
type Option struct {
	name        string
	description string
	argument    argument
	kind        kind
	names       []string // of OneOf
	describedAs string
	defaults    []string
	availableIf []*Option
	required    bool
	forHelp     bool
}

// Name is the option without its dashes.
func (o *Option) Name() string { return o.name }

// String is the option as Kafka's messages show it: "[topic]".
func (o *Option) String() string { return "[" + o.name + "]" }

// RequiredArg makes the option take a value, shown in the help table as
// <String: describedAs>, or as <String> when describedAs is empty.
func (o *Option) RequiredArg(describedAs string) *Option {
	o.argument, o.kind, o.describedAs = requiredArgument, kindString, describedAs
	return o
}

// OptionalArg makes the option take a value or none: [String: describedAs].
func (o *Option) OptionalArg(describedAs string) *Option {
	o.argument, o.kind, o.describedAs = optionalArgument, kindString, describedAs
	return o
}

// Int makes the value a Java int.
func (o *Option) Int() *Option { o.kind = kindInteger; return o }

// Long makes the value a Java long.
func (o *Option) Long() *Option { o.kind = kindLong; return o }

// OneOf makes the value one of the names of a Java enum, in either case.
func (o *Option) OneOf(names ...string) *Option {
	o.names, o.kind = names, kind("["+strings.Join(names, ",")+"]")
	return o
}

// Default gives the values that hold when the option has none. Has stays
// false for an option that was not given.
func (o *Option) Default(values ...string) *Option { o.defaults = values; return o }

// Required makes Parse fail when the option is not given.
func (o *Option) Required() *Option { o.required = true; return o }

// AvailableIf makes Parse fail when the option is given without any of others.
func (o *Option) AvailableIf(others ...*Option) *Option { o.availableIf = others; return o }

// ForHelp marks an option, such as --help, that lifts Required and
// AvailableIf.
func (o *Option) ForHelp() *Option { o.forHelp = true; return o }

func (o *Option) acceptsArgument() bool { return o.argument != noArgument }

// Parser is the list of options that a tool knows.
type Parser struct {
	options []*Option
	byName  map[string]*Option

	// Help and Version are the options that every tool of Kafka has.
	Help, Version *Option
}

// New returns a parser that knows --help and --version.
func New() *Parser {
	p := &Parser{byName: map[string]*Option{}}
	p.Help = p.Accepts("help", "Print this text.").ForHelp()
	p.Version = p.Accepts("version", "Print the version of Kafka that the tools speak.").ForHelp()
	return p
}

// Accepts adds an option without argument. A line break in the description
// starts a new line in the help table.
func (p *Parser) Accepts(name, description string) *Option {
	if p.byName[name] != nil {
		panic("option " + name + " is there twice")
	}
	o := &Option{name: name, description: description}
	p.byName[name] = o
	p.options = append(p.options, o)
	return o
}

// Parse reads a command line. The error, if any, is an *Error.
func (p *Parser) Parse(args []string) (*Set, error) {
	r := reader{parser: p, rest: args, set: &Set{words: len(args), values: map[*Option][]string{}}}
	for len(r.rest) > 0 {
		if err := r.word(r.next()); err != nil {
			return nil, err
		}
	}
	if err := p.checkGiven(r.set); err != nil {
		return nil, err
	}
	return r.set, nil
}

// checkGiven looks after Required and AvailableIf.
func (p *Parser) checkGiven(s *Set) error {
	var missing, unavailable []string
	for _, o := range p.options {
		given := s.Has(o)
		if given && o.forHelp {
			return nil
		}
		if o.required && !given {
			missing = append(missing, o.name)
		}
		if given && len(o.availableIf) > 0 && !s.hasAny(o.availableIf) {
			unavailable = append(unavailable, o.name)
		}
	}
	if len(missing) > 0 {
		return failf("MissingRequiredOptionsException", "Missing required option(s) [%s]", strings.Join(missing, ", "))
	}
	if len(unavailable) > 0 {
		return failf("UnavailableOptionException",
			"Option(s) [%s] are unavailable given other options on the command line", strings.Join(unavailable, ", "))
	}
	return nil
}

// reader walks over the words of a command line.
type reader struct {
	parser *Parser
	rest   []string
	set    *Set
}

func (r *reader) next() string {
	word := r.rest[0]
	r.rest = r.rest[1:]
	return word
}

func (r *reader) word(word string) error {
	switch {
	case word == "--":
		r.set.free = append(r.set.free, r.rest...)
		r.rest = nil
		return nil
	case isLong(word):
		name, value, found := strings.Cut(word[2:], "=")
		o := r.parser.byName[name]
		if o == nil {
			return unrecognized(name)
		}
		return r.option(o, value, found)
	case isShort(word):
		name, value, found := strings.Cut(word[1:], "=")
		if o := r.parser.byName[name]; o != nil {
			return r.option(o, value, found)
		}
		return r.cluster([]rune(word[1:]))
	default:
		r.set.free = append(r.set.free, word)
		return nil
	}
}

// option notes an option with the value behind its =, which may be empty, or
// with the word that follows.
func (r *reader) option(o *Option, value string, hasValue bool) error {
	switch {
	case !o.acceptsArgument():
		r.set.add(o)
	case hasValue:
		r.set.add(o, value)
	case o.argument == requiredArgument:
		if len(r.rest) == 0 {
			return failf("OptionMissingRequiredArgumentException", "Option %s requires an argument", o.name)
		}
		r.set.add(o, r.next())
	case len(r.rest) > 0 && !isLong(r.rest[0]) && !isShort(r.rest[0]) && o.canConvert(r.rest[0]):
		r.set.add(o, r.next())
	default:
		r.set.add(o)
	}
	return nil
}

// cluster reads a word of one-letter options such as -nv; the first one that
// takes an argument takes the rest of the word.
func (r *reader) cluster(letters []rune) error {
	for _, letter := range letters {
		o := r.parser.byName[string(letter)]
		if o == nil {
			return unrecognized(string(letter))
		}
		if o.acceptsArgument() {
			break
		}
	}
	for i, letter := range letters {
		o := r.parser.byName[string(letter)]
		if o.acceptsArgument() {
			value := string(letters[i+1:])
			return r.option(o, value, value != "")
		}
		r.set.add(o)
	}
	return nil
}

func isLong(word string) bool  { return strings.HasPrefix(word, "--") && word != "--" }
func isShort(word string) bool { return strings.HasPrefix(word, "-") && word != "-" && !isLong(word) }

func unrecognized(name string) error {
	return failf("UnrecognizedOptionException", "%s is not a recognized option", name)
}

func (o *Option) canConvert(value string) bool {
	var err error
	switch o.kind {
	case kindInteger:
		_, err = strconv.ParseInt(value, 10, 32)
	case kindLong:
		_, err = strconv.ParseInt(value, 10, 64)
	}
	return err == nil
}
