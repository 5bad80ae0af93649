// Package kerr is Kafka's table of error codes as Go errors.
//
// An *Error travels unchanged from where it arises to the client. A text of
// its own is given with With; the code, the class and errors.Is stay. Code
// and Message turn any error into what the wire carries.
package kerr

import (
	"errors"
	"fmt"
	"strings"
)

// Error is one error of Kafka's protocol.
type Error struct {
	Code      int16
	Name      string // as in the protocol guide: NOT_LEADER_OR_FOLLOWER
	Class     string // the Java exception, without org.apache.kafka.common.errors.
	Retriable bool
	Text      string // Kafka's default text
}

var byCode = map[int16]*Error{}

func add(code int16, name, class string, retriable bool, text string) *Error {
	e := &Error{Code: code, Name: name, Class: class, Retriable: retriable, Text: text}
	byCode[code] = e
	return e
}

func (e *Error) Error() string { return e.Text }

// JavaClass is the full name of the Java exception, which the tools print.
func (e *Error) JavaClass() string {
	if strings.Contains(e.Class, ".") {
		return e.Class // the one that lives elsewhere
	}
	return "org.apache.kafka.common.errors." + e.Class
}

// With returns an error of the same code with a text of its own.
func (e *Error) With(format string, args ...any) error {
	return &detailed{kind: e, text: fmt.Sprintf(format, args...)}
}

// detailed is an Error with another text.
type detailed struct {
	kind *Error
	text string
}

func (d *detailed) Error() string { return d.text }
func (d *detailed) Unwrap() error { return d.kind }

// ForCode returns the error of a code, nil for 0. A code that is not in the
// table gives UnknownServerError, as in Kafka.
func ForCode(code int16) *Error {
	if code == 0 {
		return nil
	}
	if e, ok := byCode[code]; ok {
		return e
	}
	return UnknownServerError
}

// Of returns the protocol error inside err: nil for nil, UnknownServerError
// when there is none.
func Of(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return UnknownServerError
}

// Code is the number that the wire carries for err; 0 for nil.
func Code(err error) int16 {
	if e := Of(err); e != nil {
		return e.Code
	}
	return 0
}

// Message is the text that the wire carries for err: nil for nil, otherwise
// the error's own text, which for a bare table error is Kafka's default.
func Message(err error) *string {
	if err == nil {
		return nil
	}
	text := err.Error()
	return &text
}
