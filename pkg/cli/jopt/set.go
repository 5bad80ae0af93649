package jopt

import (
	"fmt"
	"strconv"
	"strings"
)

// Error is a command line that cannot be read, or a value that cannot be
// converted. Kafka's tools mostly let it end the process as an uncaught
// exception of class Class; some print its text above the help table.
type Error struct {
	Class string // of Java: joptsimple.UnrecognizedOptionException
	Text  string
}

func (e *Error) Error() string { return e.Text }

// JavaClass is the class that an uncaught error is shown with.
func (e *Error) JavaClass() string { return e.Class }

func failf(class, format string, args ...any) *Error {
	return &Error{Class: "joptsimple." + class, Text: fmt.Sprintf(format, args...)}
}

// UsageError is a command line whose options do not fit together: the tool
// prints the text and the help table, and ends with status 1.
type UsageError struct{ Text string }

func (e *UsageError) Error() string { return e.Text }

// Usagef makes a UsageError.
func Usagef(format string, args ...any) error {
	return &UsageError{Text: fmt.Sprintf(format, args...)}
}

// Set is what a command line held.
type Set struct {
	words  int
	given  []*Option
	values map[*Option][]string // has a key for every option given
	free   []string
	err    error
}

func (s *Set) add(o *Option, values ...string) {
	s.given = append(s.given, o)
	s.values[o] = append(s.values[o], values...)
}

// Empty reports whether the command line had no words at all.
func (s *Set) Empty() bool { return s.words == 0 }

// Has reports whether the option was given; a default does not count.
func (s *Set) Has(o *Option) bool { _, ok := s.values[o]; return ok }

// HasArgument reports whether the option was given with a value.
func (s *Set) HasArgument(o *Option) bool { return len(s.values[o]) > 0 }

func (s *Set) hasAny(options []*Option) bool { return s.Count(options...) > 0 }

// Count is the number of these options that were given.
func (s *Set) Count(options ...*Option) int {
	n := 0
	for _, o := range options {
		if s.Has(o) {
			n++
		}
	}
	return n
}

// Given lists the options in the order of the command line, repetitions
// included.
func (s *Set) Given() []*Option { return s.given }

// Free lists the words that belong to no option.
func (s *Set) Free() []string { return s.free }

// Strings lists all values of an option: what was given, else its defaults.
func (s *Set) Strings(o *Option) []string {
	if values := s.values[o]; len(values) > 0 {
		return values
	}
	return o.defaults
}

// String is the value of an option, "" without one. Several values are an
// error.
func (s *Set) String(o *Option) string {
	value, _ := s.single(o)
	return value
}

// Int is the value of an option made with Option.Int, 0 without one.
func (s *Set) Int(o *Option) int32 { return int32(s.number(o, 32)) }

// Long is the value of an option made with Option.Long, 0 without one.
func (s *Set) Long(o *Option) int64 { return s.number(o, 64) }

// Enum is the value of an option made with Option.OneOf, as it is spelled
// there, "" without one.
func (s *Set) Enum(o *Option) string {
	value, ok := s.single(o)
	if !ok {
		return ""
	}
	for _, name := range o.names {
		if strings.EqualFold(name, value) {
			return name
		}
	}
	s.fail(failf("OptionArgumentConversionException", "Cannot parse argument '%s' of option %s", value, o.name))
	return ""
}

// Err is the first failure of the getters String, Int, Long and Enum, an
// *Error.
func (s *Set) Err() error { return s.err }

func (s *Set) number(o *Option, bits int) int64 {
	value, ok := s.single(o)
	if !ok {
		return 0
	}
	n, err := strconv.ParseInt(value, 10, bits)
	if err != nil {
		s.fail(failf("OptionArgumentConversionException", "Cannot parse argument '%s' of option %s", value, o.name))
		return 0
	}
	return n
}

func (s *Set) single(o *Option) (string, bool) {
	values := s.Strings(o)
	if len(values) > 1 {
		s.fail(failf("MultipleArgumentsForOptionException",
			"Found multiple arguments for option %s, but you asked for only one", o.name))
		return "", false
	}
	if len(values) == 0 {
		return "", false
	}
	return values[0], true
}

func (s *Set) fail(err *Error) {
	if s.err == nil {
		s.err = err
	}
}

// Require fails with Kafka's sentence for the first option that was not given.
func (s *Set) Require(options ...*Option) error {
	for _, o := range options {
		if !s.Has(o) {
			return Usagef("Missing required argument \"%s\"", o)
		}
	}
	return nil
}

// Forbid fails with Kafka's sentence when used was given together with one of
// invalid; the first in the order of invalid is named.
func (s *Set) Forbid(used *Option, invalid ...*Option) error {
	if !s.Has(used) {
		return nil
	}
	for _, o := range invalid {
		if s.Has(o) {
			return Usagef("Option \"%s\" can't be used with option \"%s\"", used, o)
		}
	}
	return nil
}

// ForbidTogether is Forbid for the case that all of used were given. The
// trailer is put behind the sentence as it is.
func (s *Set) ForbidTogether(used []*Option, trailer string, invalid ...*Option) error {
	if s.Count(used...) != len(used) {
		return nil
	}
	names := make([]string, len(used))
	for i, o := range used {
		names[i] = o.String()
	}
	for _, o := range invalid {
		if s.Has(o) {
			return Usagef("Option combination \"%s\" can't be used with option \"%s\"%s", strings.Join(names, ","), o, trailer)
		}
	}
	return nil
}
