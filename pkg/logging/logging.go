package logging

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/sirupsen/logrus"
)

// NameField is the field of an entry that holds the logger's name.
const NameField = "logger"

// Root is the name of the logger above all others.
const Root = "root"

// Loggers hands out named log entries. Safe for concurrent use.
type Loggers struct {
	// mu guards the fields below. Order: mu, then appender.mu.
	mu     sync.Mutex
	byName map[string]*named
	rules  map[string]rule // by logger name; Root is always there
	files  []*appender     // those to close
}

// rule is what is configured for a name; both parts may be missing.
type rule struct {
	level     level // unset when it is to come from above
	appenders []*appender
	closed    bool // nothing goes on to the appenders above (additivity=false)
}

// named is one logger that somebody asked for.
type named struct {
	name      string
	entry     *logrus.Entry
	appenders atomic.Pointer[[]*appender]
}

// New returns loggers that write INFO and above to out in log4j's layout.
func New(out io.Writer) *Loggers {
	return &Loggers{
		byName: map[string]*named{},
		rules:  map[string]rule{Root: {level: levelInfo, appenders: []*appender{newAppender(out)}}},
	}
}

// Stdout is New(os.Stdout).
func Stdout() *Loggers { return New(os.Stdout) }

// Discard returns loggers that write nothing, for tests and tools.
func Discard() *Loggers {
	l := New(io.Discard)
	l.rules[Root] = rule{level: levelOff}
	return l
}

// Logger returns the entry for a logger name, such as "kafka.log.LogManager".
func (l *Loggers) Logger(name string) *logrus.Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.namedLocked(name).entry
}

func (l *Loggers) namedLocked(name string) *named {
	if n, ok := l.byName[name]; ok {
		return n
	}
	n := &named{name: name}
	logger := logrus.New()
	logger.SetOutput(io.Discard) // the formatter writes to the appenders
	logger.SetFormatter(n)
	n.entry = logger.WithField(NameField, name)
	l.byName[name] = n
	l.applyLocked(n)
	return n
}

// Format writes an entry to the appenders of its logger; logrus gets nothing
// to write itself.
func (n *named) Format(e *logrus.Entry) ([]byte, error) {
	for _, a := range *n.appenders.Load() {
		a.append(n.name, e)
	}
	return nil, nil
}

// applyLocked gives a logger the level and the appenders that the rules have
// for its name.
func (l *Loggers) applyLocked(n *named) {
	effective := level(0)
	var appenders []*appender
	closed := false
	for _, name := range above(n.name) {
		r := l.rules[name]
		if effective == unset {
			effective = r.level
		}
		if !closed {
			appenders = append(appenders, r.appenders...)
			closed = r.closed
		}
	}
	n.appenders.Store(&appenders)
	n.entry.Logger.SetLevel(effective.logrus())
}

// above lists a name and those above it: a.b.c, a.b, a, root.
func above(name string) []string {
	var names []string
	for name != "" && name != Root {
		names = append(names, name)
		dot := strings.LastIndexByte(name, '.')
		name = name[:max(dot, 0)]
	}
	return append(names, Root)
}

func (l *Loggers) applyAllLocked() {
	for _, n := range l.byName {
		l.applyLocked(n)
	}
}

// SetLevel sets the level of a name and of all names below it that have none
// of their own.
func (l *Loggers) SetLevel(name, text string) error {
	lv, ok := parseLevel(text)
	if !ok || lv == unset {
		return fmt.Errorf("%q is not a log level", text)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.rules[name]
	r.level = lv
	l.rules[name] = r
	l.namedLocked(name)
	l.applyAllLocked()
	return nil
}

// UnsetLevel takes the level of a name away, so that the one above counts.
// The root keeps its level.
func (l *Loggers) UnsetLevel(name string) {
	if name == Root {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.rules[name]
	r.level = unset
	l.rules[name] = r
	l.applyAllLocked()
}

// Exists reports whether a name is the root, was asked for or is configured.
func (l *Loggers) Exists(name string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, configured := l.rules[name]
	return configured || l.byName[name] != nil
}

// Levels returns the level that is in force for every name that exists.
func (l *Loggers) Levels() map[string]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	levels := map[string]string{}
	names := slices.Concat(slices.Collect(maps.Keys(l.byName)), slices.Collect(maps.Keys(l.rules)))
	for _, name := range names {
		for _, place := range above(name) {
			if lv := l.rules[place].level; lv != unset {
				levels[name] = lv.String()
				break
			}
		}
	}
	return levels
}

// Close closes the log files. What is logged afterwards goes nowhere.
func (l *Loggers) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var first error
	for _, a := range l.files {
		if err := a.close(); err != nil && first == nil {
			first = err
		}
	}
	return first
}
