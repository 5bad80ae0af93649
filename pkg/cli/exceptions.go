package cli

import (
	"errors"
	"fmt"
	"strings"

	"gregor/pkg/cli/jopt"
	"gregor/pkg/kerr"
	"gregor/pkg/logging"
)

// How a tool of Kafka ends when something is wrong: as a sentence above the
// table of options, as an exception that nobody caught, or as an error line
// of its own with the exception behind it. Exceptions are shown with their
// Java class, which scripts and people look for, and without stack frames.

// Java classes that the tools throw themselves.
const (
	illegalArgument    = "java.lang.IllegalArgumentException"
	numberFormat       = "java.lang.NumberFormatException"
	noSuchFile         = "java.nio.file.NoSuchFileException"
	executionException = "java.util.concurrent.ExecutionException"
	configException    = "org.apache.kafka.common.config.ConfigException"
	kafkaException     = "org.apache.kafka.common.KafkaException"
	adminOperation     = "kafka.admin.AdminOperationException"
	adminCommandFailed = "kafka.common.AdminCommandFailedException"
)

// exception is an error with the Java class that it is shown with, and what
// caused it, if that is to be shown as well.
type exception struct {
	class, text string
	cause       error
}

func exceptionf(class, format string, args ...any) error {
	return &exception{class: class, text: fmt.Sprintf(format, args...)}
}

func (e *exception) Error() string     { return e.text }
func (e *exception) JavaClass() string { return e.class }
func (e *exception) Unwrap() error     { return e.cause }

// causedBy puts an exception of its own around err.
func causedBy(err error, class, format string, args ...any) error {
	return &exception{class: class, text: fmt.Sprintf(format, args...), cause: err}
}

// execution is err as Java's futures throw it.
func execution(err error) error {
	return causedBy(err, executionException, "%s", describe(err))
}

// requirement is a failed check as Scala's require throws it.
func requirement(format string, args ...any) error {
	return exceptionf(illegalArgument, "requirement failed: "+format, args...)
}

// javaClass is the Java class of an error: its own, that of the protocol
// error inside it, or a general one.
func javaClass(err error) string {
	var classed interface{ JavaClass() string }
	if errors.As(err, &classed) {
		return classed.JavaClass()
	}
	return kafkaException
}

// describe is Throwable.toString of Java: "class: text". An exception made
// without a text is its class alone; an empty text from a broker is shown.
func describe(err error) string {
	if e, ok := err.(*exception); ok && e.text == "" {
		return e.class
	}
	return javaClass(err) + ": " + err.Error()
}

// trace is what Java prints for an exception, without its frames: the
// exception, then a line for each cause.
func trace(err error) string {
	var b strings.Builder
	b.WriteString(describe(err) + "\n")
	for {
		var e *exception
		if !errors.As(err, &e) || e.cause == nil {
			return b.String()
		}
		err = e.cause
		b.WriteString("Caused by: " + describe(err) + "\n")
	}
}

// uncaught ends a tool with an exception that it does not catch.
func uncaught(env *Env, err error) int {
	fmt.Fprint(env.Stderr, "Exception in thread \"main\" "+trace(err))
	return 1
}

// usageFailure ends a tool with a sentence and the table of its options.
func usageFailure(env *Env, p *jopt.Parser, text string) int {
	fmt.Fprintln(env.Stderr, text)
	p.WriteHelp(env.Stderr)
	return 1
}

// optionFailure ends a tool whose options were refused: a *jopt.UsageError
// shows the table, anything else is not caught.
func optionFailure(env *Env, p *jopt.Parser, err error) int {
	var usage *jopt.UsageError
	if errors.As(err, &usage) {
		return usageFailure(env, p, usage.Text)
	}
	return uncaught(env, err)
}

// helpOrVersion answers --help, --version and an empty command line, for
// which the tool's sentence and the table of options are shown. done tells
// that the tool has ended with the status.
func helpOrVersion(env *Env, p *jopt.Parser, options *jopt.Set, sentence string) (status int, done bool) {
	switch {
	case options.Empty() || options.Has(p.Help):
		return usageFailure(env, p, sentence), true
	case options.Has(p.Version):
		fmt.Fprintln(env.Stdout, versionLine)
		return 0, true
	}
	return 0, false
}

// versionLine is what --version prints: the release of Kafka that the tools
// are those of.
const versionLine = "2.8.2 (Commit:3146c6ff4a24cc24)"

// protocolError is the error for a code of a response with its message, which
// may be empty; nil for code 0.
func protocolError(code int16, message *string) error {
	kind := kerr.ForCode(code)
	if kind == nil {
		return nil
	}
	if message == nil {
		return kind
	}
	return kind.With("%s", *message)
}

// toolLoggers are the loggers of a tool: WARN and above on standard error.
func toolLoggers(env *Env) *logging.Loggers { return logging.Tools(env.Stderr) }
